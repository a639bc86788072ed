/* SPDX-License-Identifier: ISC */
/*
 * Theory of operation
 *
 * Growth. Linear hashing: bucket n is added by splitting bucket n - g, where g is the largest power of two up to n. The
 * bits of a key below 2g name its bucket, or if that does not exist yet, the bits below g. So the table is contiguous,
 * a new bucket is always the last, and no entry moves except when its bucket is split. In the middle of a round the
 * buckets not yet split hold twice what the others do: second choices level that, and the average of 11 of 16 leaves
 * the room for it. (Larson's partial expansions, which split two buckets into three and three into four, would allow
 * 12.5 of 16: but they read each entry twice as often while the table grows, and every look-up pays for the choice
 * between them.)
 *
 * Two choices. A key's second bucket, drawn independently from the hash, takes the overflow. When both are full, one
 * entry of either is moved to its own other bucket (one step, no chain); an entry that still finds no room goes to the
 * stash, and later calls retry it. Nothing records which keys of a bucket lie in their second one: a miss reads both.
 * That is the price for 16 slots a line instead of 15, and for growth that need not look for strays. A stray returns to
 * its first bucket when its bucket is split or a look-up of one key finds it, if there is room; a look-up of many at
 * once (session_find.c) spends a step on it.
 *
 * One step of growing or shrinking moves at most 16 entries, and the stash has room for that many before the step
 * begins: so no step can fail. Entries in the stash make the table grow early.
 *
 * Invariants (index_check): an entry lies in one of the two buckets of its hash or in the stash; slots beyond bucket n
 * are empty; count is exact.
 */
#include "index.h"

#include <string.h>

enum {
	ROOM = 8, /* where all come at once: one entry in so many more, so that few have to go to their second bucket */
	LATE = 4, /* a round is late once this part of it is over */
};

static uint32_t needed(uint32_t entries)
{
	uint32_t n = (uint32_t)((uint64_t)entries * 2 / INDEX_FILL) + 1;

	return n < INDEX_MIN_BUCKETS ? INDEX_MIN_BUCKETS : n;
}

/* The end of the round of splits that `n` buckets are in, n > 1. */
static uint32_t end_of_round(uint32_t n)
{
	return 1u << (32 - __builtin_clz(n - 1));
}

uint32_t index_buckets(uint32_t entries)
{
	return end_of_round(needed(entries));
}

static void set_size(struct index *ix, uint32_t n)
{
	ix->n = n;
	ix->mask = UINT32_MAX >> (__builtin_clz(n));
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
	uint32_t n = needed(entries < UINT32_MAX / 2 ? entries + entries / ROOM : entries), whole = end_of_round(n);

	if (ix->count > 0)
		return;
	if (n - whole / 2 > whole / 2 / LATE) /* late in a round: its last buckets would overflow, so it ends at once */
		n = whole;
	set_size(ix, n < ix->max ? n : ix->max);
	ix->is_building = true;
}

void index_clear(struct index *ix)
{
	memset(ix->buckets, 0, ix->n * sizeof(*ix->buckets));
	memset(ix->stash, 0, sizeof(ix->stash));
	ix->count = 0;
	ix->stashed = 0;
	ix->is_building = false;
	set_size(ix, INDEX_MIN_BUCKETS);
}

static inline bool place(struct index_bucket *b, uint32_t word)
{
	uint32_t empty = index_match(b, UINT32_MAX, 0);

	if (empty == 0)
		return false;
	b->slot[__builtin_ctz(empty)] = word;
	return true;
}

/* Removes `word` from `b`, if it is there. */
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

static void prefetch_record(const struct index *ix, uint32_t word)
{
	if (word != 0)
		prefetch(ix->source.locate(ix->source.ctx, word & ix->ref_mask));
}

/* The hashes of 16 records are 16 cache misses: prefetching makes them overlap. */
static void prefetch_records(const struct index *ix, const struct index_bucket *b)
{
	for (unsigned i = 0; i < INDEX_SLOTS; i++)
		prefetch_record(ix, b->slot[i]);
}

