/* SPDX-License-Identifier: ISC */
/*
 * Restoring from records: everything after a restart, no incomplete session after a kill at any instruction.
 */
#include <check.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/table/table_private.h"

#include "tablelab.h"

enum { SIZE = 400, ADDRESSES = 3 };

struct copy {
	struct session session;
	uint64_t id;
	uint32_t created_s;
};

static uint32_t snapshot(struct lab *l, struct copy *c)
{
	uint32_t cursor = 0, n = 0;
	struct session *s;

	while ((s = table_next(l->t, &cursor, SIZE)) != NULL)
		c[n++] = (struct copy){*s, table_session_id(l->t, s), table_session_created_s(l->t, s)};
	return n;
}

START_TEST(test_restart_brings_back_everything_as_it_was)
{
	struct copy before[SIZE], after[SIZE];
	uint32_t n, hosts, mappings, unanswered;
	struct table_usage u;
	struct lab l;

	lab_open(&l, SIZE, ADDRESSES);
	lab_populate(&l, SIZE * 3 / 4);
	table_usage(l.t, &u);
	n = snapshot(&l, before);
	while (table_sweep(l.t, l.now_s, SIZE).closed > 0 || table_host_count(l.t) > 20)
		;
	hosts = table_host_count(l.t);
	mappings = table_mapping_count(l.t);
	unanswered = table_unanswered_count(l.t);
	for (int round = 0; round < 3; round++) {
		lab_restart(&l, ADDRESSES);
		ck_assert_int_eq(l.report.result, TABLE_RESTORED);
		ck_assert_uint_eq(l.report.restored, n);
		ck_assert_uint_eq(l.report.dropped, 0);
		ck_assert_uint_eq(l.report.resting, u.resting);
		ck_assert_uint_eq(snapshot(&l, after), n);
		for (uint32_t i = 0; i < n; i++) {
			ck_assert_mem_eq(&before[i].session, &after[i].session, sizeof(struct session));
			ck_assert_uint_eq(before[i].id, after[i].id);
			ck_assert_uint_eq(before[i].created_s, after[i].created_s);
		}
		ck_assert_uint_eq(table_host_count(l.t), hosts);
		ck_assert_uint_eq(table_mapping_count(l.t), mappings);
		/* a session reset before an answer counts as unanswered until it closes, before and after */
		ck_assert_uint_eq(table_unanswered_count(l.t), unanswered);
		lab_check(&l);
	}
	lab_close(&l);
}
END_TEST

START_TEST(test_timers_account_for_the_time_away)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session_key k;

	lab_open(&l, 10, 1);
	k = lab_key(lab_session(&l, &spec), DIR_OUT);
	l.now_s += 300;
	lab_restart(&l, 1);
	ck_assert_ptr_nonnull(lab_find(&l, &k));
	l.now_s += 1;
	lab_restart(&l, 1);
	ck_assert_ptr_null(lab_find(&l, &k));
	ck_assert_uint_eq(table_sweep(l.t, l.now_s, 10).closed, 1);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_times_in_the_future_count_as_now)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session_key k;

	lab_open(&l, 10, 1);
	k = lab_key(lab_session(&l, &spec), DIR_OUT);
	l.now_s = 10; /* a machine started again, with a saved file */
	lab_restart(&l, 1);
	ck_assert_uint_eq(lab_find(&l, &k)->seen_s, 10);
	l.now_s += 301;
	ck_assert_ptr_null(lab_find(&l, &k));
	lab_close(&l);
}
END_TEST

START_TEST(test_addresses_nobody_claims_fade_with_their_sessions)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session *s;

	lab_open(&l, 10, 3);
	spec.ext = 1;
	lab_session(&l, &spec);
	lab_restart(&l, 1);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE + 1), 1);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE + 2), TABLE_NONE);
	s = table_next(l.t, &(uint32_t){0}, 10);
	ck_assert_uint_eq(table_address(l.t, s->ext), LAB_OUTSIDE + 1);
	table_set_timeouts(l.t, &lab_timeouts, 0);
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE + 1), TABLE_NONE);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_mapping_that_rests_and_lives_is_believed_to_live)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session copy, *s;

	lab_open(&l, 10, 1);
	s = lab_session(&l, &spec);
	copy = *s;
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	*s = copy; /* killed between the rest and the withdrawal */
	l.t->cold[0].check = record_check(s);
	l.t->header->session_top = record_top(1);
	lab_restart(&l, 1);
	ck_assert_uint_eq(l.report.restored, 1);
	ck_assert_uint_eq(l.report.resting, 0);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* ---- header ---- */

