/* SPDX-License-Identifier: ISC */
/*
 * Users and groups by name, as the host knows them (nsswitch.conf(5)). Only during start: see child.h.
 */
#ifndef NATD_DAEMON_ACCOUNT_H
#define NATD_DAEMON_ACCOUNT_H

#include <sys/types.h>

struct account {
	uid_t uid; /* of a user only */
	gid_t gid;
};

/* Returns 0; -ENOENT: no such name, or the host has no database of them; another negative errno: the look-up failed
 * (-ENOMEM: the child crashed). */
int account_of_user(const char *name, struct account *out);
int account_of_group(const char *name, struct account *out);

#endif
