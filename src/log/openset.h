/* SPDX-License-Identifier: ISC */
/*
 * The set of open entries that the log knows: since when, for the record of their end, and to find out what natd opened
 * and closed unseen.
 *
 * Theory of operation. A hash table with open addressing. While it is compared with natd's listing (from begin to end)
 * each entry has a mark. OLD: not yet listed. LISTED: listed. NEW: an event opened it since. FOUND: listed but unknown;
 * an event may still report it. GONE: it ended since. So a listing made while entries come and go yields no wrong
 * record.
 *
 * Bounded: beyond OPENSET_MAX nothing more is entered. Then the record of an end lacks the beginning, and what natd did
 * unseen stays unknown.
 */
#ifndef NATD_LOG_OPENSET_H
#define NATD_LOG_OPENSET_H

#include "record.h"

enum { OPENSET_MAX = 3 << 20 };

struct openset;

struct openset *openset_create(void);	 /* NULL: out of memory */
void openset_destroy(struct openset *s); /* NULL is allowed */
uint32_t openset_count(const struct openset *s);

/* Notes an event: an entry began or ended. At an end r->since_us is filled in if it is known. */
void openset_note(struct openset *s, struct record *r);

/* Begins a comparison; then one call for each record of natd's listing. */
void openset_compare_begin(struct openset *s);
void openset_compare(struct openset *s, const struct record *r);
/* After the last record of the listing: returns the next entry that began unseen (without has_ended) or ended unseen
 * (with it), and notes it. False: there are no more, and the comparison is over. Events may be noted between the
 * calls. */
bool openset_compare_next(struct openset *s, struct record *out);
/* Ends the comparison early. Quietly, after a whole listing: what began unseen is noted without a record. Abort: it
 * is forgotten. */
void openset_compare_quietly(struct openset *s);
void openset_compare_abort(struct openset *s);

#endif
