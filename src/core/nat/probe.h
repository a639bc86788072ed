/* SPDX-License-Identifier: ISC */
/*
 * Sessions of natd's own, by which it sends and receives datagrams from its outside addresses: a socket of the host cannot, since
 * these addresses and ports are translated. Its inside endpoint is NAT_PROBE_ADDRESS with a port of the caller's choice, and
 * its packets take the same way as those of an inside host: what comes back leaves nat_batch() towards that address.
 */
#ifndef NATD_CORE_PROBE_H
#define NATD_CORE_PROBE_H

#include "tap.h"

#define NAT_PROBE_ADDRESS 0xc0000008u /* RFC 7600: of a router without an address of its own */

/* `port` is the inside one and names the mapping, whose outside address is `outside` if it makes a new one. `remote` must be an
 * address outside. */
struct nat_probe {
	uint16_t port;
	uint32_t outside;
	struct nat_endpoint remote;
};

/* Opens the session, unless it is there; past rules and limits. NAT_PASS and *endpoint, its outside one; or why it cannot be. */
enum nat_reason nat_probe_open(struct nat *n, const struct nat_probe *p, uint64_t now_ms,
			       struct nat_endpoint *endpoint);
/* Ends the session with that remote endpoint, whoever opened it. */
void nat_probe_close(struct nat *n, uint16_t port, const struct nat_endpoint *remote, uint64_t now_ms);

#endif
