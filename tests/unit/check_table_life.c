/* SPDX-License-Identifier: ISC */
/* Births and deaths: each session that begins or ends, for whatever cause, is counted and recorded once, under one
 * reason. */
#include <check.h>

#include "tablelab.h"

enum { SIZE = 200, EVENTS = 1024 };

static struct lab l;
static struct events *events;
static uint64_t cursor, counters[NAT_REASON_COUNT];

static void setup(void)
{
	lab_open(&l, SIZE, 1);
	events = table_events(l.t);
	events_want(events, UINT32_MAX);
	cursor = events_end(&events->log);
	memset(counters, 0, sizeof(counters));
	table_count_into(l.t, counters);
}

static void teardown(void)
{
	lab_check(&l);
	lab_close(&l);
}

static struct event next_event(enum event_type type)
{
	struct event ev;
	uint64_t lost;

	ck_assert_uint_eq(events_read(&events->log, &cursor, &ev, 1, &lost), 1);
	ck_assert_uint_eq(lost, 0);
	ck_assert_msg(ev.type == type, "%s instead of %s", event_type_name((enum event_type)ev.type),
		      event_type_name(type));
	return ev;
}

static void expect_end(uint64_t id, enum session_end why)
{
	struct event ev = next_event(EVENT_DESTROY);

	ck_assert_uint_eq(ev.id, id);
	ck_assert_str_eq(session_end_name((enum session_end)ev.reason), session_end_name(why));
	ck_assert_uint_eq(table_ended(l.t, why), 1);
}

static void expect_no_more(void)
{
	ck_assert_uint_eq(cursor, events_end(&events->log));
}

static uint64_t open_one(const struct session_spec *spec)
{
	uint64_t id = table_session_id(l.t, lab_session(&l, spec));

	ck_assert_uint_eq(next_event(EVENT_MAPPING_NEW).id, id);
	ck_assert_uint_eq(next_event(EVENT_NEW).id, id);
	return id;
}

/* Births, changes, a session reopened in its place, deaths, and what a restart finds: lab_check() compares with a
 * scan. */
START_TEST(test_sessions_are_counted_by_class_and_state)
{
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session *s = lab_session(&l, &spec);
	enum session_state first = session_state(s);

	ck_assert_uint_eq(table_sessions_in(l.t, session_class(s), first), 1);
	session_set_state(s, SESSION_FIN_OUT);
	table_session_changed(l.t, s, first);
	ck_assert_uint_eq(table_sessions_in(l.t, session_class(s), first), 0);
	ck_assert_uint_eq(table_sessions_in(l.t, session_class(s), SESSION_FIN_OUT), 1);
	lab_check(&l);
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	ck_assert_uint_eq(table_sessions_in(l.t, (enum nat_class)spec.proto_class, SESSION_FIN_OUT), 0);
	ck_assert_uint_eq(table_sessions_in(l.t, CLASS_COUNT, SESSION_FIN_OUT), 0);
	cursor = events_end(&events->log);
}
END_TEST

START_TEST(test_end_has_its_reason_and_the_totals)
{
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	const struct session_origin origin = {.forward = "web"};
	struct session *s;
	struct event ev;
	uint64_t id;

	spec.origin = table_origin_intern(l.t, &origin);
	id = open_one(&spec);
	s = table_session_by_id(l.t, id);
	s->bytes[DIR_OUT] = 1ull << 40;
	s->packets[DIR_IN] = 7;
	events->now_ms = 4711;
	table_session_close(l.t, s, SESSION_END_FLUSHED, l.now_s);
	ev = next_event(EVENT_DESTROY);
	ck_assert_uint_eq(ev.id, id);
	ck_assert_uint_eq(ev.time_ms, 4711);
	ck_assert_uint_eq(ev.reason, SESSION_END_FLUSHED);
	ck_assert_uint_eq(ev.bytes[DIR_OUT], 1ull << 40);
	ck_assert_uint_eq(ev.packets[DIR_IN], 7);
	ck_assert_uint_eq(ev.int_addr, spec.int_addr);
	ck_assert_uint_eq(ev.ext_addr, LAB_OUTSIDE);
	ck_assert_uint_eq(ev.rem_addr, spec.rem_addr);
	ck_assert_uint_eq(ev.int_port, spec.int_port);
	ck_assert_uint_eq(ev.ext_port, spec.ext_port);
	ck_assert_uint_eq(ev.rem_port, spec.rem_port);
	ck_assert_uint_eq(ev.created_s, LAB_T0);
	ck_assert_str_eq(table_origin_get(l.t, ev.origin)->forward, "web");
	ck_assert_uint_eq(ev.kind & SESSION_KIND_CLASS, CLASS_UDP);
	ck_assert_uint_eq(next_event(EVENT_MAPPING_FREED).ext_port, spec.ext_port);
	expect_no_more();
	ck_assert_uint_eq(counters[COUNT_SESSION_NEW], 1);
	ck_assert_uint_eq(counters[COUNT_SESSION_DELETED], 1);
	ck_assert_uint_eq(counters[COUNT_SESSION_EXPIRED], 0);
	ck_assert_uint_eq(counters[COUNT_MAPPING_NEW], 1);
	ck_assert_uint_eq(counters[COUNT_MAPPING_FREED], 1);
}
END_TEST

