/* SPDX-License-Identifier: ISC */
/* See balance.h. */
#include "balance.h"

#include <assert.h>

#include "core/base/hash.h"

enum { LOG_BITS = 24, SHARE_BITS = 32, FRACTION_BITS = 31 };

/* 2^24 * log2(x), for 1 <= x < 2 with FRACTION_BITS behind the point: a bit for each squaring. */
static uint32_t log2_of(uint64_t x)
{
	uint32_t log = 0;

	for (int bit = 0; bit < LOG_BITS; bit++) {
		x = x * x >> FRACTION_BITS;
		log = log << 1 | (uint32_t)(x >> (FRACTION_BITS + 1));
		x >>= x >> (FRACTION_BITS + 1);
	}
	return log;
}

void balance_scale_init(struct balance_scale *s)
{
	for (uint32_t i = 0; i < BALANCE_STEPS; i++)
		s->log[i] = log2_of((uint64_t)(BALANCE_STEPS + i) << (FRACTION_BITS - 8));
	s->log[BALANCE_STEPS] = 1u << LOG_BITS;
}

struct balance_target balance_target_of(const struct nat_backend *b)
{
	assert(b->weight > 0);
	return (struct balance_target){
		.key = hash_mix((uint64_t)b->address << 16 | b->port),
		.share = (UINT64_C(1) << SHARE_BITS) / b->weight,
		.weight = b->weight,
	};
}

/* A number that the source and the target draw, at random: it stands for 1 - drawn / 2^32, in (0, 1]. */
static inline uint32_t draw(uint64_t source, uint64_t key)
{
	uint64_t low = source ^ key, high = 0x9e3779b97f4a7c15ull;

	hash_multiply(&low, &high);
	return (uint32_t)((low ^ high) >> 32);
}

/* -2^24 * log2 of the number that `drawn` stands for. At most 32 * 2^24. */
static uint32_t log_of(const struct balance_scale *s, uint32_t drawn)
{
	uint64_t x = (UINT64_C(1) << 32) - drawn, mantissa;
	uint32_t zeros = (uint32_t)__builtin_clzll(x), low, high;

	mantissa = zeros == 63 ? 0 : x << (zeros + 1);
	low = s->log[mantissa >> 56];
	high = s->log[(mantissa >> 56) + 1];
	low += (uint32_t)((uint64_t)(high - low) * (mantissa >> 40 & 0xffff) >> 16);
	return ((zeros - 31) << LOG_BITS) - low;
}

/* Since -log(1 - y) > y, most cannot win and need no logarithm. */
int32_t balance_hash(const struct balance_scale *s, const struct balance_target *t, const uint8_t *closed, uint32_t n,
		     uint32_t source)
{
	uint64_t mixed = hash_mix(source), least = UINT64_MAX, cost;
	int32_t best = BALANCE_NONE;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t drawn = draw(mixed, t[i].key);

		if ((drawn >> (32 - LOG_BITS)) * t[i].share >= least || closed[i] != 0)
			continue;
		cost = log_of(s, drawn) * t[i].share;
		if (cost >= least)
			continue;
		least = cost;
		best = (int32_t)i;
	}
	return best;
}

int32_t balance_least(const struct balance_target *t, const uint8_t *closed, const uint32_t *sessions, uint32_t n,
		      uint32_t source)
{
	uint32_t start = n > 0 ? (uint32_t)(hash_mix(source) >> 32) % n : 0;
	uint64_t least = UINT64_MAX;
	int32_t best = BALANCE_NONE;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = start + k < n ? start + k : start + k - n;
		/* 24 bits of sessions and 32 of a share */
		uint64_t cost = (sessions[i] + UINT64_C(1)) * t[i].share;

		if (closed[i] != 0 || cost >= least)
			continue;
		least = cost;
		best = (int32_t)i;
	}
	return best;
}

int32_t balance_random(const struct balance_target *t, const uint8_t *closed, uint32_t n, uint64_t random)
{
	uint64_t total = 0, at;

	for (uint32_t i = 0; i < n; i++)
		total += closed[i] == 0 ? t[i].weight : 0;
	at = (hash_mix(random) >> 32) * total >> 32;
	for (uint32_t i = 0; i < n; i++) {
		if (closed[i] != 0)
			continue;
		if (at < t[i].weight)
			return (int32_t)i;
		at -= t[i].weight;
	}
	return BALANCE_NONE;
}
