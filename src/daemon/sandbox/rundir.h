/* SPDX-License-Identifier: ISC */
/*
 * The directory of the control socket, where natd also keeps what must be remembered over a crash. It
 * must belong to the user that natd becomes, or the stop could not remove anything from it.
 */
#ifndef NATD_DAEMON_RUNDIR_H
#define NATD_DAEMON_RUNDIR_H

struct privs;

enum { RUNDIR_PATH_MAX = 128 }; /* a socket's path and a suffix */

/*
 * Before the drop of privileges: makes the directory of `path` if it is not there, for the user to become.
 * One that root owns is handed to that user if its name is "natd", so that no other user can write into it. 0 or a negative errno;
 * -EACCES: the user to become could not write into it.
 */
int rundir_prepare(const char *path, const struct privs *p);
/* Hands the socket at `path` to the user to become, and to his group unless the configuration names one. 0 or a
 * negative errno. */
int rundir_give(const char *path, const char *group, const struct privs *p);
/* "/run/natd/natd.sock", "routing" -> "/run/natd/natd.routing" in `out`, which is returned. */
const char *rundir_beside(const char *path, const char *suffix, char out[RUNDIR_PATH_MAX]);

#endif
