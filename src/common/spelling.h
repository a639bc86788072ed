/* SPDX-License-Identifier: ISC */
/*
 * Finds the known word that a misspelt one probably means. Used for keys of the configuration and for commands and
 * options of natctl. Pure: no I/O, no allocation.
 */
#ifndef NATD_COMMON_SPELLING_H
#define NATD_COMMON_SPELLING_H

#include <stdint.h>

/* Set `wanted` and zero the rest, try every known word, then read the result. */
struct spelling {
	const char *wanted;
	const char *nearest; /* the best word tried so far; borrowed. NULL: none yet */
	uint32_t distance;
};

void spelling_try(struct spelling *s, const char *word);
/* The nearest word; NULL if none is near enough to be a likely mistake. */
const char *spelling_found(const struct spelling *s);

/* The number of letters to insert, delete, change or swap with a neighbour to get from a to b (Damerau and
 * Levenshtein, each place edited once). UINT32_MAX for words longer than 63 bytes. */
uint32_t spelling_distance(const char *a, const char *b);

#endif
