/* SPDX-License-Identifier: ISC */
/*
 * Commits the decision of decide.c about a packet without a session: draws the port, opens the session, charges the
 * host's rate, holds a SYN. Only this file calls the port guard, which may find that a port is the host's after all.
 */
#include <string.h>

#include "decide.h"
#include "nat_private.h"

/* No mapping may use a forward's port, nor one on which the host has a socket (CVE-2021-3773). */
static bool port_may_be_taken(void *ctx, uint16_t port)
{
	const struct port_set *s = ctx;
	const struct nat *n = s->n;

	if (!nat_port_is_free_of_forwards(s, port))
		return false;
	if (n->port_in_use == NULL || !rules_address_is_shared(n->rules, s->address))
		return true;
	return !n->port_in_use(n->port_ctx, s->proto_class, s->address, port);
}

/* Enough bits for both address and port. */
static uint64_t draw(struct nat *n, struct work *w)
{
	if (w->random == 0)
		w->random = prf_next(&n->prf);
	return w->random;
}

void nat_open_prefetch(struct nat *n, struct work *w)
{
	const struct host *h;
	int32_t ordinal, slot;

	if (w->dir != DIR_OUT || w->v.proto_class == CLASS_OTHER || nat_check_opener(n, w) != NAT_PASS ||
	    rules_pool_count(n->rules) == 0 || table_probe_joins(n->table, &w->probe))
		return;
	draw(n, w);
	nat_find_share(n, w);
	h = w->share_ordinal >= 0 ? NULL : table_host_find(n->table, w->v.src);
	ordinal = nat_paired_address(n, w, h);
	if (ordinal < 0)
		ordinal = (int32_t)rules_pool_ordinal(n->rules, nat_first_address(n, w->v.src, w->random));
	slot = n->slots[ordinal];
	if (slot == TABLE_NONE)
		return;
	nat_port_prepare(n, w, (uint16_t)slot, &w->request);
	w->request.host = h;
	w->ordinal = (uint32_t)ordinal;
	w->has_request = true;
	table_port_prefetch(n->table, &w->request, w->random);
}

static enum nat_reason take_port(struct nat *n, struct work *w, const struct host *h, struct decision *d)
{
	struct port_set set = {n, w, (enum nat_class)w->v.proto_class, table_address(n->table, d->spec.ext)};
	struct port_request rq;
	bool recycled = false;
	enum nat_reason why;

	nat_port_request(n, w, h, d->spec.ext, &rq);
	rq.usable = port_may_be_taken;
	rq.is_shut = n->forwarded_ports > 0 ? nat_block_is_shut : NULL;
	rq.ctx = &set;
	why = table_port_allot(n->table, &rq, draw(n, w), n->now_s, &d->spec.ext_port, &recycled);
	n->counters[COUNT_PORT_RECYCLED] += recycled;
	return why;
}

/* The port guard may refuse every port of an address: then the decision moves to the next address. */
static enum nat_reason take_endpoint(struct nat *n, struct work *w, const struct host *h, struct decision *d)
{
	enum nat_reason why = NAT_PASS;

	while (d->basis == BASIS_DRAW && (why = take_port(n, w, h, d)) != NAT_PASS) {
		nat_decide_again(n, w, why, d);
		if (d->action == DECIDED_DROP)
			return (enum nat_reason)d->reason;
	}
	return why;
}

static void charge_rule(struct nat *n, const struct work *w, const struct decision *d)
{
	admission_charge(&n->admission, d->rule, &d->asked, w->v.sport, w->v.len, n->id_key, n->now_ms);
}

/* Apart from origin_of(): most openings need no names, and zeroing so many bytes costs more than the rest of it. */
static __attribute__((noinline)) uint32_t intern_origin(struct nat *n, const struct decision *d)
{
	struct session_origin o = {0};

	_Static_assert(sizeof(o.rule) == sizeof(((struct filter_rule *)0)->name), "names of rules fit");
	_Static_assert(sizeof(o.forward) == sizeof(((struct nat_forward *)0)->name), "names of forwards fit");
	_Static_assert(sizeof(o.pair) == sizeof(((struct nat_address_range *)0)->pair), "names of pairs fit");
	if (d->rule != FILTER_NONE)
		memcpy(o.rule, filter_rule(n->admission.filter, (uint32_t)d->rule)->name, sizeof(o.rule));
	if (d->forward >= 0)
		memcpy(o.forward, n->policy->forwards[d->forward].name, sizeof(o.forward));
	if (d->basis == BASIS_STATIC)
		memcpy(o.pair, rules_static_name(n->rules, table_address(n->table, d->spec.ext)), sizeof(o.pair));
	if (d->backend >= 0) {
		o.backend = n->policy->forwards[d->forward].backends[d->backend].address;
		o.backend_port = n->policy->forwards[d->forward].backends[d->backend].port;
	}
	return table_origin_intern(n->table, &o);
}

