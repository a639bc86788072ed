/* SPDX-License-Identifier: ISC */
/*
 * Outside ports: which are in use, and the choice of a free one.
 *
 * Theory of operation
 *
 * There is one bit a port for each address and class, and for each block of 512 the number of used ones, odd and even
 * separately. A choice first probes a few ports at random. If all are used, it counts the free ones that qualify (at
 * most 128 blocks, and the words at the edges of the ranges), draws a rank, and takes the port of that rank. Both ways
 * every port that qualifies is equally likely, and the cost is bounded at any fill.
 *
 * A port that the caller refuses (usable) is marked used until the choice is over, so no port is checked twice.
 */
#include "table_private.h"

enum { PROBES = 8, EXPIRE_BEFORE = 32, PORT_LOW_LAST = 1023 };
#define EVEN 0x5555555555555555ull

/* The requirements on a free port in one attempt. */
struct demand {
	const struct port_request *rq;
	uint32_t low, high;
	uint64_t parity; /* mask for a word */
};

struct choice {
	struct table *t;
	struct port_map *map;
	const struct port_request *rq;
	uint64_t random;
	uint32_t refused;
	uint32_t now_s;
	uint16_t refusal[TABLE_PORT_ASKS];
};

void port_set(struct port_map *m, uint16_t port)
{
	m->used[port / 64] |= port_bit(port);
	m->taken[port / PORT_BLOCK][port % 2]++;
}

void port_clear(struct port_map *m, uint16_t port)
{
	m->used[port / 64] &= ~port_bit(port);
	m->taken[port / PORT_BLOCK][port % 2]--;
}

void port_occupy(struct table *t, unsigned proto_class, uint16_t ext, uint16_t port)
{
	port_set(port_map(t, proto_class, ext), port);
	t->uses[ext].used[proto_class]++;
	t->uses[ext].touched |= (uint8_t)(1u << proto_class);
	if (t->blocks_top > 0)
		block_count_used(t, ext, port);
	if (t->port_watch)
		t->port_watch(t->port_watch_ctx, (enum nat_class)proto_class, t->addresses[ext].address, port, true);
}

void port_free(struct table *t, unsigned proto_class, uint16_t ext, uint16_t port)
{
	port_clear(port_map(t, proto_class, ext), port);
	t->uses[ext].used[proto_class]--;
	if (t->blocks_top > 0)
		block_count_free(t, ext, port);
	if (t->port_watch)
		t->port_watch(t->port_watch_ctx, (enum nat_class)proto_class, t->addresses[ext].address, port, false);
}

void table_watch_ports(struct table *t, table_port_fn *fn, void *ctx)
{
	t->port_watch = fn;
	t->port_watch_ctx = ctx;
}

/* ---- ranges ---- */

/* The part of range `i` within the demand. False: it is empty. */
static bool clip(const struct demand *d, uint32_t i, uint32_t *low, uint32_t *high)
{
	*low = d->rq->ranges[i].first > d->low ? d->rq->ranges[i].first : d->low;
	*high = d->rq->ranges[i].last < d->high ? d->rq->ranges[i].last : d->high;
	if (*low > *high)
		return false;
	if (d->parity != UINT64_MAX) {
		uint32_t odd = d->parity == EVEN ? 0 : 1;

		*low += (*low ^ odd) & 1;
		*high -= (*high ^ odd) & 1;
	}
	return *low <= *high;
}

static uint32_t stride(const struct demand *d)
{
	return d->parity == UINT64_MAX ? 1 : 2;
}

/* Number of ports that qualify, used or not. */
static uint32_t width(const struct demand *d)
{
	uint32_t n = 0, low, high;

	for (uint32_t i = 0; i < d->rq->n_ranges; i++) {
		if (clip(d, i, &low, &high))
			n += (high - low) / stride(d) + 1;
	}
	return n;
}

/* The k-th of them, k < width(). */
static uint16_t nth(const struct demand *d, uint32_t k)
{
	uint32_t low, high;

	for (uint32_t i = 0; i < d->rq->n_ranges; i++) {
		uint32_t n;

		if (!clip(d, i, &low, &high))
			continue;
		n = (high - low) / stride(d) + 1;
		if (k < n)
			return (uint16_t)(low + k * stride(d));
		k -= n;
	}
	return 0;
}

static bool in_ranges(const struct port_request *rq, uint16_t port)
{
	for (uint32_t i = 0; i < rq->n_ranges; i++) {
		if (port >= rq->ranges[i].first && port <= rq->ranges[i].last)
			return true;
	}
	return false;
}

/* ---- free ports by rank ---- */

/* Free ports in the word of `at`, from there to `high`. */
static uint64_t free_bits(const struct port_map *m, uint64_t parity, uint32_t at, uint32_t high)
{
	uint64_t bits = ~m->used[at / 64] & parity & UINT64_MAX << (at % 64);

	return high / 64 == at / 64 ? bits & UINT64_MAX >> (63 - high % 64) : bits;
}

