/* SPDX-License-Identifier: ISC */
/*
 * Queries.
 *
 * Theory of operation. Connecting to a UNIX socket succeeds or fails at once. So the hello and the request, some
 * hundred bytes, are sent before query_start() returns; the kernel's buffer always takes them whole. From then on only
 * the read event matters. A failure in query_start() is reported through the same event, activated by hand: so the
 * caller has the query's pointer before its callbacks run.
 */
#include "query.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READS_AT_ONCE = 16 /* of up to CTL_REPLY_MAX bytes; then other events get a turn */ };

struct query {
	struct event *event;
	exchange_fn *on_record;
	void (*on_greeting)(void *ctx, const struct ctl_hello *hello);
	void (*on_end)(void *ctx, const struct query_result *r);
	void *ctx;
	int fd;
	int failed;	 /* errno of query_start(); 0: it succeeded */
	bool is_stopped; /* by the record function */
	bool is_greeted; /* on_greeting() was called */
	bool is_paused;
	struct exchange exchange;
};

static void query_free(struct query *q)
{
	if (q->event)
		event_free(q->event);
	if (q->fd >= 0)
		close(q->fd);
	free(q);
}

static void finish(struct query *q, enum query_outcome outcome, const char *text)
{
	const struct query_result r = {
		.outcome = outcome,
		.end = q->exchange.end,
		.text = text,
		.daemon = q->exchange.hello.daemon,
	};

	event_del(q->event);
	q->on_end(q->ctx, &r);
	query_free(q);
}

/* The exchange has ended. */
static void conclude(struct query *q)
{
	if (q->is_stopped)
		finish(q, QUERY_STOPPED, "");
	else if (q->exchange.state == EXCHANGE_DONE)
		finish(q, QUERY_DONE, "");
	else if (q->exchange.state == EXCHANGE_REFUSED)
		finish(q, QUERY_REFUSED, q->exchange.error.text);
	else
		finish(q, QUERY_LOST, "natd's answer is not understood: natd is of another version");
}

static void note_greeting(struct query *q)
{
	if (q->is_greeted || !q->exchange.is_greeted)
		return;
	q->is_greeted = true;
	if (q->on_greeting)
		q->on_greeting(q->ctx, &q->exchange.hello);
}

static bool take_record(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct query *q = ctx;

	note_greeting(q);
	if (q->on_record(q->ctx, type, body))
		return true;
	q->is_stopped = true;
	return false;
}

static void on_event(evutil_socket_t fd, short what, void *ctx)
{
	struct query *q = ctx;

	if (q->failed) {
		finish(q, QUERY_LOST, strerror(q->failed));
		return;
	}
	if (what & EV_TIMEOUT) {
		finish(q, QUERY_LOST, "natd does not answer");
		return;
	}
	for (int i = 0; i < READS_AT_ONCE && !q->is_paused; i++) {
		size_t room;
		uint8_t *space = exchange_space(&q->exchange, &room);
		ssize_t n = recv(fd, space, room, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			finish(q, QUERY_LOST, n == 0 ? "natd hung up" : strerror(errno));
			return;
		}
		if (exchange_fed(&q->exchange, (size_t)n) != EXCHANGE_MORE) {
			conclude(q);
			return;
		}
		note_greeting(q);
	}
}

static int send_request(int fd, const struct query_call *call)
{
	const struct ctl_hello hello = {
		.magic = CTL_MAGIC, .version = CTL_VERSION, .version_min = CTL_VERSION, .flags = CTL_HELLO_READ_ONLY};
	uint8_t buf[2 * CTL_REQUEST_MAX];
	struct ctl_writer w = {.buf = buf, .size = sizeof(buf)};

	ctl_put_hello(&w, &hello);
	if (call->subscribe)
		ctl_put_subscribe(&w, call->subscribe);
	else if (call->who)
		ctl_put_who(&w, call->who);
	else if (call->hosts)
		ctl_put_hosts(&w, call->hosts);
	else
		ctl_put_request(&w, call->type, call->filter);
	return send(fd, buf, w.len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)w.len ? 0 : errno;
}

static int connect_to(const char *path, int *fd)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(sun.sun_path))
		return ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return errno;
	return connect(*fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? errno : 0;
}

struct query *query_start(struct event_base *base, const char *path, const struct query_call *call)
{
	const struct timeval patience = {call->patience_ms / 1000, call->patience_ms % 1000 * 1000};
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->fd = -1;
	q->on_record = call->on_record;
	q->on_greeting = call->on_greeting;
	q->on_end = call->on_end;
	q->ctx = call->ctx;
	exchange_init(&q->exchange, take_record, q);
	q->failed = connect_to(path, &q->fd);
	if (q->failed == 0)
		q->failed = send_request(q->fd, call);
	if (q->failed == EPIPE)
		q->failed = 0; /* natd may have given a reason before it closed the connection */
	q->event = event_new(base, q->failed ? -1 : q->fd, EV_READ | EV_PERSIST, on_event, q);
	if (!q->event || event_add(q->event, call->patience_ms && !q->failed ? &patience : NULL) < 0) {
		query_free(q);
		return NULL;
	}
	if (q->failed)
		event_active(q->event, EV_TIMEOUT, 0);
	return q;
}

void query_pause(struct query *q)
{
	q->is_paused = true;
	if (!q->failed) /* else its end has been scheduled */
		event_del(q->event);
}

void query_resume(struct query *q)
{
	if (q->is_paused && !q->failed)
		event_add(q->event, NULL);
	q->is_paused = false;
}

void query_cancel(struct query *q)
{
	if (q)
		query_free(q);
}
