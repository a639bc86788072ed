/* SPDX-License-Identifier: ISC */
/* Sessions: insertion into and removal from the indexes, ids, listing, sweeping. session_life.c begins and ends
 * them; session_find.c finds them for packets. */
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

/* ---- timeouts ---- */

uint32_t table_session_timeout(const struct table *t, const struct session *s)
{
	return session_timeout(t, s);
}

void table_set_clock(struct table *t, uint32_t now_s)
{
	t->now_s = now_s;
}

bool table_session_expired(const struct table *t, const struct session *s, uint32_t now_s)
{
	return session_is_over(t, s, now_s);
}

/* ---- indexes ---- */

void session_hash(const struct table *t, const struct session *s, struct session_hashes *h)
{
	h->internal = mapping_key_internal(t, s);
	h->external = mapping_key_external(t, session_class(s), s->ext, s->ext_port);
	h->is_shared = false;
}

void session_hash_shared(const struct table *t, const struct session *s, struct session_hashes *h)
{
	session_hash(t, s, h);
	h->is_shared = true;
	h->out = hash_out(t, s);
	h->in = hash_in(t, s);
	h->peer = hash_peer(t, s);
}

/* Entries by full key, and perhaps the peer count. */
void session_prefetch_whole(const struct table *t, const struct session *s)
{
	index_prefetch_both(&t->index[IX_OUT], hash_out(t, s));
	index_prefetch_both(&t->index[IX_IN], hash_in(t, s));
	if (session_is_pooled(s))
		index_prefetch_both(&t->index[IX_PEER], hash_peer(t, s));
}

void session_prefetch(const struct table *t, const struct session *s, const struct session_hashes *h)
{
	const struct port_map *m;

	index_prefetch(&t->index[IX_HOST], host_hash(t, s->int_addr));
	if (session_is_pooled(s)) {
		m = port_map(t, session_class(s), s->ext);
		prefetch(&m->used[s->ext_port / 64]);
		prefetch(&m->resting[s->ext_port / 64]);
		index_prefetch_both(&t->index[IX_INTERNAL], h->internal);
		index_prefetch_both(&t->index[IX_EXTERNAL], h->external);
	} else {
		session_prefetch_whole(t, s);
	}
}

uint32_t session_prefetch_more(const struct table *t, const struct session *s, const struct session_hashes *h)
{
	uint32_t owner;

	if (t->host_slots.count > HOSTS_CACHED)
		index_prefetch_more(&t->index[IX_HOST], host_hash(t, s->int_addr));
	if (!session_is_pooled(s))
		return INDEX_NONE;
	index_prefetch_more(&t->index[IX_INTERNAL], h->internal);
	owner = index_prefetch_more(&t->index[IX_EXTERNAL], h->external);
	if (owner == session_index(t, s))
		return INDEX_NONE;
	if (owner != INDEX_NONE && !h->is_shared)
		session_prefetch_whole(t, s); /* one of a group */
	return owner;
}

bool session_enter_hashed(struct table *t, uint32_t i, uint64_t out, uint64_t in)
{
	if (!index_insert(&t->index[IX_OUT], out, i))
		return false;
	if (index_insert(&t->index[IX_IN], in, i))
		return true;
	index_remove(&t->index[IX_OUT], out, i);
	return false;
}

bool session_enter_whole(struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	return session_enter_hashed(t, i, hash_out(t, s), hash_in(t, s));
}

void session_leave_whole(struct table *t, uint32_t i)
{
	index_remove(&t->index[IX_OUT], hash_out(t, &t->sessions[i]), i);
	index_remove(&t->index[IX_IN], hash_in(t, &t->sessions[i]), i);
}

