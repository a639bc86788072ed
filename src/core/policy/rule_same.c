/* SPDX-License-Identifier: ISC */
/* Compares two policies: do they allow the same sessions? */
#include "rule_private.h"

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

		if (a->first != b->first || a->last != b->last || a->shared != b->shared || a->inside != b->inside ||
		    a->is_virtual != b->is_virtual)
			return false;
	}
	return p->n_addresses == q->n_addresses;
}

/* Weights and the method of choice only matter for openings. */
static bool same_backends(const struct nat_forward *f, const struct nat_forward *g)
{
	for (uint32_t i = 0; f->n_backends == g->n_backends && i < f->n_backends; i++) {
		if (f->backends[i].address != g->backends[i].address || f->backends[i].port != g->backends[i].port)
			return false;
	}
	return f->n_backends == g->n_backends;
}

static bool same_forwards(const struct nat_policy *p, const struct nat_policy *q)
{
	if (p->n_forwards != q->n_forwards)
		return false;
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i], *g = &q->forwards[i];

		if (f->protocols != g->protocols || f->is_default != g->is_default || f->address != g->address ||
		    f->to != g->to || f->to_port != g->to_port || f->side != g->side || !same_backends(f, g) ||
		    !same_ranges(&f->ports, 1, &g->ports, 1) || !same_prefixes(f->from, f->n_from, g->from, g->n_from))
			return false;
	}
	return true;
}

bool rules_allow_the_same(const struct rules *a, const struct rules *b)
{
	const struct nat_policy *p = &a->policy, *q = &b->policy;

	/* Filters are not compared: if there is one, sessions are checked anyway. */
	return a->filter == NULL && b->filter == NULL && p->other_protocols == q->other_protocols &&
	       allocation_equals(a->allocation, b->allocation) &&
	       same_prefixes(p->inside, p->n_inside, q->inside, q->n_inside) &&
	       same_prefixes(p->exempt, p->n_exempt, q->exempt, q->n_exempt) &&
	       same_prefixes(p->broadcast, p->n_broadcast, q->broadcast, q->n_broadcast) && same_addresses(p, q) &&
	       same_ranges(p->shared_ports, p->n_shared_ports, q->shared_ports, q->n_shared_ports) &&
	       same_ranges(p->pool_ports, p->n_pool_ports, q->pool_ports, q->n_pool_ports) && same_forwards(p, q);
}
