/* SPDX-License-Identifier: ISC */
/*
 * Allocates ports for inside hosts.
 *
 * Theory of operation. If ports are allocated one by one, this is a choice from the ranges of the address. Otherwise it
 * is the same random choice (RFC 6056) from the host's parts of them: its blocks. If none of their ports is free, the
 * host gets one more block, within its limits; after that a port of its own leaves quarantine early, under the
 * conditions of RFC 6888 REQ-8. So one function chooses ports, and the kind of allocation supplies the ranges:
 * allot_private.h.
 */
#include "allot_private.h"

#include <assert.h>

static const struct allot_kind *kind_of(const struct table *t)
{
	static const struct allot_kind *const kinds[] = {
		[ALLOCATION_PORT] = NULL,
		[ALLOCATION_BLOCK] = &allot_block,
		[ALLOCATION_DETERMINISTIC] = &allot_fixed,
	};

	return t->blocks_top > 0 ? kinds[t->allocation->kind] : NULL;
}

uint32_t allot_given(const struct table *t, const struct port_request *rq, struct nat_range *out, uint32_t n)
{
	uint32_t at = rq->host != NULL ? rq->host->first_block : 0;

	for (; at != 0 && n < ALLOT_RANGES; at = t->blocks[at - 1].next) {
		if (t->blocks[at - 1].ext == rq->ext)
			out[n++] = block_ports(t, &t->blocks[at - 1]);
	}
	return n;
}

bool allot_given_has_room(const struct table *t, const struct port_request *rq, const struct host *h)
{
	uint32_t at = h != NULL ? h->first_block : 0;

	while (at != 0 && (t->blocks[at - 1].ext != rq->ext || !allot_has_room(t, &t->blocks[at - 1])))
		at = t->blocks[at - 1].next;
	return at != 0;
}

uint32_t allot_held(const struct table *t, const struct host *h)
{
	uint32_t n = 0;

	for (uint32_t at = h->first_block; at != 0; at = t->blocks[at - 1].next)
		n += t->uses[t->blocks[at - 1].ext].claimed;
	return n;
}

enum nat_reason allot_fair(const struct table *t, const struct port_request *rq, const struct host *h)
{
	uint32_t left = t->uses[rq->ext].free_blocks, held = allot_held(t, h);

	if (held == 0 || left == 0)
		return NAT_PASS;
	return left <= rq->blocks_kept && held >= left ? DROP_HOST_SHARE : NAT_PASS;
}

/* A free block with an available port: it may take more than one draw, if forwards or sockets of the host have many
 * ports. */
static struct block *draw_usable(const struct table *t, const struct port_request *rq, uint64_t *random, uint32_t now_s)
{
	enum { DRAWS = 4 };
	struct port_request one = *rq;

	for (int i = 0; i < DRAWS; i++) {
		struct block *b = block_draw(t, rq, random);
		struct nat_range range;

		if (b == NULL)
			break;
		range = block_ports(t, b);
		one.ranges = &range;
		one.n_ranges = 1;
		if (table_port_any(t, &one, now_s))
			return b;
	}
	return NULL;
}

/* Takes a port from one more block. */
static enum nat_reason grow(struct table *t, const struct allot_kind *kind, const struct port_request *rq,
			    uint64_t random, uint32_t now_s, uint16_t *port)
{
	struct host *h = rq->host != NULL ? host_find(t, rq->host->address) : NULL;
	struct port_request one = *rq;
	struct nat_range range;
	struct block *b;
	bool recycled = false;
	enum nat_reason why = h == NULL ? DROP_TABLE : kind->may_grow(t, rq, h);

	if (why != NAT_PASS)
		return why;
	b = draw_usable(t, rq, &random, now_s);
	if (b == NULL)
		return DROP_NO_PORT;
	block_give(t, h, b);
	range = block_ports(t, b);
	one.ranges = &range;
	one.n_ranges = 1;
	*port = port_choose(t, &one, random, now_s, &recycled);
	if (*port != 0)
		return NAT_PASS;
	if (b->used == 0) /* so many of its ports are refused that the choice gave up */
		block_release(t, b);
	return DROP_NO_PORT;
}

