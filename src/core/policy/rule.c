/* SPDX-License-Identifier: ISC */
/*
 * The policy, compiled: a deep copy, and one span index for each question that packets ask. Forwards are
 * keyed by class, outside address and port side by side (address 0 holds those that mean every outside
 * address), so a look-up is two binary searches however many there are, and the two lists that come out
 * are merged back into file order.
 */
#include "rule.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/span.h"

enum index_name {
	INDEX_INSIDE, /* address -> inside prefixes */
	INDEX_EXEMPT,
	INDEX_BROADCAST,
	INDEX_SHARED_PORTS,
	INDEX_POOL_PORTS,
	INDEX_INBOUND,	/* class, outside address, port -> forwards */
	INDEX_OUTBOUND, /* class, inside address, port -> forwards */
	INDEX_FROM,	/* forward, remote address -> anything: it is allowed */
	INDEX_CLASSES,	/* inside address -> classes */
	INDEX_STATIC,	/* inside address -> ranges of outside addresses */
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
	COPY_FROM, /* the lists of all forwards, one behind the other */
	COPY_BASES,
	COPY_POOLS,
	COPY_CLASSES,
	COPY_CLASS_PREFIXES, /* the lists of all classes, one behind the other */
	COPY_COUNT
};

struct pool {
	uint32_t base; /* number of its first address, static ones not counted */
	uint32_t ordinal;
};

struct rules {
	struct nat_policy policy; /* its pointers lead into copies[] */
	const uint32_t *bases;	  /* ordinal of the first address of each range */
	uint32_t n_addresses;	  /* in all ranges together */
	const struct pool *pools; /* the ranges that are no static pairs */
	uint32_t n_pools, n_pool_addresses;
	struct span_index *index[INDEX_COUNT];
	struct filter *filter; /* NULL: no rules */
	void *copies[COPY_COUNT];
	struct allocation *allocation;
	struct nat_host_limits limits; /* of hosts in no class */
};

static uint64_t endpoint_key(enum nat_class c, uint32_t address, uint16_t port)
{
	return (uint64_t)c << 48 | (uint64_t)address << 16 | port;
}

static uint64_t from_key(uint32_t forward, uint32_t address)
{
	return (uint64_t)forward << 32 | address;
}

static uint32_t prefix_last(const struct nat_prefix *p)
{
	return p->length == 0 ? UINT32_MAX : p->address | (uint32_t)((UINT64_C(1) << (32 - p->length)) - 1);
}

/* ---- copying ---- */

static void *copy_array(struct rules *r, enum copy_name which, const void *from, size_t n, size_t size)
{
	void *to = calloc(n ? n : 1, size);

	r->copies[which] = to;
	if (to && n)
		memcpy(to, from, n * size);
	return to;
}

static bool copy_lists(struct rules *r, const struct nat_policy *p)
{
	struct nat_policy *own = &r->policy;

	*own = *p;
	own->inside = copy_array(r, COPY_INSIDE, p->inside, p->n_inside, sizeof(*p->inside));
	own->exempt = copy_array(r, COPY_EXEMPT, p->exempt, p->n_exempt, sizeof(*p->exempt));
	own->broadcast = copy_array(r, COPY_BROADCAST, p->broadcast, p->n_broadcast, sizeof(*p->broadcast));
	own->addresses = copy_array(r, COPY_ADDRESSES, p->addresses, p->n_addresses, sizeof(*p->addresses));
	own->shared_ports =
		copy_array(r, COPY_SHARED_PORTS, p->shared_ports, p->n_shared_ports, sizeof(*p->shared_ports));
	own->pool_ports = copy_array(r, COPY_POOL_PORTS, p->pool_ports, p->n_pool_ports, sizeof(*p->pool_ports));
	return own->inside && own->exempt && own->broadcast && own->addresses && own->shared_ports && own->pool_ports;
}

static bool copy_forwards(struct rules *r, const struct nat_policy *p)
{
	struct nat_forward *forwards = copy_array(r, COPY_FORWARDS, p->forwards, p->n_forwards, sizeof(*p->forwards));
	struct nat_prefix *from;
	size_t total = 0;

	for (uint32_t i = 0; i < p->n_forwards; i++)
		total += p->forwards[i].n_from;
	from = calloc(total + 1, sizeof(*from));
	r->copies[COPY_FROM] = from;
	if (!forwards || !from)
		return false;
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		if (forwards[i].n_from)
			memcpy(from, p->forwards[i].from, forwards[i].n_from * sizeof(*from));
		forwards[i].from = from;
		from += forwards[i].n_from;
	}
	r->policy.forwards = forwards;
	return true;
}

