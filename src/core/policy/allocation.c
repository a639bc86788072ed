/* SPDX-License-Identifier: ISC */
/* The arithmetic of allocation, see allocation.h. */
#include "allocation.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"

enum { HOSTS_PER_RESERVE = 8 };

static uint32_t prefix_last(const struct nat_prefix *p)
{
	return p->length == 0 ? UINT32_MAX : p->address | (uint32_t)((UINT64_C(1) << (32 - p->length)) - 1);
}

/* Inserts a span so that the list stays in ascending order. */
static void insert_span(struct allocation_span *s, uint32_t n, uint32_t first, uint32_t last)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s[middle].first <= first)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(&s[low + 1], &s[low], (n - low) * sizeof(*s));
	s[low] = (struct allocation_span){.first = first, .last = last};
}

/* Numbers the addresses of all spans; returns their number, at most UINT32_MAX. */
static uint32_t number_spans(struct allocation_span *s, uint32_t n)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		s[i].base = (uint32_t)total;
		total += (uint64_t)s[i].last - s[i].first + 1;
	}
	return total > UINT32_MAX ? UINT32_MAX : (uint32_t)total;
}

static const struct allocation_span *span_of(const struct allocation_span *s, uint32_t n, uint32_t address)
{
	uint32_t low = 0, high = n;

	if (n == 1)
		return address >= s->first && address <= s->last ? s : NULL;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s[middle].first <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && address <= s[low - 1].last ? &s[low - 1] : NULL;
}

/* The address with that number; 0: there are fewer. */
static uint32_t address_at(const struct allocation_span *s, uint32_t n, uint32_t number)
{
	for (uint32_t i = n; i-- > 0;) {
		if (number >= s[i].base)
			return number - s[i].base <= s[i].last - s[i].first ? s[i].first + (number - s[i].base) : 0;
	}
	return 0;
}

static bool copy_spans(struct allocation *a, const struct nat_policy *p)
{
	a->prefixes = calloc((size_t)p->n_inside + 1, sizeof(*a->prefixes));
	a->pools = calloc((size_t)p->n_addresses + 1, sizeof(*a->pools));
	if (a->prefixes == NULL || a->pools == NULL)
		return false;
	for (uint32_t i = 0; i < p->n_inside; i++)
		insert_span(a->prefixes, a->n_prefixes++, p->inside[i].address, prefix_last(&p->inside[i]));
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		if (!p->addresses[i].shared && p->addresses[i].inside == 0 && !p->addresses[i].is_virtual)
			insert_span(a->pools, a->n_pools++, p->addresses[i].first, p->addresses[i].last);
	}
	a->hosts = number_spans(a->prefixes, a->n_prefixes);
	a->n_outside = number_spans(a->pools, a->n_pools);
	return true;
}

uint32_t allocation_reserve(const struct allocation *a)
{
	uint32_t reserve = (a->fixed + HOSTS_PER_RESERVE - 1) / HOSTS_PER_RESERVE;

	if (a->kind != ALLOCATION_DETERMINISTIC || a->blocks.overflow == 0)
		return 0;
	return reserve > a->blocks.overflow ? reserve : a->blocks.overflow;
}