static uint32_t free_in_block(const struct port_map *m, uint64_t parity, uint32_t block)
{
	const uint16_t *taken = m->taken[block];

	if (parity == UINT64_MAX)
		return PORT_BLOCK - (uint32_t)taken[0] - taken[1];
	return PORT_BLOCK / 2 - (uint32_t)taken[parity == EVEN ? 0 : 1];
}

/* Number of free ports from `at` to the end of its block, if that is whole and within `high`, else of its word;
 * *next is the port after it. */
static uint32_t free_in_step(const struct port_map *m, uint64_t parity, uint32_t at, uint32_t high, uint32_t *next)
{
	if (at % PORT_BLOCK == 0 && at + PORT_BLOCK - 1 <= high) {
		*next = at + PORT_BLOCK;
		return free_in_block(m, parity, at / PORT_BLOCK);
	}
	*next = (at | 63) + 1;
	return (uint32_t)__builtin_popcountll(free_bits(m, parity, at, high));
}

static uint32_t count_free(const struct port_map *m, const struct demand *d)
{
	uint32_t n = 0, low, high, next;

	for (uint32_t i = 0; i < d->rq->n_ranges; i++) {
		if (!clip(d, i, &low, &high))
			continue;
		for (uint32_t at = low; at <= high; at = next)
			n += free_in_step(m, d->parity, at, high, &next);
	}
	return n;
}

/* The free port of rank *k in [at, high]; 0: there are fewer, and *k is reduced by their number. */
static uint16_t free_of_rank(const struct port_map *m, uint64_t parity, uint32_t at, uint32_t high, uint32_t *k)
{
	uint32_t next, n;
	uint64_t bits;

	for (; at <= high && (n = free_in_step(m, parity, at, high, &next)) <= *k; at = next)
		*k -= n;
	for (; at <= high; at = (at | 63) + 1) { /* within this step, word by word */
		bits = free_bits(m, parity, at, high);
		n = (uint32_t)__builtin_popcountll(bits);
		if (n > *k)
			break;
		*k -= n;
	}
	if (at > high)
		return 0;
	for (; *k > 0; --*k)
		bits &= bits - 1;
	return (uint16_t)(at / 64 * 64 + (uint32_t)__builtin_ctzll(bits));
}

static uint16_t free_by_rank(const struct port_map *m, const struct demand *d, uint32_t k)
{
	uint32_t low, high;

	for (uint32_t i = 0; i < d->rq->n_ranges; i++) {
		uint16_t port;

		if (!clip(d, i, &low, &high))
			continue;
		port = free_of_rank(m, d->parity, low, high, &k);
		if (port != 0)
			return port;
	}
	return 0;
}

/* ---- choice ---- */

/* A number below n, from the caller's random bits. 32 bits times n: uneven by less than n / 2^32. */
static uint32_t below(uint64_t *random, uint32_t n)
{
	*random = hash_mix(*random);
	return (uint32_t)((*random >> 32) * n >> 32);
}

static bool may_ask(const struct choice *c)
{
	return c->refused < TABLE_PORT_ASKS;
}

/* The caller's check of a port. A refused one counts as used from now on. */
static bool accept(struct choice *c, uint16_t port)
{
	if (c->rq->usable == NULL || c->rq->usable(c->rq->ctx, port))
		return true;
	c->refusal[c->refused++] = port;
	return false;
}

static bool try_port(struct choice *c, uint16_t port)
{
	if (port_is_used(c->map, port) || !may_ask(c))
		return false;
	if (accept(c, port))
		return true;
	port_set(c->map, port);
	return false;
}

/* Prefetches what the choice of this port, and the opening of its mapping, will read. */
static void prefetch_port(const struct table *t, const struct port_request *rq, uint16_t port)
{
	struct port_map *m = port_map(t, rq->proto_class, rq->ext);

	prefetch(&m->used[port / 64]);
	prefetch(&m->resting[port / 64]);
	prefetch(m->taken[port / PORT_BLOCK]);
	index_prefetch_both(&t->index[IX_EXTERNAL], mapping_key_external(t, rq->proto_class, rq->ext, port));
}

static uint16_t choose_free(struct choice *c, const struct demand *d)
{
	uint32_t n = width(d);
	uint16_t port;

	for (int i = 0; i < PROBES && n > 0; i++) {
		port = nth(d, below(&c->random, n));
		if (i == 0) /* almost always free */
			prefetch_port(c->t, c->rq, port);
		if (try_port(c, port))
			return port;
	}
	while (n > 0 && may_ask(c)) {
		n = count_free(c->map, d);
		port = n > 0 ? free_by_rank(c->map, d, below(&c->random, n)) : 0;
		if (port != 0 && try_port(c, port))
			return port;
	}
	return 0;
}

