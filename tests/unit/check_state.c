/* SPDX-License-Identifier: ISC */
/*
 * The state file as a format: what each of its bytes is for, and what becomes of it when that byte is another one;
 * and time, which goes on while natd is away, over a boot too.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/loop.h"
#include "daemon/persist/state.h"
#include "statefile.h"
#include "unit.h"

enum { SESSIONS = 64, ADDRESSES = 4, FILE_MAX = 1 << 20 };

static char directory[] = "/tmp/check_state.XXXXXX";
static char path[sizeof(directory) + 8];
static struct memory m;
static uint8_t file[FILE_MAX];
static size_t file_len;

static struct table *attach(uint32_t now_s, struct table_attach_report *report)
{
	const struct table_params p = {
		.max_sessions = SESSIONS,
		.max_addresses = ADDRESSES,
		.port_reuse_s = 120,
		.timeouts = {.udp = 300, .tcp_established = 7440},
		.secret = {1, 2, 3, 4},
	};

	memset(m.nat.table.scratch, 0, m.nat.table.scratch_len);
	return table_attach(&m.nat.table, &p, now_s, report);
}

/* One session that was seen at `seen_s`, one port in quarantine since then. */
static void fill(uint32_t seen_s)
{
	struct session_spec spec = {.int_addr = 0x0a080002,
				    .int_port = 1000,
				    .rem_addr = 0xc6336401,
				    .rem_port = 53,
				    .ext_port = 40000,
				    .proto_class = CLASS_UDP,
				    .state = SESSION_ESTABLISHED};
	struct table_attach_report report;
	struct table *t = attach(seen_s, &report);
	enum nat_reason why;

	ck_assert_ptr_nonnull(t);
	spec.ext = (uint16_t)table_address_add(t, 0xcb007101);
	ck_assert_ptr_nonnull(table_session_open(t, &spec, seen_s, &why));
	spec.int_port = 1001;
	spec.ext_port = 40001;
	table_session_close(t, table_session_open(t, &spec, seen_s, &why), SESSION_END_DELETED, seen_s);
	ck_assert_ptr_null(table_check(t));
}

static void save(void)
{
	int fd;

	state_save(path, &m);
	fd = open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	file_len = (size_t)read(fd, file, sizeof(file));
	ck_assert_uint_lt(file_len, sizeof(file));
	close(fd);
}

static void blank(void)
{
	memset(m.nat.table.records, 0, m.nat.table.records_len);
	m.nat.table.clock_shift_s = 0;
}

