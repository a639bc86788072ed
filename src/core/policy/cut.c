/* SPDX-License-Identifier: ISC */
/* Blocks of ports, see cut.h. */
#include "cut.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint32_t blocks_in(const struct nat_range *r, uint32_t size)
{
	return ((uint32_t)r->last - r->first + 1) / size;
}

uint32_t cut_count(const struct nat_range *ranges, uint32_t n, uint32_t size)
{
	uint32_t blocks = 0;

	assert(size > 0);
	for (uint32_t i = 0; i < n; i++)
		blocks += blocks_in(&ranges[i], size);
	return blocks;
}

bool cut_make(struct cut *c, const struct nat_range *ranges, uint32_t n, uint32_t size)
{
	assert(size >= BLOCK_SIZE_LEAST && size <= UINT16_MAX);
	*c = (struct cut){.size = size,
			  .inverse = (uint32_t)((UINT64_C(1) << 32) / size + 1),
			  .pieces = calloc((size_t)n + 1, sizeof(*c->pieces))};
	if (c->pieces == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t blocks = blocks_in(&ranges[i], size);

		if (blocks == 0)
			continue;
		c->pieces[c->n_pieces++] = (struct cut_piece){
			.first = ranges[i].first,
			.last = (uint16_t)(ranges[i].first + blocks * size - 1),
			.base = c->blocks,
		};
		c->blocks += blocks;
	}
	assert(c->blocks <= CUT_BLOCKS_MAX);
	return true;
}

void cut_fini(struct cut *c)
{
	free(c->pieces);
	*c = (struct cut){0};
}

bool cut_equals(const struct cut *a, const struct cut *b)
{
	if (a->size != b->size || a->n_pieces != b->n_pieces)
		return false;
	for (uint32_t i = 0; i < a->n_pieces; i++) {
		if (a->pieces[i].first != b->pieces[i].first || a->pieces[i].last != b->pieces[i].last)
			return false;
	}
	return true;
}

const struct cut_piece *cut_piece_of_port(const struct cut *c, uint16_t port)
{
	uint32_t low = 0, high = c->n_pieces;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (c->pieces[middle].first <= port)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &c->pieces[low - 1] : NULL;
}

const struct cut_piece *cut_piece_of_block(const struct cut *c, uint32_t number)
{
	uint32_t low = 0, high = c->n_pieces;

	while (low + 1 < high) {
		uint32_t middle = low + (high - low) / 2;

		if (c->pieces[middle].base <= number)
			low = middle;
		else
			high = middle;
	}
	return &c->pieces[low];
}
