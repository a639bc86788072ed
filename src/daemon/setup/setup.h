/* SPDX-License-Identifier: ISC */
/*
 * A configuration, the state of the host when it was applied, and the policy that results from both: replaced as a unit
 * when either changes.
 */
#ifndef NATD_DAEMON_SETUP_H
#define NATD_DAEMON_SETUP_H

#include <stdbool.h>

#include "daemon/config/config.h"
#include "daemon/kernel/hostports.h"
#include "daemon/kernel/netlink.h"
#include "daemon/steering/steering.h"
#include "build_policy.h"

struct setup {
	const struct natd_config *config; /* borrowed: it outlives the setups made from it */
	struct host_facts facts;
	struct policy_storage storage;
	struct nat_policy policy;  /* borrows from the three above */
	struct hostports ports;	   /* all ports on which the host accepts packets */
	struct steering *steering; /* owned; built from everything above */
	bool is_exact;		   /* see setup_set_exact() */
};

/*
 * Reads the state of the host and builds the policy. NULL with at least one error in the report (which may have
 * warnings in either case).
 */
struct setup *setup_create(struct netlink *nl, const struct natd_config *config, struct config_report *report);
void setup_destroy(struct setup *s); /* NULL is allowed */

/* Call it before the policy is used: do tc programs steer, which treat every protocol alike? */
void setup_set_exact(struct setup *s, bool is_exact);

bool setup_facts_equal(const struct host_facts *a, const struct host_facts *b);

/* Does natd have an outside address that the host uses too? */
bool setup_is_shared(const struct setup *s);

/* Lists the host's ports again: true if they changed, and the steering table with them. If the kernel cannot list
 * them nothing changes. */
bool setup_scan_ports(struct setup *s, struct netlink *nl);

#endif
