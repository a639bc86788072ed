/* SPDX-License-Identifier: ISC */
/*
 * The Internet checksum (RFC 1071): in full and by difference (RFC 1624). The UDP zero rule
 * (RFC 768: 0 means "none", a computed 0 is sent as 0xffff) lives here and nowhere else.
 *
 * A "sum" is an unfolded 32-bit one's-complement sum of 16-bit words in host order; at most 65535
 * words may be added before folding. Differences never repair a wrong checksum: what was wrong by
 * some amount stays wrong by it.
 */
#ifndef NATD_CORE_CHECKSUM_H
#define NATD_CORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* One's-complement sum of `len` bytes (an odd last byte is padded with zero), added to `sum`. */
uint32_t checksum_add(uint32_t sum, const uint8_t *data, size_t len);

/* Sum of the IPv4 pseudo header (RFC 793 3.1). */
uint32_t checksum_pseudo(uint32_t src, uint32_t dst, uint8_t proto, uint16_t l4_len);

/* Folded and complemented: the value for a checksum field. */
uint16_t checksum_finish(uint32_t sum);

/* Differences: what replacing `from` by `to` adds to the sum. They may be added to each other. */
static inline uint32_t checksum_diff16(uint16_t from, uint16_t to)
{
	return (uint32_t)(uint16_t)~from + to;
}

static inline uint32_t checksum_diff32(uint32_t from, uint32_t to)
{
	return checksum_diff16((uint16_t)(from >> 16), (uint16_t)(to >> 16)) +
	       checksum_diff16((uint16_t)from, (uint16_t)to);
}

/* The checksum field `check` after the difference `diff`. */
uint16_t checksum_update(uint16_t check, uint32_t diff);

/* The same for UDP: 0 stays 0, and a result of 0 becomes 0xffff. */
uint16_t checksum_update_udp(uint16_t check, uint32_t diff);

/* The same for a partial checksum (virtio NEEDS_CSUM): the field holds a folded, not complemented,
 * pseudo header sum. */
uint16_t checksum_update_partial(uint16_t check, uint32_t diff);

#endif
