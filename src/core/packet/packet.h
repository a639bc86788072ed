/* SPDX-License-Identifier: ISC */
/*
 * From bytes to a bounded view: layers, ports or query id, fragment facts, and the packet that an ICMP error quotes.
 * Never writes. A view borrows the bytes from which it was made.
 *
 * Three contexts differ in what may be missing (RFC 5508 REQ-3, FreeBSD SA-20:12 and EN-22:06):
 *   whole           everything that the headers promise is present
 *   first fragment  the transport header is present, its lengths may reach beyond the fragment
 *   quote           at least 8 bytes of transport header (the ports), the rest may be cut off
 *
 * Addresses, ports, lengths and sequence numbers in a view are in host byte order.
 */
#ifndef NATD_CORE_PACKET_H
#define NATD_CORE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/reason.h"

enum {
	IPPROTO_NR_ICMP = 1, /* IANA's numbers; the core does not include <netinet/in.h> */
	IPPROTO_NR_TCP = 6,
	IPPROTO_NR_UDP = 17,
};

/* The transport as the look-up needs it. The order is stored in saved sessions. */
enum nat_class {
	CLASS_TCP,
	CLASS_UDP,
	CLASS_ICMP,  /* queries and their replies: the query id takes the place of both ports */
	CLASS_OTHER, /* by address alone: the protocol number takes the place of both ports */
	CLASS_COUNT
};

/* Kinds up to PKT_OTHER can be matched to a session by their own headers. */
enum pkt_kind {
	PKT_TCP,
	PKT_UDP,
	PKT_ICMP_QUERY, /* echo request (8), timestamp (13), RFC 792 */
	PKT_ICMP_REPLY, /* echo reply (0), timestamp reply (14) */
	PKT_OTHER,
	PKT_ICMP_ERROR,	    /* 3, 11, 12; the quote has the packet that it is about */
	PKT_ICMP_REST,	    /* every other type: not translated */
	PKT_LATER_FRAGMENT, /* fragment offset > 0: no transport header here */
};

enum pkt_frag {
	FRAG_NONE,
	FRAG_FIRST,
	FRAG_LATER,
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

struct pkt_view {
	uint8_t *ip; /* first byte of the IP header */
	uint8_t *l4; /* first byte after it */
	uint32_t src;
	uint32_t dst;
	uint16_t sport; /* port, query id or protocol number (see enum nat_class); 0 for a later fragment */
	uint16_t dport;
	uint16_t len;	      /* IP total length, never beyond the bytes given (in a quote: the quoted value) */
	uint16_t l4_len;      /* transport bytes that are present */
	uint16_t id;	      /* IP identification */
	uint16_t frag_offset; /* in bytes */
	uint8_t ihl;	      /* IP header length in bytes, 20..60 */
	uint8_t proto;
	uint8_t ttl;
	uint8_t kind;	     /* enum pkt_kind */
	uint8_t proto_class; /* enum nat_class; by protocol alone for a later fragment */
	uint8_t frag;	     /* enum pkt_frag */
	bool more_fragments;
	bool dont_fragment;
	bool is_quote;
	uint8_t tcp_flags; /* PKT_TCP, only if l4_len >= 14 */
	uint8_t tcp_hlen;  /* TCP header length in bytes; 0 if the quote ends before it */
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint16_t tcp_window; /* raw; 0 if the quote ends before it */
	uint32_t tcp_seq;
	uint32_t tcp_ack;  /* 0 if the quote ends before it */
	uint32_t tcp_data; /* payload bytes of a whole segment (SYN and FIN not counted); 0 for fragments */
};

/*
 * Parses one packet of `len` bytes. Bytes beyond the IP total length are ignored (and must not be sent on: use v->len).
 * Checks: version, header length, total length, header checksum, options (bounds of all, source routes refused),
 * fragment form (misaligned, tiny first fragment, empty one, offset 8 of TCP, end beyond 65535), transport header and
 * TCP flags. Does not check transport checksums, except of ICMP errors in whole packets (RFC 5508 REQ-3).
 * `csum_partial`: the transport checksum is not complete yet (virtio), so it is not checked. Returns NAT_PASS or the
 * DROP_ reason. In the latter case only the view's addresses are valid, and only if the reason is neither DROP_SHORT
 * nor DROP_IP_HEADER.
 */
enum nat_reason packet_parse(uint8_t *data, size_t len, bool csum_partial, struct pkt_view *v);

/*
 * Parses the packet quoted by the ICMP error `outer` (kind PKT_ICMP_ERROR). Skips quoted IP options, checks the quoted
 * header checksum, needs 8 bytes of transport header (fewer only for other protocols, if the datagram had no more),
 * does not check a quoted transport checksum (RFC 5508 REQ-3c) nor quoted lengths and flags, stays within RFC 4884's
 * length field if there is one. A quoted later fragment, ICMP error or source route is refused. Returns NAT_PASS,
 * DROP_ICMP_QUOTE or DROP_ICMP_QUOTE_CHECKSUM.
 */
enum nat_reason packet_parse_quote(const struct pkt_view *outer, struct pkt_view *quote);

/* Big-endian loads and stores at any alignment. */
static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store32(uint8_t *p, uint32_t v)
{
	store16(p, (uint16_t)(v >> 16));
	store16(p + 2, (uint16_t)v);
}

#endif
