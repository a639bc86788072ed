/* SPDX-License-Identifier: ISC */
/* STUN from natd's own mappings, see stun.h. */
#include "stun.h"

#include <string.h>

#include "common/stun.h"
#include "core/nat/probe.h"
#include "core/packet/checksum.h"
#include "ctlclient.h"
#include "daemon/path/inbox.h"

enum { IP_HEADER = 20, UDP_HEADER = 8, PACKET_MAX = IP_HEADER + UDP_HEADER + CTL_STUN_BYTES_MAX };

/* ---- mappings ---- */

static void end_mapping(const struct ctl_env *env, struct stun_mapping *m, uint64_t now_ms)
{
	struct inbox_box *box = inbox_find(env->backend->inbox, m->port);

	for (uint32_t i = 0; i < m->n_peers; i++)
		nat_probe_close(env->nat, m->port, &m->peers[i], now_ms);
	if (box)
		box->port = 0;
	*m = (struct stun_mapping){0};
}

void stun_tick(const struct ctl_env *env, uint64_t now_ms)
{
	for (uint32_t i = 0; i < STUN_MAPPINGS; i++) {
		struct stun_mapping *m = &env->stun->mappings[i];

		if (m->port != 0 && now_ms - m->used_ms > STUN_LINGER_MS)
			end_mapping(env, m, now_ms);
	}
}

static struct stun_mapping *find_mapping(struct stun *s, uint16_t port)
{
	for (uint32_t i = 0; i < STUN_MAPPINGS; i++) {
		if (s->mappings[i].port == port)
			return &s->mappings[i];
	}
	return NULL;
}

static struct stun_mapping *find_oldest(struct stun *s)
{
	struct stun_mapping *oldest = &s->mappings[0];

	for (uint32_t i = 1; i < STUN_MAPPINGS; i++) {
		if (s->mappings[i].used_ms < oldest->used_ms)
			oldest = &s->mappings[i];
	}
	return oldest;
}

/* The mapping of the port, or a new one: if all slots are in use, the least recently used one is replaced. */
static struct stun_mapping *take_mapping(const struct ctl_env *env, uint16_t port, uint64_t now_ms)
{
	struct inbox *inbox = env->backend->inbox;
	struct stun_mapping *m = find_mapping(env->stun, port);

	if (m)
		return m;
	m = find_mapping(env->stun, 0);
	if (!m) {
		m = find_oldest(env->stun);
		end_mapping(env, m, now_ms);
	}
	m->port = port;
	inbox->is_open = true;
	for (uint32_t i = 0; i < INBOX_BOXES; i++) {
		if (inbox->boxes[i].port != 0)
			continue;
		inbox->boxes[i].port = port;
		inbox->boxes[i].n = 0;
		break;
	}
	return m;
}

_Static_assert((int)INBOX_BOXES == (int)STUN_MAPPINGS, "a box for each mapping");

/* False: there are too many. */
static bool add_peer(struct stun_mapping *m, const struct nat_endpoint *peer)
{
	for (uint32_t i = 0; i < m->n_peers; i++) {
		if (m->peers[i].address == peer->address && m->peers[i].port == peer->port)
			return true;
	}
	if (m->n_peers == STUN_PEERS)
		return false;
	m->peers[m->n_peers++] = *peer;
	return true;
}

/* ---- the datagram ---- */

static uint32_t build(const struct ctl_stun *q, uint8_t *p)
{
	uint32_t len = IP_HEADER + UDP_HEADER + q->len;
	uint32_t sum;
	uint16_t check;

	memset(p, 0, IP_HEADER + UDP_HEADER);
	p[0] = 0x45;
	store16(p + 2, (uint16_t)len);
	p[8] = 64;
	p[9] = IPPROTO_NR_UDP;
	store32(p + 12, NAT_PROBE_ADDRESS);
	store32(p + 16, q->server.address);
	store16(p + 10, checksum_finish(checksum_add(0, p, IP_HEADER)));
	store16(p + 20, q->port);
	store16(p + 22, q->server.port);
	store16(p + 24, (uint16_t)(UDP_HEADER + q->len));
	memcpy(p + 28, q->bytes, q->len);
	sum = checksum_add(IPPROTO_NR_UDP + UDP_HEADER + q->len, p + 12, 8);
	check = checksum_finish(checksum_add(sum, p + 20, UDP_HEADER + q->len));
	store16(p + 26, check ? check : 0xffff);
	return len;
}

