/* SPDX-License-Identifier: ISC */
/*
 * The Internet checksum (RFC 1071): in full and by difference (RFC 1624). The UDP zero rule (RFC 768: 0 means "none", a
 * computed 0 is sent as 0xffff) is here, and in rewrite.h for the packet path.
 *
 * A "sum" is an unfolded 32-bit one's-complement sum of 16-bit words in host order; at most 65535 words may be added
 * before folding. Differences never repair a wrong checksum: it stays wrong by the same amount.
 *
 * Functions that run once per packet are inline; the sums over bytes are not.
 */
#ifndef NATD_CORE_CHECKSUM_H
#define NATD_CORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * One's-complement sum of `len` bytes, added to `sum`. An odd last byte is padded with zero, so only
 * the last of several pieces may be odd. Adds at most 0xffff (it counts as one word).
 */
uint32_t checksum_add(uint32_t sum, const uint8_t *data, size_t len);

/* Sum of the IPv4 pseudo header (RFC 793 3.1). */
uint32_t checksum_pseudo(uint32_t src, uint32_t dst, uint8_t proto, uint16_t l4_len);

/* Folded to 16 bits, not complemented. 0 only for the sum 0. */
static inline uint16_t checksum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16); /* at most 0x1fffe */
	return (uint16_t)(sum + (sum >> 16));
}

/* The same for a 64-bit sum of 32-bit words, in any byte order: twice, each half is added to the other one with its
 * carry (RFC 1071 2 (A)). 0 only for the sum 0. */
static inline uint16_t checksum_fold64(uint64_t sum)
{
	uint32_t half = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);

	return (uint16_t)((half + (half << 16 | half >> 16)) >> 16);
}

/* Folded and complemented: the value of a checksum field; 0 over data that includes a right one. */
static inline uint16_t checksum_finish(uint32_t sum)
{
	return (uint16_t)~checksum_fold(sum);
}

/* Differences: the change of the sum when `from` is replaced by `to`. They may be added up. */
static inline uint32_t checksum_diff16(uint16_t from, uint16_t to)
{
	return (uint32_t)(uint16_t)~from + to;
}

static inline uint32_t checksum_diff32(uint32_t from, uint32_t to)
{
	return checksum_diff16((uint16_t)(from >> 16), (uint16_t)(to >> 16)) +
	       checksum_diff16((uint16_t)from, (uint16_t)to);
}

/* The checksum field `check` after the difference `diff` (RFC 1624 equation 3). */
static inline uint16_t checksum_update(uint16_t check, uint32_t diff)
{
	return checksum_finish((uint32_t)(uint16_t)~check + diff);
}

/* The same for UDP: 0 stays 0, and a result of 0 becomes 0xffff (RFC 768). */
static inline uint16_t checksum_update_udp(uint16_t check, uint32_t diff)
{
	uint16_t to = checksum_update(check, diff);

	if (check == 0)
		return 0;
	return to ? to : 0xffff;
}

/* The same for a partial checksum (virtio NEEDS_CSUM): the field holds the folded pseudo header sum, not
 * complemented. Ports and data are not part of it. */
static inline uint16_t checksum_update_partial(uint16_t check, uint32_t diff)
{
	return checksum_fold(check + diff);
}

#endif
