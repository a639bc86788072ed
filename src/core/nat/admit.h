/* SPDX-License-Identifier: ISC */
/*
 * The filter's state: decides about openings, applies the limits by source, counts each rule's decisions.
 *
 * Theory of operation. The compiled filter (core/policy/filter.h) is immutable and belongs to the rules in force. The
 * state that packets change is here: the counters of each rule, the buckets of its limit, and a short list of decisions
 * to be logged, which the daemon fetches. A session that a rule let in names the rule in its origin. So the session's
 * traffic is counted for the rule when it ends, and a listing can add the open sessions.
 *
 * Buckets: a rule's limit is by source address. All rules share FILTER_BUCKETS of them, in sets of four by a keyed
 * hash; a source without a bucket takes the least recently used one of its set. If there are more sources at a time
 * than buckets, sources get more than their limit, never less.
 */
#ifndef NATD_CORE_ADMIT_H
#define NATD_CORE_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/names.h"
#include "core/base/reason.h"
#include "core/policy/filter.h"
#include "core/table/table.h"

enum {
	FILTER_BUCKETS = 4096,
	FILTER_LOG_MAX = 64, /* decisions stored for the daemon, which fetches them each second */
};

struct filter_count {
	uint64_t sessions; /* that it let in */
	uint64_t refused;  /* openings that it dropped or rejected */
	uint64_t packets;  /* in the refused openings; traffic of sessions counts in the sessions */
	uint64_t bytes;
};

struct filter_bucket {
	uint64_t owner; /* rule and source; 0: free */
	uint32_t used_ms;
	uint32_t milli; /* thousandths of an opening, at used_ms */
};

struct filter_log {
	uint32_t rule;
	struct filter_packet packet;
	uint16_t sport;
};

struct admission {
	const struct filter *filter; /* of the rules in force; NULL: no rules */
	struct filter_count *counts; /* of each rule */
	uint32_t n_rules;
	struct names names; /* of the rules */
	/* for rule_view.c: the sums of the running survey, and those of the last complete one */
	struct carried *survey;
	struct carried *sums;
	uint32_t survey_cursor;
	bool survey_runs;
	struct filter_bucket buckets[FILTER_BUCKETS];
	struct filter_log log[FILTER_LOG_MAX];
	uint32_t n_log, log_taken;
	uint64_t log_lost; /* decisions to be logged for which there was no room, since the start */
};

/* Uses this filter, borrowed, NULL for none; rules of the same name keep their counters. False: out of memory, and
 * nothing changed. */
bool admission_use(struct admission *a, const struct filter *f);
void admission_clear(struct admission *a);

/* The rule that decides about `p`; FILTER_NONE: none does. Changes nothing. `key`: for the hash of the buckets. */
int32_t admission_find(const struct admission *a, const struct filter_packet *p, const uint64_t key[2],
		       uint64_t now_ms);
/* The same for an existing session: limits only apply to openings, so a rule with a limit still accepts sessions
 * that it let in. */
int32_t admission_find_session(const struct admission *a, const struct filter_packet *p);

/* `rule` has decided about a packet of `bytes`: takes from its limit, counts, and notes it for the log. */
void admission_charge(struct admission *a, int32_t rule, const struct filter_packet *p, uint16_t sport, uint32_t bytes,
		      const uint64_t key[2], uint64_t now_ms);

/* The rule of that name; FILTER_NONE: there is none. */
int32_t admission_by_name(const struct admission *a, const char *name);

/* The reason for the decision: NAT_PASS, DROP_RULE or DROP_RULE_REJECT. */
enum nat_reason admission_verdict(const struct admission *a, int32_t rule);

#endif