/* The result of state_read() for these bytes; the records are blank before. */
static const char *judge(const uint8_t *data, size_t len)
{
	const char *why;
	int fd = memfd_create("state", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	blank();
	why = state_read(fd, &m);
	close(fd);
	return why;
}

static struct state_header *header(void)
{
	return (struct state_header *)(void *)file;
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/state", directory);
	statefile_memory(&m, SESSIONS, ADDRESSES);
	fill((uint32_t)(loop_clock_ms() / 1000));
	save();
}

static void teardown(void)
{
	statefile_memory_fini(&m);
	(void)unlink(path);
	(void)rmdir(directory);
}

START_TEST(test_what_is_saved_is_read)
{
	uint8_t *before = malloc(m.nat.table.records_len);

	ck_assert_ptr_nonnull(before);
	memcpy(before, m.nat.table.records, m.nat.table.records_len);
	ck_assert_ptr_null(judge(file, file_len));
	ck_assert_mem_eq(before, m.nat.table.records, m.nat.table.records_len);
	ck_assert_uint_eq(m.nat.table.clock_shift_s, 0);
	free(before);
}
END_TEST

START_TEST(test_the_format_is_as_written_down)
{
	ck_assert_mem_eq(header()->magic, "natdtab", 8);
	ck_assert_uint_eq(header()->version, 1);
	ck_assert_uint_eq(header()->reserved, 0);
	ck_assert_uint_eq(header()->records_len, m.nat.table.records_len);
	ck_assert_uint_eq(header()->sum, statefile_sum(file, file_len));
}
END_TEST

/* Every bit of the file, one at a time: it is refused. Nothing is reserved, nothing is not summed up. */
START_TEST(test_no_changed_bit_goes_unseen)
{
	for (size_t i = 0; i < file_len; i += i < 256 ? 1 : 1 + unit_below(40)) {
		unsigned bit = (unsigned)unit_below(8);

		file[i] = (uint8_t)(file[i] ^ 1u << bit);
		ck_assert_msg(judge(file, file_len) != NULL, "byte %zu bit %u", i, bit);
		file[i] = (uint8_t)(file[i] ^ 1u << bit);
	}
	ck_assert_ptr_null(judge(file, file_len));
}
END_TEST

START_TEST(test_no_cut_goes_unseen)
{
	for (size_t len = 0; len < file_len; len += len < 256 ? 1 : 1 + unit_below(60))
		ck_assert_str_eq(judge(file, len), "truncated");
	ck_assert_str_eq(judge(file, file_len + 1), "longer than it should be");
}
END_TEST

static const struct wrong {
	size_t at;
	uint64_t value;
	size_t len;
	const char *why;
} wrongs[] = {
	{0, 0, 1, "not a state file"},
	{offsetof(struct state_header, version), 0, 4, "of another version"},
	{offsetof(struct state_header, version), 2, 4, "of another version"},
	{offsetof(struct state_header, records_len), 4096, 8, "of a table of another size"},
	{sizeof(struct state_header), UINT64_MAX, 8, "damaged"},	    /* an extent beyond the end */
	{sizeof(struct state_header) + 8, UINT64_MAX, 8, "damaged"},	    /* longer than everything */
	{sizeof(struct state_header) + 8, UINT64_MAX - 4095, 8, "damaged"}, /* whose end is before its beginning */
	{offsetof(struct state_header, saved_ms), UINT64_MAX, 8, "from the future"},
	{offsetof(struct state_header, saved_ms), UINT64_C(1) << 62, 8, "from the future"},
};

/* With the right sum, as only a deliberate writer makes it. */
START_TEST(test_wrong_values_are_named)
{
	const struct wrong *w = &wrongs[_i];

	memcpy(file + w->at, &w->value, w->len);
	header()->sum = statefile_sum(file, file_len);
	ck_assert_str_eq(judge(file, file_len), w->why);
}
END_TEST

START_TEST(test_extents_must_ascend)
{
	struct state_extent extents[3] = {{4096, 8}, {0, 8}, {0, 0}};
	size_t at = sizeof(struct state_header);

	for (int i = 0; i < 3; i++) {
		memcpy(file + at, &extents[i], sizeof(extents[i]));
		at += sizeof(extents[i]) + extents[i].len;
	}
	header()->sum = statefile_sum(file, at);
	ck_assert_str_eq(judge(file, at), "damaged");
}
END_TEST

/* ---- time ---- */

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* As if the machine had been booted since, `away_s` ago, and had been up for `up_s` when natd stopped. */
static const char *judge_after_boot(uint64_t up_s, int64_t away_s)
{
	memcpy(header()->boot_id, "00000000-0000-0000-0000-000000000000", 37);
	header()->saved_ms = up_s * 1000;
	header()->saved_wall_ms = wall_ms() - (uint64_t)(away_s * 1000);
	header()->sum = statefile_sum(file, file_len);
	return judge(file, file_len);
}

/* up for a second or for years; away for a moment or for minutes: the present boot's own age does not matter */
static const struct journey {
	uint32_t up_s, away_s;
	uint32_t restored, resting;
} journeys[] = {
	{1000, 0, 1, 1},       {1000, 60, 1, 1},       {1000, 200, 1, 0},
	{100000000, 60, 1, 1}, {100000000, 290, 1, 0}, {1, 60, 1, 1},
};

START_TEST(test_time_goes_on_over_a_boot)
{
	const struct journey *j = &journeys[_i];
	uint32_t now_s, cursor = 0;
	struct table_attach_report report;
	const struct session *s;
	struct table *t;

	blank();
	fill(j->up_s);
	save();
	ck_assert_ptr_null(judge_after_boot(j->up_s, j->away_s));
	now_s = (uint32_t)(loop_clock_ms() / 1000);
	t = attach(now_s, &report);
	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(report.result, TABLE_RESTORED);
	ck_assert_uint_eq(report.restored, j->restored);
	s = table_next(t, &cursor, SESSIONS);
	ck_assert_uint_le(now_s - s->seen_s - j->away_s, 2);
	ck_assert_uint_le(now_s - table_session_created_s(t, s) - j->away_s, 2);
	ck_assert(!table_session_expired(t, s, now_s));
	ck_assert(table_session_expired(t, s, now_s + 301 - j->away_s));
	ck_assert_ptr_null(table_check(t));
	(void)table_sweep(t, now_s, SESSIONS);
	ck_assert_int_eq(table_port_used(t, CLASS_UDP, s->ext, 40001), j->resting);
	ck_assert_ptr_null(table_check(t));
}
END_TEST

START_TEST(test_a_session_that_timed_out_meanwhile_does_not_come_back)
{
	uint32_t now_s = (uint32_t)(loop_clock_ms() / 1000);
	struct table_attach_report report;
	struct table *t;

	blank();
	fill(5000);
	save();
	ck_assert_ptr_null(judge_after_boot(5000, 400));
	t = attach(now_s, &report);
	ck_assert_uint_eq(table_sweep(t, now_s, SESSIONS).closed, 1);
	ck_assert_uint_eq(table_session_count(t), 0);
	ck_assert_ptr_null(table_check(t));
}
END_TEST

START_TEST(test_a_clock_that_went_back_or_a_month_is_refused)
{
	ck_assert_str_eq(judge_after_boot(1000, -60), "from the future");
	ck_assert_str_eq(judge_after_boot(1000, 31 * 86400), "stale");
	ck_assert_ptr_null(judge_after_boot(1000, 29 * 86400));
}
END_TEST

/* ---- the file as such ---- */

START_TEST(test_a_newer_table_makes_the_file_go)
{
	ck_assert_int_eq(access(path, F_OK), 0);
	state_forget(path);
	ck_assert_int_eq(access(path, F_OK), -1);
	state_forget(path);
}
END_TEST

START_TEST(test_a_file_of_somebody_else_is_refused)
{
	struct stat st;

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chown(path, 65533, 65533), 0);
	blank();
	state_load(path, &m, 65534);
	ck_assert_int_eq(((const uint8_t *)m.nat.table.records)[0], 0);
	ck_assert_int_eq(stat(path, &st), 0); /* and not touched */
	state_load(path, &m, 65533);
	ck_assert_int_ne(((const uint8_t *)m.nat.table.records)[0], 0);
}
END_TEST

