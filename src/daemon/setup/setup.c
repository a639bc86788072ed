/* SPDX-License-Identifier: ISC */
/* Configuration, facts and policy as one value. */
#include "setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "daemon/base/log.h"

enum {
	LIST_ATTEMPTS = 2, /* one failed dump must not lead to another steering table */
	/* The kernel's default, used if ip_local_port_range cannot be read. */
	EPHEMERAL_FIRST = 32768,
	EPHEMERAL_LAST = 60999,
};

bool setup_is_shared(const struct setup *s)
{
	for (uint32_t i = 0; i < s->policy.n_addresses; i++) {
		if (s->policy.addresses[i].shared)
			return true;
	}
	return false;
}

void setup_set_exact(struct setup *s, bool is_exact)
{
	s->is_exact = is_exact;
	policy_set_refused(s->config, is_exact, &s->policy);
}

/* ---- the steering table ---- */

/* The inside interface whose network contains the prefix; 0: none, or unknown. */
static int interface_of(const struct host_facts *f, const struct nat_prefix *p)
{
	for (uint32_t i = 0; i < f->n_inside; i++) {
		for (uint32_t a = 0; a < f->inside[i].n_addresses; a++) {
			const struct host_address *h = &f->inside[i].addresses[a];
			uint8_t length = h->length < p->length ? h->length : p->length;

			if (length > 0 && (h->peer ^ p->address) >> (32 - length) == 0)
				return f->inside[i].index;
		}
	}
	return 0;
}

static void find_prefix_ways(const struct setup *s, int *out)
{
	const struct host_facts *f = &s->facts;

	for (uint32_t i = 0; i < s->policy.n_inside; i++) {
		out[i] = interface_of(f, &s->policy.inside[i]);
		if (i < f->n_prefix_out && out[i] == 0)
			out[i] = f->prefix_out[i];
	}
}

static void fill_inside(const struct host_facts *f, struct steering_interface *out)
{
	for (uint32_t i = 0; i < f->n_inside; i++) {
		memcpy(out[i].name, f->inside[i].name, sizeof(out[i].name));
		out[i].index = f->inside[i].index;
		out[i].is_l3 = f->inside[i].is_l3;
	}
}

/* Does the host's route to the prefix leave through the outside interface? */
static bool leaves_outside(struct netlink *nl, const struct host_facts *f, const struct nat_prefix *p)
{
	struct netlink_way way;
	uint32_t host = p->length < 31 ? p->address + 1 : p->address;

	return f->outside.index && netlink_way_to(nl, host, &way) == 0 && way.out == f->outside.index;
}

static bool make_steering(struct setup *s, struct netlink *nl)
{
	struct steering_interface *inside = calloc(s->facts.n_inside + 1u, sizeof(*inside));
	int *prefix_out = calloc(s->policy.n_inside + 1u, sizeof(*prefix_out));
	bool *exempt = calloc(s->policy.n_exempt + 1u, sizeof(*exempt));
	struct steering *made = NULL;
	struct steering_input in = {.tun = s->config->tun.name,
				    .outside = s->facts.outside.name,
				    .outside_index = s->facts.outside.index,
				    .outside_is_l3 = s->facts.outside.is_l3,
				    .inside = inside,
				    .n_inside = s->facts.n_inside,
				    .policy = &s->policy,
				    .prefix_out = prefix_out,
				    .exempt_is_outside = exempt,
				    .host_tcp = &s->ports.tcp,
				    .host_udp = &s->ports.udp};

	if (inside && prefix_out && exempt) {
		fill_inside(&s->facts, inside);
		find_prefix_ways(s, prefix_out);
		for (uint32_t i = 0; i < s->policy.n_exempt; i++)
			exempt[i] = leaves_outside(nl, &s->facts, &s->policy.exempt[i]);
		in.ephemeral = s->facts.ephemeral;
		if (in.ephemeral.last == 0)
			in.ephemeral = (struct nat_range){EPHEMERAL_FIRST, EPHEMERAL_LAST};
		made = steering_create(&in);
	}
	free(inside);
	free(prefix_out);
	free(exempt);
	if (made) {
		steering_destroy(s->steering);
		s->steering = made;
	}
	return made != NULL;
}

/* 1: they changed; 0: they did not, or the kernel cannot list them; -ENOMEM. */
static int list_ports(struct setup *s, struct netlink *nl)
{
	struct hostports *now;
	int r = -EAGAIN;

	if (!setup_is_shared(s))
		return 0;
	now = malloc(sizeof(*now));
	if (!now)
		return -ENOMEM;
	for (int i = 0; i < LIST_ATTEMPTS && r < 0 && r != -ENOENT; i++)
		r = hostports_list(nl, now);
	if (r < 0)
		log_debug(SUB_NETLINK, "ports of the host: %s", netlink_error(nl));
	r = r == 0 && !hostports_equal(now, &s->ports);
	if (r == 1)
		s->ports = *now;
	free(now);
	return r;
}

bool setup_scan_ports(struct setup *s, struct netlink *nl)
{
	return list_ports(s, nl) > 0 && make_steering(s, nl);
}

/* ---- the whole setup ---- */

struct setup *setup_create(struct netlink *nl, const struct natd_config *config, struct config_report *report)
{
	struct setup *s = calloc(1, sizeof(*s));

	if (!s) {
		config_report_add(report, CONFIG_ERROR, config->file, 0, "out of memory");
		return NULL;
	}
	if (facts_read(nl, config, &s->facts) < 0) {
		config_report_add(report, CONFIG_ERROR, config->file, 0, "cannot look at the interfaces: %s",
				  netlink_error(nl));
		goto fail;
	}
	if (!policy_build(config, &s->facts, &s->policy, &s->storage, report))
		goto fail;
	s->config = config;
	if (list_ports(s, nl) >= 0 && make_steering(s, nl))
		return s;
	config_report_add(report, CONFIG_ERROR, config->file, 0, "out of memory");
fail:
	setup_destroy(s);
	return NULL;
}

void setup_destroy(struct setup *s)
{
	if (!s)
		return;
	steering_destroy(s->steering);
	policy_storage_fini(&s->storage);
	facts_fini(&s->facts);
	free(s);
}

static bool address_equal(const struct host_address *a, const struct host_address *b)
{
	return a->address == b->address && a->peer == b->peer && a->length == b->length &&
	       a->is_secondary == b->is_secondary;
}

static bool interface_equal(const struct host_interface *a, const struct host_interface *b)
{
	if (strcmp(a->name, b->name) != 0 || a->index != b->index || a->mtu != b->mtu || a->is_up != b->is_up ||
	    a->is_l3 != b->is_l3 || a->has_neighbours != b->has_neighbours || a->n_addresses != b->n_addresses)
		return false;
	for (uint32_t i = 0; i < a->n_addresses; i++) {
		if (!address_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	}
	return true;
}

bool setup_facts_equal(const struct host_facts *a, const struct host_facts *b)
{
	if (!interface_equal(&a->outside, &b->outside) || a->n_inside != b->n_inside ||
	    a->n_prefix_out != b->n_prefix_out || a->ephemeral.first != b->ephemeral.first ||
	    a->ephemeral.last != b->ephemeral.last)
		return false;
	if (a->n_prefix_out > 0 && memcmp(a->prefix_out, b->prefix_out, a->n_prefix_out * sizeof(int)) != 0)
		return false;
	for (uint32_t i = 0; i < a->n_inside; i++) {
		if (!interface_equal(&a->inside[i], &b->inside[i]))
			return false;
	}
	return true;
}
