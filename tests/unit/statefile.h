/* SPDX-License-Identifier: ISC */
/* The format of the state file, written down a second time: for tests that make, mend and break such files. */
#ifndef NATD_TESTS_STATEFILE_H
#define NATD_TESTS_STATEFILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/persist/memory.h"

struct state_header {
	char magic[8];
	uint32_t version;
	uint32_t reserved;
	char boot_id[40];
	uint64_t saved_ms;
	uint64_t saved_wall_ms;
	uint64_t records_len;
	uint64_t sum;
};

struct state_extent {
	uint64_t offset;
	uint64_t len;
};

static inline uint64_t statefile_add(uint64_t sum, const uint8_t *p, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, p + i, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	for (; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001b3u;
	return sum;
}

/* The sum that a file of these bytes should have; as far as its extents can be followed. */
static inline uint64_t statefile_sum(const uint8_t *file, size_t len)
{
	size_t at = sizeof(struct state_header);
	struct state_extent e = {0, 1};
	uint64_t sum;

	if (len < at)
		return 0;
	sum = statefile_add(1, file, offsetof(struct state_header, sum));
	while (e.len != 0 && len - at >= sizeof(e)) {
		memcpy(&e, file + at, sizeof(e));
		sum = statefile_add(sum, file + at, sizeof(e));
		at += sizeof(e);
		if (e.len > len - at)
			break;
		sum = statefile_add(sum, file + at, (size_t)e.len);
		at += (size_t)e.len;
	}
	return sum;
}

/* A struct memory for a small table, which memory_create() would not make. */
static inline void statefile_memory(struct memory *m, uint32_t sessions, uint32_t addresses)
{
	int protection = PROT_READ | PROT_WRITE;

	*m = (struct memory){.nat = {.max_sessions = sessions, .max_addresses = addresses, .max_fragments = 1}};
	nat_memory_need(&m->nat);
	m->records_fd = memfd_create("records", MFD_CLOEXEC);
	if (m->records_fd < 0 || ftruncate(m->records_fd, (off_t)m->nat.table.records_len) < 0)
		abort();
	m->nat.table.records = mmap(NULL, m->nat.table.records_len, protection, MAP_SHARED, m->records_fd, 0);
	m->nat.table.scratch =
		mmap(NULL, m->nat.table.scratch_len, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->nat.table.records == MAP_FAILED || m->nat.table.scratch == MAP_FAILED)
		abort();
}

static inline void statefile_memory_fini(struct memory *m)
{
	munmap(m->nat.table.records, m->nat.table.records_len);
	munmap(m->nat.table.scratch, m->nat.table.scratch_len);
	close(m->records_fd);
}

#endif
