/* SPDX-License-Identifier: ISC */
/*
 * Counters set to zero by `natctl list -z`. A session's own counters show whether it was answered, and the translation
 * log and the history report them; so they stay, and listings subtract their values at that moment.
 *
 * These are stored in an array by the session's place in the table, with its id, so nothing has to be removed when a
 * session ends. Memory (40 bytes a place) is used only for places that are written.
 */
#ifndef NATD_DAEMON_ZEROED_H
#define NATD_DAEMON_ZEROED_H

#include <stdbool.h>
#include <stdint.h>

struct ctl_entry;

struct zeroed_base {
	uint64_t id; /* of the session; 0: none */
	uint64_t packets[2], bytes[2];
};

/* Zeroed: empty. */
struct zeroed {
	struct zeroed_base *bases;
	uint32_t n;
};

/* Allocates that many places. False: out of memory. */
bool zeroed_prepare(struct zeroed *z, uint32_t capacity);
void zeroed_fini(struct zeroed *z);
/* From now on the counters of `e`, as the core has it, count as zero. Call it after zeroed_prepare(). */
void zeroed_note(struct zeroed *z, const struct ctl_entry *e);
/* Subtracts those values from `e`. */
void zeroed_subtract(const struct zeroed *z, struct ctl_entry *e);

#endif
