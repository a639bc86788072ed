/* SPDX-License-Identifier: ISC */
/*
 * Alarms: a limit is nearly used up. Raised when the use passes the configured percentage, cleared when it is well
 * below it again (HYSTERESIS points), so that a use around the limit does not fill the log. Pure, except for the log
 * line and the event of each change.
 */
#ifndef NATD_DAEMON_ALARM_H
#define NATD_DAEMON_ALARM_H

#include <stdbool.h>
#include <stdint.h>

struct control;
struct events;

/* The list of alarms: the value, and the id in status, events and log. */
#define ALARM_LIST(X)                                                                          \
	X(ALARM_PORTS, "ports")	      /* of one outside address and protocol, or its blocks */ \
	X(ALARM_SESSIONS, "sessions") /* of limits.sessions */                                 \
	X(ALARM_EVENTS, "events")     /* a reader lost some in the last minute */

enum alarm_id {
#define X(id, name) id,
	ALARM_LIST(X)
#undef X
		ALARM_COUNT
};

enum {
	ALARM_HYSTERESIS = 5, /* percentage points */
	ALARM_FINDING = 0xff, /* an event's reason: a finding, whose id begins the text ("ID: ...") */
};

const char *alarm_name(unsigned id); /* "unknown" for an unknown number */

struct alarm {
	bool is_raised;
	uint32_t percent; /* at the last check */
};

/* Updates the use of a limit; `limit_percent` of it (0: no alarm) raises the alarm. True: its state changed. */
bool alarm_update(struct alarm *a, uint32_t percent, uint32_t limit_percent);
/* The same for an event counter: raised when it grows, cleared ALARM_CALM_MS after the last time. */
struct alarm_watch {
	uint64_t count;	  /* at the last check */
	uint64_t last_ms; /* when it last grew; 0: never */
};
enum { ALARM_CALM_MS = 60000 };
bool alarm_update_by_count(struct alarm *a, struct alarm_watch *w, uint64_t count, uint64_t now_ms);
/* Logs the change and appends its event. `text` is the whole message ("83 % of the ports of 203.0.113.1 in use"). */
void alarm_report(const struct alarm *a, enum alarm_id id, const char *text, struct events *events);

/* Checks the ports of each address (the fullest counts) and the sessions, and reports changes. Costs a few reads an
 * address. */
void alarms_look(struct control *c);

#endif
