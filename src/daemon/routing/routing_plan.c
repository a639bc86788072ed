/* SPDX-License-Identifier: ISC */
/*
 * The plan of managed routing: which objects, in which order. The table in routing_plan.h is what this
 * file writes down, one function for each row or two.
 */
#include "routing_plan.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PREF_SPOOFED = 1,
	PREF_EXEMPT_ANSWER = 2,
	PREF_DIRECT = 3,
	PREF_HOST_PORTS = 4,
	PREF_STEER = 5,
	PREF_IMPOSTOR = 6,
	PREF_LOCAL = ROUTING_PREF_LOCAL,
	PREF_PLAIN = 8,
	PREF_TRANSLATE = 9,
	PREF_CLOSED = ROUTING_PREF_LAST,
};

static const struct nat_prefix anywhere;

/* Where objects are added; `failed` is looked at once, at the end. */
struct builder {
	const struct routing_input *in;
	struct routing_plan *plan;
	bool failed;
};

/* ---- adding ---- */

/* A new object, all zero; a scratch one when memory is short, so that nobody needs to check. */
static struct routing_object *add(struct builder *b, enum routing_kind kind, struct routing_object *scratch)
{
	struct routing_plan *p = b->plan;
	struct routing_object *grown, *o = scratch;
	uint32_t room;

	if (p->n_objects == p->room) {
		room = p->room ? p->room * 2 : 64;
		grown = realloc(p->objects, room * sizeof(*grown));
		b->failed |= !grown;
		if (grown) {
			p->objects = grown;
			p->room = room;
		}
	}
	if (p->n_objects < p->room)
		o = &p->objects[p->n_objects++];
	memset(o, 0, sizeof(*o));
	o->kind = kind;
	return o;
}

/* A setting of one interface: head/INTERFACE/tail. */
struct setting {
	const char *head, *tail;
	bool keep;     /* put back at the end; not needed for what goes with the TUN */
	bool optional; /* comfort: it may be missing or refuse */
};

static const struct setting no_ipv6 = {"net/ipv6/conf", "disable_ipv6", false, true};
static const struct setting rp_filter = {"net/ipv4/conf", "rp_filter", false, false};
static const struct setting accept_local = {"net/ipv4/conf", "accept_local", false, false};
static const struct setting forwarding_of_tun = {"net/ipv4/conf", "forwarding", false, false};
static const struct setting forwarding = {"net/ipv4/conf", "forwarding", true, false};
static const struct setting proxy_delay = {"net/ipv4/neigh", "proxy_delay", true, true};

static void add_setting(struct builder *b, const struct setting *s, const char *interface, int32_t value)
{
	struct routing_object scratch;
	struct routing_object *o = add(b, ROUTING_SYSCTL, &scratch);

	snprintf(o->sysctl.name, sizeof(o->sysctl.name), "%s/%s/%s", s->head, interface, s->tail);
	o->sysctl.value = value;
	o->sysctl.keep = s->keep;
	o->sysctl.optional = s->optional;
}

/* What a rule looks for; the rest is the same for all of ours. */
struct match {
	const char *iif;
	struct nat_prefix from, to;
	uint8_t ip_proto;
	struct nat_range dport;
};

static void add_rule(struct builder *b, uint32_t pref, const struct match *m, enum netlink_action action,
		     uint32_t table)
{
	struct routing_object scratch;
	struct netlink_rule *r = &add(b, ROUTING_RULE, &scratch)->rule;

	r->priority = pref;
	r->action = (uint8_t)action;
	r->table = table;
	r->protocol = NETLINK_PROTOCOL;
	r->ip_proto = m->ip_proto;
	r->from.address = m->from.address;
	r->from.length = m->from.length;
	r->to.address = m->to.address;
	r->to.length = m->to.length;
	r->dport = m->dport;
	if (m->iif)
		snprintf(r->iif, sizeof(r->iif), "%s", m->iif);
}

static void add_lookup(struct builder *b, uint32_t pref, const struct match *m, uint32_t table)
{
	add_rule(b, pref, m, NETLINK_LOOKUP, table);
}

static void add_blackhole(struct builder *b, uint32_t pref, const struct match *m)
{
	add_rule(b, pref, m, NETLINK_BLACKHOLE, 0);
}

