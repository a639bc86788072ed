/* SPDX-License-Identifier: ISC */
/*
 * Writes new addresses and ports into a parsed packet, and updates every checksum by difference. Works on whole
 * packets, first fragments, later fragments (addresses only) and quotes.
 */
#ifndef NATD_CORE_REWRITE_H
#define NATD_CORE_REWRITE_H

#include <stdbool.h>
#include <string.h>

#include "checksum.h"
#include "packet.h"

/*
 * The new addresses and ports. Ports: see struct pkt_view. For ICMP queries and replies sport == dport == the new query
 * id; in later fragments, ICMP errors and other protocols only the addresses are replaced (with the checksum of DCCP
 * and UDP-Lite, which covers them).
 */
struct rewrite {
	uint32_t src;
	uint32_t dst;
	uint16_t sport;
	uint16_t dport;
	bool csum_partial; /* the transport checksum is a pseudo header sum (virtio NEEDS_CSUM) */
};

/* Applies `rw` to the packet and to the view. A UDP checksum of 0 stays 0. */
void rewrite_apply(struct pkt_view *v, const struct rewrite *rw);

/*
 * The rewrite of a packet in a known session, which is cheaper: replaces the source (or the destination) endpoint, and
 * leaves the other one unchanged. Writes the same bytes as rewrite_apply(). For ICMP queries and replies `port` is the
 * query id. Inline below.
 */
static inline void rewrite_source(struct pkt_view *v, uint32_t address, uint16_t port, bool csum_partial);
static inline void rewrite_destination(struct pkt_view *v, uint32_t address, uint16_t port, bool csum_partial);

/*
 * Applies `rw` to the packet `quote` inside the ICMP error `outer`: quoted addresses, ports or id, quoted IP checksum,
 * quoted transport checksum if present (not if a UDP checksum is 0), and the outer ICMP checksum by difference. The
 * outer addresses are set with rewrite_apply() on `outer`. `rw->csum_partial` is about the outer packet: its ICMP
 * checksum is then still to be computed.
 */
void rewrite_quote(struct pkt_view *outer, struct pkt_view *quote, const struct rewrite *rw);

/* Decrements the TTL, checksum by difference. The caller has checked that it is above 1. */
void rewrite_decrement_ttl(struct pkt_view *v);

/* Sets the IP identification, checksum by difference (RFC 6864). */
void rewrite_ip_id(struct pkt_view *v, uint16_t id);

/*
 * Lowers the MSS option of a SYN to at most `mss` (never raises it), anywhere in the options (at odd offsets too; every
 * one of several), checksum by difference. For a whole TCP segment or first fragment; any other packet stays unchanged.
 * Returns whether it changed something. A malformed option ends the walk; an MSS option whose length is not 4 stays
 * unchanged.
 */
bool rewrite_clamp_mss(struct pkt_view *v, uint16_t mss, bool csum_partial);

/* ---- one endpoint of a plain packet, inline: it is the packet path ----
 * 
 * One difference serves both checksums, in the machine's own byte order, which does not matter to one's-complement
 * sums (RFC 1071 2 (B)). */

enum { /* offsets in the headers (RFC 791, 793, 768) */
       REWRITE_IP_CHECK = 10,
       REWRITE_IP_SRC = 12,
       REWRITE_IP_DST = 16,
       REWRITE_TCP_CHECK = 16,
       REWRITE_UDP_CHECK = 6,
};

enum rewrite_half { REWRITE_SOURCE, REWRITE_DESTINATION };

/* The two functions above, for packets that are not plain. */
void rewrite_other(struct pkt_view *v, enum rewrite_half half, uint32_t address, uint16_t port, bool csum_partial);

static inline uint32_t rewrite_big32(uint32_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
}

static inline uint16_t rewrite_big16(uint16_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap16(v) : v;
}

/* Writes 32 bits; returns the difference of two native words. Sums of these have at most 34 bits. */
static inline uint64_t rewrite_put_address(uint8_t *p, uint32_t to)
{
	uint32_t from, word = rewrite_big32(to);

	memcpy(&from, p, sizeof(from));
	memcpy(p, &word, sizeof(word));
	return (uint64_t)~from + word;
}

static inline uint64_t rewrite_put_port(uint8_t *p, uint16_t to)
{
	uint16_t from, word = rewrite_big16(to);

	memcpy(&from, p, sizeof(from));
	memcpy(p, &word, sizeof(word));
	return (uint64_t)(uint16_t)~from + word;
}

/* RFC 768, for UDP: 0 stays 0, and a result of 0 is written as 0xffff. */
static inline void rewrite_carry(uint8_t *check, uint64_t diff, bool is_udp)
{
	uint16_t old, now;

	memcpy(&old, check, sizeof(old));
	now = (uint16_t)~checksum_fold64((uint16_t)~old + diff);
	if (is_udp) {
		now = now == 0 ? 0xffff : now;
		now = old == 0 ? 0 : now;
	}
	memcpy(check, &now, sizeof(now));
}

/* TCP and UDP with a complete checksum: nearly every packet. */
static inline bool rewrite_is_plain(const struct pkt_view *v, bool csum_partial)
{
	return v->kind <= PKT_UDP && !v->is_quote && !csum_partial;
}

static inline void rewrite_put_endpoint(const struct pkt_view *v, enum rewrite_half half, uint32_t address,
					uint16_t port)
{
	uint64_t diff = rewrite_put_address(v->ip + REWRITE_IP_SRC + 4 * (size_t)half, address);

	rewrite_carry(v->ip + REWRITE_IP_CHECK, diff, false);
	diff += rewrite_put_port(v->l4 + 2 * (size_t)half, port);
	if (v->kind == PKT_TCP)
		rewrite_carry(v->l4 + REWRITE_TCP_CHECK, diff, false);
	else
		rewrite_carry(v->l4 + REWRITE_UDP_CHECK, diff, true);
}

static inline void rewrite_endpoint(struct pkt_view *v, enum rewrite_half half, uint32_t address, uint16_t port,
				    bool csum_partial)
{
	if (!rewrite_is_plain(v, csum_partial)) {
		rewrite_other(v, half, address, port, csum_partial);
		return;
	}
	rewrite_put_endpoint(v, half, address, port);
	*(half == REWRITE_SOURCE ? &v->src : &v->dst) = address;
	*(half == REWRITE_SOURCE ? &v->sport : &v->dport) = port;
}

static inline void rewrite_source(struct pkt_view *v, uint32_t address, uint16_t port, bool csum_partial)
{
	rewrite_endpoint(v, REWRITE_SOURCE, address, port, csum_partial);
}

static inline void rewrite_destination(struct pkt_view *v, uint32_t address, uint16_t port, bool csum_partial)
{
	rewrite_endpoint(v, REWRITE_DESTINATION, address, port, csum_partial);
}

#endif
