/* SPDX-License-Identifier: ISC */
/*
 * The mirror, see mirror.h.
 *
 * Theory of operation. A slot is free, live (published in the index, with both keys), or resting (taken out, but the
 * forwarder may still be using it). A session keeps its slot while that rests, and what the forwarder writes there late
 * is still taken over: natd knows of a packet that the forwarder has sent before anything that the packet causes can
 * arrive. Meanwhile the session may be shown again in the same slot. After a slot has rested for FLOW_REST_S or more,
 * it is free. A session that ends leaves its slot at once; what the forwarder counts there afterwards goes only to the
 * totals.
 *
 * A session is shown at its 8th packet in natd; further attempts follow at each 8th. Later packets may be waiting then:
 * mirror_order.c. It is taken out when
 *  - it ends, or a packet in natd moves it out of ESTABLISHED (follow());
 *  - the forwarder has seen a SYN, FIN or RST of it, whether natd got that or not;
 *  - it has been idle for IDLE_S, or half its timeout: so no session expires while it is shown, and
 *    before that any reader of its time sees a value that is at most LAG_S old.
 * natd passes what it learns of a live session from its own packets to the forwarder (mirror_push()), so both use the
 * same numbers.
 *
 * Invariants: slot_of[session] = slot <=> owner[slot] is that session's; a live slot has an owner; free slots have
 * none. A slot that is neither live nor above `top` is in one list by `next`: the resting ones, or the free ones.
 */
#include <assert.h>
#include <stdlib.h>

#include "mirror_private.h"

enum {
	IDLE_S = 15,
	TIMEOUT_LEAST_S = 10, /* shorter sessions are not worth it */
	AGE_LEAST_S = 2,      /* of sessions without a handshake */
	PACKETS_LEAST = 8,    /* a power of two */
	PASS_MS = 900,
	LAG_S = 3,
};

/* ---- selecting sessions ---- */

static uint32_t idle_most(const struct nat *n, const struct session *s)
{
	uint32_t half = table_session_timeout(n->table, s) / 2;

	return half < IDLE_S ? half : IDLE_S;
}

static bool is_idle(const struct nat *n, const struct session *s)
{
	return (int32_t)(n->now_s - s->seen_s) >= (int32_t)idle_most(n, s);
}

/* May a session of which natd has just passed a packet be shown, or stay shown? */
static bool is_fit(const struct nat *n, const struct session *s)
{
	enum nat_class c = session_class(s);

	if (!(n->mirror->classes >> c & 1) || n->tap != NULL || n->judging.runs ||
	    session_state(s) != SESSION_ESTABLISHED)
		return false;
	if (s->packets[DIR_OUT] == 0 || s->packets[DIR_IN] == 0)
		return false;
	if (table_session_timeout(n->table, s) < TIMEOUT_LEAST_S || is_idle(n, s))
		return false;
	if (c == CLASS_TCP)
		return tcp_is_settled(s);
	return (int32_t)(n->now_s - table_session_created_s(n->table, s)) >= AGE_LEAST_S;
}

static void fill(const struct nat *n, const struct session *s, struct flow *f)
{
	bool is_icmp = session_class(s) == CLASS_ICMP;

	*f = (struct flow){
		.int_addr = s->int_addr,
		.rem_addr = s->rem_addr,
		.ext_addr = table_address(n->table, s->ext),
		.int_port = s->int_port,
		.rem_port = is_icmp ? 0 : s->rem_port,
		.ext_port = s->ext_port,
		.kind = (uint8_t)((unsigned)session_class(s) |
				  (s->kind & SESSION_KIND_FROM_OUTSIDE ? (unsigned)FLOW_FROM_OUTSIDE : 0)),
		.scale = s->scale,
		.end = {s->end[0], s->end[1]},
		.ack = {s->ack[0], s->ack[1]},
		.window = {tcp_window_unpack(s->window[0]), tcp_window_unpack(s->window[1])},
		.seen = s->seen_s,
	};
}

/* How a session is shown. */
struct showing {
	bool all_sent;
	uint16_t mtu[2];
};

