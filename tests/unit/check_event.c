/* SPDX-License-Identifier: ISC */
/* Rings of events: records read, by any number of readers at any pace, against the numbers of those appended. */
#include <check.h>
#include <string.h>

#include "core/base/event.h"
#include "core/base/reason.h"

#include "unit.h"

enum { SIZE = 16, READERS = 5, TOO_LONG = EVENTS_REFUSED_SECOND + 50 };

static struct events events;
static _Alignas(64) struct event memory[SIZE + EVENTS_REFUSED];

static void setup(void)
{
	ck_assert_uint_eq(events_need(SIZE), sizeof(memory));
	memset(memory, 0, sizeof(memory));
	events_init(&events, memory, SIZE, 1);
}

static void append(enum event_type type, uint64_t id)
{
	struct event ev = {.type = (uint8_t)type, .id = id};

	event_append(&events, &ev);
}

START_TEST(test_slow_readers_lose_exactly_what_was_overwritten)
{
	uint64_t cursor[READERS], lost, appended = 0;
	struct event out[SIZE];

	for (int r = 0; r < READERS; r++)
		cursor[r] = 1;
	for (int step = 0; step < 20000; step++) {
		int r = (int)unit_below(READERS);
		uint64_t from = cursor[r];
		uint32_t max = unit_below(SIZE + 1), n;

		for (uint32_t i = unit_below(r == 0 ? 40 : 4); i > 0; i--)
			append(EVENT_DESTROY, ++appended);
		n = events_read(&events.log, &cursor[r], out, max, &lost);
		ck_assert_uint_eq(lost, appended >= from + SIZE ? appended + 1 - SIZE - from : 0);
		ck_assert_uint_eq(n, max < appended + 1 - from - lost ? max : appended + 1 - from - lost);
		for (uint32_t i = 0; i < n; i++) {
			ck_assert_uint_eq(out[i].seq, from + lost + i);
			ck_assert_uint_eq(out[i].id, out[i].seq);
		}
		ck_assert_uint_eq(cursor[r], from + lost + n);
	}
}
END_TEST

START_TEST(test_reader_may_begin_now_or_with_the_oldest)
{
	uint64_t cursor = events_begin(&events.log), lost;
	struct event out[SIZE];

	ck_assert_uint_eq(cursor, events_end(&events.log)); /* an empty ring */
	for (uint64_t i = 1; i <= 3; i++)
		append(EVENT_DESTROY, i);
	ck_assert_uint_eq(events_read(&events.log, &cursor, out, SIZE, &lost), 3);
	for (uint64_t i = 4; i <= SIZE + 2; i++)
		append(EVENT_DESTROY, i);
	cursor = events_end(&events.log);
	ck_assert_uint_eq(events_read(&events.log, &cursor, out, SIZE, &lost), 0);
	cursor = events_begin(&events.log);
	ck_assert_uint_eq(events_read(&events.log, &cursor, out, SIZE, &lost), SIZE);
	ck_assert_uint_eq(out[0].id, 3);
	ck_assert_uint_eq(lost, 0);
	cursor = 1000; /* of an earlier process, whose ring had come further */
	ck_assert_uint_eq(events_read(&events.log, &cursor, out, SIZE, &lost), 0);
	append(EVENT_DESTROY, 77);
	ck_assert_uint_eq(events_read(&events.log, &cursor, out, SIZE, &lost), 1);
	ck_assert_uint_eq(out[0].id, 77);
}
END_TEST

START_TEST(test_flood_of_refusals_washes_no_history_away)
{
	uint64_t cursor = 1, lost;
	struct event out[EVENTS_REFUSED];

	append(EVENT_DESTROY, 5);
	events.now_ms = 10000;
	for (int i = 0; i < TOO_LONG; i++)
		append(EVENT_REFUSED, 0);
	ck_assert_uint_eq(events_read(&events.refused, &cursor, out, EVENTS_REFUSED, &lost), EVENTS_REFUSED_SECOND);
	ck_assert_uint_eq(out[0].time_ms, 10000);
	ck_assert_uint_eq(events.refused.dropped, TOO_LONG - EVENTS_REFUSED_SECOND);
	events.now_ms += 1000;
	append(EVENT_REFUSED, 0);
	ck_assert_uint_eq(events_read(&events.refused, &cursor, out, EVENTS_REFUSED, &lost), 1);
	cursor = 1;
	ck_assert_uint_eq(events_read(&events.log, &cursor, out, SIZE, &lost), 1);
	ck_assert_uint_eq(out[0].id, 5);
}
END_TEST

START_TEST(test_only_ends_are_recorded_while_nobody_reads)
{
	for (int type = 0; type < EVENT_TYPE_COUNT; type++)
		ck_assert(event_is_wanted(&events, (enum event_type)type) == (type == EVENT_DESTROY));
	events_want(&events, 1u << EVENT_NEW);
	ck_assert(event_is_wanted(&events, EVENT_NEW) && event_is_wanted(&events, EVENT_DESTROY));
	ck_assert(!event_is_wanted(&events, EVENT_UPDATE));
}
END_TEST

START_TEST(test_without_memory_nothing_is_kept)
{
	uint64_t cursor = 1, lost;
	struct event out[1];

	events_init(&events, NULL, SIZE, 1);
	events_want(&events, UINT32_MAX);
	ck_assert(!event_is_wanted(&events, EVENT_NEW));
	append(EVENT_DESTROY, 1);
	append(EVENT_REFUSED, 1);
	ck_assert_uint_eq(events_read(&events.log, &cursor, out, 1, &lost), 0);
	ck_assert_uint_eq(lost, 0);
	ck_assert_uint_eq(events_read(&events.refused, &cursor, out, 1, &lost), 0);
}
END_TEST

START_TEST(test_everything_has_a_name)
{
	for (int t = 0; t < EVENT_TYPE_COUNT; t++)
		ck_assert_str_ne(event_type_name((enum event_type)t), "unknown");
	for (int e = 0; e < SESSION_END_COUNT; e++)
		ck_assert_str_ne(session_end_name((enum session_end)e), "unknown");
	ck_assert_str_eq(event_type_name(EVENT_TYPE_COUNT), "unknown");
	ck_assert_int_le(NAT_REASON_COUNT, UINT8_MAX); /* struct event has a byte for it */
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("event");
	TCase *tc = tcase_create("rings");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_slow_readers_lose_exactly_what_was_overwritten);
	tcase_add_test(tc, test_reader_may_begin_now_or_with_the_oldest);
	tcase_add_test(tc, test_flood_of_refusals_washes_no_history_away);
	tcase_add_test(tc, test_only_ends_are_recorded_while_nobody_reads);
	tcase_add_test(tc, test_without_memory_nothing_is_kept);
	tcase_add_test(tc, test_everything_has_a_name);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
