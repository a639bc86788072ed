/* SPDX-License-Identifier: ISC */
/*
 * The ends of all spans, sorted, cut the number line into pieces with a constant set of items. Each piece has its list
 * of items: items[offsets[i]] to before items[offsets[i + 1]] for the piece from edges[i] to before edges[i + 1]. Every
 * span's end is an edge, so a gap between two spans is a piece too, with an empty list.
 */
#include "span.h"

#include <stddef.h>
#include <stdlib.h>

#include "sort.h"

struct span_index {
	uint32_t n_edges;
	uint64_t *edges;   /* ascending */
	uint32_t *offsets; /* n_edges + 1 */
	uint32_t *items;
};

static uint32_t drop_repeats(uint64_t *a, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || a[kept - 1] != a[i])
			a[kept++] = a[i];
	}
	return (uint32_t)kept;
}

/* Number of edges not above `key`: the piece that contains it is the one before. */
static uint32_t edges_up_to(const struct span_index *x, uint64_t key)
{
	uint32_t low = 0;
	uint32_t high = x->n_edges;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (x->edges[middle] <= key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void find_edges(struct span_index *x, const struct span *spans, uint32_t n)
{
	for (size_t i = 0; i < n; i++) {
		x->edges[2 * i] = spans[i].first;
		x->edges[2 * i + 1] = spans[i].last + 1;
	}
	sort_words(x->edges, 2 * (size_t)n);
	x->n_edges = drop_repeats(x->edges, 2 * (size_t)n);
}

/* Makes offsets[i + 1] the end of piece i's list; returns the total, or UINT64_MAX if it exceeds 32 bits. */
static uint64_t count_items(struct span_index *x, const struct span *spans, uint32_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		for (uint32_t e = edges_up_to(x, spans[i].first) - 1; x->edges[e] <= spans[i].last; e++)
			x->offsets[e + 1]++;
	}
	for (uint32_t e = 0; e < x->n_edges; e++) {
		total += x->offsets[e + 1];
		if (total > UINT32_MAX)
			return UINT64_MAX;
		x->offsets[e + 1] = (uint32_t)total;
	}
	return total;
}

/* `fill`: where each piece's next item goes, initially its offset. */
static void fill_items(struct span_index *x, const struct span *spans, uint32_t n, uint32_t *fill)
{
	for (uint32_t e = 0; e < x->n_edges; e++)
		fill[e] = x->offsets[e];
	for (size_t i = 0; i < n; i++) {
		for (uint32_t e = edges_up_to(x, spans[i].first) - 1; x->edges[e] <= spans[i].last; e++)
			x->items[fill[e]++] = spans[i].item;
	}
}

struct span_index *span_index_create(const struct span *spans, uint32_t n)
{
	struct span_index *x = calloc(1, sizeof(*x));
	uint32_t *fill = calloc(2 * (size_t)n + 1, sizeof(*fill));
	uint64_t total;

	if (!x || !fill)
		goto out_free;
	x->edges = calloc(2 * (size_t)n + 1, sizeof(*x->edges));
	x->offsets = calloc(2 * (size_t)n + 1, sizeof(*x->offsets));
	if (!x->edges || !x->offsets)
		goto out_free;
	find_edges(x, spans, n);
	total = count_items(x, spans, n);
	if (total == UINT64_MAX)
		goto out_free;
	x->items = calloc((size_t)total + 1, sizeof(*x->items));
	if (!x->items)
		goto out_free;
	fill_items(x, spans, n, fill);
	free(fill);
	return x;

out_free:
	free(fill);
	span_index_destroy(x);
	return NULL;
}

void span_index_destroy(struct span_index *x)
{
	if (!x)
		return;
	free(x->items);
	free(x->offsets);
	free(x->edges);
	free(x);
}

const uint32_t *span_index_find(const struct span_index *x, uint64_t key, uint32_t *n)
{
	uint32_t edge = edges_up_to(x, key);

	*n = 0;
	if (edge == 0)
		return x->items;
	*n = x->offsets[edge] - x->offsets[edge - 1];
	return x->items + x->offsets[edge - 1];
}

uint64_t span_index_run(const struct span_index *x, uint64_t key)
{
	uint32_t edge = edges_up_to(x, key);

	if (edge == 0 || x->offsets[edge] == x->offsets[edge - 1])
		return 0;
	return x->edges[edge] - key; /* a span's end is an edge */
}
