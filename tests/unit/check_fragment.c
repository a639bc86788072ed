/* SPDX-License-Identifier: ISC */
/*
 * Virtual reassembly: fragments that follow, wait or are dropped, and for how long.
 */
#include "fragbench.h"

/* ---- later fragments follow the first ---- */

START_TEST(test_4787_14_fragments_in_order_follow)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 0);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), FOLLOW);
	ck_assert_uint_eq(b.fate.src, H1 ^ 1);
	ck_assert_uint_eq(b.fate.id, 1007);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 100, false), FOLLOW);
	ck_assert_uint_eq(b.fate.id, 1007);
	bench_close(&b);
}
END_TEST

START_TEST(test_4787_14_later_fragment_before_first)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 100, false), HELD);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	ck_assert_uint_eq(fragment_held(b.f), 2);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 2);
	ck_assert_uint_eq(fragment_held(b.f), 0);
	bench_close(&b);
}
END_TEST

/* The first in the middle: some wait, some follow. */
START_TEST(test_4787_14_first_fragment_in_the_middle)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 1480, true), HELD);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	ck_assert_uint_eq(later(&b, H1, 7, 4440, 100, false), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), FOLLOW);
	bench_close(&b);
}
END_TEST

/* Also the same IP id from two hosts to one server. */
START_TEST(test_4787_14_two_datagrams_interleaved)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	ck_assert_uint_eq(later(&b, H2, 7, 1480, 1480, true), HELD);
	ck_assert_uint_eq(first(&b, H2, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 10, false), FOLLOW);
	ck_assert_uint_eq(b.fate.src, H1 ^ 1);
	ck_assert_uint_eq(later(&b, H2, 7, 2960, 10, false), FOLLOW);
	ck_assert_uint_eq(b.fate.src, H2 ^ 1);
	bench_close(&b);
}
END_TEST

START_TEST(test_key_has_all_four_parts)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	make(&b, H1, 7, 1480, 8, true);
	b.v.dst++;
	ck_assert_uint_eq(offer(&b), HELD);
	make(&b, H1, 7, 1480, 8, true);
	b.v.proto = 17;
	ck_assert_uint_eq(offer(&b), HELD);
	ck_assert_uint_eq(later(&b, H1, 8, 1480, 8, true), HELD);
	ck_assert_uint_eq(later(&b, H2, 7, 1480, 8, true), HELD);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 8, true), FOLLOW);
	bench_close(&b);
}
END_TEST

START_TEST(test_later_fragments_of_a_dropped_first_are_refused)
{
	struct fragment_fate dropped = fate_for(H1, 7);
	struct bench b;

	dropped.action = FRAGMENT_FATE_DROPPED;
	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	ck_assert_uint_eq(first_as(&b, H1, 7, 1480, &dropped), FOLLOW);
	ck_assert_uint_eq(release(&b), 1); /* for the caller to count */
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 1480, true), DROP_FRAGMENT_REFUSED);
	ck_assert_uint_eq(later(&b, H1, 7, 4440, 10, false), DROP_FRAGMENT_REFUSED);
	bench_close(&b);
}
END_TEST

/* ---- one after another with the same id (RFC 4963) ---- */

START_TEST(test_4963_id_of_a_complete_datagram_is_free_again)
{
	struct bench b;

	bench_open(&b, LIMIT);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
		ck_assert_uint_eq(later(&b, H1, 7, 1480, 700, false), FOLLOW);
	}
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(later(&b, H1, 7, 1480, 700, false), HELD);
		ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
		ck_assert_uint_eq(release(&b), 1);
	}
	bench_close(&b);
}
END_TEST

/* A first fragment that is repeated has left already; the others go on under the id of the one that left. */
START_TEST(test_4963_repeated_first_is_dropped_and_changes_nothing)
{
	struct fragment_fate other = fate_for(H1, 7);
	struct bench b;

	other.id++;
	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 700, false), FOLLOW);
	ck_assert_uint_eq(first_as(&b, H1, 7, 1480, &other), DROP_FRAGMENT_DUPLICATE);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), FOLLOW);
	ck_assert_uint_eq(b.fate.id, 1007);
	bench_close(&b);
}
END_TEST

