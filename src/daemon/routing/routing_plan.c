/* SPDX-License-Identifier: ISC */
/*
 * The plan of managed routing: its objects, in order. This file implements the table in routing_plan.h, one function
 * for each row or two.
 */
#include "routing_plan.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Offsets from the slot's first preference before the `local` rule, and after it. */
enum before { ANSWERS, SPOOFED, EXEMPT_ANSWER, DIRECT, HOST, STEER };
enum behind { POOL_FROM_HOST, PLAIN, TRANSLATE, FOREIGN, OTHERS, CLOSED };

static const struct nat_prefix anywhere;

/* Collects objects; `failed` is checked once, at the end. */
struct builder {
	const struct routing_input *in;
	struct routing_plan *plan;
	bool failed;
};

/* ---- adding ---- */

/* Adds an object, all zero; returns a scratch one if memory is short, so callers need no check. */
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
	bool keep;     /* restored at the end; not needed for settings that disappear with the TUN */
	bool optional; /* it may be missing or refuse */
	bool closes;
};

static const struct setting no_ipv6 = {"net/ipv6/conf", "disable_ipv6", false, true, false};
static const struct setting rp_filter = {"net/ipv4/conf", "rp_filter", false, false, false};
static const struct setting accept_local = {"net/ipv4/conf", "accept_local", false, false, false};
static const struct setting forwarding_of_tun = {"net/ipv4/conf", "forwarding", false, false, false};
static const struct setting forwarding_outside = {"net/ipv4/conf", "forwarding", true, false, false};
static const struct setting forwarding_inside = {"net/ipv4/conf", "forwarding", true, false, true};
static const struct setting accept_redirects = {"net/ipv4/conf", "accept_redirects", true, true, false};
static const struct setting proxy_delay = {"net/ipv4/neigh", "proxy_delay", true, true, false};

static void add_setting(struct builder *b, const struct setting *s, const char *interface, int32_t value)
{
	struct routing_object scratch;
	struct routing_object *o = add(b, ROUTING_SYSCTL, &scratch);

	snprintf(o->sysctl.name, sizeof(o->sysctl.name), "%s/%s/%s", s->head, interface, s->tail);
	o->sysctl.value = value;
	o->sysctl.keep = s->keep;
	o->sysctl.optional = s->optional;
	o->sysctl.closes = s->closes;
}

/* A setting of the whole namespace. */
static void add_global_setting(struct builder *b, const char *name, int32_t value)
{
	struct routing_object scratch;
	struct routing_object *o = add(b, ROUTING_SYSCTL, &scratch);

	snprintf(o->sysctl.name, sizeof(o->sysctl.name), "%s", name);
	o->sysctl.value = value;
	o->sysctl.keep = true;
	o->sysctl.optional = true;
}

/* The conditions of a rule; the rest is the same for all of natd's rules. */
struct match {
	const char *iif;
	struct nat_prefix from, to;
	uint8_t ip_proto;
	struct nat_range dport;
	uint32_t mark;
};

static void add_rule(struct builder *b, uint32_t pref, const struct match *m, enum netlink_action action,
		     uint32_t table)
{
	struct routing_object scratch;
	struct netlink_rule *r = &add(b, ROUTING_RULE, &scratch)->rule;

	r->priority = pref;
	r->action = (uint8_t)action;
	r->table = table;
	r->protocol = b->in->place.protocol;
	r->ip_proto = m->ip_proto;
	r->from.address = m->from.address;
	r->from.length = m->from.length;
	r->to.address = m->to.address;
	r->to.length = m->to.length;
	r->dport = m->dport;
	r->mark = m->mark;
	if (m->iif)
		snprintf(r->iif, sizeof(r->iif), "%s", m->iif);
}

static uint32_t before(const struct builder *b, enum before offset)
{
	return ROUTING_PREF_FIRST + ROUTING_PREFS_BEFORE * b->in->place.slot + (uint32_t)offset;
}

static uint32_t behind(const struct builder *b, enum behind offset)
{
	return ROUTING_PREF_LOCAL + 1 + ROUTING_PREFS_BEHIND * b->in->place.slot + (uint32_t)offset;
}

bool routing_plan_is_last(const struct netlink_rule *r)
{
	return r->priority > ROUTING_PREF_LOCAL &&
	       (r->priority - ROUTING_PREF_LOCAL - 1) % ROUTING_PREFS_BEHIND == CLOSED;
}

static void add_lookup(struct builder *b, uint32_t pref, const struct match *m, uint32_t table)
{
	add_rule(b, pref, m, NETLINK_LOOKUP, table);
}

