/* SPDX-License-Identifier: ISC */
/*
 * A list of findings that is kept: what one look found, to be shown later and compared with the next look. Pure.
 *
 * Two findings are the same when id and text are. So a text must not hold what changes all the time (a counter).
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

/* Start with all zero. */
struct findings {
	struct kept_finding *list;
	uint32_t n, room;
	bool is_short; /* memory was: some are missing */
};

/* Adds what the sink is given to the list. */
void findings_sink(struct findings *f, struct finding_sink *out);
void findings_clear(struct findings *f);
void findings_fini(struct findings *f); /* leaves it all zero */
/* Exchanges the two. */
void findings_swap(struct findings *a, struct findings *b);

/* Reports all of the list, or those of at least that severity. */
void findings_replay(const struct findings *f, enum finding_severity least, struct finding_sink *out);
/* Calls `fn` for each finding of `in` that `without` has not. */
void findings_difference(const struct findings *in, const struct findings *without, finding_fn *fn, void *ctx);

#endif
