/* SPDX-License-Identifier: ISC */
/*
 * Events over the control protocol: the subscription, events, and the record of lost events. As in ctlproto.h, each
 * ctl_put_ writes one whole frame (false: no room, nothing written), each ctl_get_ reads a body (false: malformed).
 */
#ifndef NATD_COMMON_CTLEVENT_H
#define NATD_COMMON_CTLEVENT_H

#include "ctlfilter.h"
#include "ctlrecord.h"

/* Kinds of events, by natctl's names (option -e). The numbers never change. */
#define CTL_EVENT_LIST(X)                                          \
	X(CTL_EVENT_NEW, "NEW")		/* a session was opened */ \
	X(CTL_EVENT_UPDATE, "UPDATE")	/* its state changed */    \
	X(CTL_EVENT_DESTROY, "DESTROY") /* it ended */             \
	X(CTL_EVENT_MAPPING, "MAPPING")                            \
	X(CTL_EVENT_BLOCK, "BLOCK")                                \
	X(CTL_EVENT_BACKEND, "BACKEND")                            \
	X(CTL_EVENT_ALARM, "ALARM")                                \
	X(CTL_EVENT_CONFIG, "CONFIG")                              \
	X(CTL_EVENT_REFUSED, "REFUSED") /* an opening that was refused */

enum ctl_event_kind {
#define X(id, name) id,
	CTL_EVENT_LIST(X)
#undef X
		CTL_EVENT_COUNT
};

enum {
	CTL_EVENTS_SESSIONS = 1 << CTL_EVENT_NEW | 1 << CTL_EVENT_UPDATE | 1 << CTL_EVENT_DESTROY,
	CTL_EVENTS_ALL = (1 << CTL_EVENT_COUNT) - 1,
};

const char *ctl_event_name(uint8_t kind); /* "UNKNOWN" for an unknown number */
int ctl_event_by_name(const char *name);  /* ignores case; -1: none */

/* Does the event of that kind carry a session (struct ctl_entry)? */
bool ctl_event_has_entry(uint8_t kind);

enum ctl_start { CTL_START_NOW, CTL_START_OLDEST, CTL_START_SEQUENCE, CTL_START_COUNT };

/* Monitor: events as they come. */
struct ctl_subscribe {
	uint32_t kinds;		  /* 1 << enum ctl_event_kind */
	uint8_t start;		  /* enum ctl_start */
	bool until_end;		  /* only events that natd already has, then the end frame */
	uint64_t sequence;	  /* CTL_START_SEQUENCE: of the first event wanted */
	struct ctl_filter filter; /* for events that carry a session; without criteria all other events are sent too */
};
bool ctl_put_subscribe(struct ctl_writer *w, const struct ctl_subscribe *s);
bool ctl_get_subscribe(struct ctl_reader *r, struct ctl_subscribe *s);

struct ctl_event {
	uint64_t sequence;
	uint64_t time_us;	       /* since the epoch */
	uint8_t kind;		       /* enum ctl_event_kind */
	bool has_ended;		       /* MAPPING, BLOCK, ALARM: it ended; else it began */
	char reason[CTL_NAME_MAX + 1]; /* DESTROY: why it ended; REFUSED: the counter's name; ALARM: the alarm's id */
	/* One of these, by kind. */
	struct ctl_entry entry;	    /* sessions, refusals (which have no id) */
	struct ctl_mapping mapping; /* MAPPING */
	struct {		    /* BLOCK */
		uint32_t inside, outside;
		uint16_t first, last;
	} block;
	char text[CTL_TEXT_MAX + 1]; /* BACKEND, ALARM, CONFIG */
};
bool ctl_put_event(struct ctl_writer *w, const struct ctl_event *e);
bool ctl_get_event(struct ctl_reader *r, struct ctl_event *e);

/* The number of events that were overwritten before this client read them. */
bool ctl_put_lost(struct ctl_writer *w, uint64_t count);
bool ctl_get_lost(struct ctl_reader *r, uint64_t *count);

/* A position in a subscription that started with past events. */
enum ctl_mark {
	CTL_MARK_CAUGHT_UP = 1, /* all past events have been sent */
	CTL_MARK_STOP = 2,	/* natd stops; no event follows */
	CTL_MARK_PLACE = 3,	/* the position, after many events that the subscription did not want */
};
/* `next`: number of the event from which the subscription would resume. */
bool ctl_put_mark(struct ctl_writer *w, enum ctl_mark mark, uint64_t next);
bool ctl_get_mark(struct ctl_reader *r, uint8_t *mark, uint64_t *next);

#endif
