/* SPDX-License-Identifier: ISC */
/* The allocation of ports, as far as the file alone determines it: contradictions, and the resulting numbers. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"

enum { BLOCKS_MAX = 65535 * 256 /* over all addresses: the table's limit */ };

/* The parts of a policy that the arithmetic needs; borrows from `c`. */
static struct nat_policy policy_of(const struct natd_config *c)
{
	struct nat_policy p = {
		.allocation = c->translation.allocation,
		.blocks = c->blocks,
		.inside = c->inside.prefixes,
		.n_inside = c->inside.n_prefixes,
		.addresses = c->outside.pool,
		.n_addresses = c->outside.n_pool,
	};

	p.pool_ports = config_port_ranges(c, false, &p.n_pool_ports);
	p.shared_ports = config_port_ranges(c, true, &p.n_shared_ports);
	return p;
}

struct allocation *config_allocation(const struct natd_config *c)
{
	const struct nat_policy p = policy_of(c);

	return allocation_create(&p);
}

static uint64_t addresses_of(const struct natd_config *c)
{
	uint64_t n = c->outside.share_interface_address;

	for (uint32_t i = 0; i < c->outside.n_pool; i++)
		n += (uint64_t)c->outside.pool[i].last - c->outside.pool[i].first + 1;
	return n;
}

int config_allocation_text(const struct natd_config *c, char *out, size_t size)
{
	struct allocation *a = config_allocation(c);
	int n = 0;

	if (a == NULL || a->kind == ALLOCATION_PORT)
		n = snprintf(out, size, "allocation: ports one by one");
	else if (a->kind == ALLOCATION_BLOCK)
		n = snprintf(out, size, "allocation: blocks of %u ports, %u blocks an address, at most %u a host",
			     a->cut[CUT_POOL].size, a->cut[c->outside.n_pool > 0 ? CUT_POOL : CUT_SHARED].blocks,
			     c->blocks.per_host);
	else
		n = snprintf(
			out, size,
			"allocation: deterministic, %u ports a host, %u hosts an address, %u blocks an address for "
			"overflow",
			a->cut[CUT_POOL].size, a->fixed, a->cut[CUT_POOL].blocks - a->fixed);
	if (a != NULL && a->kind == ALLOCATION_DETERMINISTIC && c->blocks.overflow == 0)
		n = snprintf(out, size, "allocation: deterministic, %u ports a host, %u hosts an address",
			     a->cut[CUT_POOL].size, a->fixed);
	allocation_destroy(a);
	return n;
}

/* ---- checks ---- */

static void check_block_size(struct config_loader *l)
{
	const struct natd_config *c = l->c;
	uint32_t n_pool, n_shared, pool, shared;
	const struct nat_range *pool_ports = config_port_ranges(c, false, &n_pool);
	const struct nat_range *shared_ports = config_port_ranges(c, true, &n_shared);

	pool = cut_count(pool_ports, n_pool, c->blocks.size);
	shared = cut_count(shared_ports, n_shared, c->blocks.size);
	if ((c->outside.n_pool > 0 && pool == 0) || (c->outside.share_interface_address && shared == 0))
		loader_error(
			l, loader_line(l, "blocks", "size"),
			"blocks.size: no range of outside.ports has %u ports: choose a smaller size, or wider ranges",
			c->blocks.size);
	else if (addresses_of(c) * pool > BLOCKS_MAX)
		loader_error(l, loader_line(l, "blocks", "size"),
			     "blocks.size: %" PRIu64 " blocks are too many: there can be %d; choose a larger size",
			     addresses_of(c) * pool, BLOCKS_MAX);
}

/* With that many outside addresses each host has BLOCK_SIZE_LEAST ports, and its overflow. */
static uint64_t addresses_wanted(const struct natd_config *c, struct allocation *a)
{
	uint32_t n, blocks;
	const struct nat_range *ranges = config_port_ranges(c, false, &n);
	uint32_t fixed = a->fixed;

	blocks = cut_count(ranges, n, BLOCK_SIZE_LEAST);
	for (a->fixed = blocks; a->fixed > 0 && a->fixed + allocation_reserve(a) > blocks;)
		a->fixed--;
	blocks = a->fixed;
	a->fixed = fixed;
	return blocks == 0 ? 0 : ((uint64_t)a->hosts + blocks - 1) / blocks;
}

