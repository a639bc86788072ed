/* SPDX-License-Identifier: ISC */
/*
 * The façade: the batch, classification and sending. nat_private.h explains how the parts fit together; create.c
 * creates and destroys it.
 */
#include <string.h>

#include "nat_private.h"

/* ---- classification ---- */

static bool is_martian_source(uint32_t a)
{
	return a >> 24 == 0 || a >> 24 == 127 || a >= 0xe0000000u;
}

/* RFC 1812 5.3.7 and 5.3.5: addresses that no router forwards, in either direction. */
static enum nat_reason check_addresses(const struct nat *n, const struct pkt_view *v)
{
	if (is_martian_source(v->src) || rules_is_broadcast(n->rules, v->src))
		return DROP_MARTIAN_SOURCE;
	if (v->dst == 0xffffffffu || rules_is_broadcast(n->rules, v->dst))
		return DROP_BROADCAST;
	if (v->dst >> 28 == 0xe)
		return DROP_MULTICAST;
	if (is_martian_source(v->dst))
		return DROP_MARTIAN_DESTINATION;
	if (v->src == v->dst)
		return DROP_LAND;
	return NAT_PASS;
}

static inline int32_t external_ordinal(const struct nat *n, uint32_t address)
{
	if (n->one_external)
		return address - n->external_first <= n->external_span ? (int32_t)(address - n->external_first) : -1;
	return rules_address_find(n->rules, address);
}

static inline bool is_inside(const struct nat *n, uint32_t address)
{
	if (n->one_inside)
		return (address & n->inside_mask) == n->inside_first;
	return rules_is_inside(n->rules, address);
}

enum { LINK_LOCAL = 0xa9fe }; /* 169.254.0.0/16, RFC 3927 */

static enum nat_reason check_to_elsewhere(const struct nat *n, const struct work *w)
{
	if (is_inside(n, w->v.dst))
		return DROP_INSIDE_DESTINATION;
	if (!is_inside(n, w->v.src))
		return DROP_INSIDE_SOURCE;
	if (w->v.dst >> 16 == LINK_LOCAL && !n->policy->link_local)
		return DROP_MARTIAN_DESTINATION;
	return rules_is_exempt(n->rules, w->v.dst) ? DROP_EXEMPT : NAT_PASS;
}

/*
 * All checks of the addresses of a packet. A packet of a session needs none: its session's opener was checked, and a
 * reload checks every session again.
 */
enum nat_reason nat_check_addresses(const struct nat *n, const struct work *w)
{
	enum nat_reason why;

	/* the second half: it was checked before, and its source is natd's by now */
	if (w->hairpin && w->dir == DIR_IN)
		return NAT_PASS;
	why = check_addresses(n, &w->v);
	if (why == NAT_PASS && w->dir == DIR_OUT && !w->hairpin)
		why = check_to_elsewhere(n, w);
	return why;
}

/* The direction of a packet follows from its addresses alone, because the TUN does not tell its origin. `ordinal`:
 * of its destination, or -1. */
static inline enum nat_reason find_direction(const struct nat *n, struct work *w, int32_t ordinal)
{
	if (ordinal < 0)
		/* or of unknown origin: no session will be found, and nat_check_addresses() gives the reason */
		return NAT_PASS;
	if (is_inside(n, w->v.src)) {
		w->hairpin = true;
		return NAT_PASS;
	}
	w->dir = DIR_IN;
	w->from_inside = false;
	if (external_ordinal(n, w->v.src) < 0)
		return NAT_PASS;
	/* Checked here, not only for packets without a session: a hairpinned session's remote is one of natd's
	 * addresses. */
	return w->v.src == w->v.dst ? DROP_LAND : DROP_SPOOFED_EXTERNAL;
}

static inline int32_t slot_of(const struct nat *n, int32_t ordinal)
{
	return ordinal < 0 ? TABLE_NONE : n->slots[ordinal];
}

