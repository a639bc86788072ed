/* SPDX-License-Identifier: ISC */
/*
 * Counters set to zero by `natctl list -z`. A session's own counters decide whether it was answered, and are what the translation
 * log and history say of it; so they stay, and listings subtract what they were at that moment.
 *
 * The numbers stand in an array by the session's place in the table, with its id, so that nothing has to be removed when
 * a session ends. Its memory (40 bytes a place) comes with the places that are written.
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

/* All zero at first. */
struct zeroed {
	struct zeroed_base *bases;
	uint32_t n;
};

/* Makes room for so many places. False: no memory. */
bool zeroed_prepare(struct zeroed *z, uint32_t capacity);
void zeroed_fini(struct zeroed *z);
/* What `e` has counted is its zero from now on: `e` as the core has it. After zeroed_prepare(). */
void zeroed_note(struct zeroed *z, const struct ctl_entry *e);
/* What `e` has counted since then. */
void zeroed_subtract(const struct zeroed *z, struct ctl_entry *e);

#endif
