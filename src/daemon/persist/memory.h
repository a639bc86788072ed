/* SPDX-License-Identifier: ISC */
/*
 * The memory of the core: large regions reserved once, touched page by page as entries are added. The table's records
 * are in a memfd, which can outlive the process; indexes and held fragments are in anonymous memory, which need not.
 */
#ifndef NATD_DAEMON_MEMORY_H
#define NATD_DAEMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nat/nat.h"

struct memory {
	struct nat_memory nat; /* for nat_create() */
	int records_fd;	       /* the memfd behind nat.table.records; -1 before memory_create() */
	bool has_large_pages;  /* large pages were requested */
};

struct memory_want {
	/* limits.sessions: the least that is acceptable; the most that a table can hold is tried first */
	uint32_t sessions;
	uint32_t fragments; /* likewise limits.fragments */
	uint32_t addresses;
	uint32_t events; /* limits.events; 0: no events are kept */
};

/*
 * Reserves everything. `records_fd`: a memfd of an earlier process with the records of its table, taken over in any
 * case, or -1 for a blank one. One of the wrong size, or one that its other owner could shrink, is -EPROTO (records are
 * read through a mapping: a hole in the file would raise SIGBUS). Returns 0, or a negative errno with nothing reserved.
 */
int memory_create(struct memory *m, const struct memory_want *want, int records_fd);
void memory_destroy(struct memory *m);

/* Call before a table of about that many sessions is built: from MEMORY_LARGE on, the parts that a start rebuilds
 * use large pages, if the system offers them on request (transparent_hugepage). Look-ups and restarts are then
 * faster. */
enum { MEMORY_LARGE = 1 << 20 };
void memory_expect(struct memory *m, uint32_t sessions);

/* Blanks the records again, if they turned out not to be a table. */
int memory_blank(struct memory *m);

/* Returns the whole pages within [start, start + len) to the system; they read as zero. `ctx` is the struct memory.
 * A callback for nat_trim(). */
void memory_give_back(void *ctx, void *start, size_t len);

/* Resident memory of the process in bytes; 0: unknown. */
uint64_t memory_resident(void);

#endif
