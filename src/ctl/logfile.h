/* SPDX-License-Identifier: ISC */
/*
 * The translation log as natd-log wrote it (JSON or text, possibly compressed by gzip): who held an outside endpoint at
 * a time. Files may be gigabytes: they are read once from start to end, and only lines that name the endpoint are
 * parsed.
 */
#ifndef NATD_CTL_LOGFILE_H
#define NATD_CTL_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ctlrecord.h"

enum { LOGFILE_WHY = 256, LOGFILE_RECORDS_MAX = 1 << 20 /* about one endpoint; further ones are ignored */ };

/* A host that held the endpoint, or the block that contains it. */
struct logfile_holding {
	uint8_t protocol; /* 0: a block, which is for all protocols */
	struct ctl_endpoint inside;
	uint16_t first, last; /* of a block */
	uint64_t id;	      /* of a session; 0: a mapping or a block */
	uint64_t since_us;    /* 0: before the log begins */
	uint64_t until_us;    /* 0: the log has no end for it */
};

struct logfile_gap {
	uint64_t since_us, until_us;
	uint64_t count; /* 0: unknown */
};

struct logfile;

/* NULL: out of memory. */
struct logfile *logfile_create(const struct ctl_who *q);
void logfile_destroy(struct logfile *l); /* NULL is allowed */

/* Reads a file; call it for each, in any order. False, with `why`: it cannot be read, or is not such a log. */
bool logfile_read(struct logfile *l, const char *path, char why[LOGFILE_WHY]);
/* The same for whole lines in memory. */
void logfile_scan(struct logfile *l, const char *text, size_t len);

/* The holders at that second; *n of them, borrowed until the next call. */
const struct logfile_holding *logfile_holders(struct logfile *l, uint64_t at_us, size_t *n);

/* Times of the first and the last record; 0: there is none. */
uint64_t logfile_begin(const struct logfile *l);
uint64_t logfile_end(const struct logfile *l);
/* Does it contain the start of the log, so that nothing older can still be open? */
bool logfile_is_whole(const struct logfile *l);
/* The gap that contains that time; NULL: none. */
const struct logfile_gap *logfile_gap_at(const struct logfile *l, uint64_t at_us);
/* Number of lines that name the endpoint and could not be parsed. */
uint64_t logfile_bad_lines(const struct logfile *l);

#endif
