/* SPDX-License-Identifier: ISC */
/* Start and readiness of a program beside natd. libsystemd is not needed for two messages and three variables. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_FDS_START = 3 };

void program_begin(void)
{
	int fd;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (n < 2 || n >= sizeof(sun.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&sun,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/')));
	close(fd);
}

void program_ready(const char *name, bool is_foreground)
{
	if (is_foreground)
		fprintf(stderr, "%s: ready\n", name);
	notify("READY=1");
}

void program_stopping(void)
{
	notify("STOPPING=1");
}

/* The number of descriptors from LISTEN_FDS_START on that were passed to this process. */
static int count_passed(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	int n = fds ? atoi(fds) : 0;

	if (!pid || atol(pid) != (long)getpid() || n < 0 || n > 1024)
		n = 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return n;
}

static bool is_listener(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

size_t program_listeners(int *fds, size_t max)
{
	int passed = count_passed();
	size_t n = 0;

	for (int i = 0; i < passed; i++) {
		int fd = LISTEN_FDS_START + i;
		int flags = fcntl(fd, F_GETFL);

		if (n == max || flags < 0 || !is_listener(fd) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			close(fd);
		else
			fds[n++] = fd;
	}
	return n;
}
