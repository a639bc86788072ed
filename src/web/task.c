/* SPDX-License-Identifier: ISC */
/* Requests in progress, see task.h. At most WEB_QUERIES_MAX of them query natd at once; the others wait in order. */
#include "task.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/json.h"
#include "clients.h"
#include "http.h"
#include "web.h"

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- the queue ---- */

static void enqueue(struct task *t)
{
	t->is_waiting = true;
	t->next = NULL;
	if (t->web->last_waiting)
		t->web->last_waiting->next = t;
	else
		t->web->first_waiting = t;
	t->web->last_waiting = t;
}

static void dequeue(struct task *t)
{
	struct task **at = &t->web->first_waiting, *before = NULL;

	for (; *at != t; at = &(*at)->next)
		before = *at;
	*at = t->next;
	if (t->web->last_waiting == t)
		t->web->last_waiting = before;
	t->is_waiting = false;
}

static void start(struct task *t);

static void start_next(struct web *web)
{
	struct task *t = web->first_waiting;

	if (!t || web->is_stopping)
		return;
	dequeue(t);
	start(t);
}

/* ---- the end of a task ---- */

static void discard(struct task *t)
{
	struct web *web = t->web;
	bool had_query = t->query != NULL;

	if (t->is_waiting)
		dequeue(t);
	query_cancel(t->query);
	if (t->out)
		fclose(t->out);
	free(t->text);
	if (t->free_state)
		t->free_state(t);
	free(t);
	if (!had_query)
		return;
	web->n_queries--;
	start_next(web);
}

/* The client closed the connection. */
static void on_close(void *ctx)
{
	struct task *t = ctx;

	if (!evhttp_request_get_connection(t->req))
		evhttp_request_free(t->req); /* evhttp has dropped it */
	discard(t);
}

struct task *task_create(struct web *web, struct evhttp_request *req)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return NULL;
	}
	t->web = web;
	t->req = req;
	t->client = clients_request(web, req, on_close, t);
	if (t->client)
		return t;
	free(t); /* every slot is answering */
	evhttp_send_error(req, HTTP_SERVUNAVAIL, NULL);
	return NULL;
}

static void release_text(const void *data, size_t len, void *ctx)
{
	(void)data, (void)len;
	free(ctx);
}

void task_answer(struct task *t, int status, const char *content_type)
{
	struct evbuffer *body = evbuffer_new();

	if (t->out)
		fclose(t->out); /* sets t->text */
	t->out = NULL;
	if (body && t->text && evbuffer_add_reference(body, t->text, t->len, release_text, t->text) == 0)
		t->text = NULL;
	if (t->is_cut)
		evhttp_add_header(evhttp_request_get_output_headers(t->req), "Natd-Truncated", "true");
	clients_answered(t->client, t->req);
	http_send(t->web, t->req, status, content_type, body);
	if (body)
		evbuffer_free(body);
	discard(t);
}

void task_refuse(struct task *t, int status, const char *text)
{
	struct json_object *o = json_create();

	if (t->out)
		fclose(t->out);
	free(t->text);
	t->text = NULL;
	t->is_cut = false;
	t->out = open_memstream(&t->text, &t->len);
	json_add_text(o, "error", text);
	if (t->out)
		json_print(t->out, o);
	else
		json_destroy(o);
	if (status == HTTP_SERVUNAVAIL && t->params.is_soft)
		status = HTTP_OK;
	task_answer(t, status, "application/json");
}

/* ---- queries to natd ---- */

static void on_end(void *ctx, const struct query_result *r)
{
	struct task *t = ctx;
	struct web *web = t->web;

	t->query = NULL;
	web->n_queries--;
	web->stats.queries++;
	web->stats.query_us += now_us() - t->asked_us;
	t->daemon = r->daemon;
	if (r->outcome == QUERY_DONE || r->outcome == QUERY_STOPPED)
		t->on_done(t);
	else if (r->outcome == QUERY_LOST && t->on_lost)
		t->on_lost(t);
	else if (r->outcome == QUERY_LOST)
		task_refuse(t, HTTP_SERVUNAVAIL, r->text);
	else
		task_refuse(t, HTTP_STATUS_BAD_GATEWAY, r->text);
	start_next(web);
}

static void start(struct task *t)
{
	t->asked_us = now_us();
	t->query = query_start(t->web->base, t->web->socket, &t->call);
	if (t->query)
		t->web->n_queries++;
	else
		task_refuse(t, HTTP_SERVUNAVAIL, "natd-web is short of memory");
}

void task_ask(struct task *t, enum ctl_type type, exchange_fn *on_record, task_fn *on_done)
{
	t->on_done = on_done;
	t->call = (struct query_call){
		.type = type,
		.filter = type == CTL_LIST ? &t->params.filter : NULL,
		.subscribe = type == CTL_MONITOR ? &t->subscribe : NULL,
		.who = type == CTL_WHO ? &t->params.who : NULL,
		.hosts = type == CTL_HOSTS ? &t->hosts : NULL,
		.patience_ms = WEB_PATIENCE_MS,
		.on_record = on_record,
		.on_end = on_end,
		.ctx = t,
	};
	if (t->web->n_queries < WEB_QUERIES_MAX)
		start(t);
	else
		enqueue(t);
}
