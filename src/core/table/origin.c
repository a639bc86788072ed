/* SPDX-License-Identifier: ISC */
/*
 * Origins: the forward, backend, rule, way or static pair that made a session.
 *
 * Theory of operation. Equal origins share one record, found by the hash of its content; sessions name it in 32 bits:
 *
 *   bits 0-19   number of the record, +1; 0: no origin
 *   bits 20-29  generation of the record, so that an id that is kept longer than the record names nothing
 *   bits 30-31  spare, 0
 *
 * A record is needed while sessions name it or the owner holds it. After that it stays readable, for the history, until
 * its place is reused: unused places are taken lowest first, then those that have been unneeded for longest. The
 * records and the sessions' ids are saved; the counts are rebuilt from the sessions.
 *
 * Kill-safe: a record is valid if its check is right, which is stored last when it is written and cleared first when it
 * ends. An id is written before its session is published. A damaged record is invalid, and its sessions continue
 * without origin.
 */
#include "table_private.h"

#include <assert.h>
#include <string.h>

enum { ID_INDEX_MASK = (1 << 20) - 1, ID_GENERATION_SHIFT = 20, ID_GENERATION_MASK = 0x3ff };

static uint64_t content_hash(const struct table *t, const struct session_origin *o)
{
	uint64_t words[sizeof(*o) / sizeof(uint64_t)], h = t->secret[0];

	_Static_assert(sizeof(*o) % sizeof(uint64_t) == 0, "whole words");
	memcpy(words, o, sizeof(*o));
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		h = hash_mix(h ^ words[i]);
	return h;
}

uint64_t origin_hash(const struct table *t, uint32_t i)
{
	return content_hash(t, &t->origins[i].what);
}

/* Never 0, the value in a blank record. */
static uint32_t check_of(const struct table *t, uint32_t i)
{
	return (uint32_t)hash_mix(origin_hash(t, i) ^ t->origins[i].generation) | 1;
}

bool origin_is_whole(const struct table *t, uint32_t i)
{
	return i < t->origin_top && t->origins[i].check != 0 && t->origins[i].check == check_of(t, i);
}

static uint32_t id_of(const struct table *t, uint32_t i)
{
	return (uint32_t)t->origins[i].generation << ID_GENERATION_SHIFT | (i + 1);
}

/* Number of the record that `id` names, or INDEX_NONE. */
static uint32_t number_of(const struct table *t, uint32_t id)
{
	uint32_t i = (id & ID_INDEX_MASK) - 1;

	if (id == 0 || i >= t->origin_top || t->origins[i].check == 0 || id_of(t, i) != id)
		return INDEX_NONE;
	return i;
}

/* ---- unneeded records, oldest first ---- */

static void unneeded_append(struct table *t, uint32_t i)
{
	struct origin_use *u = &t->origin_uses[i];

	u->next = ORIGINS_END;
	u->prev = t->unneeded_last;
	*(t->unneeded_last == ORIGINS_END ? &t->unneeded_first : &t->origin_uses[t->unneeded_last].next) = i;
	t->unneeded_last = i;
}

static void unneeded_remove(struct table *t, uint32_t i)
{
	const struct origin_use *u = &t->origin_uses[i];

	*(u->prev == ORIGINS_END ? &t->unneeded_first : &t->origin_uses[u->prev].next) = u->next;
	*(u->next == ORIGINS_END ? &t->unneeded_last : &t->origin_uses[u->next].prev) = u->prev;
}

/* Counts one use more or less: by sessions, or by the owner (`held`). */
static void count(struct table *t, uint32_t i, bool held, int by)
{
	struct origin_use *u = &t->origin_uses[i];
	uint32_t *n = held ? &u->held : &u->sessions;

	assert(by > 0 || *n > 0);
	if (u->sessions + u->held == 0)
		unneeded_remove(t, i);
	*n += (uint32_t)by;
	if (!held && u->tally != 0)
		t->tallies[u->tally - 1] += (uint32_t)by;
	if (u->sessions + u->held == 0)
		unneeded_append(t, i);
}

/* ---- for sessions ---- */

uint32_t origin_take(struct table *t, uint32_t id)
{
	uint32_t i = number_of(t, id);

	if (i == INDEX_NONE)
		return 0;
	count(t, i, false, 1);
	return id;
}

void origin_drop(struct table *t, uint32_t id)
{
	uint32_t i = number_of(t, id);

	if (i != INDEX_NONE)
		count(t, i, false, -1);
}

void origin_count(struct table *t, uint32_t id, const struct session *s)
{
	uint32_t i = number_of(t, id);

	if (i == INDEX_NONE)
		return;
	t->origin_uses[i].ended.packets += s->packets[DIR_OUT] + s->packets[DIR_IN];
	t->origin_uses[i].ended.bytes += s->bytes[DIR_OUT] + s->bytes[DIR_IN];
}

/* ---- for the owner ---- */

