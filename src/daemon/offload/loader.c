/* SPDX-License-Identifier: ISC */
/* The loader as a child. */
#define _GNU_SOURCE 1 /* secure_getenv(), MSG_CMSG_CLOEXEC */
#include "loader.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef HAVE_BPF

int loader_run(int fds[LOAD_FDS], bool has_flows, char *why, size_t size)
{
	(void)fds;
	(void)has_flows;
	snprintf(why, size, "natd was built without its tc programs");
	return -ENOTSUP;
}

#else

#ifndef PKGLIBEXECDIR
#define PKGLIBEXECDIR "/usr/libexec/natd"
#endif

enum { PATIENCE_MS = 60000 };

/* Tests run the loader that they have built. */
static const char *loader_path(void)
{
	const char *path = secure_getenv("NATD_BPF_LOADER");

	return path ? path : PKGLIBEXECDIR "/natd-bpf-load";
}

static void be_loader(int socket, bool has_flows)
{
	const char *path = loader_path();
	char *const argv[] = {(char *)(uintptr_t) "natd-bpf-load", has_flows ? NULL : (char *)(uintptr_t)LOAD_NO_FLOWS,
			      NULL};
	char text[LOAD_TEXT_MAX];
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(socket, STDIN_FILENO) >= 0)
		execv(path, argv);
	snprintf(text, sizeof(text), "cannot run %s: %s", path, strerror(errno));
	(void)!send(socket, text, strlen(text) + 1, MSG_NOSIGNAL);
	_exit(1);
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* Takes the descriptors out of a message: their number, at most LOAD_FDS; surplus ones are closed. */
static size_t take_descriptors(struct msghdr *m, int fds[LOAD_FDS])
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t count = c->cmsg_len > CMSG_LEN(0) ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

		for (size_t i = 0; c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < LOAD_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

static int read_answer(int socket, int fds[LOAD_FDS], size_t wanted, char *why, size_t size)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(LOAD_FDS * sizeof(int))];
	} control;
	char text[LOAD_TEXT_MAX] = "";
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = socket, .events = POLLIN};
	ssize_t len = poll(&p, 1, PATIENCE_MS) > 0 ? recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) : -1;
	size_t n = len > 0 ? take_descriptors(&m, fds) : 0;

	if (n == wanted && text[0] == '\0')
		return 0;
	close_all(fds, n);
	snprintf(why, size, "%s", text[0] != '\0' ? text : "natd-bpf-load gave no answer");
	return -EIO;
}

static void end(pid_t child)
{
	kill(child, SIGKILL); /* it has answered, or never will */
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

int loader_run(int fds[LOAD_FDS], bool has_flows, char *why, size_t size)
{
	int ends[2];
	pid_t child;
	int r;

	fds[LOAD_FLOWS] = fds[LOAD_INDEX] = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		r = -errno;
		snprintf(why, size, "cannot make a socket: %s", strerror(-r));
		return r;
	}
	child = fork();
	if (child == 0)
		be_loader(ends[1], has_flows);
	r = child < 0 ? -errno : 0;
	close(ends[1]);
	if (r < 0)
		snprintf(why, size, "cannot start natd-bpf-load: %s", strerror(-r));
	else
		r = read_answer(ends[0], fds, has_flows ? LOAD_FDS : LOAD_FDS_STEERING, why, size);
	close(ends[0]);
	if (child > 0)
		end(child);
	return r;
}
#endif
