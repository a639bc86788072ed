/* SPDX-License-Identifier: ISC */
/*
 * An HTTP request in progress. It sends natd one or more queries, one after the other, and then answers once. The
 * answer frees it, or the loss of its client.
 */
#ifndef NATD_WEB_TASK_H
#define NATD_WEB_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/query.h"
#include "params.h"

struct client;
struct evhttp_request;
struct task;
struct web;

typedef void task_fn(struct task *t);

struct task {
	struct web *web;
	struct evhttp_request *req;
	struct client *client;
	struct params params;

	/* The current query. */
	struct query_call call;
	struct ctl_subscribe subscribe;
	struct ctl_hosts hosts;
	struct query *query; /* NULL: none is in flight */
	struct task *next;   /* in the queue of tasks that wait for their turn */
	bool is_waiting;
	uint64_t asked_us;
	task_fn *on_done;

	/* The answer under construction; its use depends on the path. */
	FILE *out; /* into `text`, of `len` bytes once it is closed */
	char *text;
	size_t len;
	uint64_t count;	     /* records in it */
	bool is_cut;	     /* there were more than `limit` */
	task_fn *on_lost;    /* natd is away; NULL: 503 and an error */
	void *state;	     /* the path's own */
	task_fn *free_state; /* NULL: nothing to free */
	const char *daemon;  /* in on_done(): natd's version */
};

/* NULL: out of memory, and the request has been answered. */
struct task *task_create(struct web *web, struct evhttp_request *req);

/* Sends a query to natd: each record goes to `on_record`, with the task as ctx; then `on_done` is called, even if
 * `on_record` stopped the query. Filter, who, hosts and subscription are taken from the task. */
void task_ask(struct task *t, enum ctl_type type, exchange_fn *on_record, task_fn *on_done);

/* Sends the text written to t->out, or an empty body if that is NULL. Frees the task. */
void task_answer(struct task *t, int status, const char *content_type);
/* {"error":TEXT}. Frees the task. */
void task_refuse(struct task *t, int status, const char *text);

#endif
