/* SPDX-License-Identifier: ISC */
/*
 * The checksum against the tests' own byte-by-byte one, and differences against full recomputation.
 */
#include <check.h>
#include <string.h>

#include "build.h"
#include "core/packet/checksum.h"
#include "unit.h"

static void fill_random(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)unit_random();
}

/* A value that often lies at an edge, where carries and the two zeros are. */
static uint16_t random_edge16(void)
{
	static const uint16_t edge[] = {0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff};

	return unit_below(2) ? edge[unit_below(6)] : (uint16_t)unit_random();
}

START_TEST(test_example_of_rfc_1071)
{
	static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	ck_assert_uint_eq(checksum_fold(checksum_add(0, data, sizeof(data))), 0xddf2);
	ck_assert_uint_eq(checksum_finish(checksum_add(0, data, sizeof(data))), 0x220d);
}
END_TEST

START_TEST(test_example_of_rfc_1624)
{
	/* section 4: field 0x5555 becomes 0x3285 under checksum 0xdd2f, which gives 0, not 0xffff */
	ck_assert_uint_eq(checksum_update(0xdd2f, checksum_diff16(0x5555, 0x3285)), 0x0000);
}
END_TEST

START_TEST(test_add_equals_oracle_at_every_length_and_alignment)
{
	static uint8_t data[400];

	fill_random(data, sizeof(data));
	for (size_t start = 0; start < 8; start++)
		for (size_t len = 0; len + start <= sizeof(data); len++)
			ck_assert_uint_eq(checksum_finish(checksum_add(0, data + start, len)),
					  build_checksum(0, data + start, len));
}
END_TEST

START_TEST(test_add_of_extreme_bytes)
{
	static uint8_t data[65536];
	static const uint8_t fill[] = {0x00, 0x01, 0x80, 0xfe, 0xff};

	memset(data, fill[_i], sizeof(data));
	for (size_t len = sizeof(data) - 40; len <= sizeof(data); len++)
		ck_assert_uint_eq(checksum_finish(checksum_add(0, data, len)), build_checksum(0, data, len));
}
END_TEST

START_TEST(test_add_of_carries_that_ripple)
{
	/* words at the edges, in both byte orders, so that folding carries once more and once again */
	static const uint8_t words[][4] = {{0, 0, 0, 0},       {0, 0, 1, 0},	   {0, 1, 0, 0},
					   {0xff, 0xff, 0, 0}, {0, 0, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff},
					   {0, 0, 0, 1},       {1, 0, 0, 0},	   {0xff, 0xff, 0xff, 0xfe}};
	enum { N = sizeof(words) / sizeof(words[0]) };

	for (int i = 0; i < N * N * N * N; i++) {
		uint8_t data[16];

		memcpy(data, words[i % N], 4);
		memcpy(data + 4, words[i / N % N], 4);
		memcpy(data + 8, words[i / N / N % N], 4);
		memcpy(data + 12, words[i / N / N / N], 4);
		ck_assert_uint_eq(checksum_finish(checksum_add(0, data, 8)), build_checksum(0, data, 8));
		ck_assert_uint_eq(checksum_finish(checksum_add(0, data, 16)), build_checksum(0, data, 16));
	}
}
END_TEST

START_TEST(test_add_in_pieces_equals_add_at_once)
{
	static uint8_t data[3000];

	for (int round = 0; round < 2000; round++) {
		size_t len = unit_below(sizeof(data) + 1), cut = unit_below((uint32_t)len + 1) & ~1u;
		uint32_t sum = (uint32_t)unit_random() >> 1;

		fill_random(data, len);
		ck_assert_uint_eq(checksum_finish(checksum_add(checksum_add(sum, data, cut), data + cut, len - cut)),
				  build_checksum(sum, data, len));
	}
}
END_TEST

START_TEST(test_fold_of_every_carry)
{
	static const uint32_t sums[][2] = {{0, 0},
					   {0xffff, 0xffff},
					   {0x10000, 1},
					   {0x1fffe, 0xffff},
					   {0xffff0000, 0xffff},
					   {0xffffffff, 0xffff},
					   {0xfffe0002, 1},
					   {0x0001ffff, 1}};

	ck_assert_uint_eq(checksum_fold(sums[_i][0]), sums[_i][1]);
}
END_TEST

START_TEST(test_pseudo_header_equals_its_bytes)
{
	for (int round = 0; round < 10000; round++) {
		uint32_t src = (uint32_t)unit_random(), dst = (uint32_t)unit_random();
		uint8_t proto = (uint8_t)unit_random();
		uint16_t n = random_edge16();
		uint8_t p[12] = {(uint8_t)(src >> 24),
				 (uint8_t)(src >> 16),
				 (uint8_t)(src >> 8),
				 (uint8_t)src,
				 (uint8_t)(dst >> 24),
				 (uint8_t)(dst >> 16),
				 (uint8_t)(dst >> 8),
				 (uint8_t)dst,
				 0,
				 proto,
				 (uint8_t)(n >> 8),
				 (uint8_t)n};

		ck_assert_uint_eq(checksum_finish(checksum_pseudo(src, dst, proto, n)),
				  build_checksum(0, p, sizeof(p)));
	}
}
END_TEST

/* Both zeros are one number. */
static unsigned as_number(uint16_t one_complement)
{
	return one_complement % 0xffffu;
}

