/* SPDX-License-Identifier: ISC */
/*
 * One query to natd on a connection of its own, without waiting: for programs with an event loop (libevent). natd may
 * come and go; each query connects for itself, so nothing has to be reconnected.
 *
 * Every query gives up the right to make changes in its hello, whatever its user may do.
 */
#ifndef NATD_CLIENT_QUERY_H
#define NATD_CLIENT_QUERY_H

#include "common/ctlevent.h"
#include "common/ctlhost.h"
#include "exchange.h"

struct event_base;

enum query_outcome {
	QUERY_DONE,    /* `end` holds */
	QUERY_REFUSED, /* natd refused: `text` says why */
	QUERY_STOPPED, /* on_record() returned false */
	QUERY_LOST,    /* natd is not there, closed the connection, or was silent for too long: `text` */
};

struct query_result {
	enum query_outcome outcome;
	struct ctl_end end;
	const char *text;   /* one line; valid during the call */
	const char *daemon; /* natd's version; "" before its hello */
};

struct query_call {
	enum ctl_type type;
	const struct ctl_filter *filter;       /* NULL: a request without one */
	const struct ctl_subscribe *subscribe; /* of CTL_MONITOR */
	const struct ctl_who *who;	       /* of CTL_WHO */
	const struct ctl_hosts *hosts;	       /* of CTL_HOSTS */
	uint32_t patience_ms;		       /* longest silence of natd; 0: no limit (subscriptions) */
	exchange_fn *on_record;		       /* false: no more records are wanted */
	void (*on_greeting)(void *ctx, const struct ctl_hello *hello); /* natd's hello; NULL: not wanted */
	/* Called exactly once, last, from the loop, never from query_start(); the query is freed after it. */
	void (*on_end)(void *ctx, const struct query_result *r);
	void *ctx;
};

struct query;

/* `path`: the control socket. All pointers in `call` but ctx are read before it returns. NULL: out of memory. */
struct query *query_start(struct event_base *base, const char *path, const struct query_call *call);
/* Stops reading, so that natd waits; then resumes. Up to two hundred records may still arrive after the stop. */
void query_pause(struct query *q);
void query_resume(struct query *q);
/* Ends it without calling on_end(). Not from its own callbacks. NULL is allowed. */
void query_cancel(struct query *q);

#endif