/* ---- address ranges as prefixes ---- */

/* The largest prefix that starts at `first` and does not reach beyond `last`. */
static struct nat_prefix first_prefix(uint32_t first, uint32_t last)
{
	uint8_t length = 32;

	while (length > 0) {
		uint32_t size_less_1 = (uint32_t)((UINT64_C(1) << (33 - length)) - 1);

		if ((first & size_less_1) != 0 || last - first < size_less_1)
			break;
		length--;
	}
	return (struct nat_prefix){.address = first, .length = length};
}

typedef void prefix_fn(struct builder *b, struct nat_prefix p);

/* Calls `fn` for each prefix that the pool addresses (those not shared) are made of. */
static void for_each_pool_prefix(struct builder *b, prefix_fn *fn)
{
	const struct nat_policy *p = b->in->policy;
	uint32_t i;

	for (i = 0; i < p->n_addresses; i++) {
		uint64_t next = p->addresses[i].first;

		while (!p->addresses[i].shared && next <= p->addresses[i].last) {
			struct nat_prefix pool = first_prefix((uint32_t)next, p->addresses[i].last);

			fn(b, pool);
			next += UINT64_C(1) << (32 - pool.length);
		}
	}
}

typedef void shared_fn(struct builder *b, struct nat_prefix address);

static void for_each_shared(struct builder *b, shared_fn *fn)
{
	const struct nat_policy *p = b->in->policy;
	uint64_t a;
	uint32_t i;

	for (i = 0; i < p->n_addresses; i++) {
		for (a = p->addresses[i].first; p->addresses[i].shared && a <= p->addresses[i].last; a++)
			fn(b, (struct nat_prefix){.address = (uint32_t)a, .length = 32});
	}
}

/* ---- ports ---- */

static int range_order(const void *a, const void *b)
{
	const struct nat_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* shared_ports without the ports of the host's sockets; returns the number of ranges written to `out`. */
static uint32_t dynamic_ports(const struct routing_input *in, enum nat_class c, struct nat_range *out)
{
	const struct nat_range *host = c == CLASS_TCP ? in->host_tcp : in->host_udp;
	uint32_t n_host = c == CLASS_TCP ? in->n_host_tcp : in->n_host_udp;
	const struct nat_policy *p = in->policy;
	uint32_t i, j, n = 0;

	for (i = 0; i < p->n_shared_ports; i++) {
		uint32_t next = p->shared_ports[i].first;
		uint32_t last = p->shared_ports[i].last;

		for (j = 0; j < n_host; j++) {
			if (host[j].last < next || host[j].first > last)
				continue;
			if (host[j].first > next)
				out[n++] = (struct nat_range){(uint16_t)next, (uint16_t)(host[j].first - 1)};
			next = (uint32_t)host[j].last + 1;
		}
		if (next <= last)
			out[n++] = (struct nat_range){(uint16_t)next, (uint16_t)last};
	}
	return n;
}

static uint32_t forward_ports(const struct nat_policy *p, enum nat_class c, uint32_t address, struct nat_range *out)
{
	uint32_t i, n = 0;

	for (i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];

		if ((f->protocols & 1u << c) && (f->address == 0 || f->address == address))
			out[n++] = f->ports;
	}
	return n;
}

/* What the sorted ranges `natds` leave of 1-65534. */
static uint32_t complement(const struct nat_range *natds, uint32_t n_natds, struct nat_range *out, uint32_t room)
{
	uint32_t next = 1; /* first port not yet looked at */
	uint32_t i, n = 0;

	for (i = 0; i < n_natds; i++) {
		if (natds[i].first > next && n < room)
			out[n++] = (struct nat_range){(uint16_t)next, (uint16_t)(natds[i].first - 1)};
		if (natds[i].last >= next)
			next = (uint32_t)natds[i].last + 1;
	}
	if (next <= 65534 && n < room)
		out[n++] = (struct nat_range){(uint16_t)next, 65534};
	return n;
}

static uint32_t ranges_room(const struct routing_input *in)
{
	uint32_t n_host = in->n_host_tcp > in->n_host_udp ? in->n_host_tcp : in->n_host_udp;

	return in->policy->n_shared_ports + n_host + in->policy->n_forwards + 1;
}

