/* SPDX-License-Identifier: ISC */
/*
 * From nothing to serving, as a list of steps. The order is part of the contract. Steps that need a privilege come
 * before the drop. Routing comes after it, because reload and stop must do the same with the rights that are left. Of
 * the steps that change the host, routing comes last, so that no packet is steered to a natd that cannot take it.
 */
#ifndef NATD_DAEMON_START_H
#define NATD_DAEMON_START_H

#include "natd.h"

/* Runs every step up to the first that fails. Returns NATD_EXIT_OK, or the exit code after one line in the log.
 * Either way natd_stop() must undo the steps that succeeded. */
enum natd_exit start_all(struct natd *n);

#endif
