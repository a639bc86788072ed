/* SPDX-License-Identifier: ISC */
/*
 * The process that checks backends. It has no rights, no files and no descriptors but the pair to natd and the sockets
 * of its checks. Of a backend's answer only one of enum health_outcome leaves it.
 *
 * Theory of operation. One loop around poll(). Each target has at most one check at a time; a check begins `interval`
 * seconds after the previous one began, and ends within `timeout`. The first ones are spread over the interval. A new
 * list replaces the old one; a target in both, with the same endpoint and the same check, continues.
 */
#define _GNU_SOURCE 1 /* SOCK_NONBLOCK */
#include "health_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "health_judge.h"
#include "health_record.h"

enum { AT_ONCE = 256, IDLE_MS = 3600000 };

struct probe {
	struct health_target target;
	struct health_judge judge;
	uint64_t next_ms; /* when the next check begins */
	uint64_t end_ms;  /* when the current one fails */
	int fd;		  /* -1: no check is running */
	bool is_sent;	  /* the request was sent */
	size_t got;
	uint8_t answer[HEALTH_STATUS_LEN];
};

struct prober {
	int natd;
	uint32_t generation;
	struct probe *probes, *coming; /* the list in force; the list being received */
	uint32_t n, n_coming, room;
	uint32_t running;
	struct pollfd polls[AT_ONCE + 1];
	uint32_t polled[AT_ONCE + 1];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- one check ---- */

static void end_check(struct prober *p, struct probe *b)
{
	if (b->fd < 0)
		return;
	close(b->fd);
	b->fd = -1;
	p->running--;
}

/* False: natd is gone. */
static bool conclude(struct prober *p, struct probe *b, enum health_outcome outcome)
{
	const struct health_change change = {.generation = p->generation,
					     .index = (uint32_t)(b - p->probes),
					     .is_up = outcome == HEALTH_GOOD,
					     .outcome = outcome};

	end_check(p, b);
	if (!health_judge(&b->judge, outcome == HEALTH_GOOD, b->target.check.rise, b->target.check.fall))
		return true;
	return send(p->natd, &change, sizeof(change), MSG_NOSIGNAL) == (ssize_t)sizeof(change);
}

static enum health_outcome outcome_of(int err)
{
	if (err == 0)
		return HEALTH_GOOD;
	if (err == ECONNREFUSED || err == ECONNRESET || err == EPIPE)
		return HEALTH_REFUSED;
	return err == ETIMEDOUT ? HEALTH_TIMEOUT : HEALTH_UNREACHABLE;
}

static bool begin_check(struct prober *p, struct probe *b, uint64_t now)
{
	const struct health_target *t = &b->target;
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(t->port), .sin_addr.s_addr = htonl(t->address)};

