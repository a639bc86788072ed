/* SPDX-License-Identifier: ISC */
/*
 * A NAT on a bench: the whole core over ordinary memory, a virtual clock, packets in and out, and
 * the exact change of every counter.
 *
 *	struct lab *l = lab_new();          defaults of natd.conf(5), one pool address, no port guard
 *	l->policy.filtering = ...;          change what the test is about
 *	lab_start(l);
 *	LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 7);
 *	const struct lab_out *o = lab_one(l, NAT_TO_OUTSIDE);    exactly one packet came out, checksums right
 *	... o->v.src, o->v.sport ...
 *	lab_free(l);
 *
 * Every send checks nat_check(), that nothing with an inside source left for outside, that
 * checksums are right, and that a packet not emitted was counted under exactly one reason.
 */
#ifndef NATD_TESTS_NATLAB_H
#define NATD_TESTS_NATLAB_H

#include "../../src/core/nat/nat.h"
#include "build.h"

#define LAB_A	 BUILD_IP(10, 8, 0, 2) /* inside hosts */
#define LAB_B	 BUILD_IP(10, 8, 0, 3)
#define LAB_C	 BUILD_IP(10, 8, 0, 4)
#define LAB_WEB	 BUILD_IP(10, 8, 0, 10)
#define LAB_GW	 BUILD_IP(10, 8, 0, 1)	   /* natd's inside address: source of its ICMP errors */
#define LAB_EXT	 BUILD_IP(203, 0, 113, 1)  /* the outside address */
#define LAB_EXT2 BUILD_IP(203, 0, 113, 2)  /* not natd's unless a test adds it */
#define LAB_S1	 BUILD_IP(198, 51, 100, 1) /* servers */
#define LAB_S2	 BUILD_IP(198, 51, 100, 2)
#define LAB_S3	 BUILD_IP(198, 51, 100, 3)
#define LAB_R	 BUILD_IP(198, 51, 100, 9) /* a router on the way */

enum { LAB_OUT_MAX = 1100, LAB_FORWARDS = 16, LAB_ADDRESSES = 8, LAB_RANGES = 4 };

struct lab_out {
	uint8_t bytes[BUILD_MAX + 1];
	size_t len;
	uint8_t to; /* enum nat_to */
	bool csum_partial;
	uint16_t gso_size;
	struct pkt_view v; /* of bytes */
};

struct lab {
	struct nat *nat;
	struct nat_memory memory;
	struct nat_policy policy; /* read at lab_start() and lab_reload(); its arrays are those below */
	struct nat_prefix inside[4];
	struct nat_prefix exempt[4];
	struct nat_prefix broadcast[4];
	struct nat_address_range addresses[LAB_ADDRESSES];
	struct nat_range pool_ports[LAB_RANGES];
	struct nat_range shared_ports[LAB_RANGES];
	struct nat_forward forwards[LAB_FORWARDS];
	uint64_t seed[4];
	uint64_t now_ms;
	uint64_t before[NAT_REASON_COUNT]; /* counters before the last send, step or reload */
	struct lab_out *out;		   /* what the last one emitted, in order */
	uint32_t n_out;
	uint8_t in[BUILD_MAX + 1]; /* the packet last sent, as built */
	size_t in_len;
	uint8_t wire[BUILD_MAX + 1]; /* natd's own copy of it */
	uint8_t source;		     /* enum nat_source of the next sends */
	uint16_t gso_size;	     /* of the next sends */
	bool csum_partial;
	bool bad_checksums_expected; /* the test sends wrong transport checksums */
	uint32_t purity_every;	     /* one explanation in so many is checked to change nothing; 0: none */
	bool judges;	 /* sessions are being judged: what a packet ends then, an explanation does not know */
	bool skip_check; /* no nat_check() at each send: for long runs */
};

struct lab *lab_new(void);
void lab_start(struct lab *l);
void lab_free(struct lab *l);

/* Sends one packet. */
void lab_send(struct lab *l, const uint8_t *p, size_t len);
#define LAB_SEND(l, ...)                                                                 \
	do {                                                                             \
		(l)->in_len = build_packet((l)->in, &(const struct build){__VA_ARGS__}); \
		lab_send((l), (l)->in, (l)->in_len);                                     \
	} while (0)

/* The clock goes on; everything that is due happens (in steps of a second at most `coarse_s` apart). */
void lab_advance(struct lab *l, uint64_t ms);

/* Reload with l->policy. */
struct nat_reconfigure_report lab_reload(struct lab *l);
/* The same in slices, between which packets may be sent. True: there is more to judge. */
void lab_reload_begin(struct lab *l);
bool lab_judge(struct lab *l, uint32_t budget, struct nat_reconfigure_report *r);

/* Restart: the core is destroyed and created again over the same records. */
struct table_attach_report lab_restart(struct lab *l);

/* The last send emitted exactly one packet, to `to`, and dropped nothing: that packet. */
const struct lab_out *lab_one(struct lab *l, enum nat_to to);
/* The last send was dropped for exactly this reason, nothing came out. */
void lab_dropped(struct lab *l, enum nat_reason why);
/* The same, and an ICMP error to the sender came out: that error. */
const struct lab_out *lab_dropped_with_icmp(struct lab *l, enum nat_reason why, uint8_t type, uint8_t code);
/* Change of a counter since the last send. */
uint64_t lab_delta(const struct lab *l, enum nat_reason r);

/* Shorthand for the usual: an outbound UDP or TCP SYN or echo request; the external port or id it got. */
uint16_t lab_udp_out(struct lab *l, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport);
uint16_t lab_syn_out(struct lab *l, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport);
uint16_t lab_echo_out(struct lab *l, uint32_t src, uint16_t id, uint32_t dst);
/* A whole handshake from inside (seq 1000 and 5000, window 65535, no scale); the external port. */
uint16_t lab_tcp_established(struct lab *l, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport);
uint32_t lab_sessions(struct lab *l);

#endif
