/* SPDX-License-Identifier: ISC */
/*
 * Blocks of ports: the owner of each, and how much of it is in use.
 *
 * Theory of operation. Each address that is cut has its blocks side by side, in the order of their numbers; the block
 * of a port is found by arithmetic. A block counts its ports that are marked as used (mapped, taken for a new mapping,
 * in quarantine), in all classes together. So it becomes free by itself when its last port has left quarantine. A
 * host's record leads to its blocks, and lives as long as it has any. Fixed blocks belong to a host by arithmetic
 * (allocation.h): only their use is stored.
 *
 * When the cuts change, all of this is rebuilt from the port maps, the sessions and the records of blocks
 * (block_record.c). A block in use without a known owner belongs to no host until its last port is free.
 */
#include "table_private.h"

#include <assert.h>
#include <string.h>

enum { PROBES = 8, UNIT = 64 /* bits of a word of a port map */ };

struct nat_range block_ports(const struct table *t, const struct block *b)
{
	return cut_block(&t->allocation->cut[t->uses[b->ext].cut], b->number);
}

static uint32_t owner(const struct table *t, const struct block *b)
{
	if (block_is_fixed(t, b))
		return allocation_owner(t->allocation, t->addresses[b->ext].address, b->number);
	return b->host;
}

static bool is_free(const struct block *b)
{
	return b->host == 0 && b->used == 0;
}

bool block_is_unowned(const struct table *t, const struct block *b)
{
	return b->host == 0 && b->used > 0 && !block_is_fixed(t, b);
}

static uint32_t index_of(const struct table *t, const struct block *b)
{
	return (uint32_t)(b - t->blocks);
}

/* ---- giving and releasing ---- */

static void record_event(struct table *t, const struct block *b, enum event_type type)
{
	struct event *e = event_is_wanted(&t->events, type) ? event_claim(&t->events, type) : NULL;
	struct nat_range ports = block_ports(t, b);

	if (e == NULL)
		return;
	e->int_addr = b->host;
	e->ext_addr = t->addresses[b->ext].address;
	e->ext_port = ports.first;
	e->rem_port = ports.last;
	e->created_s = b->since_s;
}

/* Where the host's list leads to this block, or would. */
static uint32_t *place_in_list(struct table *t, struct host *h, uint32_t i)
{
	uint32_t *at = &h->first_block;

	while (*at != 0 && *at - 1 < i)
		at = &t->blocks[*at - 1].next;
	return at;
}

void block_link(struct table *t, struct host *h, struct block *b)
{
	uint32_t i = index_of(t, b), *at = place_in_list(t, h, i);

	assert(b->host == 0 && !block_is_fixed(t, b));
	t->unowned_blocks -= b->used > 0;
	b->next = *at;
	*at = i + 1;
	b->host = h->address;
	h->blocks++;
	/* Sessions of forwards alone do not pair it, see count_in(). */
	if (h->sessions == 0 || (!h->is_paired && t->uses[b->ext].claimed))
		h->ext = b->ext;
}

uint16_t table_host_paired(const struct table *t, const struct host *h)
{
	const struct block *found = NULL;

	if (h->sessions > 0)
		return h->ext;
	for (uint32_t at = h->first_block; at != 0; at = t->blocks[at - 1].next) {
		const struct block *b = &t->blocks[at - 1];

		if (!t->uses[b->ext].claimed)
			continue;
		if (b->ext == h->ext)
			return h->ext;
		found = found != NULL ? found : b;
	}
	return found != NULL ? found->ext : h->ext;
}

static void unlink_block(struct table *t, struct block *b)
{
	struct host *h = host_find(t, b->host);
	uint32_t *at;

	assert(h != NULL && h->blocks > 0);
	at = place_in_list(t, h, index_of(t, b));
	assert(*at == index_of(t, b) + 1);
	*at = b->next;
	h->blocks--;
	b->next = 0;
	b->host = 0;
}

