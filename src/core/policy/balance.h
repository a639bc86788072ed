/* SPDX-License-Identifier: ISC */
/*
 * The arithmetic of balanced forwards: which backend takes a source. Pure, and without a secret: two gateways with the
 * same backends choose the same.
 *
 * Theory of operation. Rendezvous hashing (Thaler and Ravishankar, 1998): each backend draws a number in 0 to 1 from
 * the source and its own endpoint, and the least of -log(number) / weight wins. One backend's draw does not depend on
 * the others. So a backend that disappears leaves its sources to the others by their weights, and nothing else moves.
 * The order of backends does not matter, and no table has to be rebuilt. Logarithms are integers, so every machine gets
 * the same result. Numbers are drawn for BALANCE_LANES backends at a time, and only the likely winner needs a
 * logarithm.
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

/* Four 32-bit numbers, in the vector registers of every x86-64 and ARMv8. Any alignment. */
typedef uint32_t balance_words __attribute__((vector_size(16), aligned(4)));
typedef int32_t balance_ranks __attribute__((vector_size(16), aligned(4)));
typedef float balance_floats __attribute__((vector_size(16), aligned(4)));

/* The data of BALANCE_LANES targets that hashing reads. */
struct balance_lanes {
	balance_words low, high; /* of the key */
	balance_floats inverse;	 /* 1 / weight */
	balance_ranks never;	 /* INT32_MAX: beyond the last target */
};

/* The backends of one forward. Everything is borrowed. */
struct balance_set {
	const struct balance_target *targets;
	const struct balance_lanes *lanes; /* balance_lanes_count(n) */
	const uint8_t *closed;		   /* n bytes, and up to BALANCE_LANES - 1 readable ones behind them */
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
/* Converts `n` targets into balance_lanes_count(n) elements of *out. */
void balance_lanes_make(struct balance_lanes *out, const struct balance_target *t, uint32_t n);

/* The place of the chosen target, whose byte in `closed` is 0; BALANCE_NONE: there is none. */
int32_t balance_hash(const struct balance_scale *s, const struct balance_set *b, uint32_t source);
/* The target with the fewest sessions for its weight; of equal ones the first after a place that depends on the
 * source. */
int32_t balance_least(const struct balance_set *b, const uint32_t *sessions, uint32_t source);
int32_t balance_random(const struct balance_set *b, uint64_t random);

#endif
