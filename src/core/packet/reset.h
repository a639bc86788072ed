/* SPDX-License-Identifier: ISC */
/* Builds TCP resets that natd sends itself (RFC 9293 3.5.2). */
#ifndef NATD_CORE_RESET_H
#define NATD_CORE_RESET_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

enum { TCP_RESET_LEN = 40 };

/*
 * Builds the segment that refuses `v` (PKT_TCP, no RST, as its sender sent it) into `out` (TCP_RESET_LEN bytes): from its
 * destination to its source, acknowledging what it carries. Checksums are filled in. Returns the length.
 */
size_t tcp_reset_build(uint8_t *out, const struct pkt_view *v);

#endif
