/* SPDX-License-Identifier: ISC */
/*
 * What routing is to look like, as an ordered list of objects: from the policy and some facts about the
 * host, without a system call. routing.c makes it so.
 *
 * Order is safety. The plan is put in place from the first object to the last and taken away from the
 * last to the first, so at no moment does inside traffic leave untranslated: what refuses comes first,
 * forwarding is switched on last.
 *
 *   pref  rule
 *   1     iif OUTSIDE from <inside>                -> blackhole   spoofed
 *         iif TUN to <pool>                        -> blackhole   would loop
 *   2     iif OUTSIDE from <exempt> to <inside>    -> main        the answers of exempt destinations
 *   3     iif OUTSIDE to <inside>                  -> blackhole   inside hosts are not reached directly
 *   4     iif X to <shared> ipproto P dport <not natd's> -> local (X: OUTSIDE and each inside interface)
 *   5     iif OUTSIDE to <shared> ipproto P        -> natd        natd's ports, and every fragment
 *         iif INSIDE from <inside> to <shared> ipproto P -> natd  hairpin
 *         iif OUTSIDE to <pool>; iif INSIDE from <inside> to <pool>; iif lo to <pool> -> natd
 *   6     iif INSIDE to <shared> ipproto P         -> blackhole   other sources could play an outside host
 *         iif INSIDE to <pool>                     -> blackhole
 *   7     all                                      -> local       in place of the rule at preference 0
 *   8     iif INSIDE to <inside>, <exempt>         -> main        not translated
 *   9     iif INSIDE                               -> natd
 *   10    iif INSIDE                               -> unreachable (if somebody empties the table)
 *         iif OUTSIDE                              -> blackhole   only if the host did not forward before
 *
 * P is TCP, then UDP. Other protocols to a shared address (GRE, ESP...) stay the host's.
 * Ports in rules lie within 1-65534 (the kernel's limit): 65535 of a shared address always goes by
 * way of natd, which hands it back.
 */
#ifndef NATD_DAEMON_ROUTING_PLAN_H
#define NATD_DAEMON_ROUTING_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/policy.h"
#include "daemon/kernel/netlink.h"
#include "daemon/kernel/sysctl.h"

enum {
	ROUTING_TABLE = 18600, /* our own routing table */
	ROUTING_PREF_FIRST = 1,
	ROUTING_PREF_LOCAL = 7,
	ROUTING_PREF_LAST = 10,
	ROUTING_METRIC = 1,	       /* default dev TUN */
	ROUTING_METRIC_CLOSED = 65535, /* unreachable default */
	ROUTING_PROXIES_MAX = 65536,
};

/* RFC 7600's IPv4 dummy address, on the TUN with host scope: without any address there the kernel's reverse
 * path filter refuses, in its loose mode too, what natd hands back. */
#define ROUTING_TUN_ADDRESS 0xc0000008u

enum routing_kind {
	ROUTING_SYSCTL,
	ROUTING_ROUTE_CLOSED, /* unreachable default in our table */
	ROUTING_ROUTE_TUN,    /* default by way of the TUN in our table */
	ROUTING_RULE,
	ROUTING_LOCAL_MOVE, /* remove the local rule at preference 0 (its copy stands above in the plan) */
	ROUTING_PROXY,
};

struct routing_object {
	enum routing_kind kind;
	union {
		struct netlink_rule rule;
		struct {
			char name[SYSCTL_NAME_SIZE];
			int32_t value;
			bool keep;     /* put back at the end: not for settings that go with the TUN */
			bool optional; /* may be missing or refuse */
		} sysctl;
		uint32_t proxy;
	};
};

/* Everything borrowed. Inside prefixes hold no outside address. */
struct routing_input {
	const char *tun;
	const char *outside;
	const char *const *inside; /* interface names, in order */
	uint32_t n_inside;
	const struct nat_policy *policy; /* inside, exempt, addresses, shared_ports, forwards */
	const bool *exempt_is_outside;	 /* per exempt prefix: the way leaves by `outside`; NULL: none */
	const struct nat_prefix *onlink; /* of the outside interface: pool addresses here get proxies */
	uint32_t n_onlink;
	const struct nat_range *host_tcp; /* ports of the host within shared_ports: ascending, disjoint */
	uint32_t n_host_tcp;
	const struct nat_range *host_udp;
	uint32_t n_host_udp;
	int32_t all_rp_filter;	     /* net.ipv4.conf.all.rp_filter */
	bool outside_was_forwarding; /* before natd */
};

struct routing_plan {
	struct routing_object *objects;
	uint32_t n_objects;
	uint32_t room;
};

/* Fills *plan (start with all zero; a former content is replaced). False when memory is short. */
bool routing_plan_make(const struct routing_input *in, struct routing_plan *plan);
void routing_plan_fini(struct routing_plan *plan);

/*
 * The ports of a shared address that are not natd's, within 1-65534: the complement of (shared_ports without
 * the host's sockets) and the outside ports of that address's forwards of that class. Ascending, disjoint.
 * Returns their number, or -1 when memory is short; `room` n_shared_ports + n_host + n_forwards + 1 is always enough.
 */
int32_t routing_plan_host_ranges(const struct routing_input *in, enum nat_class c, uint32_t address,
				 struct nat_range *out, uint32_t room);

#endif
