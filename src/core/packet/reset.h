/* SPDX-License-Identifier: ISC */
/* Builds the TCP resets that natd itself sends (RFC 9293 3.5.2). */
#ifndef NATD_CORE_RESET_H
#define NATD_CORE_RESET_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

enum { TCP_RESET_LEN = 40 };

/* Addresses and ports in host byte order. */
struct tcp_reset {
	uint32_t src, dst;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags; /* TCP_RST, with or without TCP_ACK */
};

/* The reset that refuses `v` (PKT_TCP, no RST, as its sender sent it): from its destination to its source. Its
 * sequence number is the one that `v` acknowledges; without an ACK it acknowledges `v` instead, since SYN_SENT
 * accepts nothing else (RFC 9293 3.10.7.1). */
struct tcp_reset tcp_reset_of(const struct pkt_view *v);

/* Writes it to `out` (TCP_RESET_LEN bytes), with checksums. Returns the length. */
size_t tcp_reset_build(uint8_t *out, const struct tcp_reset *r);

#endif