START_TEST(test_reopening_ends_the_session_before)
{
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	uint64_t id = open_one(&spec), again;

	l.now_s += 1000;
	again = table_session_id(l.t, lab_session(&l, &spec));
	ck_assert_uint_ne(again, id);
	expect_end(id, SESSION_END_TIMEOUT);
	ck_assert_uint_eq(next_event(EVENT_NEW).id, again);
	expect_no_more();
	ck_assert_uint_eq(counters[COUNT_SESSION_NEW], 2);
	ck_assert_uint_eq(counters[COUNT_SESSION_EXPIRED], 1);
}
END_TEST

START_TEST(test_stale_twin_ends_when_another_takes_its_key)
{
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	uint64_t id;

	spec.proto_class = CLASS_TCP;
	spec.state = SESSION_TIME_WAIT;
	id = open_one(&spec);
	l.now_s += 1000;
	spec.ext_port++;
	spec.state = SESSION_SYN_OUT;
	lab_session(&l, &spec);
	expect_end(id, SESSION_END_CLOSED);
	next_event(EVENT_MAPPING_FREED);
	next_event(EVENT_MAPPING_NEW);
	next_event(EVENT_NEW);
	expect_no_more();
	ck_assert_uint_eq(counters[COUNT_SESSION_EXPIRED], 1);
}
END_TEST

START_TEST(test_sweep_ends_each_by_its_state)
{
	static const struct {
		enum session_state state;
		enum session_end why;
	} ends[] = {{SESSION_ESTABLISHED, SESSION_END_TIMEOUT},
		    {SESSION_FIN_BOTH, SESSION_END_CLOSED},
		    {SESSION_RESET, SESSION_END_RESET}};

	for (uint16_t i = 0; i < 3; i++) {
		struct session_spec spec = lab_spec(1, (uint16_t)(1000 + i), 1, (uint16_t)(40000 + i));
		uint64_t id;

		spec.proto_class = CLASS_TCP;
		spec.state = (uint8_t)ends[i].state;
		id = open_one(&spec);
		l.now_s += 10000;
		ck_assert_uint_eq(table_sweep(l.t, l.now_s, SIZE).closed, 1);
		expect_end(id, ends[i].why);
		next_event(EVENT_MAPPING_FREED);
	}
	expect_no_more();
}
END_TEST

START_TEST(test_change_of_state_is_recorded_if_wanted)
{
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	uint64_t id = open_one(&spec);
	struct session *s = table_session_by_id(l.t, id);
	enum session_state before = session_state(s);

	session_set_state(s, SESSION_ESTABLISHED);
	table_session_changed(l.t, s, before);
	ck_assert_uint_eq(next_event(EVENT_UPDATE).kind >> SESSION_KIND_STATE_SHIFT & 15, SESSION_ESTABLISHED);
	events_want(events, 0);
	table_session_changed(l.t, s, session_state(s));
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	expect_end(id, SESSION_END_DELETED); /* the history */
	expect_no_more();
}
END_TEST

START_TEST(test_second_session_of_a_mapping_makes_none)
{
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session *other;
	uint64_t id = open_one(&spec);

	spec.rem_addr++;
	other = lab_session(&l, &spec);
	next_event(EVENT_NEW);
	table_session_close(l.t, table_session_by_id(l.t, id), SESSION_END_DELETED, l.now_s);
	expect_end(id, SESSION_END_DELETED);
	table_session_close(l.t, other, SESSION_END_RELOAD, l.now_s);
	next_event(EVENT_DESTROY);
	next_event(EVENT_MAPPING_FREED);
	expect_no_more();
	ck_assert_uint_eq(counters[COUNT_MAPPING_NEW], 1);
}
END_TEST

START_TEST(test_what_was_restored_is_no_birth)
{
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	uint64_t id = open_one(&spec);

	lab_restart(&l, 1);
	events = table_events(l.t);
	cursor = events_begin(&events->log);
	expect_no_more();
	table_session_close(l.t, table_session_by_id(l.t, id), SESSION_END_DELETED, l.now_s);
	expect_end(id, SESSION_END_DELETED);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table_life");
	TCase *tc = tcase_create("life");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_sessions_are_counted_by_class_and_state);
	tcase_add_test(tc, test_end_has_its_reason_and_the_totals);
	tcase_add_test(tc, test_reopening_ends_the_session_before);
	tcase_add_test(tc, test_stale_twin_ends_when_another_takes_its_key);
	tcase_add_test(tc, test_sweep_ends_each_by_its_state);
	tcase_add_test(tc, test_change_of_state_is_recorded_if_wanted);
	tcase_add_test(tc, test_second_session_of_a_mapping_makes_none);
	tcase_add_test(tc, test_what_was_restored_is_no_birth);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
