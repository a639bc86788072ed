/* SPDX-License-Identifier: ISC */
/* See filter_dimension.h for the theory of operation. */

#include "filter_dimension.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/sort.h"

enum { DIRECTORY_BITS_MAX = 16 };

/* Numbers by hash: open addressing, grown by doubling; 0 marks an empty place, so numbers are kept plus one. */
struct number_map {
	uint64_t *hashes;
	uint32_t *numbers;
	uint32_t size; /* power of two */
	uint32_t used;
};

struct piece {
	uint32_t first;
	uint32_t row;
};

/*
 * A piece in the result is one word: the bits of its first value that its directory entry leaves open, above the number
 * of its row. So a set of 100,000 prefixes takes a megabyte, and a look-up reads the directory and one or two lines
 * more.
 */
struct filter_dimension {
	uint32_t *pieces; /* n_pieces + 1: from 1 on by their first values, ascending; the first value of all is 0 */
	uint32_t n_pieces;
	uint32_t *directory; /* of each entry: the last piece that begins before its values; and of the end */
	unsigned entry_bits; /* the upper bits of a value, which choose its entry; and the bits of a row's number */
	uint32_t n_chunks;   /* in a row */
	struct filter_cell *rows; /* n_chunks each */
	uint32_t n_rows, rows_room;
	uint64_t *chunks; /* CHUNK_WORDS words each */
	uint32_t n_chunks_made, chunks_room;
};

/* What the sweep over the edges needs beside the result. */
struct sweep {
	struct filter_dimension *d;
	const struct filter_group *groups;
	const uint64_t *others;
	struct piece *pieces; /* d->n_pieces */
	uint64_t *events;     /* value, group, end or beginning side by side */
	size_t n_events;
	uint32_t *active;   /* numbers of the groups that hold the present value */
	uint32_t *position; /* of a group in `active` */
	uint32_t n_active;
	uint64_t active_hash;
	uint64_t *row; /* the bitmap that is made */
	struct number_map rows, chunks;
};

/* ---- numbers by hash ---- */

static void map_place(struct number_map *m, uint64_t hash, uint32_t number)
{
	uint32_t i = (uint32_t)hash & (m->size - 1);

	while (m->numbers[i] != 0)
		i = (i + 1) & (m->size - 1);
	m->hashes[i] = hash;
	m->numbers[i] = number + 1;
	m->used++;
}

static bool map_resize(struct number_map *m, uint32_t size)
{
	struct number_map bigger = {calloc(size, sizeof(uint64_t)), calloc(size, sizeof(uint32_t)), size, 0};

	if (bigger.hashes == NULL || bigger.numbers == NULL) {
		free(bigger.hashes);
		free(bigger.numbers);
		return false;
	}
	for (uint32_t i = 0; i < m->size; i++) {
		if (m->numbers[i] != 0)
			map_place(&bigger, m->hashes[i], m->numbers[i] - 1);
	}
	free(m->hashes);
	free(m->numbers);
	*m = bigger;
	return true;
}

static bool map_add(struct number_map *m, uint64_t hash, uint32_t number)
{
	if (m->used >= m->size / 2 && !map_resize(m, m->size ? 2 * m->size : 64))
		return false;
	map_place(m, hash, number);
	return true;
}

/* The next number with this hash; *cursor 0 at first. False: no more. */
static bool map_find(const struct number_map *m, uint64_t hash, uint32_t *cursor, uint32_t *number)
{
	while (m->size != 0) {
		uint32_t i = ((uint32_t)hash + (*cursor)++) & (m->size - 1);

		if (m->numbers[i] == 0)
			return false;
		if (m->hashes[i] == hash) {
			*number = m->numbers[i] - 1;
			return true;
		}
	}
	return false;
}

static void map_clear(struct number_map *m)
{
	free(m->hashes);
	free(m->numbers);
}

/* ---- rows and chunks ---- */

/* An array of n elements of `size` bytes with room for one more: `old`, or a larger one in its place. NULL when memory
 * is short: `old` is as before. */
static void *make_room(void *old, uint32_t n, uint32_t *room, size_t size)
{
	uint32_t wanted = *room ? 2 * *room : 16;
	void *bigger;

	if (n < *room)
		return old;
	bigger = calloc(wanted, size);
	if (bigger == NULL)
		return NULL;
	if (n > 0)
		memcpy(bigger, old, n * size);
	free(old);
	*room = wanted;
	return bigger;
}

static uint32_t words_in_use(const uint64_t *words)
{
	uint32_t used = 0;

	for (unsigned i = 0; i < CHUNK_WORDS; i++)
		used |= (uint32_t)(words[i] != 0) << i;
	return used;
}

static uint64_t chunk_hash(const uint64_t *words)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < CHUNK_WORDS; i++)
		h = hash_mix(h ^ words[i]);
	return h;
}

