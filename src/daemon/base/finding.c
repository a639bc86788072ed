/* SPDX-License-Identifier: ISC */
/* Findings: formatting, and passing them to the sink. */
#include "finding.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void finding_sink_init(struct finding_sink *s, finding_fn *report, void *ctx)
{
	s->report = report;
	s->ctx = ctx;
	s->remedy[0] = '\0';
	s->percent = 0;
}

void finding_remedy(struct finding_sink *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->remedy, sizeof(s->remedy), format, ap);
	va_end(ap);
}

void finding_add(struct finding_sink *s, enum finding_severity severity, const char *id, const char *format, ...)
{
	char text[FINDING_TEXT_SIZE];
	const struct finding f = {
		.id = id, .severity = severity, .text = text, .remedy = s->remedy, .percent = s->percent};
	va_list ap;

	assert(finding_id_is_valid(id));
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	s->report(s->ctx, &f);
	s->remedy[0] = '\0';
	s->percent = 0;
}

bool finding_id_is_valid(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= FINDING_ID_MAX && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == len &&
	       id[0] != '-';
}
