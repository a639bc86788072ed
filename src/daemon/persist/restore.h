/* SPDX-License-Identifier: ISC */
/* The connection table at start: that of the former natd, from memory or from a file, or an empty one. */
#ifndef NATD_DAEMON_RESTORE_H
#define NATD_DAEMON_RESTORE_H

#include "daemon/natd.h"

/* Makes n->memory and n->nat. A table that cannot be taken over is refused with one line and an empty one takes its
 * place; sessions that the configuration forbids by now are ended. The exit code, after one line in the log. */
enum natd_exit restore_table(struct natd *n);

#endif