static uint32_t limit_of(uint32_t own, uint32_t all)
{
	return own == HOST_LIMIT_AS_ALL ? all : own;
}

static bool copy_classes(struct rules *r, const struct nat_policy *p)
{
	struct nat_host_class *classes = copy_array(r, COPY_CLASSES, p->classes, p->n_classes, sizeof(*p->classes));
	struct nat_prefix *prefixes;
	size_t total = 0;

	r->limits = (struct nat_host_limits){
		.sessions = p->limits.sessions_per_host,
		.ports = p->limits.ports_per_host,
		.new_sessions = p->limits.new_sessions_per_host,
		.blocks = p->allocation == ALLOCATION_DETERMINISTIC ? p->blocks.overflow : p->blocks.per_host,
	};
	for (uint32_t i = 0; i < p->n_classes; i++)
		total += p->classes[i].n_prefixes;
	prefixes = calloc(total + 1, sizeof(*prefixes));
	r->copies[COPY_CLASS_PREFIXES] = prefixes;
	if (!classes || !prefixes)
		return false;
	for (uint32_t i = 0; i < p->n_classes; i++) {
		struct nat_host_limits *own = &classes[i].limits;

		memcpy(prefixes, p->classes[i].prefixes, classes[i].n_prefixes * sizeof(*prefixes));
		classes[i].prefixes = prefixes;
		prefixes += classes[i].n_prefixes;
		own->sessions = limit_of(own->sessions, r->limits.sessions);
		own->ports = limit_of(own->ports, r->limits.ports);
		own->new_sessions = limit_of(own->new_sessions, r->limits.new_sessions);
		own->blocks = limit_of(own->blocks, r->limits.blocks);
	}
	r->policy.classes = classes;
	return true;
}

static bool count_addresses(struct rules *r)
{
	uint32_t *bases = calloc((size_t)r->policy.n_addresses + 1, sizeof(*bases));

	r->copies[COPY_BASES] = bases;
	r->bases = bases;
	if (!bases)
		return false;
	for (uint32_t i = 0; i < r->policy.n_addresses; i++) {
		bases[i] = r->n_addresses;
		r->n_addresses += r->policy.addresses[i].last - r->policy.addresses[i].first + 1;
	}
	return true;
}

static bool count_pools(struct rules *r)
{
	struct pool *pools = calloc((size_t)r->policy.n_addresses + 1, sizeof(*pools));

	r->copies[COPY_POOLS] = pools;
	r->pools = pools;
	if (!pools)
		return false;
	for (uint32_t i = 0; i < r->policy.n_addresses; i++) {
		const struct nat_address_range *range = &r->policy.addresses[i];

		if (range->inside != 0)
			continue;
		pools[r->n_pools++] = (struct pool){r->n_pool_addresses, r->bases[i]};
		r->n_pool_addresses += range->last - range->first + 1;
	}
	return true;
}

static bool index_static(struct rules *r)
{
	const struct nat_policy *p = &r->policy;
	struct span *spans = calloc((size_t)p->n_addresses + 1, sizeof(*spans));
	uint32_t n = 0;

	if (!spans)
		return false;
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		const struct nat_address_range *range = &p->addresses[i];

		if (range->inside != 0)
			spans[n++] =
				(struct span){range->inside, (uint64_t)range->inside + (range->last - range->first), i};
	}
	r->index[INDEX_STATIC] = span_index_create(spans, n);
	free(spans);
	return r->index[INDEX_STATIC] != NULL;
}

/* ---- compiling ---- */

static bool index_prefixes(struct rules *r, enum index_name which, const struct nat_prefix *p, uint32_t n)
{
	struct span *spans = calloc((size_t)n + 1, sizeof(*spans));

	if (!spans)
		return false;
	for (uint32_t i = 0; i < n; i++)
		spans[i] = (struct span){p[i].address, prefix_last(&p[i]), i};
	r->index[which] = span_index_create(spans, n);
	free(spans);
	return r->index[which] != NULL;
}

