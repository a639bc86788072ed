/* SPDX-License-Identifier: ISC */
/*
 * The long answers, a slice at a time.
 *
 * Theory of operation. A job remembers where it stands by values that stay meaningful whatever happens
 * to the table in between: a cursor of table_next() for connections, an index for forwards, and for
 * mappings and pools the outside address (with class and port) itself, not a position. So nothing has to
 * be locked or copied, an address or a forward that a reload takes away cannot be stumbled over, and each
 * thing that is there throughout is shown exactly once. Mappings are found by their external port,
 * which is what makes them unique. A slice costs at most `visits` records (60 ns each, measured), or
 * IDLE_PER_VISIT times as many empty places.
 */
#include "ctljob.h"

#include <assert.h>
#include <string.h>

#include "core/nat/nat.h"
#include "core/tcp/tcp.h"

enum {
	IDLE_PER_VISIT = 16,
	VISITS_PER_DELETE = 4, /* ending a session takes that much longer than showing it (measured) */
};

void ctl_job_start(struct ctl_job *j, enum ctl_type type, const struct ctl_filter *filter)
{
	*j = (struct ctl_job){.type = (uint8_t)type};
	if (filter)
		j->filter = *filter;
}

static bool has_room(const struct ctl_writer *w)
{
	return w->size - w->len >= CTL_RECORD_MAX;
}

/* ---- connections ---- */

static uint8_t wire_protocol(enum nat_class c, uint16_t int_port)
{
	switch (c) {
	case CLASS_TCP:
		return IPPROTO_NR_TCP;
	case CLASS_UDP:
		return IPPROTO_NR_UDP;
	case CLASS_ICMP:
		return IPPROTO_NR_ICMP;
	case CLASS_OTHER:
	case CLASS_COUNT:
		break;
	}
	return (uint8_t)int_port; /* see enum nat_class */
}

static uint8_t wire_state(const struct session *s)
{
	const char *name = session_class(s) == CLASS_TCP ? tcp_state_name(session_state(s)) : NULL;
	int state = name ? ctl_state_by_name(name) : -1;

	return (uint8_t)(state < 0 ? CTL_STATE_NONE : state);
}

/* As conntrack has it: pings are never assured, TCP is not before its handshake is through. */
static bool is_assured(const struct session *s)
{
	uint8_t state = wire_state(s);

	if (session_class(s) == CLASS_ICMP || state == CTL_STATE_SYN_SENT || state == CTL_STATE_SYN_SENT2 ||
	    state == CTL_STATE_SYN_RECV)
		return false;
	return nat_session_assured(s);
}

static uint8_t wire_flags(const struct session *s)
{
	bool from_outside = s->kind & SESSION_KIND_FROM_OUTSIDE;
	uint8_t flags = from_outside ? CTL_ENTRY_FROM_OUTSIDE : 0;

	if (s->bytes[from_outside ? DIR_OUT : DIR_IN] == 0)
		return flags;
	flags |= CTL_ENTRY_REPLIED;
	if (is_assured(s))
		flags |= CTL_ENTRY_ASSURED;
	return flags;
}

static void fill_times(struct ctl_entry *e, const struct table *t, const struct session *s, uint32_t now_s)
{
	uint32_t timeout = table_session_timeout(t, s);
	int32_t idle = (int32_t)(now_s - s->seen_s); /* modulo 2^32: a time may lie before the boot */
	int32_t age = (int32_t)(now_s - table_session_created_s(t, s));

	if (idle < 0)
		idle = 0;
	e->timeout_s = timeout > (uint32_t)idle ? timeout - (uint32_t)idle : 0;
	e->age_s = age > 0 ? (uint32_t)age : 0;
}

/* Protocols without ports use these fields otherwise, see enum nat_class; a ping's id is all that its far end sees. */
static void fill_endpoints(struct ctl_entry *e, const struct table *t, const struct session *s)
{
	e->inside = (struct ctl_endpoint){s->int_addr, s->int_port};
	e->outside = (struct ctl_endpoint){table_address(t, s->ext), s->ext_port};
	e->remote = (struct ctl_endpoint){s->rem_addr, s->rem_port};
	if (session_class(s) == CLASS_ICMP)
		e->remote.port = s->ext_port;
	if (session_class(s) == CLASS_OTHER)
		e->inside.port = e->outside.port = e->remote.port = 0;
}

static void fill_entry(struct ctl_entry *e, struct nat *nat, const struct session *s, uint32_t now_s)
{
	const struct table *t = nat_table(nat);
	const char *forward = nat_forward_name(nat, s);

	e->id = table_session_id(t, s);
	e->protocol = wire_protocol(session_class(s), s->int_port);
	e->state = wire_state(s);
	e->flags = wire_flags(s);
	fill_times(e, t, s, now_s);
	fill_endpoints(e, t, s);
	for (int dir = 0; dir < 2; dir++) {
		e->packets[dir] = s->packets[dir];
		e->bytes[dir] = s->bytes[dir];
	}
	e->forward[0] = '\0';
	if (forward) {
		strncpy(e->forward, forward, sizeof(e->forward) - 1);
		e->forward[sizeof(e->forward) - 1] = '\0';
	}
}

