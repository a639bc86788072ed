/* SPDX-License-Identifier: ISC */
/* The log: what reaches stderr, and what must not happen on the way. Check forks each test, so the log's state is
 * fresh. */
#define _GNU_SOURCE 1 /* F_SETPIPE_SZ */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "unit.h"

static int reader;
static char text[65536];

static void setup(void)
{
	int p[2];

	unsetenv("JOURNAL_STREAM");
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_int_ge(dup2(p[1], STDERR_FILENO), 0);
	close(p[1]);
	reader = p[0];
	ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
}

static const char *logged(void)
{
	size_t n = 0;
	ssize_t r;

	while ((r = read(reader, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	return text;
}

static unsigned count_lines(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

START_TEST(test_levels)
{
	static const struct {
		enum log_level limit;
		const char *want;
	} rows[] = {
		{LEVEL_ERROR, "natd: error: e\n"},
		{LEVEL_WARNING, "natd: error: e\nnatd: warning: w\n"},
		{LEVEL_NOTICE, "natd: error: e\nnatd: warning: w\nnatd: n\n"},
		{LEVEL_INFO, "natd: error: e\nnatd: warning: w\nnatd: n\nnatd: i\n"},
		{LEVEL_DEBUG, "natd: error: e\nnatd: warning: w\nnatd: n\nnatd: i\nnatd: table: d\n"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		log_set_level(rows[i].limit);
		log_error(SUB_MAIN, "e");
		log_warning(SUB_MAIN, "w");
		log_notice(SUB_MAIN, "n");
		log_info(SUB_MAIN, "i");
		log_debug(SUB_TABLE, "d");
		ck_assert_str_eq(logged(), rows[i].want);
	}
}
END_TEST

START_TEST(test_control_characters_never_reach_the_terminal)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"plain ~ text", "plain ~ text"}, {"\x1b[2J", "\\x1b[2J"},    {"two\nlines\r", "two\\x0alines\\x0d"},
		{"\xc3\xa9", "\\xc3\\xa9"},	  {"\x7f\x01", "\\x7f\\x01"}, {"", ""},
		{"back\\slash", "back\\slash"},
	};
	char out[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ck_assert_uint_eq(log_escape(out, sizeof(out), rows[i].in), strlen(rows[i].out));
		ck_assert_str_eq(out, rows[i].out);
		log_notice(SUB_MAIN, "<%s>", rows[i].in);
		snprintf(out, sizeof(out), "natd: <%s>\n", rows[i].out);
		ck_assert_str_eq(logged(), out);
	}
}
END_TEST

/* Any bytes and any size of the buffer: the text is terminated, printable, and fits. */
START_TEST(test_escape_stays_within_its_room)
{
	char in[41], out[41];

	for (int round = 0; round < 2000; round++) {
		size_t size = 1 + unit_below(40), len;

		for (size_t i = 0; i < 40; i++)
			in[i] = (char)(1 + unit_below(255));
		in[unit_below(41)] = '\0';
		in[40] = '\0';
		memset(out, '@', sizeof(out));
		len = log_escape(out, size, in);
		ck_assert_uint_lt(len, size);
		ck_assert_uint_eq(strlen(out), len);
		for (size_t i = 0; i < len; i++)
			ck_assert(out[i] >= ' ' && out[i] < 127);
		for (size_t i = size; i < sizeof(out); i++)
			ck_assert_int_eq(out[i], '@');
	}
}
END_TEST

START_TEST(test_errno_is_kept_and_the_cause_is_told)
{
	errno = EDOM;
	log_write(LEVEL_ERROR, SUB_TUN, ENOENT, "natd0");
	ck_assert_int_eq(errno, EDOM);
	ck_assert_str_eq(logged(), "natd: error: natd0: No such file or directory\n");
	close(STDERR_FILENO); /* a target that is gone */
	errno = EDOM;
	log_error(SUB_TUN, "x");
	ck_assert_int_eq(errno, EDOM);
}
END_TEST

START_TEST(test_long_message_is_one_line_of_pipe_buf_at_most)
{
	char *big = malloc(100001);

	memset(big, '\n', 100000);
	big[100000] = '\0';
	log_notice(SUB_MAIN, "%s", big);
	free(big);
	ck_assert_uint_eq(count_lines(logged()), 1);
	ck_assert_uint_le(strlen(text), 4096);
}
END_TEST

static void noise(void)
{
	log_warning(SUB_DATA, "noise");
}

START_TEST(test_noisy_message_is_limited_and_hides_no_other)
{
	for (int i = 0; i < 1000; i++)
		noise();
	log_warning(SUB_DATA, "signal");
	ck_assert_uint_ge(count_lines(logged()), 21);
	ck_assert_uint_le(count_lines(text), 121); /* a burst of 20, and two a second on a slow machine */
	ck_assert_ptr_nonnull(strstr(text, "natd: warning: signal\n"));
}
END_TEST

START_TEST(test_full_pipe_does_not_block_and_the_loss_is_told)
{
	char junk[4096];
	ssize_t n;

	ck_assert_int_ge(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 16384), 16384);
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	memset(junk, 'j', sizeof(junk));
	do
		n = write(STDERR_FILENO, junk, sizeof(junk));
	while (n > 0);
	/* As it is with a pipe of somebody else's: a write that waits would hang the test. */
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, 0), 0);
	log_error(SUB_MAIN, "lost 1");
	log_error(SUB_MAIN, "lost 2");
	logged();
	log_error(SUB_MAIN, "here");
	ck_assert_str_eq(logged(), "natd: error: here\nnatd: warning: 2 log lines lost: the log did not take them\n");
	log_error(SUB_MAIN, "there");
	ck_assert_str_eq(logged(), "natd: error: there\n");
}
END_TEST

