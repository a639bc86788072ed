/* SPDX-License-Identifier: ISC */
/*
 * The service manager's protocols (sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)), without libsystemd, which
 * would wait for a manager that does not read. A message that is not accepted is no error. But READY and messages about
 * the store must not be lost: READY is kept here until the next status, the others are kept by handover.c.
 */
#define _GNU_SOURCE 1 /* pipe2() */
#include "sdnotify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "sdbus.h"

enum { PATIENCE_MS = 100, LISTEN_FIRST = 3, LISTEN_MAX = 4096 };

static uint64_t monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* The number in an environment variable; 0: none. */
static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	unsigned long long value;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	value = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? value : 0;
}

/* The next name of LISTEN_FDNAMES; moves *names on. */
static void take_name(const char **names, char out[SDNOTIFY_NAME_MAX + 1])
{
	size_t len = *names ? strcspn(*names, ":") : 0;

	if (!*names) {
		snprintf(out, SDNOTIFY_NAME_MAX + 1, "unknown");
		return;
	}
	snprintf(out, SDNOTIFY_NAME_MAX + 1, "%.*s", (int)(len > SDNOTIFY_NAME_MAX ? SDNOTIFY_NAME_MAX : len), *names);
	*names += len;
	*names = **names == ':' ? *names + 1 : NULL;
}

