/* SPDX-License-Identifier: ISC */
/* Sessions for other code. */
#include "view.h"

#include <string.h>

#include "nat_private.h"

static uint8_t flags_of(const struct session *s, bool is_assured)
{
	return (uint8_t)((s->kind & SESSION_KIND_FROM_OUTSIDE ? VIEW_FROM_OUTSIDE : 0) |
			 (s->kind & SESSION_KIND_FORWARD ? VIEW_FORWARD : 0) | (is_assured ? VIEW_ASSURED : 0));
}

/* Modulo 2^32: a time may lie before the boot, or, by a clock read earlier, in the future. */
static uint32_t since(uint32_t then_s, uint32_t now_s)
{
	int32_t s = (int32_t)(now_s - then_s);

	return s > 0 ? (uint32_t)s : 0;
}

/* `to` must be all zeros. */
static void copy_name(char to[ORIGIN_NAME], const char *from)
{
	for (unsigned i = 0; i < ORIGIN_NAME - 1 && from[i] != '\0'; i++)
		to[i] = from[i];
}

/* Everything but the facts of an open session that only the table knows. `external` false: its outside address has
 * no slot any more. */
static void fill(const struct nat *n, const struct session *s, bool external, uint32_t origin, struct session_view *v)
{
	const struct session_origin *o = table_origin_get(n->table, origin);
	const char *forward = external ? nat_forward_name(n, s) : NULL;
	const char *pair = external ? nat_pair_name(n, s) : NULL;

	*v = (struct session_view){
		.version = SESSION_VIEW_VERSION,
		.proto_class = (uint8_t)session_class(s),
		.state = (uint8_t)session_state(s),
		.scale = s->scale,
		.window = {s->window[0], s->window[1]},
		.int_addr = s->int_addr,
		.rem_addr = s->rem_addr,
		.int_port = s->int_port,
		.ext_port = s->ext_port,
		.rem_port = s->rem_port,
		.bytes = {s->bytes[0], s->bytes[1]},
		.packets = {s->packets[0], s->packets[1]},
		.end = {s->end[0], s->end[1]},
		.ack = {s->ack[0], s->ack[1]},
	};
	if (o != NULL)
		v->origin = *o;
	if (o == NULL && forward != NULL)
		copy_name(v->origin.forward, forward);
	if (pair != NULL && v->origin.pair[0] == '\0')
		copy_name(v->origin.pair, pair);
}

static bool view(struct nat *n, struct session *s, uint64_t now_ms, struct session_view *v)
{
	uint32_t now_s = (uint32_t)(now_ms / 1000), timeout;

	if (s != NULL && n->mirror != NULL)
		mirror_take_over(n, s);
	if (s == NULL || table_session_expired(n->table, s, now_s))
		return false; /* packets do not find it any more, though the sweep has not removed it */
	fill(n, s, true, table_session_origin(n->table, s), v);
	v->flags = flags_of(s, table_session_assured(n->table, s));
	if (n->mirror != NULL && mirror_shows(n, s))
		v->flags |= VIEW_OFFLOADED;
	timeout = table_session_timeout(n->table, s);
	v->id = table_session_id(n->table, s);
	v->ext_addr = table_address(n->table, s->ext);
	v->age_s = since(table_session_created_s(n->table, s), now_s);
	v->idle_s = since(s->seen_s, now_s);
	v->timeout_s = timeout > v->idle_s ? timeout - v->idle_s : 0;
	return true;
}

bool nat_view_next(struct nat *n, uint32_t *cursor, uint32_t budget, uint64_t now_ms, struct session_view *v)
{
	return view(n, table_next(n->table, cursor, budget), now_ms, v);
}

bool nat_view_by_id(struct nat *n, uint64_t id, uint64_t now_ms, struct session_view *v)
{
	return view(n, table_session_by_id(n->table, id), now_ms, v);
}

void nat_view_event(struct nat *n, const struct event *ev, struct session_view *v)
{
	int32_t slot = table_address_slot(n->table, ev->ext_addr);
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

	fill(n, &s, slot != TABLE_NONE, ev->origin, v);
	v->flags = flags_of(&s, (ev->flags & EVENT_ASSURED) != 0);
	v->id = ev->id;
	v->ext_addr = ev->ext_addr;
	if (ev->type == EVENT_NEW || ev->type == EVENT_UPDATE)
		v->timeout_s = table_session_timeout(n->table, &s);
	if (ev->created_s != 0)
		v->age_s = since(ev->created_s, (uint32_t)(ev->time_ms / 1000));
}

bool nat_session_end(struct nat *n, uint64_t id, enum session_end why, uint64_t now_ms)
{
	struct session *s = table_session_by_id(n->table, id);

	if (s != NULL)
		nat_session_delete(n, s, why, now_ms);
	return s != NULL;
}

/* ---- names of the configuration ---- */

/* A forward is identified by what it does, so that sessions survive a reordering of the file. */
const char *nat_forward_name(const struct nat *n, const struct session *s)
{
	uint32_t external = table_address(n->table, s->ext);
	uint32_t to;
	uint16_t to_port;
	int32_t i;

	if (!(s->kind & SESSION_KIND_FORWARD) || rules_static_inside(n->rules, external) != 0)
		return NULL;
	i = rules_forward_of(n->rules, session_class(s), external, s->ext_port, s->rem_addr, &to, &to_port);
	if (i < 0)
		i = rules_forward_outbound(n->rules, session_class(s), s->int_addr, s->int_port, &to, &to_port);
	return i < 0 ? NULL : n->policy->forwards[i].name;
}

const char *nat_pair_name(const struct nat *n, const struct session *s)
{
	return s->kind & SESSION_KIND_FORWARD ? rules_static_name(n->rules, table_address(n->table, s->ext)) : NULL;
}
