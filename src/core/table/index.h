/* SPDX-License-Identifier: ISC */
/*
 * A hash index from keys to record numbers: 32 bits an entry, no keys of its own (they are read from the records),
 * memory in step with the number of entries, and no pause when it grows or shrinks.
 *
 * A bucket is one cache line of 16 slots; a slot is a tag of the hash and a reference. A key may lie in two buckets,
 * the first preferred. So a look-up usually reads one bucket and at most two (and a stash in the rare case that both
 * were full and neither could be thinned). One bucket is added or removed at a time, in step with inserts and removes.
 *
 * References are below 2^ref_bits; the caller compares keys, and may store several references under one hash.
 */
#ifndef NATD_CORE_INDEX_H
#define NATD_CORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/base/prefetch.h"

enum {
	INDEX_SLOTS = 16,
	INDEX_FILL = 22,   /* half entries a bucket on average: above this, it grows (5.8 bytes an entry) */
	INDEX_SPARSE = 12, /* below this, it shrinks */
	INDEX_MIN_BUCKETS = 16,
	INDEX_STASH = 4, /* buckets; enough for every entry that one step of growing could fail to place */
};
#define INDEX_NONE UINT32_MAX

struct index_bucket {
	uint32_t slot[INDEX_SLOTS]; /* 0: empty; else tag (never 0) << ref_bits | reference */
} __attribute__((aligned(64)));

/* Gets from a reference back to its key. */
struct index_source {
	uint64_t (*hash)(const void *ctx, uint32_t ref);
	const void *(*locate)(const void *ctx, uint32_t ref); /* the record that hash() reads: a prefetch hint */
	const void *ctx;
};

struct index { /* read only for other code */
	struct index_bucket *buckets;
	struct index_bucket stash[INDEX_STASH];
	struct index_source source;
	uint32_t n;    /* buckets in use */
	uint32_t mask; /* of bucket numbers; n is above half of it: see "Growth" in index.c */
	uint32_t max;
	uint32_t peak;	/* largest n since the owner last reset it */
	uint32_t count; /* entries, including those in the stash */
	uint32_t stashed;
	uint32_t ref_mask;
	unsigned ref_bits;
	uint64_t missed; /* has_missed: no entry has this hash */
	bool has_missed;
	bool is_building; /* reserved, and nothing removed since: a miss in a first bucket with room is final */
};

/* The most buckets that an index of `entries` entries has, also when they are added at once. */
uint32_t index_buckets(uint32_t entries);
/* `buckets`: max_buckets zeroed ones, borrowed, touched as entries are added. */
void index_init(struct index *ix, struct index_bucket *buckets, uint32_t max_buckets, unsigned ref_bits,
		const struct index_source *source);
/* Makes an empty index as large as `entries` added at once will need: no splits while they are added, and misses read
 * one bucket until index_fit() or the first index_remove(). */
void index_reserve(struct index *ix, uint32_t entries);
/* Ends the bulk load; shrinks an index that was made too large. O(n). */
void index_fit(struct index *ix);
/* Removes every entry. O(n). */
void index_clear(struct index *ix);

/* The record of `ref` must be readable. False: no room (both buckets and the stash are full). */
bool index_insert(struct index *ix, uint64_t hash, uint32_t ref);
/* False: it is not there. */
bool index_remove(struct index *ix, uint64_t hash, uint32_t ref);
/* Replaces `from` by `to`, which has the same hash. False: `from` is not there. */
bool index_replace(struct index *ix, uint64_t hash, uint32_t from, uint32_t to);
bool index_contains(const struct index *ix, uint64_t hash, uint32_t ref);
/* Moves an entry found in its second bucket to its first if that has room. */
void index_bring_home(struct index *ix, uint64_t hash, uint32_t ref);
/* Entries in their second bucket, and in the stash: O(n), for tests and benchmarks. */
uint32_t index_displaced(const struct index *ix);

/* Returns NULL, or what is wrong; is_valid (may be NULL) checks whether a reference names a record in use. O(n). */
const char *index_check(const struct index *ix, bool (*is_valid)(const void *ctx, uint32_t ref));

/* ---- look-up, inline: it is the packet path ---- */

/* The bucket that 26 bits of a hash name. See "Growth" in index.c. */
static inline uint32_t index_bucket_of(const struct index *ix, uint32_t bits)
{
	uint32_t at = bits & ix->mask;

	return at < ix->n ? at : bits & ix->mask >> 1;
}

static inline uint32_t index_first_bucket(const struct index *ix, uint64_t hash)
{
	return index_bucket_of(ix, (uint32_t)hash);
}

static inline uint32_t index_second_bucket(const struct index *ix, uint64_t hash)
{
	return index_bucket_of(ix, (uint32_t)(hash >> 26));
}

/* The tag, shifted to its place. */
static inline uint32_t index_tag_of(uint64_t hash, unsigned ref_bits)
{
	uint32_t tag = (uint32_t)(hash >> (32 + ref_bits));

	return (tag + (tag == 0)) << ref_bits;
}

static inline uint32_t index_tag(const struct index *ix, uint64_t hash)
{
	return index_tag_of(hash, ix->ref_bits);
}

