/* SPDX-License-Identifier: ISC */
/*
 * The connections of HTTP clients: how many, and for how long. evhttp by itself accepts any number of them, and counts a
 * second of silence only: who sends a byte now and then could stay for ever.
 */
#ifndef NATD_WEB_CLIENTS_H
#define NATD_WEB_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct evhttp_request;
struct web;

/* Sets web->clients and hooks into web->http. False: short of memory. */
bool clients_open(struct web *web);
void clients_close(struct web *web);
uint32_t clients_count(const struct web *web);

/* The connection of a whole request that has just come, which has WEB_ANSWER_S to take its answer from now on. `on_close` is
 * called, with `ctx`, if the connection ends before clients_answered(). */
struct client *clients_request(struct web *web, struct evhttp_request *req, void (*on_close)(void *ctx), void *ctx);
/* Its answer is being sent: on_close() is no longer of interest. */
void clients_answered(struct client *c, struct evhttp_request *req);

#endif
