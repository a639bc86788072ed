/* SPDX-License-Identifier: ISC */
/*
 * The control socket's file. Connecting to it shows whether a natd serves it, or a killed one left it behind. Only
 * sockets are ever removed.
 */
#include "ctlsocket.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/account.h"

enum { BACKLOG = 128 };

static int make_address(struct sockaddr_un *sun, const char *path)
{
	size_t len = strlen(path);

	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len == 0)
		return -EINVAL;
	if (len >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memcpy(sun->sun_path, path, len + 1);
	return 0;
}

/* Does a process listen there? A full backlog (EAGAIN) means yes. */
static bool is_alive(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return true;
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	if (rc < 0)
		rc = errno == ECONNREFUSED ? -1 : 0;
	close(fd);
	return rc == 0;
}

/* Makes room for a new socket file. Returns 0, or a negative errno if it cannot. */
static int clear_path(const struct sockaddr_un *sun)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (is_alive(sun))
		return -EADDRINUSE;
	return unlink(sun->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Creates the directory that the default path needs, if only the last component is missing; failure is no error. */
static void make_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (!slash || slash == path)
		return;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	(void)mkdir(dir, 0755);
}

/* The umask keeps other users from connecting between bind() and chmod(). */
static int bind_closed(int fd, const struct sockaddr_un *sun)
{
	mode_t old = umask(0177);
	int rc = bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ? -errno : 0;

	umask(old);
	return rc;
}

static int remember(struct ctl_socket *s, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->owner = st.st_uid;
	memcpy(s->path, path, strlen(path) + 1); /* make_address() has checked its length */
	return 0;
}

int ctl_socket_set_access(const struct ctl_socket *s, const char *group, mode_t mode)
{
	struct account a;
	int r;

	if (!s->path[0])
		return 0;
	if (group[0]) {
		r = account_of_group(group, &a);
		if (r < 0)
			return r;
		if (chown(s->path, (uid_t)-1, a.gid) < 0)
			return -errno;
	}
	return chmod(s->path, mode & 0777) < 0 ? -errno : 0;
}

static int open_at(struct ctl_socket *s, int fd, const struct sockaddr_un *sun, const char *group, mode_t mode)
{
	int rc = clear_path(sun);

	if (rc == 0)
		rc = bind_closed(fd, sun);
	if (rc < 0)
		return rc;
	rc = remember(s, sun->sun_path);
	if (rc < 0)
		(void)unlink(sun->sun_path); /* ours, though not recorded: bind() has just created it */
	if (rc == 0)
		rc = ctl_socket_set_access(s, group, mode);
	if (rc == 0 && listen(fd, BACKLOG) < 0)
		rc = -errno;
	return rc;
}

int ctl_socket_make(struct ctl_socket *s, const char *path, const char *group, mode_t mode)
{
	struct sockaddr_un sun;
	int rc = make_address(&sun, path);
	int fd;

	static_assert(sizeof(s->path) >= sizeof(sun.sun_path), "a socket's path");
	s->path[0] = '\0';
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	make_directory(path);
	rc = open_at(s, fd, &sun, group, mode);
	if (rc == 0)
		return fd;
	ctl_socket_remove(s);
	close(fd);
	return rc;
}

int ctl_socket_remove(struct ctl_socket *s)
{
	struct stat st;
	int rc = 0;

	if (!s->path[0])
		return 0;
	if (lstat(s->path, &st) < 0)
		rc = errno == ENOENT ? 0 : -errno;
	else if (st.st_dev == s->dev && st.st_ino == s->ino && unlink(s->path) < 0)
		rc = -errno;
	s->path[0] = '\0';
	return rc;
}
