/* SPDX-License-Identifier: ISC */
/*
 * The memory that the core works in: large regions reserved once, touched page by page as entries
 * come. The table's records lie in a memfd, which can outlive the process; indexes and held fragments
 * in anonymous memory, which need not.
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
	bool has_large_pages;  /* was asked for them */
};

struct memory_want {
	uint32_t
		sessions; /* limits.sessions: what must be had at least; the most that a table can hold is tried first */
	uint32_t fragments; /* limits.fragments likewise */
	uint32_t addresses;
	uint32_t events; /* limits.events; 0: none are kept */
};

/*
 * Reserves everything. `records_fd`: a memfd of an earlier process with the records of its table, taken
 * over whatever happens, or -1 for a blank one. One of the wrong size, or that its other owner could
 * shrink, is -EPROTO (records are read through a mapping: a hole in the file would be a SIGBUS).
 * 0 or a negative errno, with nothing reserved.
 */
int memory_create(struct memory *m, const struct memory_want *want, int records_fd);
void memory_destroy(struct memory *m);

/* A table of so many sessions, or nearly, is about to be there: from MEMORY_LARGE on what is rebuilt at a start lies in large pages, if the
 * system has them for those who ask (transparent_hugepage). Then looking a session up costs less, and so does a restart. */
enum { MEMORY_LARGE = 1 << 20 };
void memory_expect(struct memory *m, uint32_t sessions);

/* Blanks the records again: for when they turned out to be no table. */
int memory_blank(struct memory *m);

/* Gives the whole pages within [start, start + len) back to the system; they read as zero. `ctx` is the struct memory:
 * made for nat_trim(). */
void memory_give_back(void *ctx, void *start, size_t len);

/* Resident memory of the process in bytes, 0 if it cannot be told. */
uint64_t memory_resident(void);

#endif
