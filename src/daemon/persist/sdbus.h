/* SPDX-License-Identifier: ISC */
/*
 * The one question that needs the manager's bus: does the stop belong to a restart? libsystemd answers it, which is loaded
 * at run time: it brings five compression and cryptography libraries along, and a natd that no manager started does without
 * them. The only file that knows libsystemd.
 */
#ifndef NATD_DAEMON_SDBUS_H
#define NATD_DAEMON_SDBUS_H

#include <stdbool.h>
#include <stdint.h>

struct sdbus;

/* Loads the library, which stays: call it before natd gives up its rights to read files. NULL: this build, or this host, has none. */
const struct sdbus *sdbus_open(void);
/* Asks what job is queued for this unit, and waits `ms` for the answer at most. False when it cannot be known. */
bool sdbus_is_restarting(const struct sdbus *b, uint32_t ms);

#endif
