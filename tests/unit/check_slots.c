/* SPDX-License-Identifier: ISC */
/* Number allocation against a plain array of flags. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/table/slots.h"
#include "unit.h"

static const uint32_t sizes[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 262144, 300000};

static uint32_t naive_lowest(const bool *used, uint32_t size)
{
	uint32_t i = 0;

	while (i < size && used[i])
		i++;
	return i < size ? i : SLOTS_NONE;
}

START_TEST(test_every_number_is_given_once_in_order_then_none)
{
	uint32_t size = sizes[_i];
	void *memory = calloc(1, slots_need(size));
	struct slots s;

	slots_init(&s, memory, size);
	for (uint32_t i = 0; i < size; i++)
		ck_assert_uint_eq(slots_take(&s), i);
	ck_assert_uint_eq(slots_take(&s), SLOTS_NONE);
	ck_assert_uint_eq(s.count, size);
	ck_assert_ptr_null(slots_check(&s));
	slots_give(&s, size / 2);
	ck_assert_uint_eq(slots_take(&s), size / 2);
	ck_assert_uint_eq(slots_take(&s), SLOTS_NONE);
	for (uint32_t i = 0; i < size; i++)
		slots_give(&s, i);
	for (uint32_t i = 0; i < size / 64 + 1; i++)
		slots_settle(&s);
	ck_assert_uint_eq(s.count, 0);
	ck_assert_uint_eq(s.top, 0);
	ck_assert_uint_eq(s.peak, size);
	ck_assert_ptr_null(slots_check(&s));
	free(memory);
}
END_TEST

static uint32_t naive_next(const bool *used, uint32_t from, uint32_t end)
{
	while (from < end && !used[from])
		from++;
	return from < end ? from : end;
}

START_TEST(test_random_use_agrees_with_flags)
{
	enum { SIZE = 5000, OPS = 100000 };
	void *memory = calloc(1, slots_need(SIZE));
	bool used[SIZE + 200] = {false};
	uint32_t target = 0;
	struct slots s;

	slots_init(&s, memory, SIZE);
	for (int op = 0; op < OPS; op++) {
		uint32_t i = unit_below(SIZE), end;

		if (op % 5000 == 0)
			target = unit_below(SIZE + 1);
		if (s.count < target && unit_below(3) > 0) {
			i = naive_lowest(used, SIZE);
			ck_assert_uint_eq(slots_take(&s), i);
			used[i] = true;
		} else if (used[i]) {
			slots_give(&s, i);
			used[i] = false;
		} else if (unit_below(10) == 0) {
			slots_mark(&s, i);
			used[i] = true;
		}
		ck_assert(slots_used(&s, i) == used[i]);
		i = unit_below(SIZE);
		end = i + unit_below(SIZE + 100 - i);
		ck_assert_uint_eq(slots_next(&s, i, end), naive_next(used, i, end));
		if (op % 100 == 0)
			ck_assert_ptr_null(slots_check(&s));
	}
	ck_assert(!slots_used(&s, SIZE));
	ck_assert(!slots_used(&s, UINT32_MAX));
	free(memory);
}
END_TEST

START_TEST(test_check_finds_a_flipped_bit)
{
	enum { SIZE = 10000 };
	void *memory = calloc(1, slots_need(SIZE));
	struct slots s;

	slots_init(&s, memory, SIZE);
	for (int i = 0; i < 5000; i++)
		slots_take(&s);
	for (int i = 0; i < 200; i++) {
		uint32_t bit = unit_below(5000);

		s.level[0][bit / 64] ^= 1ull << (bit % 64);
		ck_assert_ptr_nonnull(slots_check(&s));
		s.level[0][bit / 64] ^= 1ull << (bit % 64);
		ck_assert_ptr_null(slots_check(&s));
	}
	free(memory);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("slots");
	TCase *tc = tcase_create("slots");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_every_number_is_given_once_in_order_then_none, 0,
			    sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tc, test_random_use_agrees_with_flags);
	tcase_add_test(tc, test_check_finds_a_flipped_bit);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
