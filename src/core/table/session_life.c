/* SPDX-License-Identifier: ISC */
/*
 * The beginning and end of sessions, for every cause.
 *
 * A record is written whole, inserted into the indexes, and becomes valid when its state is stored last. When it ends
 * it is removed from every index, and withdrawn with one store. So a process killed at any instruction leaves records
 * that are valid or free.
 *
 * begun() and ended() count each one and record the event. An expired session ends when the sweep reaches it, when an
 * opening needs its place or its key, or when the same session is opened again, which then reuses its record.
 */
#include "table_private.h"

#include <assert.h>
#include <string.h>

enum session_end table_session_expiry(const struct session *s)
{
	enum session_state st = session_state(s);

	if (st == SESSION_RESET)
		return SESSION_END_RESET;
	return st >= SESSION_FIN_OUT && st <= SESSION_TIME_WAIT ? SESSION_END_CLOSED : SESSION_END_TIMEOUT;
}

/* Its handshake is complete. After an RST the state no longer shows that: then more than a SYN, its answer and the
 * RST were seen. */
static bool is_tcp_assured(const struct session *s, enum nat_dir opener)
{
	enum session_state st = session_state(s);
	bool both_heard = (s->scale & 15) != 15 && s->scale >> 4 != 15;

	if (st == SESSION_RESET)
		return both_heard && (s->packets[opener] > 2 || s->packets[!opener] > 1);
	return st >= SESSION_ESTABLISHED;
}

bool table_session_assured(const struct table *t, const struct session *s)
{
	enum { GRE = 47, SCTP = 132, STREAM_S = 2 };
	enum nat_dir opener = s->kind & SESSION_KIND_FROM_OUTSIDE ? DIR_IN : DIR_OUT;
	uint32_t sent = s->packets[opener], answers = s->packets[!opener];

	switch (session_class(s)) {
	case CLASS_TCP:
		return is_tcp_assured(s, opener);
	case CLASS_UDP:
		return answers > 0 && (answers > 1 || sent > s->end[0]) &&
		       s->seen_s - table_session_created_s(t, s) > STREAM_S;
	case CLASS_OTHER:
		return answers > (s->int_port == SCTP) && (s->int_port == GRE || s->int_port == SCTP);
	case CLASS_ICMP:
	case CLASS_COUNT:
		break;
	}
	return false;
}

/* ---- counting and recording ---- */

void session_record(struct table *t, uint32_t i, enum event_type type, uint8_t reason)
{
	struct event *e = event_claim(&t->events, type);
	const struct session *s = &t->sessions[i];

	if (e == NULL)
		return;
	e->reason = reason;
	e->kind = s->kind;
	e->flags = table_session_assured(t, s) ? EVENT_ASSURED : 0;
	e->origin = origin_id(t, i);
	e->id = table_session_id(t, s);
	memcpy(e->bytes, s->bytes, sizeof(e->bytes));
	memcpy(e->packets, s->packets, sizeof(e->packets));
	e->int_addr = s->int_addr;
	e->rem_addr = s->rem_addr;
	e->ext_addr = table_address(t, s->ext);
	e->created_s = t->cold[i].created_s;
	e->int_port = s->int_port;
	e->rem_port = s->rem_port;
	e->ext_port = s->ext_port;
}

static unsigned kind_index(enum nat_class c, enum session_state st)
{
	return (unsigned)c | (unsigned)st << SESSION_KIND_STATE_SHIFT;
}

static void count_kind(struct table *t, const struct session *s, int change)
{
	t->in_kind[kind_index(session_class(s), session_state(s))] += (uint32_t)change;
}

uint32_t table_sessions_in(const struct table *t, enum nat_class c, enum session_state st)
{
	return (unsigned)c < CLASS_COUNT && (unsigned)st < SESSION_STATE_COUNT ? t->in_kind[kind_index(c, st)] : 0;
}

void session_restored(struct table *t, uint32_t i)
{
	t->restored++;
	count_kind(t, &t->sessions[i], 1);
}

/* The session has been published. */
static void begun(struct table *t, uint32_t i)
{
	t->opened++;
	count_kind(t, &t->sessions[i], 1);
	t->counters[COUNT_SESSION_NEW]++;
	if (event_is_wanted(&t->events, EVENT_NEW))
		session_record(t, i, EVENT_NEW, 0);
}

