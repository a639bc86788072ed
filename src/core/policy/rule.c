/* SPDX-License-Identifier: ISC */
/* The compiled policy: questions about addresses and ports. rule_compile.c builds the indexes. */
#include <string.h>

#include "rule_private.h"

/* ---- questions about addresses ---- */

const struct filter *rules_filter(const struct rules *r)
{
	return r->filter;
}

const struct nat_policy *rules_policy(const struct rules *r)
{
	return &r->policy;
}

bool rules_is_inside(const struct rules *r, uint32_t address)
{
	return rules_index_holds(r, INDEX_INSIDE, address);
}

bool rules_is_exempt(const struct rules *r, uint32_t address)
{
	return rules_index_holds(r, INDEX_EXEMPT, address);
}

bool rules_is_broadcast(const struct rules *r, uint32_t address)
{
	return rules_index_holds(r, INDEX_BROADCAST, address);
}

const struct nat_host_limits *rules_host_limits(const struct rules *r, uint32_t address)
{
	const uint32_t *found;
	uint32_t n;

	if (r->policy.n_classes == 0)
		return &r->limits;
	found = span_index_find(r->index[INDEX_CLASSES], address, &n);
	return n > 0 ? &r->policy.classes[found[0]].limits : &r->limits;
}

uint16_t rules_inside_mtu(const struct rules *r, uint32_t address)
{
	uint32_t n;
	const uint32_t *found = span_index_find(r->index[INDEX_INSIDE], address, &n);
	const struct nat_prefix *best = NULL;

	for (uint32_t i = 0; i < n; i++) {
		const struct nat_prefix *p = &r->policy.inside[found[i]];

		if (!best || p->length > best->length)
			best = p;
	}
	return best ? best->mtu : 0;
}

