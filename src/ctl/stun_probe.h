/* SPDX-License-Identifier: ISC */
/*
 * What a STUN server sees of one outside address: natctl makes and judges the datagrams, natd sends them (common/ctlstun.h). How a
 * NAT maps and filters is found out as RFC 5780 4.3 and 4.4 say, where the server has a second address.
 */
#ifndef NATD_CTL_STUN_PROBE_H
#define NATD_CTL_STUN_PROBE_H

#include "common/ctlrecord.h"
#include "natctl.h"

enum stun_behaviour { BEHAVIOUR_UNKNOWN, BEHAVIOUR_ENDPOINT, BEHAVIOUR_ADDRESS, BEHAVIOUR_ADDRESS_PORT };

struct stun_findings {
	struct ctl_endpoint own;  /* natd's */
	struct ctl_endpoint seen; /* by the server; 0.0.0.0: it did not answer */
	unsigned error;		  /* its answer was that STUN error; 0: none */
	enum stun_behaviour mapping, filtering;
};

/* Asks for `outside`. NATCTL_DONE, also where the server does not answer; or what went wrong, which has been said. */
int stun_probe(const struct natctl *n, uint32_t outside, const struct ctl_endpoint *server, struct stun_findings *f);

#endif
