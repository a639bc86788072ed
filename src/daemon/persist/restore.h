/* SPDX-License-Identifier: ISC */
/* The connection table at start: that of the previous natd, from memory or from a file, or an empty one. */
#ifndef NATD_DAEMON_RESTORE_H
#define NATD_DAEMON_RESTORE_H

#include <sys/types.h>

#include "core/nat/nat.h"
#include "persist.h"

/* Makes p->memory and a translation over it, which is the caller's to destroy. A table that cannot be taken over is refused
 * with one line in the log, and an empty one takes its place; sessions that `policy` forbids end. `owner`: who besides root
 * may own the state file. NULL after one line in the log. */
struct nat *restore_table(struct persist *p, const struct nat_policy *policy, uid_t owner);

#endif
