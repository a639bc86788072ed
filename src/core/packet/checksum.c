/* SPDX-License-Identifier: ISC */
/*
 * Sums over bytes. One's-complement addition is independent of byte order and word width until the end (RFC 1071 2): so
 * it adds 64 bits at a time in the machine's order, and swaps once at the end.
 */
#include "checksum.h"

#include <string.h>

/* 64-bit one's-complement addition: the carry is added at the low end. */
static inline uint64_t add64(uint64_t sum, uint64_t word)
{
	sum += word;
	return sum + (sum < word);
}

static inline uint64_t native64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* 64 bits folded to 16 in the machine's order, as a number in host order. */
static inline uint16_t fold64(uint64_t sum)
{
	uint16_t folded;

	sum = (sum & 0xffffffff) + (sum >> 32); /* at most 0x1fffffffe */
	sum = (sum & 0xffff) + (sum >> 16);	/* at most 0x2fffd */
	sum = (sum & 0xffff) + (sum >> 16);	/* at most 0x10001 */
	sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)sum;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	folded = __builtin_bswap16(folded);
#endif
	return folded;
}

uint32_t checksum_add(uint32_t sum, const uint8_t *data, size_t len)
{
	uint64_t a = 0, b = 0;

	for (; len >= 32; len -= 32, data += 32) { /* two chains, because of the carries' latency */
		a = add64(a, native64(data));
		b = add64(b, native64(data + 8));
		a = add64(a, native64(data + 16));
		b = add64(b, native64(data + 24));
	}
	for (; len >= 8; len -= 8, data += 8)
		a = add64(a, native64(data));
	if (len > 0) {
		uint8_t rest[8] = {0}; /* RFC 1071 1: an odd last byte is padded with zero */

		memcpy(rest, data, len);
		b = add64(b, native64(rest));
	}
	return sum + fold64(add64(a, b));
}

uint32_t checksum_pseudo(uint32_t src, uint32_t dst, uint8_t proto, uint16_t l4_len)
{
	return (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff) + proto + l4_len;
}