static bool index_classes(struct rules *r)
{
	const struct nat_policy *p = &r->policy;
	struct span *spans;
	size_t total = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_classes; i++)
		total += p->classes[i].n_prefixes;
	spans = calloc(total + 1, sizeof(*spans));
	if (!spans)
		return false;
	for (uint32_t i = 0; i < p->n_classes; i++) {
		for (uint32_t k = 0; k < p->classes[i].n_prefixes; k++) {
			const struct nat_prefix *own = &p->classes[i].prefixes[k];

			spans[n++] = (struct span){own->address, prefix_last(own), i};
		}
	}
	r->index[INDEX_CLASSES] = span_index_create(spans, n);
	free(spans);
	return r->index[INDEX_CLASSES] != NULL;
}

static bool index_ports(struct rules *r, enum index_name which, const struct nat_range *ports, uint32_t n)
{
	struct span *spans = calloc((size_t)n + 1, sizeof(*spans));

	if (!spans)
		return false;
	for (uint32_t i = 0; i < n; i++)
		spans[i] = (struct span){ports[i].first, ports[i].last, i};
	r->index[which] = span_index_create(spans, n);
	free(spans);
	return r->index[which] != NULL;
}

/* Last inside port of a forward; a range that would leave the 16 bits ends there. */
static uint16_t last_to_port(const struct nat_forward *f)
{
	uint32_t last = (uint32_t)f->to_port + f->ports.last - f->ports.first;

	return last > UINT16_MAX ? UINT16_MAX : (uint16_t)last;
}

static struct span forward_span(const struct nat_forward *f, enum nat_class c, enum index_name which, uint32_t item)
{
	if (which == INDEX_INBOUND)
		return (struct span){endpoint_key(c, f->address, f->ports.first),
				     endpoint_key(c, f->address, f->ports.last), item};
	return (struct span){endpoint_key(c, f->to, f->to_port), endpoint_key(c, f->to, last_to_port(f)), item};
}

static bool index_forwards(struct rules *r, enum index_name which)
{
	struct span *spans = calloc(2 * (size_t)r->policy.n_forwards + 1, sizeof(*spans));
	uint32_t n = 0;

	if (!spans)
		return false;
	for (uint32_t i = 0; i < r->policy.n_forwards; i++) {
		const struct nat_forward *f = &r->policy.forwards[i];

		if (f->protocols & 1u << CLASS_TCP)
			spans[n++] = forward_span(f, CLASS_TCP, which, i);
		if (f->protocols & 1u << CLASS_UDP)
			spans[n++] = forward_span(f, CLASS_UDP, which, i);
	}
	r->index[which] = span_index_create(spans, n);
	free(spans);
	return r->index[which] != NULL;
}

static bool index_from(struct rules *r)
{
	const struct nat_policy *p = &r->policy;
	struct span *spans;
	size_t total = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_forwards; i++)
		total += p->forwards[i].n_from;
	spans = calloc(total + 1, sizeof(*spans));
	if (!spans)
		return false;
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];

		for (uint32_t j = 0; j < f->n_from; j++)
			spans[n++] = (struct span){from_key(i, f->from[j].address),
						   from_key(i, prefix_last(&f->from[j])), j};
	}
	r->index[INDEX_FROM] = span_index_create(spans, n);
	free(spans);
	return r->index[INDEX_FROM] != NULL;
}

/* The policy's own copy has no use for the configuration of the filter. */
static bool compile_filter(struct rules *r, const struct nat_policy *p)
{
	r->policy.filter = NULL;
	if (p->filter == NULL || p->filter->n_rules == 0)
		return true;
	r->filter = filter_create(p->filter);
	return r->filter != NULL;
}

struct rules *rules_create(const struct nat_policy *p)
{
	struct rules *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->allocation = allocation_create(p);
	if (r->allocation && copy_lists(r, p) && copy_forwards(r, p) && copy_classes(r, p) && index_classes(r) &&
	    count_addresses(r) && count_pools(r) && index_static(r) &&
	    index_prefixes(r, INDEX_INSIDE, p->inside, p->n_inside) &&
	    index_prefixes(r, INDEX_EXEMPT, p->exempt, p->n_exempt) &&
	    index_prefixes(r, INDEX_BROADCAST, p->broadcast, p->n_broadcast) &&
	    index_ports(r, INDEX_SHARED_PORTS, p->shared_ports, p->n_shared_ports) &&
	    index_ports(r, INDEX_POOL_PORTS, p->pool_ports, p->n_pool_ports) && index_forwards(r, INDEX_INBOUND) &&
	    index_forwards(r, INDEX_OUTBOUND) && index_from(r) && compile_filter(r, p))
		return r;
	rules_destroy(r);
	return NULL;
}

