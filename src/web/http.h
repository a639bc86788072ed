/* SPDX-License-Identifier: ISC */
/* The HTTP server: routes, common headers, and refusals. */
#ifndef NATD_WEB_HTTP_H
#define NATD_WEB_HTTP_H

#include <stdbool.h>

struct evbuffer;
struct evhttp_request;
struct task;
struct web;

/* Status codes that libevent does not name. */
enum { HTTP_STATUS_URI_TOO_LONG = 414, HTTP_STATUS_MISDIRECTED = 421, HTTP_STATUS_BAD_GATEWAY = 502 };

/* Creates web->http with its limits and callbacks; web->base must exist. False: out of memory. */
bool http_open(struct web *web);
/* Takes over a listening socket. False: out of memory, and the socket stays the caller's. */
bool http_listen(struct web *web, int fd);

/* Sends an answer with the common headers. `body` may be NULL. */
void http_send(struct web *web, struct evhttp_request *req, int status, const char *content_type,
	       struct evbuffer *body);

/* A path, the parameters that it accepts, and the function that answers it. */
struct http_route {
	const char *path;
	unsigned takes; /* PARAM_ bits */
	void (*start)(struct task *t);
};

/* May a page of that origin be talking to us (Host header; NULL: none)? See http.c. */
bool http_host_is_ours(const char *host);

#endif
