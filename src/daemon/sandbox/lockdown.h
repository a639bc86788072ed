/* SPDX-License-Identifier: ISC */
/* natd gives up, permanently, every path and every system call that serving does not need. If this kernel or this
 * build lacks the means, one line in the log says so, and that part is omitted. */
#ifndef NATD_DAEMON_LOCKDOWN_H
#define NATD_DAEMON_LOCKDOWN_H

#include "sandbox.h"

struct lockdown_paths {
	const char *config;
	const char *socket;
	const char *state; /* NULL: none */
};

/* After privs_drop(), before the first thread is created (Landlock confines a thread and those that it creates).
 * Returns 0 or a negative errno. */
int lockdown_paths(const struct lockdown_paths *p);

/* The last step of the start: puts s->filter in force. Returns 0 or a negative errno. */
int lockdown_calls(struct sandbox *s);

#endif
