/* SPDX-License-Identifier: ISC */
/*
 * States of backends: see nat.h.
 *
 * Theory of operation. A backend that goes down gets no new connections from then on, because decisions read its state.
 * Its sessions are ended by a purge, one pass over the table in slices: the first when it goes down, the others by
 * nat_step(). Until its turn a session continues, as if the news had come a little later. A TCP client gets RSTs at the
 * number that it has acknowledged, and at the end of what was sent to it, since it accepts only the one that it expects
 * next (RFC 5961 3.2). A client that came through a hairpin has a session of its own, which ends too.
 */
#include "nat_private.h"

enum {
	PURGE_FIRST = 1 << 17, /* records visited at once: 5 ms */
	PURGE_STEP = 1 << 16,
};

/* ---- ending sessions ---- */

/* The session by which an inside host reaches the outside endpoint of `s`; NULL: its client is outside. */
static struct session *client_session(struct nat *n, const struct session *s)
{
	const struct session_key k = {
		.local = (uint32_t)nat_external_slot(n, s->rem_addr),
		.remote = table_address(n->table, s->ext),
		.local_port = s->rem_port,
		.remote_port = s->ext_port,
		.proto_class = (uint8_t)session_class(s),
		.dir = DIR_IN,
	};

	if ((int32_t)k.local == TABLE_NONE)
		return NULL;
	return table_find(n->table, &k, table_hash(n->table, &k), n->now_s);
}

static void reset_client(struct nat *n, const struct session *s, const struct session *client)
{
	bool is_syn = session_state(s) == SESSION_SYN_IN;
	struct reset_later r = {
		.to = client != NULL ? NAT_TO_INSIDE : NAT_TO_OUTSIDE,
		.reset = {.src = table_address(n->table, s->ext),
			  .dst = client != NULL ? client->int_addr : s->rem_addr,
			  .sport = s->ext_port,
			  .dport = client != NULL ? client->int_port : s->rem_port,
			  .seq = is_syn ? 0 : s->ack[DIR_IN],
			  .ack = s->end[DIR_IN],
			  .flags = TCP_RST | TCP_ACK},
	};
	bool has_room = true;

	if (session_class(s) != CLASS_TCP || !tcp_can_reset(s, DIR_IN))
		return;
	has_room = nat_reset_add(n, &r);
	if (!is_syn && s->end[DIR_OUT] != s->ack[DIR_IN]) {
		r.reset.seq = s->end[DIR_OUT];
		has_room = nat_reset_add(n, &r) && has_room;
	}
	n->counters[COUNT_RESET_LEFT_OUT] += !has_room;
}

/* Was it opened to a backend that is down? */
static bool is_stranded(const struct nat *n, const struct session *s)
{
	enum { BOTH = SESSION_KIND_FROM_OUTSIDE | SESSION_KIND_FORWARD };
	uint32_t to;
	uint16_t port;
	int32_t forward, place;

	if ((s->kind & BOTH) != BOTH)
		return false;
	forward = rules_forward_inbound(n->rules, session_class(s), table_address(n->table, s->ext), s->ext_port,
					s->rem_addr, &to, &port);
	if (forward < 0 || n->policy->forwards[forward].n_backends == 0)
		return false;
	place = rules_backend_find(n->rules, (uint32_t)forward, s->int_addr, s->int_port, s->ext_port);
	return place >= 0 &&
	       n->backends.closed[rules_backend_base(n->rules, (uint32_t)forward) + (uint32_t)place] & BACKEND_DOWN;
}

static void end_stranded(struct nat *n, struct session *s)
{
	struct session *client = client_session(n, s);

	if (n->mirror != NULL) /* an RST needs its last numbers */
		mirror_withdraw(n, s);
	reset_client(n, s, client);
	if (client != NULL && session_class(s) == CLASS_TCP)
		nat_session_delete(n, client, SESSION_END_BACKEND_DOWN, n->now_ms);
	nat_session_delete(n, s, SESSION_END_BACKEND_DOWN, n->now_ms);
}

static bool purge(struct nat *n, uint32_t budget)
{
	for (uint32_t i = 0; n->purge.runs && i < budget; i++) {
		struct session *s = table_next(n->table, &n->purge.cursor, budget);

		if (s != NULL && is_stranded(n, s))
			end_stranded(n, s);
		if (s == NULL && n->purge.cursor == 0)
			n->purge.runs = false;
		if (s == NULL)
			break;
	}
	return n->purge.runs;
}

bool nat_purge_step(struct nat *n)
{
	return purge(n, PURGE_STEP);
}

/* ---- states ---- */

enum nat_backend_change nat_backend_set(struct nat *n, const char *forward, const struct nat_backend *backend,
					uint8_t why, bool on, uint64_t now_ms)
{
	int32_t i = rules_forward_by_name(n->rules, forward), place;
	const struct nat_forward *f;
	uint8_t *closed;

	if (i < 0)
		return NAT_BACKEND_UNKNOWN;
	f = &n->policy->forwards[i];
	place = rules_backend_find(n->rules, (uint32_t)i, backend->address, backend->port, f->ports.first);
	if (place < 0)
		return NAT_BACKEND_UNKNOWN;
	closed = &n->backends.closed[rules_backend_base(n->rules, (uint32_t)i) + (uint32_t)place];
	if (((*closed & why) != 0) == on)
		return NAT_BACKEND_SAME;
	*closed ^= why;
	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	table_set_clock(n->table, n->now_s);
	if (on && why == BACKEND_DOWN) {
		n->purge.runs = true;
		n->purge.cursor = 0;
		purge(n, PURGE_FIRST);
	}
	return NAT_BACKEND_CHANGED;
}

bool nat_backend_view(const struct nat *n, uint32_t forward, uint32_t place, struct nat_backend_view *v)
{
	const struct nat_forward *f = &n->policy->forwards[forward];
	uint32_t number = rules_backend_base(n->rules, forward) + place;

	if (place >= f->n_backends)
		return false;
	*v = (struct nat_backend_view){f->backends[place], n->backends.closed[number], n->backends.sessions[number]};
	return true;
}