/* Moves one entry of the full bucket `from` to its other bucket. */
static bool make_room(struct index *ix, uint32_t from)
{
	struct index_bucket *b = &ix->buckets[from];

	prefetch_record(ix, b->slot[1]); /* usually the first or second will do */
	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		uint64_t hash = hash_of(ix, b->slot[i]);
		uint32_t other = index_first_bucket(ix, hash);

		if (i + 2 < INDEX_SLOTS)
			prefetch_record(ix, b->slot[i + 2]);

		if (other == from)
			other = index_second_bucket(ix, hash);
		if (other != from && place(&ix->buckets[other], b->slot[i])) {
			b->slot[i] = 0;
			return true;
		}
	}
	return false;
}

static bool stash(struct index *ix, uint32_t word)
{
	for (int i = 0; i < INDEX_STASH; i++) {
		if (place(&ix->stash[i], word)) {
			ix->stashed++;
			return true;
		}
	}
	return false;
}

static bool unstash(struct index *ix, uint32_t word)
{
	for (int i = 0; i < INDEX_STASH && ix->stashed > 0; i++) {
		if (unplace(&ix->stash[i], word)) {
			ix->stashed--;
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
	return stash(ix, word);
}

/* Strays of bucket `at`, as a set of slots: they move to their first bucket if they can, or to their second one if
 * that is the new one. */
static void settle_strays(struct index *ix, uint32_t at, uint32_t strays, const uint64_t hash[])
{
	struct index_bucket *b = &ix->buckets[at];

	for (; strays != 0; strays &= strays - 1) {
		unsigned i = (unsigned)__builtin_ctz(strays);
		uint32_t word = b->slot[i];

		if (place(&ix->buckets[index_first_bucket(ix, hash[i])], word)) {
			b->slot[i] = 0;
		} else if (index_second_bucket(ix, hash[i]) != at) {
			b->slot[i] = 0;
			put(ix, hash[i], word);
		}
	}
}

/* Moves entries of bucket `at` that belong to the last, new bucket there. The split is unpredictable, so it is
 * branch-free. */
static void split(struct index *ix, uint32_t at)
{
	uint32_t fresh = ix->n - 1, moved = 0, strays = 0;
	struct index_bucket *from = &ix->buckets[at], *to = &ix->buckets[fresh];
	uint64_t hash[INDEX_SLOTS];

	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		uint32_t word = from->slot[i], first;
		bool moves;

		if (word == 0)
			continue;
		hash[i] = hash_of(ix, word);
		first = index_first_bucket(ix, hash[i]);
		moves = first == fresh;
		to->slot[moved] = moves ? word : 0;
		from->slot[i] = moves ? 0 : word;
		moved += moves;
		strays |= (uint32_t)(!moves && first != at) << i;
	}
	settle_strays(ix, at, strays, hash);
}

/* The bucket that will be split next. */
static uint32_t next_split(const struct index *ix)
{
	return ix->n & ix->mask >> 1;
}

static void grow(struct index *ix)
{
	uint32_t from = next_split(ix);

	ix->is_building = false;
	set_size(ix, ix->n + 1);
	split(ix, from);
}

/* Removes the last bucket: the reverse of split(). */
static void shrink(struct index *ix)
{
	struct index_bucket *last = &ix->buckets[ix->n - 1];
	struct index_bucket moved = *last;

	set_size(ix, ix->n - 1);
	if (index_match(&moved, UINT32_MAX, 0) == 0xffff)
		return; /* not even written: it may lie on a page that was never touched */
	prefetch_records(ix, &moved);
	memset(last, 0, sizeof(*last));
	for (unsigned i = 0; i < INDEX_SLOTS; i++) {
		if (moved.slot[i] != 0)
			put(ix, hash_of(ix, moved.slot[i]), moved.slot[i]);
	}
}

/* Could the stash take all entries that one step moves? */
static bool may_step(const struct index *ix)
{
	return ix->stashed <= (INDEX_STASH - 1) * INDEX_SLOTS;
}

static bool wants_to_grow(const struct index *ix)
{
	uint32_t fill = ix->stashed > 0 ? INDEX_SPARSE + 4 : INDEX_FILL;

	return ix->n < ix->max && 2ull * ix->count >= (uint64_t)ix->n * fill && may_step(ix);
}

/* Prefetches what the next split will read, a few inserts ahead: first its bucket, then that bucket's records. */
static void prefetch_split(const struct index *ix)
{
	uint64_t left = (uint64_t)ix->n * INDEX_FILL - 2ull * ix->count;
	const struct index_bucket *b = &ix->buckets[next_split(ix)];

	if (left == 2)
		prefetch(b);
	else if (left == 0)
		prefetch_records(ix, b);
}

static bool wants_to_shrink(const struct index *ix)
{
	return ix->n > INDEX_MIN_BUCKETS && 2ull * ix->count < (uint64_t)ix->n * INDEX_SPARSE && may_step(ix);
}

void index_fit(struct index *ix)
{
	ix->is_building = false;
	if (ix->count == 0) { /* no bucket was touched */
		ix->peak = 0;
		set_size(ix, INDEX_MIN_BUCKETS);
	}
	while (wants_to_shrink(ix))
		shrink(ix);
}

/* Tries to find a bucket for one stashed entry. */
static void drain(struct index *ix)
{
	for (int k = 0; k < INDEX_STASH; k++) {
		uint32_t used = ~index_match(&ix->stash[k], UINT32_MAX, 0) & 0xffff, word;

		if (used == 0)
			continue;
		word = ix->stash[k].slot[__builtin_ctz(used)];
		unstash(ix, word);
		put(ix, hash_of(ix, word), word);
		return;
	}
}

bool index_insert(struct index *ix, uint64_t hash, uint32_t ref)
{
	/* During bulk load there is room for every entry, usually in its first bucket. */
	if (ix->is_building && place(&ix->buckets[index_first_bucket(ix, hash)], index_tag(ix, hash) | ref)) {
		if (ix->missed == hash)
			ix->has_missed = false;
		ix->count++;
		return true;
	}
	if (ix->stashed > 0)
		drain(ix);
	if (wants_to_grow(ix))
		grow(ix);
	if (!put(ix, hash, index_tag(ix, hash) | ref))
		return false;
	if (ix->missed == hash)
		ix->has_missed = false;
	ix->count++;
	prefetch_split(ix);
	return true;
}

bool index_remove(struct index *ix, uint64_t hash, uint32_t ref)
{
	uint32_t word = index_tag(ix, hash) | ref;

	if (!unplace(&ix->buckets[index_first_bucket(ix, hash)], word) &&
	    !unplace(&ix->buckets[index_second_bucket(ix, hash)], word) && !unstash(ix, word))
		return false;
	ix->is_building = false;
	ix->count--;
	if (ix->stashed > 0)
		drain(ix);
	if (wants_to_shrink(ix))
		shrink(ix);
	return true;
}

/* The slot of an entry; NULL: there is none. */
static const uint32_t *find_word(const struct index *ix, uint64_t hash, uint32_t ref)
{
	uint32_t word = index_tag(ix, hash) | ref;
	const struct index_bucket *b = &ix->buckets[index_first_bucket(ix, hash)];
	uint32_t found = index_match(b, UINT32_MAX, word);

	if (found == 0) {
		b = &ix->buckets[index_second_bucket(ix, hash)];
		found = index_match(b, UINT32_MAX, word);
	}
	for (int i = 0; found == 0 && ix->stashed > 0 && i < INDEX_STASH; i++) {
		b = &ix->stash[i];
		found = index_match(b, UINT32_MAX, word);
	}
	return found ? &b->slot[__builtin_ctz(found)] : NULL;
}

bool index_replace(struct index *ix, uint64_t hash, uint32_t from, uint32_t to)
{
	const uint32_t *slot = find_word(ix, hash, from);

	if (slot == NULL)
		return false;
	*(uint32_t *)(uintptr_t)slot = index_tag(ix, hash) | to;
	return true;
}

bool index_contains(const struct index *ix, uint64_t hash, uint32_t ref)
{
	return find_word(ix, hash, ref) != NULL;
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
	if (ix->has_missed && ix->missed == hash)
		return "index: entry that was noted as missed";
	if (bucket != INDEX_NONE && index_first_bucket(ix, hash) != bucket && index_second_bucket(ix, hash) != bucket)
		return "index: entry in a wrong bucket";
	return NULL;
}

const char *index_check(const struct index *ix, bool (*is_valid)(const void *ctx, uint32_t ref))
{
	uint32_t count = 0, stashed = 0;

	for (uint32_t n = 0; n < ix->n + INDEX_STASH; n++) {
		const struct index_bucket *b = n < ix->n ? &ix->buckets[n] : &ix->stash[n - ix->n];

		for (unsigned i = 0; i < INDEX_SLOTS; i++) {
			const char *wrong;

			if (b->slot[i] == 0)
				continue;
			count++;
			stashed += n >= ix->n;
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
