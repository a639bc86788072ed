/* SPDX-License-Identifier: ISC */
/*
 * What the host looks like now, for policy_build(): the addresses and MTUs of the interfaces that the
 * configuration names, as netlink tells them.
 */
#ifndef NATD_DAEMON_FACTS_H
#define NATD_DAEMON_FACTS_H

#include "daemon/kernel/netlink.h"
#include "build_policy.h"

/*
 * Fills *out for the interfaces of `c`; for facts_fini(). An interface that is not there is no failure:
 * `exists` is false. 0 or a negative errno (netlink_error() tells the rest; -ENOMEM); there is nothing to
 * free then.
 */
int facts_read(struct netlink *nl, const struct natd_config *c, struct host_facts *out);
void facts_fini(struct host_facts *f); /* leaves it all zero */

#endif
