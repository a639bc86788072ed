/* SPDX-License-Identifier: ISC */
/*
 * An immutable index from a number to the items whose span contains it. Spans may overlap in any way; a look-up is one
 * binary search. Callers build composite numbers (class, address and port side by side), so one index serves many small
 * tables.
 */
#ifndef NATD_CORE_SPAN_H
#define NATD_CORE_SPAN_H

#include <stdint.h>

struct span {
	uint64_t first;
	uint64_t last; /* inclusive; below UINT64_MAX */
	uint32_t item;
};

struct span_index;

/* Indexes `n` spans (borrowed for the call). NULL: out of memory. Memory grows with the pieces into which the spans'
 * ends cut each other, times the spans over each; for spans that do not overlap it is 2n. */
struct span_index *span_index_create(const struct span *spans, uint32_t n);
void span_index_destroy(struct span_index *x); /* NULL is allowed */

/* The items whose span contains `key`, in the order of the spans; *n is 0 if there are none. */
const uint32_t *span_index_find(const struct span_index *x, uint64_t key, uint32_t *n);
/* How many numbers from `key` on have the same items as `key`; 0: it has none. */
uint64_t span_index_run(const struct span_index *x, uint64_t key);

#endif
