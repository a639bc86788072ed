/* SPDX-License-Identifier: ISC */
/*
 * The kernel's objects that managed routing needs, as an ordered list: from the steering table and some facts about the
 * host, without a system call. routing.c puts them in place.
 *
 * Order is safety. The plan is put in place from the first object to the last and taken away from the last to the
 * first, so at no moment does inside traffic leave untranslated: what refuses comes first, forwarding is switched on
 * last.
 *
 *   rule                                          action
 *   fwmark M ipproto icmp                         answers      the kernel's own ICMP about packets that natd sent
 *   iif OUTSIDE from <inside>                     blackhole    spoofed
 *   iif OUTSIDE from <exempt> to <inside>         main         the answers of exempt destinations
 *   iif OUTSIDE to <inside>                       blackhole    inside hosts are not reached directly
 *   iif OUTSIDE ipproto P                         addresses    GRE, ESP, SCTP
 *   to <shared> dport <gap>                       local        at most 4 gaps for each shared address (steering_gaps())
 *   iif OUTSIDE ipproto P                         addresses    TCP, UDP
 *   iif OUTSIDE                                   pool         with a pool
 *   iif INSIDE from <inside>                      addresses    hairpin
 *   (all)                                         local        in place of the rule at preference 0
 *   iif lo                                        pool         with a pool: what the host itself sends there
 *   to <inside>                                   main         not translated
 *   iif INSIDE to <exempt>                        main         not translated
 *   iif INSIDE from <inside>                      translate    where another inside interface has a prefix of its own
 *   iif INSIDE from <inside of another>           blackhole    a guest that plays an inside host of another interface
 *   iif INSIDE                                    translate    other sources too: natd refuses and counts them
 *   iif INSIDE                                    blackhole    should another program empty the tables
 *   iif OUTSIDE                                   blackhole    only if the host did not forward before
 *
 *   table "translate": default by the TUN; unreachable, with the worst metric, should the TUN be gone. The pool's are
 *   blackholes: inside hosts reach it by "addresses", and a source that is not inside must not pass for an outside one
 *   table "addresses": each shared and pool address by the TUN; the pool's unreachable, should the TUN be gone.
 *   table "pool": the pool alone
 *   table "answers": default by the TUN with the TUN's address as source: natd translates what the kernel says about
 *   its packets; unreachable, should the TUN be gone
 *   A shared address then falls back to the host, which stays reachable when natd has died.
 *
 * A rule without a protocol would also hold for the kernel's look-up before it answers ARP for a shared address, which
 * must say "local"; so other protocols than the five never reach natd there, and the core refuses them outbound. ICMP
 * to a shared address stays the host's; natd reads a copy of it.
 *
 * The number of rules does not depend on forwards, sockets and mappings. Without a shared gap that fits (many
 * forwards), the host's packets go to natd, which hands them back through the TUN: the `local` rule is then the first
 * that fits.
 *
 * Where inside.prefixes are given and no interface, INSIDE is left out of the rules, and "iif TUN lookup local" stands
 * before those that steer.
 */
#ifndef NATD_DAEMON_ROUTING_PLAN_H
#define NATD_DAEMON_ROUTING_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/policy.h"
#include "daemon/kernel/netlink.h"
#include "daemon/kernel/sysctl.h"
#include "daemon/steering/steering.h"

enum {
	ROUTING_TABLE = 18600, /* the first natd's table "translate"; then come "addresses", "pool" and "answers" */
	ROUTING_TABLES = 4,
	ROUTING_SLOTS = NETLINK_PROTOCOL_LAST - NETLINK_PROTOCOL + 1, /* natds on one host */
	ROUTING_METRIC = 1,
	ROUTING_METRIC_CLOSED = 65535,
	ROUTING_PROXIES_MAX = 65536,
	ROUTING_GAPS = 4, /* of each shared address */
	/* The limit of rules, gaps included: this base, and more for each inside interface and prefix, and for each
	 * shared address. */
	ROUTING_RULES_BASE = 8,
	ROUTING_RULES_MORE = 4,

	/* Preferences: for each natd six before the `local` rule and six after it. */
	ROUTING_PREF_FIRST = 1,
	ROUTING_PREFS_BEFORE = 6, /* the first is the mark's */
	ROUTING_PREF_LOCAL = ROUTING_PREF_FIRST + ROUTING_PREFS_BEFORE * ROUTING_SLOTS + 1,
	ROUTING_PREFS_BEHIND = 6,
	ROUTING_PREF_LAST = ROUTING_PREF_LOCAL + ROUTING_PREFS_BEHIND * ROUTING_SLOTS,
};

/* The place of one natd of the host: where its objects are. */
struct routing_place {
	uint32_t slot;	  /* below ROUTING_SLOTS: determines preferences and mark */
	uint32_t table;	  /* "translate"; table + 1 is "addresses", + 2 "pool", + 3 "answers" */
	uint8_t protocol; /* the mark of its objects: NETLINK_PROTOCOL + slot */
};

/* The mark of packets that natd sends (SO_MARK): this value and the next ones, by slot. */
#define ROUTING_MARK 0x6e610001u

/* Is it a rule that is removed last? (The refusals after everything else.) */
bool routing_plan_is_last(const struct netlink_rule *r);

/* RFC 7600's IPv4 dummy address, on the TUN with host scope: without any address there the kernel's reverse path
 * filter refuses packets that natd hands back, even in its loose mode. */
#define ROUTING_TUN_ADDRESS 0xc0000008u

enum routing_kind {
	ROUTING_SYSCTL,
	ROUTING_ROUTE,
	ROUTING_RULE,
	ROUTING_LOCAL_MOVE, /* the copy of the `local` rule is added, then the rule at preference 0 is removed */
	ROUTING_PROXY,
};

struct routing_object {
	enum routing_kind kind;
	union {
		struct netlink_rule rule;
		struct {
			uint32_t table;
			struct nat_prefix to;
			uint32_t source;
			bool closed; /* unreachable, with ROUTING_METRIC_CLOSED; else through the TUN */
			bool silent; /* closed, and without an ICMP error */
		} route;
		struct {
			char name[SYSCTL_NAME_SIZE];
			int32_t value;
			bool keep;     /* restored at the end: not for settings that disappear with the TUN */
			bool optional; /* may be missing or refuse */
			bool closes;   /* forwarding of an inside interface: routing_on_stop = "closed" holds it at 0 */
		} sysctl;
		uint32_t proxy;
	};
};

/* Everything is borrowed. Inside prefixes contain no outside address. */
struct routing_input {
	const struct steering *steering;
	struct routing_place place;
	/* without inside interfaces: the interfaces through which the prefixes are reached */
	const char *const *forwarding;
	uint32_t n_forwarding;
	const struct nat_prefix *onlink; /* of the outside interface: pool addresses in these get proxies */
	uint32_t n_onlink;
	int32_t all_rp_filter;	     /* net.ipv4.conf.all.rp_filter */
	bool outside_was_forwarding; /* before natd */
	bool is_steered;	     /* by tc programs: no rules for shared addresses */
};

struct routing_plan {
	struct routing_object *objects;
	uint32_t n_objects;
	uint32_t room;
};

/* Fills *plan (initialize with zero; earlier contents are replaced). False: out of memory. */
bool routing_plan_make(const struct routing_input *in, struct routing_plan *plan);
void routing_plan_fini(struct routing_plan *plan);

#endif
