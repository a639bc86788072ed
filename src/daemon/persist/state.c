/* SPDX-License-Identifier: ISC */
/*
 * The state file.
 *
 * Layout, in the machine's own byte order (the file never leaves it): the header below, then extents, each an offset
 * into the records, a length and that many bytes. The last extent has length 0, and the file ends there. Only the
 * memfd's data is written, not its holes. The sum covers everything but itself. It finds damage, not forgery: the file
 * must belong to root or natd's own user, and table_attach() checks everything anyway.
 *
 * Time: the records hold seconds of CLOCK_BOOTTIME, which runs while the machine sleeps but starts at 0 with each boot.
 * The wall clock then tells how long natd was not running.
 */
#define _GNU_SOURCE 1 /* SEEK_DATA */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"

enum {
	STATE_VERSION = 1,
	BOOT_ID_SIZE = 40,
};

/* A month: an older file is a mistake, whatever the timeouts. Well within the range of a record's times. */
#define AWAY_MAX_MS (UINT64_C(30) * 86400000)

static const char state_magic[8] = "natdtab";

struct header {
	char magic[8];
	uint32_t version;
	uint32_t reserved; /* 0 */
	char boot_id[BOOT_ID_SIZE];
	uint64_t saved_ms;	/* CLOCK_BOOTTIME */
	uint64_t saved_wall_ms; /* CLOCK_REALTIME */
	uint64_t records_len;
	uint64_t sum;
};
_Static_assert(sizeof(struct header) == 88, "no padding in the file");

struct extent {
	uint64_t offset;
	uint64_t len;
};

/* Mixes in eight bytes at a time; each step is a bijection, so no single change goes unnoticed. */
static uint64_t sum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	for (; len > 0; p++, len--)
		sum = (sum ^ *p) * 0x100000001b3u;
	return sum;
}

static uint64_t sum_header(const struct header *h)
{
	return sum_add(STATE_VERSION, h, offsetof(struct header, sum));
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void read_boot_id(char out[BOOT_ID_SIZE])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(out, 0, BOOT_ID_SIZE);
	if (!f)
		return;
	if (!fgets(out, BOOT_ID_SIZE, f))
		memset(out, 0, BOOT_ID_SIZE);
	out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

/* ---- loading ---- */

static bool read_all(int fd, void *data, size_t len)
{
	uint8_t *p = data;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Returns NULL, or why the file is refused. */
static const char *judge_file(int fd, uid_t owner)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_uid != 0 && st.st_uid != owner)
		return "belongs to another user";
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return "others may write to it";
	return NULL;
}

static bool is_of_this_boot(const struct header *h)
{
	char boot_id[BOOT_ID_SIZE];

	read_boot_id(boot_id);
	return boot_id[0] && memcmp(h->boot_id, boot_id, sizeof(boot_id)) == 0;
}

static const char *judge_header(const struct header *h, const struct memory *m)
{
	if (memcmp(h->magic, state_magic, sizeof(h->magic)) != 0)
		return "not a state file";
	if (h->version != STATE_VERSION)
		return "of another version";
	if (h->records_len != m->nat.table.records_len)
		return "of a table of another size";
	return NULL;
}

/* Finds how long natd was not running, and from that the shift of all times. After judge_header() and the sum. */
static const char *judge_time(const struct header *h, uint32_t *shift_s)
{
	bool same = is_of_this_boot(h);
	uint64_t boot_ms = loop_clock_ms();
	uint64_t now_ms = same ? boot_ms : wall_ms();
	uint64_t then_ms = same ? h->saved_ms : h->saved_wall_ms;

	if (then_ms > now_ms)
		return "from the future";
	if (now_ms - then_ms > AWAY_MAX_MS)
		return "stale";
	*shift_s = same ? 0 : (uint32_t)(boot_ms / 1000) - (uint32_t)((h->saved_ms + now_ms - then_ms) / 1000);
	return NULL;
}

static const char *load_extents(int fd, const struct header *h, struct memory *m)
{
	uint8_t *records = m->nat.table.records;
	uint64_t sum = sum_header(h);
	uint64_t end = 0;
	struct extent e;

	for (;;) {
		if (!read_all(fd, &e, sizeof(e)))
			return "truncated";
		sum = sum_add(sum, &e, sizeof(e));
		if (e.len == 0)
			break;
		if (e.offset < end || e.offset > h->records_len || e.len > h->records_len - e.offset)
			return "damaged";
		if (!read_all(fd, records + e.offset, e.len))
			return "truncated";
		sum = sum_add(sum, records + e.offset, e.len);
		end = e.offset + e.len;
	}
	if (read(fd, &e, 1) != 0)
		return "longer than it should be";
	return sum == h->sum ? NULL : "damaged";
}