/* Is it free, and may one of its ports be usable? */
static bool can_be_given(const struct table *t, const struct block *b, const struct port_request *rq)
{
	struct nat_range ports;

	if (!is_free(b) || rq->is_shut == NULL)
		return is_free(b);
	ports = block_ports(t, b);
	return !rq->is_shut(rq->ctx, &ports);
}

/* The block of that rank among those that can be given; NULL: there are fewer, and *rank is reduced by their number. */
static struct block *free_of_rank(const struct table *t, const struct port_request *rq, uint32_t *rank)
{
	const struct address_use *u = &t->uses[rq->ext];
	struct block *all = &t->blocks[u->first_block];

	for (uint32_t i = t->allocation->fixed; u->free_blocks > 0 && i < u->n_blocks; i++) {
		if (can_be_given(t, &all[i], rq) && (*rank)-- == 0)
			return &all[i];
	}
	return NULL;
}

bool block_any(const struct table *t, const struct port_request *rq)
{
	uint32_t first = 0;

	if (rq->is_shut == NULL)
		return t->uses[rq->ext].free_blocks > 0;
	return free_of_rank(t, rq, &first) != NULL;
}

struct block *block_draw(const struct table *t, const struct port_request *rq, uint64_t *random)
{
	const struct address_use *u = &t->uses[rq->ext];
	struct block *all = &t->blocks[u->first_block];
	uint32_t fixed = t->allocation->fixed, n = u->n_blocks - fixed, rank;

	if (u->n_blocks == 0 || u->free_blocks == 0)
		return NULL;
	for (int i = 0; i < PROBES; i++) {
		*random = hash_mix(*random);
		rank = fixed + (uint32_t)((*random >> 32) * n >> 32);
		if (can_be_given(t, &all[rank], rq))
			return &all[rank];
	}
	rank = UINT32_MAX;
	free_of_rank(t, rq, &rank);
	n = UINT32_MAX - rank;
	rank = (uint32_t)((*random & UINT32_MAX) * n >> 32);
	return free_of_rank(t, rq, &rank);
}

void block_give(struct table *t, struct host *h, struct block *b)
{
	assert(is_free(b));
	block_link(t, h, b);
	h->ext = b->ext;
	t->uses[b->ext].free_blocks--;
	b->since_s = t->now_s;
	block_record_write(t, b);
	t->counters[COUNT_BLOCK_NEW]++;
	record_event(t, b, EVENT_BLOCK_NEW);
}

void block_release(struct table *t, struct block *b)
{
	assert(b->used == 0);
	if (block_is_fixed(t, b))
		return;
	t->uses[b->ext].free_blocks++;
	t->unowned_blocks -= b->host == 0;
	if (b->host == 0)
		return;
	t->counters[COUNT_BLOCK_FREED]++;
	record_event(t, b, EVENT_BLOCK_FREED);
	block_record_clear(t, b);
	unlink_block(t, b);
}

void block_count_used(struct table *t, uint16_t ext, uint16_t port)
{
	struct block *b = block_of(t, ext, port);

	if (b == NULL)
		return;
	if (b->used++ == 0 && b->host == 0) { /* a fixed one, or a mapping that was restored from the records */
		b->since_s = t->now_s;
		t->uses[ext].free_blocks -= !block_is_fixed(t, b);
		t->unowned_blocks += !block_is_fixed(t, b);
	}
}

void block_count_free(struct table *t, uint16_t ext, uint16_t port)
{
	struct block *b = block_of(t, ext, port);

	if (b == NULL)
		return;
	assert(b->used > 0);
	if (--b->used == 0)
		block_release(t, b);
}

/* ---- rebuilding ---- */

static void relist(struct table *t)
{
	for (uint32_t i = 0; i < t->address_slots.top * TABLE_CLASSES; i++) {
		if (t->uses[i / TABLE_CLASSES].touched >> i % TABLE_CLASSES & 1)
			t->ports[i].quarantined = (struct quarantine_list){0, 0};
	}
	for (uint32_t i = 0; i < t->blocks_top; i++)
		t->blocks[i].quarantined = (struct quarantine_list){0, 0};
	quarantine_relist(t);
}

