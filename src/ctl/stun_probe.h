/* SPDX-License-Identifier: ISC */
/*
 * How a STUN server sees one outside address: natctl builds and evaluates the datagrams, natd sends them
 * (common/ctlstun.h). If the server has a second address, RFC 5780 4.3 and 4.4 find out how a NAT on the way maps and
 * filters.
 */
#ifndef NATD_CTL_STUN_PROBE_H
#define NATD_CTL_STUN_PROBE_H

#include "common/ctlrecord.h"
#include "natctl.h"

enum stun_behaviour { BEHAVIOUR_UNKNOWN, BEHAVIOUR_ENDPOINT, BEHAVIOUR_ADDRESS, BEHAVIOUR_ADDRESS_PORT };

struct stun_findings {
	struct ctl_endpoint own;  /* natd's address */
	struct ctl_endpoint seen; /* as the server saw it; 0.0.0.0: it did not answer */
	unsigned error;		  /* the server's STUN error code; 0: none */
	enum stun_behaviour mapping, filtering;
};

/* Probes `outside`. NATCTL_DONE even if the server does not answer; else the exit code, after printing what went
 * wrong. */
int stun_probe(const struct natctl *n, uint32_t outside, const struct ctl_endpoint *server, struct stun_findings *f);

#endif
