/* SPDX-License-Identifier: ISC */
/*
 * Compiles the policy: a deep copy, and one span index for each question that packets raise. Forwards are keyed by
 * class, outside address and port side by side (address 0 stands for every outside address). So a look-up is two binary
 * searches however many forwards there are, and the two resulting lists are merged back into file order.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "rule_private.h"

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

static bool copy_backends(struct rules *r, const struct nat_policy *p)
{
	struct nat_forward *forwards = r->copies[COPY_FORWARDS];
	uint32_t *bases = calloc((size_t)p->n_forwards + 1, sizeof(*bases));
	struct balance_target *targets;
	struct nat_backend *backends;

	r->copies[COPY_BACKEND_BASES] = bases;
	for (uint32_t i = 0; bases && i < p->n_forwards; i++)
		bases[i + 1] = bases[i] + p->forwards[i].n_backends;
	backends = calloc(bases ? (size_t)bases[p->n_forwards] + 1 : 1, sizeof(*backends));
	targets = calloc(bases ? (size_t)bases[p->n_forwards] + 1 : 1, sizeof(*targets));
	r->copies[COPY_BACKENDS] = backends;
	r->copies[COPY_TARGETS] = targets;
	if (!bases || !backends || !targets)
		return false;
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		forwards[i].backends = &backends[bases[i]];
		for (uint32_t k = 0; k < forwards[i].n_backends; k++) {
			backends[bases[i] + k] = p->forwards[i].backends[k];
			targets[bases[i] + k] = balance_target_of(&p->forwards[i].backends[k]);
		}
	}
	r->backend_bases = bases;
	r->targets = targets;
	balance_scale_init(&r->scale);
	return true;
}

/* The data of the backends that hashing reads. */
static bool make_lanes(struct rules *r)
{
	uint32_t n = r->policy.n_forwards, *bases = calloc((size_t)n + 1, sizeof(*bases));
	struct balance_lanes *lanes;

	r->copies[COPY_LANE_BASES] = bases;
	for (uint32_t i = 0; bases && i < n; i++)
		bases[i + 1] = bases[i] + balance_lanes_count(r->policy.forwards[i].n_backends);
	lanes = calloc(bases ? (size_t)bases[n] + 1 : 1, sizeof(*lanes));
	r->copies[COPY_LANES] = lanes;
	if (!bases || !lanes)
		return false;
	for (uint32_t i = 0; i < n; i++)
		balance_lanes_make(&lanes[bases[i]], &r->targets[r->backend_bases[i]],
				   r->policy.forwards[i].n_backends);
	r->lane_bases = bases;
	r->lanes = lanes;
	return true;
}

static const char *forward_name(const void *ctx, uint32_t i)
{
	return ((const struct nat_forward *)ctx)[i].name;
}

static bool index_names(struct rules *r)
{
	return names_init(&r->forward_names, r->policy.n_forwards, forward_name, r->policy.forwards);
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

		if (range->inside != 0 || range->is_virtual)
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

/* Last inside port of a forward that begins at `first`; a range beyond 16 bits is cut off there. */
static uint16_t last_to_port(const struct nat_forward *f, uint16_t first)
{
	uint32_t last = (uint32_t)first + f->ports.last - f->ports.first;

	return last > UINT16_MAX ? UINT16_MAX : (uint16_t)last;
}

static struct span forward_span(const struct nat_forward *f, enum nat_class c, enum index_name which, uint32_t item)
{
	if (which != INDEX_OUTBOUND)
		return (struct span){endpoint_key(c, f->address, f->ports.first),
				     endpoint_key(c, f->address, f->ports.last), item};
	return (struct span){endpoint_key(c, f->to, f->to_port), endpoint_key(c, f->to, last_to_port(f, f->to_port)),
			     item};
}

/* Outbound, a query id is drawn even if pings are forwarded to its host, and a backend shares the outside port with
 * others. */
static bool is_indexed(const struct nat_forward *f, enum nat_class c, enum index_name which)
{
	return (f->protocols & 1u << c) != 0 && f->is_default == (which == INDEX_DEFAULT) &&
	       (which != INDEX_OUTBOUND || (c != CLASS_ICMP && f->n_backends == 0));
}

static bool index_forwards(struct rules *r, enum index_name which)
{
	struct span *spans = calloc(CLASS_COUNT * (size_t)r->policy.n_forwards + 1, sizeof(*spans));
	uint32_t n = 0;

	if (!spans)
		return false;
	for (uint32_t i = 0; i < r->policy.n_forwards; i++) {
		for (int c = 0; c < CLASS_COUNT; c++) {
			if (is_indexed(&r->policy.forwards[i], (enum nat_class)c, which))
				spans[n++] = forward_span(&r->policy.forwards[i], (enum nat_class)c, which, i);
		}
	}
	r->index[which] = span_index_create(spans, n);
	free(spans);
	return r->index[which] != NULL;
}

static bool index_backends(struct rules *r)
{
	const struct nat_policy *p = &r->policy;
	struct span *spans = calloc((size_t)r->backend_bases[p->n_forwards] + 1, sizeof(*spans));
	uint32_t n = 0;

	if (!spans)
		return false;
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		for (uint32_t k = 0; k < p->forwards[i].n_backends; k++, n++) {
			const struct nat_backend *b = &p->forwards[i].backends[k];

			spans[n] = (struct span){backend_key(i, b->address, b->port),
						 backend_key(i, b->address, last_to_port(&p->forwards[i], b->port)), k};
		}
	}
	r->index[INDEX_BACKENDS] = span_index_create(spans, n);
	free(spans);
	return r->index[INDEX_BACKENDS] != NULL;
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

/* The policy's own copy does not need the filter's configuration. */
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
	if (r->allocation && copy_lists(r, p) && copy_forwards(r, p) && copy_backends(r, p) && make_lanes(r) &&
	    index_names(r) && index_backends(r) && copy_classes(r, p) && index_classes(r) && count_addresses(r) &&
	    count_pools(r) && index_static(r) && index_prefixes(r, INDEX_INSIDE, p->inside, p->n_inside) &&
	    index_prefixes(r, INDEX_EXEMPT, p->exempt, p->n_exempt) &&
	    index_prefixes(r, INDEX_BROADCAST, p->broadcast, p->n_broadcast) &&
	    index_ports(r, INDEX_SHARED_PORTS, p->shared_ports, p->n_shared_ports) &&
	    index_ports(r, INDEX_POOL_PORTS, p->pool_ports, p->n_pool_ports) && index_forwards(r, INDEX_INBOUND) &&
	    index_forwards(r, INDEX_OUTBOUND) && index_forwards(r, INDEX_DEFAULT) && index_from(r) &&
	    compile_filter(r, p))
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
	names_fini(&r->forward_names);
	free(r);
}
