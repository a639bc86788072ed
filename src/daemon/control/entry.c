/* SPDX-License-Identifier: ISC */
/*
 * Sessions in the control protocol, and the requests about them: list, count, delete, flush.
 */
#include "entry.h"

#include <stdio.h>
#include <string.h>

#include "core/nat/nat.h"
#include "core/nat/view.h"
#include "core/tcp/tcp.h"
#include "ctlclient.h"
#include "request.h"
#include "zeroed.h"

enum { VISITS_PER_DELETE = 4 /* ending a session takes that much longer than listing it (measured) */ };

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

static uint8_t wire_state(const struct session_view *v)
{
	const char *name = v->proto_class == CLASS_TCP ? tcp_state_name((enum session_state)v->state) : NULL;
	int state = name ? ctl_state_by_name(name) : -1;

	return (uint8_t)(state < 0 ? CTL_STATE_NONE : state);
}

static uint8_t wire_flags(const struct session_view *v)
{
	bool from_outside = (v->flags & VIEW_FROM_OUTSIDE) != 0;
	uint8_t flags = from_outside ? CTL_ENTRY_FROM_OUTSIDE : 0;

	if (v->bytes[from_outside ? DIR_OUT : DIR_IN] == 0)
		return flags;
	flags |= CTL_ENTRY_REPLIED;
	if (v->flags & VIEW_ASSURED)
		flags |= CTL_ENTRY_ASSURED;
	if (v->flags & VIEW_OFFLOADED)
		flags |= CTL_ENTRY_OFFLOADED;
	return flags;
}

/* Protocols without ports use these fields differently, see enum nat_class; a ping's remote end sees only its id. */
static void fill_endpoints(struct ctl_entry *e, const struct session_view *v)
{
	e->inside = (struct ctl_endpoint){v->int_addr, v->int_port};
	e->outside = (struct ctl_endpoint){v->ext_addr, v->ext_port};
	e->remote = (struct ctl_endpoint){v->rem_addr, v->rem_port};
	if (v->proto_class == CLASS_ICMP)
		e->remote.port = v->ext_port;
	if (v->proto_class == CLASS_OTHER)
		e->inside.port = e->outside.port = e->remote.port = 0;
}

static void fill(struct ctl_entry *e, const struct session_view *v)
{
	memset(e, 0, sizeof(*e));
	e->id = v->id;
	e->timeout_s = v->timeout_s;
	e->age_s = v->age_s;
	e->protocol = ctl_wire_protocol((enum nat_class)v->proto_class, v->int_port);
	e->state = wire_state(v);
	e->flags = wire_flags(v);
	for (int dir = 0; dir < 2; dir++) {
		e->packets[dir] = v->packets[dir];
		e->bytes[dir] = v->bytes[dir];
	}
	fill_endpoints(e, v);
	snprintf(e->forward, sizeof(e->forward), "%s", v->origin.forward);
	snprintf(e->pair, sizeof(e->pair), "%s", v->origin.pair);
	e->backend = (struct ctl_endpoint){v->origin.backend, v->origin.backend_port};
}

bool ctl_fill_entry_by_id(struct ctl_entry *e, struct nat *nat, uint64_t id, uint64_t now_ms)
{
	struct session_view v;

	if (!nat_view_by_id(nat, id, now_ms, &v))
		return false;
	fill(e, &v);
	return true;
}

void ctl_fill_event_entry(struct ctl_entry *e, struct nat *nat, const struct event *ev)
{
	struct session_view v;

	nat_view_event(nat, ev, &v);
	fill(e, &v);
}

static bool shows(const struct ctl_job *j)
{
	return j->request->type == CTL_LIST || j->request->type == CTL_LIST_ZERO || j->request->type == CTL_DELETE;
}

static bool ends(const struct ctl_job *j)
{
	return j->request->type == CTL_DELETE || j->request->type == CTL_FLUSH;
}

/* Shows and zeroes the counters in one step: no packet comes in between. */
static void show(const struct ctl_job *j, struct zeroed *zeroed, struct ctl_writer *w, const struct ctl_entry *e)
{
	struct ctl_entry shown = *e;

	zeroed_subtract(zeroed, &shown);
	ctl_put_entry(w, &shown);
	if (j->request->type == CTL_LIST_ZERO)
		zeroed_note(zeroed, e);
}

void ctl_begin_zero(struct ctl_job *j, const struct ctl_env *env)
{
	if (!zeroed_prepare(env->zeroed, table_capacity(nat_table(env->nat))))
		j->failure = "out of memory: no counter was set to zero";
}

static void visit_session(struct ctl_job *j, const struct ctl_turn *t, const struct session_view *v)
{
	struct ctl_entry e;

	fill(&e, v);
	if (!ctl_filter_matches(&j->args.filter, &e))
		return;
	j->count++;
	if (shows(j))
		show(j, t->env->zeroed, t->w, &e);
	if (ends(j))
		nat_session_end(t->env->nat, v->id,
				j->request->type == CTL_FLUSH ? SESSION_END_FLUSHED : SESSION_END_DELETED, t->now_ms);
}

static void visit_one(struct ctl_job *j, const struct ctl_turn *t)
{
	struct session_view v;

	if (nat_view_by_id(t->env->nat, j->args.filter.id, t->now_ms, &v))
		visit_session(j, t, &v);
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
		struct session_view v;

		if (nat_view_next(t->env->nat, &j->cursor, CTL_IDLE_PER_VISIT, t->now_ms, &v)) {
			visit_session(j, t, &v);
		} else if (j->cursor == 0) {
			j->is_done = true;
			return;
		}
	}
}
