/* SPDX-License-Identifier: ISC */
#include "names.h"

#include <assert.h>
#include <stdlib.h>

#include "hash.h"
#include "sort.h"

enum { NUMBER_BITS = 16, NUMBER_MASK = (1 << NUMBER_BITS) - 1 };

/* With room for a number. */
static uint64_t name_hash(const char *name)
{
	uint64_t h = 0;

	for (; *name != '\0'; name++)
		h = hash_mix(h ^ (uint8_t)*name);
	return h & ~(uint64_t)NUMBER_MASK;
}

bool names_init(struct names *x, uint32_t n, names_get *get, const void *ctx)
{
	assert(n <= NAMES_MAX);
	*x = (struct names){calloc((size_t)n + 1, sizeof(*x->words)), n, get, ctx};
	if (x->words == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++)
		x->words[i] = name_hash(get(ctx, i)) | i;
	sort_words(x->words, n);
	return true;
}

void names_fini(struct names *x)
{
	free(x->words);
	*x = (struct names){0};
}

static bool is_same(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

int32_t names_find(const struct names *x, const char *name)
{
	uint64_t wanted = name_hash(name);
	uint32_t low = 0, high = x->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (x->words[middle] < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < x->n && (x->words[low] & ~(uint64_t)NUMBER_MASK) == wanted; low++) {
		uint32_t i = (uint32_t)(x->words[low] & NUMBER_MASK);

		if (is_same(x->get(x->ctx, i), name))
			return (int32_t)i;
	}
	return -1;
}
