/* SPDX-License-Identifier: ISC */
/* The facts about the configured interfaces, by netlink. */
#include "facts.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

enum { READ_ATTEMPTS = 8 }; /* for dumps that others' changes disturb */

struct collector {
	struct host_address *addresses;
	uint32_t n, room;
	bool is_short;
};

static bool take_address(void *ctx, const struct netlink_address *a)
{
	struct collector *c = ctx;
	struct host_address *grown;

	if (a->scope == RT_SCOPE_HOST)
		return true;
	if (c->n == c->room) {
		grown = realloc(c->addresses, (c->room + 8) * sizeof(*grown));
		c->is_short = !grown;
		if (!grown)
			return false;
		c->addresses = grown;
		c->room += 8;
	}
	c->addresses[c->n++] = (struct host_address){
		.address = a->address, .peer = a->peer, .length = a->length, .is_secondary = a->is_secondary};
	return true;
}

static int read_addresses(struct netlink *nl, int index, struct host_interface *out)
{
	struct collector c = {0};
	int attempts = READ_ATTEMPTS;
	int rc;

	do {
		c.n = 0;
		rc = netlink_addresses(nl, index, take_address, &c);
	} while (rc == -EINTR && --attempts > 0);
	if (rc == 0 && c.is_short)
		rc = -ENOMEM;
	if (rc < 0) {
		free(c.addresses);
		return rc;
	}
	out->addresses = c.addresses;
	out->n_addresses = c.n;
	return 0;
}

static int read_interface(struct netlink *nl, const char *name, struct host_interface *out)
{
	struct netlink_link link;
	int rc = netlink_link_get(nl, name, &link);

	memset(out, 0, sizeof(*out));
	strncpy(out->name, name, sizeof(out->name) - 1);
	if (rc == -ENODEV)
		return 0;
	if (rc < 0)
		return rc;
	out->exists = true;
	out->mtu = link.mtu;
	return read_addresses(nl, link.index, out);
}

int facts_read(struct netlink *nl, const struct natd_config *c, struct host_facts *out)
{
	struct host_interface *inside = calloc(c->inside.n_interfaces + 1u, sizeof(*inside));
	int rc;

	memset(out, 0, sizeof(*out));
	if (!inside)
		return -ENOMEM;
	out->inside = inside;
	rc = read_interface(nl, c->outside.interface, &out->outside);
	while (rc == 0 && out->n_inside < c->inside.n_interfaces) {
		rc = read_interface(nl, c->inside.interfaces[out->n_inside], &inside[out->n_inside]);
		out->n_inside++;
	}
	if (rc < 0)
		facts_fini(out);
	return rc;
}

/* The arrays are const to everybody else. */
static void free_const(const void *p)
{
	union {
		const void *given;
		void *ours;
	} u = {.given = p};

	free(u.ours);
}

void facts_fini(struct host_facts *f)
{
	uint32_t i;

	free_const(f->outside.addresses);
	for (i = 0; i < f->n_inside; i++)
		free_const(f->inside[i].addresses);
	free_const(f->inside);
	memset(f, 0, sizeof(*f));
}