int32_t routing_plan_host_ranges(const struct routing_input *in, enum nat_class c, uint32_t address,
				 struct nat_range *out, uint32_t room)
{
	struct nat_range *natds = calloc(ranges_room(in), sizeof(*natds));
	uint32_t n;

	if (!natds)
		return -1;
	n = dynamic_ports(in, c, natds);
	n += forward_ports(in->policy, c, address, natds + n);
	qsort(natds, n, sizeof(*natds), range_order);
	n = complement(natds, n, out, room);
	free(natds);
	return (int32_t)n;
}

/* ---- the rows of the table in routing_plan.h ---- */

static void plan_tun(struct builder *b)
{
	const char *tun = b->in->tun;

	add_setting(b, &no_ipv6, tun, 1);
	/* The kernel takes the larger of "all" and the interface's own: with "all" on, loose (2) is the least there is. */
	add_setting(b, &rp_filter, tun, b->in->all_rp_filter ? 2 : 0);
	add_setting(b, &accept_local, tun, 1);
}

static void plan_closed(struct builder *b)
{
	struct routing_object scratch;
	uint32_t i;

	add(b, ROUTING_ROUTE_CLOSED, &scratch);
	for (i = 0; i < b->in->n_inside; i++)
		add_rule(b, PREF_CLOSED, &(struct match){.iif = b->in->inside[i]}, NETLINK_UNREACHABLE, 0);
	if (!b->in->outside_was_forwarding)
		add_blackhole(b, PREF_CLOSED, &(struct match){.iif = b->in->outside});
}

static void plan_loop(struct builder *b, struct nat_prefix pool)
{
	add_blackhole(b, PREF_SPOOFED, &(struct match){.iif = b->in->tun, .to = pool});
}

/* C2-17, C2-18: inside prefixes as source or destination of what comes from outside. */
static void plan_refusals(struct builder *b)
{
	const struct nat_policy *p = b->in->policy;
	const char *outside = b->in->outside;
	uint32_t i, j;

	for (i = 0; i < p->n_inside; i++)
		add_blackhole(b, PREF_SPOOFED, &(struct match){.iif = outside, .from = p->inside[i]});
	for_each_pool_prefix(b, plan_loop);
	for (i = 0; i < p->n_inside; i++) {
		for (j = 0; b->in->exempt_is_outside && j < p->n_exempt; j++) {
			if (b->in->exempt_is_outside[j])
				add_lookup(b, PREF_EXEMPT_ANSWER,
					   &(struct match){outside, p->exempt[j], p->inside[i], 0, {0, 0}},
					   RT_TABLE_MAIN);
		}
		add_blackhole(b, PREF_DIRECT, &(struct match){.iif = outside, .to = p->inside[i]});
	}
}

/* Rows 4: what of a shared address stays the host's, seen from outside and from each inside interface. */
static void plan_host_ports(struct builder *b, struct nat_prefix address, enum nat_class c, uint8_t ip_proto)
{
	const struct routing_input *in = b->in;
	uint32_t room = ranges_room(in);
	struct nat_range *ranges = calloc(room, sizeof(*ranges));
	int32_t n = ranges ? routing_plan_host_ranges(in, c, address.address, ranges, room) : -1;
	uint32_t j;

	b->failed |= n < 0;
	for (int32_t i = 0; i < n; i++) {
		struct match m = {in->outside, anywhere, address, ip_proto, ranges[i]};

		add_lookup(b, PREF_HOST_PORTS, &m, RT_TABLE_LOCAL);
		for (j = 0; j < in->n_inside; j++) {
			m.iif = in->inside[j];
			add_lookup(b, PREF_HOST_PORTS, &m, RT_TABLE_LOCAL);
		}
	}
	free(ranges);
}

/* Rows 5 and 6: the rest goes to natd; from inside only where the source can be one of ours. */
static void plan_steer(struct builder *b, struct nat_prefix address, uint8_t ip_proto)
{
	const struct routing_input *in = b->in;
	struct match m = {in->outside, anywhere, address, ip_proto, {0, 0}};
	uint32_t i, j;

	add_lookup(b, PREF_STEER, &m, ROUTING_TABLE);
	for (i = 0; i < in->n_inside; i++) {
		m.iif = in->inside[i];
		for (j = 0; j < in->policy->n_inside; j++) {
			m.from = in->policy->inside[j];
			add_lookup(b, PREF_STEER, &m, ROUTING_TABLE);
		}
		m.from = anywhere;
		add_blackhole(b, PREF_IMPOSTOR, &m);
	}
}

