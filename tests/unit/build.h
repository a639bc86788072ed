/* SPDX-License-Identifier: ISC */
/*
 * Packets for tests: builds IPv4 TCP, UDP, ICMP and other packets, ICMP errors and fragments, all
 * with right checksums; verifies every checksum of a packet; shows a packet as hex and as a pcap.
 * Its checksum arithmetic is its own, slow and obvious, so that it can judge the core's.
 *
 *	uint8_t p[BUILD_MAX];
 *	size_t len = BUILD(p, .proto = 17, .src = BUILD_IP(10, 8, 0, 2), .dst = BUILD_IP(192, 0, 2, 53),
 *			   .sport = 5000, .dport = 53, .payload_len = 20);
 */
#ifndef NATD_TESTS_BUILD_H
#define NATD_TESTS_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { BUILD_MAX = 65535 };

#define BUILD_IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* Host byte order throughout. Fields not named are zero, or as their comments say. */
struct build {
	uint32_t src;
	uint32_t dst;
	uint8_t proto;
	uint8_t ttl; /* 0: 64 */
	uint8_t tos;
	uint16_t id;
	bool df;
	bool mf;
	uint16_t frag_offset;	   /* bytes, divisible by 8; > 0: payload only, no transport header */
	const uint8_t *ip_options; /* padded with EOL to a multiple of 4, at most 40 bytes */
	size_t ip_options_len;

	uint16_t sport; /* TCP, UDP; ICMP: the query id */
	uint16_t dport;
	uint32_t seq; /* TCP; ICMP: sequence number (low 16 bits) */
	uint32_t ack;
	uint8_t flags;
	uint16_t window;
	const uint8_t *tcp_options; /* padded with EOL to a multiple of 4, at most 40 bytes */
	size_t tcp_options_len;
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint32_t icmp_rest; /* bytes 4-7 of the ICMP header when not 0 (3/4: the MTU); else id and seq */

	const uint8_t *payload; /* NULL: a pattern */
	size_t payload_len;
	bool no_checksum;  /* UDP: checksum field 0 */
	bool csum_partial; /* TCP, UDP: the field holds the folded pseudo header sum (virtio NEEDS_CSUM) */
};

/* Writes the packet to `out`; the length. The transport is chosen by .proto (1, 6, 17, else raw). */
size_t build_packet(uint8_t *out, const struct build *b);
#define BUILD(out, ...) build_packet((out), &(const struct build){__VA_ARGS__})

/* An ICMP error: `b` as for BUILD (proto is set to 1), its payload the first `quote_len` bytes of `quoted`. */
size_t build_icmp_error(uint8_t *out, const struct build *b, const uint8_t *quoted, size_t quote_len);

/*
 * Cuts bytes [offset, offset + n) of the payload of the whole packet `p` as a fragment (offset
 * divisible by 8; MF set unless it is the end). Options are kept. The length of the fragment.
 */
size_t build_fragment(uint8_t *out, const uint8_t *p, size_t offset, size_t n);

/* After a change by hand: sets the IP header checksum; and that of the transport too (whole packets). */
void build_fix_ip(uint8_t *p);
void build_fix(uint8_t *p);

/*
 * Checks lengths and every checksum that can be judged: IP; transport of a packet that is no
 * fragment (UDP 0 passes); quoted IP; quoted transport when it is there in full.
 * NULL, or what is wrong.
 */
const char *build_verify(const uint8_t *p, size_t len);

/* Checksum over `len` bytes plus `sum`, byte by byte: the value for the field; 0 over data with a right one. */
uint16_t build_checksum(uint32_t sum, const uint8_t *p, size_t len);

/*
 * The transport checksum over the whole packet as its length fields say, pseudo header included where
 * the protocol has one: 0 when the field is right, else by how much it is wrong (one's complement).
 */
uint16_t build_transport_checksum(const uint8_t *p);

/* Hex to `f`, 16 bytes a line. */
void build_hexdump(FILE *f, const uint8_t *p, size_t len);

/* Appends the packet to a pcap file (LINKTYPE_RAW), made when missing. False when it cannot. */
bool build_pcap(const char *path, const uint8_t *p, size_t len);

/* For failures: hex to stderr, and the packet into NAME.pcap in $NATD_TEST_PCAP (default: nowhere). */
void build_show(const char *name, const uint8_t *p, size_t len);

/* In a Check test: every checksum is right, or the packet is shown and the test fails. */
#define build_ck_verify(p, len)                                     \
	do {                                                        \
		const char *wrong_ = build_verify((p), (len));      \
                                                                    \
		if (wrong_)                                         \
			build_show(__func__, (p), (len));           \
		ck_assert_msg(!wrong_, "%s", wrong_ ? wrong_ : ""); \
	} while (0)

#endif