/* The largest size at which each address has `wanted` blocks; 0: none of at least BLOCK_SIZE_LEAST. */
static uint32_t size_for(const struct nat_policy *p, uint32_t wanted)
{
	uint32_t low = BLOCK_SIZE_LEAST, high = UINT16_MAX;

	if (wanted == 0 || cut_count(p->pool_ports, p->n_pool_ports, low) < wanted)
		return 0;
	while (low < high) {
		uint32_t middle = high - (high - low) / 2;

		if (cut_count(p->pool_ports, p->n_pool_ports, middle) >= wanted)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

static bool make_fixed(struct allocation *a, const struct nat_policy *p)
{
	uint64_t wanted;
	uint32_t size;

	if (!copy_spans(a, p))
		return false;
	a->fixed = a->n_outside == 0 ? 0 : (uint32_t)(((uint64_t)a->hosts + a->n_outside - 1) / a->n_outside);
	wanted = (uint64_t)a->fixed + allocation_reserve(a);
	size = wanted > CUT_BLOCKS_MAX ? 0 : size_for(p, (uint32_t)wanted);
	return size == 0 || cut_make(&a->cut[CUT_POOL], p->pool_ports, p->n_pool_ports, size);
}

static bool make(struct allocation *a, const struct nat_policy *p)
{
	switch (a->kind) {
	case ALLOCATION_BLOCK:
		return cut_make(&a->cut[CUT_POOL], p->pool_ports, p->n_pool_ports, a->blocks.size) &&
		       cut_make(&a->cut[CUT_SHARED], p->shared_ports, p->n_shared_ports, a->blocks.size);
	case ALLOCATION_DETERMINISTIC:
		return make_fixed(a, p);
	case ALLOCATION_PORT:
		break;
	}
	return true;
}

struct allocation *allocation_create(const struct nat_policy *p)
{
	struct allocation *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->kind = p->allocation;
	a->blocks = p->blocks;
	if (make(a, p))
		return a;
	allocation_destroy(a);
	return NULL;
}

void allocation_destroy(struct allocation *a)
{
	if (a == NULL)
		return;
	for (int i = 0; i < 2; i++)
		cut_fini(&a->cut[i]);
	free(a->prefixes);
	free(a->pools);
	free(a);
}

bool allocation_fits(const struct allocation *a)
{
	return a->kind != ALLOCATION_DETERMINISTIC || a->cut[CUT_POOL].size > 0;
}

static bool spans_equal(const struct allocation_span *a, uint32_t n_a, const struct allocation_span *b, uint32_t n_b)
{
	for (uint32_t i = 0; n_a == n_b && i < n_a; i++) {
		if (a[i].first != b[i].first || a[i].last != b[i].last)
			return false;
	}
	return n_a == n_b;
}

bool allocation_equals(const struct allocation *a, const struct allocation *b)
{
	return a->kind == b->kind && a->fixed == b->fixed && cut_equals(&a->cut[CUT_POOL], &b->cut[CUT_POOL]) &&
	       cut_equals(&a->cut[CUT_SHARED], &b->cut[CUT_SHARED]) &&
	       spans_equal(a->prefixes, a->n_prefixes, b->prefixes, b->n_prefixes) &&
	       spans_equal(a->pools, a->n_pools, b->pools, b->n_pools);
}

static uint64_t add(uint64_t h, uint64_t word)
{
	return hash_mix(h ^ hash_mix(word));
}

/* Block records contain block numbers, whose meaning depends only on the cuts. */
uint64_t allocation_fingerprint(const struct allocation *a)
{
	uint64_t h = add(1, (uint64_t)a->kind << 32 | a->fixed);

	for (int i = 0; i < 2; i++) {
		h = add(h, (uint64_t)a->cut[i].size << 32 | a->cut[i].n_pieces);
		for (uint32_t k = 0; k < a->cut[i].n_pieces; k++)
			h = add(h, (uint64_t)a->cut[i].pieces[k].first << 16 | a->cut[i].pieces[k].last);
	}
	return h;
}

bool allocation_share(const struct allocation *a, uint32_t inside, uint32_t *outside, uint32_t *number)
{
	const struct allocation_span *s = span_of(a->prefixes, a->n_prefixes, inside);
	uint32_t host;

	if (s == NULL || a->n_outside == 0 || !allocation_fits(a))
		return false;
	host = s->base + (inside - s->first);
	*outside = host % a->n_outside;
	*number = host / a->n_outside;
	return true;
}

uint32_t allocation_owner(const struct allocation *a, uint32_t outside, uint32_t number)
{
	const struct allocation_span *s = span_of(a->pools, a->n_pools, outside);
	uint64_t host;

	if (s == NULL || number >= a->fixed)
		return 0;
	host = (uint64_t)number * a->n_outside + s->base + (outside - s->first);
	return host < a->hosts ? address_at(a->prefixes, a->n_prefixes, (uint32_t)host) : 0;
}
