/* SPDX-License-Identifier: ISC */
/*
 * A persistent subscription: it connects, resumes after each loss where it was, and waits longer after each failed
 * attempt. For programs with an event loop (libevent).
 */
#ifndef NATD_CLIENT_LINK_H
#define NATD_CLIENT_LINK_H

#include "query.h"

enum { LINK_RETRY_MIN_MS = 100, LINK_RETRY_MAX_MS = 2000 };

struct link_calls {
	/* Takes an event, a loss (CTL_R_LOST) or a mark (CTL_R_MARK). False: malformed, and the link reconnects. */
	exchange_fn *on_record;
	/* Called at the start and at each change. `hello`: the subscription is active, and this is natd's hello.
	 * NULL: there is no connection, and `why` says why. */
	void (*on_change)(void *ctx, const struct ctl_hello *hello, const char *why);
	void *ctx;
};

struct link;

/* `subscribe->sequence` and `start` are used for the first connection. `path` and `calls` are borrowed. NULL: out of
 * memory. */
struct link *link_open(struct event_base *base, const char *path, const struct ctl_subscribe *subscribe,
		       const struct link_calls *calls);
/* Sets the event from which the next connection resumes; the caller keeps it up to date (last sequence + 1). */
void link_resume_at(struct link *l, uint64_t sequence);
/* Reconnects at once; may be called from its own callbacks. Records of the old connection no longer arrive, and
 * on_change() is called only if the new connection fails. */
void link_restart(struct link *l);
/* Stops reading, while natd keeps the events; up to two hundred records may still arrive. Then resumes. */
void link_pause(struct link *l);
void link_unpause(struct link *l);
void link_close(struct link *l); /* NULL is allowed */

#endif
