/* SPDX-License-Identifier: ISC */
/*
 * The ports of an outside address, cut into whole blocks: each range from its first port on, numbered across all
 * ranges. Ports after the last whole block of a range belong to no block.
 */
#ifndef NATD_CORE_CUT_H
#define NATD_CORE_CUT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy.h"

enum {
	BLOCK_SIZE_LEAST = 32,
	CUT_BLOCKS_MAX = 65536 / BLOCK_SIZE_LEAST, /* of one address: eleven bits can number them */
};

struct cut_piece { /* the whole blocks of one range */
	uint16_t first, last;
	uint32_t base; /* number of its first block */
};

struct cut {
	uint32_t size;	  /* ports a block; 0: nothing is cut */
	uint32_t inverse; /* 2^32 / size and a bit more: divides 16 bits by the size exactly */
	uint32_t n_pieces, blocks;
	struct cut_piece *pieces; /* owned, ascending */
};

/* The number of whole blocks of that size in the ranges. `size` is not 0. */
uint32_t cut_count(const struct nat_range *ranges, uint32_t n, uint32_t size);
/* `size`: BLOCK_SIZE_LEAST to 65535; ranges ascending and disjoint. False: out of memory. */
bool cut_make(struct cut *c, const struct nat_range *ranges, uint32_t n, uint32_t size);
void cut_fini(struct cut *c);
bool cut_equals(const struct cut *a, const struct cut *b);

/* The piece with block `number`; the last piece whose first port is not above `port`, or NULL. */
const struct cut_piece *cut_piece_of_block(const struct cut *c, uint32_t number);
const struct cut_piece *cut_piece_of_port(const struct cut *c, uint16_t port);

/* The ports of block `number`, which must be below c->blocks. */
static inline struct nat_range cut_block(const struct cut *c, uint32_t number)
{
	const struct cut_piece *p;
	uint16_t first;

	assert(number < c->blocks);
	p = c->n_pieces == 1 ? c->pieces : cut_piece_of_block(c, number);
	first = (uint16_t)(p->first + (number - p->base) * c->size);
	return (struct nat_range){first, (uint16_t)(first + c->size - 1)};
}

/* The block that contains `port`, or -1. */
static inline int32_t cut_number(const struct cut *c, uint16_t port)
{
	const struct cut_piece *p = c->n_pieces == 1 ? c->pieces : cut_piece_of_port(c, port);

	if (p == NULL || port < p->first || port > p->last)
		return -1;
	return (int32_t)(p->base + (uint32_t)((uint64_t)(port - p->first) * c->inverse >> 32));
}

#endif
