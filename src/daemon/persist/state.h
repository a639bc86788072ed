/* SPDX-License-Identifier: ISC */
/*
 * natd --state FILE: the table's records in a file, from a clean stop to the next start, for hosts
 * without a service manager that keeps descriptors. A file serves once: it is removed when it is read,
 * since what happened after that is not in it. It may be read after another boot of the machine.
 */
#ifndef NATD_DAEMON_STATE_H
#define NATD_DAEMON_STATE_H

#include <sys/types.h>

#include "memory.h"

/*
 * Fills the blank records of `m` from the file, which must belong to root or to `owner`, and sets by how much
 * their times are to be shifted. One that is truncated, damaged, foreign, from the future, too old, or of
 * another table size is refused with one line in the log, and the records stay blank. No file: nothing.
 */
void state_load(const char *path, struct memory *m, uid_t owner);
/* The same from an open file of any owner, and once more if need be. NULL, or why it is refused: then the
 * records may hold anything. */
const char *state_read(int fd, struct memory *m);
/* Removes a file that is older than what was taken over by other ways. */
void state_forget(const char *path);
/* Can it be saved when the time comes? If not: one line in the log. After the drop of privileges. */
void state_try(const char *path);
/* Replaces the file at once or not at all; a failure is one line in the log. The table must not be in use any more. */
void state_save(const char *path, const struct memory *m);

#endif
