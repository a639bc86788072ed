/* SPDX-License-Identifier: ISC */
/*
 * How outside ports are handed out, as the policy says it: the cuts into blocks, and the arithmetic of deterministic
 * allocation (RFC 7422). Immutable and pure, so that natd -t and `natctl who --config` work with the same numbers.
 *
 * Deterministic: the hosts of all inside prefixes are numbered in the order of their addresses, as are the outside
 * addresses. Host h has address h modulo addresses, and there block h / addresses. The block size is the largest that
 * gives each host of an address its block. With blocks.overflow an address keeps more blocks, one for eight hosts and
 * at least that number, which are given to hosts that need more.
 */
#ifndef NATD_CORE_ALLOCATION_H
#define NATD_CORE_ALLOCATION_H

#include "cut.h"

struct allocation_span { /* consecutive addresses */
	uint32_t first, last;
	uint32_t base; /* number of the first one */
};

enum allocation_cut { CUT_POOL, CUT_SHARED, CUT_NONE }; /* which cut an address has */

struct allocation {
	enum nat_allocation kind;
	struct nat_blocks blocks;
	struct cut cut[2];  /* by enum allocation_cut; all zero for ALLOCATION_PORT */
	uint32_t fixed;	    /* deterministic: so many blocks of each address are those of its hosts, the first ones */
	uint32_t hosts;	    /* deterministic, as are those below: addresses of the prefixes */
	uint32_t n_outside; /* outside addresses */
	uint32_t n_prefixes, n_pools;
	struct allocation_span *prefixes, *pools; /* owned, ascending */
};

/* NULL: memory is short. A deterministic policy that does not fit has blocks of size 0, see allocation_fits(). */
struct allocation *allocation_create(const struct nat_policy *p);
void allocation_destroy(struct allocation *a); /* NULL: nothing */
/* False: some host would have fewer than BLOCK_SIZE_LEAST ports. */
bool allocation_fits(const struct allocation *a);
bool allocation_equals(const struct allocation *a, const struct allocation *b);
/* A number that differs where block records of one mean nothing to the other. */
uint64_t allocation_fingerprint(const struct allocation *a);

/* The most hosts that share one address, and how many of its blocks are for overflow. */
uint32_t allocation_reserve(const struct allocation *a);

/* Deterministic: the number of the outside address of an inside one, in ascending order, and its block. False: the inside
 * address is in no prefix. */
bool allocation_share(const struct allocation *a, uint32_t inside, uint32_t *outside, uint32_t *number);
/* The other way round: the inside address that has this block by arithmetic; 0: none. */
uint32_t allocation_owner(const struct allocation *a, uint32_t outside, uint32_t number);

#endif
