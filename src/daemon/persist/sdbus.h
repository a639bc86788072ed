/* SPDX-License-Identifier: ISC */
/*
 * The one question that needs the manager's bus: does the stop belong to a restart? libsystemd answers it. It is loaded
 * at run time, because it brings along five compression and cryptography libraries that a natd without a manager does
 * not need. Only this file uses libsystemd.
 */
#ifndef NATD_DAEMON_SDBUS_H
#define NATD_DAEMON_SDBUS_H

#include <stdbool.h>
#include <stdint.h>

struct sdbus;

/* Loads the library, which stays loaded: call it before natd drops its rights to read files. NULL: this build, or
 * this host, has none. */
const struct sdbus *sdbus_open(void);
/* Queries the job queued for this unit, and waits at most `ms` for the answer. False if it cannot be found out. */
bool sdbus_is_restarting(const struct sdbus *b, uint32_t ms);

#endif
