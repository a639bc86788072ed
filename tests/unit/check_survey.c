/* SPDX-License-Identifier: ISC */
/* Surveys: what each host has moved, summed while sessions come and go, against plain sums. */
#include <check.h>

#include "tablelab.h"

enum { SIZE = 400, HOSTS = 8 };

static struct lab l;
static struct host_sum sums[2 * SIZE + 4096];

static void setup(void)
{
	lab_open(&l, SIZE, 1);
	table_set_timeouts(l.t, &lab_timeouts, 0); /* ports are free at once */
}

static void teardown(void)
{
	lab_check(&l);
	lab_close(&l);
}

static uint32_t slot_of(uint32_t address)
{
	struct host_view f;
	uint32_t cursor = 0;

	do {
		if (table_host_next(l.t, &cursor, 16, &f) && f.address == address)
			return f.slot;
	} while (cursor != 0);
	return UINT32_MAX;
}

static const struct host_totals *survey(uint32_t address)
{
	uint32_t slot = slot_of(address);

	memset(sums, 0, sizeof(sums));
	table_survey_begin(l.t, sums, table_host_top(l.t));
	while (table_survey_step(l.t, 3))
		;
	table_survey_end(l.t);
	ck_assert_uint_ne(slot, UINT32_MAX);
	ck_assert_uint_eq(sums[slot].address, address);
	return &sums[slot].totals;
}

static struct session *open_one(uint32_t host, uint16_t port)
{
	struct session_spec spec = lab_spec(host, port, 1, (uint16_t)(40000 + host * 100 + port));

	return lab_session(&l, &spec);
}

static void move(struct session *s, uint32_t packets, uint64_t bytes)
{
	s->packets[DIR_OUT] += packets;
	s->bytes[DIR_OUT] += bytes;
	s->packets[DIR_IN] += 2 * packets;
	s->bytes[DIR_IN] += 3 * bytes;
}

START_TEST(test_open_and_ended_sessions_are_in_the_sum)
{
	struct session *a = open_one(1, 1), *b = open_one(1, 2), *c = open_one(2, 1);
	const struct host_totals *t;

	move(a, 1, 100);
	move(b, 10, 1000);
	move(c, 7, 7);
	table_session_close(l.t, a, SESSION_END_FLUSHED, l.now_s);
	t = survey(b->int_addr);
	ck_assert_uint_eq(t->packets[DIR_OUT], 11);
	ck_assert_uint_eq(t->packets[DIR_IN], 22);
	ck_assert_uint_eq(t->bytes[DIR_OUT], 1100);
	ck_assert_uint_eq(t->bytes[DIR_IN], 3300);
	ck_assert_uint_eq(survey(c->int_addr)->bytes[DIR_OUT], 7);
}
END_TEST

START_TEST(test_session_reopened_in_its_place_counts_twice)
{
	struct session_spec spec = lab_spec(1, 1, 1, 40000);
	struct session *s = lab_session(&l, &spec);

	open_one(1, 9);
	move(s, 1, 100);
	l.now_s += lab_timeouts.tcp_established + 1;
	s = lab_session(&l, &spec);
	move(s, 2, 20);
	ck_assert_uint_eq(survey(s->int_addr)->bytes[DIR_OUT], 120);
	ck_assert_uint_eq(survey(s->int_addr)->packets[DIR_OUT], 3);
}
END_TEST

START_TEST(test_host_that_went_begins_at_nothing)
{
	struct session *s = open_one(1, 1);

	move(s, 1, 100);
	table_session_close(l.t, s, SESSION_END_FLUSHED, l.now_s);
	table_sweep(l.t, l.now_s, SIZE);
	ck_assert_uint_eq(table_host_count(l.t), 0);
	s = open_one(1, 1);
	ck_assert_uint_eq(survey(s->int_addr)->bytes[DIR_OUT], 0);
}
END_TEST