/* How far the checksum in the last two of `len` bytes is off: 0 means right. */
static unsigned error_of(const uint8_t *p, size_t len)
{
	return as_number(build_checksum(0, p, len));
}

static void set16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

START_TEST(test_3022_difference_equals_recomputation)
{
	uint8_t p[30];

	for (int round = 0; round < 60000; round++) {
		unsigned at16 = unit_below(7) * 2, at32 = 14 + unit_below(6) * 2;
		uint16_t from16 = random_edge16(), to16 = random_edge16(), check;
		uint32_t from32 = (uint32_t)random_edge16() << 16 | random_edge16(), to32 = (uint32_t)unit_random();

		fill_random(p, sizeof(p));
		set16(p + 28, 0x4500); /* a packet is never all zero */
		set16(p + at16, from16);
		set16(p + at32, from32 >> 16);
		set16(p + at32 + 2, from32 & 0xffff);
		check = build_checksum(0, p, sizeof(p));
		set16(p + at16, to16);
		set16(p + at32, to32 >> 16);
		set16(p + at32 + 2, to32 & 0xffff);
		ck_assert_uint_eq(checksum_update(check, checksum_diff16(from16, to16) + checksum_diff32(from32, to32)),
				  build_checksum(0, p, sizeof(p)));
	}
}
END_TEST

START_TEST(test_wrong_checksum_stays_wrong_by_the_same_amount)
{
	uint8_t p[22];

	for (int round = 0; round < 50000; round++) {
		uint16_t new = random_edge16(), check = random_edge16();
		unsigned before;

		fill_random(p, 18);
		set16(p + 18, 0x4500);
		set16(p + 20, check);
		before = error_of(p, sizeof(p));
		set16(p + 20, checksum_update(check, checksum_diff16((uint16_t)(p[4] << 8 | p[5]), new)));
		set16(p + 4, new);
		ck_assert_uint_eq(error_of(p, sizeof(p)), before);
	}
}
END_TEST

START_TEST(test_3022_udp_zero_stays_zero)
{
	for (unsigned port = 0; port <= 0xffff; port++)
		ck_assert_uint_eq(checksum_update_udp(0, checksum_diff16(5000, (uint16_t)port)), 0);
}
END_TEST

START_TEST(test_768_udp_never_becomes_zero)
{
	/* for one of all ports the sum is 0, which must go out as 0xffff */
	unsigned hits = 0;

	for (unsigned port = 0; port <= 0xffff; port++) {
		uint32_t diff = checksum_diff16(5000, (uint16_t)port);
		uint16_t udp = checksum_update_udp(0x1234, diff), plain = checksum_update(0x1234, diff);

		ck_assert_uint_ne(udp, 0);
		ck_assert_uint_eq(udp, plain ? plain : 0xffff);
		hits += plain == 0;
	}
	ck_assert_uint_eq(hits, 1);
}
END_TEST

START_TEST(test_udp_ffff_is_a_sum_of_zero)
{
	/* there and back again: 0xffff stands for 0 and is subject to differences as any other */
	for (unsigned port = 0; port <= 0xffff; port++) {
		uint16_t there = checksum_update_udp(0xffff, checksum_diff16(7, (uint16_t)port));

		ck_assert_uint_eq(checksum_update_udp(there, checksum_diff16((uint16_t)port, 7)), 0xffff);
	}
}
END_TEST

START_TEST(test_partial_follows_the_pseudo_header)
{
	for (int round = 0; round < 50000; round++) {
		uint32_t src = (uint32_t)unit_random(), dst = (uint32_t)unit_random(), to = (uint32_t)unit_random();
		uint16_t n = random_edge16();
		uint16_t field = checksum_fold(checksum_pseudo(src, dst, 6, n));

		ck_assert_uint_eq(as_number(checksum_update_partial(field, checksum_diff32(src, to))),
				  as_number(checksum_fold(checksum_pseudo(to, dst, 6, n))));
	}
}
END_TEST

static Suite *checksum_suite(void)
{
	Suite *s = suite_create("checksum");
	TCase *full = tcase_create("full"), *diff = tcase_create("difference");

	tcase_add_test(full, test_example_of_rfc_1071);
	tcase_add_test(full, test_add_equals_oracle_at_every_length_and_alignment);
	tcase_add_loop_test(full, test_add_of_extreme_bytes, 0, 5);
	tcase_add_test(full, test_add_of_carries_that_ripple);
	tcase_add_test(full, test_add_in_pieces_equals_add_at_once);
	tcase_add_loop_test(full, test_fold_of_every_carry, 0, 8);
	tcase_add_test(full, test_pseudo_header_equals_its_bytes);
	tcase_add_test(diff, test_example_of_rfc_1624);
	tcase_add_test(diff, test_3022_difference_equals_recomputation);
	tcase_add_test(diff, test_wrong_checksum_stays_wrong_by_the_same_amount);
	tcase_add_test(diff, test_3022_udp_zero_stays_zero);
	tcase_add_test(diff, test_768_udp_never_becomes_zero);
	tcase_add_test(diff, test_udp_ffff_is_a_sum_of_zero);
	tcase_add_test(diff, test_partial_follows_the_pseudo_header);
	suite_add_tcase(s, full);
	suite_add_tcase(s, diff);
	return s;
}

int main(void)
{
	return unit_main(checksum_suite);
}
