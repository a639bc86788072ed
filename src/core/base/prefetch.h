/* SPDX-License-Identifier: ISC */
/*
 * Asking for memory before it is read, so that cache misses overlap. Reads nothing: any address will do.
 *
 * The empty statement has an effect that no compiler can rule out. Without it GCC takes a function that does nothing but
 * ask for a function without effects, and drops every call of it.
 */
#ifndef NATD_CORE_PREFETCH_H
#define NATD_CORE_PREFETCH_H

static inline void prefetch(const void *p)
{
	__builtin_prefetch(p);
	__asm__ volatile("");
}

#endif
