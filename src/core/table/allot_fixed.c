/* SPDX-License-Identifier: ISC */
/* Deterministic allocation (RFC 7422): a host has one block by arithmetic, and perhaps some overflow blocks. */
#include "allot_private.h"

static uint32_t ranges(const struct table *t, struct port_request *rq, struct nat_range out[ALLOT_RANGES])
{
	const struct address_use *u = &t->uses[rq->ext];
	uint32_t n = 0;

	if (rq->own.last == 0 && rq->share < u->n_blocks)
		rq->own = cut_block(&t->allocation->cut[u->cut], rq->share);
	if (rq->own.last != 0)
		out[n++] = rq->own;
	return rq->host != NULL && rq->host->first_block != 0 ? allot_given(t, rq, out, n) : n;
}

static bool has_room(const struct table *t, const struct port_request *rq, const struct host *h)
{
	const struct address_use *u = &t->uses[rq->ext];

	(void)h; /* its further blocks matter only when this one is used up */
	return rq->share < u->n_blocks && allot_has_room(t, &t->blocks[u->first_block + rq->share]);
}

static enum nat_reason may_grow(const struct table *t, const struct port_request *rq, const struct host *h)
{
	return allot_held(t, h) >= rq->blocks_max ? DROP_HOST_BLOCKS : allot_fair(t, rq, h);
}

const struct allot_kind allot_fixed = {ranges, has_room, may_grow};
