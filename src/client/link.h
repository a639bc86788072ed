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
	/* An event, or a loss (type CTL_R_LOST). False: malformed, and the connection begins again. */
	exchange_fn *on_record;
	/* The subscription is in force (natd has answered the hello), or no longer: then `why` says why. Once a change. */
	void (*on_change)(void *ctx, bool is_up, const char *why);
	void *ctx;
};

struct link;

/* `subscribe->sequence` and `start` hold for the first connection. `path` and `calls` are borrowed. NULL when memory is short. */
struct link *link_open(struct event_base *base, const char *path, const struct ctl_subscribe *subscribe,
		       const struct link_calls *calls);
/* From which event the next connection wants to go on: the caller's to keep up to date (sequence + 1 of the last one). */
void link_resume_at(struct link *l, uint64_t sequence);
void link_close(struct link *l); /* NULL: nothing */

#endif
