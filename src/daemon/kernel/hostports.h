/* SPDX-License-Identifier: ISC */
/*
 * Which TCP and UDP ports the host itself uses: what natd must leave alone on an address that it shares
 * (CVE-2021-3773). Two ways, for two moments: a listing of the ports in use within some ranges, for the
 * steering rules; and the exact answer for one port, when natd is about to take it.
 */
#ifndef NATD_DAEMON_HOSTPORTS_H
#define NATD_DAEMON_HOSTPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/packet/packet.h"
#include "core/policy/policy.h"
#include "netlink.h"

enum { HOSTPORTS_MAX = 256 }; /* of one protocol: as many as get a steering rule of their own */

struct hostports {
	struct nat_range tcp[HOSTPORTS_MAX]; /* ascending, disjoint, neighbours merged */
	uint32_t n_tcp;
	struct nat_range udp[HOSTPORTS_MAX];
	uint32_t n_udp;
	bool is_cut; /* more were in use than fit */
};

/*
 * Lists the local ports within `ranges` on which the host has sockets, bound to any address but loopback, of
 * IPv4 or of IPv6 that takes IPv4 as well. Sockets in TIME_WAIT count. 0, or a negative errno (netlink_error()
 * tells; -ENOENT: the kernel has no inet_diag); *out is then empty.
 */
int hostports_list(struct netlink *nl, const struct nat_range *ranges, uint32_t n_ranges, struct hostports *out);
bool hostports_equal(const struct hostports *a, const struct hostports *b);

/*
 * Has the host a socket that a packet to address:port could reach? Asks the kernel by binding to it for a
 * moment (three system calls), so it is exact for wildcard and specific, IPv4 and IPv6 sockets in every state.
 * Below 1024, where natd may not bind, a listing of that one port by `ctx`, a struct netlink, answers.
 * False for classes without ports; true when the kernel gives no answer. Fits nat_set_port_guard().
 */
bool hostports_in_use(void *ctx, enum nat_class c, uint32_t address, uint16_t port);

/* net.ipv4.ip_local_port_range: what the host's own outgoing connections use. False: cannot be read. */
bool hostports_ephemeral(struct nat_range *out);
/* Does net.ipv4.ip_local_reserved_ports keep the host's outgoing connections away from the whole range? */
bool hostports_is_reserved(const struct nat_range *r);

#endif
