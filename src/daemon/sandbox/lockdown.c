/* SPDX-License-Identifier: ISC */
/* The paths that natd keeps. seccomp.c has the system calls that it keeps. */
#define _GNU_SOURCE 1
#include "lockdown.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "landlock.h"
#include "daemon/base/log.h"
#include "daemon/path/tun.h"

/* Room for the directory of a path. */
struct place {
	char text[PATH_MAX];
};

static const char *directory_of(const char *path, struct place *room)
{
	snprintf(room->text, sizeof(room->text), "%s", path);
	return dirname(room->text);
}

/* The directory of the file itself: the configuration may be a symbolic link into another directory. */
static const char *real_directory_of(const char *path, struct place *room)
{
	if (!realpath(path, room->text))
		return directory_of(path, room);
	return dirname(room->text);
}

int lockdown_paths(const struct lockdown_paths *p)
{
	const char *kept = p->state ? p->state : p->socket;
	struct place config, config_real, socket_place, kept_place;
	const struct landlock_rule rules[] = {
		/* Directories, because editors write a new file and rename it. */
		{directory_of(p->config, &config), LANDLOCK_READ},
		{real_directory_of(p->config, &config_real), LANDLOCK_READ},
		{directory_of(p->socket, &socket_place), LANDLOCK_KEEP},
		{directory_of(kept, &kept_place), LANDLOCK_KEEP},
		{TUN_PATH, LANDLOCK_DEVICE},
		{"/proc/sys/net", LANDLOCK_SETTINGS},
		{"/proc/sys/kernel/random/boot_id", LANDLOCK_READ},
		{"/proc/self", LANDLOCK_READ}, /* memory in use; /proc/net leads there too */
	};
	int abi = landlock_confine(rules, sizeof(rules) / sizeof(*rules));

	if (abi == 0)
		log_info(SUB_PRIVS,
			 "this kernel has no Landlock: file permissions alone limit which files natd reaches");
	return abi < 0 ? abi : 0;
}

int lockdown_calls(struct sandbox *s)
{
	int r = seccomp_confine(s->filter);

	seccomp_free(s->filter);
	s->filter = NULL;
	if (seccomp_missing())
		log_info(SUB_PRIVS, "no system call filter: %s", seccomp_missing());
	if (r != -EINVAL && r != -ENOSYS)
		return r;
	log_warning(SUB_PRIVS, "this kernel has no system call filter (CONFIG_SECCOMP_FILTER)");
	return 0;
}
