/* SPDX-License-Identifier: ISC */
/*
 * Alarms: a limit is nearly used up. Raised when the configured percentage is passed, cleared when the use is well
 * below it again (HYSTERESIS points), so that a use that hovers there does not fill the log. Pure but for the log and
 * the event that each change makes.
 */
#ifndef NATD_DAEMON_ALARM_H
#define NATD_DAEMON_ALARM_H

#include <stdbool.h>
#include <stdint.h>

struct control;
struct events;

/* One list: the value, and the id in status, events and log. */
#define ALARM_LIST(X)                                                           \
	X(ALARM_PORTS, "ports")	      /* of one outside address and protocol */ \
	X(ALARM_SESSIONS, "sessions") /* of limits.sessions */

enum alarm_id {
#define X(id, name) id,
	ALARM_LIST(X)
#undef X
		ALARM_COUNT
};

enum {
	ALARM_HYSTERESIS = 5, /* percentage points */
	ALARM_FINDING = 0xff, /* an event's reason: a finding, whose id the text begins with ("ID: ...") */
};

const char *alarm_name(unsigned id); /* "unknown" for what is none */

struct alarm {
	bool is_raised;
	uint32_t percent; /* at the last look */
};

/* Looks at the use of a limit, `limit_percent` (0: no alarm) of which raises it. True: its state changed. */
bool alarm_update(struct alarm *a, uint32_t percent, uint32_t limit_percent);
/* Logs the change and appends its event. `what` names the limit ("ports of 203.0.113.1"). */
void alarm_report(const struct alarm *a, enum alarm_id id, const char *what, struct events *events);

/* Looks at the ports of each address (the fullest counts) and at the sessions, and reports what changed. Costs a few
 * reads an address. */
void alarms_look(struct control *c);

#endif
