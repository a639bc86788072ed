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
		t->counters[COUNT_BLOCK_FREED]++;
		record_event(t, b, EVENT_BLOCK_FREED);
	}
	memset(t->blocks, 0, t->blocks_top * sizeof(*t->blocks));
	t->blocks_top = 0;
	for (uint32_t i = 0; i < t->address_slots.top; i++)
		t->uses[i].n_blocks = t->uses[i].free_blocks = 0;
	for (uint32_t i = slots_next(&t->host_slots, 0, top); i < top; i = slots_next(&t->host_slots, i + 1, top))
		t->hosts[i].blocks = t->hosts[i].first_block = 0;
}

static uint32_t used_in(const struct port_map *m, const struct nat_range *r)
{
	uint32_t n = 0;

	for (uint32_t at = r->first; at <= r->last; at = (at | (UNIT - 1)) + 1) {
		uint64_t bits = m->used[at / UNIT] & UINT64_MAX << at % UNIT;

		if (r->last / UNIT == at / UNIT)
			bits &= UINT64_MAX >> (UNIT - 1 - r->last % UNIT);
		n += (uint32_t)__builtin_popcountll(bits);
	}
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

/* The block of the session, if it has no owner and may become its host's. After a change of the cut (`is_limited`)
 * limits apply, and a host has blocks on one address only. *h: the host. */
static struct block *claimable(const struct table *t, const struct session *s, bool is_limited, struct host **h)
{
	struct block *b = session_is_pooled(s) ? block_of(t, s->ext, s->ext_port) : NULL;

	if (b == NULL || b->host != 0 || b->used == 0 || block_is_fixed(t, b))
		return NULL;
	*h = host_find(t, s->int_addr);
	if (*h == NULL || (is_limited && ((*h)->ext != s->ext || (*h)->blocks >= most_blocks(t->allocation))))
		return NULL;
	return b;
}

/* The block that the session has claimed; NULL: none. */
static struct block *claim(struct table *t, const struct session *s, bool is_limited)
{
	struct host *h;
	struct block *b = claimable(t, s, is_limited, &h);

	if (b == NULL)
		return NULL;
	block_link(t, h, b);
	if (!is_limited)
		return b;
	t->counters[COUNT_BLOCK_NEW]++;
	record_event(t, b, EVENT_BLOCK_NEW);
	return b;
}

/* Without overflow each deterministic block has an owner by arithmetic. */
static bool may_be_claimed(const struct allocation *a)
{
	return a->fixed < a->cut[CUT_POOL].blocks || a->cut[CUT_SHARED].blocks > 0;
}

static void claim_by_sessions(struct table *t, bool is_limited)
{
	uint32_t top = t->session_slots.top;

	if (!may_be_claimed(t->allocation))
		return;
	for (uint32_t i = slots_next(&t->session_slots, 0, top); i < top; i = slots_next(&t->session_slots, i + 1, top))
		claim(t, &t->sessions[i], is_limited);
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
		claim_by_sessions(t, t->block_records == 0);
	if (a->kind != ALLOCATION_PORT) /* even without any block: a leftover record would name a later owner's */
		block_records_restore(t);
	relist(t);
}

bool table_port_fits(const struct table *t, const struct session *s)
{
	const struct block *b;
	struct host *h;

	if (t->blocks_top == 0 || !session_is_pooled(s))
		return true;
	b = block_of(t, s->ext, s->ext_port);
	return b != NULL && (owner(t, b) == s->int_addr || claimable(t, s, true, &h) != NULL);
}

void table_port_claim(struct table *t, const struct session *s)
{
	struct block *b = t->blocks_top > 0 ? claim(t, s, true) : NULL;

	if (b != NULL)
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
