/* SPDX-License-Identifier: ISC */
/* The connection table during start: the previous natd's, from memory or from a file, or an empty one. */
#ifndef NATD_DAEMON_RESTORE_H
#define NATD_DAEMON_RESTORE_H

#include <sys/types.h>

#include "core/nat/nat.h"
#include "persist.h"

/* Creates p->memory and a translation over it; the caller destroys both. A table that cannot be taken over is
 * refused with one line in the log and replaced by an empty one; sessions that `policy` forbids are ended. `owner`:
 * the user besides root who may own the state file. NULL after one line in the log. */
struct nat *restore_table(struct persist *p, const struct nat_policy *policy, uid_t owner);

#endif
