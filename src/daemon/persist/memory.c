/* SPDX-License-Identifier: ISC */
/*
 * The core's memory.
 *
 * Theory of operation. Capacity is address space, not memory: everything is reserved for the largest possible table, so
 * that a reload can raise limits.sessions without moving anything. Pages are allocated when first written.
 * MAP_NORESERVE keeps the reservation out of the overcommit account. A system that accounts for it all the same
 * (vm.overcommit_memory = 2, RLIMIT_AS) refuses the largest table; then the table gets the configured size. The memfd
 * is sealed against growing and shrinking.
 *
 * A small table touches the low end of some twenty arrays, in pages of 4 KiB. With millions of sessions the indexes are
 * hundreds of megabytes, read at random: there pages of 2 MiB save the processor most of the cost of translating
 * addresses, and take some forty megabytes more.
 */
#define _GNU_SOURCE 1 /* memfd_create() */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW,
	FRAGMENTS_ROOM = 65536, /* limits.fragments may be raised to this without a restart: 600 MB of address space */
};

static int map_anonymous(void **out, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

static int records_open(size_t len)
{
	int fd = memfd_create("natd-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static bool records_fit(int fd, size_t len)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 && st.st_size == (off_t)len;
}

static void unmap(void **p, size_t len)
{
	if (*p)
		munmap(*p, len);
	*p = NULL;
}

static void unmap_all(struct nat_memory *n)
{
	unmap(&n->fragments, n->fragments_len);
	unmap(&n->table.events, n->table.events_len);
	unmap(&n->table.scratch, n->table.scratch_len);
	unmap(&n->table.records, n->table.records_len);
}

/* Maps all regions of `n`, whose sizes are set. Creates the memfd if *fd is -1. */
static int map_all(struct nat_memory *n, int *fd)
{
	int made = -1;
	int r;

	if (*fd < 0) {
		made = records_open(n->table.records_len);
		if (made < 0)
			return made;
		*fd = made;
	}
	n->table.records = mmap(NULL, n->table.records_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
	if (n->table.records == MAP_FAILED) {
		n->table.records = NULL;
		r = -errno;
		goto out;
	}
	r = map_anonymous(&n->table.scratch, n->table.scratch_len);
	if (r == 0)
		r = map_anonymous(&n->table.events, n->table.events_len);
	if (r == 0)
		r = map_anonymous(&n->fragments, n->fragments_len);
out:
	if (r < 0) {
		unmap_all(n);
		if (made >= 0) {
			close(made);
			*fd = -1;
		}
	}
	return r;
}

static void size_up(struct nat_memory *n, const struct memory_want *want, uint32_t sessions)
{
	bool is_largest = sessions == TABLE_MAX_SESSIONS;
	uint32_t fragments = want->fragments;

	if (is_largest && fragments < FRAGMENTS_ROOM)
		fragments = FRAGMENTS_ROOM;
	*n = (struct nat_memory){
		.max_sessions = sessions,
		.max_addresses = want->addresses,
		.max_fragments = fragments,
		.table.max_events = want->events,
	};
	nat_memory_need(n);
}

int memory_create(struct memory *m, const struct memory_want *want, int records_fd)
{
	int r;

	*m = (struct memory){.records_fd = -1};
	size_up(&m->nat, want, TABLE_MAX_SESSIONS);
	if (records_fd >= 0 && !records_fit(records_fd, m->nat.table.records_len))
		size_up(&m->nat, want, want->sessions);
	if (records_fd >= 0 && !records_fit(records_fd, m->nat.table.records_len)) {
		close(records_fd);
		return -EPROTO;
	}
	r = map_all(&m->nat, &records_fd);
	if (r == -ENOMEM && records_fd < 0) {
		size_up(&m->nat, want, want->sessions);
		r = map_all(&m->nat, &records_fd);
	}
	if (r < 0) {
		if (records_fd >= 0)
			close(records_fd);
		return r;
	}
	m->records_fd = records_fd;
	return 0;
}

void memory_destroy(struct memory *m)
{
	unmap_all(&m->nat);
	if (m->records_fd >= 0)
		close(m->records_fd);
	m->records_fd = -1;
}

void memory_expect(struct memory *m, uint32_t sessions)
{
	if (sessions < MEMORY_LARGE || m->has_large_pages)
		return;
	m->has_large_pages = true; /* if the kernel has none, asking again changes nothing */
	(void)madvise(m->nat.table.scratch, m->nat.table.scratch_len, MADV_HUGEPAGE);
}

static int punch(struct memory *m, size_t offset, size_t len)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fallocate(m->records_fd, mode, (off_t)offset, (off_t)len) < 0 ? -errno : 0;
}

int memory_blank(struct memory *m)
{
	int r = punch(m, 0, m->nat.table.records_len);

	if (r == 0 && madvise(m->nat.table.scratch, m->nat.table.scratch_len, MADV_DONTNEED) < 0)
		r = -errno;
	return r;
}

void memory_give_back(void *ctx, void *start, size_t len)
{
	struct memory *m = ctx;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)start + page - 1) & ~(page - 1);
	uintptr_t to = ((uintptr_t)start + len) & ~(page - 1);
	uintptr_t records = (uintptr_t)m->nat.table.records;

	if (from >= to)
		return;
	if (from >= records && to <= records + m->nat.table.records_len)
		punch(m, from - records, to - from);
	else
		madvise((void *)from, to - from, MADV_DONTNEED);
}

uint64_t memory_resident(void)
{
	char line[128] = "";
	const char *space;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	space = fgets(line, sizeof(line), f) ? strchr(line, ' ') : NULL; /* size, resident, ... in pages */
	fclose(f);
	return space ? strtoull(space, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