START_TEST(test_full_disk_loses_lines_and_the_loss_is_told)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), log = dup(STDERR_FILENO);

	ck_assert_int_ge(full, 0);
	ck_assert_int_ge(dup2(full, STDERR_FILENO), 0);
	log_error(SUB_MAIN, "lost 1");
	log_error(SUB_MAIN, "lost 2");
	ck_assert_int_ge(dup2(log, STDERR_FILENO), 0); /* somebody made room */
	log_error(SUB_MAIN, "here");
	ck_assert_str_eq(logged(), "natd: error: here\nnatd: warning: 2 log lines lost: the log did not take them\n");
	close(full);
	close(log);
}
END_TEST

START_TEST(test_stderr_of_the_journal_gets_priorities)
{
	struct stat st;
	char stream[64];

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open(LOG_TO_STDERR);
	log_warning(SUB_MAIN, "w");
	log_notice(SUB_MAIN, "n");
	ck_assert_str_eq(logged(), "<4>w\n<5>n\n");
}
END_TEST

START_TEST(test_auto_is_stderr_unless_it_leads_to_the_journal)
{
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_open(LOG_TO_AUTO);
	log_notice(SUB_MAIN, "n");
	ck_assert_str_eq(logged(), "natd: n\n");
}
END_TEST

START_TEST(test_plain_line_is_written_as_it_is_whatever_the_level)
{
	log_set_level(LEVEL_ERROR);
	log_plain(LEVEL_NOTICE, SUB_MAIN, "natd: ready");
	ck_assert_str_eq(logged(), "natd: ready\n");
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_open(LOG_TO_SYSLOG); /* of a machine with or without it */
	logged();
	log_plain(LEVEL_NOTICE, SUB_MAIN, "natd: ready");
	ck_assert_str_eq(logged(), "natd: ready\n");
}
END_TEST

START_TEST(test_every_value_has_a_name)
{
	for (int i = 0; i < LEVEL_COUNT; i++)
		ck_assert_ptr_nonnull(log_level_name((enum log_level)i));
	for (int i = 0; i < LOG_TO_COUNT; i++)
		ck_assert_ptr_nonnull(log_target_name((enum log_target)i));
	for (int i = 0; i < SUB_COUNT; i++)
		ck_assert_ptr_nonnull(log_subsystem_name((enum log_subsystem)i));
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_levels);
	tcase_add_test(tc, test_control_characters_never_reach_the_terminal);
	tcase_add_test(tc, test_escape_stays_within_its_room);
	tcase_add_test(tc, test_errno_is_kept_and_the_cause_is_told);
	tcase_add_test(tc, test_long_message_is_one_line_of_pipe_buf_at_most);
	tcase_add_test(tc, test_noisy_message_is_limited_and_hides_no_other);
	tcase_add_test(tc, test_full_pipe_does_not_block_and_the_loss_is_told);
	tcase_add_test(tc, test_full_disk_loses_lines_and_the_loss_is_told);
	tcase_add_test(tc, test_stderr_of_the_journal_gets_priorities);
	tcase_add_test(tc, test_auto_is_stderr_unless_it_leads_to_the_journal);
	tcase_add_test(tc, test_plain_line_is_written_as_it_is_whatever_the_level);
	tcase_add_test(tc, test_every_value_has_a_name);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
