/* SPDX-License-Identifier: ISC */
/*
 * Managed routing: keeps the kernel's rules, routes and settings as routing_plan.h says, changes only what differs, and puts
 * everything back. What a crash left behind is recognised by its mark and replaced.
 *
 * Several natds of one network namespace each have a place: a mark, preferences and two tables. A natd holds its place by
 * an abstract socket, which the kernel releases when it dies; the state file remembers which it was.
 */
#ifndef NATD_DAEMON_ROUTING_H
#define NATD_DAEMON_ROUTING_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config/config.h"
#include "daemon/kernel/netlink.h"
#include "daemon/setup/build_policy.h"
#include "daemon/steering/steering.h"

struct routing;

/*
 * `state_path`: where the original settings are kept over a crash (beside the control socket); NULL:
 * nowhere. `nl` is borrowed. Loads that file, changes nothing yet. NULL when memory is short.
 */
struct routing *routing_create(struct netlink *nl, const char *state_path);
/* Frees it; the kernel stays as it is (call routing_restore() first, unless the next natd takes over). NULL: nothing. */
void routing_destroy(struct routing *r);

/*
 * Brings the TUN up (MTU from the configuration or the outside interface) and puts rules, routes, neighbours
 * and settings in place; new before old; a second call with the same input changes nothing. Call it at start,
 * after a reload, and whenever the host may have changed. With routing = "none" it only brings the TUN up, and removes
 * what an earlier managed natd left. `steering` is made from `facts`. 0, or a negative errno: routing_error() has the
 * reason; what was in place stays, and nothing leaks.
 */
int routing_apply(struct routing *r, const struct natd_config *c, const struct host_facts *facts,
		  const struct steering *steering);

/*
 * Removes everything of natd's (in the reverse order) and restores the settings. ROUTING_STOP_CLOSED: an inside
 * interface that forwarded before natd stays at forwarding = 0, and without inside interfaces the refusals by prefix stay;
 * the state file tells the next natd the true originals. Goes on after failures; 0, or the first negative errno. The TUN
 * itself goes when its descriptor is closed.
 */
int routing_restore(struct routing *r, enum routing_stop how);

/* Steering to shared addresses is done by tc programs from the next routing_apply() on: then there are no rules for it. */
void routing_set_steered(struct routing *r, bool by_programs);

/* What failed in the last call: one line, with a remedy. "" after a success. */
const char *routing_error(const struct routing *r);
/* How many objects the last routing_apply() had to change. */
uint32_t routing_changes(const struct routing *r);
/* The mark that natd's sockets give to what they send in transit; 0 before the first routing_apply(). */
uint32_t routing_mark(const struct routing *r);
/* The number of its table "translate"; 0 before the first routing_apply(). */
uint32_t routing_table(const struct routing *r);

#endif
