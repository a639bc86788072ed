/* SPDX-License-Identifier: ISC */
/*
 * A stored list of findings: the result of one check, to be shown later and compared with the next. Pure.
 *
 * Two findings are equal if id and text are. So a text must not contain values that change all the time (a counter).
 */
#ifndef NATD_DAEMON_FINDINGS_H
#define NATD_DAEMON_FINDINGS_H

#include "finding.h"

struct kept_finding {
	char id[FINDING_ID_MAX + 1];
	enum finding_severity severity;
	uint32_t percent;
	char *text, *remedy; /* owned */
};

/* Initialize with zero. */
struct findings {
	struct kept_finding *list;
	uint32_t n, room;
	bool is_short; /* memory was short: findings are missing */
};

/* Makes `out` a sink that adds findings to the list. */
void findings_sink(struct findings *f, struct finding_sink *out);
void findings_clear(struct findings *f);
void findings_fini(struct findings *f); /* leaves it all zero */
/* Exchanges the two. */
void findings_swap(struct findings *a, struct findings *b);

/* Reports the findings of the list that have at least that severity. */
void findings_replay(const struct findings *f, enum finding_severity least, struct finding_sink *out);
/* Calls `fn` for each finding of `in` that is not in `without`. */
void findings_difference(const struct findings *in, const struct findings *without, finding_fn *fn, void *ctx);

#endif
