/* SPDX-License-Identifier: ISC */
/*
 * Unsolicited SYNs from outside (RFC 5382 REQ-4): held for six seconds, so that the inside host can still open the
 * connection from its side (simultaneous open). If it does, the SYN is dropped silently; if not, and policy says
 * "reject", its sender gets a port unreachable.
 *
 * Theory of operation. A ring in order of arrival: if it is full, the oldest is dropped silently, so a flood costs only
 * answers. Each entry is linked in the bucket of its tuple, by a hash whose secret keeps a flood from filling one
 * bucket. So a stray SYN, and an opening that may be its answer, cost the same however many are held.
 */
#include <assert.h>
#include <string.h>

#include "core/base/hash.h"
#include "nat_private.h"

static struct hold *hold_at(struct nat *n, uint32_t i)
{
	return &n->holds.ring[(n->holds.head + i) % HOLD_MAX];
}

static uint16_t number_of(const struct nat *n, const struct hold *h)
{
	return (uint16_t)(h - n->holds.ring + 1);
}

static uint16_t *bucket(struct nat *n, uint32_t external, uint16_t external_port, uint32_t remote, uint16_t remote_port)
{
	uint64_t h = hash_pair(n->holds.secret, (uint64_t)external << 32 | remote,
			       (uint32_t)external_port << 16 | remote_port);

	return &n->holds.buckets[h % HOLD_BUCKETS];
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
	struct hold *h;

	if (n->holds.count == 0)
		return NULL;
	for (uint16_t i = *bucket(n, external, external_port, remote, remote_port); i != 0; i = h->next) {
		h = &n->holds.ring[i - 1];
		if (is_about(h, external, external_port, remote, remote_port))
			return h;
	}
	return NULL;
}

static void link_in(struct nat *n, struct hold *h)
{
	uint16_t *first = bucket(n, h->v.dst, h->v.dport, h->v.src, h->v.sport);

	h->next = *first;
	*first = number_of(n, h);
}

/* The oldest of all is the last in its bucket. */
static void drop_oldest(struct nat *n)
{
	struct hold *h = hold_at(n, 0);
	uint16_t *link = bucket(n, h->v.dst, h->v.dport, h->v.src, h->v.sport);

	while (*link != number_of(n, h))
		link = &n->holds.ring[*link - 1].next;
	assert(h->next == 0);
	*link = 0;
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
	link_in(n, h);
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