int32_t nat_external_slot(const struct nat *n, uint32_t address)
{
	return slot_of(n, external_ordinal(n, address));
}

/* The key of the pass in w->dir. The remote side of queries and of other protocols has no port. `ordinal`: of the
 * destination, which matters for an inbound pass. */
static inline void make_key(const struct nat *n, struct work *w, int32_t ordinal)
{
	const struct pkt_view *v = &w->v;
	bool has_ports = v->proto_class == CLASS_TCP || v->proto_class == CLASS_UDP;
	struct session_key *k = &w->probe.key;

	k->dir = w->dir;
	k->proto_class = v->proto_class;
	if (w->dir == DIR_OUT) {
		k->local = v->src;
		k->local_port = v->sport;
		k->remote = v->dst;
		k->remote_port = has_ports ? v->dport : 0;
	} else {
		k->local = (uint32_t)slot_of(n, ordinal);
		k->local_port = v->dport;
		k->remote = v->src;
		k->remote_port = has_ports ? v->sport : 0;
	}
}

/* ---- one packet ---- */

/* True: it has a key to look up. */
static inline bool parse_and_key(struct nat *n, struct work *w, struct nat_packet *p)
{
	int32_t ordinal;

	w->p = p;
	w->session = NULL;
	w->mtu = 0;
	w->dir = DIR_OUT;
	w->has_key = false;
	w->random = 0;
	w->has_request = false;
	w->reply.type = 0;
	w->pending = NULL;
	w->hairpin = false;
	w->to_host = false;
	w->from_inside = true;
	w->reason = (uint8_t)packet_parse(p->data, p->len, p->csum_partial, &w->v);
	if (w->reason != NAT_PASS)
		return false;
	ordinal = external_ordinal(n, w->v.dst);
	w->reason = (uint8_t)find_direction(n, w, ordinal);
	w->has_key = w->reason == NAT_PASS && w->v.kind <= PKT_OTHER;
	if (w->has_key)
		make_key(n, w, ordinal);
	return w->has_key;
}

bool nat_prepare(struct nat *n, struct work *w, struct nat_packet *p)
{
	return parse_and_key(n, w, p);
}

bool nat_is_hosts_own(const struct work *w, enum nat_reason why)
{
	return w->p->source == NAT_FROM_ICMP &&
	       (why == DROP_ICMP_NO_SESSION || why == DROP_UNSOLICITED || why == DROP_FILTERED || w->to_host);
}

void nat_drop(struct nat *n, struct work *w, enum nat_reason why)
{
	w->p->to = NAT_NOWHERE;
	w->p->reason = (uint8_t)why;
	w->p->mtu = 0;
	if (!nat_is_hosts_own(w, why))
		n->counters[why]++;
}

/* ---- sending ---- */

static inline void count_sent(struct nat *n, const struct work *w, enum nat_to to)
{
	if (to == NAT_TO_HOST) {
		n->counters[COUNT_TO_HOST]++;
		return;
	}
	n->counters[to == NAT_TO_OUTSIDE ? COUNT_OUT_PACKETS : COUNT_IN_PACKETS]++;
	n->counters[to == NAT_TO_OUTSIDE ? COUNT_OUT_BYTES : COUNT_IN_BYTES] += w->v.len;
	if (w->hairpin)
		n->counters[COUNT_HAIRPIN]++;
}

struct pieces {
	struct nat *n;
	struct nat_packet piece;
};

static void emit_piece(void *ctx, uint8_t *data, size_t len)
{
	struct pieces *c = ctx;

	c->piece.data = data;
	c->piece.len = (uint32_t)len;
	c->n->emit(c->n->emit_ctx, &c->piece, true);
}

