/* SPDX-License-Identifier: ISC */
/*
 * RSTs for inside hosts whose TCP sessions ended because their outside address is gone: nothing that they send can be
 * answered any more, so they learn it at once instead of waiting for their timers.
 *
 * Theory of operation. nat_reconfigure() finds such sessions and ends them; what an RST needs of each is kept in a list, which
 * grows then and at no other time, and nat_step() sends it slice by slice. An RST comes from the remote end, at the number that
 * the inside host expects next: its highest acknowledgement (RFC 5961 3.2). A host that has only sent its SYN takes an RST that
 * acknowledges it (RFC 9293 3.10.7.3).
 */
#include <stdlib.h>
#include <string.h>

#include "core/packet/checksum.h"
#include "nat_private.h"

enum {
	RESETS_MAX = 1 << 20, /* 20 MB */
	RESETS_STEP = 256,    /* sent in one step */
	RESET_LEN = 40,
};

bool nat_reset_later(struct nat *n, const struct session *s)
{
	struct resets *r = &n->resets;
	enum session_state st = session_state(s);
	uint32_t room = r->room == 0 ? 1024 : 2 * r->room;
	struct reset *grown;

	if (session_class(s) != CLASS_TCP || !tcp_can_reset_inside(s))
		return true;
	if (r->count == r->room) {
		grown = r->room < RESETS_MAX ? realloc(r->list, room * sizeof(*grown)) : NULL;
		if (grown == NULL)
			return false;
		r->list = grown;
		r->room = room;
	}
	r->list[r->count++] = (struct reset){
		.src = s->rem_addr,
		.dst = s->int_addr,
		.sport = s->rem_port,
		.dport = s->int_port,
		.seq = st == SESSION_SYN_OUT ? 0 : s->ack[DIR_OUT],
		.ack = s->end[DIR_OUT],
	};
	return true;
}

static void build(uint8_t *p, const struct reset *r)
{
	uint8_t *tcp = p + 20;

	memset(p, 0, RESET_LEN);
	p[0] = 0x45;
	store16(p + 2, RESET_LEN);
	p[6] = 0x40; /* DF: atomic, its id means nothing (RFC 6864 4.1) */
	p[8] = 64;
	p[9] = IPPROTO_NR_TCP;
	store32(p + 12, r->src);
	store32(p + 16, r->dst);
	store16(p + 10, checksum_finish(checksum_add(0, p, 20)));
	store16(tcp, r->sport);
	store16(tcp + 2, r->dport);
	store32(tcp + 4, r->seq);
	store32(tcp + 8, r->ack);
	tcp[12] = 0x50;
	tcp[13] = TCP_RST | TCP_ACK;
	store16(tcp + 16, checksum_finish(checksum_add(checksum_pseudo(r->src, r->dst, IPPROTO_NR_TCP, 20), tcp, 20)));
}

bool nat_reset_step(struct nat *n)
{
	struct resets *r = &n->resets;
	uint8_t bytes[RESET_LEN];

	for (unsigned i = 0; i < RESETS_STEP && r->sent < r->count; i++) {
		struct nat_packet out = {.data = bytes, .len = RESET_LEN, .to = NAT_TO_INSIDE};

		build(bytes, &r->list[r->sent++]);
		n->counters[COUNT_RESET_SENT]++;
		n->emit(n->emit_ctx, &out, true);
	}
	if (r->sent < r->count)
		return true;
	nat_reset_free(n);
	return false;
}

void nat_reset_free(struct nat *n)
{
	free(n->resets.list);
	n->resets = (struct resets){0};
}
