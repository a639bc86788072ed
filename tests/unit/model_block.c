/* SPDX-License-Identifier: ISC */
/*
 * Ports in blocks, shares by arithmetic, static pairs and classes in the naive NAT, by counting on fingers: no cut, no
 * owner and no limit is kept, all are worked out from mappings and quarantined ports. See model_walk.h.
 */
#include "model_walk.h"

/* ---- what the policy says ---- */

uint32_t model_static_out(const struct nat_policy *p, uint32_t in)
{
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		const struct nat_address_range *r = &p->addresses[i];

		if (r->inside != 0 && in >= r->inside && in - r->inside <= r->last - r->first)
			return r->first + (in - r->inside);
	}
	return 0;
}

uint32_t model_static_in(const struct nat_policy *p, uint32_t ext)
{
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		const struct nat_address_range *r = &p->addresses[i];

		if (r->inside != 0 && ext >= r->first && ext <= r->last)
			return r->inside + (ext - r->first);
	}
	return 0;
}

static uint32_t or_all(uint32_t own, uint32_t all)
{
	return own == HOST_LIMIT_AS_ALL ? all : own;
}

struct nat_host_limits model_limits(const struct nat_policy *p, uint32_t in)
{
	struct nat_host_limits all = {p->limits.sessions_per_host, p->limits.ports_per_host,
				      p->limits.new_sessions_per_host, p->blocks.per_host};

	if (p->allocation == ALLOCATION_DETERMINISTIC)
		all.blocks = p->blocks.overflow;
	for (uint32_t i = 0; i < p->n_classes; i++) {
		const struct nat_host_limits *own = &p->classes[i].limits;

		if (model_in_prefixes(p->classes[i].prefixes, p->classes[i].n_prefixes, in))
			return (struct nat_host_limits){
				or_all(own->sessions, all.sessions), or_all(own->ports, all.ports),
				or_all(own->new_sessions, all.new_sessions), or_all(own->blocks, all.blocks)};
	}
	return all;
}

static uint32_t whole_blocks(const struct nat_policy *p, uint32_t size)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_pool_ports; i++)
		n += (p->pool_ports[i].last - p->pool_ports[i].first + 1u) / size;
	return n;
}

/* The pool's address of that rank, 0 if there is none; *n: how many it has. */
static uint32_t pool_address(const struct nat_policy *p, uint32_t rank, uint32_t *n)
{
	uint32_t found = 0;

	*n = 0;
	for (uint32_t a = LAB_EXT - 1; a < LAB_EXT + 32; a++) {
		if (!model_is_external(p, a) || model_static_in(p, a) != 0)
			continue;
		if ((*n)++ == rank)
			found = a;
	}
	return found;
}

uint32_t model_pool_size(const struct nat_policy *p)
{
	uint32_t n;

	pool_address(p, 0, &n);
	return n;
}

static uint32_t inside_hosts(const struct nat_policy *p)
{
	return 1u << (32 - p->inside[0].length); /* there is one prefix */
}

/* RFC 7422: the largest size with which each host of an address has a block. */
static uint32_t block_size(const struct nat_policy *p)
{
	uint32_t n = model_pool_size(p), size;

	if (p->allocation == ALLOCATION_BLOCK)
		return p->blocks.size;
	for (size = 32; n > 0 && whole_blocks(p, size + 1) * n >= inside_hosts(p) &&
			whole_blocks(p, size + 1) >= (inside_hosts(p) + n - 1) / n;)
		size++;
	return size;
}

/* All zero: there is none. */
static struct nat_range block_at(const struct nat_policy *p, uint16_t port)
{
	uint32_t size = block_size(p);

	for (uint32_t i = 0; i < p->n_pool_ports; i++) {
		uint32_t first = p->pool_ports[i].first, last;

		if (port < first || port > p->pool_ports[i].last)
			continue;
		first += (port - first) / size * size;
		last = first + size - 1;
		if (last <= p->pool_ports[i].last)
			return (struct nat_range){(uint16_t)first, (uint16_t)last};
	}
	return (struct nat_range){0, 0};
}

static struct nat_range block_of_rank(const struct nat_policy *p, uint32_t rank)
{
	uint32_t size = block_size(p);

	for (uint32_t i = 0; i < p->n_pool_ports; i++) {
		uint32_t here = (p->pool_ports[i].last - p->pool_ports[i].first + 1u) / size;

		if (rank < here)
			return block_at(p, (uint16_t)(p->pool_ports[i].first + rank * size));
		rank -= here;
	}
	return (struct nat_range){0, 0};
}

struct nat_range model_share(const struct nat_policy *p, uint32_t in, uint32_t *ext)
{
	uint32_t n = model_pool_size(p), host = in - p->inside[0].address;

	*ext = 0;
	if (!model_is_inside(p, in) || n == 0)
		return (struct nat_range){0, 0};
	*ext = pool_address(p, host % n, &n);
	return block_of_rank(p, host / n);
}

static bool holds(const struct nat_range *r, uint16_t port)
{
	return port >= r->first && port <= r->last;
}

