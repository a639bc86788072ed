/* SPDX-License-Identifier: ISC */
/*
 * The arithmetic of balanced forwards: shares by weight, and that a backend which goes moves its own share only.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/core/policy/balance.h"
#include "unit.h"

enum { MOST = 64, SOURCES = 20000 };

static struct balance_scale scale;
static struct nat_backend backends[MOST];
static struct balance_target targets[MOST];
static struct balance_lanes lanes[MOST / BALANCE_LANES];
static uint8_t closed[MOST];
static uint32_t sessions[MOST];

static void make(uint32_t n, uint16_t weight_most)
{
	balance_scale_init(&scale);
	memset(closed, 0, sizeof(closed));
	memset(sessions, 0, sizeof(sessions));
	for (uint32_t i = 0; i < n; i++) {
		backends[i] = (struct nat_backend){0x0a080000 + i, 8080, (uint16_t)(1 + unit_below(weight_most))};
		targets[i] = balance_target_of(&backends[i]);
	}
}

static int32_t hashed_by(const struct balance_target *t, uint32_t n, uint32_t from)
{
	const struct balance_set set = {t, lanes, closed, n};

	balance_lanes_make(lanes, t, n);
	return balance_hash(&scale, &set, from);
}

static int32_t hash(uint32_t n, uint32_t from)
{
	return hashed_by(targets, n, from);
}

static int32_t least(uint32_t n, uint32_t from)
{
	return balance_least(&(struct balance_set){targets, lanes, closed, n}, sessions, from);
}

static int32_t at_random(uint32_t n, uint64_t random)
{
	return balance_random(&(struct balance_set){targets, lanes, closed, n}, random);
}

static uint32_t source(uint32_t k)
{
	return 0xc6336400 + k * 7;
}

START_TEST(test_logarithms_are_right)
{
	balance_scale_init(&scale);
	for (uint32_t i = 0; i <= BALANCE_STEPS; i++)
		ck_assert_double_eq_tol(scale.log[i] / 16777216.0, log2(1 + i / 256.0), 1e-6);
}
END_TEST

/* The same numbers on every machine and in every version: a second gateway must choose the same. */
START_TEST(test_choices_are_those_of_ever)
{
	static const int32_t expected[] = {1, 3, 4, 3, 5, 1, 4, 7, 0, 5, 1, 4, 7, 6, 4, 6};

	make(8, 1);
	for (uint32_t k = 0; k < sizeof(expected) / sizeof(expected[0]); k++)
		ck_assert_int_eq(hash(8, source(k)), expected[k]);
}
END_TEST

static void expect_shares(uint32_t n, const uint32_t *got)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < n; i++)
		total += closed[i] ? 0 : backends[i].weight;
	for (uint32_t i = 0; i < n; i++) {
		double p = closed[i] ? 0 : (double)backends[i].weight / total;
		double deviation = sqrt(SOURCES * p * (1 - p));

		ck_assert_double_eq_tol(got[i], SOURCES * p, 6 * deviation + 1e-9);
	}
}

START_TEST(test_shares_follow_weights_whatever_the_way)
{
	uint32_t hashed[MOST] = {0}, drawn[MOST] = {0}, n = 1 + unit_below(MOST);

	make(n, 20);
	for (uint32_t i = 1; i < n; i++)
		closed[i] = unit_below(4) == 0;
	for (uint32_t k = 0; k < SOURCES; k++) {
		int32_t fewest = least(n, source(k));

		hashed[hash(n, source(k))]++;
		drawn[at_random(n, unit_random())]++;
		ck_assert(fewest >= 0 && !closed[fewest]);
		sessions[fewest]++;
	}
	expect_shares(n, hashed);
	expect_shares(n, drawn);
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = 0; j < n; j++) /* none has one session more than its weight allows */
			ck_assert(closed[i] || closed[j] ||
				  sessions[i] * targets[i].share <= (sessions[j] + 1) * targets[j].share + n);
	}
}
END_TEST

/* Backends come and go, in any order: a source moves only from one that went, or to one that came. */
START_TEST(test_a_backend_that_goes_moves_only_its_own_share)
{
	uint32_t n = 2 + unit_below(MOST - 1), gone = unit_below(n);

	make(n, 5);
	for (uint32_t k = 0; k < SOURCES; k++) {
		int32_t before, after;

		closed[gone] = 0;
		before = hash(n, source(k));
		closed[gone] = 1;
		after = hash(n, source(k));
		ck_assert(after != (int32_t)gone);
		ck_assert(before == (int32_t)gone || before == after);
	}
}
END_TEST

START_TEST(test_the_order_of_backends_does_not_matter)
{
	uint32_t n = 2 + unit_below(MOST - 1), cut = 1 + unit_below(n - 1);
	struct balance_target turned[MOST];

	make(n, 5);
	for (uint32_t i = 0; i < n; i++)
		turned[i] = targets[(i + cut) % n];
	for (uint32_t k = 0; k < SOURCES; k++)
		ck_assert_uint_eq(targets[hash(n, source(k))].key, turned[hashed_by(turned, n, source(k))].key);
}
END_TEST

/* The choice among many wins against each other one alone. */
START_TEST(test_the_choice_is_the_winner_of_a_tournament)
{
	uint32_t n = 2 + unit_below(MOST - 1);

	make(n, (uint16_t)(1 + unit_below(1000)));
	for (uint32_t k = 0; k < 300; k++) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < n; i++) {
			memset(closed, 1, sizeof(closed));
			closed[best] = closed[i] = 0;
			best = (uint32_t)hash(n, source(k));
		}
		memset(closed, 0, sizeof(closed));
		ck_assert_int_eq(hash(n, source(k)), (int32_t)best);
	}
}
END_TEST

START_TEST(test_none_where_all_are_closed)
{
	make(3, 3);
	memset(closed, 2, sizeof(closed));
	ck_assert_int_eq(hash(3, 1), BALANCE_NONE);
	ck_assert_int_eq(least(3, 1), BALANCE_NONE);
	ck_assert_int_eq(at_random(3, 1), BALANCE_NONE);
	ck_assert_int_eq(hash(0, 1), BALANCE_NONE);
	ck_assert_int_eq(least(0, 1), BALANCE_NONE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("balance");
	TCase *tc = tcase_create("balance");

	tcase_add_test(tc, test_logarithms_are_right);
	tcase_add_test(tc, test_choices_are_those_of_ever);
	tcase_add_loop_test(tc, test_shares_follow_weights_whatever_the_way, 0, 10);
	tcase_add_loop_test(tc, test_a_backend_that_goes_moves_only_its_own_share, 0, 10);
	tcase_add_loop_test(tc, test_the_order_of_backends_does_not_matter, 0, 3);
	tcase_add_loop_test(tc, test_the_choice_is_the_winner_of_a_tournament, 0, 10);
	tcase_add_test(tc, test_none_where_all_are_closed);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
