/* SPDX-License-Identifier: ISC */
/*
 * Theory of operation
 *
 * Buckets 0..n-1 are in use; low <= n < 2 low. A number x of many bits means bucket x mod 2 low, or x mod low
 * if the former is not in use yet. Growing by one bucket therefore concerns the entries of bucket
 * n - low alone, which either stay or move to bucket n; shrinking is the reverse.
 *
 * In the middle of a round of splits the buckets not yet split are offered up to twice the entries of
 * the others: 26 for 16 slots. A key's second bucket, drawn independently from the hash, takes what
 * overflows: the unsplit ones are then the smaller half of the second choices too, so there is room.
 * When both are full one resident of either is sent to its own other bucket (one step, no chain: at the
 * fill allowed here that fails about never); what remains goes to the stash, and is taken up again at later calls.
 *
 * Nothing records which keys of a bucket lie in their second one: a miss reads both. That is the
 * price for 16 slots a line instead of 15, and for splits that need not look for strays. A stray comes home when a
 * look-up meets it while there is room.
 *
 * Invariants (index_check): an entry lies in one of the two buckets of its hash or in the stash; slots beyond bucket
 * n are empty; count is exact.
 */
#include "index.h"

#include <string.h>

uint32_t index_buckets(uint32_t entries)
{
	uint32_t n = entries / INDEX_FILL + 1;

	return n < INDEX_MIN_BUCKETS ? INDEX_MIN_BUCKETS : n;
}

static void set_size(struct index *ix, uint32_t n)
{
	ix->n = n;
	ix->low = 1u << (31 - __builtin_clz(n));
	if (ix->peak < n)
		ix->peak = n;
}

void index_init(struct index *ix, struct index_bucket *buckets, uint32_t max_buckets, unsigned ref_bits,
		const struct index_source *source)
{
	memset(ix, 0, sizeof(*ix));
	ix->buckets = buckets;
	ix->source = *source;
	ix->max = max_buckets;
	ix->ref_bits = ref_bits;
	ix->ref_mask = (1u << ref_bits) - 1;
	set_size(ix, INDEX_MIN_BUCKETS);
}

void index_reserve(struct index *ix, uint32_t entries)
{
	uint32_t n = index_buckets(entries);

	if (ix->count == 0)
		set_size(ix, n < ix->max ? n : ix->max);
}

void index_clear(struct index *ix)
{
	memset(ix->buckets, 0, ix->n * sizeof(*ix->buckets));
	memset(&ix->stash, 0, sizeof(ix->stash));
	ix->count = 0;
	ix->stashed = 0;
	set_size(ix, INDEX_MIN_BUCKETS);
}

static bool place(struct index_bucket *b, uint32_t word)
{
	uint32_t empty = index_match(b, UINT32_MAX, 0);

	if (empty == 0)
		return false;
	b->slot[__builtin_ctz(empty)] = word;
	return true;
}

/* Takes `word` out of `b`, if it is there. */
static bool unplace(struct index_bucket *b, uint32_t word)
{
	uint32_t found = index_match(b, UINT32_MAX, word);

	if (found == 0)
		return false;
	b->slot[__builtin_ctz(found)] = 0;
	return true;
}

static uint64_t hash_of(const struct index *ix, uint32_t word)
{
	return ix->source.hash(ix->source.ctx, word & ix->ref_mask);
}

/* The hashes of 16 records are 16 cache misses: let them overlap. */
static void prefetch_records(const struct index *ix, const struct index_bucket *b)
{
	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		if (b->slot[i] != 0)
			__builtin_prefetch(ix->source.locate(ix->source.ctx, b->slot[i] & ix->ref_mask));
	}
}

