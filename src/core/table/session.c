/* SPDX-License-Identifier: ISC */
/*
 * Sessions: opened, closed, listed, swept. Found by packets: session_find.c.
 *
 * A record is written whole, entered into the indexes, and becomes valid with the last store, that of
 * its state; it is taken out of everything and withdrawn with the last store when it closes. So a
 * process killed at any instruction leaves records that are valid, or free.
 */
#include "table_private.h"

#include <assert.h>
#include <string.h>

enum {
	SWEEP_BLOCK = 16,
	CLOSING_COST = 4, /* visits */
	ID_INDEX_BITS = 25,
	ID_GENERATION_BITS = 15,
	ID_CREATED_MASK = 0x1fff
};

/* ---- its time ---- */

uint32_t table_session_timeout(const struct table *t, const struct session *s)
{
	return session_timeout(t, s);
}

bool table_session_expired(const struct table *t, const struct session *s, uint32_t now_s)
{
	return session_is_over(t, s, now_s);
}

enum session_end table_session_expiry(const struct session *s)
{
	enum session_state st = session_state(s);

	if (st == SESSION_RESET)
		return SESSION_END_RESET;
	return st >= SESSION_FIN_OUT && st <= SESSION_TIME_WAIT ? SESSION_END_CLOSED : SESSION_END_TIMEOUT;
}

/* ---- in and out of the indexes ---- */

void session_hash(const struct table *t, const struct session *s, struct session_hashes *h)
{
	h->internal = mapping_key_internal(t, s);
	h->external = mapping_key_external(t, session_class(s), s->ext, s->ext_port);
}

/* What is entered by its whole key, and perhaps counted as a peer. */
static void prefetch_whole(const struct table *t, const struct session *s)
{
	index_prefetch_both(&t->index[IX_OUT], hash_out(t, s));
	index_prefetch_both(&t->index[IX_IN], hash_in(t, s));
	if (session_is_pooled(s))
		index_prefetch_both(&t->index[IX_PEER], hash_peer(t, s));
}

void session_prefetch(const struct table *t, const struct session *s, const struct session_hashes *h)
{
	index_prefetch(&t->index[IX_HOST], host_hash(t, s->int_addr));
	if (session_is_pooled(s)) {
		index_prefetch_both(&t->index[IX_INTERNAL], h->internal);
		index_prefetch_both(&t->index[IX_EXTERNAL], h->external);
	} else {
		prefetch_whole(t, s);
	}
}

void session_prefetch_more(const struct table *t, const struct session *s, const struct session_hashes *h,
			   bool is_shared)
{
	uint32_t owner;

	if (!session_is_pooled(s))
		return;
	index_prefetch_more(&t->index[IX_INTERNAL], h->internal);
	owner = index_prefetch_more(&t->index[IX_EXTERNAL], h->external);
	if (is_shared || (owner != INDEX_NONE && owner != session_index(t, s)))
		prefetch_whole(t, s); /* one of a group, or to be one */
}

bool session_enter_whole(struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	if (!index_insert(&t->index[IX_OUT], hash_out(t, s), i))
		return false;
	if (index_insert(&t->index[IX_IN], hash_in(t, s), i))
		return true;
	index_remove(&t->index[IX_OUT], hash_out(t, s), i);
	return false;
}

void session_leave_whole(struct table *t, uint32_t i)
{
	index_remove(&t->index[IX_OUT], hash_out(t, &t->sessions[i]), i);
	index_remove(&t->index[IX_IN], hash_in(t, &t->sessions[i]), i);
}

static bool is_embryo(const struct table *t, uint32_t i)
{
	return (t->cold[i].generation & COLD_ANSWERED) == 0;
}

static void count_in(struct table *t, uint32_t i, struct host *h, enum mapping_joined joined)
{
	const struct session *s = &t->sessions[i];

	/* The first session pairs the host with an outside address; a forward's leaves that to the first one
	 * of another kind. */
	if (h->sessions == 0 || ((joined == JOIN_NEW || session_class(s) == CLASS_OTHER) && h->ports == 0))
		h->ext = s->ext;
	h->sessions++;
	h->embryos += is_embryo(t, i);
	t->embryos += is_embryo(t, i);
	t->unmapped += !session_is_pooled(s);
	h->ports += joined == JOIN_NEW;
	t->uses[s->ext].sessions++;
}

