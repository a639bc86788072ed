/* SPDX-License-Identifier: ISC */
/*
 * Finds numbers by name: a sorted array of hashes, for a fixed set of unique names. A look-up is a binary search.
 */
#ifndef NATD_CORE_NAMES_H
#define NATD_CORE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { NAMES_MAX = 1 << 16 };

/* Returns the name number `i`, terminated by NUL. */
typedef const char *names_get(const void *ctx, uint32_t i);

struct names {
	uint64_t *words; /* sorted: upper bits of the hash, with the number in the low bits */
	uint32_t n;
	names_get *get;
	const void *ctx; /* borrowed, like the names */
};

/* `n`: at most NAMES_MAX. False: out of memory. */
bool names_init(struct names *x, uint32_t n, names_get *get, const void *ctx);
void names_fini(struct names *x);			     /* all zero is allowed */
int32_t names_find(const struct names *x, const char *name); /* -1: there is none */

#endif