/* One that was refused may be asked again; one that has left may not be taken back. */
START_TEST(test_first_fragment_that_left_counts)
{
	struct fragment_fate dropped = fate_for(H1, 7);
	struct bench b;

	dropped.action = FRAGMENT_FATE_DROPPED;
	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first_as(&b, H1, 7, 1480, &dropped), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), DROP_FRAGMENT_REFUSED);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(first_as(&b, H1, 7, 1480, &dropped), DROP_FRAGMENT_DUPLICATE);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 1480, true), FOLLOW);
	bench_close(&b);
}
END_TEST

/* ---- overlaps ---- */

/* Seen: [1480, 2960) and [4440, 5920); pf_fragment's cutnew, cutold, dropnew, dropold and their like. */
static const struct overlap {
	const char *name;
	unsigned offset, len;
	bool more;
	bool passes;
} overlaps[] = {
	{"fits the gap", 2960, 1480, true, true},
	{"fits behind", 5920, 1480, true, true},
	{"fits before", 8, 1472, true, true},
	{"leaves gaps", 3200, 80, true, true},
	{"the end", 5920, 3, false, true},
	{"cutnew: begins in one", 2952, 800, true, false},
	{"cutold: ends in one", 3960, 488, true, false},
	{"dropold: covers one", 1472, 1496, true, false},
	{"dropnew: inside one", 1488, 8, true, false},
	{"overreplace: same start, longer", 1480, 1488, true, false},
	{"overreplace: same start, shorter", 1480, 1472, true, false},
	{"overreplace: same end, longer", 1472, 1488, true, false},
	{"overindex: by 8 bytes on the right", 2960, 1488, true, false},
	{"covers both", 8, 8000, true, false},
	{"over the gap and all of the second", 2960, 2960, true, false},
	{"overlimit: an end inside", 1480, 1480, false, false},
	{"an end before the second", 2960, 8, false, false},
	{"joins both, and one byte of the second", 2960, 1481, false, false},
};

static void check_overlap(bool with_first, const struct overlap *o)
{
	struct bench b;
	unsigned got;

	bench_open(&b, LIMIT);
	if (with_first) {
		ck_assert_uint_eq(first(&b, H1, 7, 8), FOLLOW);
		ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), FOLLOW);
		ck_assert_uint_eq(later(&b, H1, 7, 4440, 1480, true), FOLLOW);
	} else {
		ck_assert_uint_eq(later(&b, H1, 7, 4440, 1480, true), HELD);
		ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	}
	got = later(&b, H1, 7, o->offset, o->len, o->more);
	if (o->passes) {
		ck_assert_msg(got == (with_first ? FOLLOW : HELD), "%s: %u", o->name, got);
	} else {
		ck_assert_msg(got == DROP_FRAGMENT_OVERLAP, "%s: %u", o->name, got);
		ck_assert_uint_eq(fragment_held(b.f), 0);
		ck_assert_uint_eq(later(&b, H1, 7, 16000, 8, true), DROP_FRAGMENT_OVERLAP); /* for good */
		ck_assert_uint_eq(first(&b, H1, 7, 8), DROP_FRAGMENT_OVERLAP);
	}
	bench_close(&b);
}

START_TEST(test_overlap_poisons_the_datagram)
{
	for (size_t i = 0; i < sizeof(overlaps) / sizeof(overlaps[0]); i++) {
		check_overlap(true, &overlaps[i]);
		check_overlap(false, &overlaps[i]);
	}
}
END_TEST

START_TEST(test_first_fragment_that_overlaps_poisons)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	ck_assert_uint_eq(first(&b, H1, 7, 1488), DROP_FRAGMENT_OVERLAP);
	ck_assert_uint_eq(fragment_held(b.f), 0);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 1480, true), DROP_FRAGMENT_OVERLAP);
	ck_assert_uint_eq(b.died, 1);
	ck_assert_uint_eq(later(&b, H1, 8, 1480, 100, false), HELD); /* a last one that ends before */
	ck_assert_uint_eq(first(&b, H1, 8, 1600), DROP_FRAGMENT_OVERLAP);
	bench_close(&b);
}
END_TEST

