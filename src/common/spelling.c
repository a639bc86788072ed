/* SPDX-License-Identifier: ISC */
/* Edit distance over three rows of the table, and the best of several words. */
#include "spelling.h"

#include <string.h>

enum { WORD_MAX = 63 };

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* One row of the table of distances: between the first i letters of `a` and every prefix of `b`. */
static void distance_row(const char *a, const char *b, uint32_t i, uint32_t rows[3][WORD_MAX + 1])
{
	const uint32_t *before = rows[(i + 2) % 3];
	const uint32_t *before_that = rows[(i + 1) % 3];
	uint32_t *row = rows[i % 3];

	row[0] = i;
	for (uint32_t j = 1; b[j - 1]; j++) {
		row[j] = least(before[j], row[j - 1]) + 1;
		row[j] = least(row[j], before[j - 1] + (a[i - 1] != b[j - 1]));
		if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
			row[j] = least(row[j], before_that[j - 2] + 1);
	}
}

uint32_t spelling_distance(const char *a, const char *b)
{
	uint32_t rows[3][WORD_MAX + 1];
	uint32_t n = (uint32_t)strnlen(a, WORD_MAX + 1);
	uint32_t m = (uint32_t)strnlen(b, WORD_MAX + 1);

	if (n > WORD_MAX || m > WORD_MAX)
		return UINT32_MAX;
	memset(rows, 0, sizeof(rows));
	for (uint32_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (uint32_t i = 1; i <= n; i++)
		distance_row(a, b, i, rows);
	return rows[n % 3][m];
}

void spelling_try(struct spelling *s, const char *word)
{
	uint32_t d = spelling_distance(s->wanted, word);

	if (s->nearest && d >= s->distance)
		return;
	s->distance = d;
	s->nearest = word;
}

/* One mistake is always plausible; longer words may have more. */
const char *spelling_found(const struct spelling *s)
{
	return s->nearest && s->distance <= 1 + strlen(s->wanted) / 3 ? s->nearest : NULL;
}