/* The number of the chunk with this content; UINT32_MAX when memory is short. */
static uint32_t intern_chunk(struct sweep *s, const uint64_t *words)
{
	struct filter_dimension *d = s->d;
	uint64_t hash = chunk_hash(words);
	uint32_t cursor = 0, number;
	uint64_t *larger;

	while (map_find(&s->chunks, hash, &cursor, &number)) {
		if (memcmp(d->chunks + (size_t)number * CHUNK_WORDS, words, CHUNK_WORDS * sizeof(*words)) == 0)
			return number;
	}
	number = d->n_chunks_made;
	larger = make_room(d->chunks, number, &d->chunks_room, CHUNK_WORDS * sizeof(*words));
	d->chunks = larger ? larger : d->chunks;
	if (!larger || !map_add(&s->chunks, hash, number))
		return UINT32_MAX;
	memcpy(d->chunks + (size_t)number * CHUNK_WORDS, words, CHUNK_WORDS * sizeof(*words));
	d->n_chunks_made++;
	return number;
}

static void fill_row(struct sweep *s)
{
	memcpy(s->row, s->others, (size_t)s->d->n_chunks * CHUNK_WORDS * sizeof(*s->row));
	for (uint32_t i = 0; i < s->n_active; i++) {
		const struct filter_group *g = &s->groups[s->active[i]];

		for (uint32_t k = 0; k < g->n_rules; k++)
			s->row[g->rules[k] / 64] |= UINT64_C(1) << g->rules[k] % 64;
	}
}

/* The row of the groups that are active now; UINT32_MAX when memory is short. Two sets of groups with one hash of 64
 * bits would share a row: with 400,000 pieces that happens once in 10^8 configurations, and the author of such a
 * configuration gains nothing by it. */
static uint32_t intern_row(struct sweep *s)
{
	struct filter_dimension *d = s->d;
	uint32_t cursor = 0, number, chunk;
	struct filter_cell *larger;

	if (map_find(&s->rows, s->active_hash, &cursor, &number))
		return number;
	fill_row(s);
	number = d->n_rows;
	larger = make_room(d->rows, number, &d->rows_room, d->n_chunks * sizeof(*d->rows));
	d->rows = larger ? larger : d->rows;
	if (!larger || !map_add(&s->rows, s->active_hash, number))
		return UINT32_MAX;
	for (uint32_t c = 0; c < d->n_chunks; c++) {
		chunk = intern_chunk(s, s->row + (size_t)c * CHUNK_WORDS);
		if (chunk == UINT32_MAX)
			return UINT32_MAX;
		d->rows[(size_t)number * d->n_chunks + c] =
			(struct filter_cell){chunk, words_in_use(s->row + (size_t)c * CHUNK_WORDS)};
	}
	d->n_rows++;
	return number;
}

/* ---- the sweep ---- */

static uint64_t group_hash(uint32_t group)
{
	return hash_mix((uint64_t)group + 1);
}

static void toggle(struct sweep *s, uint32_t group, bool begins)
{
	if (begins) {
		s->position[group] = s->n_active;
		s->active[s->n_active++] = group;
	} else {
		uint32_t moved = s->active[--s->n_active];

		s->active[s->position[group]] = moved;
		s->position[moved] = s->position[group];
	}
	s->active_hash ^= group_hash(group);
}

static void collect_events(struct sweep *s, uint32_t n_groups)
{
	for (uint32_t g = 0; g < n_groups; g++) {
		for (uint32_t i = 0; i < s->groups[g].n_spans; i++) {
			const struct filter_span *span = &s->groups[g].spans[i];

			s->events[s->n_events++] = (uint64_t)span->first << 32 | (uint64_t)g << 1 | 1;
			if (span->last != UINT32_MAX)
				s->events[s->n_events++] = (uint64_t)(span->last + 1) << 32 | (uint64_t)g << 1;
		}
	}
	sort_words(s->events, s->n_events);
}

static bool add_piece(struct sweep *s, uint32_t first)
{
	struct filter_dimension *d = s->d;
	uint32_t row = intern_row(s);

	if (row == UINT32_MAX)
		return false;
	if (d->n_pieces == 0 || s->pieces[d->n_pieces - 1].row != row)
		s->pieces[d->n_pieces++] = (struct piece){first, row};
	return true;
}

/* The events are sorted by value: all of one value are taken together, then the piece that begins there is added. */
static bool sweep_events(struct sweep *s)
{
	size_t i = 0;

	if ((s->n_events == 0 || s->events[0] >> 32 != 0) && !add_piece(s, 0))
		return false;
	while (i < s->n_events) {
		uint32_t value = (uint32_t)(s->events[i] >> 32);

		for (; i < s->n_events && s->events[i] >> 32 == value; i++)
			toggle(s, (uint32_t)s->events[i] >> 1, s->events[i] & 1);
		if (!add_piece(s, value))
			return false;
	}
	return true;
}

/* ---- creation ---- */

/* As many entries as pieces, up to DIRECTORY_BITS_MAX; more only where the numbers of the rows need the bits. */
static unsigned entry_bits(const struct filter_dimension *d)
{
	unsigned bits = 1;

	while ((bits < DIRECTORY_BITS_MAX && 1u << bits < d->n_pieces) || 1u << bits < d->n_rows)
		bits++;
	return bits;
}

