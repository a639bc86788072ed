/* SPDX-License-Identifier: ISC */
/*
 * Looks over host and configuration for what would keep natd from doing its job, and says how to mend
 * it. Looks only: changes nothing.
 */
#ifndef NATD_DAEMON_DOCTOR_H
#define NATD_DAEMON_DOCTOR_H

struct control;

enum doctor_depth {
	DOCTOR_QUICK, /* what costs a few system calls at most: for the status */
	DOCTOR_FULL,
};

/* One finding: `severity` is an enum ctl_severity; `mend` "" when there is nothing to mend. */
typedef void doctor_say_fn(void *ctx, int severity, const char *what, const char *mend);

void doctor_run(struct control *c, enum doctor_depth depth, doctor_say_fn *say, void *ctx);

#endif