static void add_blackhole(struct builder *b, uint32_t pref, const struct match *m)
{
	add_rule(b, pref, m, NETLINK_BLACKHOLE, 0);
}

static void add_route(struct builder *b, uint32_t table, struct nat_prefix to, bool closed)
{
	struct routing_object scratch;
	struct routing_object *o = add(b, ROUTING_ROUTE, &scratch);

	o->route.table = table;
	o->route.to = to;
	o->route.closed = closed;
}

static uint32_t translate_table(const struct builder *b)
{
	return b->in->place.table;
}

static uint32_t address_table(const struct builder *b)
{
	return b->in->place.table + 1;
}

static uint32_t answer_table(const struct builder *b)
{
	return b->in->place.table + 3;
}

static uint32_t pool_table(const struct builder *b)
{
	return b->in->place.table + 2;
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

/* Calls `fn` for each prefix that the pool addresses (those not shared) consist of. */
static void for_each_pool_prefix(struct builder *b, prefix_fn *fn)
{
	const struct steering *p = b->in->steering;
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

/* ---- the rows of the table in routing_plan.h ---- */

static void plan_tun(struct builder *b)
{
	const char *tun = b->in->steering->tun;

	add_setting(b, &no_ipv6, tun, 1);
	/* The kernel uses the larger of "all" and the interface's own: with "all" on, loose (2) is the weakest. */
	add_setting(b, &rp_filter, tun, b->in->all_rp_filter ? 2 : 0);
	add_setting(b, &accept_local, tun, 1);
}

/* The kernel's own ICMP about packets that natd sent (marked by its sockets) goes to natd instead of to the sender. */
static void plan_answers(struct builder *b)
{
	const struct match m = {.ip_proto = IPPROTO_NR_ICMP, .mark = ROUTING_MARK + b->in->place.slot};
	struct routing_object scratch;
	struct routing_object *o;

	add_global_setting(b, "net/ipv4/fwmark_reflect", 1);
	add_route(b, answer_table(b), anywhere, true);
	o = add(b, ROUTING_ROUTE, &scratch);
	o->route.table = answer_table(b);
	o->route.source = ROUTING_TUN_ADDRESS;
	add_lookup(b, before(b, ANSWERS), &m, answer_table(b));
}

static void plan_closed(struct builder *b)
{
	const struct steering *s = b->in->steering;
	uint32_t pref = behind(b, CLOSED);

	add_route(b, translate_table(b), anywhere, true);
	for (uint32_t i = 0; i < s->n_inside; i++)
		add_rule(b, pref, &(struct match){.iif = s->inside[i].name}, NETLINK_BLACKHOLE, 0);
	for (uint32_t i = 0; s->n_inside == 0 && i < s->n_prefixes; i++)
		add_rule(b, pref, &(struct match){.from = s->prefixes[i]}, NETLINK_UNREACHABLE, 0);
	if (!b->in->outside_was_forwarding)
		add_blackhole(b, pref, &(struct match){.iif = s->outside.name});
}

/* Inside prefixes as source or destination of packets from outside. */
static void plan_refusals(struct builder *b)
{
	const struct steering *s = b->in->steering;
	const char *outside = s->outside.name;

	for (uint32_t i = 0; i < s->n_prefixes; i++) {
		add_blackhole(b, before(b, SPOOFED), &(struct match){.iif = outside, .from = s->prefixes[i]});
		for (uint32_t j = 0; j < s->n_exempt; j++) {
			if (s->exempt_is_outside[j])
				add_lookup(b, before(b, EXEMPT_ANSWER),
					   &(struct match){outside, s->exempt[j], s->prefixes[i], 0, {0, 0}, 0},
					   RT_TABLE_MAIN);
		}
		add_blackhole(b, before(b, DIRECT), &(struct match){.iif = outside, .to = s->prefixes[i]});
	}
}

static void plan_pool(struct builder *b, struct nat_prefix pool)
{
	struct routing_object scratch, *o;

	for (uint32_t table = address_table(b); table <= pool_table(b); table++) {
		add_route(b, table, pool, true);
		add_route(b, table, pool, false);
	}
	o = add(b, ROUTING_ROUTE, &scratch);
	o->route.table = translate_table(b);
	o->route.to = pool;
	o->route.closed = true;
	o->route.silent = true;
}

/* The tables. A shared address has no refusal behind its route: without natd it is the host's. */
static void plan_tables(struct builder *b)
{
	uint32_t address;

	add_route(b, translate_table(b), anywhere, false);
	for_each_pool_prefix(b, plan_pool);
	for (uint32_t i = 0; !b->in->is_steered && (address = steering_shared(b->in->steering, i)) != 0; i++)
		add_route(b, address_table(b), (struct nat_prefix){.address = address, .length = 32}, false);
}

/* Does the interface have a pair with that prefix? */
static bool has_pair(const struct steering *s, uint32_t interface, const struct nat_prefix *prefix)
{
	for (uint32_t i = 0; i < s->n_pairs; i++) {
		const struct steering_pair *p = &s->pairs[i];

		if (p->interface == interface && p->prefix.address == prefix->address &&
		    p->prefix.length == prefix->length)
			return true;
	}
	return false;
}

static uint32_t count_foreign(const struct steering *s, uint32_t interface)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_prefixes; i++)
		n += !has_pair(s, interface, &s->prefixes[i]);
	return n;
}

