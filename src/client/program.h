/* SPDX-License-Identifier: ISC */
/*
 * What a program beside natd does around its work: a safe start, readiness, sockets from the service manager, and giving up
 * rights. At the start alone; one thread.
 */
#ifndef NATD_CLIENT_PROGRAM_H
#define NATD_CLIENT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit codes, as natd's. */
enum program_exit { PROGRAM_OK = 0, PROGRAM_CONFIG = 1, PROGRAM_USAGE = 2, PROGRAM_SYSTEM = 3 };

/* First of all: descriptors 0 to 2 are open, a reader that goes away is an EPIPE. */
void program_begin(void);

/* "NAME: ready" on stderr if `is_foreground`, and READY=1 to the service manager if there is one. */
void program_ready(const char *name, bool is_foreground);
void program_stopping(void); /* STOPPING=1 */

/* The listening sockets that the service manager passed (sd_listen_fds(3)), at most `max`: the caller's, closed on exec, not
 * blocking. Their number; the others are closed. */
size_t program_listeners(int *fds, size_t max);

struct program_keep {
	const gid_t *groups; /* to take on, if it may */
	size_t n_groups;
	const int *dirs; /* descriptors of directories in which it goes on to read, write, make and replace files */
	size_t n_dirs;
	uint16_t port; /* of the TCP connections that it goes on to make; 0: none */
};

/*
 * Gives up everything that root has but `keep`: takes on the groups, empties the capability sets, forbids new privileges, core
 * dumps and tracing, and with Landlock every file and outgoing TCP connection. Open descriptors stay. 0, or a negative errno and
 * what failed in *what (static text).
 */
int program_drop_rights(const struct program_keep *keep, const char **what);

/*
 * Allows the named system calls and kills the process at any other; socket(2) for UNIX sockets alone, no memory becomes code.
 * What malloc(), libevent and an end need is allowed too. 0, or a negative errno. Without libseccomp, and in builds for tools,
 * it does nothing: then *missing says why.
 */
int program_confine_calls(const char *const *names, size_t n, const char **missing);

#endif