START_TEST(test_other_sizes_are_foreign)
{
	struct lab l;

	lab_open(&l, SIZE, ADDRESSES);
	l.params.max_sessions = SIZE - 1;
	lab_attach(&l);
	ck_assert_ptr_null(l.t);
	l.params.max_sessions = SIZE;
	l.params.max_addresses = ADDRESSES - 1;
	lab_attach(&l);
	ck_assert_ptr_null(l.t);
	l.params.max_addresses = ADDRESSES;
	l.memory.records_len -= 4096;
	lab_attach(&l);
	ck_assert_ptr_null(l.t);
	l.memory.records_len += 4096;
	l.memory.scratch_len -= 4096;
	lab_attach(&l);
	ck_assert_ptr_null(l.t);
	l.memory.scratch_len += 4096;
	lab_attach(&l);
	ck_assert_ptr_nonnull(l.t);
	lab_close(&l);
}
END_TEST

START_TEST(test_secret_of_the_records_is_kept)
{
	struct lab l;
	struct session_key k = {.local = 1};
	uint64_t hash;

	lab_open(&l, SIZE, ADDRESSES);
	hash = table_hash(l.t, &k);
	l.params.secret[0] ^= 1;
	lab_restart(&l, ADDRESSES);
	ck_assert_uint_eq(table_hash(l.t, &k), hash);
	lab_close(&l);
}
END_TEST

/* ---- kill ---- */

/* Opens, uses and closes sessions until killed. */
static void churn(struct lab *l, atomic_uint *ops)
{
	for (;;) {
		uint32_t cursor = unit_below(SIZE);
		struct session *s;

		if (table_session_count(l->t) < SIZE / 2)
			lab_populate(l, table_session_count(l->t) + 1);
		s = table_next(l->t, &cursor, SIZE);
		if (s != NULL && unit_below(2))
			table_session_close(l->t, s, SESSION_END_DELETED, l->now_s);
		atomic_fetch_add(ops, 1);
	}
}

START_TEST(test_kill_at_any_instruction_leaves_whole_sessions_only)
{
	struct lab l;
	atomic_uint *ops = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *records;

	lab_open(&l, SIZE, ADDRESSES);
	records = l.memory.records;
	l.memory.records = mmap(NULL, l.memory.records_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(l.memory.records != MAP_FAILED && ops != MAP_FAILED);
	for (int round = 0; round < 60; round++) {
		unsigned until = 1 + unit_below(100), spin = unit_below(20000);
		pid_t child;

		lab_restart(&l, ADDRESSES);
		ck_assert_uint_eq(l.report.dropped, 0);
		lab_check(&l);
		atomic_store(ops, 0);
		unit_random();
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0)
			churn(&l, ops);
		while (atomic_load(ops) < until || spin-- > 0)
			if (kill(child, 0) != 0 || waitpid(child, NULL, WNOHANG) != 0)
				ck_abort_msg("the child ended by itself");
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	munmap(l.memory.records, l.memory.records_len);
	munmap(ops, 4096);
	l.memory.records = records;
	free(l.memory.scratch);
	free(l.memory.events);
	free(records);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table_restart");
	TCase *tc = tcase_create("restart");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_restart_brings_back_everything_as_it_was);
	tcase_add_test(tc, test_timers_account_for_the_time_away);
	tcase_add_test(tc, test_times_in_the_future_count_as_now);
	tcase_add_test(tc, test_addresses_nobody_claims_fade_with_their_sessions);
	tcase_add_test(tc, test_mapping_that_rests_and_lives_is_believed_to_live);
	tcase_add_test(tc, test_other_sizes_are_foreign);
	tcase_add_test(tc, test_secret_of_the_records_is_kept);
	tcase_add_test(tc, test_kill_at_any_instruction_leaves_whole_sessions_only);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