/* Sends one entry of the full bucket `from` to its other bucket. */
static bool make_room(struct index *ix, uint32_t from)
{
	struct index_bucket *b = &ix->buckets[from];

	prefetch_records(ix, b);
	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		uint64_t hash = hash_of(ix, b->slot[i]);
		uint32_t other = index_first_bucket(ix, hash);

		if (other == from)
			other = index_second_bucket(ix, hash);
		if (other != from && place(&ix->buckets[other], b->slot[i])) {
			b->slot[i] = 0;
			return true;
		}
	}
	return false;
}

static bool put(struct index *ix, uint64_t hash, uint32_t word)
{
	uint32_t first = index_first_bucket(ix, hash);
	uint32_t second = index_second_bucket(ix, hash);

	if (place(&ix->buckets[first], word) || place(&ix->buckets[second], word))
		return true;
	if (make_room(ix, first))
		return place(&ix->buckets[first], word);
	if (make_room(ix, second))
		return place(&ix->buckets[second], word);
	if (!place(&ix->stash, word))
		return false;
	ix->stashed++;
	return true;
}

/* One bucket more: the entries of its lower twin that belong to it move there; strays of other buckets go
 * home if they can. */
static void split(struct index *ix)
{
	uint32_t to = ix->n, from = ix->n - ix->low;
	struct index_bucket *b = &ix->buckets[from];
	uint64_t hash[INDEX_SLOTS];

	prefetch_records(ix, b);
	set_size(ix, ix->n + 1);
	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		if (b->slot[i] == 0)
			continue;
		hash[i] = hash_of(ix, b->slot[i]);
		__builtin_prefetch(&ix->buckets[index_first_bucket(ix, hash[i])]);
	}
	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		uint32_t first;

		if (b->slot[i] == 0)
			continue;
		first = index_first_bucket(ix, hash[i]);
		if (first == from)
			continue;
		if (place(&ix->buckets[first], b->slot[i]) ||
		    (index_second_bucket(ix, hash[i]) == to && place(&ix->buckets[to], b->slot[i])))
			b->slot[i] = 0;
	}
}

/* One bucket less. The stash is empty before, so that it can take whatever finds no other place. */
static void merge(struct index *ix)
{
	struct index_bucket *last = &ix->buckets[ix->n - 1];
	struct index_bucket moved = *last;

	set_size(ix, ix->n - 1);
	if (index_match(&moved, UINT32_MAX, 0) == 0xffff)
		return; /* not even written: it may lie on a page never touched */
	prefetch_records(ix, &moved);
	memset(last, 0, sizeof(*last));
	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		if (moved.slot[i] != 0)
			put(ix, hash_of(ix, moved.slot[i]), moved.slot[i]);
	}
}

void index_fit(struct index *ix)
{
	while (ix->stashed == 0 && ix->n > INDEX_MIN_BUCKETS && ix->count < ix->n * INDEX_SPARSE)
		merge(ix);
}

/* Tries to find a bucket for one stashed entry. */
static void drain(struct index *ix)
{
	unsigned i = (unsigned)__builtin_ctz(~index_match(&ix->stash, UINT32_MAX, 0));
	uint32_t word = ix->stash.slot[i];

	ix->stash.slot[i] = 0;
	ix->stashed--;
	put(ix, hash_of(ix, word), word);
}

bool index_insert(struct index *ix, uint64_t hash, uint32_t ref)
{
	if (ix->count >= ix->n * INDEX_FILL && ix->n < ix->max)
		split(ix);
	if (ix->stashed > 0)
		drain(ix);
	if (!put(ix, hash, index_tag(ix, hash) | ref))
		return false;
	ix->count++;
	return true;
}

bool index_remove(struct index *ix, uint64_t hash, uint32_t ref)
{
	uint32_t word = index_tag(ix, hash) | ref;

	if (!unplace(&ix->buckets[index_first_bucket(ix, hash)], word) &&
	    !unplace(&ix->buckets[index_second_bucket(ix, hash)], word)) {
		if (ix->stashed == 0 || !unplace(&ix->stash, word))
			return false;
		ix->stashed--;
	}
	ix->count--;
	if (ix->stashed > 0)
		drain(ix);
	else if (ix->n > INDEX_MIN_BUCKETS && ix->count < ix->n * INDEX_SPARSE)
		merge(ix);
	return true;
}