/* ---- the job ---- */

const char *ctl_object_to_stun(const union ctl_args *args)
{
	return stun_is_request(args->stun.bytes, args->stun.len)
		       ? NULL
		       : "public-address: natd only sends STUN Binding requests";
}

static const char *explain(enum nat_reason why)
{
	if (why == DROP_NO_ADDRESS)
		return "public-address: that is not one of natd's outside addresses (natctl pools lists them)";
	if (why == DROP_MARTIAN_DESTINATION)
		return "public-address: the server's address is not outside";
	return "public-address: natd has no outside port for it: see natctl pools; with deterministic allocation every "
	       "port "
	       "belongs to a host";
}

static const char *start(struct ctl_job *j, const struct ctl_env *env, uint64_t now_ms)
{
	const struct ctl_stun *q = &j->args.stun;
	const struct nat_probe probe = {q->port, q->outside, {q->server.address, q->server.port}};
	struct stun_mapping *m = take_mapping(env, q->port, now_ms);
	uint8_t packet[PACKET_MAX];
	struct nat_endpoint own;
	enum nat_reason why;

	m->used_ms = now_ms;
	if (!add_peer(m, &probe.remote))
		return "public-address: too many servers for one mapping";
	why = nat_probe_open(env->nat, &probe, now_ms, &own);
	if (why != NAT_PASS) {
		if (m->n_peers == 1) /* a new mapping */
			end_mapping(env, m, now_ms);
		return explain(why);
	}
	j->own = (struct ctl_endpoint){own.address, own.port};
	env->backend->send(env->backend->ctx, packet, build(q, packet));
	return NULL;
}

/* Sends the datagram at once, while the request's bytes are valid. */
void ctl_begin_stun(struct ctl_job *j, const struct ctl_env *env)
{
	if (!env->backend->send || !env->backend->inbox)
		j->failure = "public-address: natd cannot send";
	else
		j->failure = start(j, env, nat_events(env->nat)->now_ms);
	j->args.stun.bytes = NULL;
}

static void put_answers(struct ctl_job *j, const struct ctl_turn *t, struct inbox_box *box)
{
	struct stun_mapping *m = find_mapping(t->env->stun, j->args.stun.port);

	for (uint32_t i = 0; i < box->n; i++) {
		const struct inbox_datagram *d = &box->datagrams[i];
		const struct ctl_stun_answer a = {
			.outside = j->own, .from = {d->from, d->from_port}, .len = d->len, .bytes = d->bytes};

		if (m) /* an answer from another endpoint has a session of its own */
			add_peer(m, &(struct nat_endpoint){d->from, d->from_port});
		j->count += ctl_put_stun_answer(t->w, &a);
	}
	box->n = 0;
}

void ctl_slice_stun(struct ctl_job *j, const struct ctl_turn *t)
{
	struct inbox_box *box = inbox_find(t->env->backend->inbox, j->args.stun.port);

	if (!j->is_begun) {
		const struct ctl_stun_answer own = {.outside = j->own};

		j->is_begun = ctl_put_stun_answer(t->w, &own);
		j->end_ms = t->now_ms + j->args.stun.wait_ms;
	}
	if (box && t->w->size - t->w->len >= INBOX_DATAGRAMS * (INBOX_BYTES + 64))
		put_answers(j, t, box);
	j->is_waiting = true;
	j->is_done = t->now_ms >= j->end_ms;
}