const char *state_read(int fd, struct memory *m)
{
	struct header h;
	const char *why;

	if (!read_all(fd, &h, sizeof(h)))
		return "truncated";
	why = judge_header(&h, m);
	if (!why)
		why = load_extents(fd, &h, m);
	if (!why)
		why = judge_time(&h, &m->nat.table.clock_shift_s);
	return why;
}

void state_load(const char *path, struct memory *m, uid_t owner)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	const char *why;

	if (fd < 0) {
		if (errno != ENOENT)
			log_write(LEVEL_WARNING, SUB_TABLE, errno, "state file %s: starting with an empty table", path);
		return;
	}
	why = judge_file(fd, owner);
	if (!why)
		why = state_read(fd, m);
	close(fd);
	if (!why && unlink(path) < 0)
		why = "cannot be removed, and must not be used twice";
	if (!why)
		return;
	log_warning(SUB_TABLE, "state file %s: %s: starting with an empty table", path, why);
	m->nat.table.clock_shift_s = 0;
	if (memory_blank(m) < 0)
		log_error(SUB_TABLE, "the refused table cannot be cleared from memory: restart natd");
}

void state_forget(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		log_write(LEVEL_WARNING, SUB_TABLE, errno, "state file %s is outdated and cannot be removed: remove it",
			  path);
}

/* ---- saving ---- */

static bool write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* The next stretch of data in the memfd from `from` on; length 0 at its end. */
static struct extent next_extent(const struct memory *m, uint64_t from)
{
	struct extent e = {0};
	off_t data = lseek(m->records_fd, (off_t)from, SEEK_DATA);
	off_t hole = data < 0 ? -1 : lseek(m->records_fd, data, SEEK_HOLE);

	if (hole > data) {
		e.offset = (uint64_t)data;
		e.len = (uint64_t)(hole - data);
	}
	return e;
}

static bool save_extents(int fd, const struct memory *m, uint64_t *sum)
{
	const uint8_t *records = m->nat.table.records;
	struct extent e = {0};

	do {
		e = next_extent(m, e.offset + e.len);
		*sum = sum_add(*sum, &e, sizeof(e));
		if (!write_all(fd, &e, sizeof(e)) || !write_all(fd, records + e.offset, e.len))
			return false;
		*sum = sum_add(*sum, records + e.offset, e.len);
	} while (e.len > 0);
	return true;
}

static bool save(int fd, const struct memory *m)
{
	struct header h = {
		.version = STATE_VERSION,
		.saved_ms = loop_clock_ms(),
		.saved_wall_ms = wall_ms(),
		.records_len = m->nat.table.records_len,
	};

	memcpy(h.magic, state_magic, sizeof(h.magic));
	read_boot_id(h.boot_id);
	h.sum = sum_header(&h);
	if (!write_all(fd, &h, sizeof(h)) || !save_extents(fd, m, &h.sum))
		return false;
	/* The header is last, with the right sum: a file cut short by a crash is refused. */
	return fsync(fd) == 0 && pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && fsync(fd) == 0;
}

/* Opens FILE.new, which must not exist. Returns 0 or an errno. */
static int open_new(const char *path, char temporary[PATH_MAX], int *fd)
{
	if (snprintf(temporary, PATH_MAX, "%s.new", path) >= PATH_MAX)
		return ENAMETOOLONG;
	unlink(temporary);
	*fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd < 0 ? errno : 0;
}

/* So that the new name, too, survives a power failure. */
static void sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX] = ".";
	int fd;

	if (slash)
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path) + 1, path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

void state_try(const char *path)
{
	char temporary[PATH_MAX];
	int fd;
	int err = open_new(path, temporary, &fd);

	if (err) {
		log_write(LEVEL_WARNING, SUB_TABLE, err, "state file %s: uid %u will not be able to save it", path,
			  (unsigned)getuid());
		return;
	}
	close(fd);
	unlink(temporary);
}

void state_save(const char *path, const struct memory *m)
{
	char temporary[PATH_MAX];
	int fd;
	int err = open_new(path, temporary, &fd);

	if (!err) {
		errno = EIO;
		if (!save(fd, m) || rename(temporary, path) < 0)
			err = errno;
		close(fd);
		if (err)
			unlink(temporary);
		else
			sync_directory(path);
	}
	if (err)
		log_write(LEVEL_ERROR, SUB_TABLE, err,
			  "state file %s: the table is not saved, so connections end with natd", path);
}