static void refuse_share(struct config_loader *l, struct allocation *a, uint32_t ports)
{
	uint64_t wanted = addresses_wanted(l->c, a);
	char remedy[64] = "widen outside.ports";

	if (wanted > 0)
		snprintf(remedy, sizeof(remedy), "add outside addresses (%" PRIu64 " are enough)", wanted);
	loader_error(l, loader_line(l, "translation", "allocation"),
		     "translation.allocation: %u inside addresses on %u outside addresses are %u hosts%s on the %u "
		     "ports of each, fewer than %d ports a host: %s, or name smaller inside.prefixes",
		     a->hosts, a->n_outside, a->fixed, a->blocks.overflow > 0 ? " and their overflow" : "", ports,
		     BLOCK_SIZE_LEAST, remedy);
}

static void check_share(struct config_loader *l)
{
	struct allocation *a = config_allocation(l->c);
	uint32_t n, ports = 0, line = loader_line(l, "translation", "allocation");
	const struct nat_range *ranges = config_port_ranges(l->c, false, &n);

	for (uint32_t i = 0; i < n; i++)
		ports += (uint32_t)ranges[i].last - ranges[i].first + 1;
	if (a == NULL)
		loader_error(l, 0, "out of memory");
	else if (!allocation_fits(a))
		refuse_share(l, a, ports);
	else if ((uint64_t)a->n_outside * a->cut[CUT_POOL].blocks > BLOCKS_MAX)
		loader_error(l, line,
			     "translation.allocation: %u outside addresses with %u blocks each are too many: there can "
			     "be %d blocks",
			     a->n_outside, a->cut[CUT_POOL].blocks, BLOCKS_MAX);
	allocation_destroy(a);
}

/* The file sets a value other than the default. */
static bool differs(const struct config_loader *l, const char *name, uint32_t value)
{
	size_t n;
	const struct config_key *k = config_keys(&n);

	for (; n > 0; n--, k++) {
		if (strcmp(k->group, "blocks") == 0 && strcmp(k->name, name) == 0)
			return loader_has(l, "blocks", name) && k->standard != value;
	}
	return false;
}

/* Every address is a host, whether it exists or not: so the addresses must be in the file. */
static void check_deterministic(struct config_loader *l)
{
	const struct natd_config *c = l->c;
	uint32_t line = loader_line(l, "translation", "allocation");

	if (c->inside.n_prefixes == 0)
		loader_error(l, line,
			     "translation.allocation: \"deterministic\" needs inside.prefixes, not those that the "
			     "interfaces happen to have");
	if (c->outside.share_interface_address)
		loader_error(l, loader_line(l, "outside", "addresses"),
			     "outside.addresses: \"interface\" does not go with deterministic allocation: name the "
			     "addresses themselves");
	if (c->inside.n_prefixes > 0 && !c->outside.share_interface_address && c->outside.n_pool > 0)
		check_share(l);
	if (differs(l, "size", c->blocks.size) || differs(l, "per_host", c->blocks.per_host))
		loader_warning(
			l, loader_line(l, "blocks", "size"),
			"blocks.size and blocks.per_host have no effect with deterministic allocation: `natd -t' "
			"prints the ports a host");
}

void config_check_allocation(struct config_loader *l)
{
	const struct natd_config *c = l->c;
	enum nat_allocation kind = c->translation.allocation;

	if (kind == ALLOCATION_PORT) {
		if (differs(l, "size", c->blocks.size) || differs(l, "per_host", c->blocks.per_host) ||
		    differs(l, "overflow", c->blocks.overflow))
			loader_warning(l, loader_line(l, "blocks", "size"),
				       "blocks has no effect: translation.allocation is \"port\"");
		return;
	}
	if (c->translation.pooling == POOLING_ARBITRARY)
		loader_error(l, loader_line(l, "translation", "pooling"),
			     "translation.pooling: \"arbitrary\" does not go with translation.allocation = \"%s\": a "
			     "host's blocks are on one address",
			     kind == ALLOCATION_BLOCK ? "block" : "deterministic");
	if (kind == ALLOCATION_BLOCK)
		check_block_size(l);
	else
		check_deterministic(l);
	if (kind == ALLOCATION_BLOCK && differs(l, "overflow", c->blocks.overflow))
		loader_warning(l, loader_line(l, "blocks", "overflow"),
			       "blocks.overflow has no effect: translation.allocation is \"block\"");
}