static void take_descriptors(struct sdnotify *n)
{
	uint64_t count = number_of("LISTEN_PID") == (uint64_t)getpid() ? number_of("LISTEN_FDS") : 0;
	const char *names = getenv("LISTEN_FDNAMES");

	for (uint64_t i = 0; i < count && i < LISTEN_MAX; i++) {
		int fd = LISTEN_FIRST + (int)i;

		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			break;
		if (n->n_fds == SDNOTIFY_FDS_MAX) {
			close(fd);
			continue;
		}
		n->fds[n->n_fds].fd = fd;
		take_name(&names, n->fds[n->n_fds].name);
		n->n_fds++;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* ---- messages ----
 * 
 * Not by sd_notify(3): it waits for a manager that does not read, however long (one that crashed stands still until
 * the next boot), and packets would wait with it. This waits PATIENCE_MS in all, however many messages a slow
 * manager accepts meanwhile, and not at all after a message that was not accepted, until one is. */

static bool manager_address(struct sockaddr_un *sa, socklen_t *len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;

	if (n < 2 || n >= sizeof(sa->sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(sa->sun_path, path, n);
	if (path[0] == '@')
		sa->sun_path[0] = '\0';
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
	return true;
}

/* A socket whose sendmsg() waits for at most `most_us`, or with MSG_DONTWAIT not at all; -1: there is no manager. */
static int connect_manager(uint32_t most_us)
{
	const struct timeval most = {.tv_usec = most_us}; /* 0 would mean for ever: hence the flag */
	struct sockaddr_un sa;
	socklen_t len;
	int fd;

	if (!manager_address(&sa, &len))
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)) < 0 ||
			connect(fd, (const struct sockaddr *)&sa, len) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Sends `state` with a duplicate of `fd`, unless `fd` is -1. */
static bool send_state(int socket, char *state, int fd, int flags)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov = {.iov_base = state, .iov_len = strlen(state)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		m.msg_control = &control;
		m.msg_controllen = sizeof(control.bytes);
	}
	do
		r = sendmsg(socket, &m, MSG_NOSIGNAL | flags);
	while (r < 0 && errno == EINTR);
	return r >= 0;
}

static bool notify_with_fd(struct sdnotify *n, char *state, int fd)
{
	int socket = n->is_managed ? connect_manager(n->patience_us) : -1;
	bool may_wait = !n->is_stuck && n->patience_us > 0;
	uint64_t waited_us = monotonic_us();
	bool ok;

	if (socket < 0)
		return false;
	ok = send_state(socket, state, fd, may_wait ? 0 : MSG_DONTWAIT);
	n->is_stuck = !ok && errno == EAGAIN;
	close(socket);
	waited_us = monotonic_us() - waited_us;
	n->patience_us -= waited_us < n->patience_us ? (uint32_t)waited_us : n->patience_us;
	return ok;
}

static uint32_t watchdog_ms(void)
{
	uint64_t ms = number_of("WATCHDOG_USEC") / 2000; /* half, as sd_watchdog_enabled(3) recommends */

	if (number_of("WATCHDOG_USEC") == 0 ||
	    (getenv("WATCHDOG_PID") && number_of("WATCHDOG_PID") != (uint64_t)getpid()))
		return 0;
	return ms > UINT32_MAX ? UINT32_MAX : ms ? (uint32_t)ms : 1;
}

/* The manager closes its duplicate of a pipe's end when it has processed everything before. */
static void barrier(struct sdnotify *n, uint32_t ms)
{
	char state[] = "BARRIER=1";
	struct pollfd end = {.events = 0};
	int p[2];
	bool ok;

	if (pipe2(p, O_CLOEXEC) < 0)
		return;
	ok = notify_with_fd(n, state, p[1]);
	close(p[1]);
	end.fd = p[0];
	if (ok)
		poll(&end, 1, (int)ms);
	close(p[0]);
}

void sdnotify_init(struct sdnotify *n)
{
	const char *socket = getenv("NOTIFY_SOCKET");

	memset(n, 0, sizeof(*n));
	n->is_managed = socket && *socket;
	take_descriptors(n);
	if (n->is_managed)
		n->bus = sdbus_open();
	sdnotify_begin(n);
}

void sdnotify_begin(struct sdnotify *n)
{
	n->patience_us = PATIENCE_MS * 1000;
}

static bool notify(struct sdnotify *n, char *state)
{
	return notify_with_fd(n, state, -1);
}

void sdnotify_ready(struct sdnotify *n)
{
	n->is_ready_due = true;
}

void sdnotify_reloading(struct sdnotify *n)
{
	struct timespec ts;
	char state[80];

	/* By this time the manager tells this reload's READY from an earlier one's (sd_notify(3)). */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
	notify(n, state);
}

void sdnotify_stopping(struct sdnotify *n)
{
	char state[] = "STOPPING=1\nSTATUS=stopping";

	notify(n, state);
}

bool sdnotify_restarting(const struct sdnotify *n, uint32_t ms)
{
	return n->bus && sdbus_is_restarting(n->bus, ms);
}

void sdnotify_status(struct sdnotify *n, const char *status)
{
	char state[512];

	snprintf(state, sizeof(state), "%sSTATUS=%s", n->is_ready_due ? "READY=1\n" : "", status);
	if (notify(n, state))
		n->is_ready_due = false;
}

bool sdnotify_is_stuck(const struct sdnotify *n)
{
	return n->is_stuck;
}

uint32_t sdnotify_watchdog_ms(const struct sdnotify *n)
{
	return n->is_managed ? watchdog_ms() : 0;
}

void sdnotify_alive(struct sdnotify *n)
{
	char state[] = "WATCHDOG=1";

	notify(n, state);
}

bool sdnotify_store(struct sdnotify *n, const char *name, int fd)
{
	char state[SDNOTIFY_NAME_MAX + 40];

	/* FDPOLL=0: the manager must not drop a TUN whose device went down for a moment. */
	snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return notify_with_fd(n, state, fd);
}

bool sdnotify_unstore(struct sdnotify *n, const char *name)
{
	char state[SDNOTIFY_NAME_MAX + 40];

	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return notify(n, state);
}

void sdnotify_barrier(struct sdnotify *n, uint32_t ms)
{
	barrier(n, ms);
}

int sdnotify_take(struct sdnotify *n, const char *name)
{
	for (unsigned i = 0; i < n->n_fds; i++) {
		int fd = n->fds[i].fd;

		if (fd >= 0 && strcmp(n->fds[i].name, name) == 0) {
			n->fds[i].fd = -1;
			return fd;
		}
	}
	return -1;
}

void sdnotify_close_rest(struct sdnotify *n)
{
	for (unsigned i = 0; i < n->n_fds; i++) {
		if (n->fds[i].fd < 0)
			continue;
		close(n->fds[i].fd);
		n->fds[i].fd = -1;
		n->fds[i].is_removal_due = true;
		log_notice(SUB_SERVICE,
			   "the service manager kept a descriptor \"%s\" that natd has no use for: given up",
			   n->fds[i].name);
	}
}

bool sdnotify_unstore_rest(struct sdnotify *n)
{
	bool ok = true;

	for (unsigned i = 0; i < n->n_fds; i++) {
		if (n->fds[i].is_removal_due)
			n->fds[i].is_removal_due = !sdnotify_unstore(n, n->fds[i].name);
		ok = ok && !n->fds[i].is_removal_due;
	}
	return ok;
}
