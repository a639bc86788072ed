/* SPDX-License-Identifier: ISC */
#include "sort.h"

static void sift_down(uint64_t *a, size_t root, size_t n)
{
	for (size_t child; (child = 2 * root + 1) < n; root = child) {
		uint64_t held = a[root];

		if (child + 1 < n && a[child] < a[child + 1])
			child++;
		if (held >= a[child])
			return;
		a[root] = a[child];
		a[child] = held;
	}
}

void sort_words(uint64_t *a, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(a, i, n);
	for (size_t i = n; i-- > 1;) {
		uint64_t top = a[0];

		a[0] = a[i];
		a[i] = top;
		sift_down(a, 0, i);
	}
}