START_TEST(test_saving_replaces_at_once_or_not_at_all)
{
	char other[sizeof(path) + 8];
	struct stat st;

	snprintf(other, sizeof(other), "%s.new", path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(access(other, F_OK), -1);
	/* a name that cannot be made: the old file stays */
	ck_assert_int_eq(mkdir(other, 0700), 0);
	state_save(path, &m);
	ck_assert_int_eq(rmdir(other), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq((size_t)st.st_size, file_len);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("state");
	TCase *t = tcase_create("state");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_what_is_saved_is_read);
	tcase_add_test(t, test_the_format_is_as_written_down);
	tcase_add_test(t, test_no_changed_bit_goes_unseen);
	tcase_add_test(t, test_no_cut_goes_unseen);
	tcase_add_loop_test(t, test_wrong_values_are_named, 0, (int)(sizeof(wrongs) / sizeof(*wrongs)));
	tcase_add_test(t, test_extents_must_ascend);
	tcase_add_loop_test(t, test_time_goes_on_over_a_boot, 0, (int)(sizeof(journeys) / sizeof(*journeys)));
	tcase_add_test(t, test_a_session_that_timed_out_meanwhile_does_not_come_back);
	tcase_add_test(t, test_a_clock_that_went_back_or_a_month_is_refused);
	tcase_add_test(t, test_a_newer_table_makes_the_file_go);
	tcase_add_test(t, test_a_file_of_somebody_else_is_refused);
	tcase_add_test(t, test_saving_replaces_at_once_or_not_at_all);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
