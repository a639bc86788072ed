/* SPDX-License-Identifier: ISC */
/*
 * Writes addresses and ports, and updates every checksum by difference (RFC 1624, RFC 3022 4.1), so that a wrong one
 * stays wrong by the same amount. No checksum is recomputed: that would hide damage that the receiver must see.
 *
 * Each put_*() writes one field and returns the change of a sum over the bytes around it. An ICMP error needs the
 * total, because its checksum covers everything that changed in the quote.
 */
#include "rewrite.h"

#include <string.h>

#include "checksum.h"

enum {
	IP_ID = 4,
	IP_TTL = 8,
	ICMP_CHECK = 2,
	ICMP_ID = 4,

	PROTO_DCCP = 33,
	PROTO_UDPLITE = 136,

	TCP_OPTIONS = 20,
	OPTION_EOL = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_MSS_LEN = 4,
};

static inline uint32_t put16(uint8_t *p, uint16_t to)
{
	uint16_t from = load16(p);

	store16(p, to);
	return checksum_diff16(from, to);
}

static inline uint32_t put32(uint8_t *p, uint32_t to)
{
	uint32_t from = load32(p);

	store32(p, to);
	return checksum_diff32(from, to);
}

static inline uint32_t put_ip_check(struct pkt_view *v, uint32_t diff)
{
	uint8_t *p = v->ip + REWRITE_IP_CHECK;

	return put16(p, checksum_update(load16(p), diff));
}

static inline uint32_t put_ports(struct pkt_view *v, const struct rewrite *rw)
{
	v->sport = rw->sport;
	v->dport = rw->dport;
	return put32(v->l4, (uint32_t)rw->sport << 16 | rw->dport);
}

/* `addresses`: difference so far. A partial checksum covers only the pseudo header. */
static inline uint32_t put_tcp(struct pkt_view *v, const struct rewrite *rw, uint32_t addresses)
{
	uint32_t ports = put_ports(v, rw);
	uint8_t *check;

	if (v->l4_len < REWRITE_TCP_CHECK + 2) /* a short quote */
		return ports;
	check = v->l4 + REWRITE_TCP_CHECK;
	if (rw->csum_partial)
		return ports + put16(check, checksum_update_partial(load16(check), addresses));
	return ports + put16(check, checksum_update(load16(check), addresses + ports));
}

static inline uint32_t put_udp(struct pkt_view *v, const struct rewrite *rw, uint32_t addresses)
{
	uint32_t ports = put_ports(v, rw);
	uint8_t *check = v->l4 + REWRITE_UDP_CHECK;

	if (rw->csum_partial)
		return ports + put16(check, checksum_update_partial(load16(check), addresses));
	return ports + put16(check, checksum_update_udp(load16(check), addresses + ports));
}

/* ICMP has no pseudo header: a partial checksum covers nothing yet and stays unchanged. */
static uint32_t put_icmp_id(struct pkt_view *v, const struct rewrite *rw)
{
	uint32_t id = put16(v->l4 + ICMP_ID, rw->sport);
	uint8_t *check = v->l4 + ICMP_CHECK;

	v->sport = v->dport = rw->sport;
	if (rw->csum_partial)
		return id;
	return id + put16(check, checksum_update(load16(check), id));
}

/*
 * By address alone. Two protocols sum over the pseudo header like UDP, at the same offset, but have no "none" (RFC 3828
 * 3.1, RFC 4340 9.1); the others in use (GRE, ESP, SCTP) do not sum addresses.
 */
static uint32_t put_other(struct pkt_view *v, const struct rewrite *rw, uint32_t addresses)
{
	uint8_t *check;

	if ((v->proto != PROTO_DCCP && v->proto != PROTO_UDPLITE) || v->l4_len < REWRITE_UDP_CHECK + 2)
		return 0;
	check = v->l4 + REWRITE_UDP_CHECK;
	if (rw->csum_partial)
		return put16(check, checksum_update_partial(load16(check), addresses));
	return put16(check, checksum_update(load16(check), addresses));
}

static inline uint32_t put_transport(struct pkt_view *v, const struct rewrite *rw, uint32_t addresses)
{
	switch ((enum pkt_kind)v->kind) {
	case PKT_TCP:
		return put_tcp(v, rw, addresses);
	case PKT_UDP:
		return put_udp(v, rw, addresses);
	case PKT_ICMP_QUERY:
	case PKT_ICMP_REPLY:
		return put_icmp_id(v, rw);
	case PKT_OTHER:
		return put_other(v, rw, addresses);
	case PKT_ICMP_ERROR:
	case PKT_ICMP_REST:
	case PKT_LATER_FRAGMENT:
		break;
	}
	return 0;
}

