/* SPDX-License-Identifier: ISC */
/*
 * Managed routing: keeps the kernel's rules, routes and settings in line with routing_plan.h, changes only differences,
 * and restores everything. Objects left by a crash are recognised by their mark and replaced.
 *
 * Several natds of one network namespace each have a place: a mark, preferences and two tables. A natd holds its place
 * by an abstract socket, which the kernel releases when natd dies; the state file records which place it was.
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
 * `state_path`: file for the original settings, which survives a crash (beside the control socket); NULL: none. `nl` is
 * borrowed. Loads that file, and changes nothing yet. NULL: out of memory.
 */
struct routing *routing_create(struct netlink *nl, const char *state_path);
/* Frees it; the kernel stays as it is (call routing_restore() first, unless the next natd takes over). NULL is
 * allowed. */
void routing_destroy(struct routing *r);

/*
 * Brings the TUN up (MTU from the configuration or the outside interface) and applies rules, routes, neighbours and
 * settings; new before old; a second call with the same input changes nothing. Call it at start, after a reload, and
 * whenever the host may have changed. With routing = "none" it only brings the TUN up, and removes objects of an
 * earlier managed natd. `steering` is made from `facts`. Returns 0, or a negative errno: routing_error() has the
 * reason; existing objects stay, and nothing leaks.
 */
int routing_apply(struct routing *r, const struct natd_config *c, const struct host_facts *facts,
		  const struct steering *steering);

/*
 * Removes all of natd's objects (in the reverse order) and restores the settings. ROUTING_STOP_CLOSED: an inside
 * interface that forwarded before natd stays at forwarding = 0, and without inside interfaces the refusals by prefix
 * stay; the state file keeps the true originals for the next natd. Continues after failures; returns 0, or the first
 * negative errno. The TUN itself disappears when its descriptor is closed.
 */
int routing_restore(struct routing *r, enum routing_stop how);

/* From the next routing_apply() on tc programs steer packets to shared addresses: then there are no rules for it. */
void routing_set_steered(struct routing *r, bool by_programs);

/* The error of the last call: one line, with a remedy. "" after a success. */
const char *routing_error(const struct routing *r);
/* The number of objects that the last routing_apply() changed. */
uint32_t routing_changes(const struct routing *r);
/* The mark of packets in transit that natd's sockets send; 0 before the first routing_apply(). */
uint32_t routing_mark(const struct routing *r);
/* The number of its table "translate"; 0 before the first routing_apply(). */
uint32_t routing_table(const struct routing *r);

#endif
