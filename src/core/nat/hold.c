/* SPDX-License-Identifier: ISC */
/*
 * Unsolicited SYNs from outside (RFC 5382 REQ-4): kept for six seconds, so that the inside host can still open the connection from
 * its side (simultaneous open). If it does, the SYN is forgotten in silence; if not, and policy
 * says "reject", its sender gets a port unreachable. A ring in order of arrival: the oldest gives
 * way, silently, when it is full, so a flood costs nothing but answers.
 */
#include <string.h>

#include "nat_private.h"

static struct hold *hold_at(struct nat *n, uint32_t i)
{
	return &n->holds.ring[(n->holds.head + i) % HOLD_MAX];
}

static bool is_about(const struct hold *h, uint32_t external, uint16_t external_port, uint32_t remote,
		     uint16_t remote_port)
{
	return h->due_ms != 0 && h->v.src == remote && h->v.sport == remote_port && h->v.dst == external &&
	       h->v.dport == external_port;
}

static struct hold *find(struct nat *n, uint32_t external, uint16_t external_port, uint32_t remote,
			 uint16_t remote_port)
{
	for (uint32_t i = 0; i < n->holds.count; i++)
		if (is_about(hold_at(n, i), external, external_port, remote, remote_port))
			return hold_at(n, i);
	return NULL;
}

static void drop_oldest(struct nat *n)
{
	n->holds.head = (n->holds.head + 1) % HOLD_MAX;
	n->holds.count--;
}

/* A retransmission changes nothing: the six seconds run from the first. */
void nat_hold_add(struct nat *n, const struct work *w)
{
	struct hold *h;

	if (find(n, w->v.dst, w->v.dport, w->v.src, w->v.sport) != NULL)
		return;
	if (n->holds.count == HOLD_MAX)
		drop_oldest(n);
	h = hold_at(n, n->holds.count++);
	h->due_ms = n->now_ms + 1000ull * n->policy->timeouts.unsolicited_syn;
	h->v = w->v;
	if (h->v.len > HOLD_QUOTE)
		h->v.len = HOLD_QUOTE;
	memcpy(h->bytes, w->v.ip, h->v.len);
}

void nat_hold_cancel(struct nat *n, const struct session *s)
{
	struct hold *h = find(n, table_address(n->table, s->ext), s->ext_port, s->rem_addr, s->rem_port);

	if (h != NULL)
		h->due_ms = 0;
}

static void answer(struct nat *n, struct hold *h)
{
	struct nat_packet p = {.data = h->bytes, .len = h->v.len};
	struct work w = {
		.p = &p,
		.v = h->v,
	};

	w.v.ip = h->bytes;
	w.v.l4 = h->bytes + w.v.ihl;
	nat_answer(n, &w, ICMP_UNREACH, ICMP_UNREACH_PORT, 0);
}

void nat_hold_step(struct nat *n)
{
	while (n->holds.count > 0) {
		struct hold *h = hold_at(n, 0);

		if (h->due_ms > n->now_ms)
			break;
		if (h->due_ms != 0)
			answer(n, h);
		drop_oldest(n);
	}
}
