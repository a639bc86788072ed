/* SPDX-License-Identifier: ISC */
/*
 * A record of the translation log, and its two text formats. Addresses and ports are in host byte order, times in
 * microseconds since the epoch. Pure.
 */
#ifndef NATD_LOG_RECORD_H
#define NATD_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ctlevent.h"

enum record_kind {
	RECORD_START, /* the log starts: nothing earlier is known */
	RECORD_LOST,  /* events between since_us and time_us are missing */
	RECORD_MAPPING,
	RECORD_SESSION,
	RECORD_BLOCK,
};

enum { RECORD_SIZE = 512 /* any record as text, with its terminator */ };

struct record {
	uint64_t time_us;
	uint64_t since_us; /* of an end: when it began; of LOST: the time of the last event before; 0: unknown */
	enum record_kind kind;
	bool has_ended;
	bool is_found; /* no event reported it: natd-log found it by comparing, at that time */
	uint8_t protocol;
	struct ctl_endpoint inside, outside; /* of a block: the addresses alone */
	struct ctl_endpoint remote;	     /* 0.0.0.0: not logged */
	uint16_t first, last;		     /* ports of a block */
	uint64_t id;			     /* of a session */
	uint64_t count;			     /* of LOST: events, an upper bound; 0: unknown */
	char reason[CTL_NAME_MAX + 1];	     /* why a session ended; "": unknown */
};

/* From one of natd's events. False: the log has no record for it. */
bool record_of_event(struct record *r, const struct ctl_event *e, bool has_destinations);

/* One line without newline, as natctl -j monitor prints the event; returns its length. */
size_t record_json(char out[RECORD_SIZE], const struct record *r);
/* One line without newline; returns its length. */
size_t record_text(char out[RECORD_SIZE], const struct record *r);

/* The words of both formats: "MAPPING"; "opened", "closed" or "". */
const char *record_event(const struct record *r);
const char *record_state(const struct record *r);

/* "2026-11-30T12:00:00.123456Z" */
enum { RECORD_TIME_SIZE = 32 };
const char *record_time(char out[RECORD_TIME_SIZE], uint64_t time_us);

#endif