START_TEST(test_host_in_the_place_of_another_has_its_own_sum)
{
	struct session *s = open_one(1, 1), *other;
	uint32_t slot = slot_of(s->int_addr);

	move(s, 1, 100);
	memset(sums, 0, sizeof(sums));
	table_survey_begin(l.t, sums, table_host_top(l.t));
	ck_assert(table_survey_step(l.t, 1));
	move(s, 1, 100);
	table_session_close(l.t, s, SESSION_END_FLUSHED, l.now_s);
	table_sweep(l.t, l.now_s, SIZE);
	other = open_one(2, 1);
	move(other, 5, 5);
	while (table_survey_step(l.t, 1))
		;
	table_survey_end(l.t);
	ck_assert_uint_eq(slot_of(other->int_addr), slot);
	ck_assert_uint_eq(sums[slot].address, other->int_addr);
	ck_assert_uint_eq(sums[slot].totals.bytes[DIR_OUT], 0); /* it began behind the survey's back */
	ck_assert_uint_eq(survey(other->int_addr)->bytes[DIR_OUT], 5);
}
END_TEST

/* The traffic of host `h`, by plain sums. */
struct model {
	uint64_t open[HOSTS], ended[HOSTS];
	struct session *sessions[HOSTS][32];
};

static void churn(struct model *m)
{
	uint32_t h = unit_below(HOSTS), p = unit_below(32);
	struct session **s = &m->sessions[h][p];
	uint64_t bytes = unit_below(5000);

	if (*s == NULL) {
		*s = open_one(h, (uint16_t)(p + 1));
	} else if (unit_below(4) == 0) {
		m->open[h] -= (*s)->bytes[DIR_OUT];
		m->ended[h] += (*s)->bytes[DIR_OUT];
		table_session_close(l.t, *s, SESSION_END_DELETED, l.now_s);
		*s = NULL;
		return;
	}
	move(*s, 1, bytes);
	m->open[h] += bytes;
}

START_TEST(test_sums_lie_between_what_was_moved_before_and_after_and_never_fall)
{
	struct model m = {0};
	uint64_t last[HOSTS] = {0}, floor_[HOSTS];
	struct session *anchor[HOSTS];

	for (uint32_t h = 0; h < HOSTS; h++) /* so that no host goes */
		anchor[h] = open_one(h, 99);
	for (int round = 0; round < 200; round++) {
		for (uint32_t h = 0; h < HOSTS; h++)
			floor_[h] = m.open[h] + m.ended[h];
		memset(sums, 0, sizeof(sums));
		table_survey_begin(l.t, sums, table_host_top(l.t));
		while (table_survey_step(l.t, 1 + unit_below(20))) {
			for (uint32_t n = unit_below(30); n > 0; n--)
				churn(&m);
		}
		table_survey_end(l.t);
		for (uint32_t h = 0; h < HOSTS; h++) {
			uint64_t sum = sums[slot_of(anchor[h]->int_addr)].totals.bytes[DIR_OUT];

			ck_assert_uint_ge(sum, floor_[h]);
			ck_assert_uint_le(sum, m.open[h] + m.ended[h]);
			ck_assert_uint_ge(sum, last[h]);
			last[h] = sum;
		}
	}
}
END_TEST

START_TEST(test_survey_of_an_empty_table_ends)
{
	uint32_t cursor = 0;
	struct host_view f;

	table_survey_begin(l.t, sums, table_host_top(l.t));
	for (int steps = 0; table_survey_step(l.t, 1); steps++)
		ck_assert_int_lt(steps, 10);
	table_survey_end(l.t);
	ck_assert(!table_host_next(l.t, &cursor, 10, &f));
	ck_assert_uint_eq(cursor, 0);
}
END_TEST

static Suite *make(void)
{
	Suite *s = suite_create("survey");
	TCase *t = tcase_create("hosts");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_open_and_ended_sessions_are_in_the_sum);
	tcase_add_test(t, test_session_reopened_in_its_place_counts_twice);
	tcase_add_test(t, test_host_that_went_begins_at_nothing);
	tcase_add_test(t, test_host_in_the_place_of_another_has_its_own_sum);
	tcase_add_test(t, test_sums_lie_between_what_was_moved_before_and_after_and_never_fall);
	tcase_add_test(t, test_survey_of_an_empty_table_ends);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make);
}
