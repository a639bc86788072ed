/* SPDX-License-Identifier: ISC */
/* The packet path without its effects. See explain.h. */
#include "explain.h"

#include <string.h>

#include "nat_private.h"

static void see_session(const struct nat *n, const struct session *s, struct explain_pass *x)
{
	x->inside = s->int_addr;
	x->inside_port = s->int_port;
	x->outside = table_address(n->table, s->ext);
	x->outside_port = s->ext_port;
	x->remote = s->rem_addr;
	x->remote_port = s->rem_port;
}

static void see_decision(const struct nat *n, struct explain_pass *x)
{
	const struct session_spec *spec = &x->decision.spec;
	const struct host *h = spec->int_addr == 0 ? NULL : table_host_find(n->table, spec->int_addr);
	uint32_t hosts = table_host_count(n->table) + (h == NULL);

	x->inside = spec->int_addr;
	x->inside_port = spec->int_port;
	x->remote = spec->rem_addr;
	x->remote_port = spec->rem_port;
	if (x->decision.basis != BASIS_NONE && x->decision.action == DECIDED_OPEN) {
		x->outside = table_address(n->table, spec->ext);
		x->outside_port = spec->ext_port;
	}
	x->sessions = table_session_count(n->table);
	x->reserve = nat_reserve(n, n->policy->limits.sessions, hosts);
	if (h == NULL)
		return;
	x->host_sessions = x->dir == DIR_IN ? h->incoming : h->sessions - h->incoming;
	x->host_ports = h->ports;
}

/* Applies the session's state machine to a copy. */
static enum nat_reason track_copy(const struct session *s, const struct work *w)
{
	bool by_opener = ((s->kind & SESSION_KIND_FROM_OUTSIDE) != 0) == (w->dir == DIR_IN);
	struct session copy = *s;
	struct tcp_result r;

	if (w->v.kind != PKT_TCP)
		return w->v.proto_class == CLASS_ICMP ? nat_check_icmp_kind(w, by_opener) : NAT_PASS;
	r = tcp_track(&copy, (enum nat_dir)w->dir, &w->v);
	return r.effects & TCP_TRANSLATE ? NAT_PASS : r.reason;
}

static enum nat_reason pass_known(struct nat *n, struct work *w, const struct session *s, struct explain_pass *x)
{
	enum nat_reason why = w->dir == DIR_IN ? nat_check_inbound_size(n, w, s->int_addr) : NAT_PASS;

	x->end = why == NAT_PASS ? EXPLAIN_SESSION : EXPLAIN_SIZE;
	see_session(n, s, x);
	return why == NAT_PASS ? track_copy(s, w) : why;
}

/* An expired session of the same inside endpoint and remote is replaced by the new one, and perhaps its mapping too. */
static bool has_expired_twin(const struct nat *n, const struct decision *d)
{
	const struct session_key k = {
		.local = d->spec.int_addr,
		.remote = d->spec.rem_addr,
		.local_port = d->spec.int_port,
		.remote_port = d->spec.rem_port,
		.proto_class = d->spec.proto_class,
		.dir = DIR_OUT,
	};

	return d->action == DECIDED_OPEN && d->spec.from_outside && table_has_expired(n->table, &k, n->now_s);
}

static enum nat_reason pass_new(struct nat *n, struct work *w, struct explain_pass *x)
{
	struct decision *d = &x->decision;

	x->end = EXPLAIN_DECISION;
	nat_decide(n, w, true, d);
	if (d->action == DECIDED_SWEEP || has_expired_twin(n, d)) {
		nat_make_room(n);
		nat_decide(n, w, false, d);
	}
	see_decision(n, x);
	x->to_host = d->action == DECIDED_HOST || nat_host_listens(n, w, d);
	if (x->to_host)
		return NAT_PASS;
	if (d->action == DECIDED_DROP)
		return (enum nat_reason)d->reason;
	return w->dir == DIR_IN ? nat_check_inbound_size(n, w, d->spec.int_addr) : NAT_PASS;
}

/* The session that the packet's outbound pass would have opened; its state is 0 if none. */
static struct session as_opened(const struct work *w, const struct session_spec *spec)
{
	struct session s = {0};

	if (spec == NULL)
		return s;
	s.int_addr = spec->int_addr;
	s.int_port = spec->int_port;
	s.ext = spec->ext;
	s.ext_port = spec->ext_port;
	s.rem_addr = spec->rem_addr;
	s.rem_port = spec->rem_port;
	s.scale = 0xff;
	s.kind = (uint8_t)(spec->proto_class | spec->state << SESSION_KIND_STATE_SHIFT);
	if (w->v.kind == PKT_TCP)
		tcp_open(&s, DIR_OUT, &w->v);
	return s;
}

