/* SPDX-License-Identifier: ISC */
/*
 * Findings: the one way to report what is wrong, or right, with host and configuration. Checks fill a sink; doctor,
 * status, reload, start and `natd -t` each have their own. Pure: the sink's function does the output.
 *
 * An id is for scripts: lower case letters, digits and dashes, never renamed, never given a second meaning. The same id
 * may be reported more than once with different texts (two interfaces without an address).
 */
#ifndef NATD_DAEMON_FINDING_H
#define NATD_DAEMON_FINDING_H

#include <stdbool.h>
#include <stdint.h>

enum finding_severity { FINDING_OK, FINDING_WARNING, FINDING_ERROR };

enum { FINDING_TEXT_SIZE = 512, FINDING_ID_MAX = 31 };

/* Strings are valid only during the call of the sink. */
struct finding {
	const char *id;
	enum finding_severity severity;
	const char *text;   /* what was found, and where */
	const char *remedy; /* what to do; "": nothing */
	uint32_t percent;   /* share of a limit in use; 0: not about a limit */
};

typedef void finding_fn(void *ctx, const struct finding *f);

struct finding_sink {
	finding_fn *report;
	void *ctx;
	/* for the next finding; cleared by it */
	char remedy[FINDING_TEXT_SIZE];
	uint32_t percent;
};

void finding_sink_init(struct finding_sink *s, finding_fn *report, void *ctx);

/* Sets the remedy of the next finding; longer ones are cut off. */
void finding_remedy(struct finding_sink *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reports a finding, with the remedy and the percentage set before. */
void finding_add(struct finding_sink *s, enum finding_severity severity, const char *id, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Does `id` have the form described above? */
bool finding_id_is_valid(const char *id);

#endif
