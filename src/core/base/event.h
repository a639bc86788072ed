/* SPDX-License-Identifier: ISC */
/*
 * Events: what happened to sessions and mappings, stored for readers outside the core and as the history of ended
 * sessions.
 *
 * Theory of operation. Two rings of fixed-size records that overwrite their oldest: one for events in general, one for
 * refused openings, so that a flood of refusals does not overwrite the history. Records are numbered from 1, separately
 * in each ring. A reader is a cursor, the number of the next event that it wants, and copies what follows. It may be as
 * slow as it likes, or disappear, and learns how many events it has missed. There are no callbacks.
 *
 * Ends of sessions are always recorded: they are the history. The other types are recorded while there is a reader for
 * them.
 *
 * Addresses and ports are in host byte order. Single-threaded, like all of the core.
 */
#ifndef NATD_CORE_EVENT_H
#define NATD_CORE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The list of reasons: the value, and the name that `natctl history` prints. Scripts read the names: add rows, never
 * rename one. */
#define SESSION_END_LIST(X)                                                                     \
	X(SESSION_END_TIMEOUT, "timeout")	    /* idle for longer than its timeout */      \
	X(SESSION_END_CLOSED, "closed")		    /* TCP: by FINs */                          \
	X(SESSION_END_RESET, "reset")		    /* TCP: by an RST */                        \
	X(SESSION_END_DELETED, "deleted")	    /* natctl delete */                         \
	X(SESSION_END_FLUSHED, "flushed")	    /* natctl flush */                          \
	X(SESSION_END_RELOAD, "reload")		    /* the new configuration forbids it */      \
	X(SESSION_END_ADDRESS_LOST, "address-lost") /* its outside address is gone */           \
	X(SESSION_END_FILTERED, "filtered")	    /* a filter rule forbids it now */          \
	X(SESSION_END_BACKEND_DOWN, "backend-down") /* the server it was balanced to is down */ \
	X(SESSION_END_REPLACED, "replaced")	    /* it was replaced by another one */

enum session_end {
#define X(id, name) id,
	SESSION_END_LIST(X)
#undef X
		SESSION_END_COUNT
};

const char *session_end_name(enum session_end e); /* "unknown" for an unknown value */

/* Type, and its name in `natctl monitor -e`. */
#define EVENT_TYPE_LIST(X)                                                                                \
	X(EVENT_NEW, "NEW")		  /* session: opened */                                           \
	X(EVENT_UPDATE, "UPDATE")	  /* session: its state has changed */                            \
	X(EVENT_DESTROY, "DESTROY")	  /* session: ended, with its totals */                           \
	X(EVENT_MAPPING_NEW, "MAPPING")	  /* mapping: created by the session `id` */                      \
	X(EVENT_MAPPING_FREED, "MAPPING") /* mapping: ended with the session `id` */                      \
	X(EVENT_BLOCK_NEW, "BLOCK")	  /* port block: ext_port to rem_port, of int_addr on ext_addr */ \
	X(EVENT_BLOCK_FREED, "BLOCK")                                                                     \
	X(EVENT_BACKEND, "BACKEND") /* `text` */                                                          \
	X(EVENT_ALARM, "ALARM")	    /* `text` */                                                          \
	X(EVENT_CONFIG, "CONFIG")   /* `text` */                                                          \
	X(EVENT_REFUSED, "REFUSED") /* an opening; `reason` has the cause */

enum event_type {
#define X(id, name) id,
	EVENT_TYPE_LIST(X)
#undef X
		EVENT_TYPE_COUNT
};

const char *event_type_name(enum event_type t); /* "unknown" for an unknown value */

enum { EVENT_TEXT = 56, EVENT_ASSURED = 1 /* see table_session_assured() */ };

struct event {
	uint64_t seq;	  /* set by the ring */
	uint64_t time_ms; /* set by the ring, by the core's clock */
	uint8_t type;	  /* enum event_type */
	/* DESTROY: enum session_end; REFUSED: enum nat_reason; in the daemon's own types: as it likes */
	uint8_t reason;
	uint8_t kind;	 /* of sessions: struct session's */
	uint8_t flags;	 /* of sessions: EVENT_ASSURED; in the daemon's own types: as it likes */
	uint32_t origin; /* of sessions: table_origin_get(); 0: none */
	union {
		struct { /* sessions, mappings, blocks, refusals (these have no id and no totals) */
			uint64_t id;
			uint64_t bytes[2]; /* by enum nat_dir, as are the packets */
			uint32_t packets[2];
			uint32_t int_addr, rem_addr, ext_addr;
			uint32_t created_s;
			uint16_t int_port, rem_port, ext_port;
			uint16_t spare;
		};
		char text[EVENT_TEXT];
	};
};
_Static_assert(sizeof(struct event) == 80, "events must fit into the memory budget");

struct event_ring {
	struct event *at;
	uint32_t size;	  /* 0: stores nothing */
	uint32_t head;	  /* where the next event goes */
	uint64_t next;	  /* number of the next event */
	uint64_t first;	  /* number of the first event ever */
	uint64_t dropped; /* REFUSED: not recorded, because there were too many a second */
};

struct events {
	struct event_ring log, refused;
	uint64_t now_ms;
	uint32_t wanted; /* bits 1 << enum event_type of the types to record */
	uint32_t refused_left;
	uint64_t refused_at_ms;
	uint64_t lost; /* overwritten before they were read, summed over all readers; the readers count them */
};

enum {
	EVENTS_REFUSED = 1024,	     /* size of the ring of refusals */
	EVENTS_REFUSED_SECOND = 256, /* most refusals recorded a second */
};

/* Bytes of memory for `size` events, with the ring of refusals. Meant to be reserved without being touched. */
size_t events_need(uint32_t size);
/* `memory`: events_need(size) bytes, 64-byte aligned, borrowed; NULL: nothing is stored. `first`: the first number,
 * not 0. */
void events_init(struct events *e, void *memory, uint32_t size, uint64_t first);
/* Sets the types that readers want. EVENT_DESTROY is always recorded. */
void events_want(struct events *e, uint32_t types);

static inline bool event_is_wanted(const struct events *e, enum event_type t)
{
	return (e->wanted >> t & 1) != 0;
}

/* The next record in the ring for this type, to be filled at once: numbered, timed, all else zero. The oldest is
 * overwritten. NULL: the event is not recorded (no ring, or too many refusals this second). */
struct event *event_claim(struct events *e, enum event_type type);
/* Appends a copy, numbered and timed, to the ring for its type; the oldest is overwritten. */
void event_append(struct events *e, const struct event *ev);

/* Copies at most `max` events from number *cursor on, oldest first, and moves *cursor behind them. *lost: how many
 * were overwritten before they could be read. A cursor beyond the end (from an earlier ring) continues with the next
 * event. */
uint32_t events_read(const struct event_ring *r, uint64_t *cursor, struct event *out, uint32_t max, uint64_t *lost);

static inline uint64_t events_end(const struct event_ring *r) /* cursor: from now on */
{
	return r->next;
}

static inline uint64_t events_begin(const struct event_ring *r) /* cursor: from the oldest stored event */
{
	return r->next - r->first > r->size ? r->next - r->size : r->first;
}

#endif
