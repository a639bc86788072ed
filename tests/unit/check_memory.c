/* SPDX-License-Identifier: ISC */
/* The core's memory regions, and the state file that keeps the records of one. */
#define _GNU_SOURCE 1 /* memfd_create() */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/persist/memory.h"
#include "daemon/persist/state.h"
#include "unit.h"

static const struct memory_want want = {.sessions = 1000, .fragments = 64, .addresses = 16, .events = 1024};
static char path[64];
static const char *directory;

static void setup(void)
{
	static char template[] = "/tmp/natd-check-XXXXXX";

	directory = mkdtemp(template);
	ck_assert_ptr_nonnull(directory);
	snprintf(path, sizeof(path), "%s/state", directory);
	log_set_level(LEVEL_ERROR);
}

static void teardown(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(directory), 0); /* nothing temporary is left */
}

static uint8_t *records(struct memory *m)
{
	return m->nat.table.records;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i])
			return false;
	}
	return true;
}

START_TEST(test_everything_is_reserved_and_nothing_touched)
{
	struct memory m;
	struct stat st;

	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	ck_assert_uint_eq(m.nat.max_sessions, TABLE_MAX_SESSIONS);
	ck_assert_uint_ge(m.nat.max_fragments, want.fragments);
	ck_assert_int_eq(fstat(m.records_fd, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, m.nat.table.records_len);
	ck_assert_int_eq(st.st_blocks, 0);
	ck_assert(is_zero(records(&m), 65536)); /* from here on it is touched: reading a memfd's hole fills it */
	ck_assert_int_eq(ftruncate(m.records_fd, 4096), -1);
	memory_destroy(&m);
	ck_assert_int_eq(m.records_fd, -1);
}
END_TEST

START_TEST(test_records_survive_in_the_descriptor)
{
	struct memory m, again;
	int fd;

	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	memcpy(records(&m) + 123456, "here", 4);
	fd = dup(m.records_fd);
	memory_destroy(&m);
	ck_assert_int_eq(memory_create(&again, &want, fd), 0);
	ck_assert_int_eq(memcmp(records(&again) + 123456, "here", 4), 0);
	memory_destroy(&again);
}
END_TEST

START_TEST(test_foreign_descriptor_is_refused_and_closed)
{
	struct memory m;
	int fd = memfd_create("short", MFD_ALLOW_SEALING);

	ck_assert_int_eq(memory_create(&m, &want, fd), -EPROTO);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	fd = memfd_create("unsealed", MFD_ALLOW_SEALING);
	ck_assert_int_eq(ftruncate(fd, (off_t)m.nat.table.records_len), 0);
	memory_destroy(&m);
	ck_assert_int_eq(memory_create(&m, &want, fd), -EPROTO);
	fd = open("/dev/null", O_RDWR);
	ck_assert_int_eq(memory_create(&m, &want, fd), -EPROTO);
}
END_TEST

START_TEST(test_given_back_pages_read_as_zero_and_their_neighbours_stay)
{
	struct memory m;
	struct stat st;
	long page = sysconf(_SC_PAGESIZE);

	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	for (int region = 0; region < 2; region++) {
		uint8_t *p = region ? m.nat.table.scratch : records(&m);

		memset(p, 7, 8 * (size_t)page);
		memory_give_back(&m, p + page - 1, 2 * (size_t)page + 2); /* pages 1 and 2, and a byte on either side */
		memory_give_back(&m, p + 5 * page + 1, (size_t)page);	  /* no whole page */
		ck_assert_int_eq(fstat(m.records_fd, &st), 0);
		ck_assert_int_eq(st.st_blocks * 512, (region ? 8 : 6) * page);
		ck_assert(p[page - 1] == 7 && p[3 * page] == 7);
		ck_assert(is_zero(p + page, 2 * (size_t)page));
		ck_assert(p[5 * page] == 7 && p[6 * page] == 7);
	}
	ck_assert_int_eq(memory_blank(&m), 0);
	ck_assert(is_zero(records(&m), 8 * (size_t)page));
	memory_destroy(&m);
}
END_TEST

START_TEST(test_scarce_address_space_gives_the_configured_size)
{
#if defined(__SANITIZE_ADDRESS__)
	/* AddressSanitizer itself needs more. */
	return;
#else
	const struct rlimit scarce = {1 << 30, 1 << 30};
	struct memory m;

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &scarce), 0);
	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	ck_assert_uint_eq(m.nat.max_sessions, want.sessions);
	memory_destroy(&m);
#endif
}
END_TEST

/* ---- the state file ---- */

static void scatter(uint8_t *p, size_t len)
{
	for (int i = 0; i < 40; i++) {
		size_t at = (size_t)(unit_random() % (len - 100));

		for (int k = 0; k < 100; k++)
			p[at + (size_t)k] = (uint8_t)unit_random();
	}
	p[0] = 1;
	p[len - 1] = 1;
}

