/* SPDX-License-Identifier: ISC */
/* The index against an array: it finds exactly the entries that it has, at every size on the way up and down. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/table/index.h"
#include "unit.h"

enum { KEYS = 20000, REF_BITS = 24 };

struct world {
	uint64_t key[KEYS]; /* what the records would hold */
	bool is_in[KEYS];
	uint32_t count;
	struct index ix;
	struct index_bucket *buckets;
	uint32_t max;
};

static uint64_t hash_key(uint64_t key)
{
	static const uint64_t secret[4] = {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
					   0x082efa98ec4e6c89};

	return hash_pair(secret, key, 0);
}

static uint64_t world_hash(const void *ctx, uint32_t ref)
{
	return hash_key(((const struct world *)ctx)->key[ref]);
}

static const void *world_locate(const void *ctx, uint32_t ref)
{
	return &((const struct world *)ctx)->key[ref];
}

static bool world_is_in(const void *ctx, uint32_t ref)
{
	return ref < KEYS && ((const struct world *)ctx)->is_in[ref];
}

static struct world *world_create(uint32_t entries, unsigned ref_bits)
{
	struct world *w = aligned_alloc(64, sizeof(*w));
	struct index_source source = {world_hash, world_locate, w};

	memset(w, 0, sizeof(*w));
	w->max = index_buckets(entries);
	w->buckets = aligned_alloc(64, w->max * sizeof(struct index_bucket));
	memset(w->buckets, 0, w->max * sizeof(struct index_bucket));
	index_init(&w->ix, w->buckets, w->max, ref_bits, &source);
	for (uint32_t i = 0; i < KEYS; i++)
		w->key[i] = i * 0x100000001ull;
	return w;
}

static void world_destroy(struct world *w)
{
	free(w->buckets);
	free(w);
}

/* The reference under which a key is found, and how many buckets that took. */
static uint32_t lookup(const struct world *w, uint64_t key, uint32_t *steps)
{
	struct index_cursor c;
	uint32_t ref;

	for (ref = index_begin(&c, &w->ix, hash_key(key)); ref != INDEX_NONE; ref = index_next(&c)) {
		ck_assert_uint_lt(ref, KEYS);
		if (w->key[ref] == key)
			break;
	}
	*steps = c.step;
	return ref;
}

static void flip(struct world *w, uint32_t i)
{
	if (w->is_in[i]) {
		ck_assert(index_remove(&w->ix, hash_key(w->key[i]), i));
		ck_assert(!index_remove(&w->ix, hash_key(w->key[i]), i));
	} else {
		ck_assert(index_insert(&w->ix, hash_key(w->key[i]), i));
	}
	w->is_in[i] = !w->is_in[i];
	w->count += w->is_in[i] ? 1 : UINT32_MAX;
}

static void check_all(const struct world *w)
{
	const char *wrong = index_check(&w->ix, world_is_in);
	uint32_t steps;

	ck_assert_msg(wrong == NULL, "%s", wrong ? wrong : "");
	ck_assert_uint_eq(w->ix.count, w->count);
	for (uint32_t i = 0; i < KEYS; i++) {
		ck_assert_uint_eq(lookup(w, w->key[i], &steps), w->is_in[i] ? i : INDEX_NONE);
		ck_assert_uint_le(steps, 2);
		ck_assert(index_contains(&w->ix, hash_key(w->key[i]), i) == w->is_in[i]);
		ck_assert(!w->is_in[i] || !index_misses(&w->ix, hash_key(w->key[i])));
	}
}

START_TEST(test_random_inserts_and_removes_agree_with_an_array)
{
	struct world *w = world_create(KEYS, _i ? 25 : REF_BITS);
	uint32_t target = 0, steps;

	for (uint32_t op = 0; op < 200000; op++) {
		uint32_t i = unit_below(KEYS);

		if (op % 20000 == 0) {
			check_all(w);
			target = unit_below(KEYS);
		}
		if (w->is_in[i] == (w->count > target) || unit_below(4) == 0)
			flip(w, i);
		i = unit_below(KEYS);
		ck_assert_uint_eq(lookup(w, w->key[i], &steps), w->is_in[i] ? i : INDEX_NONE);
	}
	check_all(w);
	world_destroy(w);
}
END_TEST

