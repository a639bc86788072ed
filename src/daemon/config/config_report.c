/* SPDX-License-Identifier: ISC */
/* The list of problems of one load. If memory is short a problem is only counted. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"

enum { TEXT_MAX = 512 };

/* Makes room for one more, by doubling; false: out of memory. */
static bool make_room(struct config_report *r)
{
	uint32_t n = r->n_problems;
	struct config_problem *more;

	if (n >= CONFIG_PROBLEMS_MAX)
		return false;
	if (n & (n - 1)) /* not a power of two yet: there is room */
		return true;
	more = realloc(r->problems, (n ? 2 * (size_t)n : 1) * sizeof(*more));
	if (!more)
		return false;
	r->problems = more;
	return true;
}

static bool store_problem(struct config_report *r, const char *file, uint32_t line, const char *text)
{
	struct config_problem *p;

	if (!make_room(r))
		return false;
	p = &r->problems[r->n_problems];
	*p = (struct config_problem){.file = strdup(file), .line = line, .text = strdup(text)};
	if (!p->file || !p->text) {
		free(p->file);
		free(p->text);
		return false;
	}
	r->n_problems++;
	return true;
}

static void add(struct config_report *r, enum config_severity severity, const char *file, uint32_t line,
		const char *text)
{
	char escaped[TEXT_MAX];

	log_escape(escaped, sizeof(escaped), text);
	if (severity == CONFIG_ERROR)
		r->n_errors++;
	if (!store_problem(r, file, line, escaped)) {
		r->n_lost++;
		return;
	}
	r->problems[r->n_problems - 1].is_warning = severity == CONFIG_WARNING;
}

void config_report_add(struct config_report *r, enum config_severity severity, const char *file, uint32_t line,
		       const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	add(r, severity, file, line, text);
}

void loader_error(struct config_loader *l, uint32_t line, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	add(l->report, CONFIG_ERROR, l->file, line, text);
}

void loader_warning(struct config_loader *l, uint32_t line, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	add(l->report, CONFIG_WARNING, l->file, line, text);
}

void *loader_alloc(struct config_loader *l, size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		loader_error(l, 0, "out of memory");
	return p;
}

int config_problem_text(const struct config_problem *p, char *out, size_t size)
{
	const char *mark = p->is_warning ? "warning: " : "";

	if (p->line == 0)
		return snprintf(out, size, "%s: %s%s", p->file, mark, p->text);
	return snprintf(out, size, "%s:%u: %s%s", p->file, p->line, mark, p->text);
}

void config_report_print(const struct config_report *r, FILE *out)
{
	char text[2 * TEXT_MAX];

	for (uint32_t i = 0; i < r->n_problems; i++) {
		config_problem_text(&r->problems[i], text, sizeof(text));
		fprintf(out, "%s\n", text);
	}
	if (r->n_lost > 0)
		fprintf(out, "natd: %u more problems are not shown\n", r->n_lost);
}

void config_report_log(const struct config_report *r)
{
	char text[2 * TEXT_MAX];

	for (uint32_t i = 0; i < r->n_problems; i++) {
		config_problem_text(&r->problems[i], text, sizeof(text));
		log_plain(r->problems[i].is_warning ? LEVEL_WARNING : LEVEL_ERROR, SUB_CONFIG, text);
	}
	if (r->n_lost == 0)
		return;
	snprintf(text, sizeof(text), "natd: %u more problems are not shown", r->n_lost);
	log_plain(LEVEL_ERROR, SUB_CONFIG, text);
}

/* Sorts by line, keeping the order of discovery within a line: an insertion sort, for at most CONFIG_PROBLEMS_MAX of
 * them. */
void config_report_sort(struct config_report *r)
{
	for (uint32_t i = 1; i < r->n_problems; i++) {
		struct config_problem p = r->problems[i];
		uint32_t j = i;

		for (; j > 0 && r->problems[j - 1].line > p.line; j--)
			r->problems[j] = r->problems[j - 1];
		r->problems[j] = p;
	}
}

void config_report_fini(struct config_report *r)
{
	for (uint32_t i = 0; i < r->n_problems; i++) {
		free(r->problems[i].file);
		free(r->problems[i].text);
	}
	free(r->problems);
	memset(r, 0, sizeof(*r));
}
