/* SPDX-License-Identifier: ISC */
/* The holder of an outside endpoint, see who.h. */
#include "who.h"

#include "core/base/event.h"
#include "core/nat/nat.h"
#include "ctlclient.h"
#include "entry.h"
#include "stream.h"

/* Each protocol has at most one mapping; a forward is reported by the first class that matches. */
static bool put_mapping(const struct ctl_env *env, const struct ctl_who *q, enum nat_class c, struct ctl_writer *w)
{
	const struct table *t = nat_table(env->nat);
	int32_t slot = table_address_slot(t, q->outside.address);
	struct ctl_mapping wire = {.outside = q->outside};
	struct mapping m;

	if (slot == TABLE_NONE || !table_port_used(t, c, (uint16_t)slot, q->outside.port) ||
	    !table_mapping_external(t, c, (uint16_t)slot, q->outside.port, &m))
		return false;
	wire.protocol = ctl_wire_protocol(c, m.int_port);
	wire.inside = (struct ctl_endpoint){m.int_addr, m.int_port};
	wire.sessions = m.sessions;
	return ctl_put_mapping(w, &wire);
}

/* Reports all backends of a balanced forward, since each may hold it; returns their number. */
static uint32_t put_forward(const struct ctl_env *env, const struct ctl_who *q, enum nat_class c, struct ctl_writer *w)
{
	const struct nat_policy *p = nat_policy_get(env->nat);
	struct ctl_mapping wire = {.outside = q->outside, .protocol = ctl_wire_protocol(c, 0)};
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];

		if (!(f->protocols >> c & 1) || q->outside.port < f->ports.first || q->outside.port > f->ports.last ||
		    (f->address != 0 && f->address != q->outside.address))
			continue;
		for (uint32_t k = 0; k < nat_forward_targets(f); k++) {
			struct nat_backend b = nat_forward_target(f, k);

			wire.inside.address = b.address;
			wire.inside.port = (uint16_t)(b.port + (q->outside.port - f->ports.first));
			n += ctl_put_mapping(w, &wire);
		}
		break;
	}
	return n;
}

void ctl_put_block_view(struct ctl_writer *w, struct nat *nat, const struct block_view *v, uint64_t now_ms)
{
	int32_t age_s = (int32_t)((uint32_t)(now_ms / 1000) - v->since_s);
	const struct ctl_block wire = {
		.inside = v->host,
		.outside = table_address(nat_table(nat), v->ext),
		.first = v->ports.first,
		.last = v->ports.last,
		.used = v->used,
		.age_s = age_s > 0 ? (uint32_t)age_s : 0,
		.is_fixed = v->is_fixed,
	};

	ctl_put_block(w, &wire);
}

static bool put_block(const struct ctl_env *env, const struct ctl_who *q, struct ctl_writer *w)
{
	const struct table *t = nat_table(env->nat);
	int32_t slot = table_address_slot(t, q->outside.address);
	struct block_view v;

	if (slot == TABLE_NONE || !table_block_at(t, (uint16_t)slot, q->outside.port, &v))
		return false;
	ctl_put_block_view(w, env->nat, &v, nat_events(env->nat)->now_ms);
	return true;
}

/* A static pair has every port of the address. */
static bool put_static(const struct ctl_env *env, const struct ctl_who *q, enum nat_class c, struct ctl_writer *w)
{
	const struct nat_policy *p = nat_policy_get(env->nat);
	struct ctl_mapping wire = {.outside = q->outside, .protocol = ctl_wire_protocol(c, 0)};

	for (uint32_t i = 0; i < p->n_addresses; i++) {
		const struct nat_address_range *r = &p->addresses[i];

		if (r->inside == 0 || q->outside.address < r->first || q->outside.address > r->last)
			continue;
		wire.inside.address = r->inside + (q->outside.address - r->first);
		wire.inside.port = q->outside.port;
		return ctl_put_mapping(w, &wire);
	}
	return false;
}

static bool is_own(const struct nat_policy *p, uint32_t address)
{
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		if (address >= p->addresses[i].first && address <= p->addresses[i].last)
			return true;
	}
	return false;
}

/* Time of the oldest event still stored; before any was overwritten, the time of the start. */
static uint64_t history_begin_us(const struct ctl_env *env)
{
	const struct event_ring *log = &nat_events(env->nat)->log;
	uint64_t cursor = events_begin(log), lost;
	struct event oldest;

	if (cursor == log->first || events_read(log, &cursor, &oldest, 1, &lost) == 0)
		return env->started_us;
	return ctl_real_now_us() - (nat_events(env->nat)->now_ms - oldest.time_ms) * 1000;
}

/* Reports the holders of the endpoint in that class; returns their number: one, except for the backends of a
 * forward. */
static uint32_t put_holders(const struct ctl_env *env, const struct ctl_who *q, enum nat_class c, struct ctl_writer *w)
{
	uint32_t n = put_static(env, q, c, w);

	if (n == 0)
		n = put_forward(env, q, c, w);
	return n > 0 ? n : put_mapping(env, q, c, w);
}

void ctl_answer_who(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	const struct ctl_who *q = &args->who;
	uint64_t count = 0;

	for (int c = CLASS_TCP; c <= CLASS_ICMP && is_own(nat_policy_get(env->nat), q->outside.address); c++) {
		enum nat_class proto_class = (enum nat_class)c;

		if (q->protocol == 0 || q->protocol == ctl_wire_protocol(proto_class, 0))
			count += put_holders(env, q, proto_class, w);
	}
	if (is_own(nat_policy_get(env->nat), q->outside.address))
		count += put_block(env, q, w);
	ctl_put_end(w, count, history_begin_us(env));
}