static void forget_blocks(struct table *t)
{
	uint32_t top = t->host_slots.top;

	for (uint32_t i = 0; i < t->blocks_top; i++) {
		struct block *b = &t->blocks[i];

		if (b->host == 0)
			continue;
		assert(t->allocation != NULL); /* which gave it to its host */
		t->counters[COUNT_BLOCK_FREED]++;
		record_event(t, b, EVENT_BLOCK_FREED);
	}
	memset(t->blocks, 0, t->blocks_top * sizeof(*t->blocks));
	t->blocks_top = t->unowned_blocks = 0;
	for (uint32_t i = 0; i < t->address_slots.top; i++)
		t->uses[i].n_blocks = t->uses[i].free_blocks = 0;
	for (uint32_t i = slots_next(&t->host_slots, 0, top); i < top; i = slots_next(&t->host_slots, i + 1, top))
		t->hosts[i].blocks = t->hosts[i].first_block = 0;
}

/* The used ports from `at` to the end of its word, or to `last`. */
static uint64_t used_bits(const struct port_map *m, uint32_t at, uint32_t last)
{
	uint64_t bits = m->used[at / UNIT] & UINT64_MAX << at % UNIT;

	return last / UNIT == at / UNIT ? bits & UINT64_MAX >> (UNIT - 1 - last % UNIT) : bits;
}

static uint32_t used_in(const struct port_map *m, const struct nat_range *r)
{
	uint32_t n = 0;

	for (uint32_t at = r->first; at <= r->last; at = (at | (UNIT - 1)) + 1)
		n += (uint32_t)__builtin_popcountll(used_bits(m, at, r->last));
	return n;
}

static void count_used(struct table *t, struct block *b)
{
	struct nat_range ports = block_ports(t, b);

	for (unsigned c = 0; c < TABLE_CLASSES; c++) {
		if (t->uses[b->ext].touched >> c & 1)
			b->used += used_in(port_map(t, c, b->ext), &ports);
	}
	b->since_s = t->now_s;
	t->uses[b->ext].free_blocks += !block_is_fixed(t, b) && b->used == 0;
	t->unowned_blocks += block_is_unowned(t, b);
}

/* If there is no room for the blocks of an address, it has none and supplies no ports. */
static void lay_out(struct table *t, uint16_t ext, enum allocation_cut cut)
{
	struct address_use *u = &t->uses[ext];
	uint32_t n = cut == CUT_NONE ? 0 : t->allocation->cut[cut].blocks;

	u->cut = (uint8_t)cut;
	u->n_blocks = u->free_blocks = 0;
	if (n > t->max_blocks - t->blocks_top)
		return;
	u->first_block = t->blocks_top;
	u->n_blocks = n;
	t->blocks_top += n;
	for (uint32_t i = 0; i < n; i++) {
		struct block *b = &t->blocks[u->first_block + i];

		*b = (struct block){.ext = ext, .number = (uint16_t)i};
		count_used(t, b);
	}
}

static uint32_t most_blocks(const struct allocation *a)
{
	return a->kind == ALLOCATION_BLOCK ? a->blocks.per_host : a->blocks.overflow;
}

/* After a change of the cut limits apply, and a host has blocks on one address only. */
static bool may_own(const struct table *t, const struct block *b, const struct host *h)
{
	return h != NULL && h->ext == b->ext && h->blocks < most_blocks(t->allocation);
}

/* The block of the session, if it has no owner and may become its host's. *h: the host. */
static struct block *claimable(const struct table *t, const struct session *s, struct host **h)
{
	struct block *b = session_is_pooled(s) ? block_of(t, s->ext, s->ext_port) : NULL;

	if (b == NULL || !block_is_unowned(t, b))
		return NULL;
	*h = host_find(t, s->int_addr);
	return may_own(t, b, *h) ? b : NULL;
}