/* A port of the host's blocks. */
static enum nat_reason choose_within(struct table *t, const struct allot_kind *kind, struct port_request *rq,
				     uint64_t random, uint32_t now_s, uint16_t *port, bool *recycled)
{
	struct nat_range ranges[ALLOT_RANGES];
	enum nat_reason why = DROP_NO_PORT;
	bool may_recycle = rq->may_recycle;

	rq->ranges = ranges;
	rq->n_ranges = kind->ranges(t, rq, ranges);
	rq->may_recycle = false;
	if (rq->n_ranges > 0)
		*port = port_choose(t, rq, random, now_s, recycled);
	if (*port == 0)
		why = grow(t, kind, rq, random, now_s, port);
	if (*port == 0 && may_recycle && rq->n_ranges > 0) {
		rq->may_recycle = true;
		*port = port_choose(t, rq, random, now_s, recycled);
	}
	rq->ranges = NULL; /* they end with this function */
	rq->n_ranges = 0;
	rq->may_recycle = may_recycle;
	return *port != 0 ? NAT_PASS : why;
}

enum nat_reason table_port_allot(struct table *t, struct port_request *rq, uint64_t random, uint32_t now_s,
				 uint16_t *port, bool *recycled)
{
	const struct allot_kind *kind;

	*recycled = false;
	*port = 0;
	if (!port_prepare(t, rq, now_s))
		return DROP_NO_PORT;
	kind = kind_of(t);
	if (kind != NULL)
		return choose_within(t, kind, rq, random, now_s, port, recycled);
	*port = port_choose(t, rq, random, now_s, recycled);
	return *port != 0 ? NAT_PASS : DROP_NO_PORT;
}

static enum nat_reason could_within(const struct table *t, const struct allot_kind *kind, const struct port_request *rq,
				    uint32_t now_s)
{
	static const struct host none = {0};
	const struct host *h = rq->host;
	struct nat_range ranges[ALLOT_RANGES];
	struct port_request own = *rq;
	enum nat_reason why;

	own.ranges = ranges;
	own.n_ranges = kind->ranges(t, &own, ranges);
	own.may_recycle = false;
	if (own.n_ranges > 0 && table_port_any(t, &own, now_s))
		return NAT_PASS;
	why = kind->may_grow(t, rq, h != NULL ? h : &none);
	if (why == NAT_PASS)
		why = block_any(t, rq) ? NAT_PASS : DROP_NO_PORT;
	own.may_recycle = rq->may_recycle;
	return why != NAT_PASS && own.n_ranges > 0 && table_port_any(t, &own, now_s) ? NAT_PASS : why;
}

enum nat_reason table_port_could(const struct table *t, const struct port_request *rq, uint32_t now_s)
{
	const struct allot_kind *kind = kind_of(t);

	if (rq->proto_class >= TABLE_CLASSES || !address_is_used(t, rq->ext))
		return DROP_NO_PORT;
	if (kind == NULL)
		return table_port_any(t, rq, now_s) ? NAT_PASS : DROP_NO_PORT;
	if (rq->usable == NULL && kind->has_room(t, rq, rq->host))
		return NAT_PASS;
	return could_within(t, kind, rq, now_s);
}

bool table_port_has_room(const struct table *t, const struct port_request *rq, const struct host *h)
{
	const struct allot_kind *kind = kind_of(t);

	return kind != NULL && address_is_used(t, rq->ext) && kind->has_room(t, rq, h);
}

static void prefetch_within(const struct table *t, const struct allot_kind *kind, struct port_request *rq,
			    uint64_t random)
{
	struct nat_range ranges[ALLOT_RANGES];

	rq->ranges = ranges;
	rq->n_ranges = kind->ranges(t, rq, ranges);
	port_prefetch(t, rq, random);
	rq->ranges = NULL;
	rq->n_ranges = 0;
}

void table_port_prefetch(const struct table *t, struct port_request *rq, uint64_t random)
{
	const struct allot_kind *kind = kind_of(t);

	if (rq->proto_class >= TABLE_CLASSES || !address_is_used(t, rq->ext))
		return;
	if (kind != NULL)
		prefetch_within(t, kind, rq, random);
	else
		port_prefetch(t, rq, random);
}
