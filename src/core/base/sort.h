/* SPDX-License-Identifier: ISC */
/* Sorting without a library and without a bad case: heap sort, in place, no recursion. */
#ifndef NATD_CORE_SORT_H
#define NATD_CORE_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Ascending. */
void sort_words(uint64_t *a, size_t n);

#endif
