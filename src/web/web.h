/* SPDX-License-Identifier: ISC */
/* Shared by the files of natd-web. */
#ifndef NATD_WEB_WEB_H
#define NATD_WEB_WEB_H

#include <stdbool.h>
#include <stdint.h>

struct clients;
struct event_base;
struct evhttp;
struct sampler;

enum {
	WEB_CLIENTS_MAX = 64,	 /* connections at once; beyond, the oldest one without a whole request gives way */
	WEB_QUERIES_MAX = 8,	 /* queries to natd at once; natd allows 16 a user. Further requests wait */
	WEB_HEADERS_MAX = 16384, /* bytes of a request's first line and headers */
	WEB_BODY_MAX = 1024,	 /* bytes of a request's body; no request here needs one */
	WEB_URI_MAX = 2048,	 /* bytes */
	WEB_RECEIVE_S = 10,	 /* from the connection, or the last answer, to a whole request */
	WEB_ANSWER_S = 30,	 /* from a whole request until the client has taken the answer */
	WEB_PATIENCE_MS = 10000, /* natd silent for this long: 503 */
	WEB_SAMPLE_MS = 2000,	 /* between two samples for the curves */
	WEB_SAMPLES = 300,	 /* ten minutes of samples */
	WEB_LIMIT_DEFAULT = 100, /* records of an answer, by default */
	WEB_LIMIT_MAX = 1000,	 /* the highest `limit` */
	WEB_HOSTS_MAX = 64,	 /* busiest hosts in /metrics, if enabled */
	WEB_ADDRESSES_MAX = 256, /* outside addresses with figures of their own in /metrics */
};

/* natd-web's own figures, for /metrics. */
struct web_stats {
	uint64_t answered[6]; /* by the first digit of the status */
	uint64_t queries;     /* to natd, answered */
	uint64_t query_us;    /* total time of these */
	uint64_t evicted;     /* connections ended because they were too slow or too many */
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
	bool is_local; /* every listening address is a loopback address */
};

#endif
