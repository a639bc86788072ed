/* SPDX-License-Identifier: ISC */
/* The facts about the configured interfaces, by netlink. */
#include "facts.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kernel/hostports.h"

enum { READ_ATTEMPTS = 8 }; /* for dumps that are disturbed by other programs' changes */

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
	memcpy(out->name, link.name, sizeof(out->name));
	out->index = link.index;
	out->exists = true;
	out->is_up = (link.flags & IFF_UP) && (link.flags & IFF_RUNNING);
	out->is_l3 = link.type != ARPHRD_ETHER && link.type != ARPHRD_LOOPBACK;
	out->has_neighbours = !(link.flags & (IFF_NOARP | IFF_LOOPBACK | IFF_POINTOPOINT));
	out->mtu = link.mtu;
	return read_addresses(nl, link.index, out);
}

/* The interface through which the host reaches the prefix; 0: none. One of its addresses may be the host's own. */
static int way_to_prefix(struct netlink *nl, const struct nat_prefix *p)
{
	uint32_t last = p->length < 31 ? 3 : p->length == 31;
	struct netlink_way way;

	for (uint32_t i = p->length < 31; i <= last; i++) {
		if (netlink_way_to(nl, p->address + i, &way) == 0 && way.type == RTN_UNICAST)
			return way.out;
	}
	return 0;
}

static int read_prefix_ways(struct netlink *nl, const struct config_inside *in, struct host_facts *out)
{
	int *ways = calloc(in->n_prefixes + 1u, sizeof(*ways));

	if (!ways)
		return -ENOMEM;
	for (uint32_t i = 0; i < in->n_prefixes; i++)
		ways[i] = way_to_prefix(nl, &in->prefixes[i]);
	out->prefix_out = ways;
	out->n_prefix_out = in->n_prefixes;
	return 0;
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
	if (rc == 0)
		rc = read_prefix_ways(nl, &c->inside, out);
	if (!hostports_ephemeral(&out->ephemeral))
		out->ephemeral = (struct nat_range){0, 0};
	if (rc < 0)
		facts_fini(out);
	return rc;
}

/* The arrays are const for all other code. */
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
	free_const(f->prefix_out);
	memset(f, 0, sizeof(*f));
}
