/* SPDX-License-Identifier: ISC */
/*
 * Shared by the files of the compiled policy only.
 *
 *   rule_compile.c  from struct nat_policy to struct rules: copies and indexes
 *   rule.c          questions about addresses and ports
 *   rule_forward.c  questions about forwards
 *   rule_same.c     compares two policies
 */
#ifndef NATD_CORE_RULE_PRIVATE_H
#define NATD_CORE_RULE_PRIVATE_H

#include "balance.h"
#include "core/base/names.h"
#include "core/base/span.h"
#include "rule.h"

enum index_name {
	INDEX_INSIDE, /* address -> inside prefixes */
	INDEX_EXEMPT,
	INDEX_BROADCAST,
	INDEX_SHARED_PORTS,
	INDEX_POOL_PORTS,
	INDEX_INBOUND,	/* class, outside address, port -> forwards */
	INDEX_OUTBOUND, /* class, inside address, port -> forwards */
	INDEX_DEFAULT,	/* class, outside address, port -> default hosts */
	INDEX_FROM,	/* forward, remote address -> anything: the address is allowed */
	INDEX_CLASSES,	/* inside address -> classes */
	INDEX_STATIC,	/* inside address -> ranges of outside addresses */
	INDEX_BACKENDS, /* forward, inside address, port -> numbers of backends */
	INDEX_COUNT
};

enum copy_name {
	COPY_INSIDE,
	COPY_EXEMPT,
	COPY_BROADCAST,
	COPY_ADDRESSES,
	COPY_SHARED_PORTS,
	COPY_POOL_PORTS,
	COPY_FORWARDS,
	COPY_FROM, /* the lists of all forwards, one after the other */
	COPY_BASES,
	COPY_POOLS,
	COPY_CLASSES,
	COPY_CLASS_PREFIXES, /* the lists of all classes, one after the other */
	COPY_BACKENDS,	     /* the lists of all forwards, one after the other; likewise below */
	COPY_TARGETS,
	COPY_LANES,
	COPY_LANE_BASES,
	COPY_BACKEND_BASES,
	COPY_COUNT
};

struct pool {
	uint32_t base; /* number of its first address, not counting static ones */
	uint32_t ordinal;
};

struct rules {
	struct nat_policy policy; /* its pointers lead into copies[] */
	const uint32_t *bases;	  /* ordinal of the first address of each range */
	uint32_t n_addresses;	  /* in all ranges together */
	const struct pool *pools; /* the ranges that are not static pairs */
	uint32_t n_pools, n_pool_addresses;
	struct span_index *index[INDEX_COUNT];
	struct filter *filter; /* NULL: no rules */
	void *copies[COPY_COUNT];
	struct allocation *allocation;
	struct nat_host_limits limits; /* of hosts in no class */
	struct names forward_names;
	const uint32_t *backend_bases; /* by forward, and the sum */
	const struct balance_target *targets;
	const struct balance_lanes *lanes;
	const uint32_t *lane_bases; /* by forward, and the sum */
	struct balance_scale scale;
};

static inline uint64_t endpoint_key(enum nat_class c, uint32_t address, uint16_t port)
{
	return (uint64_t)c << 48 | (uint64_t)address << 16 | port;
}

static inline uint64_t from_key(uint32_t forward, uint32_t address)
{
	return (uint64_t)forward << 32 | address;
}

static inline uint64_t backend_key(uint32_t forward, uint32_t address, uint16_t port)
{
	return (uint64_t)forward << 48 | (uint64_t)address << 16 | port;
}

/* Does the index contain anything under `key`? */
static inline bool rules_index_holds(const struct rules *r, enum index_name which, uint64_t key)
{
	uint32_t n;

	span_index_find(r->index[which], key, &n);
	return n > 0;
}

/* Index of the range of outside addresses that contains `address`, or -1. */
int32_t rules_address_range(const struct rules *r, uint32_t address);

#endif