START_TEST(test_state_comes_back_as_it_was_and_once)
{
	struct memory m, again;
	struct stat st, st_again;
	off_t data = 0, hole = 0;

	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	ck_assert_int_eq(memory_create(&again, &want, -1), 0);
	scatter(records(&m), m.nat.table.records_len);
	state_save(path, &m);
	state_load(path, &again, geteuid());
	ck_assert_int_eq(fstat(m.records_fd, &st), 0);
	ck_assert_int_eq(fstat(again.records_fd, &st_again), 0);
	ck_assert_int_eq(st.st_blocks, st_again.st_blocks); /* the holes are holes again */
	while ((data = lseek(m.records_fd, hole, SEEK_DATA)) >= 0) {
		hole = lseek(m.records_fd, data, SEEK_HOLE);
		ck_assert_int_eq(memcmp(records(&m) + data, records(&again) + data, (size_t)(hole - data)), 0);
	}
	ck_assert_int_gt(hole, 0);
	ck_assert_int_eq(access(path, F_OK), -1);
	memory_destroy(&m);
	memory_destroy(&again);
}
END_TEST

/* Flips one bit of the file, or cuts it off: natd refuses the whole file. */
static void damage(off_t size)
{
	off_t at = (off_t)(unit_random() % (uint64_t)size);
	uint8_t byte;
	int fd = open(path, O_RDWR);

	ck_assert_int_ge(fd, 0);
	if (unit_below(4) == 0) {
		ck_assert_int_eq(ftruncate(fd, at), 0);
	} else {
		if (unit_below(2))
			at %= 128; /* the header and the first extent more often than chance has it */
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte = (uint8_t)(byte ^ 1u << unit_below(8));
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}

START_TEST(test_damaged_state_is_refused_and_leaves_the_records_blank)
{
	struct memory m;
	struct stat st;
	uint8_t copy[300];

	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	for (int round = 0; round < 100; round++) {
		memset(records(&m) + 8192, 1 + round % 250, 300);
		memcpy(copy, records(&m) + 8192, 300);
		state_save(path, &m);
		ck_assert_int_eq(memory_blank(&m), 0);
		ck_assert_int_eq(stat(path, &st), 0);
		damage(st.st_size);
		state_load(path, &m, geteuid());
		ck_assert_int_eq(fstat(m.records_fd, &st), 0);
		/* Bit 4 to 7 of the header are reserved: what changes there changes nothing. */
		if (st.st_blocks != 0)
			ck_assert_int_eq(memcmp(copy, records(&m) + 8192, 300), 0);
		ck_assert_int_eq(memory_blank(&m), 0);
	}
	memory_destroy(&m);
}
END_TEST

START_TEST(test_state_that_others_may_write_is_refused)
{
	static const mode_t modes[] = {0620, 0602, 0666};
	struct memory m;
	struct stat st;

	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		records(&m)[5000] = 1;
		state_save(path, &m);
		ck_assert_int_eq(chmod(path, modes[i]), 0);
		ck_assert_int_eq(memory_blank(&m), 0);
		state_load(path, &m, geteuid());
		ck_assert_int_eq(fstat(m.records_fd, &st), 0);
		ck_assert_int_eq(st.st_blocks, 0);
	}
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
	state_load(path, &m, geteuid());
	ck_assert_int_eq(fstat(m.records_fd, &st), 0);
	ck_assert_int_eq(st.st_blocks, 0);
	memory_destroy(&m);
}
END_TEST

START_TEST(test_no_state_file_is_no_error)
{
	struct memory m;

	ck_assert_int_eq(memory_create(&m, &want, -1), 0);
	state_load(path, &m, geteuid());
	ck_assert(is_zero(records(&m), 4096));
	state_try(path);
	ck_assert_int_eq(access(path, F_OK), -1);
	memory_destroy(&m);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("memory");
	TCase *tc = tcase_create("memory");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_everything_is_reserved_and_nothing_touched);
	tcase_add_test(tc, test_records_survive_in_the_descriptor);
	tcase_add_test(tc, test_foreign_descriptor_is_refused_and_closed);
	tcase_add_test(tc, test_given_back_pages_read_as_zero_and_their_neighbours_stay);
	tcase_add_test(tc, test_scarce_address_space_gives_the_configured_size);
	tcase_add_test(tc, test_state_comes_back_as_it_was_and_once);
	tcase_add_test(tc, test_damaged_state_is_refused_and_leaves_the_records_blank);
	tcase_add_test(tc, test_state_that_others_may_write_is_refused);
	tcase_add_test(tc, test_no_state_file_is_no_error);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
