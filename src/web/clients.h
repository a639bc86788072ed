/* SPDX-License-Identifier: ISC */
/*
 * The connections of HTTP clients: their number and their deadlines. evhttp alone accepts any number of them, and
 * limits only silence: a client that sends a byte now and then could stay for ever.
 */
#ifndef NATD_WEB_CLIENTS_H
#define NATD_WEB_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct evhttp_request;
struct web;

/* Sets web->clients and hooks into web->http. False: out of memory. */
bool clients_open(struct web *web);
void clients_close(struct web *web);
uint32_t clients_count(const struct web *web);

/* The connection of a request that has just become whole; its client has WEB_ANSWER_S to take the answer. If the
 * connection ends before clients_answered(), `on_close` is called with `ctx`. */
struct client *clients_request(struct web *web, struct evhttp_request *req, void (*on_close)(void *ctx), void *ctx);
/* The answer is being sent: on_close() will not be called any more. */
void clients_answered(struct client *c, struct evhttp_request *req);

#endif
