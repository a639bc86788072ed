/* SPDX-License-Identifier: ISC */
/* Lowest-first allocation of numbers. See slots.h. */
#include "slots.h"

enum { TOP_STEP = 64 }; /* words looked at when the top comes down */

static uint32_t words_for(uint32_t n)
{
	return (n + 63) / 64;
}

size_t slots_need(uint32_t size)
{
	size_t words = 0;

	for (int k = 0; k < SLOTS_LEVELS; k++) {
		size = words_for(size);
		words += size;
	}
	return words * sizeof(uint64_t);
}

void slots_init(struct slots *s, void *memory, uint32_t size)
{
	uint64_t *word = memory;
	uint32_t n = size;

	for (int k = 0; k < SLOTS_LEVELS; k++) {
		n = words_for(n);
		s->level[k] = word;
		s->words[k] = n;
		word += n;
	}
	s->size = size;
	s->count = 0;
	s->top = 0;
	s->peak = 0;
}

void slots_mark(struct slots *s, uint32_t i)
{
	s->count++;
	if (i >= s->top)
		s->top = i + 1;
	if (s->peak < s->top)
		s->peak = s->top;
	for (int k = 0; k < SLOTS_LEVELS; k++) {
		uint64_t *word = &s->level[k][i / 64];

		*word |= 1ull << (i % 64);
		if (*word != UINT64_MAX)
			return;
		i /= 64;
	}
}

uint32_t slots_take(struct slots *s)
{
	uint32_t i = 0;

	for (int k = SLOTS_LEVELS - 1; k >= 0; k--) {
		uint64_t free_bits;

		if (i >= s->words[k])
			return SLOTS_NONE;
		free_bits = ~s->level[k][i];
		if (free_bits == 0)
			return SLOTS_NONE;
		i = i * 64 + (uint32_t)__builtin_ctzll(free_bits);
	}
	if (i >= s->size)
		return SLOTS_NONE;
	slots_mark(s, i);
	return i;
}

void slots_settle(struct slots *s)
{
	for (int step = 0; step < TOP_STEP && s->top > 0; step++) {
		uint32_t w = (s->top - 1) / 64;
		uint32_t upto = (s->top - 1) % 64;
		uint64_t used = s->level[0][w] & (UINT64_MAX >> (63 - upto));

		if (used != 0) {
			s->top = w * 64 + 64 - (uint32_t)__builtin_clzll(used);
			return;
		}
		s->top = w * 64;
	}
}

void slots_give(struct slots *s, uint32_t i)
{
	bool full = true;

	s->count--;
	for (int k = 0; k < SLOTS_LEVELS && full; k++) {
		uint64_t *word = &s->level[k][i / 64];

		full = *word == UINT64_MAX;
		*word &= ~(1ull << (i % 64));
		i /= 64;
	}
	slots_settle(s);
}

uint32_t slots_next(const struct slots *s, uint32_t from, uint32_t end)
{
	uint32_t last = end < s->size ? end : s->size;

	while (from < last) {
		uint64_t used = s->level[0][from / 64] >> (from % 64);

		if (used != 0) {
			from += (uint32_t)__builtin_ctzll(used);
			return from < last ? from : end;
		}
		from = (from / 64 + 1) * 64;
	}
	return end;
}

const char *slots_check(const struct slots *s)
{
	uint32_t count = 0;

	if (s->top > s->size)
		return "slots: top beyond size";
	for (uint32_t w = 0; w < s->words[0]; w++) {
		uint64_t bits = s->level[0][w];
		uint32_t i = w;

		if (w >= words_for(s->top))
			break;
		count += (uint32_t)__builtin_popcountll(bits);
		if (bits != 0 && w * 64 + 63 - (uint32_t)__builtin_clzll(bits) >= s->top)
			return "slots: used number at or above the top";
		for (int k = 1; k < SLOTS_LEVELS; k++) {
			bool full = s->level[k - 1][i] == UINT64_MAX;

			if ((s->level[k][i / 64] >> (i % 64) & 1) != full)
				return "slots: levels disagree";
			i /= 64;
		}
	}
	return count == s->count ? NULL : "slots: count disagrees";
}
