/* SPDX-License-Identifier: ISC */
/*
 * From nothing to serving, as a list of steps. Order is part of the contract: what needs a privilege comes
 * before the drop; routing comes after it, so that what a reload and the stop must still be able to do
 * is done the same way from the start; and of what touches the host routing comes last, so that no packet
 * is steered to a natd that cannot take it.
 */
#ifndef NATD_DAEMON_START_H
#define NATD_DAEMON_START_H

#include "natd.h"

/* Every step, up to the first that fails: NATD_EXIT_OK, or the exit code after one line in the log. What was
 * started is natd_stop()'s to undo, in either case. */
enum natd_exit start_all(struct natd *n);

#endif
