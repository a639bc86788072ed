/* SPDX-License-Identifier: ISC */
/*
 * The directory of the control socket, in which natd also keeps what must survive a crash. It must belong to the user
 * that natd becomes, or natd could not remove anything from it when it stops.
 */
#ifndef NATD_DAEMON_RUNDIR_H
#define NATD_DAEMON_RUNDIR_H

struct privs;

enum { RUNDIR_PATH_MAX = 128 }; /* a socket's path and a suffix */

/*
 * Before privileges are dropped: creates the directory of `path` if it is missing, for the user to become. A directory
 * of root's is given to that user if its name is "natd", so no other user can write into it. Returns 0 or a negative
 * errno; -EACCES: the user to become could not write into it.
 */
int rundir_prepare(const char *path, const struct privs *p);
/* Gives the socket at `path` to the user to become, and to that user's group unless the configuration names one.
 * Returns 0 or a negative errno. */
int rundir_give(const char *path, const char *group, const struct privs *p);
/* "/run/natd/natd.sock", "routing" -> "/run/natd/natd.routing" in `out`, which is returned. */
const char *rundir_beside(const char *path, const char *suffix, char out[RUNDIR_PATH_MAX]);

#endif
