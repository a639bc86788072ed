/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/findings.h"
#include "unit.h"

struct seen {
	unsigned n;
	char id[2][32], text[2][FINDING_TEXT_SIZE], remedy[2][FINDING_TEXT_SIZE];
	enum finding_severity severity[2];
	uint32_t percent[2];
};

static void keep(void *ctx, const struct finding *f)
{
	struct seen *s = ctx;

	ck_assert_uint_lt(s->n, 2);
	snprintf(s->id[s->n], sizeof(s->id[0]), "%s", f->id);
	snprintf(s->text[s->n], sizeof(s->text[0]), "%s", f->text);
	snprintf(s->remedy[s->n], sizeof(s->remedy[0]), "%s", f->remedy);
	s->severity[s->n] = f->severity;
	s->percent[s->n++] = f->percent;
}

START_TEST(test_remedy_and_percent_belong_to_one_finding)
{
	struct seen seen = {0};
	struct finding_sink s;

	finding_sink_init(&s, keep, &seen);
	finding_remedy(&s, "raise limits.%s", "sessions");
	s.percent = 83;
	finding_add(&s, FINDING_WARNING, "sessions", "%d of %d sessions are in use", 83, 100);
	finding_add(&s, FINDING_OK, "outside-interface", "eth0 exists");
	ck_assert_uint_eq(seen.n, 2);
	ck_assert_str_eq(seen.id[0], "sessions");
	ck_assert_str_eq(seen.text[0], "83 of 100 sessions are in use");
	ck_assert_str_eq(seen.remedy[0], "raise limits.sessions");
	ck_assert_int_eq(seen.severity[0], FINDING_WARNING);
	ck_assert_uint_eq(seen.percent[0], 83);
	ck_assert_str_eq(seen.remedy[1], "");
	ck_assert_uint_eq(seen.percent[1], 0);
}
END_TEST

START_TEST(test_long_text_is_cut_off)
{
	struct seen seen = {0};
	struct finding_sink s;
	char longer[2 * FINDING_TEXT_SIZE];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	finding_sink_init(&s, keep, &seen);
	finding_remedy(&s, "%s", longer);
	finding_add(&s, FINDING_ERROR, "a", "%s", longer);
	ck_assert_uint_eq(strlen(seen.text[0]), FINDING_TEXT_SIZE - 1);
	ck_assert_uint_eq(strlen(seen.remedy[0]), FINDING_TEXT_SIZE - 1);
}
END_TEST

START_TEST(test_ids_are_words_for_scripts)
{
	ck_assert(finding_id_is_valid("rp-filter"));
	ck_assert(finding_id_is_valid("7"));
	ck_assert(!finding_id_is_valid(""));
	ck_assert(!finding_id_is_valid("-a"));
	ck_assert(!finding_id_is_valid("Ports"));
	ck_assert(!finding_id_is_valid("two words"));
	ck_assert(!finding_id_is_valid("abcdefghijklmnopqrstuvwxyz-012345"));
}
END_TEST

static void add(struct findings *f, enum finding_severity severity, const char *id, const char *text)
{
	struct finding_sink s;

	findings_sink(f, &s);
	finding_remedy(&s, "do it");
	finding_add(&s, severity, id, "%s", text);
}

START_TEST(test_lists_are_kept_and_compared)
{
	struct findings before = {0}, now = {0};
	struct seen seen = {0};
	struct finding_sink s;

	add(&before, FINDING_WARNING, "inside-interface", "lan0 is down");
	add(&now, FINDING_WARNING, "inside-interface", "lan0 is down");
	add(&now, FINDING_WARNING, "inside-interface", "lan1 is down");
	add(&now, FINDING_OK, "clock", "is right");
	findings_difference(&now, &before, keep, &seen);
	ck_assert_uint_eq(seen.n, 2);
	ck_assert_str_eq(seen.text[0], "lan1 is down");
	ck_assert_str_eq(seen.remedy[0], "do it");
	seen.n = 0;
	findings_difference(&before, &now, keep, &seen);
	ck_assert_uint_eq(seen.n, 0);
	finding_sink_init(&s, keep, &seen);
	findings_replay(&now, FINDING_WARNING, &s);
	ck_assert_uint_eq(seen.n, 2);
	findings_swap(&before, &now);
	ck_assert_uint_eq(before.n, 3);
	findings_clear(&before);
	ck_assert_uint_eq(before.n, 0);
	findings_fini(&before);
	findings_fini(&now);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("finding");
	TCase *tc = tcase_create("finding");

	tcase_add_test(tc, test_remedy_and_percent_belong_to_one_finding);
	tcase_add_test(tc, test_long_text_is_cut_off);
	tcase_add_test(tc, test_ids_are_words_for_scripts);
	tcase_add_test(tc, test_lists_are_kept_and_compared);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
