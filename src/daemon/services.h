/* SPDX-License-Identifier: ISC */
/*
 * The backends of balanced forwards, as the daemon keeps them: what the checks say, what an administrator wants, and a file
 * that remembers both over a restart.
 *
 * Theory of operation. The core knows for each backend why it takes no connection (BACKEND_DOWN by its check, BACKEND_DRAINED
 * by natctl); each change goes through services_close(), which tells the core, the log, events, and writes the file
 * anew. The file lies beside the control socket, a line for each closed backend; the next natd reads it once its forwards are
 * there. What it names and the configuration has no more, or no longer checks, is left out.
 */
#ifndef NATD_DAEMON_SERVICES_H
#define NATD_DAEMON_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlforward.h"
#include "common/ctlrecord.h"
#include "core/nat/nat.h"
#include "daemon/health/health.h"
#include "daemon/sandbox/rundir.h"

struct natd;
struct seccomp_filter;
struct service_checked;

struct services {
	struct seccomp_filter *filters[HEALTH_PROBER + 1]; /* until the processes are forked */
	struct health *health;				   /* NULL: it could not be started */
	struct service_checked *checked;		   /* the list that it has */
	uint32_t n_checked;
	char path[RUNDIR_PATH_MAX]; /* of the file; "": none yet */
};

/* Before natd gives up its rights: starts the process that checks. What fails is logged; natd works without. */
void services_fork(struct natd *n);
/* Once packets can come: reads the file, and begins to check. */
void services_begin(struct natd *n);
/* The configuration has changed. */
void services_follow(struct natd *n);
void services_end(struct natd *n);

/* natctl backend. NULL; or why not, static text. *changed: it was not so already. */
const char *services_order(struct natd *n, const struct ctl_backend_order *o, bool *changed);

#endif
