/* SPDX-License-Identifier: ISC */
/*
 * Short tables for people: as wide as their cells need, and with libsmartcols no wider than the terminal. Rows are kept
 * until the end, so listings without a bound print rows of their own (output.c).
 */
#ifndef NATD_CTL_SHEET_H
#define NATD_CTL_SHEET_H

#include <stdbool.h>
#include <stdio.h>

enum { SHEET_COLUMNS_MAX = 16 };

struct sheet_column {
	const char *heading;
	bool right; /* numbers */
};

/* `columns` is borrowed. NULL: out of memory. */
struct sheet *sheet_create(const struct sheet_column *columns, unsigned n);
/* Copies the cells, made safe for a terminal. False: out of memory, and the row is lost. */
bool sheet_add(struct sheet *s, const char *const *cells);
void sheet_print(struct sheet *s, FILE *f);
void sheet_destroy(struct sheet *s); /* NULL is allowed */

#endif
