/* SPDX-License-Identifier: ISC */
/*
 * One question to natd on a connection of its own, without waiting: for programs with an event loop (libevent). natd may
 * come and go; each query connects by itself, so that there is nothing to connect again.
 *
 * Every query renounces changes in its hello, whatever rights its user has.
 */
#ifndef NATD_CLIENT_QUERY_H
#define NATD_CLIENT_QUERY_H

#include "common/ctlevent.h"
#include "common/ctlhost.h"
#include "exchange.h"

struct event_base;

enum query_outcome {
	QUERY_DONE,    /* `end` holds */
	QUERY_REFUSED, /* natd said no: `text` */
	QUERY_STOPPED, /* the record function wanted no more */
	QUERY_LOST,    /* no natd, or it hung up, or it was silent for too long: `text` */
};

struct query_result {
	enum query_outcome outcome;
	struct ctl_end end;
	const char *text;   /* one line; valid during the call */
	const char *daemon; /* natd's version; "" before it has answered the hello */
};

struct query_call {
	enum ctl_type type;
	const struct ctl_filter *filter;       /* NULL: a request without one */
	const struct ctl_subscribe *subscribe; /* of CTL_MONITOR */
	const struct ctl_who *who;	       /* of CTL_WHO */
	const struct ctl_hosts *hosts;	       /* of CTL_HOSTS */
	uint32_t patience_ms;		       /* natd may be silent for so long; 0: for ever (subscriptions) */
	exchange_fn *on_record;		       /* false: no more records are wanted */
	void (*on_greeting)(void *ctx,
			    const struct ctl_hello *hello); /* natd's answer to the hello; NULL: of no interest */
	/* Called exactly once, last, from the loop, never from within query_start(); the query is freed after it. */
	void (*on_end)(void *ctx, const struct query_result *r);
	void *ctx;
};

struct query;

/* `path`: of the control socket. All pointers of `call` but ctx are read before it returns. NULL when memory is short. */
struct query *query_start(struct event_base *base, const char *path, const struct query_call *call);
/* Stops reading, so that natd waits, and goes on. A record or two hundred may still come after it stopped. */
void query_pause(struct query *q);
void query_resume(struct query *q);
/* Ends it without a call. Not from within its own functions. NULL: nothing. */
void query_cancel(struct query *q);

#endif