START_TEST(test_exact_duplicates_are_dropped_and_change_nothing)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	for (int i = 0; i < 3; i++) {
		unsigned expect = i == 0 ? FOLLOW : DROP_FRAGMENT_DUPLICATE;

		ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), expect);
		ck_assert_uint_eq(later(&b, H1, 7, 4440, 500, false), expect);
		ck_assert_uint_eq(first(&b, H1, 7, 1480), DROP_FRAGMENT_DUPLICATE);
	}
	ck_assert_uint_eq(later(&b, H1, 7, 4440, 500, true), DROP_FRAGMENT_ALIGN);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 1480, true), FOLLOW);
	bench_close(&b);
}
END_TEST

/* The fragments, in order, before and after one with other content: after that one no fragment of the datagram
 * passes. */
static const struct {
	const char *name;
	unsigned before[4]; /* offsets; 1: none */
	unsigned conflict;
	bool held;
} conflicts[] = {
	{"a second first one", {0, 1480, 1, 1}, 0, false},
	{"a second first one, alone", {0, 1, 1, 1}, 0, false},
	{"a second first one behind held ones", {1480, 2960, 0, 1}, 0, false},
	{"a second one that had passed", {0, 1480, 1, 1}, 1480, false},
	{"a second one of those that were held and released", {1480, 2960, 0, 1}, 2960, false},
	{"a second last one", {0, 4440, 1, 1}, 4440, false},
	{"a second one of a held", {2960, 1480, 1, 1}, 1480, true},
	{"a second last one of a held", {4440, 1480, 1, 1}, 4440, true},
};

static unsigned come(struct bench *b, unsigned offset)
{
	if (offset == 0)
		return first(b, H1, 7, 1480);
	return later(b, H1, 7, offset, offset == 4440 ? 500 : 1480, offset != 4440);
}

START_TEST(test_8200_4_5_conflicting_content_kills_the_datagram)
{
	struct bench b;

	bench_open(&b, LIMIT);
	for (unsigned i = 0; i < 4 && conflicts[_i].before[i] != 1; i++) {
		unsigned got = come(&b, conflicts[_i].before[i]);

		ck_assert_msg(got == FOLLOW || got == HELD, "%s: %u", conflicts[_i].name, got);
		if (conflicts[_i].before[i] == 0)
			release(&b);
	}
	ck_assert_uint_eq(come(&b, conflicts[_i].conflict), DROP_FRAGMENT_DUPLICATE); /* the same: harmless */
	ck_assert(fragment_held(b.f) == 0 || conflicts[_i].held);
	b.other = 1;
	ck_assert_uint_eq(come(&b, conflicts[_i].conflict), DROP_FRAGMENT_OVERLAP);
	b.other = 0;
	ck_assert_uint_eq(fragment_held(b.f), 0);
	ck_assert_uint_eq(come(&b, 0), DROP_FRAGMENT_OVERLAP);
	ck_assert_uint_eq(later(&b, H1, 7, 7400, 80, true), DROP_FRAGMENT_OVERLAP);
	bench_close(&b);
}
END_TEST

/* Two pieces that only together look like one that was there. */
START_TEST(test_duplicate_must_have_been_one_fragment)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 800), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 800, 400, true), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 1200, 400, true), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 800, 800, true), DROP_FRAGMENT_OVERLAP);
	bench_close(&b);
}
END_TEST

START_TEST(test_duplicate_of_a_held_fragment)
{
	static const unsigned flips[] = {20, 255, 256, 1000, 1279, 1499};
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), DROP_FRAGMENT_DUPLICATE);
	ck_assert_uint_eq(fragment_held(b.f), 1); /* the same bytes: only the copy is gone */
	make(&b, H1, 7, 1480, 1480, true);
	b.packet[flips[_i]] ^= 1;
	ck_assert_uint_eq(offer(&b), DROP_FRAGMENT_OVERLAP);
	ck_assert_uint_eq(fragment_held(b.f), 0); /* other bytes: all of it */
	ck_assert_uint_eq(first(&b, H1, 7, 1480), DROP_FRAGMENT_OVERLAP);
	bench_close(&b);
}
END_TEST