/* The last i of 0..n-1 with values(i) <= wanted, at `stride` bytes from `base`; -1: none. */
static int32_t last_not_above(const void *base, size_t stride, uint32_t n, uint32_t wanted)
{
	uint32_t low = 0;
	uint32_t high = n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint32_t value;

		memcpy(&value, (const uint8_t *)base + middle * stride, sizeof(value));
		if (value <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return (int32_t)low - 1;
}

int32_t rules_address_range(const struct rules *r, uint32_t address)
{
	const struct nat_address_range *ranges = r->policy.addresses;
	int32_t i = last_not_above(&ranges->first, sizeof(*ranges), r->policy.n_addresses, address);

	return i >= 0 && address <= ranges[i].last ? i : -1;
}

int32_t rules_address_find(const struct rules *r, uint32_t address)
{
	int32_t i = rules_address_range(r, address);

	return i < 0 ? -1 : (int32_t)(r->bases[i] + (address - r->policy.addresses[i].first));
}

uint32_t rules_address_count(const struct rules *r)
{
	return r->n_addresses;
}

uint32_t rules_address_at(const struct rules *r, uint32_t ordinal)
{
	int32_t i;

	if (ordinal >= r->n_addresses)
		return 0;
	i = last_not_above(r->bases, sizeof(*r->bases), r->policy.n_addresses, ordinal);
	return r->policy.addresses[i].first + (ordinal - r->bases[i]);
}

uint32_t rules_pool_count(const struct rules *r)
{
	return r->n_pool_addresses;
}

uint32_t rules_pool_ordinal(const struct rules *r, uint32_t k)
{
	int32_t i;

	if (r->n_pool_addresses == r->n_addresses) /* there are no static ones */
		return k;
	i = last_not_above(&r->pools->base, sizeof(*r->pools), r->n_pools, k);

	return i < 0 ? 0 : r->pools[i].ordinal + (k - r->pools[i].base);
}

uint32_t rules_static_inside(const struct rules *r, uint32_t outside)
{
	int32_t i = r->n_pool_addresses < r->n_addresses ? rules_address_range(r, outside) : -1;

	if (i < 0 || r->policy.addresses[i].inside == 0)
		return 0;
	return r->policy.addresses[i].inside + (outside - r->policy.addresses[i].first);
}

const char *rules_static_name(const struct rules *r, uint32_t outside)
{
	int32_t i = rules_static_inside(r, outside) != 0 ? rules_address_range(r, outside) : -1;

	return i < 0 ? NULL : r->policy.addresses[i].pair;
}

uint32_t rules_static_outside(const struct rules *r, uint32_t inside)
{
	const uint32_t *found;
	uint32_t n;

	if (r->n_pool_addresses == r->n_addresses)
		return 0;
	found = span_index_find(r->index[INDEX_STATIC], inside, &n);
	return n == 0 ? 0 : r->policy.addresses[found[0]].first + (inside - r->policy.addresses[found[0]].inside);
}

bool rules_address_is_virtual(const struct rules *r, uint32_t address)
{
	int32_t i = r->n_pool_addresses < r->n_addresses ? rules_address_range(r, address) : -1;

	return i >= 0 && r->policy.addresses[i].is_virtual;
}

bool rules_address_is_shared(const struct rules *r, uint32_t address)
{
	int32_t i = rules_address_range(r, address);

	return i >= 0 && r->policy.addresses[i].shared;
}

/* ---- questions about ports ---- */

const struct nat_range *rules_port_ranges(const struct rules *r, uint32_t address, uint32_t *n)
{
	if (rules_address_is_shared(r, address)) {
		*n = r->policy.n_shared_ports;
		return r->policy.shared_ports;
	}
	*n = r->policy.n_pool_ports;
	return r->policy.pool_ports;
}

const struct allocation *rules_allocation(const struct rules *r)
{
	return r->allocation;
}

enum allocation_cut rules_address_cut(const struct rules *r, uint32_t address)
{
	int32_t i = rules_address_range(r, address);
	enum allocation_cut which = i >= 0 && r->policy.addresses[i].shared ? CUT_SHARED : CUT_POOL;

	return i >= 0 && r->policy.addresses[i].inside == 0 && !r->policy.addresses[i].is_virtual &&
			       r->allocation->cut[which].size > 0
		       ? which
		       : CUT_NONE;
}

bool rules_port_is_forwarded(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port)
{
	return (c == CLASS_TCP || c == CLASS_UDP) && r->policy.n_forwards > 0 &&
	       (rules_index_holds(r, INDEX_INBOUND, endpoint_key(c, address, port)) ||
		rules_index_holds(r, INDEX_INBOUND, endpoint_key(c, 0, port)));
}

bool rules_ports_are_forwarded(const struct rules *r, enum nat_class c, uint32_t address, const struct nat_range *ports)
{
	enum { RUNS = 8 };
	uint64_t at = ports->first;

	if ((c != CLASS_TCP && c != CLASS_UDP) || r->policy.n_forwards == 0)
		return false;
	for (int i = 0; i < RUNS && at <= ports->last; i++) {
		uint64_t here = span_index_run(r->index[INDEX_INBOUND], endpoint_key(c, address, (uint16_t)at));
		uint64_t anywhere = span_index_run(r->index[INDEX_INBOUND], endpoint_key(c, 0, (uint16_t)at));

		if (here == 0 && anywhere == 0)
			return false;
		at += here > anywhere ? here : anywhere;
	}
	return at > ports->last;
}

bool rules_port_usable(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port)
{
	int32_t i = rules_address_range(r, address);

	if (i < 0 || r->policy.addresses[i].inside != 0 || r->policy.addresses[i].is_virtual)
		return false;
	if (c == CLASS_OTHER)
		return true; /* a protocol number, not a port */
	if (!rules_index_holds(r, r->policy.addresses[i].shared ? INDEX_SHARED_PORTS : INDEX_POOL_PORTS, port))
		return false;
	return !rules_port_is_forwarded(r, c, address, port);
}
