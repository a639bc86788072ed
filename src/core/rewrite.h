/* SPDX-License-Identifier: ISC */
/*
 * Writes new addresses and ports into a parsed packet, and keeps every checksum right by
 * difference. Works on whole packets, first fragments, later fragments (addresses only) and quotes.
 */
#ifndef NATD_CORE_REWRITE_H
#define NATD_CORE_REWRITE_H

#include <stdbool.h>

#include "packet.h"

/* What the packet shall carry afterwards. Ports: see struct pkt_view. For ICMP queries and replies
 * sport == dport == the new query id; for other protocols the ports are not written. */
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
 * Applies `rw` to the packet `quote` inside the ICMP error `outer`: quoted addresses, ports or id,
 * quoted IP checksum, quoted transport checksum where it is there (not for UDP checksum 0), and the
 * outer ICMP checksum by difference. The outer addresses are set with rewrite_apply() on `outer`.
 */
void rewrite_quote(struct pkt_view *outer, struct pkt_view *quote, const struct rewrite *rw);

/* Takes one from the TTL, checksum by difference. The caller has seen that it is above 1. */
void rewrite_decrement_ttl(struct pkt_view *v);

/* Sets the IP identification, checksum by difference (RFC 6864). */
void rewrite_ip_id(struct pkt_view *v, uint16_t id);

/*
 * Lowers the MSS option of a SYN to at most `mss` (never raises it), wherever in the options it
 * stands (odd offsets too), checksum by difference. A whole TCP segment or first fragment with
 * tcp_hlen set. True when it changed something. Malformed options end the walk and change nothing.
 */
bool rewrite_clamp_mss(struct pkt_view *v, uint16_t mss, bool csum_partial);

#endif
