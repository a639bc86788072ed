/* SPDX-License-Identifier: ISC */
/*
 * natd --state FILE: the table's records in a file, from a clean stop to the next start, for hosts without a service
 * manager that keeps descriptors. A file is used once: it is removed when it is read, since it becomes outdated at
 * once. It may be read after a reboot.
 */
#ifndef NATD_DAEMON_STATE_H
#define NATD_DAEMON_STATE_H

#include <sys/types.h>

#include "memory.h"

/*
 * Fills the blank records of `m` from the file, which must belong to root or to `owner`, and sets the shift of their
 * times. A file that is truncated, damaged, foreign, from the future, too old, or of another table size is refused with
 * one line in the log, and the records stay blank. Without a file it does nothing.
 */
void state_load(const char *path, struct memory *m, uid_t owner);
/* The same from an open file of any owner; may be called again. Returns NULL, or why it is refused: then the records
 * may hold anything. */
const char *state_read(int fd, struct memory *m);
/* Removes a file that is older than the table that was taken over from memory. */
void state_forget(const char *path);
/* Can the file be saved later? If not, logs one line. Call it after privileges are dropped. */
void state_try(const char *path);
/* Replaces the file atomically; a failure is one line in the log. The table must not be in use any more. */
void state_save(const char *path, const struct memory *m);

#endif
