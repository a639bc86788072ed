/* SPDX-License-Identifier: ISC */
/*
 * Prefetches memory, so that cache misses overlap. Reads nothing: any address is allowed.
 *
 * The empty asm statement has an effect that no compiler can rule out. Without it GCC considers a function that only
 * prefetches free of effects, and drops every call of it.
 */
#ifndef NATD_CORE_PREFETCH_H
#define NATD_CORE_PREFETCH_H

static inline void prefetch(const void *p)
{
	__builtin_prefetch(p);
	__asm__ volatile("");
}

#endif
