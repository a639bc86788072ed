/* SPDX-License-Identifier: ISC */
/*
 * Managed routing: makes the kernel look as routing_plan.h says, changes only what differs, and puts back
 * everything as it was. What a crash left behind is known by its mark (protocol 214) and replaced.
 */
#ifndef NATD_DAEMON_ROUTING_H
#define NATD_DAEMON_ROUTING_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config/config.h"
#include "daemon/kernel/hostports.h"
#include "daemon/kernel/netlink.h"
#include "daemon/setup/build_policy.h"

struct routing;

/*
 * `state_path`: where the original settings are kept over a crash (beside the control socket); NULL:
 * nowhere. `nl` is borrowed. Loads that file, changes nothing yet. NULL when memory is short.
 */
struct routing *routing_create(struct netlink *nl, const char *state_path);
/* Frees it; the kernel stays as it is (routing_restore() first, unless a next natd takes over). NULL: nothing. */
void routing_destroy(struct routing *r);

/*
 * Brings the TUN up (MTU from the configuration or the outside interface) and puts rules, routes, neighbours
 * and settings in place; new before old; a second call with the same input changes nothing. Call it at start,
 * after a reload, and when netlink_events_read() reports something. With routing = "none" it only brings the
 * TUN up, and takes away what an earlier managed natd left. `policy` as made by policy_build() from `facts`;
 * `ports` may be NULL. 0, or a negative errno: routing_error() tells what; what was in place is still there,
 * and nothing leaks.
 */
int routing_apply(struct routing *r, const struct natd_config *c, const struct host_facts *facts,
		  const struct nat_policy *policy, const struct hostports *ports);

/* Takes everything of natd's away (in the reverse order) and restores the settings. Goes on after failures;
 * 0, or the first negative errno. The TUN itself goes when its descriptor is closed. */
int routing_restore(struct routing *r);

/* What failed in the last call: one line, with a hint how to mend it. "" after a success. */
const char *routing_error(const struct routing *r);
/* How many objects the last routing_apply() had to change. */
uint32_t routing_changes(const struct routing *r);

#endif