/* Bit i is set if slot i of `b`, under `mask`, equals `want`. */
static inline uint32_t index_match(const struct index_bucket *b, uint32_t mask, uint32_t want)
{
#ifdef __SSE2__
	const __m128i *v = (const __m128i *)(const void *)b;
	__m128i m = _mm_set1_epi32((int)mask), w = _mm_set1_epi32((int)want);
	__m128i e0 = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(v), m), w);
	__m128i e1 = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(v + 1), m), w);
	__m128i e2 = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(v + 2), m), w);
	__m128i e3 = _mm_cmpeq_epi32(_mm_and_si128(_mm_load_si128(v + 3), m), w);

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(e0, e1), _mm_packs_epi32(e2, e3)));
#else
	uint32_t found = 0;

	for (unsigned i = 0; i < INDEX_SLOTS; i++)
		found |= (uint32_t)((b->slot[i] & mask) == want) << i;
	return found;
#endif
}

static inline void index_prefetch(const struct index *ix, uint64_t hash)
{
	prefetch(&ix->buckets[index_first_bucket(ix, hash)]);
}

/* Both buckets: for keys that are probably absent, or about to be inserted or removed. */
static inline void index_prefetch_both(const struct index *ix, uint64_t hash)
{
	index_prefetch(ix, hash);
	if (!ix->is_building)
		prefetch(&ix->buckets[index_second_bucket(ix, hash)]);
}

/* The next step, for a key about to be inserted, whose first bucket has arrived: prefetches the second bucket if the
 * first is full, and the first record in it with the same tag. Returns that reference, or INDEX_NONE. */
static inline uint32_t index_prefetch_more(const struct index *ix, uint64_t hash)
{
	const struct index_bucket *b = &ix->buckets[index_first_bucket(ix, hash)];
	uint32_t found = index_match(b, ~ix->ref_mask, index_tag(ix, hash)), ref;

	if (index_match(b, UINT32_MAX, 0) == 0)
		prefetch(&ix->buckets[index_second_bucket(ix, hash)]);
	if (found == 0)
		return INDEX_NONE;
	ref = b->slot[__builtin_ctz(found)] & ix->ref_mask;
	prefetch(ix->source.locate(ix->source.ctx, ref));
	return ref;
}

static inline bool index_is_noted(const struct index *ix, uint64_t hash)
{
	return ix->has_missed && ix->missed == hash;
}

/* Walks the references with a matching tag; a hash that was remembered as absent has none: for (ref =
 * index_begin(&c, ix, hash); ref != INDEX_NONE; ref = index_next(&c)) */
struct index_cursor {
	const struct index *ix;
	const struct index_bucket *bucket;
	uint64_t hash;
	uint32_t tag;
	uint32_t found;
	uint32_t step; /* buckets visited: 1, 2, more (stash) */
};

static inline uint32_t index_next(struct index_cursor *c)
{
	uint32_t i;

	while (c->found == 0) {
		if (c->step == 1 && c->ix->is_building && index_match(c->bucket, UINT32_MAX, 0) != 0)
			return INDEX_NONE;
		if (c->step == 1)
			c->bucket = &c->ix->buckets[index_second_bucket(c->ix, c->hash)];
		else if (c->ix->stashed > 0 && c->step < 2 + INDEX_STASH)
			c->bucket = &c->ix->stash[c->step - 2];
		else
			return INDEX_NONE;
		c->step++;
		c->found = index_match(c->bucket, ~c->ix->ref_mask, c->tag);
	}
	i = (uint32_t)__builtin_ctz(c->found);
	c->found &= c->found - 1;
	return c->bucket->slot[i] & c->ix->ref_mask;
}

static inline uint32_t index_begin(struct index_cursor *c, const struct index *ix, uint64_t hash)
{
	c->ix = ix;
	c->hash = hash;
	c->step = 1;
	if (index_is_noted(ix, hash))
		return INDEX_NONE;
	c->tag = index_tag(ix, hash);
	c->bucket = &ix->buckets[index_first_bucket(ix, hash)];
	c->found = index_match(c->bucket, ~ix->ref_mask, c->tag);
	return index_next(c);
}

/* Certain: a walk under this hash would find nothing. */
static inline bool index_misses(const struct index *ix, uint64_t hash)
{
	const struct index_bucket *first = &ix->buckets[index_first_bucket(ix, hash)];
	uint32_t tag = index_tag(ix, hash), mask = ~ix->ref_mask;

	if (index_is_noted(ix, hash))
		return true;
	if (ix->stashed > 0 || index_match(first, mask, tag) != 0)
		return false;
	return (ix->is_building && index_match(first, UINT32_MAX, 0) != 0) ||
	       index_match(&ix->buckets[index_second_bucket(ix, hash)], mask, tag) == 0;
}

/* Remembers that this hash is absent, so later look-ups can skip it until it is inserted. A new key is looked up
 * several times. */
static inline void index_remember_absent(struct index *ix, uint64_t hash)
{
	ix->missed = hash;
	ix->has_missed = true;
}

#endif
