/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: the arithmetic of blocks and deterministic allocation. Input: prefixes, outside addresses, port ranges,
 * block size. Where the policy fits, each inside address has a block of its own that leads back to it, within the
 * ranges; every other block and every address outside the prefixes has no owner.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/allocation.h"

enum { PREFIXES = 4, POOLS = 3, RANGES = 3, HOSTS_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static uint32_t number(struct input *in, unsigned bytes)
{
	uint32_t n = 0;

	for (; bytes > 0; bytes--) {
		n = n << 8 | (in->left > 0 ? *in->data : 0);
		in->data += in->left > 0;
		in->left -= in->left > 0;
	}
	return n;
}

struct world {
	struct nat_policy p;
	struct nat_prefix inside[PREFIXES];
	struct nat_address_range pools[POOLS];
	struct nat_range ranges[RANGES];
};

/* As the configuration's checks leave them: ascending, disjoint. */
static void read_world(struct world *w, struct input *in)
{
	uint32_t at = 0x0a000000, outside = 0xcb007100, port = 1;

	memset(w, 0, sizeof(*w));
	w->p.allocation = number(in, 1) & 1 ? ALLOCATION_DETERMINISTIC : ALLOCATION_BLOCK;
	w->p.blocks = (struct nat_blocks){.size = (uint16_t)(BLOCK_SIZE_LEAST + number(in, 1)), .per_host = 2};
	w->p.blocks.overflow = (uint16_t)(number(in, 1) & 3);
	w->p.n_inside = 1 + number(in, 1) % PREFIXES;
	for (uint32_t i = 0; i < w->p.n_inside; i++) {
		uint8_t length = (uint8_t)(22 + number(in, 1) % 11);

		w->inside[i] = (struct nat_prefix){.address = at, .length = length};
		at += 1024 * (1 + number(in, 1) % 4);
	}
	w->p.n_addresses = 1 + number(in, 1) % POOLS;
	for (uint32_t i = 0; i < w->p.n_addresses; i++) {
		uint32_t n = number(in, 1) % 16;

		w->pools[i] = (struct nat_address_range){.first = outside, .last = outside + n};
		outside += n + 1 + (number(in, 1) & 1);
	}
	w->p.n_pool_ports = 1 + number(in, 1) % RANGES;
	for (uint32_t i = 0; i < w->p.n_pool_ports; i++) {
		uint32_t first = port + number(in, 2) % 8192, last = first + number(in, 2) % 16384;

		last = last < UINT16_MAX ? last : UINT16_MAX;
		w->ranges[i] = (struct nat_range){(uint16_t)first, (uint16_t)last};
		port = last + 2;
	}
	w->p.inside = w->inside;
	w->p.addresses = w->pools;
	w->p.pool_ports = w->ranges;
}

static bool in_ranges(const struct world *w, const struct nat_range *r)
{
	for (uint32_t i = 0; i < w->p.n_pool_ports; i++) {
		if (r->first >= w->ranges[i].first && r->last <= w->ranges[i].last)
			return true;
	}
	return false;
}

static void check_cut(const struct world *w, const struct cut *c)
{
	for (uint32_t i = 0; i < c->blocks; i++) {
		struct nat_range r = cut_block(c, i);

		require(r.last - r.first + 1u == c->size && in_ranges(w, &r));
		require(cut_number(c, r.first) == (int32_t)i && cut_number(c, r.last) == (int32_t)i);
		require(i == 0 || cut_block(c, i - 1).last < r.first);
	}
}

/* True: it is a host's. */
static bool check_host(const struct world *w, const struct allocation *a, uint32_t inside)
{
	uint32_t ordinal, block, address = 0, left;

	if (!allocation_share(a, inside, &ordinal, &block))
		return false;
	require(ordinal < a->n_outside && block < a->fixed);
	left = ordinal;
	for (uint32_t i = 0; i < w->p.n_addresses && address == 0; i++) {
		uint32_t n = w->pools[i].last - w->pools[i].first + 1;

		if (left < n)
			address = w->pools[i].first + left;
		else
			left -= n;
	}
	require(address != 0 && allocation_owner(a, address, block) == inside);
	return true;
}

static void check_shares(const struct world *w, const struct allocation *a)
{
	uint32_t hosts = 0, owned = 0;

	for (uint32_t i = 0; i < HOSTS_MAX * PREFIXES; i++)
		hosts += check_host(w, a, 0x0a000000 + i);
	require(hosts == a->hosts && !allocation_share(a, 0x09ffffff, &(uint32_t){0}, &(uint32_t){0}));
	for (uint32_t i = 0; i < w->p.n_addresses; i++) {
		for (uint32_t x = w->pools[i].first; x <= w->pools[i].last; x++) {
			for (uint32_t b = 0; b < a->cut[CUT_POOL].blocks + 2; b++)
				owned += allocation_owner(a, x, b) != 0;
		}
	}
	require(owned == hosts && allocation_owner(a, 0xcb0070ff, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	static struct world w;
	struct allocation *a;

	read_world(&w, &in);
	a = allocation_create(&w.p);
	require(a != NULL && allocation_equals(a, a));
	if (allocation_fits(a)) {
		check_cut(&w, &a->cut[CUT_POOL]);
		if (w.p.allocation == ALLOCATION_DETERMINISTIC)
			check_shares(&w, a);
	}
	allocation_destroy(a);
	return 0;
}
