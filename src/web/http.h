/* SPDX-License-Identifier: ISC */
/* The HTTP server: which request goes where, what every answer says, and what wrong requests get. */
#ifndef NATD_WEB_HTTP_H
#define NATD_WEB_HTTP_H

#include <stdbool.h>

struct evbuffer;
struct evhttp_request;
struct task;
struct web;

/* Those that libevent has no name for. */
enum { HTTP_STATUS_URI_TOO_LONG = 414, HTTP_STATUS_MISDIRECTED = 421, HTTP_STATUS_BAD_GATEWAY = 502 };

/* Makes web->http, with its limits and functions; web->base is there. False: short of memory. */
bool http_open(struct web *web);
/* Takes over a listening socket. False: short of memory; then it is the caller's. */
bool http_listen(struct web *web, int fd);

/* Sends the answer with the headers that all of them have. `body` may be NULL. */
void http_send(struct web *web, struct evhttp_request *req, int status, const char *content_type,
	       struct evbuffer *body);

/* A path: what its query may hold, and the function that answers it. */
struct http_route {
	const char *path;
	unsigned takes; /* PARAM_ bits */
	void (*start)(struct task *t);
};

/* May a page of that origin be talking to us (the Host header; NULL: none)? See http.c. */
bool http_host_is_ours(const char *host);

#endif
