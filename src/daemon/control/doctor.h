/* SPDX-License-Identifier: ISC */
/*
 * Looks over host and configuration for everything that keeps natd from its work, and reports it with a remedy.
 * Changes nothing.
 */
#ifndef NATD_DAEMON_DOCTOR_H
#define NATD_DAEMON_DOCTOR_H

#include <stdint.h>

#include "daemon/base/findings.h"

struct control;

/* Of one depth: the last run. */
struct doctor_memory {
	uint64_t second;
	uint32_t runs; /* in that second */
	struct findings last;
};

enum doctor_depth {
	DOCTOR_QUICK, /* what costs a few system calls at most: for the status */
	DOCTOR_FULL,
};

/* Of many runs in one second, the later ones report what the last one found. */
void doctor_run(struct control *c, enum doctor_depth depth, struct finding_sink *sink);

/* Runs the quick checks, and says in log and events which warnings and errors are new, and which are over. Once a second. */
void doctor_report_changes(struct control *c);
/* Frees what is kept of earlier runs. */
void doctor_forget(struct control *c);

/*
 * The same without a natd that runs: reads the configuration, looks at the host as it is now. 0; or a negative errno after
 * at least one finding that says why.
 */
int doctor_offline(const char *config_path, struct finding_sink *sink);

#endif