/* Rewrites one packet or quote; returns the change of a sum over all of it. */
static inline uint32_t put_packet(struct pkt_view *v, const struct rewrite *rw)
{
	uint32_t addresses = put32(v->ip + REWRITE_IP_SRC, rw->src) + put32(v->ip + REWRITE_IP_DST, rw->dst);

	v->src = rw->src;
	v->dst = rw->dst;
	return addresses + put_ip_check(v, addresses) + put_transport(v, rw, addresses);
}

void rewrite_apply(struct pkt_view *v, const struct rewrite *rw)
{
	put_packet(v, rw);
}

void rewrite_other(struct pkt_view *v, enum rewrite_half half, uint32_t address, uint16_t port, bool csum_partial)
{
	struct rewrite rw = {v->src, v->dst, v->sport, v->dport, csum_partial};

	*(half == REWRITE_SOURCE ? &rw.src : &rw.dst) = address;
	*(half == REWRITE_SOURCE ? &rw.sport : &rw.dport) = port;
	if (v->proto_class == CLASS_ICMP)
		rw.sport = rw.dport = port;
	put_packet(v, &rw);
}

/* ---- quotes, and single fields ---- */

void rewrite_quote(struct pkt_view *outer, struct pkt_view *quote, const struct rewrite *rw)
{
	struct rewrite inner = *rw;
	uint8_t *check = outer->l4 + ICMP_CHECK;
	uint32_t diff;

	inner.csum_partial = false; /* virtio's flag is about the outer packet */
	diff = put_packet(quote, &inner);
	if (!rw->csum_partial)
		store16(check, checksum_update(load16(check), diff));
}

void rewrite_decrement_ttl(struct pkt_view *v)
{
	v->ttl--;
	put_ip_check(v, put16(v->ip + IP_TTL, (uint16_t)(v->ttl << 8 | v->proto)));
}

void rewrite_ip_id(struct pkt_view *v, uint16_t id)
{
	v->id = id;
	put_ip_check(v, put16(v->ip + IP_ID, id));
}

/*
 * Writes a 16-bit value at offset `at` of the TCP header; returns the change of the sum. At an odd offset the bytes are
 * in the other halves of their words (RFC 1071 2 (B)).
 */
static uint32_t put_option16(uint8_t *tcp, unsigned at, uint16_t to)
{
	uint16_t from = load16(tcp + at);

	store16(tcp + at, to);
	if (at % 2 != 0)
		return checksum_diff16(__builtin_bswap16(from), __builtin_bswap16(to));
	return checksum_diff16(from, to);
}

/*
 * Lowers each MSS option (RFC 9293 3.7.1; of several the last one counts, so all are lowered), and adds the differences
 * to *diff. Receivers stop at a malformed option, too.
 */
static bool clamp_options(struct pkt_view *v, uint16_t mss, uint32_t *diff)
{
	bool changed = false;
	unsigned at = TCP_OPTIONS, n;

	for (; at < v->tcp_hlen && v->l4[at] != OPTION_EOL; at += n) {
		n = 1;
		if (v->l4[at] == OPTION_NOP)
			continue;
		if (at + 2 > v->tcp_hlen)
			break;
		n = v->l4[at + 1];
		if (n < 2 || at + n > v->tcp_hlen)
			break;
		if (v->l4[at] == OPTION_MSS && n == OPTION_MSS_LEN && load16(v->l4 + at + 2) > mss) {
			*diff += put_option16(v->l4, at + 2, mss);
			changed = true;
		}
	}
	return changed;
}

bool rewrite_clamp_mss(struct pkt_view *v, uint16_t mss, bool csum_partial)
{
	uint32_t diff = 0;
	uint8_t *check;

	if (v->kind != PKT_TCP || v->is_quote || !(v->tcp_flags & TCP_SYN))
		return false;
	if (!clamp_options(v, mss, &diff))
		return false;
	if (csum_partial) /* the options are not summed yet */
		return true;
	check = v->l4 + REWRITE_TCP_CHECK;
	store16(check, checksum_update(load16(check), diff));
	return true;
}
