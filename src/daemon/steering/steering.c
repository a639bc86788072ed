/* SPDX-License-Identifier: ISC */
/* The steering table: construction, and the questions about addresses and sources. */
#include "steering.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool has(const struct nat_prefix *p, uint32_t address)
{
	return p->length == 0 || (address ^ p->address) >> (32 - p->length) == 0;
}

static bool any_has(const struct nat_prefix *p, uint32_t n, uint32_t address)
{
	for (uint32_t i = 0; i < n; i++) {
		if (has(&p[i], address))
			return true;
	}
	return false;
}

/* ---- making ---- */

/* Copies `n` objects; *failed is set if memory is short, else the result is not NULL. */
static void *copy(const void *from, uint32_t n, size_t size, bool *failed)
{
	void *to = calloc((size_t)n + 1, size);

	*failed |= !to;
	if (to && n > 0)
		memcpy(to, from, n * size);
	return to;
}

static void copy_forwards(struct steering *s, const struct nat_policy *p, bool *failed)
{
	s->forwards = calloc((size_t)p->n_forwards + 1, sizeof(*s->forwards));
	*failed |= !s->forwards;
	for (uint32_t i = 0; s->forwards && i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];

		if (nat_forward_has_ports(f))
			s->forwards[s->n_forwards++] = (struct steering_forward){
				.address = f->address, .protocols = f->protocols, .ports = f->ports};
	}
}

/* The inside interface with that kernel index; STEERING_ANYWHERE: none. */
static uint32_t inside_by_index(const struct steering *s, int index)
{
	for (uint32_t i = 0; index != 0 && i < s->n_inside; i++) {
		if (s->inside[i].index == index)
			return i;
	}
	return STEERING_ANYWHERE;
}

static void make_pairs(struct steering *s, const int *prefix_out, bool *failed)
{
	s->pairs = calloc((size_t)s->n_prefixes * (s->n_inside ? s->n_inside : 1) + 1, sizeof(*s->pairs));
	*failed |= !s->pairs;
	for (uint32_t p = 0; s->pairs && p < s->n_prefixes; p++) {
		uint32_t tied = inside_by_index(s, prefix_out ? prefix_out[p] : 0);

		if (s->n_inside == 0 || tied != STEERING_ANYWHERE) {
			s->pairs[s->n_pairs++] = (struct steering_pair){.interface = tied, .prefix = s->prefixes[p]};
			continue;
		}
		for (uint32_t i = 0; i < s->n_inside; i++)
			s->pairs[s->n_pairs++] = (struct steering_pair){.interface = i, .prefix = s->prefixes[p]};
	}
}

static void copy_name(char to[STEERING_IFNAME_SIZE], const char *from)
{
	strncpy(to, from, STEERING_IFNAME_SIZE - 1);
	to[STEERING_IFNAME_SIZE - 1] = '\0';
}

static void copy_exempt(struct steering *s, const struct steering_input *in, bool *failed)
{
	s->n_exempt = in->policy->n_exempt;
	s->exempt = copy(in->policy->exempt, s->n_exempt, sizeof(*s->exempt), failed);
	s->exempt_is_outside = calloc((size_t)s->n_exempt + 1, sizeof(*s->exempt_is_outside));
	*failed |= !s->exempt_is_outside;
	for (uint32_t i = 0; s->exempt_is_outside && i < s->n_exempt; i++)
		s->exempt_is_outside[i] = in->exempt_is_outside && in->exempt_is_outside[i];
}

struct steering *steering_create(const struct steering_input *in)
{
	const struct nat_policy *p = in->policy;
	struct steering *s = calloc(1, sizeof(*s));
	bool failed = false;

	if (!s)
		return NULL;
	copy_name(s->tun, in->tun);
	copy_name(s->outside.name, in->outside);
	s->outside.index = in->outside_index;
	s->outside.is_l3 = in->outside_is_l3;
	s->n_inside = in->n_inside;
	s->inside = copy(in->inside, in->n_inside, sizeof(*s->inside), &failed);
	s->n_prefixes = p->n_inside;
	s->prefixes = copy(p->inside, p->n_inside, sizeof(*s->prefixes), &failed);
	copy_exempt(s, in, &failed);
	s->n_addresses = p->n_addresses;
	s->addresses = copy(p->addresses, p->n_addresses, sizeof(*s->addresses), &failed);
	s->n_dynamic = p->n_shared_ports;
	s->dynamic = copy(p->shared_ports, p->n_shared_ports, sizeof(*s->dynamic), &failed);
	copy_forwards(s, p, &failed);
	if (in->host_tcp)
		s->host_tcp = *in->host_tcp;
	if (in->host_udp)
		s->host_udp = *in->host_udp;
	s->ephemeral = in->ephemeral;
	if (!failed)
		make_pairs(s, in->prefix_out, &failed);
	if (!failed)
		return s;
	steering_destroy(s);
	return NULL;
}

void steering_destroy(struct steering *s)
{
	if (!s)
		return;
	free(s->inside);
	free(s->prefixes);
	free(s->pairs);
	free(s->exempt);
	free(s->exempt_is_outside);
	free(s->addresses);
	free(s->dynamic);
	free(s->forwards);
	free(s);
}

/* ---- addresses ---- */

bool steering_is_outside(const struct steering *s, uint32_t address, bool *shared)
{
	for (uint32_t i = 0; i < s->n_addresses; i++) {
		if (address < s->addresses[i].first || address > s->addresses[i].last)
			continue;
		if (shared)
			*shared = s->addresses[i].shared;
		return true;
	}
	return false;
}

uint32_t steering_shared(const struct steering *s, uint32_t n)
{
	for (uint32_t i = 0; i < s->n_addresses; i++) {
		const struct nat_address_range *r = &s->addresses[i];

		if (!r->shared)
			continue;
		if (n <= r->last - r->first)
			return r->first + n;
		n -= r->last - r->first + 1;
	}
	return 0;
}

bool steering_is_inside(const struct steering *s, uint32_t address)
{
	return any_has(s->prefixes, s->n_prefixes, address);
}

bool steering_is_exempt(const struct steering *s, uint32_t address)
{
	return any_has(s->exempt, s->n_exempt, address);
}

bool steering_source_fits(const struct steering *s, uint32_t interface, uint32_t source)
{
	for (uint32_t i = 0; i < s->n_pairs; i++) {
		const struct steering_pair *p = &s->pairs[i];

		if ((p->interface == STEERING_ANYWHERE || p->interface == interface) && has(&p->prefix, source))
			return true;
	}
	return false;
}
