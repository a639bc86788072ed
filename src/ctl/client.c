/* SPDX-License-Identifier: ISC */
/*
 * The socket of an exchange. Hello and request are sent together: one round trip is enough, because the request is the
 * same in every version on which both sides can agree.
 */
#include "client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- SIGINT ends an endless query: it shuts the socket down, so that a waiting read returns ---- */

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t endless_fd = -1;

static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
	shutdown((int)endless_fd, SHUT_RD);
}

static void wait_for_interrupt(int fd)
{
	const struct timeval for_ever = {0};
	struct sigaction action = {.sa_handler = on_interrupt};

	endless_fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* ---- the socket ---- */

static int fail_connect(const char *path, bool is_quiet)
{
	if (is_quiet)
		return -1;
	if (errno == ENOENT || errno == ECONNREFUSED)
		natctl_complain("no natd answers at %s: is it running? (systemctl status natd)", path);
	else if (errno == EACCES)
		natctl_complain("%s: %s: natd's configuration says who may (control.group, control.mode)", path,
				strerror(errno));
	else
		natctl_complain("%s: %s", path, strerror(errno));
	return -1;
}

static int open_socket(const char *path, bool is_quiet)
{
	const struct timeval patience = {.tv_sec = is_quiet ? CLIENT_QUIET_PATIENCE_S : CLIENT_PATIENCE_S};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return fail_connect(path, is_quiet);
	}
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_connect(path, is_quiet);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0) {
		fail_connect(path, is_quiet);
		close(fd);
		return -1;
	}
	return fd;
}

/* A failed send is not reported yet: natd may have sent a reason before it closed the connection. */
static void send_request(int fd, const struct client_query *q)
{
	const struct ctl_hello hello = {.magic = CTL_MAGIC, .version = CTL_VERSION, .version_min = CTL_VERSION};
	static uint8_t buf[CTL_REQUEST_MAX + CTL_CAPTURE_MAX];
	struct ctl_writer w = {.buf = buf, .size = sizeof(buf)};

	ctl_put_hello(&w, &hello);
	if (q->subscribe)
		ctl_put_subscribe(&w, q->subscribe);
	else if (q->who)
		ctl_put_who(&w, q->who);
	else if (q->hosts)
		ctl_put_hosts(&w, q->hosts);
	else if (q->explain)
		ctl_put_explain(&w, q->explain);
	else if (q->forward)
		ctl_put_forward_order(&w, q->forward);
	else if (q->type == CTL_RELOAD)
		ctl_put_reload(&w, q->confirm_s);
	else if (q->backend)
		ctl_put_backend_order(&w, q->backend);
	else if (q->stun)
		ctl_put_stun(&w, q->stun);
	else if (q->capture)
		ctl_put_capture(&w, q->capture, q->program);
	else
		ctl_put_request(&w, q->type, q->filter);
	while (w.len > 0) {
		ssize_t n = send(fd, w.buf, w.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		w.buf += n;
		w.len -= (size_t)n;
	}
}

/* Reads until the exchange has ended. False: natd closed the connection or was silent for too long; that was
 * printed. */
static bool receive_answer(int fd, struct exchange *e, const struct client_query *q, const char *path)
{
	while (e->state == EXCHANGE_MORE && !interrupted) {
		size_t room;
		uint8_t *space = exchange_space(e, &room);
		ssize_t n = recv(fd, space, room, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && interrupted)
			break;
		if (n <= 0 && q->is_quiet)
			return false;
		if (n <= 0) {
			natctl_complain("%s: natd %s", path,
					n == 0		  ? "hung up in the middle of its answer"
					: errno == EAGAIN ? "does not answer: natd is busy or hangs, see its log"
							  : strerror(errno));
			return false;
		}
		exchange_fed(e, (size_t)n);
		if (q->is_endless)
			fflush(NULL);
	}
	return true;
}

static int judge(const struct exchange *e, const struct client_query *q, struct ctl_end *end)
{
	if (interrupted || (q->stop && *q->stop))
		return NATCTL_DONE;
	switch (e->state) {
	case EXCHANGE_DONE:
		if (end)
			*end = e->end;
		return NATCTL_DONE;
	case EXCHANGE_REFUSED:
		if (!q->is_quiet)
			natctl_complain("%s", e->error.text);
		return NATCTL_REFUSED;
	case EXCHANGE_MORE:
	case EXCHANGE_BROKEN:
		break;
	}
	if (!ferror(stdout) && !q->is_quiet)
		natctl_complain("natd's answer is not understood: are natd and natctl of one version?");
	return NATCTL_REFUSED;
}

int client_run(const struct natctl *n, const struct client_query *q, exchange_fn *on_record, void *ctx,
	       struct ctl_end *end)
{
	struct exchange e;
	int fd = open_socket(n->socket, q->is_quiet);
	bool answered;

	if (fd < 0)
		return NATCTL_NO_DAEMON;
	if (q->is_endless)
		wait_for_interrupt(fd);
	if (n->heading)
		n->heading(stdout);
	exchange_init(&e, on_record, ctx);
	send_request(fd, q);
	answered = receive_answer(fd, &e, q, n->socket);
	close(fd);
	return answered ? judge(&e, q, end) : NATCTL_NO_DAEMON;
}

int client_ask(const struct natctl *n, enum ctl_type type, const struct ctl_filter *filter, exchange_fn *on_record,
	       void *ctx, struct ctl_end *end)
{
	const struct client_query q = {.type = type, .filter = filter};

	return client_run(n, &q, on_record, ctx, end);
}
