/* SPDX-License-Identifier: ISC */
/*
 * Sessions as the control protocol shows them, and the requests about them: list, count, delete, flush.
 */
#include "entry.h"

#include <stdio.h>
#include <string.h>

#include "core/nat/nat.h"
#include "core/tcp/tcp.h"
#include "ctlclient.h"
#include "request.h"

enum { VISITS_PER_DELETE = 4 /* ending a session takes that much longer than showing it (measured) */ };

uint8_t ctl_wire_protocol(enum nat_class c, uint16_t int_port)
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
static void fill_endpoints(struct ctl_entry *e, const struct session *s, uint32_t outside)
{
	e->inside = (struct ctl_endpoint){s->int_addr, s->int_port};
	e->outside = (struct ctl_endpoint){outside, s->ext_port};
	e->remote = (struct ctl_endpoint){s->rem_addr, s->rem_port};
	if (session_class(s) == CLASS_ICMP)
		e->remote.port = s->ext_port;
	if (session_class(s) == CLASS_OTHER)
		e->inside.port = e->outside.port = e->remote.port = 0;
}

/* All but id, times and endpoints. */
static void fill_rest(struct ctl_entry *e, const struct nat *nat, const struct session *s, bool has_address)
{
	const char *forward = has_address ? nat_forward_name(nat, s) : NULL;

	e->protocol = ctl_wire_protocol(session_class(s), s->int_port);
	e->state = wire_state(s);
	e->flags = wire_flags(s);
	for (int dir = 0; dir < 2; dir++) {
		e->packets[dir] = s->packets[dir];
		e->bytes[dir] = s->bytes[dir];
	}
	snprintf(e->forward, sizeof(e->forward), "%s", forward ? forward : "");
}

void ctl_fill_entry(struct ctl_entry *e, struct nat *nat, const struct session *s, uint32_t now_s)
{
	const struct table *t = nat_table(nat);

	e->id = table_session_id(t, s);
	fill_times(e, t, s, now_s);
	fill_endpoints(e, s, table_address(t, s->ext));
	fill_rest(e, nat, s, true);
}

/* What the event says about the session, as a record that is in no table. */
void ctl_fill_event_entry(struct ctl_entry *e, struct nat *nat, const struct event *ev)
{
	const struct table *t = nat_table(nat);
	int32_t slot = table_address_slot(t, ev->ext_addr);
	uint32_t then_s = (uint32_t)(ev->time_ms / 1000);
	int32_t age = (int32_t)(then_s - ev->created_s);
	const struct session s = {
		.int_addr = ev->int_addr,
		.rem_addr = ev->rem_addr,
		.int_port = ev->int_port,
		.rem_port = ev->rem_port,
		.ext_port = ev->ext_port,
		.ext = slot == TABLE_NONE ? 0 : (uint16_t)slot,
		.kind = ev->kind,
		.bytes = {ev->bytes[0], ev->bytes[1]},
		.packets = {ev->packets[0], ev->packets[1]},
	};

	memset(e, 0, sizeof(*e));
	e->id = ev->id;
	if (ev->type == EVENT_NEW || ev->type == EVENT_UPDATE)
		e->timeout_s = table_session_timeout(t, &s);
	e->age_s = ev->created_s != 0 && age > 0 ? (uint32_t)age : 0;
	fill_endpoints(e, &s, ev->ext_addr);
	fill_rest(e, nat, &s, slot != TABLE_NONE);
}

static bool shows(const struct ctl_job *j)
{
	return j->request->type == CTL_LIST || j->request->type == CTL_DELETE;
}

static bool ends(const struct ctl_job *j)
{
	return j->request->type == CTL_DELETE || j->request->type == CTL_FLUSH;
}

static void visit_session(struct ctl_job *j, const struct ctl_turn *t, struct session *s)
{
	uint32_t now_s = (uint32_t)(t->now_ms / 1000);
	struct nat *nat = t->env->nat;
	struct ctl_entry e;

	/* A session whose time is up is gone for packets, though the sweep has not removed it yet. */
	if (table_session_expired(nat_table(nat), s, now_s))
		return;
	ctl_fill_entry(&e, nat, s, now_s);
	if (!ctl_filter_matches(&j->args.filter, &e))
		return;
	j->count++;
	if (shows(j))
		ctl_put_entry(t->w, &e);
	if (ends(j))
		nat_session_delete(nat, s, j->request->type == CTL_FLUSH ? SESSION_END_FLUSHED : SESSION_END_DELETED,
				   t->now_ms);
}

static void visit_one(struct ctl_job *j, const struct ctl_turn *t)
{
	struct session *s = table_session_by_id(nat_table(t->env->nat), j->args.filter.id);

	if (s)
		visit_session(j, t, s);
	j->is_done = true;
}

void ctl_slice_sessions(struct ctl_job *j, const struct ctl_turn *t)
{
	uint32_t visits = ends(j) ? t->visits / VISITS_PER_DELETE + 1 : t->visits;

	if (j->args.filter.criteria & CTL_BY_ID) {
		visit_one(j, t);
		return;
	}
	for (; visits > 0 && ctl_has_room(t->w); visits--) {
		struct session *s = table_next(nat_table(t->env->nat), &j->cursor, CTL_IDLE_PER_VISIT);

		if (s) {
			visit_session(j, t, s);
		} else if (j->cursor == 0) {
			j->is_done = true;
			return;
		}
	}
}