/* The session is about to be removed from all indexes. */
static void ended(struct table *t, uint32_t i, enum session_end why)
{
	bool is_expiry = why <= SESSION_END_RESET;

	assert((unsigned)why < SESSION_END_COUNT);
	if (t->end_watch != NULL)
		t->end_watch(t->end_watch_ctx, &t->sessions[i]);
	t->ended[why]++;
	count_kind(t, &t->sessions[i], -1);
	t->counters[is_expiry ? COUNT_SESSION_EXPIRED : COUNT_SESSION_DELETED]++;
	session_record(t, i, EVENT_DESTROY, (uint8_t)why);
}

void table_session_changed(struct table *t, const struct session *s, enum session_state before)
{
	t->in_kind[kind_index(session_class(s), before)]--;
	count_kind(t, s, 1);
	if (event_is_wanted(&t->events, EVENT_UPDATE))
		session_record(t, session_index(t, s), EVENT_UPDATE, 0);
}

void table_watch_ends(struct table *t, table_end_fn *fn, void *ctx)
{
	t->end_watch = fn;
	t->end_watch_ctx = ctx;
}

/* ---- records ---- */

static struct session from_spec(const struct session_spec *spec, uint32_t now_s)
{
	return (struct session){
		.int_addr = spec->int_addr,
		.rem_addr = spec->rem_addr,
		.int_port = spec->int_port,
		.rem_port = spec->rem_port,
		.ext_port = spec->ext_port,
		.ext = spec->ext,
		.kind = (uint8_t)(spec->proto_class | (spec->from_outside ? SESSION_KIND_FROM_OUTSIDE : 0) |
				  (spec->forward ? SESSION_KIND_FORWARD : 0)),
		.scale = 0xff,
		.seen_s = now_s,
	};
}

static bool is_sane(const struct table *t, const struct session_spec *spec, const struct session *s)
{
	return spec->proto_class < CLASS_COUNT && spec->state > SESSION_FREE && spec->state < SESSION_STATE_COUNT &&
	       address_is_used(t, spec->ext) && (spec->ext_port != 0 || !session_is_pooled(s));
}

/* Earlier stores must be in memory before the record looks valid. */
static void publish(struct session *s, uint8_t state)
{
	uint8_t kind = (uint8_t)(s->kind | state << SESSION_KIND_STATE_SHIFT);

	__atomic_store_n(&s->kind, kind, __ATOMIC_RELEASE);
}

