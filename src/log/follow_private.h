/* SPDX-License-Identifier: ISC */
/*
 * What the files of follow.h share: follow.c (natd's events, the cursor), follow_outlet.c (to the outlet), follow_compare.c (what
 * natd did unseen). One thread; all of them are called from the event loop.
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

/* Records that no event stands behind; after an error they have to be made once more. */
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
	bool is_new_instance; /* its events are read from the first on, so that nothing is missing at the hello */
	bool has_greeted;     /* in this process */
	bool is_ready;
	bool is_paused;
	bool cursor_failed;

	enum comparing comparing;
	bool compares_quietly;
	struct query *listing;
	struct event *compare_end;

	struct event *tick, *flush;
	uint64_t busy_ms;   /* since when the outlet makes it wait; 0: it does not */
	uint64_t failed_us; /* since when it fails, by the clock on the wall; 0: it does not */
};

uint64_t follow_now_us(void); /* by the clock on the wall */
uint64_t follow_now_ms(void); /* since some time */
void follow_arm(struct event *timer, unsigned ms);

/* ---- follow_outlet.c ---- */

/* `to` covers `g` as well. */
void follow_add_gap(struct gap *to, const struct gap *g);
/* Hands a record to the outlet, behind the pending extras; sends soon. */
void follow_put(struct follow *f, const struct record *r);
void follow_put_extras(struct follow *f);
/* Sends what the outlet holds, or says since when it takes nothing. */
void follow_hand_over(struct follow *f);
void follow_on_flush(evutil_socket_t fd, short what, void *ctx);
/* What was handed over is safe now, as far as the outlet can know: f->settled goes on. */
void follow_settle(struct follow *f);

/* ---- follow_compare.c ---- */

/* With the next CAUGHT_UP; quietly: what began unseen is noted, and no record says so. */
void follow_want_comparison(struct follow *f, bool quietly);
void follow_begin_comparison(struct follow *f);
void follow_stop_comparison(struct follow *f); /* natd is away: once more with the next one */
void follow_on_compare_end(evutil_socket_t fd, short what, void *ctx);
/* Records of what was found, as long as the outlet takes them. */
void follow_tell_found(struct follow *f);

#endif