/* Every wish of the caller. */
static struct demand first_demand(const struct port_request *rq)
{
	struct demand d = {.rq = rq, .low = 1, .high = UINT16_MAX, .parity = UINT64_MAX};

	if (rq->same_class && rq->like > PORT_LOW_LAST)
		d.low = PORT_LOW_LAST + 1;
	else if (rq->same_class)
		d.high = PORT_LOW_LAST;
	if (rq->parity)
		d.parity = rq->like % 2 ? EVEN << 1 : EVEN;
	return d;
}

/* Class and parity first, then class alone, then neither (RFC 4787 REQ-3a and REQ-4 are preferences). */
static uint16_t choose_by_preference(struct choice *c)
{
	const struct port_request *rq = c->rq;
	struct demand d = first_demand(rq);
	uint16_t port = 0;

	if (rq->parity) {
		port = choose_free(c, &d);
		d.parity = UINT64_MAX;
	}
	if (port == 0 && rq->same_class)
		port = choose_free(c, &d);
	d.low = 1;
	d.high = UINT16_MAX;
	return port != 0 ? port : choose_free(c, &d);
}

/* The usable port in a list that has been in quarantine longest. One whose quarantine is over, though not yet
 * noticed, does not count as recycled. */
static uint16_t choose_from(struct choice *c, const struct quarantine_list *list, bool *recycled)
{
	uint32_t at = list->oldest, before = 0;

	for (int i = 0; i < TABLE_PORT_ASKS && at != 0 && may_ask(c); i++) {
		bool is_over = quarantine_is_over(c->t, at - 1, c->now_s);
		struct quarantine r = quarantine_get(c->t, at - 1);

		if (!is_over && !c->rq->may_recycle)
			return 0;
		if (r.proto_class == c->rq->proto_class && in_ranges(c->rq, r.port) && accept(c, r.port)) {
			quarantine_end(c->t, at - 1, before);
			*recycled = !is_over;
			return r.port;
		}
		before = at;
		at = c->t->links[at - 1].later;
	}
	return 0;
}

static const struct quarantine_list *list_of_range(const struct choice *c, uint32_t i)
{
	const struct block *b = block_of(c->t, c->rq->ext, c->rq->ranges[i].first);

	return b != NULL ? &b->quarantined : &c->map->quarantined;
}

/* Here each range is a block with a list of its own: the one with the oldest entry comes first. */
static uint16_t choose_resting(struct choice *c, bool *recycled)
{
	uint32_t oldest = 0;
	uint16_t port;

	if (c->t->blocks_top == 0)
		return choose_from(c, &c->map->quarantined, recycled);
	for (uint32_t i = 1; i < c->rq->n_ranges; i++) {
		uint32_t at = list_of_range(c, i)->oldest, least = list_of_range(c, oldest)->oldest;

		if (at != 0 &&
		    (least == 0 || quarantine_age(c->t, at - 1, c->now_s) > quarantine_age(c->t, least - 1, c->now_s)))
			oldest = i;
	}
	port = c->rq->n_ranges > 0 ? choose_from(c, list_of_range(c, oldest), recycled) : 0;
	for (uint32_t i = 0; port == 0 && i < c->rq->n_ranges; i++)
		port = choose_from(c, list_of_range(c, i), recycled);
	return port;
}

bool port_prepare(struct table *t, const struct port_request *rq, uint32_t now_s)
{
	if (rq->proto_class >= TABLE_CLASSES || !address_is_used(t, rq->ext))
		return false;
	t->now_s = now_s;
	quarantine_expire(t, now_s, EXPIRE_BEFORE);
	return address_is_used(t, rq->ext); /* unclaimed, and that may have been its last use */
}

uint16_t port_choose(struct table *t, const struct port_request *rq, uint64_t random, uint32_t now_s, bool *recycled)
{
	struct choice c = {.t = t, .rq = rq, .random = random, .now_s = now_s};
	uint16_t port;
	uint32_t refused;

	c.map = port_map(t, rq->proto_class, rq->ext);
	if (rq->prefer != 0 && in_ranges(rq, rq->prefer) && try_port(&c, rq->prefer))
		port = rq->prefer;
	else
		port = choose_by_preference(&c);
	refused = c.refused;
	if (port != 0)
		port_occupy(t, rq->proto_class, rq->ext, port);
	else
		port = choose_resting(&c, recycled); /* it stays marked as used, so its block stays the host's */
	while (refused > 0)
		port_clear(c.map, c.refusal[--refused]);
	if (port != 0) {
		t->pending++;
		/* A port that was free has no mapping, so later look-ups can skip it. */
		index_remember_absent(&t->index[IX_EXTERNAL], mapping_key_external(t, rq->proto_class, rq->ext, port));
	}
	return port;
}

