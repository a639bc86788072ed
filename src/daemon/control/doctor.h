/* SPDX-License-Identifier: ISC */
/*
 * Looks over host and configuration for everything that keeps natd from its work, and reports it with a remedy.
 * Changes nothing.
 */
#ifndef NATD_DAEMON_DOCTOR_H
#define NATD_DAEMON_DOCTOR_H

#include "daemon/base/finding.h"

struct control;

enum doctor_depth {
	DOCTOR_QUICK, /* what costs a few system calls at most: for the status */
	DOCTOR_FULL,
};

void doctor_run(struct control *c, enum doctor_depth depth, struct finding_sink *sink);

#endif