/* Fault 40: a flood of tiny fragments of one datagram, in any order, makes no long list to search. */
START_TEST(test_fault_40_pieces_of_one_datagram_are_bounded)
{
	struct bench b;

	bench_open(&b, 4096);
	for (unsigned i = 0; i < 400; i++) {
		unsigned at = 8 + 8 * (_i == 0 ? i : 399 - i);

		ck_assert_uint_eq(later(&b, H1, 7, at, 8, true), i < 256 ? HELD : DROP_FRAGMENT_FULL);
	}
	ck_assert_uint_eq(later(&b, H1, 8, 8, 8, true), HELD);
	ck_assert_uint_eq(later(&b, H1, 7, _i == 0 ? 8 : 8 + 8 * 399, 8, true), DROP_FRAGMENT_DUPLICATE);
	if (_i == 0) {
		ck_assert_uint_eq(first(&b, H1, 7, 8), FOLLOW);
		ck_assert_uint_eq(release(&b), 256);
	}
	bench_close(&b);
}
END_TEST

/* ---- sizes ---- */

START_TEST(test_malformed_fragments)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1481, true), DROP_FRAGMENT_ALIGN);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 0, true), DROP_FRAGMENT_TINY);
	ck_assert_uint_eq(later(&b, H1, 7, 65528, 8, false), DROP_FRAGMENT_OVERSIZE); /* the ping of death */
	ck_assert_uint_eq(later(&b, H1, 7, 65512, 4, false), DROP_FRAGMENT_OVERSIZE); /* 65536 with its header */
	ck_assert_uint_eq(first(&b, H1, 7, 1481), DROP_FRAGMENT_ALIGN);
	ck_assert_uint_eq(fragment_held(b.f), 0);
	ck_assert_uint_eq(later(&b, H1, 7, 65512, 3, false), HELD); /* 65535 is allowed */
	bench_close(&b);
}
END_TEST

START_TEST(test_fragment_longer_than_a_cell_is_not_held)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 16000, FRAGMENT_MAX_LEN - 20 + 8, false), DROP_FRAGMENT_FULL);
	ck_assert_uint_eq(later(&b, H1, 7, 16000, FRAGMENT_MAX_LEN - 20, false), HELD);
	ck_assert_uint_eq(first(&b, H1, 7, 16000), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	ck_assert_uint_eq(first(&b, H1, 8, 16000), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 8, 16000, 20000, false), FOLLOW); /* no copy is needed */
	bench_close(&b);
}
END_TEST

/* FreeBSD fragmentation_compat: more than 64 fragments. In order they need one range, however many. */
START_TEST(test_thousands_of_fragments_in_order_follow)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 24), FOLLOW);
	for (unsigned at = 24; at < 60000; at += 8)
		ck_assert_uint_eq(later(&b, H1, 7, at, 8, at + 8 < 60000), FOLLOW);
	bench_close(&b);
}
END_TEST

START_TEST(test_more_gaps_than_any_network_makes)
{
	struct bench b;

	bench_open(&b, 1024);
	for (unsigned i = 1; i <= 15; i++)
		ck_assert_uint_eq(later(&b, H1, 7, i * 64, 8, true), HELD);
	ck_assert_uint_eq(later(&b, H1, 7, 6400, 8, true), DROP_FRAGMENT_FULL);
	ck_assert_uint_eq(later(&b, H1, 7, 64 + 8, 8, true), HELD); /* fills a gap */
	ck_assert_uint_eq(first(&b, H1, 7, 24), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 6400, 8, true), DROP_FRAGMENT_FULL);
	ck_assert_uint_eq(release(&b), 16);
	ck_assert_uint_eq(later(&b, H1, 7, 24, 40, true), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 6400, 8, true), FOLLOW);
	bench_close(&b);
}
END_TEST

/* ---- time ---- */

START_TEST(test_held_fragment_times_out)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	b.now_ms += TIMEOUT_S * 1000;
	bench_sweep(&b);
	ck_assert_uint_eq(b.died, 0);
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 1480, true), HELD); /* does not renew it */
	b.now_ms++;
	bench_sweep(&b);
	ck_assert_uint_eq(b.died, 2);
	ck_assert_uint_eq(fragment_held(b.f), 0);
	bench_close(&b);
}
END_TEST

START_TEST(test_record_whose_time_is_up_is_gone_before_any_sweep)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(later(&b, H2, 7, 1480, 1480, true), HELD);
	b.now_ms += TIMEOUT_S * 1000 + 1;
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD); /* not FOLLOW */
	ck_assert_uint_eq(first(&b, H2, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 0);
	ck_assert_uint_eq(b.died, 1);
	bench_close(&b);
}
END_TEST

