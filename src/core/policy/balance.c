/* SPDX-License-Identifier: ISC */
/* The arithmetic of balanced forwards, see balance.h. */
#include "balance.h"

#include <assert.h>
#include <string.h>

#include "core/base/hash.h"

enum { LOG_BITS = 24, SHARE_BITS = 32, FRACTION_BITS = 31, PLACES = 256 };

_Static_assert((int)NAT_BACKENDS_MAX <= (int)PLACES, "a place fits into the low bits of a draw's rank");

/* 2^24 * log2(x), for 1 <= x < 2 with FRACTION_BITS fraction bits: one bit for each squaring. */
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

void balance_lanes_make(struct balance_lanes *out, const struct balance_target *t, uint32_t n)
{
	for (uint32_t i = 0; i < balance_lanes_count(n) * BALANCE_LANES; i++) {
		struct balance_lanes *l = &out[i / BALANCE_LANES];
		uint32_t k = i % BALANCE_LANES;

		l->low[k] = i < n ? (uint32_t)t[i].key : 0;
		l->high[k] = i < n ? (uint32_t)(t[i].key >> 32) : 0;
		l->inverse[k] = i < n ? 1.0f / (float)t[i].weight : 1.0f;
		l->never[k] = i < n ? 0 : INT32_MAX;
	}
}

/* A random number drawn from the source and the target: it represents 1 - drawn / 2^32, in (0, 1]. The second macro
 * draws for BALANCE_LANES targets at a time. */
#define DRAW(x, low, high)               \
	do {                             \
		(x) = (low)*0x85ebca6bu; \
		(x) ^= (x) >> 15;        \
		(x) += (high);           \
		(x) *= 0xc2b2ae35u;      \
		(x) ^= (x) >> 16;        \
	} while (0)

static inline uint32_t draw(uint64_t source, uint64_t key)
{
	uint32_t x;

	DRAW(x, (uint32_t)(source ^ key), (uint32_t)((source ^ key) >> 32));
	return x;
}

static inline balance_words draw_lanes(uint64_t source, const struct balance_lanes *l)
{
	balance_words x;

	DRAW(x, l->low ^ (uint32_t)source, l->high ^ (uint32_t)(source >> 32));
	return x;
}

/* -2^24 * log2 of the number that `drawn` represents. At most 32 * 2^24. */
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

static uint64_t cost_of(const struct balance_scale *s, const struct balance_target *t, uint64_t source)
{
	return log_of(s, draw(source, t->key)) * t->share;
}

/* Computes a logarithm for each target. */
static int32_t hash_exactly(const struct balance_scale *s, const struct balance_set *b, uint64_t source)
{
	uint64_t least = UINT64_MAX, cost;
	int32_t best = BALANCE_NONE;

	for (uint32_t i = 0; i < b->n; i++) {
		if (b->closed[i] != 0)
			continue;
		cost = cost_of(s, &b->targets[i], source);
		best = cost < least ? (int32_t)i : best;
		least = cost < least ? cost : least;
	}
	return best;
}

/* Ranks of BALANCE_LANES targets from number `first` on: y / weight as the bits of a float, which sort like numbers,
 * with the target's place in the lowest bits; INT32_MAX for closed targets. */
static inline balance_ranks rank_lanes(const struct balance_lanes *l, const uint8_t *closed, uint32_t first,
				       uint64_t source)
{
	const balance_ranks places = {0, 1, 2, 3};
	balance_floats y = __builtin_convertvector((balance_ranks)(draw_lanes(source, l) >> 8), balance_floats);
	balance_ranks r = (balance_ranks)(y * l->inverse);
	uint32_t shut;

	r = (r & ~(PLACES - 1)) | (places + (int32_t)first) | l->never;
	memcpy(&shut, closed + first, sizeof(shut));
	for (uint32_t k = 0; shut != 0 && k < BALANCE_LANES; k++)
		r[k] = closed[first + k] != 0 ? INT32_MAX : r[k];
	return r;
}

/* The least of all ranks; all are stored in `ranks`. */
static int32_t rank_all(const struct balance_set *b, uint64_t source, balance_ranks *ranks)
{
	balance_ranks least = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
	int32_t found = INT32_MAX;

	for (uint32_t i = 0; i < balance_lanes_count(b->n); i++) {
		balance_ranks r = rank_lanes(&b->lanes[i], b->closed, i * BALANCE_LANES, source);
		balance_ranks is_less = r < least;

		ranks[i] = r;
		least = (r & is_less) | (least & ~is_less);
	}
	for (uint32_t k = 0; k < BALANCE_LANES; k++)
		found = least[k] < found ? least[k] : found;
	return found;
}

/* The number of ranks not above `limit`. */
static uint32_t count_ranks(const balance_ranks *ranks, uint32_t n, int32_t limit)
{
	balance_ranks sum = {0};

	for (uint32_t i = 0; i < balance_lanes_count(n); i++)
		sum -= ranks[i] <= limit;
	return (uint32_t)(sum[0] + sum[1] + sum[2] + sum[3]);
}

/*
 * For small y, -ln(1 - y) is hardly more than y, and never less. So the target with the least y / weight has won,
 * unless another one's y / weight is below the first one's exact cost, which happens once in some n times. The floats
 * only find out whether the integers have to decide: a margin of 1 / 64 is far more than their error.
 */
int32_t balance_hash(const struct balance_scale *s, const struct balance_set *b, uint32_t source)
{
	balance_ranks ranks[PLACES / BALANCE_LANES];
	uint64_t mixed = hash_mix(source);
	int32_t least, best, limit;
	float cost;

	assert(b->n <= PLACES);
	least = rank_all(b, mixed, ranks);
	if (least == INT32_MAX)
		return BALANCE_NONE;
	best = least & (PLACES - 1);
	/* in units of y / weight, with ln 2 rounded up */
	cost = (float)cost_of(s, &b->targets[best], mixed) * (0.7041f / 4294967296.0f);
	memcpy(&limit, &cost, sizeof(limit));
	return count_ranks(ranks, b->n, limit | (PLACES - 1)) == 1 ? best : hash_exactly(s, b, mixed);
}

int32_t balance_least(const struct balance_set *b, const uint32_t *sessions, uint32_t source)
{
	uint32_t start = b->n > 0 ? (uint32_t)(hash_mix(source) >> 32) % b->n : 0;
	uint64_t least = UINT64_MAX;
	int32_t best = BALANCE_NONE;

	for (uint32_t k = 0; k < b->n; k++) {
		uint32_t i = start + k < b->n ? start + k : start + k - b->n;
		/* 24 bits of sessions and 32 of a share */
		uint64_t cost = (sessions[i] + UINT64_C(1)) * b->targets[i].share;

		if (b->closed[i] != 0 || cost >= least)
			continue;
		least = cost;
		best = (int32_t)i;
	}
	return best;
}

int32_t balance_random(const struct balance_set *b, uint64_t random)
{
	uint64_t total = 0, at;

	for (uint32_t i = 0; i < b->n; i++)
		total += b->closed[i] == 0 ? b->targets[i].weight : 0;
	at = (hash_mix(random) >> 32) * total >> 32;
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->closed[i] != 0)
			continue;
		if (at < b->targets[i].weight)
			return (int32_t)i;
		at -= b->targets[i].weight;
	}
	return BALANCE_NONE;
}