static void plan_shared(struct builder *b, struct nat_prefix address)
{
	plan_host_ports(b, address, CLASS_TCP, IPPROTO_NR_TCP);
	plan_host_ports(b, address, CLASS_UDP, IPPROTO_NR_UDP);
	plan_steer(b, address, IPPROTO_NR_TCP);
	plan_steer(b, address, IPPROTO_NR_UDP);
}

static void plan_pool(struct builder *b, struct nat_prefix pool)
{
	add_lookup(b, PREF_STEER, &(struct match){.iif = "lo", .to = pool}, ROUTING_TABLE);
	plan_steer(b, pool, 0);
}

static void plan_local(struct builder *b)
{
	struct routing_object scratch;

	add_lookup(b, PREF_LOCAL, &(struct match){.iif = NULL}, RT_TABLE_LOCAL);
	add(b, ROUTING_LOCAL_MOVE, &scratch);
}

/* Rows 8 and 9. */
static void plan_inside(struct builder *b, const char *interface)
{
	const struct nat_policy *p = b->in->policy;
	uint32_t i;

	for (i = 0; i < p->n_inside; i++)
		add_lookup(b, PREF_PLAIN, &(struct match){.iif = interface, .to = p->inside[i]}, RT_TABLE_MAIN);
	for (i = 0; i < p->n_exempt; i++)
		add_lookup(b, PREF_PLAIN, &(struct match){.iif = interface, .to = p->exempt[i]}, RT_TABLE_MAIN);
	add_lookup(b, PREF_TRANSLATE, &(struct match){.iif = interface}, ROUTING_TABLE);
}

static bool is_onlink(const struct routing_input *in, uint32_t address)
{
	uint32_t i;

	for (i = 0; i < in->n_onlink; i++) {
		const struct nat_prefix *p = &in->onlink[i];

		if (p->length == 0 || (address ^ p->address) >> (32 - p->length) == 0)
			return true;
	}
	return false;
}

static void plan_proxies(struct builder *b)
{
	const struct nat_policy *p = b->in->policy;
	struct routing_object scratch;
	uint32_t i, n = 0;
	uint64_t a;

	for (i = 0; i < p->n_addresses; i++) {
		for (a = p->addresses[i].first; !p->addresses[i].shared && a <= p->addresses[i].last; a++) {
			if (!is_onlink(b->in, (uint32_t)a))
				continue;
			if (n == ROUTING_PROXIES_MAX)
				return;
			/* Else the kernel waits up to 0.8 s before it answers ARP for others. */
			if (n++ == 0)
				add_setting(b, &proxy_delay, b->in->outside, 0);
			add(b, ROUTING_PROXY, &scratch)->proxy = (uint32_t)a;
		}
	}
}

static void plan_forwarding(struct builder *b)
{
	uint32_t i;

	add_setting(b, &forwarding_of_tun, b->in->tun, 1);
	add_setting(b, &forwarding, b->in->outside, 1);
	for (i = 0; i < b->in->n_inside; i++)
		add_setting(b, &forwarding, b->in->inside[i], 1);
}

bool routing_plan_make(const struct routing_input *in, struct routing_plan *plan)
{
	struct builder b = {.in = in, .plan = plan};
	struct routing_object scratch;
	uint32_t i;

	plan->n_objects = 0;
	plan_tun(&b);
	plan_closed(&b);
	plan_refusals(&b);
	add(&b, ROUTING_ROUTE_TUN, &scratch);
	for_each_shared(&b, plan_shared);
	for_each_pool_prefix(&b, plan_pool);
	plan_local(&b);
	for (i = 0; i < in->n_inside; i++)
		plan_inside(&b, in->inside[i]);
	plan_proxies(&b);
	plan_forwarding(&b);
	return !b.failed;
}

void routing_plan_fini(struct routing_plan *plan)
{
	free(plan->objects);
	memset(plan, 0, sizeof(*plan));
}
