/* SPDX-License-Identifier: ISC */
/*
 * One field of the filter's rules: which rules accept each of its values. Private to the filter.
 *
 * Theory of operation. The values of a field are 32-bit numbers. The ends of all rules' ranges cut the number line into
 * pieces with a constant set of accepting rules. Each piece has the number of a row; a row is a bitmap with a bit for
 * each rule, cut into chunks of 1,024 rules. Equal chunks are stored once. So 20,000 pieces that differ by one rule
 * each cost a list of chunk numbers and one chunk each, not a bitmap each.
 *
 * Rules with the same list form one group, whose bits enter and leave a row together: a set of 100,000 prefixes is
 * swept once, however many rules name it.
 */
#ifndef NATD_CORE_FILTER_DIMENSION_H
#define NATD_CORE_FILTER_DIMENSION_H

#include <stdbool.h>
#include <stdint.h>

#include "filter.h"

enum {
	CHUNK_WORDS = 16,
	CHUNK_RULES = CHUNK_WORDS * 64,
};

/* Rules (numbers, ascending) that share a list of spans (ascending, disjoint, not adjoining). All borrowed. */
struct filter_group {
	const struct filter_span *spans;
	uint32_t n_spans;
	const uint32_t *rules;
	uint32_t n_rules;
};

/* A reference to a chunk in a row. */
struct filter_cell {
	uint32_t chunk;
	uint32_t words; /* one bit for each of its words that is not 0 */
};

struct filter_dimension;

/* `others`: the rules that accept every value; one bit for each rule, in n_chunks whole chunks. NULL: out of memory. */
struct filter_dimension *filter_dimension_create(const struct filter_group *groups, uint32_t n_groups,
						 const uint64_t *others, uint32_t n_chunks);
void filter_dimension_destroy(struct filter_dimension *d); /* NULL is allowed */

/* The row of `value`: n_chunks cells. */
const struct filter_cell *filter_dimension_row(const struct filter_dimension *d, uint32_t value);
const uint64_t *filter_dimension_chunk(const struct filter_dimension *d, uint32_t chunk);

uint64_t filter_dimension_bytes(const struct filter_dimension *d);

#endif