/* The first fragment renews the time: the rest is on its way. */
START_TEST(test_first_fragment_gives_the_others_their_time)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), HELD);
	b.now_ms += TIMEOUT_S * 1000;
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	b.now_ms += TIMEOUT_S * 1000;
	ck_assert_uint_eq(later(&b, H1, 7, 2960, 1480, true), FOLLOW);
	bench_close(&b);
}
END_TEST

START_TEST(test_poison_wears_off)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 8, 8, true), DROP_FRAGMENT_OVERLAP);
	b.now_ms += TIMEOUT_S * 1000 + 1;
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 1480, true), FOLLOW);
	bench_close(&b);
}
END_TEST

START_TEST(test_sweep_keeps_to_its_budget)
{
	struct bench b;

	bench_open(&b, LIMIT);
	for (uint16_t i = 0; i < 10; i++)
		ck_assert_uint_eq(later(&b, H1 + i, 7, 1480, 8, true), HELD);
	b.now_ms += TIMEOUT_S * 1000 + 1;
	ck_assert_uint_eq(fragment_sweep(b.f, b.now_ms, 4), 4);
	ck_assert_uint_eq(fragment_held(b.f), 6);
	ck_assert_uint_eq(fragment_sweep(b.f, b.now_ms, 100), 6);
	b.died = 10;
	bench_close(&b);
}
END_TEST

START_TEST(test_clock_that_steps_back_harms_nothing)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 8, true), HELD);
	b.now_ms -= 500;
	ck_assert_uint_eq(later(&b, H1, 8, 1480, 8, true), HELD);
	ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	b.now_ms += 500;
	bench_close(&b);
}
END_TEST

static Suite *fragment_suite(void)
{
	Suite *s = suite_create("fragment");
	TCase *follow = tcase_create("follow");
	TCase *overlap = tcase_create("overlap");
	TCase *times = tcase_create("times");

	tcase_add_test(follow, test_4787_14_fragments_in_order_follow);
	tcase_add_test(follow, test_4787_14_later_fragment_before_first);
	tcase_add_test(follow, test_4787_14_first_fragment_in_the_middle);
	tcase_add_test(follow, test_4787_14_two_datagrams_interleaved);
	tcase_add_test(follow, test_key_has_all_four_parts);
	tcase_add_test(follow, test_later_fragments_of_a_dropped_first_are_refused);
	tcase_add_test(follow, test_4963_id_of_a_complete_datagram_is_free_again);
	tcase_add_test(follow, test_4963_repeated_first_is_dropped_and_changes_nothing);
	tcase_add_test(follow, test_first_fragment_that_left_counts);
	tcase_add_test(overlap, test_overlap_poisons_the_datagram);
	tcase_add_test(overlap, test_first_fragment_that_overlaps_poisons);
	tcase_add_loop_test(overlap, test_8200_4_5_conflicting_content_kills_the_datagram, 0,
			    sizeof(conflicts) / sizeof(conflicts[0]));
	tcase_add_test(overlap, test_exact_duplicates_are_dropped_and_change_nothing);
	tcase_add_test(overlap, test_duplicate_must_have_been_one_fragment);
	tcase_add_loop_test(overlap, test_duplicate_of_a_held_fragment, 0, 6);
	tcase_add_loop_test(overlap, test_fault_40_pieces_of_one_datagram_are_bounded, 0, 2);
	tcase_add_test(overlap, test_malformed_fragments);
	tcase_add_test(overlap, test_fragment_longer_than_a_cell_is_not_held);
	tcase_add_test(overlap, test_thousands_of_fragments_in_order_follow);
	tcase_add_test(overlap, test_more_gaps_than_any_network_makes);
	tcase_add_test(times, test_held_fragment_times_out);
	tcase_add_test(times, test_record_whose_time_is_up_is_gone_before_any_sweep);
	tcase_add_test(times, test_first_fragment_gives_the_others_their_time);
	tcase_add_test(times, test_poison_wears_off);
	tcase_add_test(times, test_sweep_keeps_to_its_budget);
	tcase_add_test(times, test_clock_that_steps_back_harms_nothing);
	suite_add_tcase(s, follow);
	suite_add_tcase(s, overlap);
	suite_add_tcase(s, times);
	return s;
}

int main(void)
{
	return unit_main(fragment_suite);
}
