/* SPDX-License-Identifier: ISC */
/*
 * Sockets around struct ctl_client.
 *
 * Theory of operation. Each connection waits for LOOP_READ while its client accepts input, and for LOOP_WRITE while
 * there is output or work. So a writable socket also drives a listing, one slice a turn, among everything else that the
 * loop serves. The slices shrink with the number of clients, so that together they cost a turn no more than one client
 * alone. A flood of new sessions makes more events in a turn than one slice holds: a subscriber gets one more slice for
 * each eighth of the ring that it is behind, as long as its socket accepts all of it. A timer of one second finds
 * overdue clients. When the process runs out of descriptors, the listening socket is ignored until that timer's next
 * round, because it would be ready all the time.
 *
 * Invariants: `n_clients` is the length of the list; a connection is in the list exactly as long as it has a
 * descriptor; nothing is touched after drop().
 */
#define _GNU_SOURCE 1 /* accept4(), struct ucred */
#include "ctlserver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture.h"
#include "common/ctlproto.h"
#include "core/nat/nat.h"
#include "ctlsocket.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "stream.h"
#include "stun.h"
#include "survey.h"
#include "zeroed.h"

enum {
	/* A UNIX socket becomes writable again when a quarter of its buffer is in use, and a busy machine runs a
	 * reader of events once in 20 ms: the events of that time must fit into that quarter. */
	SEND_BUFFER = 2 << 20,
};

enum { ACCEPTS_PER_TURN = 8, VISITS_MIN = 32, SLICES_MAX = 6, TICK_MS = 1000, EVENTS_MS = 20 };

struct connection {
	struct ctl_server *server;
	struct connection *next;
	struct connection **link; /* the pointer to this connection */
	struct loop_fd *watch;
	struct ctl_client *client;
	int fd;
	uid_t uid;
};

struct ctl_server {
	struct loop *loop;
	struct ctl_env env;
	struct loop_timer *timer;
	struct loop_fd *watch;
	int fd; /* listening; -1: none */
	struct ctl_socket socket;
	struct connection *clients;
	unsigned n_clients;
	struct loop_timer *events; /* runs while there is a subscriber */
	uint32_t event_kinds;	   /* union of all subscriptions */
	uint64_t seen_log, seen_refused;
	bool has_live;
	struct survey survey;
	struct captures captures;
	struct stun stun;
	struct zeroed zeroed;
};

/* ---- events ---- */

/* After a subscription may have begun or ended: makes the core record the kinds of events that are subscribed to. */
static void update_subscriptions(struct ctl_server *s)
{
	bool has_live = false;
	uint32_t kinds = 0;

	for (const struct connection *c = s->clients; c; c = c->next) {
		kinds |= ctl_client_event_kinds(c->client);
		has_live = has_live || ctl_client_is_live(c->client);
	}
	if (kinds == s->event_kinds && has_live == s->has_live)
		return;
	s->event_kinds = kinds;
	s->has_live = has_live;
	events_want(nat_events(s->env.nat), ctl_event_types(kinds | s->env.kept_kinds));
	if (kinds == 0 && !has_live)
		loop_timer_stop(s->events);
	else if (!loop_timer_armed(s->events))
		loop_timer_every(s->events, EVENTS_MS);
}

void ctl_server_keep_events(struct ctl_server *s, uint32_t kinds)
{
	s->env.kept_kinds = kinds;
	events_want(nat_events(s->env.nat), ctl_event_types(s->event_kinds | kinds));
}

/* ---- one connection ---- */

static void drop(struct connection *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->server->n_clients--;
	loop_fd_remove(c->watch);
	close(c->fd);
	ctl_client_destroy(c->client);
	update_subscriptions(c->server);
	free(c);
}

