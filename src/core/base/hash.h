/* SPDX-License-Identifier: ISC */
/*
 * The keyed hash of the table's indexes: 128 bits of key, 256 bits of secret, two 64 x 64 -> 128 bit multiplications.
 *
 * Why not SipHash: the adversary here chooses keys (addresses and ports) and never sees a hash value, a bucket number
 * or a listing order that depends on one; timing over a network has noise thousands of times larger than one more cache
 * line. Against such a non-adaptive adversary it is enough that two different keys collide with a probability near
 * 2^-64 over the choice of the secret. One round, (a ^ s0) * (b ^ s1) with random s0, s1 and the whole 128-bit product
 * kept, comes close to that (two keys share a product only if the secret hits one of few divisor relations between
 * them). The second round folds it to 64 bits and spreads it, so any range of bits may be used as a number of its own:
 * bits 0-25 and 26-51 are bucket numbers, bits 56-63 a tag. The secret lives as long as the records, and never leaves
 * the process.
 */
#ifndef NATD_CORE_HASH_H
#define NATD_CORE_HASH_H

#include <stdint.h>

#ifdef __SIZEOF_INT128__
static inline void hash_multiply(uint64_t *a, uint64_t *b)
{
	unsigned __int128 product = (unsigned __int128)*a * *b;

	*a = (uint64_t)product;
	*b = (uint64_t)(product >> 64);
}
#else
static inline void hash_multiply(uint64_t *a, uint64_t *b)
{
	uint64_t a0 = (uint32_t)*a, a1 = *a >> 32, b0 = (uint32_t)*b, b1 = *b >> 32;
	uint64_t low = a0 * b0, mid = a1 * b0 + (low >> 32), mid2 = a0 * b1 + (uint32_t)mid;

	*a = mid2 << 32 | (uint32_t)low;
	*b = a1 * b1 + (mid >> 32) + (mid2 >> 32);
}
#endif

static inline uint64_t hash_pair(const uint64_t secret[4], uint64_t a, uint64_t b)
{
	a ^= secret[0];
	b ^= secret[1];
	hash_multiply(&a, &b);
	a ^= secret[2];
	b ^= secret[3];
	hash_multiply(&a, &b);
	return a ^ b;
}

/* A fixed mixer of one word (the finaliser of splitmix64), for numbers that need no protection against attacks. */
static inline uint64_t hash_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

#endif