/* RFC 791 and RFC 4787 REQ-13a: a packet that is too large and may be fragmented is cut, first piece first. */
static __attribute__((noinline)) void cut_and_emit(struct nat *n, struct work *w)
{
	struct pieces c = {.n = n, .piece = *w->p};

	c.piece.gso_size = 0;
	c.piece.csum_partial = false;
	n->counters[COUNT_FRAGMENTED]++;
	fragment_cut(&w->v, w->mtu, emit_piece, &c);
}

static inline void send(struct nat *n, struct work *w, enum nat_to to)
{
	struct nat_packet *p = w->p;

	if (to == NAT_TO_HOST && p->source == NAT_FROM_ICMP) {
		nat_drop(n, w, DROP_UNSOLICITED); /* the host has it already; not counted */
		return;
	}
	p->to = (uint8_t)to;
	p->reason = NAT_PASS;
	p->len = w->v.len;
	p->mtu = w->mtu;
	count_sent(n, w, to);
	if (w->mtu != 0 && w->v.len > w->mtu && p->gso_size == 0 && to != NAT_TO_HOST && !p->csum_partial)
		cut_and_emit(n, w);
	else
		/* a released fragment's buffer is the next one's, too */
		n->emit(n->emit_ctx, p, p->data == n->scratch);
}

void nat_send(struct nat *n, struct work *w, enum nat_to to)
{
	send(n, w, to);
}

/* ---- passes and verdicts ---- */

/* Prepares the second pass of a hairpinned packet, whose key is known only after the first. */
void nat_turn_round(const struct nat *n, struct work *w)
{
	w->dir = DIR_IN;
	make_key(n, w, external_ordinal(n, w->v.dst));
}

/*
 * The second half of a hairpinned opening was refused: is that policy's final word? Then the session of the first half
 * is useless. After other refusals it stays: as towards any remote host, it lets the other side's packets in.
 */
static bool is_final(enum nat_reason why, enum session_end *end)
{
	*end = why == DROP_BACKENDS_DOWN ? SESSION_END_BACKEND_DOWN : SESSION_END_FILTERED;
	return why == DROP_BACKENDS_DOWN || why == DROP_RULE || why == DROP_RULE_REJECT || why == DROP_FORWARD_SOURCE;
}

/* RFC 4787 REQ-9. */
static __attribute__((noinline)) enum nat_reason hairpin_passes(struct nat *n, struct work *w)
{
	uint64_t opened = n->counters[COUNT_SESSION_NEW];
	struct table_probe *p = &w->probe;
	struct session *first;
	enum session_end end;
	enum nat_reason why;

	w->origin = (struct origin){w->v.src, w->v.dst, w->v.sport, w->v.dport, w->v.id};
	why = nat_pass(n, w);
	if (why != NAT_PASS || w->to_host)
		return why;
	first = n->counters[COUNT_SESSION_NEW] != opened ? w->session : NULL;
	nat_turn_round(n, w);
	table_probe(n->table, &p, 1);
	why = nat_pass(n, w);
	if (w->to_host) { /* a port of natd's when the session began, now the host's own */
		nat_restore(w);
		w->session = NULL;
	} else if (first != NULL && is_final(why, &end)) {
		nat_session_delete(n, first, end, n->now_ms);
		w->session = NULL;
	}
	return why;
}

/* Emits what passed. Drops and answers what did not: ICMP errors about translated packets are sent from here alone. */
static inline void emit_or_refuse(struct nat *n, struct work *w, enum nat_reason why)
{
	if (why == NAT_PASS) {
		send(n, w, nat_destination(n, w));
		return;
	}
	nat_drop(n, w, why);
	if (w->reply.type != 0 && w->reply.is_reset)
		nat_answer_reset(n, w);
	else if (w->reply.type != 0)
		nat_answer(n, w, w->reply.type, w->reply.code, w->reply.mtu);
	else
		nat_answer_refused(n, w, why);
}

