/* SPDX-License-Identifier: ISC */
/*
 * Builds the ICMP errors that a router owes (RFC 792, 1191, 1812 4.3, 5508 REQ-8 and 10), decides whether one may be
 * sent at all, and limits their rate.
 */
#ifndef NATD_CORE_ICMP_H
#define NATD_CORE_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

enum { ICMP_ERROR_MAX = 576 }; /* bytes, RFC 1812 4.3.2.3 */

enum {
	ICMP_UNREACH = 3,
	ICMP_UNREACH_HOST = 1,
	ICMP_UNREACH_PROTOCOL = 2,
	ICMP_UNREACH_PORT = 3,
	ICMP_UNREACH_NEEDFRAG = 4,
	ICMP_UNREACH_ADMIN = 13,
	ICMP_TIME_EXCEEDED = 11,
};

struct icmp_error {
	uint32_t src; /* the address that natd answers from */
	uint8_t type;
	uint8_t code;
	uint16_t mtu; /* next-hop MTU for 3/4, else 0 */
};

/*
 * May an error about `v` be sent (RFC 1812 4.3.2.7)? Not about an ICMP error (or any ICMP but queries and their
 * replies), a later fragment, broadcast, multicast or class E, nor to a source that cannot be a single host. The caller
 * checks for addresses that are broadcasts only on some interface.
 */
bool icmp_may_answer(const struct pkt_view *v);

/*
 * Builds the error about packet `v`, which must be as its sender sent it, into `out` (at least ICMP_ERROR_MAX bytes):
 * to v->src, DSCP copied from v (RFC 5508 REQ-10d), quoting as much as fits (at most 576 bytes in all), checksums
 * filled in. IP id 0 with DF clear is left for the kernel. Returns the length.
 */
size_t icmp_build(uint8_t *out, const struct pkt_view *v, const struct icmp_error *e);

/*
 * Rate limit: a bucket for each source hash, and a global budget whose refill is randomised, so that it reveals nothing
 * about other sources (CVE-2020-25705). Plain data, zero-initialised; `now_ms` is monotonic, `random` fresh random
 * bits, `source_hash` keyed. A refusal takes nothing.
 */
enum {
	ICMP_LIMIT_BUCKETS = 256,
	ICMP_LIMIT_PER_SOURCE = 10, /* burst, and the same number a second after it */
	ICMP_LIMIT_GLOBAL = 1000,   /* a second on average, given out in tenths that vary by half */
};

struct icmp_limit {
	uint64_t refill_ms;
	uint32_t budget;
	struct {
		uint32_t stamp_ms;
		uint16_t tokens; /* thousandths, at stamp_ms */
		uint16_t used;	 /* 0: the bucket was never used, and counts as full */
	} bucket[ICMP_LIMIT_BUCKETS];
};

bool icmp_limit_take(struct icmp_limit *l, uint64_t source_hash, uint64_t now_ms, uint64_t random);

/*
 * Limits errors that are passed on, for each session (RFC 5508 10): a host that has seen one packet of it could
 * otherwise flood the inside network with errors. Plain data, zero-initialised; `session_hash` keyed.
 */
enum {
	ICMP_PASS_BUCKETS = 1024,
	ICMP_PASS_PER_SESSION = 100, /* in each second; a traceroute of 30 hops, three times a second */
};

struct icmp_pass_limit {
	struct {
		uint32_t second;
		uint32_t passed; /* in that second */
	} bucket[ICMP_PASS_BUCKETS];
};

bool icmp_pass_take(struct icmp_pass_limit *l, uint64_t session, uint32_t now_s); /* session: its table_session_id() */

#endif
