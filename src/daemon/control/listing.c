/* SPDX-License-Identifier: ISC */
/*
 * Listings other than sessions: mappings, forwards, pools, blocks (theory: request.h). Mappings are identified by their
 * external port. Listings of mappings and pools resume at an outside address, those of forwards at an index.
 */
#include <assert.h>
#include <string.h>

#include "core/nat/nat.h"
#include "entry.h"
#include "ctlclient.h"
#include "request.h"
#include "who.h"
#include "common/ctlstatus.h"

/* ---- outside addresses in ascending order ---- */

/* The first range that does not end before `from`; the ranges are sorted and disjoint. */
static const struct nat_address_range *range_from(const struct nat_policy *p, uint64_t from)
{
	uint32_t low = 0;
	uint32_t high = p->n_addresses;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (p->addresses[middle].last < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low < p->n_addresses ? &p->addresses[low] : NULL;
}

/* The range with the job's address, or the next one, to whose start the address moves; NULL: there are no more. */
static const struct nat_address_range *next_address(struct ctl_job *j, const struct nat_policy *p)
{
	const struct nat_address_range *r = range_from(p, j->address);

	if (r && j->address < r->first) {
		j->address = r->first;
		j->proto_class = 0;
		j->port = 0;
	}
	return r;
}

/* ---- mappings ---- */

static void put_mapping(struct ctl_job *j, const struct nat_policy *p, struct ctl_writer *w, const struct mapping *m)
{
	struct ctl_mapping wire = {
		.protocol = ctl_wire_protocol((enum nat_class)m->proto_class, m->int_port),
		.inside = {m->int_addr, m->int_port},
		.outside = {(uint32_t)j->address, m->ext_port},
		.sessions = m->sessions,
	};

	if (p->mapping != MAPPING_ENDPOINT_INDEPENDENT)
		wire.remote.address = m->rem_addr;
	if (p->mapping == MAPPING_ADDRESS_AND_PORT_DEPENDENT)
		wire.remote.port = m->rem_port;
	ctl_put_mapping(w, &wire);
	j->count++;
}

/* Lists up to `probes` ports of one class of one address; returns how many were visited. */
static uint32_t scan_ports(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t probes)
{
	struct table *t = nat_table(nat);
	int32_t slot = table_address_slot(t, (uint32_t)j->address);
	enum nat_class c = (enum nat_class)j->proto_class;
	struct mapping m;
	uint32_t n = 0;

	if (slot == TABLE_NONE || table_address_ports_used(t, (uint16_t)slot, c) == 0) {
		j->port = UINT16_MAX + 1;
		return 1;
	}
	for (; n < probes && j->port <= UINT16_MAX && ctl_has_room(w); n++, j->port++) {
		if (table_port_used(t, c, (uint16_t)slot, (uint16_t)j->port) &&
		    table_mapping_external(t, c, (uint16_t)slot, (uint16_t)j->port, &m))
			put_mapping(j, nat_policy_get(nat), w, &m);
	}
	return n;
}

void ctl_slice_mappings(struct ctl_job *j, const struct ctl_turn *t)
{
	struct nat *nat = t->env->nat;
	struct ctl_writer *w = t->w;
	uint32_t probes = t->visits * CTL_IDLE_PER_VISIT;

	while (probes > 0 && ctl_has_room(w)) {
		uint32_t n;

		if (!next_address(j, nat_policy_get(nat))) {
			j->is_done = true;
			return;
		}
		n = scan_ports(j, nat, w, probes);
		probes -= n < probes ? n : probes;
		if (j->port <= UINT16_MAX)
			continue;
		j->port = 0;
		if (++j->proto_class == CLASS_OTHER) { /* protocols without ports have no mappings of their own */
			j->proto_class = 0;
			j->address++;
		}
	}
}

/* ---- forwards ---- */

static uint8_t wire_protocols(const struct nat_forward *f)
{
	if (f->is_default)
		return CTL_FORWARD_ANY;
	if (!nat_forward_has_ports(f))
		return CTL_FORWARD_OTHER;
	return (uint8_t)((f->protocols & 1U << CLASS_TCP ? CTL_FORWARD_TCP : 0) |
			 (f->protocols & 1U << CLASS_UDP ? CTL_FORWARD_UDP : 0));
}

static void put_forward(struct ctl_writer *w, const struct nat_forward *f)
{
	struct ctl_forward wire = {
		.address = f->address,
		.first_port = f->ports.first,
		.last_port = f->ports.last,
		.to = {f->to, f->to_port},
		.n_from = f->n_from,
		.n_backends = (uint16_t)f->n_backends,
		.balance = f->balance,
		.side = f->side,
		.is_dynamic = f->is_dynamic,
		.affinity_s = f->n_backends > 0 ? f->affinity : 0,
	};

	static_assert(sizeof(wire.name) == sizeof(f->name), "a forward's name");
	memcpy(wire.name, f->name, sizeof(wire.name));
	wire.protocols = wire_protocols(f);
	if (wire.protocols & (CTL_FORWARD_OTHER | CTL_FORWARD_ANY))
		wire.to.port = 0;
	if (f->protocols == 1U << CLASS_ICMP)
		wire.first_port = wire.last_port = IPPROTO_NR_ICMP;
	for (uint32_t i = 0; i < f->n_from && i < CTL_FROM_MAX; i++)
		wire.from[i] = (struct ctl_prefix){f->from[i].address, f->from[i].length};
	ctl_put_forward(w, &wire);
}

static void put_backend(struct ctl_writer *w, const struct nat_backend_view *v)
{
	const struct ctl_backend_state wire = {
		.host = {v->backend.address, v->backend.port},
		.weight = v->backend.weight,
		.closed = v->closed,
		.sessions = v->sessions,
	};

	static_assert((int)CTL_BACKEND_DOWN == BACKEND_DOWN && (int)CTL_BACKEND_DRAINED == BACKEND_DRAINED,
		      "the same bits");
	ctl_put_backend(w, &wire);
}

/* The forward at the job's cursor, then its backends, of which job->port have been shown. */
void ctl_slice_forwards(struct ctl_job *j, const struct ctl_turn *t)
{
	const struct nat_policy *p = nat_policy_get(t->env->nat);
	struct nat_backend_view v;

	for (uint32_t visits = t->visits; visits > 0 && ctl_has_room(t->w) && j->cursor < p->n_forwards; visits--) {
		if (j->port == 0) {
			put_forward(t->w, &p->forwards[j->cursor]);
			j->count++;
		}
		if (nat_backend_view(t->env->nat, j->cursor, j->port, &v)) {
			put_backend(t->w, &v);
			j->port++;
		}
		if (j->port >= p->forwards[j->cursor].n_backends) {
			j->port = 0;
			j->cursor++;
		}
	}
	j->is_done = j->cursor >= p->n_forwards;
}

/* ---- pools ---- */

static uint32_t range_size(const struct nat_range *r, uint32_t n)
{
	uint32_t ports = 0;

	for (uint32_t i = 0; i < n; i++)
		ports += (uint32_t)(r[i].last - r[i].first) + 1;
	return ports;
}

static void put_pool(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, bool shared)
{
	const struct nat_policy *p = nat_policy_get(nat);
	const struct table *t = nat_table(nat);
	int32_t slot = table_address_slot(t, (uint32_t)j->address);
	struct ctl_pool wire = {
		.address = (uint32_t)j->address,
		.shared = shared,
		.ports = shared ? range_size(p->shared_ports, p->n_shared_ports)
				: range_size(p->pool_ports, p->n_pool_ports),
	};

	for (int c = CLASS_TCP; slot != TABLE_NONE && c <= CLASS_ICMP; c++) {
		wire.used[c] = table_address_ports_used(t, (uint16_t)slot, (enum nat_class)c);
		wire.quarantined[c] = table_address_ports_resting(t, (uint16_t)slot, (enum nat_class)c);
	}
	ctl_put_pool(w, &wire);
	j->count++;
}

void ctl_slice_pools(struct ctl_job *j, const struct ctl_turn *t)
{
	struct nat *nat = t->env->nat;
	struct ctl_writer *w = t->w;
	uint32_t visits = t->visits;

	for (; visits > 0 && ctl_has_room(w); visits--) {
		const struct nat_address_range *r = next_address(j, nat_policy_get(nat));

		if (!r) {
			j->is_done = true;
			return;
		}
		if (r->inside == 0 && !r->is_virtual) /* these take nothing from a pool */
			put_pool(j, nat, w, r->shared);
		j->address++;
	}
}

/* ---- blocks ---- */

void ctl_slice_blocks(struct ctl_job *j, const struct ctl_turn *t)
{
	uint32_t visits = t->visits;

	for (; visits > 0 && ctl_has_room(t->w); visits--) {
		struct block_view v;

		if (table_block_next(nat_table(t->env->nat), &j->cursor, CTL_IDLE_PER_VISIT, &v)) {
			ctl_put_block_view(t->w, t->env->nat, &v, t->now_ms);
			j->count++;
		}
		if (j->cursor == 0) {
			j->is_done = true;
			return;
		}
	}
}