bool session_link(struct table *t, uint32_t i, const struct session_hashes *hash)
{
	const struct session *s = &t->sessions[i];
	struct host *h = host_make(t, s->int_addr);
	enum mapping_joined joined;

	if (h == NULL)
		return false;
	if (session_is_pooled(s))
		joined = mapping_join(t, i, hash);
	else
		joined = session_enter_whole(t, i) ? JOIN_SHARED : JOIN_FAILED;
	if (joined == JOIN_FAILED)
		return false;
	t->entries++;
	count_in(t, i, h, joined);
	return true;
}

static void unlink_session(struct table *t, uint32_t i, uint32_t now_s)
{
	const struct session *s = &t->sessions[i];
	struct host *h = host_find(t, s->int_addr);
	bool ended = session_is_pooled(s) && mapping_leave(t, i, now_s);

	if (!session_is_pooled(s)) {
		session_leave_whole(t, i);
		t->unmapped--;
	}
	t->embryos -= is_embryo(t, i);
	t->uses[s->ext].sessions--;
	if (h == NULL)
		return;
	h->sessions--;
	h->embryos -= is_embryo(t, i);
	h->ports -= ended;
}

/* ---- opening and closing ---- */

static struct session from_spec(const struct session_spec *spec, uint32_t now_s)
{
	return (struct session){
		.int_addr = spec->int_addr,
		.rem_addr = spec->rem_addr,
		.int_port = spec->int_port,
		.rem_port = spec->rem_port,
		.ext_port = spec->ext_port,
		.ext = spec->ext,
		.kind = (uint8_t)(spec->class_ | (spec->from_outside ? SESSION_KIND_FROM_OUTSIDE : 0) |
				  (spec->forward ? SESSION_KIND_FORWARD : 0)),
		.scale = 0xff,
		.seen_s = now_s,
	};
}

static bool is_sane(const struct table *t, const struct session_spec *spec, const struct session *s)
{
	return spec->class_ < CLASS_COUNT && spec->state > SESSION_FREE && spec->state < SESSION_STATE_COUNT &&
	       address_is_used(t, spec->ext) && (spec->ext_port != 0 || !session_is_pooled(s));
}

/* The stores before are in memory before the record is seen as valid. */
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

/* All but the state of the record is written. */
static void write_cold(struct table *t, uint32_t i, const struct session_spec *spec, uint32_t now_s)
{
	struct session_cold *cold = &t->cold[i];
	bool is_answered = spec->state != SESSION_SYN_OUT && spec->state != SESSION_SYN_IN;

	cold->created_s = now_s;
	cold->generation = (uint16_t)(((cold->generation + 1) & COLD_GENERATION) | (is_answered ? COLD_ANSWERED : 0));
	cold->check = record_check(&t->sessions[i]);
	t->origins[i] = spec->origin;
}

/* The same session again after its time was up: it keeps its record, its indexes and its port. */
static struct session *reopen(struct table *t, struct session *s, const struct session_spec *spec, uint32_t now_s)
{
	uint32_t i = session_index(t, s), was_embryo = is_embryo(t, i);
	int was_holder = mapping_is_holder(t, i);
	struct host *h = host_find(t, s->int_addr);

	session_withdraw(t, i);
	*s = from_spec(spec, now_s);
	write_cold(t, i, spec, now_s);
	if (session_is_pooled(s))
		mapping_change_holders(t, i, mapping_is_holder(t, i) - was_holder);
	t->embryos += is_embryo(t, i) - was_embryo;
	if (h != NULL)
		h->embryos += is_embryo(t, i) - was_embryo;
	publish(s, spec->state);
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
		return &t->sessions[i];
	}
	*why = DROP_TABLE;
	session_withdraw(t, i);
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
		prefetch_whole(t, &fresh); /* it has no mapping, or not to itself */
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

void table_session_close(struct table *t, struct session *s, enum session_end why, uint32_t now_s)
{
	uint32_t i = session_index(t, s);
	uint16_t ext = s->ext;

	assert((unsigned)why < SESSION_END_COUNT);
	if (session_state(s) == SESSION_FREE)
		return;
	unlink_session(t, i, now_s);
	session_withdraw(t, i);
	slots_give(&t->session_slots, i);
	record_top_set(&t->header->session_top, t->session_slots.top);
	address_settle(t, ext);
}

/* ---- names, facts, listing ---- */