static bool show(struct nat *n, const struct session *s, uint32_t session, const struct showing *how)
{
	struct mirror *m = n->mirror;
	uint32_t slot = mirror_slot_take(m);
	struct flow *f = &m->shared.flows[slot];

	if (slot == 0)
		return false;
	fill(n, s, f);
	mirror_begin_joining(s, f, how->all_sent);
	if (!mirror_kind_with(m, f->kind, how->mtu, &f->kind) || !mirror_publish(m, slot)) {
		mirror_unpublish(m, slot);
		mirror_slot_free(m, slot);
		return false;
	}
	m->owner[slot] = session + 1;
	m->slot_of[session] = (uint16_t)slot;
	mirror_slot_begin_life(m, slot);
	return true;
}

/* May its resting slot show it unchanged? Not if it had the numbers of another connection: they only rise. */
static bool is_same_connection(const struct session *s, const struct flow *f)
{
	return session_class(s) != CLASS_TCP ||
	       (f->scale == s->scale && f->end[0] == s->end[0] && f->end[1] == s->end[1] && f->ack[0] == s->ack[0] &&
		f->ack[1] == s->ack[1]);
}

/* In the slot that it had, which has its addresses. */
static bool show_again(struct nat *n, struct session *s, uint32_t slot, const struct showing *how)
{
	struct mirror *m = n->mirror;
	struct flow *f = &m->shared.flows[slot];
	uint8_t kind;

	mirror_pull(n, s, f);
	mirror_push(s, f);
	if (!is_same_connection(s, f))
		return true;
	if (!mirror_kind_with(m, f->kind, how->mtu, &kind))
		return false;
	mirror_begin_joining(s, f, how->all_sent);
	__atomic_store_n(&f->kind, kind, __ATOMIC_RELAXED);
	__atomic_store_n(&f->from, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&f->seen, s->seen_s, __ATOMIC_RELAXED);
	if (!mirror_publish(m, slot)) {
		mirror_unpublish(m, slot);
		return false;
	}
	mirror_slot_begin_life(m, slot);
	return true;
}

/* If there is no room, a later packet tries again. */
static void wait_to_show(struct nat *n, const struct session *s)
{
	struct mirror *m = n->mirror;

	if (m->waiting.n < WAITING_MOST)
		m->waiting.id[m->waiting.n++] = table_session_id(n->table, s);
}

/* False: there is no room for it. */
static bool show_one(struct nat *n, struct session *s, bool all_sent, nat_mirror_mtu_fn *ask, void *ctx)
{
	struct mirror *m = n->mirror;
	uint32_t session = table_session_index(n->table, s), slot = m->slot_of[session];
	const struct mirror_ends ends = mirror_ends_of(n, s);
	struct showing how = {.all_sent = all_sent};

	if (slot != 0 && mirror_slot_is_live(m, slot))
		return true;
	if (ask != NULL && !ask(ctx, &ends, how.mtu))
		return true;
	return slot == 0 ? show(n, s, session, &how) : show_again(n, s, slot, &how);
}

void nat_mirror_show(struct nat *n, bool all_sent, nat_mirror_mtu_fn *ask, void *ctx)
{
	struct mirror *m = n->mirror;

	for (uint32_t i = 0; m != NULL && i < m->waiting.n; i++) {
		struct session *s = table_session_by_id(n->table, m->waiting.id[i]);

		if (s != NULL && is_fit(n, s) && !show_one(n, s, all_sent, ask, ctx))
			m->counts.full++;
	}
	if (m != NULL)
		m->waiting.n = 0;
}

/* ---- packets in natd ---- */

void mirror_take_over(struct nat *n, struct session *s)
{
	struct mirror *m = n->mirror;
	uint32_t slot = m->slot_of[table_session_index(n->table, s)];

	if (slot == 0)
		return;
	if (flow_state_of(&m->shared.flows[slot]) == FLOW_STOPPED) {
		m->counts.stopped++;
		mirror_slot_take_out(n, slot);
	}
	mirror_pull(n, s, &m->shared.flows[slot]);
}