bool model_block_allows(const struct nat_policy *p, uint32_t in, uint32_t ext, uint16_t port)
{
	struct nat_range share;
	uint32_t own;

	if (p->allocation != ALLOCATION_DETERMINISTIC)
		return true; /* a host's blocks stay as they are as long as their size does */
	share = model_share(p, in, &own);
	return own == ext && holds(&share, port);
}

/* ---- holders of blocks ---- */

enum hold { HOLD_NOT, HOLD_PERHAPS, HOLD_SURE };

static bool lives(const struct model *m, int g)
{
	for (uint32_t i = 0; i < m->n_sessions; i++)
		if (m->sessions[i].mapping == g && !m->sessions[i].dead)
			return true;
	return false;
}

/* Does that host hold the block (`others`: does any other one)? A mapping or a quarantined port does, of any class. */
static enum hold hold_of(const struct walk *w, uint32_t ext, const struct nat_range *b, uint32_t in, bool others)
{
	const struct model *m = w->m;
	enum hold h = HOLD_NOT;

	for (int g = 0; g < MODEL_MAPPINGS; g++) {
		const struct model_mapping *x = &m->mappings[g];

		if (!x->used || x->ext != ext || !holds(b, x->ext_port) || (x->in == in) == others)
			continue;
		if (lives(m, g))
			return HOLD_SURE;
		h = HOLD_PERHAPS;
	}
	for (uint32_t i = 0; i < m->n_rests; i++) {
		const struct model_rest *r = &m->rests[i];

		if (r->ext != ext || !holds(b, r->port) || (r->host == in) == others)
			continue;
		if (r->sure && now_s(w) - r->since_s < w->policy->timeouts.port_reuse)
			return HOLD_SURE;
		h = HOLD_PERHAPS;
	}
	return h;
}

struct holding {
	uint32_t sure, all;
};

/* The host's blocks on all addresses of the pool. */
static struct holding count_held(const struct walk *w, uint32_t in)
{
	struct holding held = {0, 0};
	uint32_t total = whole_blocks(w->policy, block_size(w->policy));

	for (uint32_t k = 0; k < model_pool_size(w->policy); k++) {
		uint32_t unused, ext = pool_address(w->policy, k, &unused);

		for (uint32_t i = 0; i < total; i++) {
			const struct nat_range b = block_of_rank(w->policy, i);
			enum hold h = hold_of(w, ext, &b, in, false);

			held.sure += h == HOLD_SURE;
			held.all += h != HOLD_NOT;
		}
	}
	return held;
}

uint32_t walk_own_blocks(const struct walk *w, uint32_t in, uint32_t ext, struct nat_range out[WALK_BLOCKS])
{
	uint32_t n = 0, own;

	if (w->policy->allocation == ALLOCATION_DETERMINISTIC) {
		out[0] = model_share(w->policy, in, &own);
		return own == ext;
	}
	for (uint32_t i = 0; i < whole_blocks(w->policy, block_size(w->policy)) && n < WALK_BLOCKS; i++) {
		out[n] = block_of_rank(w->policy, i);
		n += hold_of(w, ext, &out[n], in, false) == HOLD_SURE;
	}
	return n;
}

struct nat_range walk_check_block(const struct walk *w, uint32_t in, uint32_t ext, uint16_t port, bool *is_new)
{
	struct nat_range b = block_at(w->policy, port);
	struct holding held = count_held(w, in);
	uint32_t limit = model_limits(w->policy, in).blocks, own;

	*is_new = false;
	if (w->policy->allocation == ALLOCATION_DETERMINISTIC) {
		b = model_share(w->policy, in, &own);
		must(w, own == ext, "not the address that the arithmetic says");
		must(w, holds(&b, port), "a port that the arithmetic does not give to the host");
		return b;
	}
	must(w, b.first != 0, "a port that is in no whole block");
	must(w, hold_of(w, ext, &b, in, true) != HOLD_SURE, "a port of another host's block");
	*is_new = hold_of(w, ext, &b, in, false) == HOLD_NOT;
	must(w, !*is_new || held.sure < limit, "more blocks than the host's limit");
	return b;
}

bool walk_has_free_block(const struct walk *w, uint32_t in, uint32_t ext)
{
	if (w->policy->allocation != ALLOCATION_BLOCK || count_held(w, in).all > 0)
		return false; /* one more is a question of limits and fairness */
	for (uint32_t i = 0; i < whole_blocks(w->policy, block_size(w->policy)); i++) {
		const struct nat_range b = block_of_rank(w->policy, i);

		if (hold_of(w, ext, &b, in, true) == HOLD_NOT)
			return true;
	}
	return false;
}

/* The address on which quarantined ports hold blocks for a host that has no sessions; *is_sure: they do. */
uint32_t walk_resting_address(const struct walk *w, uint32_t in, bool *is_sure)
{
	uint32_t address = 0;

	*is_sure = true;
	for (uint32_t i = 0; i < w->m->n_rests && w->policy->allocation == ALLOCATION_BLOCK; i++) {
		const struct model_rest *r = &w->m->rests[i];

		if (r->host != in)
			continue;
		*is_sure = *is_sure && r->sure && now_s(w) - r->since_s < w->policy->timeouts.port_reuse &&
			   (address == 0 || address == r->ext);
		address = r->ext;
	}
	return address;
}
