/* SPDX-License-Identifier: ISC */
/*
 * The MTUs of the routes of carried sessions, after routes have changed. The tc programs look up the route of each
 * packet, but the answer has no MTU of a route unless that is locked (`ip route ... mtu lock 1400`). So the flow has
 * the MTU (core/nat/flow.h).
 *
 * The loop's thread calls all but measure_ask(), for which it waits.
 */
#ifndef NATD_DAEMON_OFFLOAD_MEASURE_H
#define NATD_DAEMON_OFFLOAD_MEASURE_H

#include <stdint.h>

#include "core/nat/mirror.h"
#include "daemon/kernel/netlink.h"

enum { MEASURE_MOST = 2048 /* sessions a second */ };

struct measured {
	struct mirror_ends ends;
	uint16_t mtu[2]; /* as nat_mirror_mtu_fn */
	bool is_known;
};

struct measure {
	int events_fd;	 /* netlink_route_events_open(); -1: not open */
	unsigned passes; /* still to be made after the one that runs */
	uint32_t at;	 /* where it goes on, for nat_mirror_list(); 0: none runs */
	uint32_t n;
	struct measured *session; /* n; NULL: nothing is to be asked */
};

/* 0 or a negative errno: then route changes are not noticed. */
int measure_open(struct measure *m);
void measure_close(struct measure *m);

/* Something else than a route has changed that leads packets elsewhere. */
void measure_again(struct measure *m);

/* Each second. Takes the next sessions that are to be asked about, if routes have changed: then the two others
 * follow. */
void measure_begin(struct measure *m, struct nat *nat);
/* Asks the kernel, once for each address. */
void measure_ask(struct measure *m, struct netlink *nl);
/* Tells the core the answers. */
void measure_end(struct measure *m, struct nat *nat);

#endif