/* The number of rules that plan_translate() makes. */
static uint32_t count_translating(const struct steering *s)
{
	uint32_t n = s->n_inside ? s->n_inside : s->n_pairs;

	for (uint32_t i = 0; i < s->n_inside; i++) {
		if (count_foreign(s, i) > 0)
			n += s->n_prefixes;
	}
	return n;
}

/* The number of gaps that fit: the other rules are counted first. */
static uint32_t gaps_room(const struct builder *b, uint32_t n_shared)
{
	const struct steering *s = b->in->steering;
	uint32_t n_inside = (s->n_inside ? s->n_inside : 1) * s->n_prefixes;
	uint32_t most = ROUTING_RULES_BASE + ROUTING_RULES_MORE * (n_inside + n_shared);
	/* answers, the five protocols, local; spoofed, direct, plain; steer; translate and foreign; closed */
	uint32_t others = 7 + 3 * s->n_prefixes + s->n_pairs + count_translating(s) +
			  (s->n_inside ? s->n_inside : s->n_prefixes + 1) + !b->in->outside_was_forwarding;
	uint32_t room = most > others ? (most - others) / (n_shared ? n_shared : 1) : 0;

	return room > ROUTING_GAPS ? ROUTING_GAPS : room;
}

static void plan_gaps(struct builder *b, uint32_t address, uint32_t room)
{
	struct steering_gap gaps[ROUTING_GAPS];
	int n = steering_gaps(b->in->steering, address, gaps, room);

	b->failed |= n < 0;
	for (int i = 0; i < n; i++) {
		struct match m = {.to = {.address = address, .length = 32}, .dport = gaps[i].ports};

		if (gaps[i].classes == 1 << CLASS_TCP)
			m.ip_proto = IPPROTO_NR_TCP;
		else if (gaps[i].classes == 1 << CLASS_UDP)
			m.ip_proto = IPPROTO_NR_UDP;
		add_lookup(b, before(b, HOST), &m, RT_TABLE_LOCAL);
	}
}

/* Packets that go to the host without passing natd. */
static void plan_host(struct builder *b)
{
	const struct steering *s = b->in->steering;
	uint32_t address, n_shared = 0;

	if (s->n_inside == 0)
		add_lookup(b, before(b, HOST), &(struct match){.iif = s->tun}, RT_TABLE_LOCAL);
	if (b->in->is_steered)
		return;
	while (steering_shared(s, n_shared) != 0)
		n_shared++;
	for (uint32_t i = 0; (address = steering_shared(s, i)) != 0; i++)
		plan_gaps(b, address, gaps_room(b, n_shared));
}

/* The conditions of a pair: its prefix, and its interface if it has one. */
static struct match pair_match(const struct steering *s, const struct steering_pair *p)
{
	return (struct match){.iif = p->interface == STEERING_ANYWHERE ? NULL : s->inside[p->interface].name,
			      .from = p->prefix};
}

static bool has_pool(const struct steering *s)
{
	for (uint32_t i = 0; i < s->n_addresses; i++) {
		if (!s->addresses[i].shared)
			return true;
	}
	return false;
}

static void plan_steer(struct builder *b)
{
	static const uint8_t protocols[] = {STEERING_SHARED_PROTOCOLS};
	const struct steering *s = b->in->steering;

	for (size_t i = 0; !b->in->is_steered && steering_shared(s, 0) != 0 && i < sizeof(protocols); i++) {
		struct match m = {.iif = s->outside.name, .ip_proto = protocols[i]};
		bool has_ports = m.ip_proto == IPPROTO_NR_TCP || m.ip_proto == IPPROTO_NR_UDP;

		/* Other protocols have fields that the kernel treats like ports; these must not match the gaps. */
		add_lookup(b, before(b, has_ports ? STEER : DIRECT), &m, address_table(b));
	}
	if (has_pool(s))
		add_lookup(b, before(b, STEER), &(struct match){.iif = s->outside.name}, pool_table(b));
	for (uint32_t i = 0; s->n_addresses > 0 && i < s->n_pairs; i++) {
		struct match m = pair_match(s, &s->pairs[i]);

		add_lookup(b, before(b, STEER), &m, address_table(b));
	}
}

