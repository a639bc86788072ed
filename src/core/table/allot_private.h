/* SPDX-License-Identifier: ISC */
/*
 * A kind of allocation: the ports from which an inside host may draw, and what happens when they are used up. A new
 * kind is a file that defines one of these, and a row in allot.c.
 */
#ifndef NATD_CORE_ALLOT_PRIVATE_H
#define NATD_CORE_ALLOT_PRIVATE_H

#include "table_private.h"

enum { ALLOT_RANGES = 64 /* blocks of one host that a choice considers */ };

struct allot_kind {
	/* The host's ports on the address, ascending; returns the number of ranges. */
	uint32_t (*ranges)(const struct table *t, struct port_request *rq, struct nat_range out[ALLOT_RANGES]);
	/* Does it have a block on the address that certainly has a free port? */
	bool (*has_room)(const struct table *t, const struct port_request *rq, const struct host *h);
	/* May it get one more block? NAT_PASS: yes, if there is a free one. */
	enum nat_reason (*may_grow)(const struct table *t, const struct port_request *rq, const struct host *h);
};

extern const struct allot_kind allot_block, allot_fixed;

/* Appends the blocks that the host was given on the address to `out`, from `n` on; returns the new number of
 * entries. */
uint32_t allot_given(const struct table *t, const struct port_request *rq, struct nat_range *out, uint32_t n);
bool allot_given_has_room(const struct table *t, const struct port_request *rq, const struct host *h);
/* `used` counts all classes together: below the size, each class has a free port. */
static inline bool allot_has_room(const struct table *t, const struct block *b)
{
	return b->used < t->allocation->cut[t->uses[b->ext].cut].size;
}
/* The number of its blocks, without those kept only by quarantined ports on addresses that are no longer outside
 * addresses. */
uint32_t allot_held(const struct table *t, const struct host *h);
/* To get one of the last `blocks_kept`, a host must have fewer blocks than are free. */
enum nat_reason allot_fair(const struct table *t, const struct port_request *rq, const struct host *h);

#endif
