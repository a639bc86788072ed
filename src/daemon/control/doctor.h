/* SPDX-License-Identifier: ISC */
/*
 * Checks host and configuration for everything that keeps natd from its work, and reports it with a remedy. Changes
 * nothing.
 */
#ifndef NATD_DAEMON_DOCTOR_H
#define NATD_DAEMON_DOCTOR_H

#include <stdint.h>

#include "daemon/base/findings.h"

struct control;

/* The last run of one depth. */
struct doctor_memory {
	uint64_t second;
	uint32_t runs; /* in that second */
	struct findings last;
};

enum doctor_depth {
	DOCTOR_QUICK, /* checks that cost at most a few system calls: for the status */
	DOCTOR_FULL,
};

/* Of many runs in one second, the later ones report the findings of the last real one. */
void doctor_run(struct control *c, enum doctor_depth depth, struct finding_sink *sink);

/* Runs the quick checks, and reports in log and events which warnings and errors are new, and which are over. Once a
 * second. */
void doctor_report_changes(struct control *c);
/* Frees the findings of earlier runs. */
void doctor_forget(struct control *c);

/*
 * The same without a running natd: reads the configuration, and checks the host as it is now. Returns 0; or a negative
 * errno after at least one finding that explains it.
 */
int doctor_offline(const char *config_path, struct finding_sink *sink);

#endif
