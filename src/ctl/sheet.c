/* SPDX-License-Identifier: ISC */
#include "sheet.h"

#include <stdlib.h>
#include <string.h>

#include "client/names.h"
#include "term.h"

struct sheet {
	const struct sheet_column *columns;
	unsigned n_columns;
	size_t n_rows;
	char **cells; /* n_rows * n_columns, row by row */
};

struct sheet *sheet_create(const struct sheet_column *columns, unsigned n)
{
	struct sheet *s = calloc(1, sizeof(*s));

	if (s)
		*s = (struct sheet){.columns = columns, .n_columns = n};
	return s;
}

static char *copy_escaped(const char *text)
{
	char *copy = NULL;
	size_t len;
	FILE *f = open_memstream(&copy, &len);

	if (!f)
		return NULL;
	names_print(f, text);
	if (fclose(f) == 0)
		return copy;
	free(copy);
	return NULL;
}

bool sheet_add(struct sheet *s, const char *const *cells)
{
	char **more = realloc(s->cells, (s->n_rows + 1) * s->n_columns * sizeof(*more));
	char **row;
	unsigned i;

	if (!more)
		return false;
	s->cells = more;
	row = &more[s->n_rows * s->n_columns];
	for (i = 0; i < s->n_columns; i++) {
		row[i] = copy_escaped(cells[i]);
		if (!row[i])
			break;
	}
	if (i == s->n_columns) {
		s->n_rows++;
		return true;
	}
	while (i > 0)
		free(row[--i]);
	return false;
}

/* Without libsmartcols, or a terminal width to fit: columns as wide as their widest cell. */
static void print_plain(const struct sheet *s, FILE *f)
{
	int width[SHEET_COLUMNS_MAX];

	for (unsigned c = 0; c < s->n_columns; c++) {
		size_t widest = strlen(s->columns[c].heading);

		for (size_t r = 0; r < s->n_rows; r++) {
			size_t len = strlen(s->cells[r * s->n_columns + c]);

			widest = len > widest ? len : widest;
		}
		width[c] = (int)widest;
	}
	for (size_t r = 0; r <= s->n_rows; r++) {
		for (unsigned c = 0; c < s->n_columns; c++) {
			const char *cell = r == 0 ? s->columns[c].heading : s->cells[(r - 1) * s->n_columns + c];
			bool last = c + 1 == s->n_columns;

			if (s->columns[c].right)
				fprintf(f, "%*s", width[c], cell);
			else
				fprintf(f, "%-*s", last ? 0 : width[c], cell);
			fputs(last ? "\n" : "  ", f);
		}
	}
}

#ifdef HAVE_SMARTCOLS

#include <libsmartcols/libsmartcols.h>

static bool fill(struct libscols_table *t, const struct sheet *s)
{
	for (unsigned c = 0; c < s->n_columns; c++) {
		int flags = s->columns[c].right ? SCOLS_FL_RIGHT : c + 1 == s->n_columns ? SCOLS_FL_WRAP : 0;

		if (!scols_table_new_column(t, s->columns[c].heading, 0, flags))
			return false;
	}
	for (size_t r = 0; r < s->n_rows; r++) {
		struct libscols_line *line = scols_table_new_line(t, NULL);

		for (unsigned c = 0; line && c < s->n_columns; c++) {
			if (scols_line_set_data(line, c, s->cells[r * s->n_columns + c]) != 0)
				return false;
		}
		if (!line)
			return false;
	}
	return true;
}

/* False: nothing was printed. */
static bool print_fitted(const struct sheet *s, FILE *f)
{
	struct libscols_table *t = s->n_rows > 0 && term_width(f) > 0 ? scols_new_table() : NULL;
	bool ok;

	if (!t)
		return false;
	scols_table_set_stream(t, f);
	scols_table_set_column_separator(t, "  ");
	scols_table_set_termforce(t, SCOLS_TERMFORCE_ALWAYS);
	scols_table_set_termwidth(t, term_width(f));
	ok = fill(t, s) && scols_print_table(t) == 0;
	scols_unref_table(t);
	return ok;
}

#else

static bool print_fitted(const struct sheet *s, FILE *f)
{
	(void)s, (void)f;
	return false;
}

#endif

void sheet_print(struct sheet *s, FILE *f)
{
	if (!print_fitted(s, f))
		print_plain(s, f);
}

void sheet_destroy(struct sheet *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_rows * s->n_columns; i++)
		free(s->cells[i]);
	free(s->cells);
	free(s);
}
