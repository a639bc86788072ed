/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"

#ifndef NATD_PKGDATADIR
#define NATD_PKGDATADIR "/usr/share/natd"
#endif
#ifndef NATD_SBINDIR
#define NATD_SBINDIR "/usr/sbin"
#endif
#ifndef NATD_BINDIR
#define NATD_BINDIR "/usr/bin"
#endif

static const char *from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && value[0] ? value : otherwise;
}

const char *place_share(void)
{
	static char path[PATH_MAX]; /* computed once: COMMAND's working directory differs from this process's */
	const char *wanted = from_environment("NATLAB_SHARE", NATD_PKGDATADIR "/natlab");

	if (!path[0] && !realpath(wanted, path))
		die(LAB_CANNOT, "%s: %s: install natlab's files, or name their directory in NATLAB_SHARE", wanted,
		    strerror(errno));
	return path;
}

const char *place_directory(void)
{
	static char path[PATH_MAX]; /* as above */
	int length;

	if (place_is_inside())
		return getenv("NATLAB_LAB");
	if (!path[0]) {
		length = snprintf(path, sizeof(path), "%s/lab", place_share());
		if (length >= (int)sizeof(path))
			die(LAB_CANNOT, "the name of %s is too long", place_share());
	}
	return path;
}

const char *place_natd(void)
{
	return from_environment("NATD", NATD_SBINDIR "/natd");
}

const char *place_natctl(void)
{
	return from_environment("NATCTL", NATD_BINDIR "/natctl");
}

bool place_is_inside(void)
{
	return from_environment("NATLAB_LAB", NULL) != NULL;
}

void place_path(char path[PATH_MAX], const char *format, ...)
{
	va_list arguments;
	int length = snprintf(path, PATH_MAX, "%s/", place_directory()), more;

	va_start(arguments, format);
	more = length < PATH_MAX ? vsnprintf(path + length, (size_t)(PATH_MAX - length), format, arguments) : 0;
	va_end(arguments);
	if (length < 0 || more < 0 || length + more >= PATH_MAX)
		die(LAB_CANNOT, "a path below %s is too long", place_directory());
}

int place_enter(const char *node)
{
	char path[PATH_MAX];
	int fd, error = 0;

	place_path(path, "netns/%s", node);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (setns(fd, CLONE_NEWNET) != 0)
		error = errno;
	close(fd);
	return error;
}

void place_write(const char *name, const char *text)
{
	char path[PATH_MAX];
	size_t length = strlen(text);
	int fd;

	place_path(path, "%s", name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, length) != (ssize_t)length || close(fd) != 0)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
}
