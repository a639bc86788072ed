/* SPDX-License-Identifier: ISC */
/* The filter's rules for other code: see rule_view.c for the theory of operation. */
#ifndef NATD_CORE_RULE_VIEW_H
#define NATD_CORE_RULE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "admit.h"
#include "nat.h"

struct rule_view {
	const struct filter_rule *rule; /* until the next nat_reconfigure() */
	uint64_t sessions;		/* that it let in */
	uint64_t refused;		/* openings that it dropped or rejected */
	struct carried traffic;		/* of both; of sessions as of the last complete survey */
};

uint32_t nat_rule_count(const struct nat *n);
/* Begins a survey, if none is running. */
void nat_rule_survey_begin(struct nat *n);
/* Continues it by `budget` sessions. False: none is running (any more). */
bool nat_rule_survey_step(struct nat *n, uint32_t budget);
/* Rule `i`, below the count. */
void nat_rule_view(const struct nat *n, uint32_t i, struct rule_view *v);

/* Takes the next decision to be logged; *name is valid until the next call into the core. False: there are no more. */
bool nat_rule_log_next(struct nat *n, struct filter_log *out, const char **name);
/* Decisions that could not be stored for the log, since the start. */
uint64_t nat_rule_log_lost(const struct nat *n);

#endif
