/* SPDX-License-Identifier: ISC */
/*
 * The state of the control room: its own server and rates, and the objects that status, stats and doctor inspect. The
 * latter are borrowed; natd.c sets them, and a reload replaces `setup`.
 */
#ifndef NATD_DAEMON_CONTROL_H
#define NATD_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "alarm.h"
#include "ctlserver.h"
#include "doctor.h"
#include "daemon/offload/offload.h"
#include "daemon/path/path.h"
#include "daemon/persist/persist.h"
#include "daemon/routing/routing.h"
#include "daemon/setup/setup.h"
#include "status.h"

struct health;

struct control {
	struct ctl_backend backend;
	struct ctl_server *server; /* owned; NULL until it is created */
	struct status status;
	struct alarm alarms[ALARM_COUNT];
	struct alarm_watch events_lost;
	struct doctor_memory doctor[DOCTOR_FULL + 1];
	struct findings observed; /* the observer's last list */
	struct findings reported; /* already in log and events */

	struct loop *loop;
	struct netlink *netlink;
	struct nat *nat;
	struct routing *routing;
	const struct setup *setup;
	const struct offload *offload;
	const struct path *path;
	const struct persist *persist;
	const struct health *health; /* NULL: backends are not checked */
	const char *config_path;
	uint64_t config_loaded_s; /* CLOCK_REALTIME */
	uint64_t started_ms;
	uint64_t rule_log_lost; /* by rules_log() */
	bool is_routed;		/* routing is in place, by the last attempt */
};

#endif
