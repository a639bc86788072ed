/* SPDX-License-Identifier: ISC */
/*
 * Random numbers inside the pure core: SipHash-2-4 of a counter under a secret key. An observer of the ports that natd
 * chose learns nothing about the next ones (RFC 6056 3.3), and the same seed gives the same run.
 */
#ifndef NATD_CORE_PRF_H
#define NATD_CORE_PRF_H

#include <stdint.h>

struct prf {
	uint64_t key[2];
	uint64_t counter;
};

static inline uint64_t prf_rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static inline void prf_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = prf_rotate(v[1], 13) ^ v[0];
	v[3] = prf_rotate(v[3], 16) ^ v[2];
	v[0] = prf_rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = prf_rotate(v[1], 17) ^ v[2];
	v[3] = prf_rotate(v[3], 21) ^ v[0];
	v[2] = prf_rotate(v[2], 32);
}

/* SipHash-2-4 of one 8-byte word (Aumasson and Bernstein, 2012). */
static inline uint64_t prf_hash(const uint64_t key[2], uint64_t word)
{
	uint64_t v[4] = {
		key[0] ^ 0x736f6d6570736575ull,
		key[1] ^ 0x646f72616e646f6dull,
		key[0] ^ 0x6c7967656e657261ull,
		key[1] ^ 0x7465646279746573ull,
	};
	uint64_t last = 8ull << 56;

	v[3] ^= word;
	prf_round(v);
	prf_round(v);
	v[0] ^= word;
	v[3] ^= last;
	prf_round(v);
	prf_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		prf_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The next 64 unpredictable bits. */
static inline uint64_t prf_next(struct prf *p)
{
	return prf_hash(p->key, p->counter++);
}

#endif
