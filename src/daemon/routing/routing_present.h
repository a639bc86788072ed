/* SPDX-License-Identifier: ISC */
/*
 * What of natd's is in the kernel's routing now: rules, routes and proxy neighbours with our mark, whoever
 * left them there; and where the `local` rule is. A picture to compare the plan with.
 */
#ifndef NATD_DAEMON_ROUTING_PRESENT_H
#define NATD_DAEMON_ROUTING_PRESENT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/kernel/netlink.h"

struct present_rule {
	struct netlink_rule rule;
	bool is_wanted; /* for the caller: false at first */
};

struct present_proxy {
	int index;
	uint32_t address;
	bool is_wanted;
};

enum { PRESENT_ROUTES_MAX = 64 }; /* there are two, as a rule */

struct routing_present {
	struct present_rule *rules; /* sorted for routing_present_rule() */
	uint32_t n_rules, rules_room;
	struct present_proxy *proxies; /* sorted for routing_present_proxy() */
	uint32_t n_proxies, proxies_room;
	struct netlink_route routes[PRESENT_ROUTES_MAX]; /* of ROUTING_TABLE */
	uint32_t n_routes;
	bool has_local_first;	  /* a plain `lookup local` rule at preference 0 */
	uint8_t local_protocol;	  /* who made that one */
	bool has_local_elsewhere; /* one that is not ours at another preference */
	bool is_short;		  /* memory was short: not usable */
};

/* Reads it all (*p all zero, or a former picture, which is replaced). 0 or a negative errno. */
int routing_present_read(struct netlink *nl, struct routing_present *p);
void routing_present_fini(struct routing_present *p);

/* NULL: not there. */
struct present_rule *routing_present_rule(struct routing_present *p, const struct netlink_rule *r);
struct present_proxy *routing_present_proxy(struct routing_present *p, int index, uint32_t address);
bool routing_present_route(const struct routing_present *p, const struct netlink_route *r);

#endif
