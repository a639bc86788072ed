/* SPDX-License-Identifier: ISC */
/*
 * Users and groups by name, as the host knows them (nsswitch.conf(5)). At the start alone: see child.h.
 */
#ifndef NATD_DAEMON_ACCOUNT_H
#define NATD_DAEMON_ACCOUNT_H

#include <sys/types.h>

struct account {
	uid_t uid; /* of a user only */
	gid_t gid;
};

/* 0; -ENOENT: there is none of that name, or the host has no list of them; another negative errno: that could not be found
 * out, as -ENOMEM when the child died. */
int account_of_user(const char *name, struct account *out);
int account_of_group(const char *name, struct account *out);

#endif
