/* SPDX-License-Identifier: ISC */
/*
 * Numbers 0..size-1, given out lowest first, so that the numbered objects stay dense at the low end and the memory of
 * the high end can be released. Four levels of 64-bit words: every operation touches at most four words. Costs one bit
 * a number, touched as numbers are used.
 */
#ifndef NATD_CORE_SLOTS_H
#define NATD_CORE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOTS_LEVELS = 4, SLOTS_MAX = 1 << 24 };
#define SLOTS_NONE UINT32_MAX

struct slots {			       /* read only for other code */
	uint64_t *level[SLOTS_LEVELS]; /* [0]: one bit a number, set if used; above: set if the word below is full */
	uint32_t words[SLOTS_LEVELS];
	uint32_t size;
	uint32_t count; /* used ones */
	uint32_t top;	/* all used ones are below it; comes down step by step */
	uint32_t peak;	/* highest top since the owner last reset it */
};

/* Bytes of memory for `size` numbers, at most SLOTS_MAX. */
size_t slots_need(uint32_t size);
/* `memory`: slots_need(size) zero bytes, 8-byte aligned, borrowed. */
void slots_init(struct slots *s, void *memory, uint32_t size);

/* Takes the lowest free number; SLOTS_NONE: all are used. */
uint32_t slots_take(struct slots *s);
/* Marks a given free number as used. */
void slots_mark(struct slots *s, uint32_t i);
/* Frees a used number. */
void slots_give(struct slots *s, uint32_t i);
/* Lowers the top towards the highest used number, by at most 4096 numbers a call. slots_give() does so too. */
void slots_settle(struct slots *s);

static inline bool slots_used(const struct slots *s, uint32_t i)
{
	return i < s->size && (s->level[0][i / 64] >> (i % 64) & 1) != 0;
}

/* The lowest used number in [from, end), or `end`. */
uint32_t slots_next(const struct slots *s, uint32_t from, uint32_t end);

/* Returns NULL, or what is wrong. O(size up to top). */
const char *slots_check(const struct slots *s);

#endif
