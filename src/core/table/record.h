/* SPDX-License-Identifier: ISC */
/*
 * Checks whether saved records are whole, for memory that something other than this program has changed.
 *
 * A session has a check of 16 bits over everything that its opening fixes: endpoints, slot of the outside address,
 * class, origin, forward or not. Each 16-bit word enters it through a bijection of its own. So any change of one
 * aligned word, or of the check, is always found; of other damage one in 2^16 is missed. The check also shows whether
 * the record is in use: a state that appears in a closed record does not revive it. Fields that change with packets
 * (state, times, counters, windows) are not covered, nor are creation time and generation: none of them decides where a
 * packet goes, and a session is worth more than its age.
 *
 * A used address slot stores its address a second time, inverted. So does each of the header's tops.
 */
#ifndef NATD_CORE_RECORD_H
#define NATD_CORE_RECORD_H

#include <string.h>

#include "table.h"

enum {
	RECORD_KIND = SESSION_KIND_CLASS | SESSION_KIND_FROM_OUTSIDE | SESSION_KIND_FORWARD,
	RECORD_KIND_SPREAD = 0x0101, /* to both bytes: two places for each of these bits */
	RECORD_CLOSED = 0x3c3c,	     /* none of these bits, so that no kind makes a closed record look open */
	RECORD_BLANK = 0x5aa5,	     /* an all-zero record is invalid */
};

typedef uint16_t record_words __attribute__((vector_size(16)));

_Static_assert(offsetof(struct session, kind) == sizeof(record_words), "endpoints and slot: the first eight words");

/* The check of this record while it is open. Shifts down and products with odd numbers: each lane is a bijection,
 * and the lanes differ, so two equal changes do not cancel. */
static inline uint16_t record_check(const struct session *s)
{
	const record_words first = {0x9e35, 0x85eb, 0xc2b3, 0x27d5, 0x1657, 0xca6d, 0x6c8f, 0xd1b1};
	const record_words second = {0xb4a3, 0x7feb, 0x846d, 0xa3c9, 0x5bd1, 0x91e7, 0xe993, 0x3d4d};
	unsigned kind = s->kind & (unsigned)RECORD_KIND;
	record_words w;
	uint64_t half[2];

	memcpy(&w, s, sizeof(w));
	w ^= w >> 8;
	w *= first;
	w ^= w >> 7;
	w *= second;
	memcpy(half, &w, sizeof(half));
	half[0] ^= half[1];
	half[0] ^= half[0] >> 32;
	half[0] ^= half[0] >> 16;
	return (uint16_t)(half[0] ^ kind * RECORD_KIND_SPREAD ^ RECORD_BLANK);
}

/* The check of this record when free; wrong for every open one with these endpoints. */
static inline uint16_t record_check_closed(const struct session *s)
{
	return record_check(s) ^ RECORD_CLOSED;
}

/* ---- address slots ---- */

enum { ADDRESS_FREE = 0 };

/* The state of a used slot. ADDRESS_FREE would be that of the broadcast address, which is never used. */
static inline uint32_t record_address_state(uint32_t address)
{
	return ~address;
}

/* ---- tops ---- */

static inline uint64_t record_top(uint32_t n)
{
	return (uint64_t)~n << 32 | n;
}

static inline bool record_top_is_whole(uint64_t top, uint32_t most)
{
	return top == record_top((uint32_t)top) && (uint32_t)top <= most;
}

/* One store, so that it is never half written. */
static inline void record_top_set(uint64_t *top, uint32_t n)
{
	__atomic_store_n(top, record_top(n), __ATOMIC_RELAXED);
}

static inline void record_top_raise(uint64_t *top, uint32_t n)
{
	if (n > (uint32_t)*top)
		record_top_set(top, n);
}

#endif
