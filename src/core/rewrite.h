/* SPDX-License-Identifier: ISC */
/*
 * Writes new addresses and ports into a parsed packet, and keeps every checksum right by
 * difference. Works on whole packets, first fragments, later fragments (addresses only) and quotes.
 */
#ifndef NATD_CORE_REWRITE_H
#define NATD_CORE_REWRITE_H

#include <stdbool.h>

#include "packet.h"

/*
 * What the packet shall carry afterwards. Ports: see struct pkt_view. For ICMP queries and replies
 * sport == dport == the new query id; later fragments, ICMP errors and other protocols take the
 * addresses alone (with the checksum of DCCP and UDP-Lite, which covers them).
 */
struct rewrite {
	uint32_t src;
	uint32_t dst;
	uint16_t sport;
	uint16_t dport;
	bool csum_partial; /* the transport checksum is a pseudo header sum (virtio NEEDS_CSUM) */
};

/* Applies `rw` to the packet and to the view. For UDP with checksum 0 it stays 0. */
void rewrite_apply(struct pkt_view *v, const struct rewrite *rw);

/*
 * What a packet of a known session needs, at less cost: the source (or the destination) endpoint replaced, the
 * other one left as it is. The same bytes as rewrite_apply() would write. For ICMP queries and replies `port` is the
 * query id.
 */
void rewrite_source(struct pkt_view *v, uint32_t address, uint16_t port, bool csum_partial);
void rewrite_destination(struct pkt_view *v, uint32_t address, uint16_t port, bool csum_partial);

/*
 * Applies `rw` to the packet `quote` inside the ICMP error `outer`: quoted addresses, ports or id,
 * quoted IP checksum, quoted transport checksum where it is there (not for UDP checksum 0), and the
 * outer ICMP checksum by difference. The outer addresses are set with rewrite_apply() on `outer`.
 * `rw->csum_partial` speaks of the outer packet: its ICMP checksum is then left to be filled in.
 */
void rewrite_quote(struct pkt_view *outer, struct pkt_view *quote, const struct rewrite *rw);

/* Takes one from the TTL, checksum by difference. The caller has seen that it is above 1. */
void rewrite_decrement_ttl(struct pkt_view *v);

/* Sets the IP identification, checksum by difference (RFC 6864). */
void rewrite_ip_id(struct pkt_view *v, uint16_t id);

/*
 * Lowers the MSS option of a SYN to at most `mss` (never raises it), wherever in the options it
 * stands (odd offsets too; every one of several), checksum by difference. A whole TCP segment or first
 * fragment; any other packet is left alone. True when it changed something. A malformed option ends the
 * walk, an MSS option of a length other than 4 is left alone.
 */
bool rewrite_clamp_mss(struct pkt_view *v, uint16_t mss, bool csum_partial);

#endif