void mirror_follow(struct nat *n, struct session *s, const struct work *w, uint32_t packets)
{
	struct mirror *m = n->mirror;
	uint32_t session = table_session_index(n->table, s), slot = m->slot_of[session];
	uint32_t sum = s->packets[DIR_OUT] + s->packets[DIR_IN];

	if (slot != 0 && mirror_slot_is_live(m, slot)) {
		if (!is_fit(n, s)) {
			mirror_slot_take_out(n, slot);
			return;
		}
		mirror_push(s, &m->shared.flows[slot]);
		mirror_note_sending(n, slot, w);
	} else if (!w->hairpin && sum / PACKETS_LEAST != (sum - packets) / PACKETS_LEAST && is_fit(n, s)) {
		wait_to_show(n, s);
	}
}

void mirror_withdraw(struct nat *n, struct session *s)
{
	struct mirror *m = n->mirror;
	uint32_t slot = m->slot_of[table_session_index(n->table, s)];

	if (slot == 0)
		return;
	if (mirror_slot_is_live(m, slot))
		mirror_slot_take_out(n, slot);
	mirror_pull(n, s, &m->shared.flows[slot]);
}

static void on_end(void *ctx, struct session *s)
{
	struct nat *n = ctx;
	uint32_t slot = n->mirror->slot_of[table_session_index(n->table, s)];

	mirror_withdraw(n, s);
	if (slot != 0)
		mirror_slot_disown(n->mirror, slot);
}

bool mirror_shows(const struct nat *n, const struct session *s)
{
	uint32_t slot = n->mirror->slot_of[table_session_index(n->table, s)];

	return slot != 0 && mirror_slot_is_live(n->mirror, slot);
}

/* ---- time ---- */

static void visit(struct nat *n, uint32_t slot)
{
	struct mirror *m = n->mirror;
	struct flow *f = &m->shared.flows[slot];
	struct session *s = mirror_slot_owner(n, slot);

	if (s == NULL)
		return;
	mirror_pull(n, s, f);
	if (!mirror_slot_is_live(m, slot))
		return;
	if (flow_state_of(f) == FLOW_STOPPED) {
		m->counts.stopped++;
		mirror_slot_take_out(n, slot);
	} else if (is_idle(n, s)) {
		m->counts.idle++;
		mirror_slot_take_out(n, slot);
	} else {
		flow_age(f);
	}
}

/* One step of the pass over all slots. True: there is more to do. */
static bool step_pass(struct nat *n)
{
	struct mirror *m = n->mirror;
	uint32_t end;

	if (m->pass.at == 0 && n->now_ms - m->pass.begun_ms >= PASS_MS) {
		m->pass.begun_ms = n->now_ms;
		m->pass.begun_s = n->now_s;
		m->pass.at = 1;
	}
	if (m->pass.at == 0)
		return false;
	end = m->pass.at + MIRROR_STEP < m->top ? m->pass.at + MIRROR_STEP : m->top;
	for (; m->pass.at < end; m->pass.at++)
		visit(n, m->pass.at);
	if (m->pass.at < m->top)
		return true;
	m->pass.at = 0;
	m->pass.pulled_s = m->pass.begun_s;
	return false;
}

bool mirror_step(struct nat *n)
{
	if (mirror_slots_end_rests(n))
		return true;
	return step_pass(n);
}

static void pull_all(struct nat *n)
{
	struct mirror *m = n->mirror;

	for (uint32_t slot = 1; slot < m->top; slot++) {
		if (m->owner[slot] != 0)
			mirror_pull(n, mirror_slot_owner(n, slot), &m->shared.flows[slot]);
	}
}

/* After a pause of the whole process, sessions that the forwarder has carried all the time must not seem idle. */
void mirror_catch_up(struct nat *n)
{
	if ((int32_t)(n->now_s - n->mirror->pass.pulled_s) <= LAG_S)
		return;
	pull_all(n);
	n->mirror->pass.pulled_s = n->now_s;
}

void nat_mirror_pull(struct nat *n)
{
	if (n->mirror != NULL)
		pull_all(n);
}

