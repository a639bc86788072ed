/* SPDX-License-Identifier: ISC */
/* A list of findings, see findings.h. */
#include "findings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(struct findings *f)
{
	struct kept_finding *grown;

	if (f->n < f->room)
		return true;
	grown = realloc(f->list, (f->room + 16) * sizeof(*grown));
	if (!grown)
		return false;
	f->list = grown;
	f->room += 16;
	return true;
}

static void keep(void *ctx, const struct finding *in)
{
	struct findings *f = ctx;
	struct kept_finding k = {.severity = in->severity,
				 .percent = in->percent,
				 .text = strdup(in->text),
				 .remedy = strdup(in->remedy)};

	snprintf(k.id, sizeof(k.id), "%s", in->id);
	if (k.text && k.remedy && make_room(f)) {
		f->list[f->n++] = k;
		return;
	}
	f->is_short = true;
	free(k.text);
	free(k.remedy);
}

void findings_sink(struct findings *f, struct finding_sink *out)
{
	finding_sink_init(out, keep, f);
}

void findings_clear(struct findings *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		free(f->list[i].text);
		free(f->list[i].remedy);
	}
	f->n = 0;
	f->is_short = false;
}

void findings_fini(struct findings *f)
{
	findings_clear(f);
	free(f->list);
	memset(f, 0, sizeof(*f));
}

void findings_swap(struct findings *a, struct findings *b)
{
	struct findings c = *a;

	*a = *b;
	*b = c;
}

static struct finding view(const struct kept_finding *k)
{
	return (struct finding){
		.id = k->id, .severity = k->severity, .text = k->text, .remedy = k->remedy, .percent = k->percent};
}

void findings_replay(const struct findings *f, enum finding_severity least, struct finding_sink *out)
{
	for (uint32_t i = 0; i < f->n; i++) {
		struct finding one = view(&f->list[i]);

		if (one.severity >= least)
			out->report(out->ctx, &one);
	}
}

static bool has(const struct findings *f, const struct kept_finding *k)
{
	for (uint32_t i = 0; i < f->n; i++) {
		if (strcmp(f->list[i].id, k->id) == 0 && strcmp(f->list[i].text, k->text) == 0)
			return true;
	}
	return false;
}

void findings_difference(const struct findings *in, const struct findings *without, finding_fn *fn, void *ctx)
{
	for (uint32_t i = 0; i < in->n; i++) {
		struct finding one = view(&in->list[i]);

		if (!has(without, &in->list[i]))
			fn(ctx, &one);
	}
}