void rules_destroy(struct rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < INDEX_COUNT; i++)
		span_index_destroy(r->index[i]);
	for (size_t i = 0; i < COPY_COUNT; i++)
		free(r->copies[i]);
	allocation_destroy(r->allocation);
	filter_destroy(r->filter);
	free(r);
}

/* ---- questions about addresses ---- */

const struct filter *rules_filter(const struct rules *r)
{
	return r->filter;
}

const struct nat_policy *rules_policy(const struct rules *r)
{
	return &r->policy;
}

static bool same_prefixes(const struct nat_prefix *a, uint32_t n_a, const struct nat_prefix *b, uint32_t n_b)
{
	for (uint32_t i = 0; n_a == n_b && i < n_a; i++) {
		if (a[i].address != b[i].address || a[i].length != b[i].length)
			return false;
	}
	return n_a == n_b;
}

static bool same_ranges(const struct nat_range *a, uint32_t n_a, const struct nat_range *b, uint32_t n_b)
{
	for (uint32_t i = 0; n_a == n_b && i < n_a; i++) {
		if (a[i].first != b[i].first || a[i].last != b[i].last)
			return false;
	}
	return n_a == n_b;
}

static bool same_addresses(const struct nat_policy *p, const struct nat_policy *q)
{
	for (uint32_t i = 0; p->n_addresses == q->n_addresses && i < p->n_addresses; i++) {
		const struct nat_address_range *a = &p->addresses[i], *b = &q->addresses[i];

		if (a->first != b->first || a->last != b->last || a->shared != b->shared || a->inside != b->inside)
			return false;
	}
	return p->n_addresses == q->n_addresses;
}

static bool same_forwards(const struct nat_policy *p, const struct nat_policy *q)
{
	if (p->n_forwards != q->n_forwards)
		return false;
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i], *g = &q->forwards[i];

		if (f->protocols != g->protocols || f->address != g->address || f->to != g->to ||
		    f->to_port != g->to_port || !same_ranges(&f->ports, 1, &g->ports, 1) ||
		    !same_prefixes(f->from, f->n_from, g->from, g->n_from))
			return false;
	}
	return true;
}

bool rules_allow_the_same(const struct rules *a, const struct rules *b)
{
	const struct nat_policy *p = &a->policy, *q = &b->policy;

	/* Filters are not compared: where there is one, sessions are judged. */
	return a->filter == NULL && b->filter == NULL && p->other_protocols == q->other_protocols &&
	       allocation_equals(a->allocation, b->allocation) &&
	       same_prefixes(p->inside, p->n_inside, q->inside, q->n_inside) &&
	       same_prefixes(p->exempt, p->n_exempt, q->exempt, q->n_exempt) &&
	       same_prefixes(p->broadcast, p->n_broadcast, q->broadcast, q->n_broadcast) && same_addresses(p, q) &&
	       same_ranges(p->shared_ports, p->n_shared_ports, q->shared_ports, q->n_shared_ports) &&
	       same_ranges(p->pool_ports, p->n_pool_ports, q->pool_ports, q->n_pool_ports) && same_forwards(p, q);
}

static bool index_holds(const struct rules *r, enum index_name which, uint64_t key)
{
	uint32_t n;

	span_index_find(r->index[which], key, &n);
	return n > 0;
}

bool rules_is_inside(const struct rules *r, uint32_t address)
{
	return index_holds(r, INDEX_INSIDE, address);
}

bool rules_is_exempt(const struct rules *r, uint32_t address)
{
	return index_holds(r, INDEX_EXEMPT, address);
}

