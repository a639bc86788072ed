/* SPDX-License-Identifier: ISC */
/*
 * What a program beside natd does around its work: a safe start, readiness, sockets from the service manager, and
 * dropping rights. Called only during start; single-threaded.
 */
#ifndef NATD_CLIENT_PROGRAM_H
#define NATD_CLIENT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit codes, the same as natd's. */
enum program_exit { PROGRAM_OK = 0, PROGRAM_CONFIG = 1, PROGRAM_USAGE = 2, PROGRAM_SYSTEM = 3 };

/* Call it first: opens descriptors 0 to 2 if they are closed, and makes a closed pipe an EPIPE instead of a signal. */
void program_begin(void);

/* Prints "NAME: ready" to stderr if `is_foreground`, and sends READY=1 to the service manager if there is one. */
void program_ready(const char *name, bool is_foreground);
void program_stopping(void); /* STOPPING=1 */

/* The listening sockets that the service manager passed (sd_listen_fds(3)), at most `max`; others are closed. They
 * are the caller's, close-on-exec and non-blocking. Returns their number. */
size_t program_listeners(int *fds, size_t max);

struct program_keep {
	const gid_t *groups; /* to join, if the process may */
	size_t n_groups;
	const int *dirs; /* descriptors of directories in which it still reads, writes, creates and replaces files */
	size_t n_dirs;
	uint16_t port; /* for TCP connections that it still makes; 0: none */
};

/*
 * Drops all of root's rights but `keep`: joins the groups, empties the capability sets, forbids new privileges, core
 * dumps and tracing, and with Landlock all files and outgoing TCP connections. Open descriptors stay. Returns 0, or a
 * negative errno with the failed step in *what (static text).
 */
int program_drop_rights(const struct program_keep *keep, const char **what);

/*
 * Allows the named system calls and kills the process at any other; socket(2) only for UNIX sockets, and no executable
 * memory. The calls that malloc(), libevent and exit need are always allowed. Returns 0 or a negative errno. Without
 * libseccomp, and in builds for tools, it does nothing and *missing says why.
 */
int program_confine_calls(const char *const *names, size_t n, const char **missing);

#endif