	b->next_ms = now + 1000ull * t->check.interval;
	b->end_ms = now + 1000ull * t->check.timeout;
	b->is_sent = false;
	b->got = 0;
	b->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (b->fd < 0) /* a failure of the process says nothing about the backend */
		return true;
	p->running++;
	if (connect(b->fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return conclude(p, b, outcome_of(errno));
	return true;
}

static enum health_outcome send_request(struct probe *b)
{
	const struct health_target *t = &b->target;
	char request[CONFIG_CHECK_PATH_SIZE + 128];
	uint32_t a = t->address;
	int len = snprintf(request, sizeof(request),
			   "GET %s HTTP/1.0\r\nHost: %u.%u.%u.%u:%u\r\nUser-Agent: natd\r\nConnection: close\r\n\r\n",
			   t->check.path, a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, t->port);

	b->is_sent = true;
	/* a new connection has room for it */
	return send(b->fd, request, (size_t)len, MSG_NOSIGNAL) == len ? HEALTH_GOOD : outcome_of(errno);
}

/* True: *outcome is the check's result. */
static bool read_answer(struct probe *b, enum health_outcome *outcome)
{
	ssize_t n = recv(b->fd, b->answer + b->got, sizeof(b->answer) - b->got, 0);
	int status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		*outcome = outcome_of(errno);
		return true;
	}
	b->got += (size_t)n;
	status = health_status(b->answer, b->got);
	if (status == HEALTH_STATUS_MORE && n > 0)
		return false;
	if (status < 0)
		*outcome = HEALTH_NO_HTTP;
	else
		*outcome = (uint32_t)status >= b->target.check.status_first &&
					   (uint32_t)status <= b->target.check.status_last
				   ? HEALTH_GOOD
				   : HEALTH_STATUS;
	return true;
}

static bool go_on(struct prober *p, struct probe *b)
{
	enum health_outcome outcome;
	socklen_t len = sizeof(int);
	int err = 0;

	if (b->is_sent)
		return !read_answer(b, &outcome) || conclude(p, b, outcome);
	if (getsockopt(b->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	outcome = outcome_of(err);
	if (outcome == HEALTH_GOOD && b->target.check.type == CHECK_HTTP) {
		outcome = send_request(b);
		if (outcome == HEALTH_GOOD)
			return true;
	}
	return conclude(p, b, outcome);
}

/* ---- lists ---- */

static bool is_same(const struct health_target *a, const struct health_target *b)
{
	return a->address == b->address && a->port == b->port && memcmp(&a->check, &b->check, sizeof(a->check)) == 0;
}

static void take_over(struct prober *p, struct probe *b)
{
	/* targets of longer lists all start over: a search for each would take too long */
	enum { SEARCHED_MAX = 4096 };

	for (uint32_t i = 0; p->n <= SEARCHED_MAX && i < p->n; i++) {
		if (!is_same(&p->probes[i].target, &b->target))
			continue;
		b->next_ms = p->probes[i].next_ms;
		if (p->probes[i].judge.is_up == b->judge.is_up)
			b->judge.streak = p->probes[i].judge.streak;
		return;
	}
}

static bool begin_list(struct prober *p, const struct health_order *o)
{
	free(p->coming);
	p->coming = NULL;
	p->n_coming = 0;
	p->room = o->index;
	if (p->room > HEALTH_TARGETS_MAX)
		return false;
	p->coming = calloc((size_t)p->room + 1, sizeof(*p->coming));
	return p->coming != NULL;
}

static bool add_target(struct prober *p, const struct health_order *o)
{
	struct probe *b;

	if (p->coming == NULL) /* the rest of a list that a previous process began to receive */
		return true;
	if (p->n_coming >= p->room || o->index != p->n_coming)
		return false;
	b = &p->coming[p->n_coming++];
	*b = (struct probe){.target = o->target, .judge = {.is_up = o->target.is_up != 0}, .fd = -1};
	b->next_ms = now_ms() + 1000ull * o->target.check.interval * o->index / p->room;
	take_over(p, b);
	return true;
}

static void end_list(struct prober *p, const struct health_order *o)
{
	if (p->coming == NULL)
		return;
	for (uint32_t i = 0; i < p->n; i++)
		end_check(p, &p->probes[i]);
	free(p->probes);
	p->probes = p->coming;
	p->n = p->n_coming;
	p->generation = o->generation;
	p->coming = NULL;
}

/* False: natd is gone, or its order is malformed. */
static bool take_order(struct prober *p)
{
	struct health_order o;

	if (recv(p->natd, &o, sizeof(o), 0) != (ssize_t)sizeof(o))
		return false;
	switch (o.kind) {
	case HEALTH_LIST_BEGIN:
		return begin_list(p, &o);
	case HEALTH_LIST_TARGET:
		return add_target(p, &o);
	case HEALTH_LIST_END:
		end_list(p, &o);
		return true;
	default:
		return false;
	}
}

/* ---- the loop ---- */

/* Begins and ends checks that are due; *wait is the time until the next one. */
static bool pass_time(struct prober *p, uint64_t now, uint64_t *wait)
{
	uint64_t next = now + IDLE_MS;

	for (uint32_t i = 0; i < p->n; i++) {
		struct probe *b = &p->probes[i];
		uint64_t due;

		if (b->fd >= 0 && now >= b->end_ms && !conclude(p, b, HEALTH_TIMEOUT))
			return false;
		if (b->fd < 0 && now >= b->next_ms && p->running < AT_ONCE && !begin_check(p, b, now))
			return false;
		due = b->fd >= 0 ? b->end_ms : b->next_ms;
		next = due < next ? due : next;
	}
	*wait = next > now ? next - now : (p->running >= AT_ONCE ? IDLE_MS : 0);
	return true;
}

static nfds_t fill_polls(struct prober *p)
{
	nfds_t n = 1;

	p->polls[0] = (struct pollfd){.fd = p->natd, .events = POLLIN};
	for (uint32_t i = 0; i < p->n && n <= AT_ONCE; i++) {
		if (p->probes[i].fd < 0)
			continue;
		p->polled[n] = i;
		p->polls[n++] =
			(struct pollfd){.fd = p->probes[i].fd, .events = p->probes[i].is_sent ? POLLIN : POLLOUT};
	}
	return n;
}

int health_probe_run(int fd)
{
	const struct health_change begun = {.outcome = HEALTH_BEGUN};
	struct prober *p;
	uint64_t wait;

	if (send(fd, &begun, sizeof(begun), MSG_NOSIGNAL) != (ssize_t)sizeof(begun))
		return 0;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return 1;
	p->natd = fd;
	while (pass_time(p, now_ms(), &wait)) {
		nfds_t n = fill_polls(p);

		if (poll(p->polls, n, (int)wait) < 0 && errno != EINTR)
			return 1;
		for (nfds_t i = 1; i < n; i++) {
			if (p->polls[i].revents != 0 && !go_on(p, &p->probes[p->polled[i]]))
				return 0;
		}
		if (p->polls[0].revents != 0 && !take_order(p))
			return 0;
	}
	return 0;
}
