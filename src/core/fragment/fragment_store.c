/* SPDX-License-Identifier: ISC */
/*
 * Records and cells of the fragments: see fragment_store.h.
 */
#include "fragment_store.h"

#include <string.h>

#include "core/base/prf.h"

enum { RECORDS_PER_CELL = 4, SOURCES_PER_CELL = 16, ALIGNMENT = 64 };

/* ---- memory ---- */

struct layout {
	size_t buckets, sources, records, cells, unit_next, data, end; /* offsets */
	uint32_t n_buckets, n_sources;
};

static uint32_t power_of_two(uint64_t at_least)
{
	uint32_t n = 1;

	while (n < at_least && n < 1u << 31)
		n <<= 1;
	return n;
}

static size_t place(size_t *at, size_t count, size_t size)
{
	size_t start = *at;

	*at = (start + count * size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	return start;
}

static struct layout lay_out(uint32_t capacity)
{
	struct layout l;
	size_t at = 0;

	l.n_buckets = power_of_two((uint64_t)capacity * RECORDS_PER_CELL);
	l.n_sources = power_of_two((uint64_t)capacity * SOURCES_PER_CELL);
	place(&at, 1, sizeof(struct fragments));
	l.buckets = place(&at, l.n_buckets, sizeof(uint32_t));
	l.sources = place(&at, l.n_sources, sizeof(uint32_t));
	l.records = place(&at, (size_t)capacity * RECORDS_PER_CELL, sizeof(struct record));
	l.cells = place(&at, capacity, sizeof(struct cell));
	l.unit_next = place(&at, (size_t)capacity * UNITS_MOST, sizeof(uint32_t));
	l.data = place(&at, (size_t)capacity * UNITS_MOST, UNIT_LEN);
	l.end = at;
	return l;
}

size_t fragment_memory_need(uint32_t max_held)
{
	return lay_out(max_held).end;
}

struct fragments *fragment_create(void *memory, uint32_t max_held, uint64_t secret[2])
{
	struct layout l = lay_out(max_held);
	struct fragments *f = memory;
	uint8_t *base = memory;

	f->secret[0] = secret[0];
	f->secret[1] = secret[1];
	f->capacity = max_held;
	f->bucket_mask = l.n_buckets - 1;
	f->source_mask = l.n_sources - 1;
	f->buckets = (uint32_t *)(void *)(base + l.buckets);
	f->sources = (uint32_t *)(void *)(base + l.sources);
	f->records = (struct record *)(void *)(base + l.records);
	f->cells = (struct cell *)(void *)(base + l.cells);
	f->unit_next = (uint32_t *)(void *)(base + l.unit_next);
	f->data = base + l.data;
	return f;
}

static struct record *record_at(const struct fragments *f, uint32_t number)
{
	return &f->records[number - 1];
}

static uint32_t number_of(const struct fragments *f, const struct record *r)
{
	return (uint32_t)(r - f->records) + 1;
}

static struct cell *cell_at(const struct fragments *f, uint32_t number)
{
	return &f->cells[number - 1];
}

static uint8_t *unit_at(const struct fragments *f, uint32_t number)
{
	return f->data + (size_t)(number - 1) * UNIT_LEN;
}

/* Takes an entry; returns its number. `next_free`: the entry after the first free one in the chain, if there is any. */
static uint32_t pool_take(struct pool *p, uint32_t next_free)
{
	uint32_t number = p->free;

	if (number != 0)
		p->free = next_free;
	else
		number = ++p->used;
	if (p->used > p->peak)
		p->peak = p->used;
	return number;
}

static uint32_t *bucket_of(const struct fragments *f, uint32_t src, uint32_t dst, uint32_t proto_and_id)
{
	uint64_t h = prf_hash(f->secret, (uint64_t)src << 32 | dst);

	return &f->buckets[prf_hash(f->secret, h ^ proto_and_id) & f->bucket_mask];
}

static uint32_t *bucket_of_record(const struct fragments *f, const struct record *r)
{
	return bucket_of(f, r->src, r->dst, (uint32_t)r->proto << 16 | r->id);
}

static uint32_t *held_by(const struct fragments *f, uint32_t src)
{
	return &f->sources[prf_hash(f->secret, src) & f->source_mask];
}

/* ---- records ---- */

static enum record_list list_of(uint8_t kind)
{
	return kind == RECORD_FOLLOWED ? LIST_FOLLOWED : LIST_REST;
}

static uint32_t list_room(const struct fragments *f, enum record_list list)
{
	return list == LIST_FOLLOWED ? f->capacity * (RECORDS_PER_CELL - 1) : f->capacity;
}

static void list_remove(struct fragments *f, struct record *r)
{
	enum record_list list = list_of(r->kind);

	if (r->older)
		record_at(f, r->older)->newer = r->newer;
	else
		f->lists[list].oldest = r->newer;
	if (r->newer)
		record_at(f, r->newer)->older = r->older;
	else
		f->lists[list].newest = r->older;
	f->lists[list].count--;
}

/* If the list is full, removes its oldest record. */
static void list_make_room(struct fragments *f, enum record_list list)
{
	if (f->lists[list].count >= list_room(f, list))
		fragment_store_remove(f, record_at(f, f->lists[list].oldest));
}

/* Appends it at the young end, with a new stamp. */
static void list_append(struct fragments *f, struct record *r)
{
	enum record_list list = list_of(r->kind);
	uint32_t number = number_of(f, r);

	r->stamp_ms = f->now_ms;
	r->newer = 0;
	r->older = f->lists[list].newest;
	if (r->older)
		record_at(f, r->older)->newer = number;
	else
		f->lists[list].oldest = number;
	f->lists[list].newest = number;
	f->lists[list].count++;
}

static bool is_expired(const struct fragments *f, const struct record *r)
{
	return f->now_ms - r->stamp_ms > f->timeout_ms;
}

struct record *fragment_store_find(struct fragments *f, const struct pkt_view *v)
{
	uint32_t i = *bucket_of(f, v->src, v->dst, (uint32_t)v->proto << 16 | v->id);

	for (; i != 0; i = record_at(f, i)->chain) {
		struct record *r = record_at(f, i);

		if (r->src != v->src || r->dst != v->dst || r->id != v->id || r->proto != v->proto)
			continue;
		if (!is_expired(f, r))
			return r;
		fragment_store_remove(f, r);
		return NULL;
	}
	return NULL;
}

static struct record *take_record(struct fragments *f)
{
	struct pool *p = &f->record_pool;
	struct record *r = record_at(f, pool_take(p, p->free != 0 ? record_at(f, p->free)->chain : 0));

	memset(r, 0, sizeof(*r));
	return r;
}

struct record *fragment_store_add(struct fragments *f, const struct pkt_view *v, enum record_kind kind)
{
	struct record *r;
	uint32_t *bucket;

	if (f->capacity == 0)
		return NULL;
	list_make_room(f, list_of((uint8_t)kind));
	r = take_record(f);
	r->src = v->src;
	r->dst = v->dst;
	r->id = v->id;
	r->proto = v->proto;
	r->kind = (uint8_t)kind;
	bucket = bucket_of_record(f, r);
	r->chain = *bucket;
	*bucket = number_of(f, r);
	f->hashes_used = true;
	list_append(f, r);
	return r;
}

void fragment_store_set_kind(struct fragments *f, struct record *r, enum record_kind kind)
{
	list_remove(f, r);
	r->kind = (uint8_t)kind;
	list_make_room(f, list_of(r->kind));
	list_append(f, r);
}

void fragment_store_remove(struct fragments *f, struct record *r)
{
	uint32_t number = number_of(f, r);
	uint32_t *link = bucket_of_record(f, r);

	fragment_store_drop_held(f, r);
	while (*link != number)
		link = &record_at(f, *link)->chain;
	*link = r->chain;
	list_remove(f, r);
	r->chain = f->record_pool.free;
	f->record_pool.free = number;
}

bool fragment_store_expire(struct fragments *f, enum record_list list)
{
	uint32_t oldest = f->lists[list].oldest;

	if (!oldest || !is_expired(f, record_at(f, oldest)))
		return false;
	fragment_store_remove(f, record_at(f, oldest));
	return true;
}

/* ---- held fragments ---- */

static uint32_t free_cells(const struct fragments *f)
{
	return f->limit > f->held ? f->limit - f->held : 0;
}

enum nat_reason fragment_store_make_room(struct fragments *f, uint32_t src, const struct record *keep)
{
	enum { TRIES = 8 }; /* refused and poisoned records that are skipped hold nothing */
	uint32_t quota = free_cells(f) / 4;
	bool full = f->held == f->limit && f->limit > 0;

	if (*held_by(f, src) >= (quota > 0 ? quota : 1))
		return DROP_FRAGMENT_QUOTA;
	for (unsigned i = 0; full && i < TRIES && free_cells(f) == 0; i++) {
		uint32_t oldest = f->lists[LIST_REST].oldest;
		struct record *r = oldest ? record_at(f, oldest) : NULL;

		if (!r || r == keep || r->stamp_ms >= f->now_ms)
			break;
		fragment_store_remove(f, r);
	}
	return free_cells(f) > 0 ? NAT_PASS : DROP_FRAGMENT_FULL;
}

static uint32_t take_cell(struct fragments *f)
{
	struct pool *p = &f->cell_pool;

	return pool_take(p, p->free != 0 ? cell_at(f, p->free)->next : 0);
}

/* Copies bytes into a chain of units; returns the first one. `len` is not 0. */
static uint32_t store_bytes(struct fragments *f, const uint8_t *bytes, size_t len)
{
	struct pool *p = &f->unit_pool;
	uint32_t first = 0, *link = &first;

	for (size_t at = 0; at < len; at += UNIT_LEN) {
		size_t part = len - at < UNIT_LEN ? len - at : UNIT_LEN;

		*link = pool_take(p, p->free != 0 ? f->unit_next[p->free - 1] : 0);
		memcpy(unit_at(f, *link), bytes + at, part);
		link = &f->unit_next[*link - 1];
	}
	*link = 0;
	return first;
}

/* Copies a chain's bytes to `out`, unless that is NULL, and frees its units. */
static void take_bytes(struct fragments *f, const struct cell *c, uint8_t *out)
{
	uint32_t last = c->units;

	for (size_t at = 0; at < c->len; at += UNIT_LEN) {
		if (out != NULL)
			memcpy(out + at, unit_at(f, last), c->len - at < UNIT_LEN ? c->len - at : UNIT_LEN);
		if (f->unit_next[last - 1] != 0)
			last = f->unit_next[last - 1];
	}
	f->unit_next[last - 1] = f->unit_pool.free;
	f->unit_pool.free = c->units;
}

/* Inserts by offset. Ascending and descending arrival cost nothing. */
static void insert_cell(struct fragments *f, struct record *r, uint32_t number)
{
	struct cell *c = cell_at(f, number);
	uint32_t *link = &r->held_first;

	if (r->held_last && cell_at(f, r->held_last)->start < c->start)
		link = &cell_at(f, r->held_last)->next;
	while (*link && cell_at(f, *link)->start < c->start)
		link = &cell_at(f, *link)->next;
	c->next = *link;
	*link = number;
	if (!c->next)
		r->held_last = number;
}

void fragment_store_hold(struct fragments *f, struct record *r, const struct pkt_view *v)
{
	uint32_t number = take_cell(f);
	struct cell *c = cell_at(f, number);

	c->start = v->frag_offset;
	c->len = v->len;
	c->units = store_bytes(f, v->ip, v->len);
	insert_cell(f, r, number);
	r->held++;
	f->held++;
	++*held_by(f, r->src);
}

size_t fragment_store_take(struct fragments *f, struct record *r, uint8_t *out)
{
	uint32_t number = r->held_first;
	struct cell *c;

	if (!number)
		return 0;
	c = cell_at(f, number);
	take_bytes(f, c, out);
	r->held_first = c->next;
	if (!r->held_first)
		r->held_last = 0;
	c->next = f->cell_pool.free;
	f->cell_pool.free = number;
	r->held--;
	f->held--;
	--*held_by(f, r->src);
	return c->len;
}

static bool is_same_payload(const struct fragments *f, const struct cell *c, const struct pkt_view *v)
{
	const uint8_t *held = unit_at(f, c->units); /* the header is in the first unit */
	size_t ihl = (size_t)(held[0] & 15) * 4, from = ihl;
	uint32_t unit = c->units;

	if (c->len - ihl != (size_t)v->len - v->ihl || ((held[6] & 0x20) != 0) != v->more_fragments)
		return false;
	for (size_t at = 0; at < c->len; at += UNIT_LEN) {
		size_t end = c->len - at < UNIT_LEN ? c->len - at : UNIT_LEN;

		if (memcmp(unit_at(f, unit) + from, v->l4 + at + from - ihl, end - from) != 0)
			return false;
		from = 0;
		unit = f->unit_next[unit - 1];
	}
	return true;
}

bool fragment_store_holds(const struct fragments *f, const struct record *r, const struct pkt_view *v)
{
	for (uint32_t i = r->held_first; i != 0; i = cell_at(f, i)->next)
		if (cell_at(f, i)->start == v->frag_offset)
			return is_same_payload(f, cell_at(f, i), v);
	return false;
}

void fragment_store_drop_held(struct fragments *f, struct record *r)
{
	while (fragment_store_take(f, r, NULL) > 0)
		f->died++;
}

/* ---- releasing memory ---- */

enum {
	TRIM_BYTES = 1 << 20,
	TRIM_KEPT = 64 << 10 /* of each array, so that occasional fragments cause no page faults */
};

struct trimmer {
	void (*give_back)(void *ctx, void *start, size_t len);
	void *ctx;
	size_t left;
};

/* Releases the end of an array of `peak` entries that are all free; returns how many may still be resident. */
static uint32_t trim_array(struct trimmer *t, void *array, size_t size, uint32_t peak)
{
	size_t bytes = peak * size, from = bytes > t->left ? bytes - t->left : 0;

	if (bytes <= TRIM_KEPT)
		return peak;
	from = from > TRIM_KEPT ? from : TRIM_KEPT;
	t->give_back(t->ctx, (uint8_t *)array + from, bytes - from);
	t->left -= bytes - from;
	return (uint32_t)(from / size);
}

bool fragment_store_trim(struct fragments *f, void (*give_back)(void *ctx, void *start, size_t len), void *ctx)
{
	struct trimmer t = {give_back, ctx, TRIM_BYTES};

	if (f->lists[LIST_FOLLOWED].count + f->lists[LIST_REST].count > 0)
		return false;
	f->record_pool.used = f->record_pool.free = 0;
	f->cell_pool.used = f->cell_pool.free = 0;
	f->unit_pool.used = f->unit_pool.free = 0;
	f->unit_pool.peak = trim_array(&t, f->data, UNIT_LEN, f->unit_pool.peak);
	f->record_pool.peak = trim_array(&t, f->records, sizeof(struct record), f->record_pool.peak);
	f->cell_pool.peak = trim_array(&t, f->cells, sizeof(struct cell), f->cell_pool.peak);
	if (t.left > 0 && f->hashes_used) { /* all zero */
		give_back(ctx, f->buckets, (f->bucket_mask + 1) * sizeof(uint32_t));
		give_back(ctx, f->sources, (f->source_mask + 1) * sizeof(uint32_t));
		f->hashes_used = false;
	}
	return t.left == 0;
}

/* ---- self-check ---- */

static const char *check_ranges(const struct record *r)
{
	uint32_t last_end = 0;

	if (r->n_ranges > RANGES_MAX)
		return "more ranges than there is room for";
	for (unsigned i = 0; i < r->n_ranges; i++) {
		if (r->ranges[i].start >= r->ranges[i].end || (i > 0 && r->ranges[i].start <= last_end))
			return "ranges out of order, or touching";
		last_end = r->ranges[i].end;
	}
	if (r->total && last_end > r->total)
		return "bytes seen beyond the end of the datagram";
	return NULL;
}

static const char *check_cells(const struct fragments *f, const struct record *r)
{
	uint32_t n = 0, last = 0;

	for (uint32_t i = r->held_first; i != 0; last = i, i = cell_at(f, i)->next) {
		if (i > f->cell_pool.used || ++n > r->held)
			return "held fragments: a loop, or more than counted";
		if (last && cell_at(f, last)->start >= cell_at(f, i)->start)
			return "held fragments out of order";
	}
	if (n != r->held || last != r->held_last)
		return "held fragments: fewer than counted, or a wrong last one";
	if (r->kind == RECORD_WAITING && n == 0 && r->n_ranges > 0)
		return "a record waits with nothing held";
	if (r->kind == RECORD_POISONED && n > 0)
		return "a poisoned record holds fragments";
	return *held_by(f, r->src) < n ? "a source holds more than its count" : NULL;
}

static bool is_in_bucket(const struct fragments *f, const struct record *r)
{
	uint32_t n = 0;
	uint32_t i = *bucket_of_record(f, r);

	while (i != 0 && record_at(f, i) != r && n++ < f->record_pool.used)
		i = record_at(f, i)->chain;
	return i != 0 && record_at(f, i) == r;
}

static const char *check_list(const struct fragments *f, enum record_list list, uint32_t *held)
{
	uint32_t n = 0, last = 0;

	for (uint32_t i = f->lists[list].oldest; i != 0; last = i, i = record_at(f, i)->newer) {
		const struct record *r = record_at(f, i);
		const char *wrong = check_ranges(r);

		if (++n > f->lists[list].count || r->older != last || list_of(r->kind) != list)
			return "list of records broken";
		if (last && record_at(f, last)->stamp_ms > r->stamp_ms)
			return "list of records not in order of time";
		if (!is_in_bucket(f, r))
			return "record not in its bucket";
		wrong = wrong ? wrong : check_cells(f, r);
		if (wrong)
			return wrong;
		*held += r->held;
	}
	if (n != f->lists[list].count || last != f->lists[list].newest || n > list_room(f, list))
		return "list of records miscounted";
	return NULL;
}

/* Number of free entries in the chain; more than were ever taken means a loop. */
static uint32_t free_units(const struct fragments *f)
{
	uint32_t n = 0;

	for (uint32_t i = f->unit_pool.free; i != 0 && n <= f->unit_pool.used; i = f->unit_next[i - 1])
		n++;
	return n;
}

static uint32_t units_of(const struct fragments *f, const struct record *r)
{
	uint32_t n = 0;

	for (uint32_t i = r->held_first; i != 0; i = cell_at(f, i)->next)
		n += (cell_at(f, i)->len + UNIT_LEN - 1u) / UNIT_LEN;
	return n;
}

static const char *check_free(const struct fragments *f)
{
	uint32_t records = 0, cells = 0, held = 0, units = free_units(f);

	for (uint32_t i = f->record_pool.free; i != 0 && records <= f->record_pool.used; i = record_at(f, i)->chain)
		records++;
	for (uint32_t i = f->cell_pool.free; i != 0 && cells <= f->cell_pool.used; i = cell_at(f, i)->next)
		cells++;
	for (uint32_t i = 0; i <= f->source_mask; i++)
		held += f->sources[i];
	for (uint32_t i = f->lists[LIST_REST].oldest; i != 0; i = record_at(f, i)->newer)
		units += units_of(f, record_at(f, i));
	for (uint32_t i = f->lists[LIST_FOLLOWED].oldest; i != 0; i = record_at(f, i)->newer)
		units += units_of(f, record_at(f, i));
	if (records + f->lists[LIST_FOLLOWED].count + f->lists[LIST_REST].count != f->record_pool.used)
		return "records lost, or in two places";
	if (cells + f->held != f->cell_pool.used || f->cell_pool.used > f->capacity)
		return "cells lost, or in two places";
	if (units != f->unit_pool.used)
		return "units of data lost, or in two places";
	return held == f->held ? NULL : "held fragments by source do not add up";
}

const char *fragment_check(const struct fragments *f)
{
	uint32_t held = 0;
	const char *wrong = check_list(f, LIST_FOLLOWED, &held);

	wrong = wrong ? wrong : check_list(f, LIST_REST, &held);
	wrong = wrong ? wrong : check_free(f);
	return !wrong && held != f->held ? "held fragments of the records do not add up" : wrong;
}
