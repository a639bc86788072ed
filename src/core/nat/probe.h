/* SPDX-License-Identifier: ISC */
/*
 * Sessions of natd's own, through which it sends and receives datagrams from its outside addresses. A socket of the
 * host cannot, since these addresses and ports are translated. The inside endpoint is NAT_PROBE_ADDRESS with a port
 * that the caller chooses, and its packets are handled like those of an inside host: answers leave nat_batch() towards
 * that address.
 */
#ifndef NATD_CORE_PROBE_H
#define NATD_CORE_PROBE_H

#include "tap.h"

#define NAT_PROBE_ADDRESS 0xc0000008u /* RFC 7600: a router without an address of its own */

/* `port` is the inside one and identifies the mapping; `outside` is the outside address of a new mapping. `remote`
 * must be an address outside. */
struct nat_probe {
	uint16_t port;
	uint32_t outside;
	struct nat_endpoint remote;
};

/* Opens the session, unless it exists; rules and limits do not apply. NAT_PASS and *endpoint, its outside endpoint;
 * or why it is impossible. */
enum nat_reason nat_probe_open(struct nat *n, const struct nat_probe *p, uint64_t now_ms,
			       struct nat_endpoint *endpoint);
/* Ends the session with that remote endpoint, from whichever side it was opened. */
void nat_probe_close(struct nat *n, uint16_t port, const struct nat_endpoint *remote, uint64_t now_ms);

#endif
