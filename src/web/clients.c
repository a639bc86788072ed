/* SPDX-License-Identifier: ISC */
/*
 * Connections, see clients.h.
 *
 * Theory of operation. evhttp requests a bufferevent for each connection that it accepts. It is created here and stored
 * in a slot with a reference of its own. A slot is RECEIVING, with a deadline for a whole request, or ANSWERING, with a
 * deadline for the client to take the answer. After the deadline the connection is ended the way evhttp ends one whose
 * timeout has passed. If a connection arrives and no slot is free, the slot that has been RECEIVING for longest gives
 * way. An honest client's request is whole within milliseconds; so clients that hold connections without a request
 * displace each other.
 *
 * evhttp does not report when it drops a bufferevent, but it clears its callbacks: a slot whose bufferevent has no
 * callbacks is free. Until then the reference keeps the memory, and BEV_OPT_CLOSE_ON_FREE the descriptor. So neither
 * can be reused while this file still refers to the old one.
 */
#include "clients.h"

#include <assert.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <time.h>

#include "web.h"

enum { SWEEP_MS = 250 };

struct client {
	struct bufferevent *bev; /* NULL: the slot is free */
	uint64_t since_ms;	 /* RECEIVING or ANSWERING since then */
	bool is_answering;
	struct clients *owner;
	void (*on_close)(void *ctx);
	void *ctx;
};

struct clients {
	struct web *web;
	struct event *timer;
	uint32_t count;
	struct client slots[WEB_CLIENTS_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool is_gone(struct bufferevent *bev)
{
	bufferevent_event_cb on_event = NULL;
	void *arg = NULL;

	bufferevent_getcb(bev, NULL, NULL, &on_event, &arg);
	return !on_event && !arg;
}

static void release(struct client *c)
{
	struct clients *all = c->owner;

	bufferevent_decref(c->bev);
	*c = (struct client){.owner = all};
	assert(all->count > 0);
	all->count--;
}

/* Ends it as if its timeout had passed: evhttp then frees the connection. */
static void evict(struct client *c)
{
	c->owner->web->stats.evicted++;
	bufferevent_trigger_event(c->bev, BEV_EVENT_TIMEOUT, 0);
	if (is_gone(c->bev))
		release(c);
}

static void sweep(struct clients *all)
{
	uint64_t now = now_ms();

	for (struct client *c = all->slots; c < all->slots + WEB_CLIENTS_MAX; c++) {
		uint64_t limit_ms = (uint64_t)(c->is_answering ? WEB_ANSWER_S : WEB_RECEIVE_S) * 1000;

		if (c->bev && is_gone(c->bev))
			release(c);
		else if (c->bev && now - c->since_ms > limit_ms)
			evict(c);
	}
}

static void arm(struct clients *all)
{
	const struct timeval wait = {0, SWEEP_MS * 1000};

	if (all->count > 0 && !evtimer_pending(all->timer, NULL))
		evtimer_add(all->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	sweep(ctx);
	arm(ctx);
}

static struct client *free_slot(struct clients *all)
{
	struct client *oldest = NULL;

	for (struct client *c = all->slots; c < all->slots + WEB_CLIENTS_MAX; c++) {
		if (!c->bev)
			return c;
		if (!c->is_answering && (!oldest || c->since_ms < oldest->since_ms))
			oldest = c;
	}
	if (oldest)
		evict(oldest);
	return oldest && !oldest->bev ? oldest : NULL;
}

/* Called by evhttp: the bufferevent of a new connection. */
static struct bufferevent *on_accept(struct event_base *base, void *ctx)
{
	struct clients *all = ctx;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct client *c;

	if (!bev)
		return NULL;
	if (all->count == WEB_CLIENTS_MAX)
		sweep(all);
	c = free_slot(all);
	if (!c) /* every slot is answering: this connection has only evhttp's own timeout */
		return bev;
	bufferevent_incref(bev);
	*c = (struct client){.bev = bev, .since_ms = now_ms(), .owner = all};
	all->count++;
	arm(all);
	return bev;
}

/* ---- requests ---- */

static void on_connection_close(struct evhttp_connection *connection, void *ctx)
{
	struct client *c = ctx;
	const struct timeval now = {0, 0};

	(void)connection;
	if (c->on_close)
		c->on_close(c->ctx);
	c->on_close = NULL;
	evtimer_add(c->owner->timer, &now); /* frees the slot once evhttp has dropped the bufferevent */
}

struct client *clients_request(struct web *web, struct evhttp_request *req, void (*on_close)(void *ctx), void *ctx)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(req);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(connection);

	for (struct client *c = web->clients->slots; c < web->clients->slots + WEB_CLIENTS_MAX; c++) {
		if (c->bev != bev)
			continue;
		c->is_answering = true;
		c->since_ms = now_ms();
		c->on_close = on_close;
		c->ctx = ctx;
		evhttp_connection_set_closecb(connection, on_connection_close, c);
		return c;
	}
	return NULL;
}

static void on_taken(struct evhttp_request *req, void *ctx)
{
	struct client *c = ctx;

	(void)req;
	c->is_answering = false;
	c->since_ms = now_ms();
}

void clients_answered(struct client *c, struct evhttp_request *req)
{
	c->on_close = NULL;
	evhttp_request_set_on_complete_cb(req, on_taken, c);
}

/* ---- start and stop ---- */

bool clients_open(struct web *web)
{
	struct clients *all = calloc(1, sizeof(*all));

	if (!all)
		return false;
	all->web = web;
	for (int i = 0; i < WEB_CLIENTS_MAX; i++)
		all->slots[i].owner = all;
	all->timer = evtimer_new(web->base, on_timer, all);
	if (!all->timer) {
		free(all);
		return false;
	}
	evhttp_set_bevcb(web->http, on_accept, all);
	web->clients = all;
	return true;
}

void clients_close(struct web *web)
{
	struct clients *all = web->clients;

	if (!all)
		return;
	for (struct client *c = all->slots; c < all->slots + WEB_CLIENTS_MAX; c++) {
		if (c->bev)
			bufferevent_decref(c->bev);
	}
	event_free(all->timer);
	free(all);
	web->clients = NULL;
}

uint32_t clients_count(const struct web *web)
{
	return web->clients->count;
}