static void translate_first_fragment(struct nat *n, struct work *w)
{
	struct pkt_view came = w->v;
	enum nat_reason why;
	uint16_t digest;

	if (!nat_fragment_admit(n, w, &digest))
		return;
	why = w->hairpin ? hairpin_passes(n, w) : nat_pass(n, w);
	nat_fragment_first(n, w, &came, digest, why == NAT_PASS ? nat_destination(n, w) : NAT_NOWHERE);
	emit_or_refuse(n, w, why);
	nat_fragment_release(n, w, &came);
}

/* A packet without a key of its own is checked by its addresses at once. */
static void translate_keyless(struct nat *n, struct work *w)
{
	enum nat_reason why = nat_check_addresses(n, w);

	if (why != NAT_PASS)
		nat_drop(n, w, why);
	else if (w->v.frag == FRAG_LATER)
		nat_fragment_later(n, w);
	else if (w->v.kind == PKT_ICMP_ERROR)
		nat_icmp_error(n, w);
	else
		nat_drop(n, w, DROP_ICMP_TYPE);
}

/* Inlined: a call costs twenty instructions a packet. */
static inline __attribute__((always_inline)) void translate(struct nat *n, struct work *w)
{
	if (w->reason != NAT_PASS)
		nat_drop(n, w, (enum nat_reason)w->reason);
	else if (!w->has_key)
		translate_keyless(n, w);
	else if (w->v.frag == FRAG_FIRST)
		translate_first_fragment(n, w);
	else
		emit_or_refuse(n, w, w->hairpin ? hairpin_passes(n, w) : nat_pass(n, w));
}

/* ---- the batch ---- */

/* Packets without a session will usually open one. */
static void prefetch_openings(struct nat *n, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (n->work[i].has_key && n->work[i].probe.likely == NULL)
			nat_open_prefetch(n, &n->work[i]);
	}
}

static void translate_each(struct nat *n, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++)
		translate(n, &n->work[i]);
}

static __attribute__((noinline)) void translate_tapped(struct nat *n, uint32_t count)
{
	nat_tap_emissions(n);
	for (uint32_t i = 0; i < count; i++) {
		nat_tap_came(n, &n->work[i]);
		translate_each(n, i, 1);
		nat_tap_done(n);
	}
}

void nat_batch(struct nat *n, uint64_t now_ms, struct nat_packet *p, uint32_t count, nat_emit *emit, void *ctx)
{
	uint32_t keys = 0;

	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	table_set_clock(n->table, n->now_s);
	n->emit = emit;
	n->emit_ctx = ctx;
	table_tell_time(n->table, n->now_s);
	if (n->mirror != NULL)
		mirror_catch_up(n);
	for (uint32_t i = 0; i < count; i++) {
		n->probes[keys] = &n->work[i].probe;
		keys += parse_and_key(n, &n->work[i], &p[i]);
	}
	if (table_probe(n->table, n->probes, keys) > 0 && keys > 1)
		prefetch_openings(n, count);
	if (n->tap == NULL)
		translate_each(n, 0, count);
	else
		translate_tapped(n, count);
}

/* ---- access for the daemon ---- */

const uint64_t *nat_counters(const struct nat *n)
{
	return n->counters;
}

struct table *nat_table(struct nat *n)
{
	return n->table;
}

const struct nat_policy *nat_policy_get(const struct nat *n)
{
	return n->policy;
}

void nat_session_delete(struct nat *n, struct session *s, enum session_end why, uint64_t now_ms)
{
	n->events->now_ms = now_ms;
	table_session_close(n->table, s, why, (uint32_t)(now_ms / 1000));
}

void nat_set_port_guard(struct nat *n, bool (*in_use)(void *ctx, enum nat_class c, uint32_t address, uint16_t port),
			void *ctx)
{
	n->port_in_use = in_use;
	n->port_ctx = ctx;
}

struct events *nat_events(struct nat *n)
{
	return n->events;
}

const char *nat_check(const struct nat *n)
{
	const char *wrong = table_check(n->table);

	return wrong != NULL ? wrong : fragment_check(n->fragments);
}