/* Gives the host a block in which it had sessions before the change of the cut. */
static void take_over(struct table *t, struct host *h, struct block *b)
{
	block_link(t, h, b);
	t->counters[COUNT_BLOCK_NEW]++;
	record_event(t, b, EVENT_BLOCK_NEW);
}

/* The first mapping on these ports of one class. INDEX_NONE: the used ones are all in quarantine. */
static uint32_t mapping_on(const struct table *t, unsigned proto_class, uint16_t ext, const struct nat_range *r)
{
	const struct port_map *m = port_map(t, proto_class, ext);
	uint32_t ref = INDEX_NONE;

	for (uint32_t at = r->first; at <= r->last && ref == INDEX_NONE; at = (at | (UNIT - 1)) + 1) {
		uint64_t bits = used_bits(m, at, r->last) & ~m->resting[at / UNIT];

		for (; bits != 0 && ref == INDEX_NONE; bits &= bits - 1)
			ref = mapping_owner(t, proto_class, ext,
					    (uint16_t)(at / UNIT * UNIT + (uint32_t)__builtin_ctzll(bits)));
	}
	return ref;
}

/* The inside host of a mapping on the block's ports; 0: none. */
static uint32_t mapped_host(const struct table *t, const struct block *b)
{
	const struct nat_range ports = block_ports(t, b);
	uint32_t ref = INDEX_NONE;

	for (unsigned c = 0; c < TABLE_CLASSES && ref == INDEX_NONE; c++) {
		if (t->uses[b->ext].touched >> c & 1)
			ref = mapping_on(t, c, b->ext, &ports);
	}
	return ref == INDEX_NONE ? 0 : mapping_inside(t, ref);
}

/* After a restart: gives blocks in use to the hosts that have mappings there. `is_limited`: the cut has changed. */
static void claim_by_mappings(struct table *t, bool is_limited)
{
	for (uint32_t i = 0; i < t->blocks_top && t->unowned_blocks > 0; i++) {
		struct block *b = &t->blocks[i];
		uint32_t address = block_is_unowned(t, b) ? mapped_host(t, b) : 0;
		struct host *h = address != 0 ? host_find(t, address) : NULL;

		if (h != NULL && !is_limited)
			block_link(t, h, b);
		else if (may_own(t, b, h))
			take_over(t, h, b);
	}
}

static bool has_used_ports(const struct address_use *u)
{
	return u->used[CLASS_TCP] + u->used[CLASS_UDP] + u->used[CLASS_ICMP] > 0;
}

void table_cut_address(struct table *t, uint16_t slot, enum allocation_cut cut)
{
	if (!address_is_used(t, slot) || t->allocation == NULL || t->uses[slot].n_blocks > 0 || cut == CUT_NONE)
		return;
	lay_out(t, slot, cut);
	if (has_used_ports(&t->uses[slot])) /* from before it was an address of the policy again */
		relist(t);
}

/* Its block numbers are about to change their meaning. */
static void forget_records(struct table *t, const struct address_use *u)
{
	for (uint32_t i = 0; i < u->n_blocks; i++)
		block_record_clear(t, &t->blocks[u->first_block + i]);
}

/* False: an address is cut differently than before. Addresses added since are cut. */
static bool keeps_cuts(struct table *t, enum allocation_cut (*cut_of)(const void *ctx, uint32_t address),
		       const void *ctx)
{
	uint32_t top = t->address_slots.top;
	bool keeps = true;

	for (uint32_t i = slots_next(&t->address_slots, 0, top); i < top;
	     i = slots_next(&t->address_slots, i + 1, top)) {
		enum allocation_cut cut = cut_of(ctx, t->addresses[i].address);

		if (cut ==
		    /* not an address of the policy any more: it keeps its blocks until its last port is free */
		    CUT_NONE)
			continue;
		if (t->uses[i].n_blocks == 0)
			table_cut_address(t, (uint16_t)i, cut);
		if (t->uses[i].n_blocks > 0 && t->uses[i].cut == cut)
			continue;
		forget_records(t, &t->uses[i]);
		keeps = false;
	}
	return keeps;
}

