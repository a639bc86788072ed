/* SPDX-License-Identifier: ISC */
/* Records of earlier layouts: every connection goes on, and an end at any instruction of the conversion costs
 * none of them, or all. */
#include <check.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/table/table_private.h"

#include "former.h"
#include "tablelab.h"

enum { SIZE = 400, ADDRESSES = 3 };

struct copy {
	struct session session;
	uint64_t id;
};

static uint32_t snapshot(struct lab *l, struct copy *c)
{
	uint32_t cursor = 0, n = 0;
	struct session *s;

	while ((s = table_next(l->t, &cursor, SIZE)) != NULL)
		c[n++] = (struct copy){*s, table_session_id(l->t, s)};
	return n;
}

/* A busy table, as a version with that layout would have left it. */
static uint32_t open_former(struct lab *l, struct copy *c, uint32_t layout)
{
	uint32_t n;

	lab_open(l, SIZE, ADDRESSES);
	lab_populate(l, SIZE / 2);
	n = snapshot(l, c);
	former_make(l->memory.records, layout);
	return n;
}

static void expect_all(struct lab *l, const struct copy *before, uint32_t n)
{
	struct copy after[SIZE];

	lab_check(l);
	ck_assert_uint_eq(snapshot(l, after), n);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_mem_eq(&before[i].session, &after[i].session, sizeof(struct session));
		ck_assert_uint_eq(before[i].id, after[i].id);
	}
}

START_TEST(test_every_connection_goes_on)
{
	struct copy before[SIZE];
	struct table_usage u;
	struct lab l;
	uint32_t n = open_former(&l, before, (uint32_t)_i);

	table_usage(l.t, &u);
	ck_assert_uint_eq(table_layout_of(l.memory.records, l.memory.records_len), _i);
	lab_restart(&l, ADDRESSES);
	ck_assert_int_eq(l.report.result, TABLE_RESTORED);
	ck_assert_uint_eq(l.report.version, _i);
	ck_assert_uint_eq(l.report.restored, n);
	ck_assert_uint_eq(l.report.dropped, 0);
	ck_assert_uint_eq(l.report.resting, u.resting);
	expect_all(&l, before, n);
	lab_restart(&l, ADDRESSES); /* and are like all others from then on */
	ck_assert_uint_eq(l.report.version, TABLE_LAYOUT);
	ck_assert_uint_eq(l.report.restored, n);
	expect_all(&l, before, n);
	lab_close(&l);
}
END_TEST