START_TEST(test_it_grows_to_its_capacity_and_shrinks_to_nothing_with_its_entries)
{
	struct world *w = world_create(KEYS, REF_BITS);

	for (uint32_t i = 0; i < KEYS; i++) {
		flip(w, i);
		ck_assert_uint_le(w->ix.n, 2 * w->count / INDEX_FILL + 2 + INDEX_MIN_BUCKETS);
		if (i % 999 == 0)
			ck_assert_ptr_null(index_check(&w->ix, world_is_in));
	}
	check_all(w);
	/* both choices used, and the first preferred once look-ups have passed */
	ck_assert_uint_lt(index_displaced(&w->ix), KEYS / 5);
	for (uint32_t i = 0; i < KEYS; i++)
		index_bring_home(&w->ix, hash_key(w->key[i]), i);
	ck_assert_uint_gt(index_displaced(&w->ix), 0);
	ck_assert_uint_lt(index_displaced(&w->ix), KEYS / 8);
	for (uint32_t i = 0; i < KEYS; i++) {
		flip(w, i);
		if (w->count > 1000)
			ck_assert_uint_le(w->ix.n, 2 * w->count / INDEX_SPARSE + 2);
		if (i % 999 == 0)
			ck_assert_ptr_null(index_check(&w->ix, world_is_in));
	}
	ck_assert_uint_eq(w->ix.n, INDEX_MIN_BUCKETS);
	ck_assert_uint_ge(w->ix.peak, 2 * KEYS / INDEX_FILL);
	ck_assert_uint_lt(w->ix.peak, w->max);
	for (uint32_t n = 0; n < w->max; n++) /* what may be given back is zero */
		for (int i = 0; i < INDEX_SLOTS; i++)
			ck_assert_uint_eq(w->buckets[n].slot[i], 0);
	world_destroy(w);
}
END_TEST

START_TEST(test_sixteen_buckets_take_what_linear_hashing_gives_them)
{
	for (int round = 0; round < 60; round++) { /* small ones are the least even */
		struct world *w = world_create(208, REF_BITS);

		for (uint32_t i = 0; i < 208; i++)
			w->key[i] = unit_random();
		for (uint32_t i = 0; i < 208; i++)
			flip(w, i);
		ck_assert_ptr_null(index_check(&w->ix, world_is_in));
		world_destroy(w);
	}
}
END_TEST

START_TEST(test_equal_hashes_fill_two_buckets_and_the_stash_then_are_refused)
{
	struct world *w = world_create(KEYS, REF_BITS);
	uint32_t n = 0;

	for (uint32_t i = 1000; i < 2000; i++)
		w->key[i] = 7;
	while (n < 1000 && index_insert(&w->ix, hash_key(7), 1000 + n)) {
		w->is_in[1000 + n++] = true;
		w->count++;
	}
	ck_assert_uint_eq(n, (2 + INDEX_STASH) * INDEX_SLOTS);
	ck_assert_uint_eq(w->ix.stashed, INDEX_STASH * INDEX_SLOTS);
	ck_assert_ptr_null(index_check(&w->ix, world_is_in));
	for (uint32_t i = 0; i < n; i++)
		ck_assert(index_contains(&w->ix, hash_key(7), 1000 + i));
	ck_assert(index_replace(&w->ix, hash_key(7), 1000, 1999));
	w->is_in[1000] = false;
	w->is_in[1999] = true;
	ck_assert(!index_replace(&w->ix, hash_key(7), 1000, 1998));
	for (uint32_t i = 1; i < n; i++)
		flip(w, 1000 + i);
	flip(w, 1999);
	ck_assert_uint_eq(w->ix.stashed, 0);
	ck_assert_ptr_null(index_check(&w->ix, world_is_in));
	world_destroy(w);
}
END_TEST

START_TEST(test_reserve_fit_and_clear)
{
	struct world *w = world_create(KEYS, REF_BITS);

	index_reserve(&w->ix, KEYS);
	ck_assert_uint_eq(w->ix.n, w->max);
	for (uint32_t i = 0; i < 1000; i++)
		flip(w, i * 7 % KEYS);
	check_all(w);
	for (uint32_t i = 0; i < KEYS; i++) /* as full as it was made for */
		if (!w->is_in[i])
			flip(w, i);
	ck_assert(w->ix.is_building);
	check_all(w);
	index_clear(&w->ix);
	memset(w->is_in, 0, sizeof(w->is_in));
	w->count = 0;
	index_reserve(&w->ix, KEYS);
	for (uint32_t i = 0; i < 1000; i++)
		flip(w, i * 7);
	index_fit(&w->ix);
	ck_assert_uint_le(w->ix.n, 2000 / INDEX_SPARSE + 1);
	check_all(w);
	for (uint32_t i = 0; i < KEYS; i++)
		index_bring_home(&w->ix, hash_key(w->key[i]), i);
	check_all(w);
	index_clear(&w->ix);
	memset(w->is_in, 0, sizeof(w->is_in));
	w->count = 0;
	check_all(w);
	world_destroy(w);
}
END_TEST

