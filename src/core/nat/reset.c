/* SPDX-License-Identifier: ISC */
/*
 * RSTs for hosts whose TCP sessions natd ended: for inside hosts whose outside address is gone, and for the clients of
 * a backend that is down. Their packets cannot be answered any more, so they learn it at once instead of waiting for
 * their timers.
 *
 * Theory of operation. nat_reconfigure() and nat_backend_set() find such sessions and end them. The data for each RST
 * is kept in a list, which only they extend, and nat_step() sends the RSTs slice by slice. An RST comes from the remote
 * end, at the number that the inside host expects next: its highest acknowledgement (RFC 5961 3.2). A host that has
 * only sent its SYN accepts an RST that acknowledges it (RFC 9293 3.10.7.3).
 */
#include <stdlib.h>
#include <string.h>

#include "core/packet/reset.h"
#include "nat_private.h"

enum {
	RESETS_MAX = 1 << 20, /* 24 MB */
	RESETS_STEP = 256,    /* sent in one step */
};

/* False: out of memory. */
static bool grow(struct resets *r, uint32_t room)
{
	struct reset_later *grown = room <= 2 * RESETS_MAX ? calloc(room, sizeof(*grown)) : NULL;

	if (grown == NULL)
		return false;
	if (r->count > 0)
		memcpy(grown, r->list, r->count * sizeof(*grown));
	free(r->list);
	r->list = grown;
	r->room = room;
	return true;
}

bool nat_reset_add(struct nat *n, const struct reset_later *reset)
{
	struct resets *r = &n->resets;

	if (r->count == r->room && (r->room >= RESETS_MAX || !grow(r, r->room == 0 ? 1024 : 2 * r->room)))
		return false;
	r->list[r->count++] = *reset;
	return true;
}

void nat_reset_reserve(struct nat *n, uint32_t more)
{
	struct resets *r = &n->resets;

	if (r->room - r->count < more && r->count < RESETS_MAX)
		grow(r, r->count + more);
}

bool nat_reset_has_room(const struct nat *n)
{
	return n->resets.count < n->resets.room;
}

bool nat_reset_later(struct nat *n, const struct session *s)
{
	const struct reset_later r = {
		.to = NAT_TO_INSIDE,
		.reset = {.src = s->rem_addr,
			  .dst = s->int_addr,
			  .sport = s->rem_port,
			  .dport = s->int_port,
			  .seq = session_state(s) == SESSION_SYN_OUT ? 0 : s->ack[DIR_OUT],
			  .ack = s->end[DIR_OUT],
			  .flags = TCP_RST | TCP_ACK},
	};

	return session_class(s) != CLASS_TCP || !tcp_can_reset(s, DIR_OUT) || nat_reset_add(n, &r);
}

bool nat_reset_step(struct nat *n)
{
	struct resets *r = &n->resets;
	uint8_t bytes[TCP_RESET_LEN];

	for (unsigned i = 0; i < RESETS_STEP && r->sent < r->count; i++) {
		const struct reset_later *next = &r->list[r->sent++];
		struct nat_packet out = {.data = bytes, .len = TCP_RESET_LEN, .to = next->to};

		/* the host may be gone with the address */
		if (next->to == NAT_TO_INSIDE && !rules_is_inside(n->rules, next->reset.dst))
			continue;
		tcp_reset_build(bytes, &next->reset);
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
