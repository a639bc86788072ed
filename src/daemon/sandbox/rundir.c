/* SPDX-License-Identifier: ISC */
/* The directory of the control socket. */
#include "rundir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "privs.h"

/* Returns 0 or -ENAMETOOLONG; "." if `path` has no directory. */
static int directory_of(const char *path, char out[RUNDIR_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (len >= RUNDIR_PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(out, RUNDIR_PATH_MAX, "%.*s", slash ? (int)len : 1, slash ? path : ".");
	if (slash == path)
		snprintf(out, RUNDIR_PATH_MAX, "/");
	return 0;
}

static bool is_named_natd(const char *directory)
{
	const char *slash = strrchr(directory, '/');

	return strcmp(slash ? slash + 1 : directory, "natd") == 0;
}

static bool may_write(const struct stat *st, const struct privs *p)
{
	if (st->st_uid == p->uid)
		return st->st_mode & S_IWUSR;
	return st->st_mode & (st->st_gid == p->gid ? S_IWGRP : S_IWOTH);
}

int rundir_prepare(const char *path, const struct privs *p)
{
	char directory[RUNDIR_PATH_MAX];
	struct stat st;
	bool is_new;
	int r = directory_of(path, directory);

	if (r < 0)
		return r;
	is_new = mkdir(directory, 0755) == 0;
	if (!is_new && errno != EEXIST)
		return -errno;
	if (!p->has_user)
		return 0;
	if (lstat(directory, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || !(is_new || is_named_natd(directory)))
		return may_write(&st, p) ? 0 : -EACCES;
	return lchown(directory, p->uid, p->gid) < 0 ? -errno : 0;
}

int rundir_give(const char *path, const char *group, const struct privs *p)
{
	if (!p->has_user)
		return 0;
	return lchown(path, p->uid, *group ? (gid_t)-1 : p->gid) < 0 ? -errno : 0;
}

const char *rundir_beside(const char *path, const char *suffix, char out[RUNDIR_PATH_MAX])
{
	size_t len = strlen(path);

	if (len > 5 && strcmp(path + len - 5, ".sock") == 0)
		len -= 5;
	snprintf(out, RUNDIR_PATH_MAX, "%.*s.%s", (int)len, path, suffix);
	return out;
}
