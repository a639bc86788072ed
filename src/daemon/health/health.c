/* SPDX-License-Identifier: ISC */
/* natd's end of the checks: see health.h. */
#define _GNU_SOURCE 1 /* SOCK_CLOEXEC */
#include "health.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "health_probe.h"

enum {
	PAIR = 3,		/* number of the process's descriptor */
	CANNOT_BE_CONFINED = 2, /* exit status: another attempt would end the same way */
	QUIET_S = 60,		/* a process that ends every second is logged once in this time */
};

struct health {
	int fd; /* -1: the process has ended */
	struct loop_fd *watch;
	health_change_fn *on_change;
	health_turn_fn *on_turn;
	void *ctx;
	uint32_t generation;
	struct health_target *targets; /* the list; `sent` of its orders (begin, n targets, end) have been sent */
	uint32_t n, sent;
	bool has_begun;
	uint32_t restarts;
	time_t logged_s;
};

/* ---- the process ---- */

/* Keeps only the pair, as descriptor 3, and the descriptors for libc's messages. */
static void keep_only(int fd)
{
	if (fd != PAIR && dup2(fd, PAIR) < 0)
		_exit(1);
	if (syscall(SYS_close_range, PAIR + 1, ~0u, 0) == 0)
		return;
	for (long i = PAIR + 1, most = sysconf(_SC_OPEN_MAX); i < (most > 0 && most < 65536 ? most : 65536); i++)
		close((int)i);
}

/* Starts one prober after the other, until one ends because natd has. */
static int keep(health_confine_fn *confine, void *ctx)
{
	const struct timespec pause = {.tv_sec = 1};
	int status;

	for (;;) {
		pid_t child = fork();

		if (child == 0) {
			prctl(PR_SET_NAME, "natd-health", 0L, 0L, 0L);
			_exit(confine(ctx, HEALTH_PROBER) == 0 ? health_probe_run(PAIR) : CANNOT_BE_CONFINED);
		}
		while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		if (child > 0 && WIFEXITED(status) &&
		    (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CANNOT_BE_CONFINED))
			return WEXITSTATUS(status);
		nanosleep(&pause, NULL);
	}
}

