/* SPDX-License-Identifier: ISC */
/* Persistent subscriptions, see link.h. Each connection is a query of its own. */
#include "link.h"

#include <event2/event.h>
#include <stdlib.h>

enum link_state { LINK_UNKNOWN, LINK_DOWN, LINK_UP };

struct link {
	struct event_base *base;
	const char *path;
	const struct link_calls *calls;
	struct ctl_subscribe subscribe;
	struct query *query; /* NULL: between two attempts */
	struct event *retry;
	uint32_t wait_ms; /* before the next attempt */
	enum link_state state;
	bool is_paused;
	bool is_stale; /* the query will be replaced by a new one */
};

static void go_down(struct link *l, const char *why)
{
	if (l->state == LINK_DOWN)
		return;
	l->state = LINK_DOWN;
	l->calls->on_change(l->calls->ctx, NULL, why);
}

static void retry_later(struct link *l)
{
	const struct timeval wait = {l->wait_ms / 1000, l->wait_ms % 1000 * 1000};

	event_add(l->retry, &wait);
	l->wait_ms = l->wait_ms * 2 < LINK_RETRY_MAX_MS ? l->wait_ms * 2 : LINK_RETRY_MAX_MS;
}

static bool on_record(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct link *l = ctx;

	return l->is_stale || l->calls->on_record(l->calls->ctx, type, body);
}

static void on_greeting(void *ctx, const struct ctl_hello *hello)
{
	struct link *l = ctx;

	l->wait_ms = LINK_RETRY_MIN_MS;
	if (l->is_stale)
		return;
	l->state = LINK_UP;
	l->calls->on_change(l->calls->ctx, hello, "");
}

static void on_end(void *ctx, const struct query_result *r)
{
	struct link *l = ctx;

	l->query = NULL;
	if (l->is_stale)
		return; /* the next attempt is on its way */
	go_down(l, r->outcome == QUERY_STOPPED ? "an event is not understood" : r->text);
	retry_later(l);
}

static void attempt(evutil_socket_t fd, short what, void *ctx)
{
	struct link *l = ctx;
	const struct query_call call = {
		.type = CTL_MONITOR,
		.subscribe = &l->subscribe,
		.on_record = on_record,
		.on_greeting = on_greeting,
		.on_end = on_end,
		.ctx = l,
	};

	(void)fd, (void)what;
	query_cancel(l->query);
	l->is_stale = false;
	l->query = query_start(l->base, l->path, &call);
	if (!l->query)
		retry_later(l);
	else if (l->is_paused)
		query_pause(l->query);
}

struct link *link_open(struct event_base *base, const char *path, const struct ctl_subscribe *subscribe,
		       const struct link_calls *calls)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->base = base;
	l->path = path;
	l->calls = calls;
	l->subscribe = *subscribe;
	l->wait_ms = LINK_RETRY_MIN_MS;
	l->retry = event_new(base, -1, 0, attempt, l);
	if (!l->retry) {
		free(l);
		return NULL;
	}
	event_active(l->retry, EV_TIMEOUT, 0);
	return l;
}

void link_resume_at(struct link *l, uint64_t sequence)
{
	l->subscribe.start = CTL_START_SEQUENCE;
	l->subscribe.sequence = sequence;
}

void link_restart(struct link *l)
{
	l->is_stale = true;
	event_del(l->retry);
	event_active(l->retry, EV_TIMEOUT, 0);
}

void link_pause(struct link *l)
{
	l->is_paused = true;
	if (l->query)
		query_pause(l->query);
}

void link_unpause(struct link *l)
{
	l->is_paused = false;
	if (l->query)
		query_resume(l->query);
}

void link_close(struct link *l)
{
	if (!l)
		return;
	query_cancel(l->query);
	event_free(l->retry);
	free(l);
}