START_TEST(test_what_is_no_table_of_an_earlier_layout_is_not_touched)
{
	struct copy before[SIZE];
	struct lab l;
	uint8_t *records, *copy;

	open_former(&l, before, (uint32_t)_i);
	records = l.memory.records;
	copy = lab_alloc(l.memory.records_len);
	for (size_t bit = 0; bit < offsetof(struct former_records, session_top) * 8; bit++) {
		records[bit / 8] ^= (uint8_t)(1u << bit % 8);
		memcpy(copy, records, l.memory.records_len);
		lab_attach(&l);
		ck_assert_ptr_null(l.t);
		ck_assert_int_eq(l.report.result, TABLE_FOREIGN);
		ck_assert_mem_eq(copy, records, l.memory.records_len);
		records[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(copy);
	free(records);
	free(l.memory.scratch);
	free(l.memory.events);
}
END_TEST

/* Versions that there is no way from; all else is right. */
START_TEST(test_other_layouts_are_foreign)
{
	static const uint32_t versions[] = {0, 4, 5, UINT32_MAX};
	struct former_records *h;
	struct copy before[SIZE];
	struct lab l;

	open_former(&l, before, (uint32_t)_i);
	h = l.memory.records;
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		h->version = versions[i];
		h->sum = former_sum(h);
		lab_attach(&l);
		ck_assert_ptr_null(l.t);
		ck_assert_uint_eq(l.report.version, versions[i]);
	}
	free(l.memory.records);
	free(l.memory.scratch);
	free(l.memory.events);
}
END_TEST

/* Damage that layout 1 could not see is still no contradiction; tops of it beyond the end are cut. */
START_TEST(test_damaged_former_records_never_give_an_inconsistent_table)
{
	struct copy before[SIZE];
	struct lab l;

	for (int round = 0; round < 200; round++) {
		const uint32_t from = offsetof(struct former_records, session_top);
		uint8_t *records;

		open_former(&l, before, (uint32_t)_i);
		records = l.memory.records;
		for (uint32_t i = 0; i < 1 + unit_below(20); i++)
			records[TABLE_PAGE + unit_below((uint32_t)l.memory.records_len - TABLE_PAGE)] ^=
				(uint8_t)(1 + unit_below(255));
		if (_i == 1 && unit_below(4) == 0)
			records[from + unit_below(12)] ^= (uint8_t)(1u << unit_below(8));
		lab_restart(&l, ADDRESSES);
		ck_assert_int_eq(l.report.result, TABLE_RESTORED);
		lab_check(&l);
		lab_close(&l);
	}
}
END_TEST

enum { LARGE = 200000, FIRST_PORT = 1024 };

/* In a large table the origins take the second half of the quarantine's space; the records are as long as before. */
START_TEST(test_large_table_of_layout_2_keeps_its_length_and_its_sessions)
{
	const uint32_t kept[] = {0, 1, 99, 131000};
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session_origin origin = {.forward = "web"};
	struct lab l;
	uint64_t id;
	uint32_t rests;

	lab_prepare(&l, LARGE, ADDRESSES);
	ck_assert_uint_eq(l.memory.records_len, TABLE_PAGE + FORMER_PAGE + former_pages(LARGE * FORMER_SESSION) +
							2 * former_pages(LARGE * FORMER_COLD));
	lab_attach(&l);
	for (uint32_t i = 0; i < ADDRESSES; i++)
		table_address_add(l.t, LAB_OUTSIDE + i);
	id = table_session_id(l.t, lab_session(&l, &spec));
	rests = l.t->max_quarantined;
	former_make(l.memory.records, 2);
	for (unsigned i = 0; i < sizeof(kept) / sizeof(*kept);
	     i++) /* 1 << 34: see rest.c; the last is beyond the end */
		l.t->quarantined[kept[i]] =
			(uint64_t)LAB_T0 << 35 | 1ull << 34 | (uint64_t)CLASS_UDP << 32 | (FIRST_PORT + i);
	((struct table_header *)l.memory.records)->quarantine_top = record_top(131001);
	ck_assert_uint_lt(rests, 131000);
	lab_restart(&l, ADDRESSES);
	ck_assert_int_eq(l.report.result, TABLE_RESTORED);
	ck_assert_uint_eq(l.report.restored, 1);
	ck_assert_uint_eq(l.report.resting, 3);
	ck_assert_uint_eq(table_session_origin(l.t, table_session_by_id(l.t, id)), 0);
	spec = lab_spec(1, 1000, 2, 40000);
	spec.origin = table_origin_intern(l.t, &origin);
	ck_assert_uint_eq(table_session_origin(l.t, lab_session(&l, &spec)), spec.origin);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_half_converted_records_are_converted)
{
	struct copy before[SIZE];
	struct lab l;

	for (int round = 0; round < 20; round++) {
		uint32_t n = open_former(&l, before, 1), addresses = unit_below(ADDRESSES + 1), sessions = 0;

		for (uint32_t i = 0; i < addresses; i++)
			l.t->addresses[i].state = record_address_state(l.t->addresses[i].address);
		if (addresses == ADDRESSES)
			sessions = unit_below(SIZE);
		for (uint32_t i = 0; i < sessions; i++)
			l.t->cold[i].check = record_check(&l.t->sessions[i]);
		lab_restart(&l, ADDRESSES);
		ck_assert_uint_eq(l.report.restored, n);
		expect_all(&l, before, n);
		lab_close(&l);
	}
}
END_TEST

/* Killed while it converts, or just before or after. */
START_TEST(test_kill_while_converting_costs_no_session_or_all)
{
	struct copy before[SIZE];
	struct lab l;
	void *records;
	uint32_t n = open_former(&l, before, (uint32_t)_i), complete = 0;

	records = l.memory.records;
	l.memory.records = mmap(NULL, l.memory.records_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(l.memory.records != MAP_FAILED);
	for (int round = 0; round < 100; round++) {
		volatile unsigned spin = unit_below(400000);
		pid_t child;

		memcpy(l.memory.records, records, l.memory.records_len);
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0) {
			lab_attach(&l);
			_exit(0);
		}
		while (spin > 0)
			spin = spin - 1;
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		lab_attach(&l);
		ck_assert_ptr_nonnull(l.t);
		lab_check(&l);
		ck_assert_uint_eq(l.report.dropped, 0);
		if (l.report.result == TABLE_RESTORED)
			expect_all(&l, before, n);
		else
			ck_assert_uint_eq(table_session_count(l.t), 0);
		complete += l.report.result == TABLE_RESTORED;
	}
	ck_assert_uint_gt(complete, 50);
	munmap(l.memory.records, l.memory.records_len);
	free(l.memory.scratch);
	free(l.memory.events);
	free(records);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table_convert");
	TCase *tc = tcase_create("convert");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_every_connection_goes_on, TABLE_LAYOUT_OLDEST, TABLE_LAYOUT);
	tcase_add_loop_test(tc, test_what_is_no_table_of_an_earlier_layout_is_not_touched, TABLE_LAYOUT_OLDEST,
			    TABLE_LAYOUT);
	tcase_add_loop_test(tc, test_other_layouts_are_foreign, TABLE_LAYOUT_OLDEST, TABLE_LAYOUT);
	tcase_add_loop_test(tc, test_damaged_former_records_never_give_an_inconsistent_table, TABLE_LAYOUT_OLDEST,
			    TABLE_LAYOUT);
	tcase_add_test(tc, test_large_table_of_layout_2_keeps_its_length_and_its_sessions);
	tcase_add_test(tc, test_half_converted_records_are_converted);
	tcase_add_loop_test(tc, test_kill_while_converting_costs_no_session_or_all, TABLE_LAYOUT_OLDEST, TABLE_LAYOUT);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