bool rules_is_broadcast(const struct rules *r, uint32_t address)
{
	return index_holds(r, INDEX_BROADCAST, address);
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

/* The last i of 0..n-1 for which values(i) <= wanted, by `stride` bytes from `base`; -1: none. */
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

/* Index of the range that holds `address`, or -1. */
static int32_t address_range(const struct rules *r, uint32_t address)
{
	const struct nat_address_range *ranges = r->policy.addresses;
	int32_t i = last_not_above(&ranges->first, sizeof(*ranges), r->policy.n_addresses, address);

	return i >= 0 && address <= ranges[i].last ? i : -1;
}

int32_t rules_address_find(const struct rules *r, uint32_t address)
{
	int32_t i = address_range(r, address);

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
	int32_t i = r->n_pool_addresses < r->n_addresses ? address_range(r, outside) : -1;

	if (i < 0 || r->policy.addresses[i].inside == 0)
		return 0;
	return r->policy.addresses[i].inside + (outside - r->policy.addresses[i].first);
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

bool rules_address_is_shared(const struct rules *r, uint32_t address)
{
	int32_t i = address_range(r, address);

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
	int32_t i = address_range(r, address);
	enum allocation_cut which = i >= 0 && r->policy.addresses[i].shared ? CUT_SHARED : CUT_POOL;

	return i >= 0 && r->policy.addresses[i].inside == 0 && r->allocation->cut[which].size > 0 ? which : CUT_NONE;
}

static bool class_has_forwards(enum nat_class c)
{
	return c == CLASS_TCP || c == CLASS_UDP;
}

bool rules_port_is_forwarded(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port)
{
	return class_has_forwards(c) && r->policy.n_forwards > 0 &&
	       (index_holds(r, INDEX_INBOUND, endpoint_key(c, address, port)) ||
		index_holds(r, INDEX_INBOUND, endpoint_key(c, 0, port)));
}

bool rules_port_usable(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port)
{
	int32_t i = address_range(r, address);

	if (i < 0 || r->policy.addresses[i].inside != 0)
		return false;
	if (c == CLASS_OTHER)
		return true; /* a protocol number, not a port */
	if (!index_holds(r, r->policy.addresses[i].shared ? INDEX_SHARED_PORTS : INDEX_POOL_PORTS, port))
		return false;
	return !rules_port_is_forwarded(r, c, address, port);
}

/* ---- questions about forwards ---- */

/* Two lists of forwards, each in file order, read as one. */
struct merge {
	const uint32_t *list[2];
	uint32_t left[2];
};

static struct merge forwards_at(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port)
{
	struct merge m;

	m.list[0] = span_index_find(r->index[INDEX_INBOUND], endpoint_key(c, address, port), &m.left[0]);
	m.list[1] = span_index_find(r->index[INDEX_INBOUND], endpoint_key(c, 0, port), &m.left[1]);
	return m;
}

static int32_t merge_next(struct merge *m)
{
	int which = m->left[0] == 0 || (m->left[1] > 0 && *m->list[1] < *m->list[0]);

	if (m->left[which] == 0)
		return -1;
	m->left[which]--;
	return (int32_t)*m->list[which]++;
}

int32_t rules_forward_inbound(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t remote,
			      uint32_t *to, uint16_t *to_port)
{
	struct merge m;
	int32_t result = -1;

	if (!class_has_forwards(c) || address_range(r, address) < 0)
		return -1;
	m = forwards_at(r, c, address, port);
	for (int32_t i; (i = merge_next(&m)) >= 0; result = -2) {
		const struct nat_forward *f = &r->policy.forwards[i];

		if (f->n_from > 0 && !index_holds(r, INDEX_FROM, from_key((uint32_t)i, remote)))
			continue;
		*to = f->to;
		*to_port = (uint16_t)(f->to_port + (port - f->ports.first));
		return i;
	}
	return result;
}

int32_t rules_forward_outbound(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t *ext,
			       uint16_t *ext_port)
{
	const struct nat_forward *f;
	const uint32_t *found;
	uint32_t n;

	if (!class_has_forwards(c) || r->policy.n_forwards == 0)
		return -1;
	found = span_index_find(r->index[INDEX_OUTBOUND], endpoint_key(c, address, port), &n);
	if (n == 0)
		return -1;
	f = &r->policy.forwards[found[0]];
	*ext = f->address;
	*ext_port = (uint16_t)(f->ports.first + (port - f->to_port));
	return (int32_t)found[0];
}
