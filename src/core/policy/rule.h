/* SPDX-License-Identifier: ISC */
/*
 * The compiled policy: immutable, used by the packet path and by the slow path. Owns copies of everything to which the
 * struct nat_policy pointed, so that a reload is "compile, swap, destroy the old one".
 */
#ifndef NATD_CORE_RULE_H
#define NATD_CORE_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "allocation.h"
#include "balance.h"
#include "filter.h"
#include "policy.h"

struct rules;

/* Deep copy. NULL: out of memory. The caller has validated the policy. */
struct rules *rules_create(const struct nat_policy *p);
void rules_destroy(struct rules *r);

/* The copied policy (borrowed), for all scalar settings. */
const struct nat_policy *rules_policy(const struct rules *r);

/* Do both allow the same sessions: the same addresses, ports, prefixes and forwards, in the same order? */
bool rules_allow_the_same(const struct rules *a, const struct rules *b);

bool rules_is_inside(const struct rules *r, uint32_t address);
bool rules_is_exempt(const struct rules *r, uint32_t address);
bool rules_is_broadcast(const struct rules *r, uint32_t address);

/* The limits of this inside host: its class's, or the general ones. */
const struct nat_host_limits *rules_host_limits(const struct rules *r, uint32_t address);

/* MTU of the inside interface towards `address`; 0: unknown. */
uint16_t rules_inside_mtu(const struct rules *r, uint32_t address);

/* Is `address` one of natd's outside addresses? Ordinal 0..rules_address_count()-1, or -1. O(log n). */
int32_t rules_address_find(const struct rules *r, uint32_t address);
uint32_t rules_address_count(const struct rules *r);
uint32_t rules_address_at(const struct rules *r, uint32_t ordinal); /* 0 beyond the count */
/* Addresses from which natd allocates, all but the static ones: their number, and the ordinal of the k-th. */
uint32_t rules_pool_count(const struct rules *r);
uint32_t rules_pool_ordinal(const struct rules *r, uint32_t k);
/* The other address of a static pair; 0: the address has none. */
uint32_t rules_static_inside(const struct rules *r, uint32_t outside);
uint32_t rules_static_outside(const struct rules *r, uint32_t inside);
/* "": the pair has no name; NULL: not in a pair */
const char *rules_static_name(const struct rules *r, uint32_t outside);
/* Is it used only by forwards, without mappings of natd's choice? */
bool rules_address_is_virtual(const struct rules *r, uint32_t address);
bool rules_address_is_shared(const struct rules *r, uint32_t address);

/* May natd use `port` of `address` for mappings of its own choice (configured ranges, minus every forward's outside
 * ports on that address)? For query ids only the ranges count; CLASS_OTHER has no ports: true. */
bool rules_port_usable(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port);

/* The second half of that question, for a port from rules_port_ranges(): true: natd may not use it. */
bool rules_port_is_forwarded(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port);
/* Are all of these ports forwarded? Also false if too many forwards would have to be checked. */
bool rules_ports_are_forwarded(const struct rules *r, enum nat_class c, uint32_t address,
			       const struct nat_range *ports);

/* The port ranges for an address (shared or pool). */
const struct nat_range *rules_port_ranges(const struct rules *r, uint32_t address, uint32_t *n);

/* The allocation of ports; the cut of an address (enum allocation_cut). */
const struct allocation *rules_allocation(const struct rules *r);
enum allocation_cut rules_address_cut(const struct rules *r, uint32_t address);

/* The functions below are O(log n) in the number of forwards, except for forwards that share one outside endpoint.
 * `port` of CLASS_OTHER is the protocol number, of CLASS_ICMP the query id. */

/*
 * The forward for a packet from `remote` to the external endpoint address:port. Returns the index of the first forward
 * in file order that matches it and allows `remote`; -1: none, or not an outside address; -2: one matches, but its
 * `from` does not list `remote`. On a match *to, *to_port is the inside endpoint; 0: the forward is balanced.
 */
int32_t rules_forward_inbound(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t remote,
			      uint32_t *to, uint16_t *to_port);
/* The same for the default hosts, which get packets that no forward and no mapping matches. */
int32_t rules_forward_default(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t remote,
			      uint32_t *to, uint16_t *to_port);
/* The forward of either kind that leads there, for an existing session. */
int32_t rules_forward_of(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t remote,
			 uint32_t *to, uint16_t *to_port);

/*
 * The forward that leads to inside endpoint address:port, so that packets that this host opens leave from its forwarded
 * port. Index of the first in file order, or -1; *ext_port is its outside port, *ext its configured outside address or
 * 0. Balanced forwards are omitted, since several hosts share their port; so are default hosts and forwarded pings,
 * whose hosts' own ports and ids are drawn.
 */
int32_t rules_forward_outbound(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t *ext,
			       uint16_t *ext_port);

/*
 * Backends of balanced forwards. They are numbered across all forwards: the k-th of forward i has the number
 * rules_backend_base(r, i) + k.
 */
int32_t rules_forward_by_name(const struct rules *r, const char *name); /* -1: there is none */
uint32_t rules_backend_base(const struct rules *r, uint32_t forward);
uint32_t rules_backend_count(const struct rules *r);
/* The backends of one forward; `closed` has a byte for each backend of all forwards, and BALANCE_LANES more bytes. */
struct balance_set rules_backend_set(const struct rules *r, uint32_t forward, const uint8_t *closed);
const struct balance_scale *rules_balance_scale(const struct rules *r);
/* The forward's backend that takes `outside_port` at address:port: its place in the forward, or -1. O(log n). */
int32_t rules_backend_find(const struct rules *r, uint32_t forward, uint32_t address, uint16_t port,
			   uint16_t outside_port);

/* The compiled filter (borrowed); NULL: there are no rules. */
const struct filter *rules_filter(const struct rules *r);

#endif
