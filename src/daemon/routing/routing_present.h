/* SPDX-License-Identifier: ISC */
/*
 * The routing objects of one natd that the kernel has now: rules, routes and proxy neighbours with its mark, including
 * those that a crash left; and the position of the `local` rule. The plan is compared with this.
 */
#ifndef NATD_DAEMON_ROUTING_PRESENT_H
#define NATD_DAEMON_ROUTING_PRESENT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/kernel/netlink.h"
#include "routing_plan.h"

struct present_rule {
	struct netlink_rule rule;
	bool is_wanted; /* for the caller: false at first */
};

struct present_proxy {
	int index;
	uint32_t address;
	bool is_wanted;
};

struct present_route {
	struct netlink_route route;
	bool is_wanted;
};

struct routing_present {
	struct routing_place place;
	struct present_rule *rules; /* sorted for routing_present_rule() */
	uint32_t n_rules, rules_room;
	struct present_proxy *proxies; /* sorted for routing_present_proxy() */
	uint32_t n_proxies, proxies_room;
	struct present_route *routes; /* of both tables, sorted for routing_present_route() */
	uint32_t n_routes, routes_room;
	bool has_local_first;	  /* a plain `lookup local` rule at preference 0 */
	uint8_t local_protocol;	  /* the creator of that one */
	bool has_local_copy;	  /* the one at ROUTING_PREF_LOCAL, which natds share */
	bool has_local_elsewhere; /* one at another preference */
	bool has_others;	  /* rules of another natd */
	bool is_short;		  /* memory was short: unusable */
};

/* Reads everything (*p all zero, or an earlier state, which is replaced) for the natd with that mark and tables.
 * Returns 0 or a negative errno. */
int routing_present_read(struct netlink *nl, const struct routing_place *place, struct routing_present *p);
void routing_present_fini(struct routing_present *p);

/* NULL: it does not exist. */
struct present_rule *routing_present_rule(struct routing_present *p, const struct netlink_rule *r);
struct present_proxy *routing_present_proxy(struct routing_present *p, int index, uint32_t address);
struct present_route *routing_present_route(struct routing_present *p, const struct netlink_route *r);

#endif