static void count_in(struct table *t, uint32_t i, struct host *h, enum mapping_joined joined)
{
	const struct session *s = &t->sessions[i];

	bool pairs = joined == JOIN_NEW || (session_class(s) == CLASS_OTHER && !(s->kind & SESSION_KIND_FORWARD));

	if (h->blocks > 0)
		h->ext = table_host_paired(t, h);
	h->is_paired = pairs || (h->is_paired && h->sessions > 0);
	/* The first session pairs the host with an outside address; a forward's session leaves that to the first one
	 * of another kind. Blocks fix the pairing. A lost address pairs no host. */
	if (h->blocks == 0 && (h->sessions == 0 || (pairs && h->ports == 0)))
		h->ext = s->ext;
	else if (pairs && !t->uses[h->ext].claimed && t->uses[s->ext].claimed)
		h->ext = s->ext;
	host_count_session(t, h, i, 1);
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

void session_unlink(struct table *t, uint32_t i, uint32_t now_s)
{
	const struct session *s = &t->sessions[i];
	struct host *h = host_find(t, s->int_addr);
	bool ended = session_is_pooled(s) && mapping_leave(t, i, now_s);

	if (!session_is_pooled(s)) {
		session_leave_whole(t, i);
		t->unmapped--;
	}
	t->uses[s->ext].sessions--;
	if (h != NULL)
		survey_session_ended(t, i, h);
	host_count_session(t, h, i, -1);
	if (h != NULL)
		h->ports -= ended;
}

/* ---- ids, facts, listing ---- */

uint64_t table_session_id(const struct table *t, const struct session *s)
{
	uint32_t i = session_index(t, s);
	const struct session_cold *cold = &t->cold[i];

	/* 53 bits, so that every JSON reader gets it exactly. It includes the time of creation because low slots are
	 * reused soon, and generations start at 0 again after their pages were released. */
	return (uint64_t)(cold->created_s & ID_CREATED_MASK) << (ID_INDEX_BITS + ID_GENERATION_BITS) |
	       (uint64_t)(cold->generation & COLD_GENERATION) << ID_INDEX_BITS | (i + 1);
}

uint32_t table_session_number(uint64_t id)
{
	return (uint32_t)(id & ((1u << ID_INDEX_BITS) - 1)) - 1;
}

struct session *table_session_by_id(struct table *t, uint64_t id)
{
	uint32_t i = table_session_number(id);

	if (!slots_used(&t->session_slots, i) || table_session_id(t, &t->sessions[i]) != id)
		return NULL;
	return &t->sessions[i];
}

uint32_t table_session_index(const struct table *t, const struct session *s)
{
	return session_index(t, s);
}

struct session *table_session_at(struct table *t, uint32_t index)
{
	return slots_used(&t->session_slots, index) ? &t->sessions[index] : NULL;
}

uint32_t table_session_created_s(const struct table *t, const struct session *s)
{
	return t->cold[session_index(t, s)].created_s;
}

uint32_t table_session_origin(const struct table *t, const struct session *s)
{
	return origin_id(t, session_index(t, s));
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

void table_close_prefetch(const struct table *t, struct session *const s[], uint32_t n)
{
	struct session_hashes h[SWEEP_BLOCK];

	assert(n <= SWEEP_BLOCK);
	for (uint32_t k = 0; k < n; k++) {
		session_hash(t, s[k], &h[k]);
		session_prefetch(t, s[k], &h[k]);
	}
	for (uint32_t k = 0; k < n; k++)
		session_prefetch_more(t, s[k], &h[k]);
}

/* A block at a time: finds the expired sessions and prefetches what closing them will read, then closes them. */
static uint32_t sweep_block(struct table *t, uint32_t from, uint32_t end)
{
	struct session *over[SWEEP_BLOCK];
	uint32_t n = 0;

	for (uint32_t i = slots_next(&t->session_slots, from, end); i < end;
	     i = slots_next(&t->session_slots, i + 1, end)) {
		if (!session_is_over(t, &t->sessions[i], t->now_s))
			continue;
		over[n++] = &t->sessions[i];
	}
	table_close_prefetch(t, over, n);
	for (uint32_t k = 0; k < n; k++)
		table_session_close(t, over[k], table_session_expiry(over[k]), t->now_s);
	return n;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

struct table_swept table_sweep(struct table *t, uint32_t now_s, uint32_t budget)
{
	uint32_t unseen = t->session_slots.top, left = budget;
	struct table_swept swept = {0, 0};

	t->now_s = now_s;
	quarantine_expire(t, now_s, budget);
	while (left > 0 && unseen > 0 && t->session_slots.top > 0) {
		uint32_t at = t->sweep_at < t->session_slots.top ? t->sweep_at : 0, step, n, cost;

		step = least(least(left, SWEEP_BLOCK), least(unseen, t->session_slots.top - at));
		n = sweep_block(t, at, at + step);
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