/* Held until the session has it: for table_origin_release(). 0 if neither a rule nor a choice of backends decided:
 * its forward, or its static pair, is found by its endpoint. */
static uint32_t origin_of(struct nat *n, const struct decision *d)
{
	return d->rule == FILTER_NONE && d->backend < 0 ? 0 : intern_origin(n, d);
}

static void remember_backend(struct nat *n, const struct work *w, const struct decision *d)
{
	struct backend_query q;

	if (d->backend < 0)
		return;
	q = nat_backend_query(n, w, (uint32_t)d->forward);
	backends_chosen(&n->backends, &q, (uint32_t)d->backend);
}

static struct session *open_session(struct nat *n, struct work *w, struct decision *d, enum nat_reason *why)
{
	struct host *h = table_host(n->table, d->spec.int_addr, true);
	struct session *s;

	*why = h == NULL ? DROP_TABLE : take_endpoint(n, w, h, d);
	if (*why != NAT_PASS)
		return NULL;
	d->spec.origin = origin_of(n, d);
	s = table_session_open(n->table, &d->spec, n->now_s, why);
	table_origin_release(n->table, d->spec.origin);
	if (s == NULL) {
		if (d->basis == BASIS_DRAW)
			table_port_release(n->table, (enum nat_class)d->spec.proto_class, d->spec.ext,
					   d->spec.ext_port);
		return NULL;
	}
	charge_rule(n, w, d);
	remember_backend(n, w, d);
	nat_rate_take(n, h, (enum nat_dir)w->dir);
	if (w->v.proto_class == CLASS_ICMP)
		s->end[DIR_IN] = w->v.icmp_type; /* otherwise unused; a reload needs it to check the opening again */
	if (w->v.kind == PKT_TCP) {
		tcp_open(s, (enum nat_dir)w->dir, &w->v);
		/* RFC 5382 REQ-4: whichever side's SYN was let through, a held one is not answered any more */
		nat_hold_cancel(n, s);
	}
	return s;
}

static struct session *commit(struct nat *n, struct work *w, struct decision *d, enum nat_reason *why)
{
	*why = NAT_PASS;
	w->to_host = d->action == DECIDED_HOST || nat_host_listens(n, w, d);
	if (w->to_host)
		return NULL;
	if (d->action == DECIDED_OPEN)
		return open_session(n, w, d, why);
	*why = (enum nat_reason)d->reason;
	if (d->stage == STAGE_RULE)
		charge_rule(n, w, d);
	if (*why == DROP_RULE_REJECT)
		w->reply = (struct reply){
			.type = ICMP_UNREACH, .code = ICMP_UNREACH_ADMIN, .is_reset = w->v.kind == PKT_TCP};
	if (*why == DROP_BACKENDS_DOWN)
		w->reply = (struct reply){
			.type = ICMP_UNREACH, .code = ICMP_UNREACH_PORT, .is_reset = w->v.kind == PKT_TCP};
	if (d->is_held)
		nat_hold_add(n, w);
	if (d->is_answered)
		w->reply = (struct reply){.type = ICMP_UNREACH, .code = ICMP_UNREACH_PORT};
	return NULL;
}

bool nat_host_listens(const struct nat *n, const struct work *w, const struct decision *d)
{
	return d->asks_host && n->port_in_use(n->port_ctx, (enum nat_class)w->v.proto_class, w->v.dst, w->v.dport);
}

/* Expired entries must not matter: before a refusal for lack of room they are removed, once. */
struct session *nat_open(struct nat *n, struct work *w, enum nat_reason *why)
{
	struct decision d;
	struct session *s;

	if (w->dir == DIR_OUT && !w->has_request)
		nat_find_share(n, w);
	if (w->dir == DIR_OUT && n->judging.runs)
		nat_judge_mapping(n, w);
	if (w->dir == DIR_OUT ? n->policy->pooling == POOLING_ARBITRARY : n->backends.draws)
		draw(n, w);
	nat_decide(n, w, true, &d);
	if (d.action == DECIDED_SWEEP) {
		nat_make_room(n);
		nat_decide(n, w, false, &d);
		return commit(n, w, &d, why);
	}
	s = commit(n, w, &d, why);
	if (s != NULL || d.action != DECIDED_OPEN || !nat_is_about_room(*why) || !nat_make_room(n))
		return s;
	nat_decide(n, w, false, &d);
	return commit(n, w, &d, why);
}
