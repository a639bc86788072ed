/* SPDX-License-Identifier: ISC */
/*
 * The filter's rules for other code, with counts of their decisions.
 *
 * Theory of operation. Packets of known sessions are not counted by rule. A rule's traffic is that of the openings that
 * it refused, counted at once, of the ended sessions that name it in their origin, and of the open ones. The last are
 * summed by a survey, one pass over the table in slices that all listings of the time share: a listing begins a survey
 * if none is running, and reads the sums when one is complete. A reload ends a survey, since rules change their
 * numbers.
 */
#include "rule_view.h"

#include <stdlib.h>
#include <string.h>

#include "nat_private.h"

uint32_t nat_rule_count(const struct nat *n)
{
	return n->admission.n_rules;
}

static void add(struct carried *t, uint64_t packets, uint64_t bytes)
{
	t->packets += packets;
	t->bytes += bytes;
}

/* Adds to the rule that let a session in. A rule that is gone has no entry. */
static void add_by_name(struct nat *n, const char *rule, uint64_t packets, uint64_t bytes)
{
	int32_t i = rule[0] != '\0' ? admission_by_name(&n->admission, rule) : FILTER_NONE;

	if (i != FILTER_NONE)
		add(&n->admission.survey[i], packets, bytes);
}

void nat_rule_survey_begin(struct nat *n)
{
	struct admission *a = &n->admission;

	if (a->survey_runs || a->n_rules == 0)
		return;
	memset(a->survey, 0, a->n_rules * sizeof(*a->survey));
	a->survey_cursor = 0;
	a->survey_runs = true;
}

static void finish(struct nat *n)
{
	struct admission *a = &n->admission;
	const struct session_origin *o;
	struct carried ended;
	uint32_t cursor = 0;

	while ((o = table_origin_next(n->table, &cursor, &ended)) != NULL)
		add_by_name(n, o->rule, ended.packets, ended.bytes);
	memcpy(a->sums, a->survey, a->n_rules * sizeof(*a->sums));
	a->survey_runs = false;
}

bool nat_rule_survey_step(struct nat *n, uint32_t budget)
{
	struct admission *a = &n->admission;

	for (uint32_t i = 0; a->survey_runs && i < budget; i++) {
		const struct session *s = table_next(n->table, &a->survey_cursor, budget);
		const struct session_origin *o;

		if (s == NULL && a->survey_cursor == 0)
			finish(n);
		if (s == NULL)
			break;
		o = table_origin_get(n->table, table_session_origin(n->table, s));
		if (o != NULL)
			add_by_name(n, o->rule, s->packets[DIR_OUT] + (uint64_t)s->packets[DIR_IN],
				    s->bytes[DIR_OUT] + s->bytes[DIR_IN]);
	}
	return a->survey_runs;
}

void nat_rule_view(const struct nat *n, uint32_t i, struct rule_view *v)
{
	const struct admission *a = &n->admission;

	*v = (struct rule_view){
		.rule = filter_rule(a->filter, i),
		.sessions = a->counts[i].sessions,
		.refused = a->counts[i].refused,
		.traffic = a->sums[i],
	};
	add(&v->traffic, a->counts[i].packets, a->counts[i].bytes);
}

bool nat_rule_log_next(struct nat *n, struct filter_log *out, const char **name)
{
	struct admission *a = &n->admission;

	if (a->log_taken == a->n_log) {
		a->n_log = a->log_taken = 0;
		return false;
	}
	*out = a->log[a->log_taken++];
	*name = filter_rule(a->filter, out->rule)->name;
	return true;
}

uint64_t nat_rule_log_lost(const struct nat *n)
{
	return n->admission.log_lost;
}
