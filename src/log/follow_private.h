/* SPDX-License-Identifier: ISC */
/*
 * Shared by the files behind follow.h: follow.c (natd's events, the cursor), follow_outlet.c (the outlet),
 * follow_compare.c (comparing natd's listing). Single-threaded; everything is called from the event loop.
 */
#ifndef NATD_LOG_FOLLOW_PRIVATE_H
#define NATD_LOG_FOLLOW_PRIVATE_H

#include <event2/event.h>

#include "client/link.h"
#include "follow.h"
#include "openset.h"

enum { FOLLOW_TICK_MS = 1000, FOLLOW_BUSY_MS = 20 };

struct gap {
	bool is_there, is_unknown;
	uint64_t count, since_us;
};

/* Records that are not made from events; after an error they have to be made again. */
struct extra {
	bool start;
	struct gap gap;
	bool found;
};

enum comparing { COMPARE_NOT, COMPARE_WANTED, COMPARE_LISTING, COMPARE_WAITING, COMPARE_TELLING };

struct follow {
	struct follow_params p;
	struct link *link;
	struct link_calls calls;
	struct openset *open;
	struct cursor at, candidate, settled, saved;
	struct extra pending, unsettled;
	bool is_new_instance; /* the hello alone shows no gap: this instance's events are read from the first */
	bool has_greeted;     /* in this process */
	bool is_ready;
	bool is_paused;
	bool cursor_failed;

	enum comparing comparing;
	bool compares_quietly;
	struct query *listing;
	struct event *compare_end;

	struct event *tick, *flush;
	uint64_t busy_ms;   /* when the outlet began to be busy; 0: it is not */
	uint64_t failed_us; /* when it failed, by the wall clock; 0: it has not */
};

uint64_t follow_now_us(void); /* wall clock */
uint64_t follow_now_ms(void); /* monotonic clock */
void follow_arm(struct event *timer, unsigned ms);

/* ---- follow_outlet.c ---- */

/* Extends the gap `to` by the gap `g`. */
void follow_add_gap(struct gap *to, const struct gap *g);
/* Hands a record to the outlet, after the pending extras, and schedules a flush. */
void follow_put(struct follow *f, const struct record *r);
void follow_put_extras(struct follow *f);
/* Flushes the outlet, or notes that it accepts nothing. */
void follow_hand_over(struct follow *f);
void follow_on_flush(evutil_socket_t fd, short what, void *ctx);
/* If the outlet has stored everything handed over, advances f->settled. */
void follow_settle(struct follow *f);

/* ---- follow_compare.c ---- */

/* Requests a comparison at the next CAUGHT_UP. Quietly: what began unseen is noted without a record. */
void follow_want_comparison(struct follow *f, bool quietly);
void follow_begin_comparison(struct follow *f);
void follow_stop_comparison(struct follow *f); /* natd is gone: the comparison is repeated on the next connection */
void follow_on_compare_end(evutil_socket_t fd, short what, void *ctx);
/* Writes records of what the comparison found, as long as the outlet accepts them. */
void follow_tell_found(struct follow *f);

#endif