void nat_mirror_forget_ways(struct nat *n)
{
	for (uint32_t slot = 1; n->mirror != NULL && slot < n->mirror->top; slot++)
		__atomic_store_n(&n->mirror->shared.flows[slot].from, 0, __ATOMIC_RELAXED);
}

/* Does mirror_slot_take_out() for all slots, but empties the index as a whole: ten times as fast. */
void mirror_withdraw_all(struct nat *n)
{
	struct mirror *m = n->mirror;

	if (m->counts.flows == 0)
		return;
	for (uint32_t slot = 1; slot < m->top; slot++) {
		if (!mirror_slot_is_live(m, slot))
			continue;
		__atomic_store_n(&m->shared.flows[slot].state, (uint32_t)FLOW_OUT, __ATOMIC_RELEASE);
		mirror_slot_begin_rest(m, slot);
	}
	for (uint32_t i = 0; i < FLOW_BUCKETS; i++) {
		for (unsigned way = 0; way < FLOW_WAYS; way++)
			__atomic_store_n(&m->shared.buckets[i].entry[way], 0, __ATOMIC_RELAXED);
	}
}

/* ---- create and destroy ---- */

static void destroy(struct mirror *m)
{
	free(m->slot_of);
	free(m->owner);
	free(m->next);
	free(m);
}

bool nat_mirror_begin(struct nat *n, const struct flow_memory *shared, uint32_t classes)
{
	struct mirror *m = calloc(1, sizeof(*m));

	assert(n->mirror == NULL && !(classes >> CLASS_OTHER));
	if (m == NULL)
		return false;
	m->shared = *shared;
	m->classes = classes;
	m->top = 1;
	m->pass.pulled_s = n->now_s;
	m->shared.flows[0].seen = FLOW_LAYOUT;
	m->slot_of = calloc(n->memory.max_sessions, sizeof(*m->slot_of));
	m->owner = calloc(FLOW_SLOTS, sizeof(*m->owner));
	m->next = calloc(FLOW_SLOTS, sizeof(*m->next));
	m->rest.turned_s = n->now_s;
	if (m->slot_of == NULL || m->owner == NULL || m->next == NULL) {
		destroy(m);
		return false;
	}
	n->mirror = m;
	table_watch_ends(n->table, on_end, n);
	return true;
}

void nat_mirror_end(struct nat *n, bool goes_on)
{
	struct mirror *m = n->mirror;

	if (m == NULL)
		return;
	if (!goes_on)
		mirror_withdraw_all(n);
	pull_all(n);
	table_watch_ends(n->table, NULL, NULL);
	n->mirror = NULL;
	destroy(m);
}

bool nat_mirror_is_on(const struct nat *n)
{
	return n->mirror != NULL;
}

void nat_mirror_counts(const struct nat *n, struct nat_mirror_counts *c)
{
	*c = n->mirror != NULL ? n->mirror->counts : (struct nat_mirror_counts){0};
}

/* ---- flows of another natd ---- */

static struct session *session_of(struct nat *n, const struct flow *f)
{
	int32_t slot = table_address_slot(n->table, f->ext_addr);
	const struct session_key k = {
		.local = (uint32_t)slot,
		.local_port = f->ext_port,
		.remote = f->rem_addr,
		.remote_port = f->rem_port,
		.proto_class = f->kind & FLOW_CLASS,
		.dir = DIR_IN,
	};
	struct session *s = slot == TABLE_NONE ? NULL : table_find(n->table, &k, table_hash(n->table, &k), n->now_s);

	return s != NULL && s->int_addr == f->int_addr && s->int_port == f->int_port ? s : NULL;
}

void nat_mirror_adopt(struct nat *n, struct flow *flows)
{
	for (uint32_t slot = 1; slot < FLOW_SLOTS; slot++) {
		struct flow *f = &flows[slot];

		if (f->seen == 0 || (f->kind & FLOW_CLASS) == CLASS_OTHER)
			continue;
		mirror_pull(n, flow_state_of(f) == FLOW_OUT ? NULL : session_of(n, f), f);
	}
}