void table_set_allocation(struct table *t, const struct allocation *a,
			  enum allocation_cut (*cut_of)(const void *ctx, uint32_t address), const void *ctx)
{
	bool is_first = t->allocation == NULL, is_same = !is_first && allocation_equals(t->allocation, a);
	uint32_t top = t->address_slots.top;

	if (!is_same)
		forget_blocks(t);
	t->allocation = a;
	if (is_same && (a->kind == ALLOCATION_PORT || keeps_cuts(t, cut_of, ctx)))
		return;
	if (is_same)
		forget_blocks(t);
	if (is_first ? !block_records_fit(t) : !is_same)
		block_records_clear(t);
	for (uint32_t i = slots_next(&t->address_slots, 0, top); i < top && a->kind != ALLOCATION_PORT;
	     i = slots_next(&t->address_slots, i + 1, top))
		lay_out(t, (uint16_t)i, cut_of(ctx, t->addresses[i].address));
	if (t->blocks_top > 0 && is_first)
		claim_by_mappings(t, t->block_records == 0);
	if (a->kind != ALLOCATION_PORT) /* even without any block: a leftover record would name a later owner's */
		block_records_restore(t);
	relist(t);
}

bool table_port_fits(const struct table *t, const struct session *s)
{
	const struct address_use *u = &t->uses[s->ext];
	const struct block *b;
	struct host *h;
	int32_t number;

	if (t->blocks_top == 0 || !session_is_pooled(s))
		return true;
	number = u->n_blocks == 0 ? -1 : cut_number(&t->allocation->cut[u->cut], s->ext_port);
	if (number < 0)
		return false;
	if ((uint32_t)number < t->allocation->fixed)
		return allocation_owner(t->allocation, t->addresses[s->ext].address, (uint32_t)number) == s->int_addr;
	b = &t->blocks[u->first_block + (uint32_t)number];
	return b->host == s->int_addr || claimable(t, s, &h) != NULL;
}

void table_fits_prefetch(const struct table *t, struct session *const s[], uint32_t n)
{
	for (uint32_t i = 0; i < n && t->blocks_top > 0; i++) {
		const struct block *b = session_is_pooled(s[i]) ? block_of(t, s[i]->ext, s[i]->ext_port) : NULL;

		if (b != NULL)
			prefetch(b);
	}
}

void table_port_claim(struct table *t, const struct session *s)
{
	struct host *h;
	struct block *b = t->unowned_blocks > 0 ? claimable(t, s, &h) : NULL;

	if (b == NULL)
		return;
	take_over(t, h, b);
	block_record_write(t, b);
}

/* ---- for other code ---- */

static bool view(const struct table *t, const struct block *b, struct block_view *v)
{
	*v = (struct block_view){
		.host = owner(t, b),
		.ext = b->ext,
		.ports = block_ports(t, b),
		.used = b->used,
		.since_s = b->since_s,
		.is_fixed = block_is_fixed(t, b),
	};
	return v->host != 0;
}

bool table_block_next(const struct table *t, uint32_t *cursor, uint32_t budget, struct block_view *v)
{
	uint32_t i = *cursor, end = budget < t->blocks_top - i ? i + budget : t->blocks_top;

	for (; i < end; i++) {
		const struct block *b = &t->blocks[i];

		if (b->used > 0 && t->uses[b->ext].n_blocks > 0 && view(t, b, v)) {
			*cursor = i + 1;
			return true;
		}
	}
	*cursor = end < t->blocks_top ? end : 0;
	return false;
}

bool table_block_at(const struct table *t, uint16_t slot, uint16_t port, struct block_view *v)
{
	const struct block *b = slot < t->max_addresses ? block_of(t, slot, port) : NULL;

	return b != NULL && view(t, b, v);
}
