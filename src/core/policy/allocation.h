/* SPDX-License-Identifier: ISC */
/*
 * The allocation of outside ports by the policy: the cuts into blocks, and the arithmetic of deterministic allocation
 * (RFC 7422). Immutable and pure, so natd -t and `natctl who --config` use the same numbers.
 *
 * Deterministic: the hosts of all inside prefixes are numbered in the order of their addresses, and so are the outside
 * addresses. Host h has address h modulo addresses, and there block h / addresses. The block size is the largest that
 * gives each host of an address its block. With blocks.overflow an address reserves further blocks, one for eight hosts
 * and at least that number, for hosts that need more.
 */
#ifndef NATD_CORE_ALLOCATION_H
#define NATD_CORE_ALLOCATION_H

#include "cut.h"

struct allocation_span { /* consecutive addresses */
	uint32_t first, last;
	uint32_t base; /* number of the first address */
};

enum allocation_cut { CUT_POOL, CUT_SHARED, CUT_NONE }; /* the cut of an address */

struct allocation {
	enum nat_allocation kind;
	struct nat_blocks blocks;
	struct cut cut[2]; /* by enum allocation_cut; all zero for ALLOCATION_PORT */
	/* deterministic: number of fixed blocks of each address, the first ones; they belong to its hosts */
	uint32_t fixed;
	uint32_t hosts;	    /* deterministic, like the next ones: addresses of the prefixes */
	uint32_t n_outside; /* outside addresses */
	uint32_t n_prefixes, n_pools;
	struct allocation_span *prefixes, *pools; /* owned, ascending */
};

/* NULL: out of memory. A deterministic policy that does not fit has blocks of size 0, see allocation_fits(). */
struct allocation *allocation_create(const struct nat_policy *p);
void allocation_destroy(struct allocation *a); /* NULL is allowed */
/* False: some hosts would have fewer than BLOCK_SIZE_LEAST ports. */
bool allocation_fits(const struct allocation *a);
bool allocation_equals(const struct allocation *a, const struct allocation *b);
/* Equal numbers: block records of one are valid in the other. */
uint64_t allocation_fingerprint(const struct allocation *a);

/* The number of overflow blocks of an address. */
uint32_t allocation_reserve(const struct allocation *a);

/* Deterministic: the number of an inside address's outside address, in ascending order, and its block. False: the
 * inside address is in no prefix. */
bool allocation_share(const struct allocation *a, uint32_t inside, uint32_t *outside, uint32_t *number);
/* The reverse: the inside address to which arithmetic gives this block; 0: none. */
uint32_t allocation_owner(const struct allocation *a, uint32_t outside, uint32_t number);

#endif
