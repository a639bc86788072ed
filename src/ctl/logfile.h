/* SPDX-License-Identifier: ISC */
/*
 * The translation log as natd-log wrote it, JSON or text, perhaps compressed by gzip: who had an outside endpoint, at a time.
 * Files may be gigabytes: they are read once from end to end, and only lines that name the endpoint are taken apart.
 */
#ifndef NATD_CTL_LOGFILE_H
#define NATD_CTL_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ctlrecord.h"

enum { LOGFILE_WHY = 256, LOGFILE_RECORDS_MAX = 1 << 20 /* about one endpoint; further ones are left out */ };

/* Somebody had the endpoint, or the block in which it lies. */
struct logfile_holding {
	uint8_t protocol; /* 0: a block, which has all of them */
	struct ctl_endpoint inside;
	uint16_t first, last; /* of a block */
	uint64_t id;	      /* of a session; 0: a mapping or a block */
	uint64_t since_us;    /* 0: before the log begins */
	uint64_t until_us;    /* 0: the log has no end of it */
};

struct logfile_gap {
	uint64_t since_us, until_us;
	uint64_t count; /* 0: not known */
};

struct logfile;

/* NULL: short of memory. */
struct logfile *logfile_create(const struct ctl_who *q);
void logfile_destroy(struct logfile *l); /* NULL: nothing */

/* Reads a file; several may follow each other, in any order. False, and why: it cannot be read, or is no such log. */
bool logfile_read(struct logfile *l, const char *path, char why[LOGFILE_WHY]);
/* The same for whole lines in memory. */
void logfile_scan(struct logfile *l, const char *text, size_t len);

/* Whoever had it at that second; *n of them, borrowed until the next call. */
const struct logfile_holding *logfile_holders(struct logfile *l, uint64_t at_us, size_t *n);

/* Times of the first and the last record; 0: there is none. */
uint64_t logfile_begin(const struct logfile *l);
uint64_t logfile_end(const struct logfile *l);
/* Does it begin with the beginning of the log, so that nothing older can go on? */
bool logfile_is_whole(const struct logfile *l);
/* The gap in which that time lies; NULL: none. */
const struct logfile_gap *logfile_gap_at(const struct logfile *l, uint64_t at_us);
/* Lines that name the endpoint and are not understood. */
uint64_t logfile_bad_lines(const struct logfile *l);

#endif
