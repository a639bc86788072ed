/* SPDX-License-Identifier: ISC */
/* Origins: shared, counted, kept over a restart, bounded, and never another's. */
#include <check.h>

#include "core/table/table_private.h"

#include "tablelab.h"

enum { SIZE = 500, PLACES = 64 };

static struct lab l;

static void setup(void)
{
	lab_open(&l, SIZE, 1);
	ck_assert_uint_eq(l.t->max_origins, PLACES);
}

static void teardown(void)
{
	lab_check(&l);
	lab_close(&l);
}

static struct session_origin origin(uint32_t n)
{
	struct session_origin o = {.backend = n + 1, .backend_port = 80};

	snprintf(o.forward, sizeof(o.forward), "forward-%u", n);
	return o;
}

static uint32_t intern(uint32_t n)
{
	const struct session_origin o = origin(n);

	return table_origin_intern(l.t, &o);
}

static bool is(uint32_t id, uint32_t n)
{
	const struct session_origin *o = table_origin_get(l.t, id), want = origin(n);

	return o != NULL && memcmp(o, &want, sizeof(want)) == 0;
}

static struct session *open_one(uint32_t n, uint32_t id)
{
	struct session_spec spec = lab_spec(n, (uint16_t)(1 + n), n, (uint16_t)(20000 + n));

	spec.origin = id;
	return lab_session(&l, &spec);
}

START_TEST(test_equal_origins_are_one)
{
	static const struct session_origin nothing;
	uint32_t a = intern(1), b = intern(2);

	ck_assert_uint_ne(a, 0);
	ck_assert_uint_ne(a, b);
	ck_assert_uint_eq(intern(1), a);
	ck_assert(is(a, 1) && is(b, 2));
	ck_assert_uint_eq(table_origin_intern(l.t, &nothing), 0);
	ck_assert_ptr_null(table_origin_get(l.t, 0));
	ck_assert_ptr_null(table_origin_get(l.t, a + 100));
}
END_TEST

START_TEST(test_session_keeps_its_origin_over_a_restart)
{
	uint32_t a = intern(1), b = intern(2);
	uint64_t of_a, of_b, of_none = table_session_id(l.t, open_one(3, 0));

	of_a = table_session_id(l.t, open_one(1, a));
	of_b = table_session_id(l.t, open_one(2, b));
	for (int i = 0; i < 2; i++) {
		lab_restart(&l, 1);
		ck_assert_uint_eq(l.report.restored, 3);
		ck_assert_uint_eq(table_session_origin(l.t, table_session_by_id(l.t, of_a)), a);
		ck_assert_uint_eq(table_session_origin(l.t, table_session_by_id(l.t, of_b)), b);
		ck_assert_uint_eq(table_session_origin(l.t, table_session_by_id(l.t, of_none)), 0);
		ck_assert(is(a, 1) && is(b, 2));
		ck_assert_uint_eq(intern(1), a);
		lab_check(&l);
	}
}
END_TEST

START_TEST(test_reopened_session_has_the_origin_of_its_new_life)
{
	uint32_t a = intern(1), b = intern(2);
	struct session *s = open_one(1, a);

	l.now_s += 1000;
	ck_assert_ptr_eq(open_one(1, b), s);
	ck_assert_uint_eq(table_session_origin(l.t, s), b);
	lab_check(&l);
	l.now_s += 1000;
	open_one(1, 0);
	ck_assert_uint_eq(table_session_origin(l.t, s), 0);
}
END_TEST

START_TEST(test_needed_ones_stay_and_the_place_unneeded_for_longest_is_taken)
{
	uint32_t id[PLACES + 1];
	struct session *s;
	struct table_usage u;

	for (uint32_t i = 0; i < PLACES; i++)
		id[i] = intern(i);
	ck_assert_uint_eq(intern(PLACES), 0); /* all are held */
	table_usage(l.t, &u);
	ck_assert_uint_eq(u.origins, PLACES);
	ck_assert_uint_eq(u.origins_refused, 1);
	s = open_one(7, id[7]);
	table_origin_release(l.t, id[7]); /* the session needs it */
	ck_assert_uint_eq(intern(PLACES), 0);
	table_origin_release(l.t, id[9]);
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	ck_assert(is(id[7], 7) && is(id[9], 9)); /* for the history */
	id[PLACES] = intern(PLACES);
	ck_assert(is(id[PLACES], PLACES) && is(id[7], 7));
	ck_assert_ptr_null(table_origin_get(l.t, id[9])); /* an old id names nothing, not the one in its place */
	lab_check(&l);
	ck_assert_uint_eq(table_session_origin(l.t, open_one(8, id[9])), 0);
}
END_TEST

START_TEST(test_random_life)
{
	uint32_t id[2 * PLACES] = {0};

	for (int step = 0; step < 20000; step++) {
		uint32_t n = unit_below(2 * PLACES), k = unit_below(60);
		struct session *s = table_session_by_id(l.t, 0);
		uint32_t cursor = k;

		if (unit_below(3) == 0) {
			uint32_t held = intern(n);

			ck_assert(held == 0 || is(held, n));
			id[n] = held;
			if (table_session_count(l.t) < 300) {
				struct session_spec spec = lab_spec(n, (uint16_t)(1 + k), k, (uint16_t)(1024 + step));
				enum nat_reason why;

				spec.origin = id[n];
				s = table_session_open(l.t, &spec, l.now_s, &why);
				ck_assert(s == NULL || table_session_origin(l.t, s) == id[n]);
			}
			table_origin_release(l.t, held);
		} else if ((s = table_next(l.t, &cursor, SIZE)) != NULL && unit_below(2)) {
			table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
		}
		if (unit_below(500) == 0)
			lab_restart(&l, 1);
		if (unit_below(50) == 0)
			lab_check(&l);
	}
}
END_TEST

START_TEST(test_damaged_origins_cost_no_session)
{
	for (int round = 0; round < 200; round++) {
		uint32_t n = 20;

		lab_close(&l);
		lab_open(&l, SIZE, 1);
		for (uint32_t i = 0; i < n; i++)
			open_one(i, intern(i % 7));
		for (uint32_t i = unit_below(6); i > 0; i--)
			((uint8_t *)l.t->origins)[unit_below(7 * sizeof(*l.t->origins))] ^=
				(uint8_t)(1 + unit_below(255));
		for (uint32_t i = unit_below(6); i > 0; i--)
			l.t->origin_ids[unit_below(n)] = (uint32_t)unit_random();
		lab_restart(&l, 1);
		ck_assert_uint_eq(l.report.restored, n);
		lab_check(&l);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table_origin");
	TCase *tc = tcase_create("origins");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_equal_origins_are_one);
	tcase_add_test(tc, test_session_keeps_its_origin_over_a_restart);
	tcase_add_test(tc, test_reopened_session_has_the_origin_of_its_new_life);
	tcase_add_test(tc, test_needed_ones_stay_and_the_place_unneeded_for_longest_is_taken);
	tcase_add_test(tc, test_random_life);
	tcase_add_test(tc, test_damaged_origins_cost_no_session);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
