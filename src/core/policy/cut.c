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
	*c = (struct cut){.size = size, .pieces = calloc((size_t)n + 1, sizeof(*c->pieces))};
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

/* The last piece whose first port is not above `port`, or NULL. */
static const struct cut_piece *piece_of_port(const struct cut *c, uint16_t port)
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

struct nat_range cut_block(const struct cut *c, uint32_t number)
{
	uint32_t low = 0, high = c->n_pieces;
	uint16_t first;

	assert(number < c->blocks);
	while (low + 1 < high) {
		uint32_t middle = low + (high - low) / 2;

		if (c->pieces[middle].base <= number)
			low = middle;
		else
			high = middle;
	}
	first = (uint16_t)(c->pieces[low].first + (number - c->pieces[low].base) * c->size);
	return (struct nat_range){first, (uint16_t)(first + c->size - 1)};
}

int32_t cut_number(const struct cut *c, uint16_t port)
{
	const struct cut_piece *p = piece_of_port(c, port);

	if (p == NULL || port > p->last)
		return -1;
	return (int32_t)(p->base + (uint32_t)(port - p->first) / c->size);
}
