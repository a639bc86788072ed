/* SPDX-License-Identifier: ISC */
/* natd-log's pure parts: records as text, the set of open mappings, the cursor's file. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/cursor.h"
#include "log/openset.h"
#include "log/record.h"
#include "unit.h"

enum { CLIENT = 0x0a080002, OUTSIDE = 0xcb007101, SERVER = 0xc633640a };
static const uint64_t NOON = 1796040000123456; /* 2026-11-30T12:00:00 */

/* ---- records ---- */

static const struct {
	struct record r;
	const char *json, *text;
} written[] = {
	{{.time_us = NOON, .kind = RECORD_START},
	 "{\"time\":1796040000.123456,\"event\":\"START\"}",
	 "2026-11-30T12:00:00.123456Z START"},
	{{.time_us = 1796040000000001, .kind = RECORD_LOST, .count = 17, .since_us = 1796039999000000},
	 "{\"time\":1796040000.000001,\"event\":\"LOST\",\"count\":17,\"since\":1796039999.000000}",
	 "2026-11-30T12:00:00.000001Z LOST count=17 since=2026-11-30T11:59:59.000000Z"},
	{{.time_us = NOON, .kind = RECORD_LOST},
	 "{\"time\":1796040000.123456,\"event\":\"LOST\",\"count\":null}",
	 "2026-11-30T12:00:00.123456Z LOST count=unknown"},
	{{.time_us = NOON,
	  .kind = RECORD_MAPPING,
	  .protocol = 6,
	  .inside = {CLIENT, 42464},
	  .outside = {OUTSIDE, 28783}},
	 "{\"time\":1796040000.123456,\"event\":\"MAPPING\",\"state\":\"opened\",\"protocol\":\"tcp\",\"inside\":{"
	 "\"address\":"
	 "\"10.8.0.2\",\"port\":42464},\"outside\":{\"address\":\"203.0.113.1\",\"port\":28783}}",
	 "2026-11-30T12:00:00.123456Z MAPPING opened tcp inside=10.8.0.2:42464 outside=203.0.113.1:28783"},
	{{.time_us = NOON,
	  .kind = RECORD_MAPPING,
	  .has_ended = true,
	  .is_found = true,
	  .protocol = 47,
	  .inside = {CLIENT, 0},
	  .outside = {OUTSIDE, 0}},
	 "{\"time\":1796040000.123456,\"event\":\"MAPPING\",\"state\":\"closed\",\"protocol\":\"gre\",\"inside\":{"
	 "\"address\":"
	 "\"10.8.0.2\",\"port\":null},\"outside\":{\"address\":\"203.0.113.1\",\"port\":null},\"found\":true}",
	 "2026-11-30T12:00:00.123456Z MAPPING closed gre inside=10.8.0.2 outside=203.0.113.1 found"},
	{{.time_us = NOON,
	  .kind = RECORD_SESSION,
	  .has_ended = true,
	  .protocol = 17,
	  .inside = {CLIENT, 1},
	  .outside = {OUTSIDE, 65535},
	  .remote = {SERVER, 53},
	  .id = 7,
	  .since_us = NOON - 1,
	  .reason = "time-\"out"},
	 "{\"time\":1796040000.123456,\"event\":\"DESTROY\",\"id\":7,\"protocol\":\"udp\",\"inside\":{\"address\":\"10."
	 "8.0.2\","
	 "\"port\":1},\"outside\":{\"address\":\"203.0.113.1\",\"port\":65535},\"remote\":{\"address\":\"198.51.100."
	 "10\",\"port\":"
	 "53},\"since\":1796040000.123455,\"reason\":\"time-?out\"}",
	 "2026-11-30T12:00:00.123456Z DESTROY udp inside=10.8.0.2:1 outside=203.0.113.1:65535 remote=198.51.100.10:53 "
	 "id=7 "
	 "since=2026-11-30T12:00:00.123455Z reason=time-?out"},
	{{.time_us = NOON,
	  .kind = RECORD_BLOCK,
	  .inside = {CLIENT, 0},
	  .outside = {OUTSIDE, 0},
	  .first = 1024,
	  .last = 1535},
	 "{\"time\":1796040000.123456,\"event\":\"BLOCK\",\"state\":\"opened\",\"host\":\"10.8.0.2\",\"outside\":\"203."
	 "0.113.1\","
	 "\"first\":1024,\"last\":1535}",
	 "2026-11-30T12:00:00.123456Z BLOCK opened host=10.8.0.2 outside=203.0.113.1 ports=1024-1535"},
};

