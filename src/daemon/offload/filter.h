/* SPDX-License-Identifier: ISC */
/* Does the host filter packets that it forwards or receives? Packets of the tc programs do not pass such filters. */
#ifndef NATD_DAEMON_OFFLOAD_FILTER_H
#define NATD_DAEMON_OFFLOAD_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/kernel/firewall.h"
#include "daemon/kernel/netlink.h"

enum { FILTER_NAME_SIZE = 2 * FIREWALL_NAME_SIZE + 32 };

/* Start with all zero. */
struct filter {
	int64_t generation; /* of the ruleset that was read; 0: none */
	char name[FILTER_NAME_SIZE];
};

/* Looks for the first chain with rules, or with a policy that drops, at the forward or input hook of IPv4 (nftables,
 * iptables-nft), or the filter table of the older iptables. Stores its name for readers in f->name. False: there is
 * none (""). Reads the ruleset only after it has changed. Needs CAP_NET_ADMIN, and netlink_open_filter(). */
bool filter_find(struct filter *f, struct netlink *nl);

#endif
