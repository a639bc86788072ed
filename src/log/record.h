/* SPDX-License-Identifier: ISC */
/*
 * A record of the translation log, and its two forms as text. Addresses and ports are in host byte order, times in
 * microseconds since the epoch. Pure.
 */
#ifndef NATD_LOG_RECORD_H
#define NATD_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ctlevent.h"

enum record_kind {
	RECORD_START, /* the log begins: of what was before it knows nothing */
	RECORD_LOST,  /* what is missing between since_us and time_us */
	RECORD_MAPPING,
	RECORD_SESSION,
	RECORD_BLOCK,
};

enum { RECORD_SIZE = 512 /* of any record as text, with its end */ };

struct record {
	uint64_t time_us;
	uint64_t since_us; /* of an end: when it began; LOST: of the last event before; 0: not known */
	enum record_kind kind;
	bool has_ended;
	bool is_found; /* no event says so: natd-log found it so when it compared; the time is that of the comparison */
	uint8_t protocol;
	struct ctl_endpoint inside, outside; /* of a block the addresses alone */
	struct ctl_endpoint remote;	     /* 0.0.0.0: not to be logged */
	uint16_t first, last;		     /* ports of a block */
	uint64_t id;			     /* of a session */
	uint64_t count;			     /* LOST: events, an upper bound; 0: their number is not known */
	char reason[CTL_NAME_MAX + 1];	     /* why a session ended; "": not known */
};

/* Of an event that natd recorded. False: none for this log. */
bool record_of_event(struct record *r, const struct ctl_event *e, bool has_destinations);

/* One line without its end, as natctl -j monitor would print the event; its length. */
size_t record_json(char out[RECORD_SIZE], const struct record *r);
/* One line without its end; its length. */
size_t record_text(char out[RECORD_SIZE], const struct record *r);

/* The words of both: "MAPPING"; "opened", "closed" or "". */
const char *record_event(const struct record *r);
const char *record_state(const struct record *r);

/* "2026-11-30T12:00:00.123456Z" */
enum { RECORD_TIME_SIZE = 32 };
const char *record_time(char out[RECORD_TIME_SIZE], uint64_t time_us);

#endif
