/* SPDX-License-Identifier: ISC */
/*
 * One HTTP request on its way to an answer: it asks natd one thing or several, one after the other, and answers once. It is
 * freed by its answer, or when its client goes away.
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

	/* What is asked now. */
	struct query_call call;
	struct ctl_subscribe subscribe;
	struct ctl_hosts hosts;
	struct query *query; /* NULL: none is in flight */
	struct task *next;   /* in the queue of those that wait for their turn */
	bool is_waiting;
	uint64_t asked_us;
	task_fn *on_done;

	/* The answer in the making, as the path likes it. */
	FILE *out; /* into `text`, of `len` bytes once it is closed */
	char *text;
	size_t len;
	uint64_t count;	     /* records in it */
	bool is_cut;	     /* there were more than `limit` */
	task_fn *on_lost;    /* natd is away; NULL: 503 and an error */
	void *state;	     /* of the path */
	task_fn *free_state; /* NULL: nothing to free */
	const char *daemon;  /* in on_done(): natd's version */
};

/* NULL: short of memory, and the request has been answered. */
struct task *task_create(struct web *web, struct evhttp_request *req);

/* Asks natd: each record goes to `on_record`, with the task as ctx; then `on_done`, also where that wanted no more. Filter, who,
 * hosts and subscription are the task's own. */
void task_ask(struct task *t, enum ctl_type type, exchange_fn *on_record, task_fn *on_done);

/* Sends what is in t->out; or nothing, where that is NULL. Frees the task. */
void task_answer(struct task *t, int status, const char *content_type);
/* {"error":TEXT}. Frees the task. */
void task_refuse(struct task *t, int status, const char *text);

#endif
