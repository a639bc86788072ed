/* SPDX-License-Identifier: ISC */
/* What the parts of natd-web share. */
#ifndef NATD_WEB_WEB_H
#define NATD_WEB_WEB_H

#include <stdbool.h>
#include <stdint.h>

struct clients;
struct event_base;
struct evhttp;
struct sampler;

enum {
	WEB_CLIENTS_MAX = 64,	 /* connections at once; then the slowest one without a whole request gives way */
	WEB_QUERIES_MAX = 8,	 /* to natd at once; it takes 16 of one user. Further requests wait */
	WEB_HEADERS_MAX = 16384, /* bytes of a request's first line and headers */
	WEB_BODY_MAX = 1024,	 /* bytes of a request's body, which no request here needs */
	WEB_URI_MAX = 2048,	 /* bytes */
	WEB_RECEIVE_S = 10,	 /* from connecting, or the last answer, to a whole request */
	WEB_ANSWER_S = 30,	 /* from a whole request until its answer was taken */
	WEB_PATIENCE_MS = 10000, /* natd silent for so long: 503 */
	WEB_SAMPLE_MS = 2000,	 /* between two samples for the curves */
	WEB_SAMPLES = 300,	 /* ten minutes of them */
	WEB_LIMIT_DEFAULT = 100, /* records of an answer, unless `limit` says */
	WEB_LIMIT_MAX = 1000,	 /* ... up to this */
	WEB_HOSTS_MAX = 64,	 /* busiest hosts in /metrics, where they are enabled */
	WEB_ADDRESSES_MAX = 256, /* outside addresses with figures of their own in /metrics */
};

/* natd-web's own figures, for /metrics. */
struct web_stats {
	uint64_t answered[6]; /* by the first digit of the status */
	uint64_t queries;     /* to natd that were answered */
	uint64_t query_us;    /* the time that these took in all */
	uint64_t evicted;     /* connections that gave way, or were too slow */
};

struct web {
	struct event_base *base;
	struct evhttp *http;
	const char *socket; /* of natd */
	struct clients *clients;
	struct sampler *sampler;
	struct web_stats stats;
	unsigned n_queries; /* in flight */
	struct task *first_waiting, *last_waiting;
	bool is_stopping;
	bool is_local; /* every listening address is a loopback one */
};

#endif
