/* SPDX-License-Identifier: ISC */
/*
 * What is open as far as the log knows: since when, for the record of the end, and to find out what natd opened and closed
 * unseen.
 *
 * Theory of operation. A hash table with open addressing. While natd's listing is being compared with it (begin to end) each
 * place has a mark: OLD, not listed yet; LISTED; NEW, begun since by an event; FOUND, listed and not known: an event may
 * still tell; GONE, ended since. So a listing that is made while things come and go leads to no wrong record.
 *
 * Bounded: beyond OPENSET_MAX nothing more is entered. Then an end has no beginning, and what natd did unseen remains unknown.
 */
#ifndef NATD_LOG_OPENSET_H
#define NATD_LOG_OPENSET_H

#include "record.h"

enum { OPENSET_MAX = 3 << 20 };

struct openset;

struct openset *openset_create(void);	 /* NULL: memory is short */
void openset_destroy(struct openset *s); /* NULL: nothing */
uint32_t openset_count(const struct openset *s);

/* An event: it began, or it ended; at an end r->since_us is filled in where it is known. */
void openset_note(struct openset *s, struct record *r);

/* A comparison begins; natd's listing has `r`. */
void openset_compare_begin(struct openset *s);
void openset_compare(struct openset *s, const struct record *r);
/* The listing is whole: the next record of what began unseen (without has_ended) or ended unseen (with it), which is noted
 * thereby. False: that was all, and the comparison is over. Events may be noted in between. */
bool openset_compare_next(struct openset *s, struct record *out);
/* The comparison is over: what began unseen is noted in silence (the listing is whole), or forgotten again. */
void openset_compare_quietly(struct openset *s);
void openset_compare_abort(struct openset *s);

#endif