static bool pack(struct filter_dimension *d, const struct piece *pieces)
{
	unsigned bits = entry_bits(d);
	uint32_t entries = 1u << bits, piece = 0;

	assert(bits < 32);
	d->entry_bits = bits;
	d->pieces = calloc((size_t)d->n_pieces + 1, sizeof(*d->pieces));
	d->directory = calloc((size_t)entries + 1, sizeof(*d->directory));
	if (d->pieces == NULL || d->directory == NULL)
		return false;
	for (uint32_t i = 0; i < d->n_pieces; i++)
		d->pieces[i + 1] = pieces[i].first << bits | pieces[i].row;
	for (uint32_t e = 0; e < entries; e++) {
		while (piece < d->n_pieces && pieces[piece].first < e << (32 - bits))
			piece++;
		d->directory[e] = piece;
	}
	d->directory[entries] = d->n_pieces;
	return true;
}

static bool sweep_create(struct sweep *s, uint32_t n_groups, size_t n_spans)
{
	struct filter_dimension *d = s->d;

	s->events = calloc(2 * n_spans + 1, sizeof(*s->events));
	s->active = calloc((size_t)n_groups + 1, sizeof(*s->active));
	s->position = calloc((size_t)n_groups + 1, sizeof(*s->position));
	s->row = calloc((size_t)d->n_chunks * CHUNK_WORDS, sizeof(*s->row));
	s->pieces = calloc(2 * n_spans + 1, sizeof(*s->pieces));
	return s->events && s->active && s->position && s->row && s->pieces;
}

static void sweep_clear(struct sweep *s)
{
	free(s->pieces);
	free(s->events);
	free(s->active);
	free(s->position);
	free(s->row);
	map_clear(&s->rows);
	map_clear(&s->chunks);
}

struct filter_dimension *filter_dimension_create(const struct filter_group *groups, uint32_t n_groups,
						 const uint64_t *others, uint32_t n_chunks)
{
	struct sweep s = {.d = calloc(1, sizeof(*s.d)), .groups = groups, .others = others};
	size_t n_spans = 0;
	bool made;

	assert(n_chunks > 0);
	if (s.d == NULL)
		return NULL;
	s.d->n_chunks = n_chunks;
	for (uint32_t g = 0; g < n_groups; g++)
		n_spans += groups[g].n_spans;
	made = sweep_create(&s, n_groups, n_spans);
	if (made) {
		collect_events(&s, n_groups);
		made = sweep_events(&s) && pack(s.d, s.pieces);
	}
	sweep_clear(&s);
	if (made)
		return s.d;
	filter_dimension_destroy(s.d);
	return NULL;
}

void filter_dimension_destroy(struct filter_dimension *d)
{
	if (d == NULL)
		return;
	free(d->pieces);
	free(d->directory);
	free(d->rows);
	free(d->chunks);
	free(d);
}

/* ---- look-up ---- */

/* No branch depends on the contents of the pieces: half of those would be predicted wrongly. */
const struct filter_cell *filter_dimension_row(const struct filter_dimension *d, uint32_t value)
{
	const uint32_t *entry = &d->directory[value >> (32 - d->entry_bits)];
	const uint32_t *low = &d->pieces[entry[0]]; /* begins at or before the value */
	uint32_t n = entry[1] - entry[0];	    /* pieces that begin within the entry's values */
	uint32_t rows = (1u << d->entry_bits) - 1;
	uint32_t highest = value << d->entry_bits | rows; /* no piece behind the value's own is below or equal */

	while (n > 0) {
		uint32_t half = n / 2 + n % 2;

		low += low[half] <= highest ? half : 0;
		n -= half;
	}
	return d->rows + (size_t)(*low & rows) * d->n_chunks;
}

const uint64_t *filter_dimension_chunk(const struct filter_dimension *d, uint32_t chunk)
{
	return d->chunks + (size_t)chunk * CHUNK_WORDS;
}

uint64_t filter_dimension_bytes(const struct filter_dimension *d)
{
	return sizeof(*d) + ((uint64_t)d->n_pieces + 1) * sizeof(*d->pieces) +
	       ((UINT64_C(1) << d->entry_bits) + 1) * sizeof(*d->directory) +
	       (uint64_t)d->n_rows * d->n_chunks * sizeof(*d->rows) +
	       (uint64_t)d->n_chunks_made * CHUNK_WORDS * sizeof(uint64_t);
}

uint32_t filter_spans_join(struct filter_span *spans, uint32_t n, uint64_t *words)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		words[i] = (uint64_t)spans[i].first << 32 | spans[i].last;
	sort_words(words, n);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t first = (uint32_t)(words[i] >> 32), last = (uint32_t)words[i];

		if (kept > 0 && (spans[kept - 1].last == UINT32_MAX || first <= spans[kept - 1].last + 1)) {
			if (last > spans[kept - 1].last)
				spans[kept - 1].last = last;
		} else {
			spans[kept++] = (struct filter_span){first, last};
		}
	}
	return kept;
}
