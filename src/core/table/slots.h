/* SPDX-License-Identifier: ISC */
/*
 * Numbers 0..size-1, given out lowest first, so that what they number stays dense at the low end and
 * the high end can be given back to the system. Four levels of 64-bit words: every operation touches
 * at most four words. Costs one bit a number, touched as numbers are used.
 */
#ifndef NATD_CORE_SLOTS_H
#define NATD_CORE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOTS_LEVELS = 4, SLOTS_MAX = 1 << 24 };
#define SLOTS_NONE UINT32_MAX

struct slots { /* read only for others */
	uint64_t
		*level[SLOTS_LEVELS]; /* [0]: one bit a number, set when used; above: set when the word below is full */
	uint32_t words[SLOTS_LEVELS];
	uint32_t size;
	uint32_t count; /* used ones */
	uint32_t top;	/* no used one is at or above it; comes down step by step */
	uint32_t peak;	/* highest top since the owner last set it */
};

/* Bytes of memory for `size` numbers, at most SLOTS_MAX. */
size_t slots_need(uint32_t size);
/* `memory`: slots_need(size) zero bytes, 8-byte aligned; borrowed. */
void slots_init(struct slots *s, void *memory, uint32_t size);

/* The lowest free number, now used; SLOTS_NONE when all are. */
uint32_t slots_take(struct slots *s);
/* Marks a given free number as used. */
void slots_mark(struct slots *s, uint32_t i);
/* Frees a used number. */
void slots_give(struct slots *s, uint32_t i);
/* Lets the top follow the highest used number down, at most 4096 numbers a call. slots_give() does so too. */
void slots_settle(struct slots *s);

static inline bool slots_used(const struct slots *s, uint32_t i)
{
	return i < s->size && (s->level[0][i / 64] >> (i % 64) & 1) != 0;
}

/* The lowest used number in [from, end), or `end`. */
uint32_t slots_next(const struct slots *s, uint32_t from, uint32_t end);

/* NULL, or what is wrong. O(size up to top). */
const char *slots_check(const struct slots *s);

#endif
