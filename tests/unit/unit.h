/* SPDX-License-Identifier: ISC */
/*
 * Shared by all unit test programs: a seeded random source whose seed is printed and can be
 * set (NATD_TEST_SEED=N), and the main function. Include once per program, after <check.h>.
 */
#ifndef NATD_TESTS_UNIT_H
#define NATD_TESTS_UNIT_H

#include <check.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Check's own writes a line of code into a pipe for each assertion that holds, which takes most of the time of a test
 * with millions of them. All its assertions expand to this one. */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...) \
	((expr) ? (void)0 : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", ##__VA_ARGS__))

static uint64_t unit_seed_;

/* xorshift64*: fast, repeatable, good enough for tests. */
static inline uint64_t unit_random(void)
{
	if (unit_seed_ == 0)
		unit_seed_ = 88172645463325252ull;
	unit_seed_ ^= unit_seed_ >> 12;
	unit_seed_ ^= unit_seed_ << 25;
	unit_seed_ ^= unit_seed_ >> 27;
	return unit_seed_ * 2685821657736338717ull;
}

static inline uint32_t unit_below(uint32_t n)
{
	return (uint32_t)((unit_random() >> 32) * n >> 32);
}

/* Runs the suite; the exit status is what automake expects. `make check` prints the seed on failure. */
static inline int unit_main(Suite *(*make)(void))
{
	const char *s = getenv("NATD_TEST_SEED");
	SRunner *r;
	int failed;

	unit_seed_ = s ? strtoull(s, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
	printf("NATD_TEST_SEED=%" PRIu64 "\n", unit_seed_);
	fflush(stdout);
	r = srunner_create(make());
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
