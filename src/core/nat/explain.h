/* SPDX-License-Identifier: ISC */
/*
 * The result for a packet that need not exist: the same classification and the same decision as in the packet path,
 * without the commit. Nothing is opened, charged, counted, refreshed or sent. Expired entries may be removed from the
 * table, as before any refusal.
 */
#ifndef NATD_CORE_EXPLAIN_H
#define NATD_CORE_EXPLAIN_H

#include "decide.h"
#include "nat.h"

/* The check that decided about a pass. */
enum explain_end {
	EXPLAIN_PACKET,	   /* its form, or an outside address as source */
	EXPLAIN_SIZE,	   /* TTL, MTU */
	EXPLAIN_ADDRESSES, /* addresses that are never translated */
	EXPLAIN_SESSION,   /* an existing session */
	EXPLAIN_DECISION,  /* decide.h: see decision.stage */
};

/* One direction; a hairpinned packet has two. */
struct explain_pass {
	uint8_t dir;	/* enum nat_dir */
	uint8_t end;	/* enum explain_end */
	uint8_t reason; /* enum nat_reason, if it is refused */
	bool to_host;
	uint64_t session;				 /* id of the existing one; 0: none */
	struct decision decision;			 /* if there is none */
	uint32_t inside, outside, remote;		 /* 0: unknown */
	uint16_t inside_port, outside_port, remote_port; /* outside_port 0 with BASIS_DRAW: drawn at random */
	/* Current use by the inside host of the session, and the reserve. */
	uint32_t sessions, host_sessions, host_ports, reserve;
};

struct explanation {
	uint8_t to;	/* enum nat_to; NAT_NOWHERE: dropped */
	uint8_t reason; /* enum nat_reason */
	bool is_hairpin;
	uint8_t n_passes;
	struct explain_pass pass[2];
};

/* `data`: a whole IPv4 packet of `len` bytes, treated as read from the TUN device; its bytes may change. Fragments
 * and ICMP errors are not explained: DROP_ICMP_TYPE. Costs a few look-ups, and one sweep of 4096 records if
 * something is full. */
void nat_explain(struct nat *n, uint64_t now_ms, uint8_t *data, uint32_t len, struct explanation *x);

#endif
