/* SPDX-License-Identifier: ISC */
/* A child process, and the pipe from it. */
#define _GNU_SOURCE 1 /* pipe2() */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads to the end. Returns 0 or a negative errno. */
static int read_all(int fd, char *out, size_t size, size_t *len)
{
	ssize_t n;

	*len = 0;
	do {
		n = read(fd, out + *len, size - *len);
		*len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

static int wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT)) {
		raise(WTERMSIG(status)); /* a signal that ends the child is meant for natd too */
		return -EINTR;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOMEM;
}

int child_run(child_fn *fn, const void *ctx, void *out, size_t size, size_t *len)
{
	int fds[2];
	pid_t child;
	int r, ended;

	*len = 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0)
		_exit(fn(ctx, fds[1]) == 0 ? 0 : 1);
	r = child < 0 ? -errno : 0;
	close(fds[1]);
	if (r == 0) {
		r = read_all(fds[0], out, size, len);
		ended = wait_for(child);
		r = r ? r : ended;
	}
	close(fds[0]);
	return r;
}
