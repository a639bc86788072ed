/* SPDX-License-Identifier: ISC */
/*
 * Theory of operation. A group holds datagrams of one flow that may become one super-packet: same addresses and ports,
 * DSCP, TTL, DF, way out and kind of checksum, and all of one length but the last, which may be shorter and closes the
 * group (the kernel cuts like that). Groups are found by a hash of the flow; another flow with the same hash makes the
 * group be sent. The order within a flow is kept: a datagram that cannot join makes its group be sent first.
 *
 * The kernel computes a super-packet's checksum and would repair a wrong one. So datagrams whose checksum is filled in
 * are verified before they are joined; one that is wrong, or has none, is sent singly.
 *
 * The kernel numbers the IP ids of the segments upwards from the first one's. So datagrams without DF join only if
 * their ids count up in the same way: each arrives with the id that it had, and no id is used twice (RFC 6864 4.1, RFC
 * 7857 10). The ids of datagrams with DF mean nothing (RFC 6864 4.1: atomic).
 *
 * Sending a super-packet through the TUN needs a TTL raised by one. A TTL of 255 cannot be raised: such datagrams are
 * sent singly.
 */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include "core/packet/checksum.h"
#include "core/packet/packet.h"

enum {
	HEADERS = 28, /* IP without options, UDP */
	BYTES_MOST = 65000,
	FLOW_AT = 12, /* both addresses and both ports, side by side */
	FLOW_LEN = 12,
};

struct group {
	uint32_t n;
	uint32_t bytes; /* of the super-packet so far */
	bool closed;
	struct nat_packet p[MERGE_MOST];
};

struct merge {
	struct merge_ways ways;
	bool refused; /* the kernel does not accept super-packets: never tried again */
	struct group groups[MERGE_GROUPS];
};

struct merge *merge_create(const struct merge_ways *ways)
{
	struct merge *m = calloc(1, sizeof(*m));

	if (m)
		m->ways = *ways;
	return m;
}

void merge_destroy(struct merge *m)
{
	free(m);
}

static bool is_plain_datagram(const struct nat_packet *p)
{
	const uint8_t *ip = p->data;

	return p->len > HEADERS && p->gso_size == 0 && ip[0] == 0x45 && ip[9] == IPPROTO_NR_UDP &&
	       (load16(ip + 6) & 0x3fff) == 0 && load16(ip + 2) == p->len && load16(ip + 24) == p->len - 20 &&
	       ip[8] != 255 && p->mtu != 0 && p->len <= p->mtu && (p->csum_partial || load16(ip + 26) != 0);
}

static struct group *group_of(struct merge *m, const struct nat_packet *p)
{
	uint32_t h = load32(p->data + 20) ^ load32(p->data + 12) * 2654435761u ^ load32(p->data + 16);

	return &m->groups[(h * 2654435761u) >> 28];
}

_Static_assert(MERGE_GROUPS == 16, "group_of() takes four bits");

static bool is_same_flow(const struct nat_packet *a, const struct nat_packet *b)
{
	return memcmp(a->data + FLOW_AT, b->data + FLOW_AT, FLOW_LEN) == 0;
}

static bool has_right_id(const struct group *g, const struct nat_packet *p)
{
	bool dont_fragment = (p->data[6] & 0x40) != 0;

	return dont_fragment || load16(p->data + 4) == (uint16_t)(load16(g->p[0].data + 4) + g->n);
}

static bool may_join(const struct group *g, const struct nat_packet *p)
{
	const struct nat_packet *first = &g->p[0];

	return !g->closed && g->n < MERGE_MOST && p->len <= first->len && g->bytes + p->len <= BYTES_MOST &&
	       p->csum_partial == first->csum_partial && p->to == first->to && p->mtu == first->mtu &&
	       p->data[1] == first->data[1] && load16(p->data + 6) == load16(first->data + 6) &&
	       p->data[8] == first->data[8] && has_right_id(g, p) && is_same_flow(p, first);
}

/* ---- sending a group ---- */

static bool is_checksum_right(const struct nat_packet *p)
{
	uint16_t len = (uint16_t)(p->len - 20);
	uint32_t sum = checksum_pseudo(load32(p->data + 12), load32(p->data + 16), IPPROTO_NR_UDP, len);

	return p->csum_partial || checksum_finish(checksum_add(sum, p->data + 20, len)) == 0;
}

static bool is_worth_it(const struct merge *m, const struct group *g)
{
	if (m->refused || g->n < MERGE_LEAST)
		return false;
	for (uint32_t i = 0; i < g->n; i++)
		if (!is_checksum_right(&g->p[i]))
			return false;
	return true;
}

/* The first datagram's headers become those of the super-packet. */
static void write_headers(uint8_t *ip, uint32_t bytes)
{
	uint16_t before = load16(ip + 2), len = (uint16_t)(bytes - 20);
	uint32_t sum = checksum_pseudo(load32(ip + 12), load32(ip + 16), IPPROTO_NR_UDP, len);

	store16(ip + 2, (uint16_t)bytes);
	store16(ip + 10, checksum_update(load16(ip + 10), checksum_diff16(before, (uint16_t)bytes)));
	store16(ip + 24, len);
	store16(ip + 26, (uint16_t)~checksum_finish(sum));
}

static enum merge_result send_super(struct merge *m, struct group *g)
{
	struct nat_packet whole = g->p[0];
	struct iovec parts[MERGE_MOST];
	uint8_t headers[HEADERS];
	enum merge_result r;

	memcpy(headers, whole.data, HEADERS);
	write_headers(whole.data, g->bytes);
	whole.len = g->bytes;
	whole.gso_size = (uint16_t)(g->p[0].len - HEADERS);
	whole.csum_partial = true;
	parts[0] = (struct iovec){whole.data, g->p[0].len};
	for (uint32_t i = 1; i < g->n; i++)
		parts[i] = (struct iovec){g->p[i].data + HEADERS, g->p[i].len - HEADERS};
	r = m->ways.super(m->ways.ctx, &whole, parts, (int)g->n);
	if (r != MERGE_SENT)
		memcpy(whole.data, headers, HEADERS);
	return r;
}

static void send_group(struct merge *m, struct group *g)
{
	bool is_tried = is_worth_it(m, g);
	enum merge_result r = is_tried ? send_super(m, g) : MERGE_NEVER;

	m->refused = m->refused || (is_tried && r == MERGE_NEVER);
	for (uint32_t i = 0; i < g->n && r != MERGE_SENT; i++)
		(r == MERGE_AGAIN ? m->ways.again : m->ways.single)(m->ways.ctx, &g->p[i]);
	g->n = 0;
	g->closed = false;
}

/* ---- taking ---- */

bool merge_add(struct merge *m, const struct nat_packet *p)
{
	struct group *g;

	if (m->refused || p->data[9] != IPPROTO_NR_UDP)
		return false;
	if (!is_plain_datagram(p)) { /* rare, and its ports may not be where the flow's hash reads them */
		merge_flush(m);
		return false;
	}
	g = group_of(m, p);
	if (g->n > 0 && !may_join(g, p))
		send_group(m, g);
	if (m->refused)
		return false;
	if (g->n == 0)
		g->bytes = HEADERS;
	else
		g->closed = p->len < g->p[0].len;
	g->bytes += p->len - HEADERS;
	g->p[g->n++] = *p;
	return true;
}

void merge_flush(struct merge *m)
{
	for (int i = 0; i < MERGE_GROUPS; i++)
		if (m->groups[i].n > 0)
			send_group(m, &m->groups[i]);
}
