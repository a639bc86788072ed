/* SPDX-License-Identifier: ISC */
/*
 * A kind of allocation: which ports an inside host may draw from, and what it gets when they are used up. A new kind is a
 * file that defines one of these, and a row in allot.c.
 */
#ifndef NATD_CORE_ALLOT_PRIVATE_H
#define NATD_CORE_ALLOT_PRIVATE_H

#include "table_private.h"

enum { ALLOT_RANGES = 64 /* blocks of one host that a choice looks at */ };

struct allot_kind {
	/* The host's ports on the address, ascending; how many ranges. */
	uint32_t (*ranges)(const struct table *t, const struct port_request *rq, struct nat_range out[ALLOT_RANGES]);
	/* May it have one more block? NAT_PASS: yes, if there is a free one. */
	enum nat_reason (*may_grow)(const struct table *t, const struct port_request *rq, const struct host *h);
};

extern const struct allot_kind allot_block, allot_fixed;

/* The blocks that the host was given on the address, from `n` on in `out`; how many entries that makes. */
uint32_t allot_given(const struct table *t, const struct port_request *rq, struct nat_range *out, uint32_t n);
/* Its blocks, but for those that quarantined ports hold on addresses that are none any more. */
uint32_t allot_held(const struct table *t, const struct host *h);
/* Of the last `blocks_kept`, a host that has blocks must have fewer than are free. */
enum nat_reason allot_fair(const struct table *t, const struct port_request *rq, const struct host *h);

#endif