static bool is_key_of(const struct session_key *k, const struct session *s)
{
	return session_state(s) != SESSION_FREE && k->dir == DIR_IN && k->local == s->ext &&
	       k->local_port == s->ext_port && k->remote == s->rem_addr && k->remote_port == s->rem_port &&
	       k->proto_class == session_class(s);
}

static enum nat_reason pass(struct nat *n, struct work *w, struct explain_pass *x)
{
	const struct session opened = as_opened(w, w->pending);
	enum nat_reason why = nat_check_before(n, w);
	const struct session *s;

	x->dir = w->dir;
	x->end = EXPLAIN_SIZE;
	if (why != NAT_PASS)
		return why;
	s = table_seek(n->table, &w->probe.key, n->now_s);
	if (s != NULL && n->judging.runs && !nat_judge_allows(n, s))
		s = NULL;
	if (s != NULL && n->mirror != NULL)
		mirror_take_over(n, table_session_at(n->table, table_session_index(n->table, s)));
	if (s != NULL)
		x->session = table_session_id(n->table, s);
	else if (is_key_of(&w->probe.key, &opened))
		s = &opened;
	if (s != NULL)
		return pass_known(n, w, s, x);
	x->end = EXPLAIN_ADDRESSES;
	why = nat_check_addresses(n, w);
	return why == NAT_PASS ? pass_new(n, w, x) : why;
}

/* Turns the packet into the form that it has after its outbound pass, before the inbound one. */
static void go_round(const struct nat *n, struct work *w, const struct explain_pass *first)
{
	w->origin = (struct origin){w->v.src, w->v.dst, w->v.sport, w->v.dport, w->v.id};
	w->v.src = first->outside;
	w->v.sport = first->outside_port;
	if (w->v.proto_class == CLASS_ICMP)
		w->v.dport = w->v.sport;
	w->pending = first->session == 0 ? &first->decision.spec : NULL;
	nat_turn_round(n, w);
}

static enum nat_reason all_passes(struct nat *n, struct work *w, struct explanation *x)
{
	for (x->n_passes = 0; x->n_passes < 2;) {
		struct explain_pass *p = &x->pass[x->n_passes++];

		p->reason = (uint8_t)pass(n, w, p);
		w->to_host = p->to_host;
		if (p->reason != NAT_PASS || p->to_host || !w->hairpin || w->dir == DIR_IN)
			return (enum nat_reason)p->reason;
		go_round(n, w, p);
	}
	return NAT_PASS;
}

/* `draws`: the random numbers of the next packet, not consumed. */
static void explain_once(struct nat *n, struct prf draws, struct nat_packet *p, struct explanation *x)
{
	enum nat_reason why;
	struct work w;

	memset(x, 0, sizeof(*x));
	nat_prepare(n, &w, p);
	w.random = prf_next(&draws);
	nat_find_share(n, &w);
	x->is_hairpin = w.hairpin;
	if (w.reason == NAT_PASS && w.has_key && w.v.frag == FRAG_NONE) {
		why = all_passes(n, &w, x);
	} else {
		x->n_passes = 1;
		x->pass[0] = (struct explain_pass){.dir = w.dir, .end = EXPLAIN_PACKET};
		why = w.reason != NAT_PASS ? (enum nat_reason)w.reason : DROP_ICMP_TYPE;
		x->pass[0].reason = (uint8_t)why;
	}
	x->reason = (uint8_t)why;
	x->to = why == NAT_PASS ? (uint8_t)nat_destination(n, &w) : NAT_NOWHERE;
}

/* Making room in the second pass may have removed the mapping by which the first one was decided: then it starts
 * over. */
void nat_explain(struct nat *n, uint64_t now_ms, uint8_t *data, uint32_t len, struct explanation *x)
{
	enum { ROUNDS = 3 };
	struct nat_packet p = {.data = data, .len = len, .source = NAT_FROM_TUN};
	uint64_t sweeps;

	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	table_tell_time(n->table, n->now_s);
	for (int round = 0; round < ROUNDS; round++) {
		sweeps = n->counters[COUNT_EARLY_SWEEP];
		explain_once(n, n->prf, &p, x);
		if (x->n_passes < 2 || n->counters[COUNT_EARLY_SWEEP] == sweeps)
			break;
	}
}
