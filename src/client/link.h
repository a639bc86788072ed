/* SPDX-License-Identifier: ISC */
/*
 * A subscription that lasts: it connects, goes on after each loss where it was, and waits longer from one attempt in vain to
 * the next. For programs with an event loop (libevent).
 */
#ifndef NATD_CLIENT_LINK_H
#define NATD_CLIENT_LINK_H

#include "query.h"

enum { LINK_RETRY_MIN_MS = 100, LINK_RETRY_MAX_MS = 2000 };

struct link_calls {
	/* An event, a loss (CTL_R_LOST) or a mark (CTL_R_MARK). False: malformed, and the connection begins again. */
	exchange_fn *on_record;
	/* The subscription is in force, and natd's answer to the hello is `hello`; or `hello` is NULL, and `why` says why there is
	 * none: once a change, and once at the beginning. */
	void (*on_change)(void *ctx, const struct ctl_hello *hello, const char *why);
	void *ctx;
};

struct link;

/* `subscribe->sequence` and `start` hold for the first connection. `path` and `calls` are borrowed. NULL when memory is short. */
struct link *link_open(struct event_base *base, const char *path, const struct ctl_subscribe *subscribe,
		       const struct link_calls *calls);
/* From which event the next connection wants to go on: the caller's to keep up to date (sequence + 1 of the last one). */
void link_resume_at(struct link *l, uint64_t sequence);
/* Connects again at once, from within its own functions too: records of the connection before do not come any more, and
 * on_change() is called only if the new one fails. */
void link_restart(struct link *l);
/* Stops reading: natd keeps the events meanwhile. A record or two hundred may still come. And goes on. */
void link_pause(struct link *l);
void link_unpause(struct link *l);
void link_close(struct link *l); /* NULL: nothing */

#endif