void session_withdraw(struct table *t, uint32_t i)
{
	struct session *s = &t->sessions[i];

	__atomic_store_n(&s->kind, 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->cold[i].check = record_check_closed(s);
}

/* Writes everything but the state. */
static void write_cold(struct table *t, uint32_t i, const struct session_spec *spec, uint32_t now_s)
{
	struct session_cold *cold = &t->cold[i];
	bool is_answered = spec->state != SESSION_SYN_OUT && spec->state != SESSION_SYN_IN;

	cold->created_s = now_s;
	cold->generation = (uint16_t)(((cold->generation + 1) & COLD_GENERATION) | (is_answered ? COLD_ANSWERED : 0));
	cold->check = record_check(&t->sessions[i]);
	if (t->origin_top > 0)
		t->origin_ids[i] = origin_take(t, spec->origin);
}

/* ---- opening ---- */

/* Opens an expired session again: it keeps its record, its indexes and its port. */
static struct session *reopen(struct table *t, struct session *s, const struct session_spec *spec, uint32_t now_s)
{
	uint32_t i = session_index(t, s);
	int was_keepalive = mapping_is_keepalive(t, i);
	struct host *h = host_find(t, s->int_addr);

	ended(t, i, table_session_expiry(s));
	if (h != NULL)
		survey_session_ended(t, i, h);
	origin_count(t, origin_id(t, i), s);
	host_count_session(t, h, i, -1);
	session_withdraw(t, i);
	origin_drop(t, origin_id(t, i));
	*s = from_spec(spec, now_s);
	write_cold(t, i, spec, now_s);
	if (session_is_pooled(s))
		mapping_change_keepalives(t, i, mapping_is_keepalive(t, i) - was_keepalive);
	host_count_session(t, h, i, 1);
	publish(s, spec->state);
	begun(t, i);
	return s;
}

static bool is_same_session(const struct session *a, const struct session *b)
{
	return a->int_addr == b->int_addr && a->int_port == b->int_port && a->ext == b->ext &&
	       a->ext_port == b->ext_port && session_is_pooled(a) == session_is_pooled(b);
}

static struct session *open_new(struct table *t, const struct session *fresh, const struct session_spec *spec,
				const struct session_hashes *h, enum nat_reason *why)
{
	uint32_t i = slots_take(&t->session_slots);

	*why = DROP_SESSIONS_FULL;
	if (i == SLOTS_NONE)
		return NULL;
	t->sessions[i] = *fresh;
	write_cold(t, i, spec, fresh->seen_s);
	record_top_raise(&t->header->session_top, i + 1);
	if (session_link(t, i, h)) {
		publish(&t->sessions[i], spec->state);
		begun(t, i);
		return &t->sessions[i];
	}
	*why = DROP_TABLE;
	session_withdraw(t, i);
	origin_drop(t, origin_id(t, i));
	slots_give(&t->session_slots, i);
	return NULL;
}

struct session *table_session_open(struct table *t, const struct session_spec *spec, uint32_t now_s,
				   enum nat_reason *why)
{
	const struct session fresh = from_spec(spec, now_s);
	struct session_hashes h;

	*why = DROP_TABLE;
	t->now_s = now_s;
	if (!is_sane(t, spec, &fresh))
		return NULL;
	session_hash(t, &fresh, &h);
	if (!session_is_pooled(&fresh) || !index_is_noted(&t->index[IX_EXTERNAL], h.external))
		session_prefetch_whole(t, &fresh); /* it has no mapping, or shares one */
	for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
		struct session *old = session_same_noting(t, &fresh, (enum nat_dir)dir, &h);

		if (old == NULL)
			continue;
		if (!session_is_over(t, old, now_s))
			return NULL;
		if (dir == DIR_OUT && is_same_session(old, &fresh))
			return reopen(t, old, spec, now_s);
		table_session_close(t, old, table_session_expiry(old), now_s);
	}
	if (!address_is_used(t, spec->ext)) /* unclaimed, and that was its last use */
		return NULL;
	return open_new(t, &fresh, spec, &h, why);
}

/* ---- ending ---- */

void table_session_close(struct table *t, struct session *s, enum session_end why, uint32_t now_s)
{
	uint32_t i = session_index(t, s);
	uint16_t ext = s->ext;

	if (session_state(s) == SESSION_FREE)
		return;
	ended(t, i, why);
	origin_count(t, origin_id(t, i), s);
	session_unlink(t, i, now_s);
	session_withdraw(t, i);
	origin_drop(t, origin_id(t, i));
	slots_give(&t->session_slots, i);
	record_top_set(&t->header->session_top, t->session_slots.top);
	address_settle(t, ext);
}

void table_session_answered(struct table *t, struct session *s)
{
	uint32_t i = session_index(t, s);
	int was_keepalive = mapping_is_keepalive(t, i);
	struct host *h;

	if (t->cold[i].generation & COLD_ANSWERED)
		return;
	t->cold[i].generation |= COLD_ANSWERED;
	if (session_is_pooled(s))
		mapping_change_keepalives(t, i, 1 - was_keepalive);
	t->unanswered--;
	h = host_find(t, s->int_addr);
	if (h == NULL)
		return;
	h->unanswered--;
	h->unanswered_in -= (s->kind & SESSION_KIND_FROM_OUTSIDE) != 0;
}

void table_set_mapping(struct table *t, enum nat_mapping_mode mapping)
{
	uint32_t address = t->key_address, port = t->key_port, top = t->session_slots.top;

	table_set_mode(t, mapping);
	if (t->key_address == address && t->key_port == port && t->unlisted == 0)
		return; /* if it is unlisted, the mapping in its place may have ended */
	mapping_relist_begin(t);
	for (uint32_t i = slots_next(&t->session_slots, 0, top); i < top;
	     i = slots_next(&t->session_slots, i + 1, top)) {
		if (!mapping_relist_session(t, i)) /* it could not be found */
			table_session_close(t, &t->sessions[i], SESSION_END_RELOAD, t->now_s);
	}
	mapping_relist_groups(t);
}