/* Reads once: the rest is read in the next turn. False: the connection is broken. */
static bool receive(struct connection *c, uint64_t now_ms)
{
	size_t room;
	uint8_t *space = ctl_client_space(c->client, &room);
	ssize_t n;

	if (room == 0)
		return true;
	n = recv(c->fd, space, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		ctl_client_eof(c->client);
	else
		ctl_client_fed(c->client, (size_t)n, now_ms);
	return true;
}

static bool transmit(struct connection *c, uint64_t now_ms)
{
	size_t len;
	const uint8_t *out = ctl_client_output(c->client, &len);
	ssize_t n;

	if (len == 0)
		return true;
	n = send(c->fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	ctl_client_sent(c->client, (size_t)n, now_ms);
	return true;
}

static unsigned wanted_events(struct connection *c)
{
	unsigned events = 0;
	size_t n;

	ctl_client_space(c->client, &n);
	if (n > 0)
		events |= LOOP_READ;
	ctl_client_output(c->client, &n);
	if (n > 0 || ctl_client_has_work(c->client))
		events |= LOOP_WRITE;
	return events;
}

static uint32_t visits_per_turn(const struct ctl_server *s)
{
	uint32_t visits = CTL_SLICE_VISITS / (s->n_clients ? s->n_clients : 1);

	return visits > VISITS_MIN ? visits : VISITS_MIN;
}

/* False: the connection is broken. */
static bool serve(struct connection *c, uint64_t now_ms)
{
	uint32_t visits = visits_per_turn(c->server);
	unsigned slices = 0;
	size_t left;

	do {
		ctl_client_run(c->client, visits, now_ms);
		if (!transmit(c, now_ms))
			return false;
		ctl_client_output(c->client, &left);
		slices++;
	} while (left == 0 && slices < SLICES_MAX && slices <= ctl_client_backlog(c->client));
	return true;
}

static void on_client(void *ctx, int fd, unsigned ready)
{
	struct connection *c = ctx;
	uint64_t now_ms = loop_now_ms(c->server->loop);
	bool is_well = true;

	(void)fd;
	if (ready & LOOP_READ)
		is_well = receive(c, now_ms);
	if (is_well)
		is_well = serve(c, now_ms);
	if (!is_well || ctl_client_is_done(c->client)) {
		drop(c);
		return;
	}
	update_subscriptions(c->server);
	loop_fd_set(c->watch, wanted_events(c));
}

static bool has_new_events(struct ctl_server *s)
{
	const struct events *e = nat_events(s->env.nat);

	if (s->seen_log == events_end(&e->log) && s->seen_refused == events_end(&e->refused))
		return false;
	s->seen_log = events_end(&e->log);
	s->seen_refused = events_end(&e->refused);
	return true;
}

/* Subscribers and captures wait for the loop, not for packets: events within 20 ms are sent together. */
static void on_events(void *ctx)
{
	struct ctl_server *s = ctx;
	bool is_new = has_new_events(s);

	for (struct connection *c = s->clients; c; c = c->next) {
		if (!(is_new && ctl_client_event_kinds(c->client) != 0) && !ctl_client_is_live(c->client))
			continue;
		ctl_client_wake(c->client);
		loop_fd_set(c->watch, wanted_events(c));
	}
}

/* ---- access ---- */

static bool may_change(const struct ctl_server *s, uid_t uid)
{
	return uid == 0 || uid == geteuid() || (s->socket.path[0] && uid == s->socket.owner);
}

/* Why `uid` cannot be served now; NULL: it can. */
static const char *find_objection(const struct ctl_server *s, uid_t uid)
{
	unsigned same = 0;

	for (const struct connection *c = s->clients; c; c = c->next)
		same += c->uid == uid;
	if (s->n_clients >= CTL_CLIENTS_MAX || (uid != 0 && s->n_clients >= CTL_CLIENTS_NOT_ROOT_MAX))
		return "too many clients: try again in a moment";
	if (uid != 0 && same >= CTL_CLIENTS_PER_UID_MAX)
		return "too many clients of this user: try again in a moment";
	return NULL;
}

/* The answer fits into any new socket's buffer. */
static void turn_away(int fd, const char *why)
{
	uint8_t buf[256];
	struct ctl_writer w = {.buf = buf, .size = sizeof(buf)};

	ctl_put_error(&w, CTL_E_BUSY, why);
	(void)!send(fd, buf, w.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void link_connection(struct ctl_server *s, struct connection *c)
{
	c->next = s->clients;
	c->link = &s->clients;
	if (c->next)
		c->next->link = &c->next;
	s->clients = c;
	s->n_clients++;
}

/* Takes over `fd`. */
static void welcome(struct ctl_server *s, int fd, uid_t uid)
{
	struct connection *c = calloc(1, sizeof(*c));
	int size = SEND_BUFFER;

	if (!c)
		goto out_close;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* at most net.core.wmem_max */
	*c = (struct connection){.server = s, .fd = fd, .uid = uid};
	c->client = ctl_client_create(&s->env, may_change(s, uid), loop_now_ms(s->loop));
	if (!c->client)
		goto out_free;
	c->watch = loop_fd_add(s->loop, fd, LOOP_READ, on_client, c);
	if (!c->watch)
		goto out_free;
	link_connection(s, c);
	return;
out_free:
	ctl_client_destroy(c->client);
	free(c);
out_close:
	turn_away(fd, "natd is short of memory");
}

static void receive_client(struct ctl_server *s, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	const char *objection;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		close(fd);
		return;
	}
	objection = find_objection(s, peer.uid);
	if (objection) {
		log_debug(SUB_CONTROL, "client refused: %s, uid = %u", objection, (unsigned)peer.uid);
		turn_away(fd, objection);
		return;
	}
	welcome(s, fd, peer.uid);
}

static void on_listen(void *ctx, int fd, unsigned ready)
{
	struct ctl_server *s = ctx;

	(void)ready;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			receive_client(s, client);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			log_write(LEVEL_WARNING, SUB_CONTROL, errno,
				  "no new control clients are accepted for a second");
			loop_fd_set(s->watch, 0);
		}
		return;
	}
}

/* ---- the server ---- */

static void on_tick(void *ctx)
{
	struct ctl_server *s = ctx;
	uint64_t now_ms = loop_now_ms(s->loop);
	struct connection *next;

	for (struct connection *c = s->clients; c; c = next) {
		const char *why = ctl_client_overdue(c->client, now_ms);

		next = c->next;
		if (!why) {
			ctl_client_wake(c->client);
			loop_fd_set(c->watch, wanted_events(c));
			continue;
		}
		log_debug(SUB_CONTROL, "client dropped: it %s, uid = %u", why, (unsigned)c->uid);
		drop(c);
	}
	survey_tick(&s->survey, s->env.nat, now_ms);
	stun_tick(&s->env, now_ms);
	if (s->watch)
		loop_fd_set(s->watch, LOOP_READ);
}

struct ctl_server *ctl_server_create(const struct ctl_server_params *p)
{
	struct ctl_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = p->loop;
	s->env = (struct ctl_env){
		.nat = p->nat,
		.backend = p->backend,
		.version = p->version,
		.survey = &s->survey,
		.captures = &s->captures,
		.stun = &s->stun,
		.zeroed = &s->zeroed,
		.started_us = ctl_real_now_us(),
	};
	s->fd = -1;
	s->timer = loop_timer_add(p->loop, on_tick, s);
	s->events = loop_timer_add(p->loop, on_events, s);
	if (!s->timer || !s->events) {
		loop_timer_remove(s->timer);
		loop_timer_remove(s->events);
		free(s);
		return NULL;
	}
	loop_timer_every(s->timer, TICK_MS);
	return s;
}

static void stop_listening(struct ctl_server *s)
{
	int rc;

	loop_fd_remove(s->watch);
	s->watch = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	rc = ctl_socket_remove(&s->socket);
	if (rc < 0)
		log_write(LEVEL_WARNING, SUB_CONTROL, -rc,
			  "cannot remove the control socket's file %s (remove it by hand)", s->socket.path);
}

/* Sends the rest of a subscriber's events, as fast as it reads. */
static void send_last_events(struct connection *c, uint64_t until_ms)
{
	uint64_t now_ms = loop_clock_ms();
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	size_t len;

	ctl_client_wake(c->client);
	while (!ctl_client_is_up_to_date(c->client) && now_ms < until_ms) {
		ctl_client_run(c->client, CTL_SLICE_VISITS, now_ms);
		ctl_client_output(c->client, &len);
		if (!transmit(c, now_ms) || ctl_client_event_kinds(c->client) == 0)
			return;
		if (len > 0)
			poll(&p, 1, (int)(until_ms - now_ms));
		now_ms = loop_clock_ms();
	}
	if (!ctl_client_is_up_to_date(c->client))
		return;
	ctl_client_mark_stop(c->client);
	transmit(c, now_ms);
}

static void bid_farewell(struct ctl_server *s)
{
	uint64_t until_ms = loop_clock_ms() + CTL_FAREWELL_MS;

	for (struct connection *c = s->clients; c; c = c->next) {
		if (ctl_client_event_kinds(c->client) != 0)
			send_last_events(c, until_ms);
	}
}

void ctl_server_destroy(struct ctl_server *s)
{
	struct connection *next;

	if (!s)
		return;
	bid_farewell(s);
	for (struct connection *c = s->clients; c; c = next) {
		next = c->next;
		drop(c);
	}
	stop_listening(s);
	survey_free(&s->survey, s->env.nat);
	zeroed_fini(&s->zeroed);
	loop_timer_remove(s->timer);
	loop_timer_remove(s->events);
	free(s);
}

static int watch_listener(struct ctl_server *s, int fd)
{
	s->fd = fd;
	s->watch = loop_fd_add(s->loop, fd, LOOP_READ, on_listen, s);
	if (s->watch)
		return 0;
	stop_listening(s);
	return -ENOMEM;
}

int ctl_server_listen(struct ctl_server *s, const char *path, const char *group, mode_t mode)
{
	int fd;

	stop_listening(s);
	fd = ctl_socket_make(&s->socket, path, group, mode);
	return fd < 0 ? fd : watch_listener(s, fd);
}

int ctl_server_adopt(struct ctl_server *s, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	stop_listening(s);
	return watch_listener(s, fd);
}

int ctl_server_set_access(struct ctl_server *s, const char *group, mode_t mode)
{
	return ctl_socket_set_access(&s->socket, group, mode);
}

unsigned ctl_server_client_count(const struct ctl_server *s)
{
	return s->n_clients;
}

unsigned ctl_server_reader_count(const struct ctl_server *s)
{
	unsigned n = 0;

	for (const struct connection *c = s->clients; c; c = c->next)
		n += ctl_client_event_kinds(c->client) != 0;
	return n;
}