static void plan_local(struct builder *b)
{
	struct routing_object scratch;

	add(b, ROUTING_LOCAL_MOVE, &scratch);
}

static void plan_exempt(struct builder *b)
{
	const struct steering *s = b->in->steering;

	for (uint32_t e = 0; e < s->n_exempt; e++) {
		struct match m = {.to = s->exempt[e]};

		for (uint32_t i = 0; i < s->n_inside; i++) {
			m.iif = s->inside[i].name;
			add_lookup(b, behind(b, PLAIN), &m, RT_TABLE_MAIN);
		}
		for (uint32_t i = 0; s->n_inside == 0 && i < s->n_prefixes; i++) {
			m.from = s->prefixes[i];
			add_lookup(b, behind(b, PLAIN), &m, RT_TABLE_MAIN);
		}
	}
}

/* The kernel refuses a prefix of another interface, since natd does not see by which interface a packet arrived. */
static void plan_translate_from(struct builder *b, uint32_t interface)
{
	const struct steering *s = b->in->steering;
	struct match m = {.iif = s->inside[interface].name};
	bool is_tied = count_foreign(s, interface) > 0;

	for (uint32_t i = 0; is_tied && i < s->n_prefixes; i++) {
		m.from = s->prefixes[i];
		if (has_pair(s, interface, &m.from))
			add_lookup(b, behind(b, TRANSLATE), &m, translate_table(b));
		else
			add_blackhole(b, behind(b, FOREIGN), &m);
	}
	m.from = anywhere;
	add_lookup(b, behind(b, OTHERS), &m, translate_table(b));
}

static void plan_translate(struct builder *b)
{
	const struct steering *s = b->in->steering;

	for (uint32_t i = 0; i < s->n_inside; i++)
		plan_translate_from(b, i);
	for (uint32_t i = 0; s->n_inside == 0 && i < s->n_pairs; i++) {
		struct match m = pair_match(s, &s->pairs[i]);

		add_lookup(b, behind(b, TRANSLATE), &m, translate_table(b));
	}
}

static void plan_inside(struct builder *b)
{
	const struct steering *s = b->in->steering;

	if (has_pool(s))
		add_lookup(b, behind(b, POOL_FROM_HOST), &(struct match){.iif = "lo"}, pool_table(b));
	for (uint32_t i = 0; i < s->n_prefixes; i++)
		add_lookup(b, behind(b, PLAIN), &(struct match){.to = s->prefixes[i]}, RT_TABLE_MAIN);
	plan_exempt(b);
	plan_translate(b);
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
	const struct steering *p = b->in->steering;
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
				add_setting(b, &proxy_delay, p->outside.name, 0);
			add(b, ROUTING_PROXY, &scratch)->proxy = (uint32_t)a;
		}
	}
}

static void plan_forwarding_of(struct builder *b, const struct setting *forwarding, const char *interface)
{
	add_setting(b, &accept_redirects, interface, 0);
	add_setting(b, forwarding, interface, 1);
}

static void plan_forwarding(struct builder *b)
{
	const struct steering *s = b->in->steering;

	/* Early demultiplexing gives a packet to a connected socket before any rule is consulted. */
	add_global_setting(b, "net/ipv4/tcp_early_demux", 0);
	add_global_setting(b, "net/ipv4/udp_early_demux", 0);
	add_setting(b, &forwarding_of_tun, s->tun, 1);
	plan_forwarding_of(b, &forwarding_outside, s->outside.name);
	for (uint32_t i = 0; i < s->n_inside; i++)
		plan_forwarding_of(b, &forwarding_inside, s->inside[i].name);
	for (uint32_t i = 0; s->n_inside == 0 && i < b->in->n_forwarding; i++)
		plan_forwarding_of(b, &forwarding_inside, b->in->forwarding[i]);
}

bool routing_plan_make(const struct routing_input *in, struct routing_plan *plan)
{
	struct builder b = {.in = in, .plan = plan};

	plan->n_objects = 0;
	plan_tun(&b);
	plan_closed(&b);
	plan_answers(&b);
	plan_refusals(&b);
	plan_tables(&b);
	plan_host(&b);
	plan_steer(&b);
	plan_local(&b);
	plan_inside(&b);
	plan_proxies(&b);
	plan_forwarding(&b);
	return !b.failed;
}

void routing_plan_fini(struct routing_plan *plan)
{
	free(plan->objects);
	memset(plan, 0, sizeof(*plan));
}
