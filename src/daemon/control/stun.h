/* SPDX-License-Identifier: ISC */
/*
 * The request "public-address": natd sends a STUN datagram from one of its outside addresses, and passes on the
 * answers.
 *
 * Theory of operation. The client chooses a number (an inside port) that identifies a mapping of natd's own
 * (core/nat/probe.h). Each request sends one datagram from that mapping and waits for answers for a while; a later
 * request with the same number uses the same mapping. So a client can find out how NATs further out treat it. natd only
 * checks that the datagram is a Binding request, so that nothing else can be sent; the client evaluates the answers. A
 * mapping that no request has used for STUN_LINGER_MS is ended, with every session that natd knows of it.
 */
#ifndef NATD_DAEMON_STUN_H
#define NATD_DAEMON_STUN_H

#include "core/nat/tap.h"
#include "request.h"

enum { STUN_MAPPINGS = 4, STUN_PEERS = 16, STUN_LINGER_MS = 5000 };

struct stun_mapping {
	uint16_t port; /* 0: a free slot */
	uint64_t used_ms;
	uint32_t n_peers;
	struct nat_endpoint peers[STUN_PEERS]; /* remote endpoints of its sessions */
};

/* Zeroed: there are none. */
struct stun {
	struct stun_mapping mappings[STUN_MAPPINGS];
};

/* For the table of requests. */
const char *ctl_object_to_stun(const union ctl_args *args);
void ctl_begin_stun(struct ctl_job *j, const struct ctl_env *env);
void ctl_slice_stun(struct ctl_job *j, const struct ctl_turn *t);

/* Ends mappings that are no longer used. Call it about every second. */
void stun_tick(const struct ctl_env *env, uint64_t now_ms);

#endif
