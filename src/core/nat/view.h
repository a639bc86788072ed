/* SPDX-License-Identifier: ISC */
/*
 * A session for other code: for listings, events and copies elsewhere. A copy with a fixed layout in native byte order
 * that refers to nothing in this process: addresses instead of slots, ages instead of times, names of the configuration
 * instead of numbers. So it means the same in another natd that knows the version.
 */
#ifndef NATD_CORE_VIEW_H
#define NATD_CORE_VIEW_H

#include "nat.h"

enum { SESSION_VIEW_VERSION = 1 };

enum {
	VIEW_FROM_OUTSIDE = 1, /* opened by the remote side */
	VIEW_FORWARD = 2,      /* its outside endpoint is a forward's */
	VIEW_ASSURED = 4,      /* table_session_assured() */
	VIEW_OFFLOADED = 8,    /* shown to a forwarder: see mirror.h */
};

struct session_view {
	uint16_t version;
	uint8_t proto_class; /* enum nat_class */
	uint8_t state;	     /* enum session_state */
	uint8_t flags;
	uint8_t scale;	   /* TCP: as in struct session, likewise below */
	uint8_t window[2]; /* by enum nat_dir, likewise below */
	uint64_t id;
	uint32_t int_addr, ext_addr, rem_addr; /* host byte order, like the ports */
	uint16_t int_port, ext_port, rem_port;
	uint16_t spare;
	uint32_t age_s, idle_s;
	uint32_t timeout_s; /* left; of events other than openings or changes: 0 */
	uint64_t bytes[2];
	uint64_t packets[2];
	uint32_t end[2], ack[2];
	struct session_origin origin;
};
_Static_assert(sizeof(struct session_view) == 216, "another layout is another version");

/* The next open session: start with *cursor 0. False: call again, unless *cursor is 0: then it is the end. Skips at
 * most `budget` empty records. */
bool nat_view_next(struct nat *n, uint32_t *cursor, uint32_t budget, uint64_t now_ms, struct session_view *v);
/* The open session with that id. */
bool nat_view_by_id(struct nat *n, uint64_t id, uint64_t now_ms, struct session_view *v);
/* The session in an event about it. */
void nat_view_event(struct nat *n, const struct event *ev, struct session_view *v);
/* Ends the session with that id, if there is one, for that reason. */
bool nat_session_end(struct nat *n, uint64_t id, enum session_end why, uint64_t now_ms);

#endif