START_TEST(test_noted_miss_ends_with_the_entry)
{
	struct world *w = world_create(KEYS, REF_BITS);

	for (uint32_t i = 0; i < 3000; i++) {
		uint64_t hash = hash_key(w->key[i]);

		index_remember_absent(&w->ix, hash);
		ck_assert(index_misses(&w->ix, hash));
		flip(w, i + 3000); /* another one does not end it */
		ck_assert(index_misses(&w->ix, hash));
		flip(w, i);
		ck_assert(!index_misses(&w->ix, hash));
		if (i % 100 == 0)
			check_all(w);
	}
	index_remember_absent(&w->ix, hash_key(w->key[7]));
	ck_assert_str_eq(index_check(&w->ix, world_is_in), "index: entry that was noted as missed");
	world_destroy(w);
}
END_TEST

START_TEST(test_check_finds_a_wrong_slot)
{
	struct world *w = world_create(KEYS, REF_BITS);

	for (uint32_t i = 0; i < 2000; i++)
		flip(w, i);
	for (int round = 0; round < 200; round++) {
		uint32_t *slot = &w->buckets[unit_below(w->ix.n)].slot[unit_below(INDEX_SLOTS)], was = *slot;

		*slot ^= 1u << unit_below(32);
		ck_assert_ptr_nonnull(index_check(&w->ix, world_is_in));
		*slot = was;
	}
	check_all(w);
	world_destroy(w);
}
END_TEST

/* 128 bits of product against schoolbook multiplication in 16-bit digits. */
START_TEST(test_multiplication_gives_all_128_bits)
{
	for (int round = 0; round < 1000; round++) {
		uint64_t a = unit_random(), b = unit_random(), low = a, high = b;
		uint64_t digit[9] = {0};

		for (int i = 0; i < 4; i++) {
			for (int j = 0; j < 4; j++) {
				uint64_t p = (a >> 16 * i & 0xffff) * (b >> 16 * j & 0xffff);

				digit[i + j] += p & 0xffff;
				digit[i + j + 1] += p >> 16;
			}
		}
		for (int i = 0; i < 8; i++) {
			digit[i + 1] += digit[i] >> 16;
			digit[i] &= 0xffff;
		}
		hash_multiply(&low, &high);
		ck_assert_uint_eq(low, digit[0] | digit[1] << 16 | digit[2] << 32 | digit[3] << 48);
		ck_assert_uint_eq(high, digit[4] | digit[5] << 16 | digit[6] << 32 | digit[7] << 48);
	}
}
END_TEST

/* Keys that differ in few bits, as addresses and ports do, spread evenly over each range of bits that is used. */
START_TEST(test_hash_of_consecutive_keys_is_even)
{
	enum { N = 1 << 16, BINS = 256 };
	static const unsigned shift[] = {0, 8, 16, 32, 40, 48, 56};

	for (unsigned k = 0; k < sizeof(shift) / sizeof(shift[0]); k++) {
		uint64_t secret[4] = {unit_random(), unit_random(), unit_random(), unit_random()};
		uint32_t bin[BINS] = {0};
		double chi = 0;

		for (uint64_t i = 0; i < N; i++)
			bin[hash_pair(secret, 0x0a000001c6336401, i << 48) >> shift[k] & (BINS - 1)]++;
		for (int i = 0; i < BINS; i++) {
			double d = bin[i] - (double)N / BINS;

			chi += d * d / ((double)N / BINS);
		}
		ck_assert_double_lt(chi, 255 + 8 * 22.6); /* 8 standard deviations */
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("index");
	TCase *tc = tcase_create("index");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_random_inserts_and_removes_agree_with_an_array, 0, 2);
	tcase_add_test(tc, test_it_grows_to_its_capacity_and_shrinks_to_nothing_with_its_entries);
	tcase_add_test(tc, test_sixteen_buckets_take_what_linear_hashing_gives_them);
	tcase_add_test(tc, test_equal_hashes_fill_two_buckets_and_the_stash_then_are_refused);
	tcase_add_test(tc, test_reserve_fit_and_clear);
	tcase_add_test(tc, test_noted_miss_ends_with_the_entry);
	tcase_add_test(tc, test_check_finds_a_wrong_slot);
	tcase_add_test(tc, test_multiplication_gives_all_128_bits);
	tcase_add_test(tc, test_hash_of_consecutive_keys_is_even);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
