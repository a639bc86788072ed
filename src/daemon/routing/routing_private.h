/* SPDX-License-Identifier: ISC */
/* Shared only by the routing_*.c files. */
#ifndef NATD_DAEMON_ROUTING_PRIVATE_H
#define NATD_DAEMON_ROUTING_PRIVATE_H

#include "routing.h"
#include "routing_plan.h"
#include "routing_present.h"
#include "daemon/kernel/sysctl.h"

struct routing {
	struct netlink *nl;
	char *state_path; /* NULL: none */
	struct sysctl_state state;
	struct routing_present present;
	struct routing_plan plan;
	struct routing_place place;
	bool has_place;
	int claim_fd;	 /* the abstract socket that holds the place; -1: none */
	bool is_steered; /* by tc programs: see routing_set_steered() */
	int tun_index;
	int outside_index; /* 0: missing */
	uint32_t changes;
	char error[384];
};

/* Stores the text of the first failure of a call. Returns `err`. */
int routing_fail(struct routing *r, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A remedy: "" or ": ...". */
const char *routing_hint(int err);

/* Writes the state file, if there is a path for it. */
int routing_state_store(struct routing *r);
/* Remembers the originals of all settings that the plan will change; before any of them does. */
int routing_settings_remember(struct routing *r);
/* Applies one setting of the plan. */
int routing_setting_apply(struct routing *r, const struct routing_object *o);
/* Restores settings that the plan does not want changed (any more), unless another program has changed them since.
 * ROUTING_STOP_CLOSED: forwarding that is marked as closing stays off. */
int routing_settings_restore(struct routing *r, enum routing_stop how);

/* Keeps the kernel from choosing these ports for the host's own connections, and no longer those that an earlier call
 * named. */
int routing_reserve(struct routing *r, const struct steering_ports *wanted);
int routing_unreserve(struct routing *r);

/* Takes a place among the natds of this network namespace, at the first call; later calls only follow `table` (0:
 * chosen by natd). */
int routing_place_take(struct routing *r, uint32_t table);
void routing_place_release(struct routing *r);

#endif
