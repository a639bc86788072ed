/* SPDX-License-Identifier: ISC */
/*
 * The TCP and UDP ports that the host itself uses. There are two ways: a list of the ports that are open to any remote,
 * for the steering table and for warnings; and the exact answer for one port, when natd is about to allocate it or has
 * an unsolicited packet to it (CVE-2021-3773).
 */
#ifndef NATD_DAEMON_HOSTPORTS_H
#define NATD_DAEMON_HOSTPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/packet/packet.h"
#include "core/policy/policy.h"
#include "daemon/steering/steering.h"
#include "netlink.h"

struct hostports {
	struct steering_ports tcp, udp;
};

/*
 * Lists the ports on which the host accepts packets from any remote (listening TCP, unconnected UDP), bound to any
 * address but loopback, of IPv4 or of IPv6 that accepts IPv4 too. Returns 0, or a negative errno (netlink_error() has
 * the text; -ENOENT: the kernel has no inet_diag); *out is then empty.
 */
int hostports_list(struct netlink *nl, struct hostports *out);
bool hostports_equal(const struct hostports *a, const struct hostports *b);

/*
 * Does the host have a socket that a packet to address:port could reach? Finds out by binding to it for a moment (three
 * system calls), so it is exact for wildcard and specific, IPv4 and IPv6 sockets in every state. Below 1024, where natd
 * may not bind, it lists that one port through `ctx`, a struct netlink. False for classes without ports; true if the
 * kernel gives no answer. A callback for nat_set_port_guard().
 */
bool hostports_in_use(void *ctx, enum nat_class c, uint32_t address, uint16_t port);

/* net.ipv4.ip_local_port_range: the ports of the host's own outgoing connections. False: it cannot be read. */
bool hostports_ephemeral(struct nat_range *out);
/* net.ipv4.ip_local_reserved_ports, which the kernel does not choose for them. False: cannot be read, or written. */
bool hostports_reserved(struct steering_ports *out);
bool hostports_reserve(const struct steering_ports *ports);
/* Does net.ipv4.ip_local_reserved_ports keep the host's outgoing connections away from the whole range? */
bool hostports_is_reserved(const struct nat_range *r);

#endif
