/* SPDX-License-Identifier: ISC */
/*
 * The arithmetic of balanced forwards: which of some backends takes a source. Pure, and without a secret: two gateways with
 * the same backends choose the same.
 *
 * Theory of operation. Rendezvous hashing (Thaler and Ravishankar, 1998): each backend draws a number in 0 to 1 from the
 * source and its own endpoint, and the least of -log(number) / weight wins. What one backend draws does not depend on the
 * others, so one that goes gives its sources to the others by their weights, and nothing else moves. Nor does the order
 * matter, nor a table that would have to be built for each change. Logarithms are integers, so that every machine has the
 * same. Numbers are drawn for BALANCE_LANES backends at a time, and only the backend that seems to have won needs a logarithm.
 */
#ifndef NATD_CORE_BALANCE_H
#define NATD_CORE_BALANCE_H

#include <stdint.h>

#include "policy.h"

struct balance_target {
	uint64_t key;	 /* of its endpoint */
	uint64_t share;	 /* 2^32 / weight */
	uint32_t weight; /* 1 and up */
};

enum { BALANCE_STEPS = 256, BALANCE_NONE = -1, BALANCE_LANES = 4 };

/* So many 32-bit numbers at a time, in the vector registers that every x86-64 and ARMv8 has. Of any alignment. */
typedef uint32_t balance_words __attribute__((vector_size(16), aligned(4)));
typedef int32_t balance_ranks __attribute__((vector_size(16), aligned(4)));
typedef float balance_floats __attribute__((vector_size(16), aligned(4)));

/* Of BALANCE_LANES targets what hashing reads of each. */
struct balance_lanes {
	balance_words low, high; /* of the key */
	balance_floats inverse;	 /* 1 / weight */
	balance_ranks never;	 /* INT32_MAX: behind the last target */
};

/* The backends of one forward. All borrowed. */
struct balance_set {
	const struct balance_target *targets;
	const struct balance_lanes *lanes; /* balance_lanes_count(n) */
	const uint8_t *closed;		   /* n, and up to BALANCE_LANES - 1 readable ones behind them */
	uint32_t n;
};

static inline uint32_t balance_lanes_count(uint32_t n)
{
	return (n + BALANCE_LANES - 1) / BALANCE_LANES;
}

struct balance_scale {
	uint32_t log[BALANCE_STEPS + 1]; /* 2^24 * log2(1 + i / 256) */
};

void balance_scale_init(struct balance_scale *s);
struct balance_target balance_target_of(const struct nat_backend *b);
/* Of `n` targets, into balance_lanes_count(n) of *out. */
void balance_lanes_make(struct balance_lanes *out, const struct balance_target *t, uint32_t n);

/* The place of one whose byte in `closed` is 0; BALANCE_NONE: there is none. */
int32_t balance_hash(const struct balance_scale *s, const struct balance_set *b, uint32_t source);
/* The one with the fewest sessions for its weight; of equal ones the first from a place that depends on the source. */
int32_t balance_least(const struct balance_set *b, const uint32_t *sessions, uint32_t source);
int32_t balance_random(const struct balance_set *b, uint64_t random);

#endif
