/* SPDX-License-Identifier: ISC */
/*
 * The daemon's state of the backends of balanced forwards: results of the checks, the administrator's orders, and a
 * file that keeps both over a restart.
 *
 * Theory of operation. The core stores for each backend why it takes no connection (BACKEND_DOWN by its check,
 * BACKEND_DRAINED by natctl). Each change goes through services_close(), which updates core and events; after changes
 * that come together the file is rewritten once. The file lies beside the control socket, with a line for each closed
 * backend; the next natd reads it once its forwards exist. Entries for backends that the configuration no longer has,
 * or no longer checks, are ignored.
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
	struct service_checked *checked;		   /* the list that was sent to it */
	uint32_t n_checked;
	char path[RUNDIR_PATH_MAX]; /* of the file; "": none yet */
};

/* Before natd drops its rights: starts the process that checks. A failure is logged; natd works without it. */
void services_fork(struct natd *n);
/* Once packets can arrive: reads the file, and starts the checks. */
void services_begin(struct natd *n);
/* The configuration has changed. */
void services_follow(struct natd *n);
void services_end(struct natd *n);

/* natctl backend. Returns NULL; or why not, as static text. *changed: it was not so already. */
const char *services_order(struct natd *n, const struct ctl_backend_order *o, bool *changed);

#endif
