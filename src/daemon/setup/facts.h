/* SPDX-License-Identifier: ISC */
/*
 * The current state of the host for policy_build(): the addresses and MTUs of the interfaces that the configuration
 * names, read through netlink.
 */
#ifndef NATD_DAEMON_FACTS_H
#define NATD_DAEMON_FACTS_H

#include "daemon/kernel/netlink.h"
#include "build_policy.h"

/*
 * Fills *out for the interfaces of `c`; free it with facts_fini(). A missing interface is no failure: `exists` is
 * false. Returns 0 or a negative errno (netlink_error() has the details; -ENOMEM), with nothing to free.
 */
int facts_read(struct netlink *nl, const struct natd_config *c, struct host_facts *out);
void facts_fini(struct host_facts *f); /* leaves it all zero */

#endif
