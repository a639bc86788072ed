/* SPDX-License-Identifier: ISC */
/* Work in a child: its results, and the meaning of its end. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/account.h"
#include "daemon/base/child.h"
#include "unit.h"

static char out[16];
static size_t len;

static int write_text(const void *text, int fd)
{
	return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static int write_and_fail(const void *text, int fd)
{
	write_text(text, fd);
	return -1;
}

static int write_and_die(const void *signo, int fd)
{
	write_text("abc", fd);
	raise(*(const int *)signo);
	return 0;
}

START_TEST(test_result_comes_back_up_to_its_room)
{
	static const struct {
		const char *text;
		size_t want;
	} rows[] = {{"", 0}, {"abc", 3}, {"0123456789abcdef", 16}, {"0123456789abcdefg", 16}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ck_assert_int_eq(child_run(write_text, rows[i].text, out, sizeof(out), &len), 0);
		ck_assert_uint_eq(len, rows[i].want);
		ck_assert_int_eq(memcmp(out, rows[i].text, len), 0);
	}
}
END_TEST

START_TEST(test_child_that_fails_or_dies_is_a_lack_of_memory)
{
	static const int ends[] = {SIGKILL, SIGUSR1};

	ck_assert_int_eq(child_run(write_and_fail, "abc", out, sizeof(out), &len), -ENOMEM);
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		ck_assert_int_eq(child_run(write_and_die, &ends[i], out, sizeof(out), &len), -ENOMEM);
}
END_TEST

static volatile sig_atomic_t heard;

static void hear(int signo)
{
	heard = signo;
}

/* In the child it has its usual effect. */
static int die_of_sigterm(const void *ctx, int fd)
{
	signal(SIGTERM, SIG_DFL);
	return write_and_die(ctx, fd);
}

START_TEST(test_who_ends_the_child_means_natd)
{
	static const int sigterm = SIGTERM;

	signal(SIGTERM, hear);
	ck_assert_int_eq(child_run(die_of_sigterm, &sigterm, out, sizeof(out), &len), -EINTR);
	ck_assert_int_eq(heard, SIGTERM);
}
END_TEST

START_TEST(test_child_that_cannot_be_heard_of)
{
	signal(SIGCHLD, SIG_IGN);
	ck_assert_int_eq(child_run(write_text, "abc", out, sizeof(out), &len), -ECHILD);
}
END_TEST

START_TEST(test_accounts_are_found_or_not)
{
	struct account a = {.uid = 4711, .gid = 4711};

	ck_assert_int_eq(account_of_user("root", &a), 0);
	ck_assert(a.uid == 0 && a.gid == 0);
	a.gid = 4711;
	ck_assert_int_eq(account_of_group("root", &a), 0);
	ck_assert(a.gid == 0);
	ck_assert_int_eq(account_of_user("no-such-user", &a), -ENOENT);
	ck_assert_int_eq(account_of_group("no-such-group", &a), -ENOENT);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("child");
	TCase *tc = tcase_create("child");

	tcase_add_test(tc, test_result_comes_back_up_to_its_room);
	tcase_add_test(tc, test_child_that_fails_or_dies_is_a_lack_of_memory);
	tcase_add_test(tc, test_who_ends_the_child_means_natd);
	tcase_add_test(tc, test_child_that_cannot_be_heard_of);
	tcase_add_test(tc, test_accounts_are_found_or_not);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