static uint32_t find(const struct table *t, const struct session_origin *o, uint64_t hash)
{
	struct index_cursor c;
	uint32_t i;

	for (i = index_begin(&c, &t->index[IX_ORIGIN], hash); i != INDEX_NONE; i = index_next(&c)) {
		if (memcmp(&t->origins[i].what, o, sizeof(*o)) == 0)
			break;
	}
	return i;
}

/* A place for a new record, at the end of the unneeded list; INDEX_NONE: all are needed. */
static uint32_t make_place(struct table *t)
{
	uint32_t i = t->origin_top;

	if (i < t->max_origins) {
		t->origin_top++;
		record_top_raise(&t->header->origin_top, t->origin_top);
		unneeded_append(t, i);
		return i;
	}
	i = t->unneeded_first;
	if (i == ORIGINS_END)
		return INDEX_NONE;
	if (t->origins[i].check != 0)
		index_remove(&t->index[IX_ORIGIN], origin_hash(t, i), i);
	__atomic_store_n(&t->origins[i].check, 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return i;
}

static uint32_t tally_of(const struct table *t, uint32_t i)
{
	int32_t tally = t->n_tallies > 0 ? t->which_tally(t->tally_ctx, &t->origins[i].what) : TABLE_NONE;

	assert(tally < (int32_t)t->n_tallies);
	return (uint32_t)(tally + 1);
}

static uint32_t add(struct table *t, const struct session_origin *o, uint64_t hash)
{
	uint32_t i = make_place(t);

	if (i == INDEX_NONE)
		return INDEX_NONE;
	t->origins[i].what = *o;
	t->origin_uses[i].ended = (struct carried){0};
	t->origin_uses[i].tally = tally_of(t, i);
	t->origins[i].generation = (uint16_t)((t->origins[i].generation + 1) & ID_GENERATION_MASK);
	if (!index_insert(&t->index[IX_ORIGIN], hash, i))
		return INDEX_NONE;
	__atomic_store_n(&t->origins[i].check, check_of(t, i), __ATOMIC_RELEASE);
	return i;
}

uint32_t table_origin_intern(struct table *t, const struct session_origin *o)
{
	static const struct session_origin nothing;
	uint64_t hash = content_hash(t, o);
	uint32_t i;

	if (memcmp(o, &nothing, sizeof(*o)) == 0)
		return 0;
	i = find(t, o, hash);
	if (i == INDEX_NONE)
		i = add(t, o, hash);
	if (i == INDEX_NONE) {
		t->origins_refused++;
		return 0;
	}
	count(t, i, true, 1);
	return id_of(t, i);
}

void table_origin_release(struct table *t, uint32_t id)
{
	uint32_t i = number_of(t, id);

	if (i != INDEX_NONE)
		count(t, i, true, -1);
}

const struct session_origin *table_origin_get(const struct table *t, uint32_t id)
{
	uint32_t i = number_of(t, id);

	return i == INDEX_NONE ? NULL : &t->origins[i].what;
}

const struct session_origin *table_origin_next(const struct table *t, uint32_t *cursor, struct carried *ended)
{
	for (uint32_t i = (*cursor)++; i < t->origin_top; i = (*cursor)++) {
		if (t->origins[i].check == 0)
			continue;
		*ended = t->origin_uses[i].ended;
		return &t->origins[i].what;
	}
	return NULL;
}

void table_set_tallies(struct table *t, uint32_t *tallies, uint32_t n, table_which_tally *which, const void *ctx)
{
	t->tallies = tallies;
	t->n_tallies = n;
	t->which_tally = which;
	t->tally_ctx = ctx;
	memset(tallies, 0, n * sizeof(*tallies));
	for (uint32_t i = 0; i < t->origin_top; i++) {
		struct origin_use *u = &t->origin_uses[i];

		u->tally = t->origins[i].check != 0 ? tally_of(t, i) : 0;
		if (u->tally != 0)
			tallies[u->tally - 1] += u->sessions;
	}
}

/* ---- after a restart ---- */

static bool is_terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool is_sane(const struct session_origin *o)
{
	return is_terminated(o->forward, sizeof(o->forward)) && is_terminated(o->rule, sizeof(o->rule)) &&
	       is_terminated(o->pair, sizeof(o->pair)) && is_terminated(o->way, sizeof(o->way));
}

void origin_restore(struct table *t)
{
	t->origin_top = (uint32_t)t->header->origin_top;
	for (uint32_t i = 0; i < t->origin_top; i++) {
		const struct origin_record *r = &t->origins[i];
		bool is_good = origin_is_whole(t, i) && is_sane(&r->what) && r->generation <= ID_GENERATION_MASK;

		unneeded_append(t, i);
		if (!is_good || find(t, &r->what, origin_hash(t, i)) != INDEX_NONE ||
		    !index_insert(&t->index[IX_ORIGIN], origin_hash(t, i), i))
			t->origins[i].check = 0;
	}
}