uint16_t table_port_take(struct table *t, const struct port_request *rq, uint64_t random, uint32_t now_s,
			 bool *recycled)
{
	*recycled = false;
	return port_prepare(t, rq, now_s) ? port_choose(t, rq, random, now_s, recycled) : 0;
}

static bool is_usable(const struct port_request *rq, uint16_t port)
{
	return rq->usable == NULL || rq->usable(rq->ctx, port);
}

/* See choose_from(). */
static bool any_in_list(const struct table *t, const struct port_request *rq, const struct quarantine_list *list,
			uint32_t now_s)
{
	uint32_t at = list->oldest;

	for (int i = 0; i < TABLE_PORT_ASKS && at != 0; i++, at = t->links[at - 1].later) {
		struct quarantine r = quarantine_get(t, at - 1);

		if (!rq->may_recycle && !quarantine_is_over(t, at - 1, now_s))
			return false;
		if (r.proto_class == rq->proto_class && in_ranges(rq, r.port) && is_usable(rq, r.port))
			return true;
	}
	return false;
}

static bool any_resting(const struct table *t, const struct port_request *rq, uint32_t now_s)
{
	const struct port_map *m = port_map(t, rq->proto_class, rq->ext);

	if (t->blocks_top == 0)
		return any_in_list(t, rq, &m->quarantined, now_s);
	for (uint32_t i = 0; i < rq->n_ranges; i++) {
		const struct block *b = block_of(t, rq->ext, rq->ranges[i].first);

		if (any_in_list(t, rq, b != NULL ? &b->quarantined : &m->quarantined, now_s))
			return true;
	}
	return false;
}

/* Ports of that block from `at` on that are within `high` and of which none is free; 0: one may be. */
static uint32_t full_step(const struct port_map *m, uint32_t at, uint32_t high)
{
	bool is_whole = at % PORT_BLOCK == 0 && at + PORT_BLOCK - 1 <= high;

	return is_whole && free_in_block(m, UINT64_MAX, at / PORT_BLOCK) == 0 ? PORT_BLOCK : 0;
}

/* A free port that is usable, or more of them than a choice would ask about. *asked: how many were asked about. */
static bool any_free(const struct port_map *m, const struct port_request *rq, const struct nat_range *r,
		     uint32_t *asked)
{
	uint32_t next;

	for (uint32_t at = r->first > 0 ? r->first : 1; at <= r->last; at = next) {
		uint32_t full = full_step(m, at, r->last);

		next = full > 0 ? at + full : (at | 63) + 1;
		for (uint64_t bits = full > 0 ? 0 : free_bits(m, UINT64_MAX, at, r->last); bits != 0;
		     bits &= bits - 1) {
			if ((*asked)++ == TABLE_PORT_ASKS ||
			    is_usable(rq, (uint16_t)(at / 64 * 64 + (uint32_t)__builtin_ctzll(bits))))
				return true;
		}
	}
	return false;
}

bool table_port_any(const struct table *t, const struct port_request *rq, uint32_t now_s)
{
	const struct port_map *m;
	uint32_t asked = 0;

	if (rq->proto_class >= TABLE_CLASSES || !address_is_used(t, rq->ext))
		return false;
	m = port_map(t, rq->proto_class, rq->ext);
	for (uint32_t i = 0; i < rq->n_ranges; i++) {
		if (any_free(m, rq, &rq->ranges[i], &asked))
			return true;
	}
	return any_resting(t, rq, now_s);
}

/* A hint for the port with which this choice will probably begin. */
void port_prefetch(const struct table *t, const struct port_request *rq, uint64_t random)
{
	const struct demand d = first_demand(rq);
	uint32_t n = width(&d);

	if (rq->proto_class >= TABLE_CLASSES || rq->ext >= t->max_addresses)
		return;
	if (rq->prefer != 0 && in_ranges(rq, rq->prefer))
		prefetch_port(t, rq, rq->prefer);
	else if (n > 0)
		prefetch_port(t, rq, nth(&d, below(&random, n)));
}

void table_port_release(struct table *t, enum nat_class c, uint16_t ext, uint16_t port)
{
	if ((unsigned)c >= TABLE_CLASSES || !address_is_used(t, ext) || !port_is_used(port_map(t, c, ext), port) ||
	    port_is_resting(port_map(t, c, ext), port) || mapping_owner(t, c, ext, port) != INDEX_NONE)
		return; /* not one that was taken and not mapped */
	t->pending--;
	port_free(t, c, ext, port);
	address_settle(t, ext);
}

bool table_port_used(const struct table *t, enum nat_class c, uint16_t ext, uint16_t port)
{
	return (unsigned)c < TABLE_CLASSES && ext < t->max_addresses && port_is_used(port_map(t, c, ext), port);
}