START_TEST(test_record_is_written_in_both_forms)
{
	char out[RECORD_SIZE];

	ck_assert_uint_eq(record_json(out, &written[_i].r), strlen(written[_i].json));
	ck_assert_str_eq(out, written[_i].json);
	ck_assert_uint_eq(record_text(out, &written[_i].r), strlen(written[_i].text));
	ck_assert_str_eq(out, written[_i].text);
}
END_TEST

START_TEST(test_longest_record_has_room)
{
	struct record r = {
		.time_us = UINT64_MAX / 4,
		.since_us = UINT64_MAX / 4,
		.kind = RECORD_SESSION,
		.has_ended = true,
		.is_found = true,
		.protocol = 17,
		.inside = {UINT32_MAX, UINT16_MAX},
		.outside = {UINT32_MAX, UINT16_MAX},
		.remote = {UINT32_MAX, UINT16_MAX},
		.id = UINT64_MAX,
	};
	char out[RECORD_SIZE];

	memset(r.reason, 'x', sizeof(r.reason) - 1);
	ck_assert_uint_lt(record_json(out, &r), RECORD_SIZE - 2);
	ck_assert_uint_lt(record_text(out, &r), RECORD_SIZE - 2);
}
END_TEST

START_TEST(test_record_of_an_event_has_a_destination_only_if_wanted)
{
	struct ctl_event e = {.kind = CTL_EVENT_DESTROY, .time_us = NOON, .reason = "timeout"};
	struct record r;

	e.entry = (struct ctl_entry){.id = 3,
				     .protocol = 6,
				     .age_s = 10,
				     .inside = {CLIENT, 1},
				     .outside = {OUTSIDE, 2},
				     .remote = {SERVER, 443}};
	ck_assert(record_of_event(&r, &e, false) && r.kind == RECORD_SESSION && r.has_ended && r.remote.address == 0);
	ck_assert(r.since_us == NOON - 10000000 && strcmp(r.reason, "timeout") == 0 && r.id == 3);
	ck_assert(record_of_event(&r, &e, true) && r.remote.address == SERVER && r.remote.port == 443);
	e = (struct ctl_event){.kind = CTL_EVENT_MAPPING};
	e.mapping.remote.address = SERVER;
	ck_assert(record_of_event(&r, &e, true) && r.remote.address == 0); /* many sessions share one */
	e.kind = CTL_EVENT_ALARM;
	ck_assert(!record_of_event(&r, &e, true));
}
END_TEST

/* ---- the set of open mappings ---- */

static struct record mapping(uint16_t port, bool has_ended)
{
	return (struct record){.time_us = NOON + port,
			       .kind = RECORD_MAPPING,
			       .has_ended = has_ended,
			       .protocol = 6,
			       .inside = {CLIENT, port},
			       .outside = {OUTSIDE, port}};
}

static void note(struct openset *s, uint16_t port, bool has_ended)
{
	struct record r = mapping(port, has_ended);

	openset_note(s, &r);
}

static void list(struct openset *s, uint16_t port)
{
	struct record r = mapping(port, false);

	openset_compare(s, &r);
}

START_TEST(test_end_says_when_it_began)
{
	struct openset *s = openset_create();
	struct record end = mapping(5, true), unknown = mapping(6, true);

	note(s, 5, false);
	openset_note(s, &end);
	openset_note(s, &unknown);
	ck_assert_uint_eq(end.since_us, NOON + 5);
	ck_assert_uint_eq(unknown.since_us, 0);
	ck_assert_uint_eq(openset_count(s), 0);
	openset_destroy(s);
	openset_destroy(NULL);
}
END_TEST

START_TEST(test_comparison_finds_what_began_and_ended_unseen)
{
	struct openset *s = openset_create();
	unsigned began = 0, ended = 0;
	struct record r;

	note(s, 1, false); /* goes on */
	note(s, 2, false); /* ended unseen */
	note(s, 3, false); /* ends while natd lists */
	openset_compare_begin(s);
	list(s, 1);
	list(s, 3);
	note(s, 3, true);
	list(s, 4);	   /* began unseen */
	note(s, 5, false); /* begins while natd lists */
	list(s, 5);
	list(s, 6); /* began while natd listed, and its event comes later */
	note(s, 6, false);
	list(s, 7); /* likewise, and has ended already */
	note(s, 7, true);
	note(s, 8, false); /* began and ended while natd listed */
	note(s, 8, true);
	list(s, 8);
	while (openset_compare_next(s, &r)) {
		ck_assert(r.is_found && r.inside.port == (r.has_ended ? 2 : 4) && r.outside.address == OUTSIDE);
		began += !r.has_ended;
		ended += r.has_ended;
	}
	ck_assert(began == 1 && ended == 1);
	ck_assert_uint_eq(openset_count(s), 4); /* 1, 4, 5, 6 */
	openset_destroy(s);
}
END_TEST