uint64_t table_session_id(const struct table *t, const struct session *s)
{
	uint32_t i = session_index(t, s);
	const struct session_cold *cold = &t->cold[i];

	/* 53 bits, so that every reader of JSON gets it whole. The time of creation is in it because low
	 * slots are used again soon, and the generation begins anew when their pages were given back. */
	return (uint64_t)(cold->created_s & ID_CREATED_MASK) << (ID_INDEX_BITS + ID_GENERATION_BITS) |
	       (uint64_t)(cold->generation & COLD_GENERATION) << ID_INDEX_BITS | (i + 1);
}

struct session *table_session_by_id(struct table *t, uint64_t id)
{
	uint32_t i = (uint32_t)(id & ((1u << ID_INDEX_BITS) - 1)) - 1;

	if (!slots_used(&t->session_slots, i) || table_session_id(t, &t->sessions[i]) != id)
		return NULL;
	return &t->sessions[i];
}

uint32_t table_session_created_s(const struct table *t, const struct session *s)
{
	return t->cold[session_index(t, s)].created_s;
}

uint32_t table_session_origin(const struct table *t, const struct session *s)
{
	return t->origins[session_index(t, s)];
}

struct session *table_next(struct table *t, uint32_t *cursor, uint32_t budget)
{
	uint32_t top = t->session_slots.top, from = *cursor, end, i;

	if (from >= top) {
		*cursor = 0;
		return NULL;
	}
	end = budget < top - from ? from + budget + 1 : top;
	i = slots_next(&t->session_slots, from, end);
	*cursor = i < end ? i + 1 : end < top ? end : 0;
	return i < end ? &t->sessions[i] : NULL;
}

uint32_t table_session_count(const struct table *t)
{
	return t->session_slots.count;
}

/* ---- sweep ---- */

struct sweep {
	struct table *t;
	uint32_t now_s;
	void (*on_expire)(void *ctx, struct session *s);
	void *ctx;
};

/* A block at a time: first find out which sessions are over and ask for what closing them will read, then close. */
static uint32_t sweep_block(const struct sweep *w, uint32_t from, uint32_t end)
{
	struct table *t = w->t;
	uint32_t over[SWEEP_BLOCK], n = 0;
	struct session_hashes h[SWEEP_BLOCK];

	for (uint32_t i = slots_next(&t->session_slots, from, end); i < end;
	     i = slots_next(&t->session_slots, i + 1, end)) {
		if (!session_is_over(t, &t->sessions[i], w->now_s))
			continue;
		session_hash(t, &t->sessions[i], &h[n]);
		over[n++] = i;
	}
	for (uint32_t k = 0; k < n; k++)
		session_prefetch(t, &t->sessions[over[k]], &h[k]);
	for (uint32_t k = 0; k < n; k++)
		session_prefetch_more(t, &t->sessions[over[k]], &h[k], false);
	for (uint32_t k = 0; k < n; k++) {
		struct session *s = &t->sessions[over[k]];

		if (w->on_expire != NULL)
			w->on_expire(w->ctx, s);
		table_session_close(t, s, table_session_expiry(s), w->now_s);
	}
	return n;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

struct table_swept table_sweep(struct table *t, uint32_t now_s, uint32_t budget,
			       void (*on_expire)(void *ctx, struct session *s), void *ctx)
{
	const struct sweep w = {t, now_s, on_expire, ctx};
	uint32_t unseen = t->session_slots.top, left = budget;
	struct table_swept swept = {0, 0};

	t->now_s = now_s;
	rest_expire(t, now_s, budget);
	while (left > 0 && unseen > 0 && t->session_slots.top > 0) {
		uint32_t at = t->sweep_at < t->session_slots.top ? t->sweep_at : 0, step, n, cost;

		step = least(least(left, SWEEP_BLOCK), least(unseen, t->session_slots.top - at));
		n = sweep_block(&w, at, at + step);
		cost = step + n * (CLOSING_COST - 1);
		t->sweep_at = at + step;
		unseen -= step;
		left -= least(left, cost);
		swept.visited += step;
		swept.closed += n;
	}
	host_sweep(t, budget);
	table_settle(t);
	return swept;
}

uint32_t table_sweep_round(const struct table *t)
{
	uint32_t sessions = t->session_slots.top, hosts = t->host_slots.top;

	return sessions > hosts ? sessions : hosts;
}