static uint32_t *find_word(const struct index *ix, uint64_t hash, uint32_t ref)
{
	uint32_t word = index_tag(ix, hash) | ref;
	struct index_bucket *b = &ix->buckets[index_first_bucket(ix, hash)];
	uint32_t found = index_match(b, UINT32_MAX, word);

	if (found == 0) {
		b = &ix->buckets[index_second_bucket(ix, hash)];
		found = index_match(b, UINT32_MAX, word);
	}
	return found ? &b->slot[__builtin_ctz(found)] : NULL;
}

bool index_replace(struct index *ix, uint64_t hash, uint32_t from, uint32_t to)
{
	uint32_t *slot = find_word(ix, hash, from);

	if (slot == NULL) {
		uint32_t found = index_match(&ix->stash, UINT32_MAX, index_tag(ix, hash) | from);

		if (found == 0)
			return false;
		slot = &ix->stash.slot[__builtin_ctz(found)];
	}
	*slot = index_tag(ix, hash) | to;
	return true;
}

bool index_contains(const struct index *ix, uint64_t hash, uint32_t ref)
{
	return find_word(ix, hash, ref) != NULL || index_match(&ix->stash, UINT32_MAX, index_tag(ix, hash) | ref) != 0;
}

void index_bring_home(struct index *ix, uint64_t hash, uint32_t ref)
{
	uint32_t first = index_first_bucket(ix, hash), second = index_second_bucket(ix, hash);
	uint32_t word = index_tag(ix, hash) | ref;

	if (first != second && index_match(&ix->buckets[second], UINT32_MAX, word) != 0 &&
	    place(&ix->buckets[first], word))
		unplace(&ix->buckets[second], word);
}

uint32_t index_displaced(const struct index *ix)
{
	uint32_t displaced = ix->stashed;

	for (uint32_t n = 0; n < ix->n; n++) {
		for (unsigned i = 0; i < INDEX_SLOTS; i++) {
			uint32_t word = ix->buckets[n].slot[i];

			displaced += word != 0 && index_first_bucket(ix, hash_of(ix, word)) != n;
		}
	}
	return displaced;
}

static const char *check_word(const struct index *ix, uint32_t word, uint32_t bucket,
			      bool (*is_valid)(const void *ctx, uint32_t ref))
{
	uint64_t hash;

	if (is_valid != NULL && !is_valid(ix->source.ctx, word & ix->ref_mask))
		return "index: entry without a record";
	hash = hash_of(ix, word);
	if ((word & ~ix->ref_mask) != index_tag(ix, hash))
		return "index: wrong tag";
	if (bucket != INDEX_NONE && index_first_bucket(ix, hash) != bucket && index_second_bucket(ix, hash) != bucket)
		return "index: entry in a wrong bucket";
	return NULL;
}

const char *index_check(const struct index *ix, bool (*is_valid)(const void *ctx, uint32_t ref))
{
	uint32_t count = 0, stashed = 0;

	for (uint32_t n = 0; n <= ix->n; n++) { /* the last round is the stash */
		const struct index_bucket *b = n < ix->n ? &ix->buckets[n] : &ix->stash;

		for (unsigned i = 0; i < INDEX_SLOTS; i++) {
			const char *wrong;

			if (b->slot[i] == 0)
				continue;
			count++;
			stashed += n == ix->n;
			wrong = check_word(ix, b->slot[i], n < ix->n ? n : INDEX_NONE, is_valid);
			if (wrong != NULL)
				return wrong;
			if (__builtin_popcount(index_match(b, UINT32_MAX, b->slot[i])) != 1)
				return "index: entry twice in a bucket";
		}
	}
	if (stashed != ix->stashed)
		return "index: stash count disagrees";
	return count == ix->count ? NULL : "index: count disagrees";
}
