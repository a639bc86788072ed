/* SPDX-License-Identifier: ISC */
/*
 * An immutable index from a number to the items whose span holds it. Spans may overlap in any way;
 * a look-up is one binary search, whatever their number. Callers make composite numbers (class, address
 * and port side by side), so that one index serves many small tables.
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

/* Of `n` spans (borrowed for the call). NULL when memory is short. Memory grows with the pieces into which the
 * spans' ends cut each other, times the spans over each: with spans that do not overlap it is 2n. */
struct span_index *span_index_create(const struct span *spans, uint32_t n);
void span_index_destroy(struct span_index *x); /* NULL: nothing */

/* The items whose span holds `key`, in the order in which the spans were given; *n 0 when there are none. */
const uint32_t *span_index_find(const struct span_index *x, uint64_t key, uint32_t *n);
/* How many numbers from `key` on have the same items as it; 0: it has none. */
uint64_t span_index_run(const struct span_index *x, uint64_t key);

#endif