START_TEST(test_comparison_in_silence_and_one_that_is_given_up)
{
	struct openset *s = openset_create();
	struct record end = mapping(1, true);

	openset_compare_begin(s);
	list(s, 1);
	openset_compare_quietly(s);
	ck_assert_uint_eq(openset_count(s), 1);
	openset_note(s, &end);
	ck_assert_uint_eq(end.since_us, 0); /* not known */
	note(s, 2, false);
	openset_compare_begin(s);
	list(s, 3);
	openset_compare_abort(s);
	ck_assert_uint_eq(openset_count(s), 1); /* 2 */
	openset_destroy(s);
}
END_TEST

/* Against a list that is as simple as can be. */
START_TEST(test_set_holds_what_a_list_holds)
{
	struct openset *s = openset_create();
	static uint8_t open[4096];
	unsigned n = 0;

	memset(open, 0, sizeof(open));
	for (int i = 0; i < 200000; i++) {
		uint16_t port = (uint16_t)unit_below(sizeof(open));
		bool has_ended = unit_below(2);
		struct record r = mapping(port, has_ended);

		openset_note(s, &r);
		if (has_ended)
			ck_assert_uint_eq(r.since_us != 0, open[port]);
		n += !has_ended && !open[port];
		n -= has_ended && open[port];
		open[port] = !has_ended;
		ck_assert_uint_eq(openset_count(s), n);
	}
	openset_destroy(s);
}
END_TEST

/* ---- the cursor ---- */

START_TEST(test_cursor_comes_back_from_the_disk)
{
	const struct cursor c = {
		.instance = 1796040000123456, .next = 4711, .time_us = NOON, .is_complete = true, .target = 0xabc};
	char dir[] = "/tmp/check_translation_log.XXXXXX", path[64], name[96];
	struct cursor_file *f, *other;
	const char *why = NULL;
	struct cursor got;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/new/cursor", dir);
	f = cursor_open(path, &why);
	ck_assert_msg(f != NULL, "%s", why);
	ck_assert(cursor_load(f, &got) && got.instance == 0);
	ck_assert_int_eq(cursor_save(f, &c), 0);
	ck_assert(cursor_load(f, &got) && memcmp(&got, &c, sizeof(c)) == 0);
	other = cursor_open(path, &why);
	ck_assert(other == NULL && strstr(why, "another natd-log") != NULL);
	cursor_close(f);
	cursor_close(NULL);
	snprintf(name, sizeof(name), "rm -r %s", dir);
	ck_assert_int_eq(system(name), 0);
}
END_TEST

START_TEST(test_damaged_cursor_is_none)
{
	static const char *const texts[] = {
		"",
		"natd-log 2\ninstance 1\nnext 1\ntime 1\ncomplete 0\ntarget 1\n",
		"natd-log 1\ninstance 1\nnext 0\ntime 1\ncomplete 0\ntarget 1\n",
		"natd-log 1\ninstance 1\nnext 1\ntime 1\ncomplete 2\ntarget 1\n",
		"natd-log 1\ninstance 1\nnext 1\ntime 1\ncomplete 0\n",
		"natd-log 1\ninstance 1\nnext 1\ntime 1\ncomplete 0\ntarget 1\nmore",
	};
	struct cursor c;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		c.instance = 9;
		ck_assert_msg(!cursor_parse(texts[i], &c) && c.instance == 0, "%s", texts[i]);
	}
	ck_assert(cursor_parse("natd-log 1\ninstance 1\nnext 2\ntime 3\ncomplete 0\ntarget 1f\n", &c) &&
		  c.target == 0x1f);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("translation_log");
	TCase *t = tcase_create("translation_log");

	tcase_add_loop_test(t, test_record_is_written_in_both_forms, 0, sizeof(written) / sizeof(written[0]));
	tcase_add_test(t, test_longest_record_has_room);
	tcase_add_test(t, test_record_of_an_event_has_a_destination_only_if_wanted);
	tcase_add_test(t, test_end_says_when_it_began);
	tcase_add_test(t, test_comparison_finds_what_began_and_ended_unseen);
	tcase_add_test(t, test_comparison_in_silence_and_one_that_is_given_up);
	tcase_add_test(t, test_set_holds_what_a_list_holds);
	tcase_add_test(t, test_cursor_comes_back_from_the_disk);
	tcase_add_test(t, test_damaged_cursor_is_none);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
