/* SPDX-License-Identifier: ISC */
/* Ports in blocks: a host has the blocks that it was given, up to a limit. */
#include "allot_private.h"

static uint32_t ranges(const struct table *t, struct port_request *rq, struct nat_range out[ALLOT_RANGES])
{
	return allot_given(t, rq, out, 0);
}

static enum nat_reason may_grow(const struct table *t, const struct port_request *rq, const struct host *h)
{
	return allot_held(t, h) >= rq->blocks_max ? DROP_HOST_BLOCKS : allot_fair(t, rq, h);
}

const struct allot_kind allot_block = {ranges, allot_given_has_room, may_grow};