static void visit_session(struct ctl_job *j, struct nat *nat, struct session *s, struct ctl_writer *w, uint64_t now_ms)
{
	uint32_t now_s = (uint32_t)(now_ms / 1000);
	struct ctl_entry e;

	/* What has timed out is gone for packets; the sweep is only not there yet. */
	if (table_session_expired(nat_table(nat), s, now_s))
		return;
	fill_entry(&e, nat, s, now_s);
	if (!ctl_filter_matches(&j->filter, &e))
		return;
	j->count++;
	if (j->type == CTL_LIST || j->type == CTL_DELETE)
		ctl_put_entry(w, &e);
	if (j->type == CTL_DELETE || j->type == CTL_FLUSH)
		nat_session_delete(nat, s, j->type == CTL_FLUSH ? SESSION_END_FLUSHED : SESSION_END_DELETED, now_ms);
}

static void slice_sessions(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t visits, uint64_t now_ms)
{
	struct session *s;

	if (j->filter.criteria & CTL_BY_ID) {
		s = table_session_by_id(nat_table(nat), j->filter.id);
		if (s)
			visit_session(j, nat, s, w, now_ms);
		j->is_done = true;
		return;
	}
	for (; visits > 0 && has_room(w); visits--) {
		s = table_next(nat_table(nat), &j->cursor, IDLE_PER_VISIT);
		if (s)
			visit_session(j, nat, s, w, now_ms);
		else if (j->cursor == 0) {
			j->is_done = true;
			return;
		}
	}
}

/* ---- outside addresses in ascending order ---- */

/* The first range that does not end before `from`; they are sorted and disjoint. */
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

/* The range of the job's address, which is moved up into it; NULL: there are no more. */
static const struct nat_address_range *next_address(struct ctl_job *j, const struct nat_policy *p)
{
	const struct nat_address_range *r = range_from(p, j->address);

	if (r && j->address < r->first) {
		j->address = r->first;
		j->class_ = 0;
		j->port = 0;
	}
	return r;
}

/* ---- mappings ---- */

static void put_mapping(struct ctl_job *j, const struct nat_policy *p, struct ctl_writer *w, const struct mapping *m)
{
	struct ctl_mapping wire = {
		.protocol = wire_protocol((enum nat_class)m->class_, m->int_port),
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

/* The ports of one class of one address, up to `probes` of them; how many were looked at. */
static uint32_t scan_ports(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t probes)
{
	struct table *t = nat_table(nat);
	int32_t slot = table_address_slot(t, (uint32_t)j->address);
	enum nat_class c = (enum nat_class)j->class_;
	struct mapping m;
	uint32_t n = 0;

	if (slot == TABLE_NONE || table_address_ports_used(t, (uint16_t)slot, c) == 0) {
		j->port = UINT16_MAX + 1;
		return 1;
	}
	for (; n < probes && j->port <= UINT16_MAX && has_room(w); n++, j->port++) {
		if (table_port_used(t, c, (uint16_t)slot, (uint16_t)j->port) &&
		    table_mapping_external(t, c, (uint16_t)slot, (uint16_t)j->port, &m))
			put_mapping(j, nat_policy_get(nat), w, &m);
	}
	return n;
}

static void slice_mappings(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t visits)
{
	uint32_t probes = visits * IDLE_PER_VISIT;

	while (probes > 0 && has_room(w)) {
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
		if (++j->class_ == CLASS_OTHER) { /* protocols without ports have no mappings of their own */
			j->class_ = 0;
			j->address++;
		}
	}
}

/* ---- forwards ---- */

static void put_forward(struct ctl_writer *w, const struct nat_forward *f)
{
	struct ctl_forward wire = {
		.address = f->address,
		.first_port = f->ports.first,
		.last_port = f->ports.last,
		.to = {f->to, f->to_port},
		.n_from = f->n_from,
	};

	static_assert(sizeof(wire.name) == sizeof(f->name), "a forward's name");
	memcpy(wire.name, f->name, sizeof(wire.name));
	if (f->protocols & 1U << CLASS_TCP)
		wire.protocols |= CTL_FORWARD_TCP;
	if (f->protocols & 1U << CLASS_UDP)
		wire.protocols |= CTL_FORWARD_UDP;
	for (uint32_t i = 0; i < f->n_from && i < CTL_FROM_MAX; i++)
		wire.from[i] = (struct ctl_prefix){f->from[i].address, f->from[i].length};
	ctl_put_forward(w, &wire);
}

static void slice_forwards(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t visits)
{
	const struct nat_policy *p = nat_policy_get(nat);

	for (; visits > 0 && has_room(w) && j->cursor < p->n_forwards; visits--) {
		put_forward(w, &p->forwards[j->cursor++]);
		j->count++;
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

	for (int c = CLASS_TCP; slot != TABLE_NONE && c <= CLASS_ICMP; c++)
		wire.used[c] = table_address_ports_used(t, (uint16_t)slot, (enum nat_class)c);
	ctl_put_pool(w, &wire);
	j->count++;
}

static void slice_pools(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t visits)
{
	for (; visits > 0 && has_room(w); visits--) {
		const struct nat_address_range *r = next_address(j, nat_policy_get(nat));

		if (!r) {
			j->is_done = true;
			return;
		}
		put_pool(j, nat, w, r->shared);
		j->address++;
	}
}

void ctl_job_slice(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t visits, uint64_t now_ms)
{
	if (j->type == CTL_MAPPINGS)
		slice_mappings(j, nat, w, visits);
	else if (j->type == CTL_FORWARDS)
		slice_forwards(j, nat, w, visits);
	else if (j->type == CTL_POOLS)
		slice_pools(j, nat, w, visits);
	else if (j->type == CTL_DELETE || j->type == CTL_FLUSH)
		slice_sessions(j, nat, w, visits / VISITS_PER_DELETE + 1, now_ms);
	else
		slice_sessions(j, nat, w, visits, now_ms);
}
