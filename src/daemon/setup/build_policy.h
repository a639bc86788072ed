/* SPDX-License-Identifier: ISC */
/*
 * Builds the core's policy from the configuration and the current state of the host. Pure: the facts are an argument.
 * The policy is built again whenever they change (an address appears or disappears).
 */
#ifndef NATD_DAEMON_POLICY_H
#define NATD_DAEMON_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config/config.h"
#include "core/policy/policy.h"

struct host_address {
	uint32_t address; /* the host's own (IFA_LOCAL), host byte order */
	uint32_t peer;	  /* point-to-point: the other end (IFA_ADDRESS); else equal to `address` */
	uint8_t length;	  /* prefix length, belongs to `peer` */
	bool is_secondary;
};

struct host_interface {
	char name[CONFIG_IFNAME_SIZE]; /* the interface's own, even if the configuration has an alternative name */
	int index;		       /* 0: it does not exist */
	bool exists;
	bool is_up;			      /* IFF_UP and a carrier */
	bool is_l3;			      /* its packets have no link header */
	bool has_neighbours;		      /* link addresses have to be resolved (ARP) */
	uint32_t mtu;			      /* 0: unknown */
	const struct host_address *addresses; /* in the kernel's order, without host-scope ones */
	uint32_t n_addresses;
};

struct host_facts {
	struct host_interface outside;
	const struct host_interface *inside; /* one for each of inside.interfaces, in that order */
	uint32_t n_inside;
	const int
		/* for each of inside.prefixes: index of the interface of the host's route to it; 0: none. NULL if
		 * there are no inside.prefixes */
		*prefix_out;
	uint32_t n_prefix_out;
	struct nat_range ephemeral; /* net.ipv4.ip_local_port_range: the host's own connections; 0-0: not known */
};

/* The arrays to which a policy made by policy_build() points. Initialize with zero. */
struct policy_storage {
	struct nat_prefix *inside;
	struct nat_prefix *broadcast;
	struct nat_address_range *addresses;
	struct nat_range *shared_ports; /* NULL: those of the configuration */
	struct filter_config *filter;	/* NULL: no rules */
	struct filter_list *filter_lists;
	struct filter_rule *filter_rules;
	struct filter_span **filter_spans; /* of each of inside.interfaces */
	uint32_t n_filter_spans;
};

/*
 * Fills *out, which borrows from `c` and from `s` (rules_create() copies everything). The shared address is the first
 * primary address of the outside interface; icmp_source the first address of the inside interfaces. True, perhaps with
 * warnings in the report (an interface is missing or has no address yet: natd runs and translates nothing); false, with
 * errors, if host and configuration contradict each other: *out must not be used then. `s` may hold a previous policy's
 * arrays, which are freed: do not build into a storage still in use.
 */
bool policy_build(const struct natd_config *c, const struct host_facts *facts, struct nat_policy *out,
		  struct policy_storage *s, struct config_report *report);
void policy_storage_fini(struct policy_storage *s);

/* Sets the protocols without ports that are refused on shared addresses: those whose answers the kernel's rules do
 * not bring to natd. `is_exact`: tc programs steer, which bring them all. policy_build() assumes rules. */
void policy_set_refused(const struct natd_config *c, bool is_exact, struct nat_policy *out);

#endif
