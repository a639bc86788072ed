/* SPDX-License-Identifier: ISC */
/* Creates the translation from memory, policy and seeds; applies compiled rules; destroys it. */
#include <stdlib.h>
#include <string.h>

#include "nat_private.h"

void nat_memory_need(struct nat_memory *m)
{
	table_memory_need(m->max_sessions, m->max_addresses, &m->table);
	m->fragments_len = fragment_memory_need(m->max_fragments);
}

static uint16_t min_inside_mtu(const struct nat_policy *p)
{
	uint16_t least = 0;

	for (uint32_t i = 0; i < p->n_inside; i++) {
		uint16_t mtu = p->inside[i].mtu;

		if (mtu != 0 && (least == 0 || mtu < least))
			least = mtu;
	}
	return least;
}

/* The most ports that are forwarded on one address. */
static uint32_t forwarded_ports(const struct nat_policy *p)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < p->n_forwards && sum < UINT16_MAX; i++) {
		if (nat_forward_has_ports(&p->forwards[i]))
			sum += p->forwards[i].ports.last - p->forwards[i].ports.first + 1u;
	}
	return sum;
}

/* Default hosts, and forwarded pings. */
static bool shares_ports(const struct nat_policy *p)
{
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		if (p->forwards[i].is_default || p->forwards[i].protocols == 1u << CLASS_ICMP)
			return true;
	}
	return false;
}

/* One comparison answers the usual case, one range of addresses and one inside prefix. */
static void cache_edges(struct nat *n)
{
	const struct nat_policy *p = n->policy;

	n->external_first = n->external_span = 0;
	n->inside_first = n->inside_mask = 0;
	n->one_external = p->n_addresses == 1;
	n->one_inside = p->n_inside == 1;
	if (n->one_external) {
		n->external_first = p->addresses[0].first;
		n->external_span = p->addresses[0].last - p->addresses[0].first;
	}
	if (n->one_inside) {
		n->inside_first = p->inside[0].address;
		n->inside_mask = p->inside[0].length == 0 ? 0 : UINT32_MAX << (32 - p->inside[0].length);
	}
}

bool nat_use_rules(struct nat *n, struct rules *r)
{
	uint32_t count = rules_address_count(r);
	int32_t *slots = calloc(count > 0 ? count : 1, sizeof(*slots));
	struct backends backends;

	if (slots == NULL || !backends_make(&backends, &n->backends, r)) {
		free(slots);
		return false;
	}
	if (!admission_use(&n->admission, rules_filter(r))) {
		backends_clear(&backends);
		free(slots);
		return false;
	}
	backends_adopt(&n->backends, &backends);
	table_set_tallies(n->table, n->backends.sessions, n->backends.n, backends_tally, r);
	free(n->slots);
	n->slots = slots;
	n->rules = r;
	n->policy = rules_policy(r);
	n->is_allotted = false;
	n->min_inside_mtu = min_inside_mtu(n->policy);
	n->forwarded_ports = forwarded_ports(n->policy);
	n->shares_ports = shares_ports(n->policy);
	cache_edges(n);
	fragment_set_limit(n->fragments, n->policy->limits.fragments, n->policy->timeouts.fragment);
	for (uint32_t i = 0; i < count; i++)
		n->slots[i] = TABLE_NONE;
	nat_claim_slots(n);
	return true;
}

int32_t nat_claim_slot(struct nat *n, uint32_t ordinal)
{
	uint32_t address;

	if (n->slots[ordinal] != TABLE_NONE)
		return n->slots[ordinal];
	address = rules_address_at(n->rules, ordinal);
	n->slots[ordinal] = table_address_add(n->table, address);
	if (n->slots[ordinal] != TABLE_NONE && n->is_allotted)
		table_cut_address(n->table, (uint16_t)n->slots[ordinal], rules_address_cut(n->rules, address));
	return n->slots[ordinal];
}

static enum allocation_cut cut_of(const void *ctx, uint32_t address)
{
	return rules_address_cut(ctx, address);
}

void nat_use_allocation(struct nat *n)
{
	table_set_allocation(n->table, rules_allocation(n->rules), cut_of, n->rules);
	n->is_allotted = true;
}

void nat_claim_slots(struct nat *n)
{
	for (uint32_t i = 0; i < rules_address_count(n->rules); i++)
		nat_claim_slot(n, i);
}

static void seed_all(struct nat *n, const uint64_t seed[4])
{
	const uint64_t root[2] = {seed[0] ^ seed[2], seed[1] ^ seed[3]};

	n->prf.key[0] = prf_hash(root, 1);
	n->prf.key[1] = prf_hash(root, 2);
	n->id_key[0] = prf_hash(root, 3);
	n->id_key[1] = prf_hash(root, 4);
	n->id_prf.key[0] = prf_hash(root, 5);
	n->id_prf.key[1] = prf_hash(root, 6);
	for (unsigned i = 0; i < 4; i++)
		n->holds.secret[i] = prf_hash(root, 7 + i);
}

static bool open_parts(struct nat *n, const struct nat_policy *policy, struct table_attach_report *report)
{
	struct table_params tp = {
		.max_sessions = n->memory.max_sessions,
		.max_addresses = n->memory.max_addresses,
		.mapping = policy->mapping,
		.port_reuse_s = policy->timeouts.port_reuse,
		.timeouts = policy->timeouts,
	};
	uint64_t fragment_secret[2] = {prf_next(&n->prf), prf_next(&n->prf)};
	struct rules *r = rules_create(policy);

	if (r == NULL)
		return false;
	for (int i = 0; i < 4; i++) /* the hash needs bits without pattern, whatever the seed looks like */
		tp.secret[i] = prf_next(&n->prf);
	n->table = table_attach(&n->memory.table, &tp, n->now_s, report);
	n->fragments = fragment_create(n->memory.fragments, n->memory.max_fragments, fragment_secret);
	if (n->table == NULL || n->fragments == NULL || !nat_use_rules(n, r)) {
		rules_destroy(r);
		return false;
	}
	nat_use_allocation(n);
	return true;
}

struct nat *nat_create(const struct nat_memory *m, const struct nat_policy *policy, const uint64_t seed[4],
		       uint64_t now_ms, struct table_attach_report *report)
{
	struct nat *n = calloc(1, sizeof(*n));

	memset(report, 0, sizeof(*report));
	if (n == NULL)
		return NULL;
	n->memory = *m;
	n->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	seed_all(n, seed);
	if (!open_parts(n, policy, report)) {
		if (n->table != NULL)
			table_detach(n->table);
		admission_clear(&n->admission);
		backends_clear(&n->backends);
		free(n);
		return NULL;
	}
	n->events = table_events(n->table);
	table_count_into(n->table, n->counters);
	n->is_judged = table_session_count(n->table) == 0;
	return n;
}

void nat_destroy(struct nat *n)
{
	if (n == NULL)
		return;
	nat_mirror_end(n, false);
	table_detach(n->table);
	nat_reset_free(n);
	rules_destroy(n->rules);
	admission_clear(&n->admission);
	backends_clear(&n->backends);
	free(n->slots);
	free(n);
}