static void live(int fd, health_confine_fn *confine, void *ctx)
{
	keep_only(fd);
	prctl(PR_SET_NAME, "natd-keeper", 0L, 0L, 0L);
	setpriority(PRIO_PROCESS, 0, 0);
	/* Both end with natd, which the same signals stop. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	_exit(confine(ctx, HEALTH_KEEPER) == 0 ? keep(confine, ctx) : 1);
}

/* Through an intermediate process, so that init reaps the keeper: natd may not wait for a child later. */
static int fork_twice(const int pair[2], health_confine_fn *confine, void *ctx)
{
	pid_t between = fork(), child;
	int status;

	if (between < 0)
		return -errno;
	if (between == 0) {
		child = fork();
		if (child == 0)
			live(pair[1], confine, ctx);
		_exit(child > 0 ? 0 : 1);
	}
	while (waitpid(between, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EAGAIN;
}

struct health *health_start(health_confine_fn *confine, void *ctx)
{
	struct health *h = calloc(1, sizeof(*h));
	int pair[2], r;

	if (h == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(h);
		return NULL;
	}
	r = fork_twice(pair, confine, ctx);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		free(h);
		errno = -r;
		return NULL;
	}
	h->fd = pair[0];
	return h;
}

/* ---- natd's end ---- */

static void lose(struct health *h)
{
	log_error(SUB_MAIN,
		  "the process that checks backends has ended: backends keep their state; restart natd to check "
		  "them again");
	loop_fd_remove(h->watch);
	h->watch = NULL;
	close(h->fd);
	h->fd = -1;
}

/* Sends the list in force, with the current states, to a process that has none. */
static void begin_again(struct health *h)
{
	time_t now_s = time(NULL);

	if (!h->has_begun) { /* the first one finds the list in the socket */
		h->has_begun = true;
		return;
	}
	if (h->restarts++ == 0 || now_s - h->logged_s >= QUIET_S) {
		h->logged_s = now_s;
		log_warning(SUB_MAIN, "a fault ended the process that checks backends: a new one checks them now");
	}
	h->sent = 0;
	h->generation++;
}

static void send_orders(struct health *h)
{
	while (h->targets != NULL && h->sent < h->n + 2) {
		struct health_order o = {.generation = h->generation};

		if (h->sent == 0) {
			o.kind = HEALTH_LIST_BEGIN;
			o.index = h->n;
		} else if (h->sent <= h->n) {
			o.kind = HEALTH_LIST_TARGET;
			o.index = h->sent - 1;
			o.target = h->targets[h->sent - 1];
		} else {
			o.kind = HEALTH_LIST_END;
		}
		if (send(h->fd, &o, sizeof(o), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(o)) {
			if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
				loop_fd_set(h->watch, LOOP_READ | LOOP_WRITE);
			else
				lose(h);
			return;
		}
		h->sent++;
	}
	loop_fd_set(h->watch, LOOP_READ);
}

static void on_ready(void *ctx, int fd, unsigned ready)
{
	enum { A_TURN = 256 };
	struct health *h = ctx;
	struct health_change c;
	bool has_changed = false, has_ended;
	ssize_t n = 1;

	for (unsigned i = 0; (ready & LOOP_READ) && i < A_TURN; i++) {
		n = recv(fd, &c, sizeof(c), MSG_DONTWAIT);
		if (n != (ssize_t)sizeof(c))
			break;
		if (c.outcome == HEALTH_BEGUN)
			begin_again(h);
		if (c.generation != h->generation || c.index >= h->n || c.outcome >= HEALTH_OUTCOMES)
			continue;
		h->targets[c.index].is_up = c.is_up != 0;
		h->on_change(h->ctx, c.index, c.is_up != 0, (enum health_outcome)c.outcome);
		has_changed = true;
	}
	/* errno is recv()'s until here: on_turn() changes it */
	has_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (has_changed)
		h->on_turn(h->ctx);
	if (has_ended)
		lose(h);
	else if (h->fd >= 0)
		send_orders(h);
}

bool health_listen(struct health *h, struct loop *l, health_change_fn *on_change, health_turn_fn *on_turn, void *ctx)
{
	h->on_change = on_change;
	h->on_turn = on_turn;
	h->ctx = ctx;
	h->watch = loop_fd_add(l, h->fd, LOOP_READ, on_ready, h);
	return h->watch != NULL;
}

bool health_set(struct health *h, const struct health_target *targets, uint32_t n)
{
	struct health_target *copy;

	if (!health_is_alive(h) || h->watch == NULL || (h->n == 0 && n == 0))
		return n == 0;
	copy = calloc((size_t)n + 1, sizeof(*copy));
	if (copy == NULL)
		return false;
	if (n > 0)
		memcpy(copy, targets, n * sizeof(*copy));
	free(h->targets);
	h->targets = copy;
	h->n = n;
	h->sent = 0;
	h->generation++;
	send_orders(h);
	return health_is_alive(h);
}

bool health_is_alive(const struct health *h)
{
	return h != NULL && h->fd >= 0;
}

uint32_t health_restarts(const struct health *h)
{
	return h != NULL ? h->restarts : 0;
}

void health_stop(struct health *h)
{
	if (h == NULL)
		return;
	loop_fd_remove(h->watch);
	if (h->fd >= 0)
		close(h->fd);
	free(h->targets);
	free(h);
}

const char *health_outcome_text(enum health_outcome outcome)
{
	static const char *const texts[HEALTH_OUTCOMES] = {
		[HEALTH_GOOD] = "it answers",
		[HEALTH_REFUSED] = "connection refused",
		[HEALTH_TIMEOUT] = "no answer in time",
		[HEALTH_UNREACHABLE] = "it cannot be reached",
		[HEALTH_NO_HTTP] = "its answer is no HTTP",
		[HEALTH_STATUS] = "its HTTP status is not among those of the check",
	};

	return outcome < HEALTH_OUTCOMES ? texts[outcome] : "unknown";
}
