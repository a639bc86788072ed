/* SPDX-License-Identifier: ISC */
/*
 * Numbers of things by their names: a sorted array of hashes, for a fixed set of unique names. A look-up is a binary search,
 * whatever their number.
 */
#ifndef NATD_CORE_NAMES_H
#define NATD_CORE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { NAMES_MAX = 1 << 16 };

/* The name of thing `i`, which ends with a NUL. */
typedef const char *names_get(const void *ctx, uint32_t i);

struct names {
	uint64_t *words; /* sorted: the upper bits of the hash, and the number below them */
	uint32_t n;
	names_get *get;
	const void *ctx; /* borrowed, as are the names */
};

/* `n`: at most NAMES_MAX. False: memory short. */
bool names_init(struct names *x, uint32_t n, names_get *get, const void *ctx);
void names_fini(struct names *x);			     /* all zero: nothing */
int32_t names_find(const struct names *x, const char *name); /* -1: there is none */

#endif
