/* SPDX-License-Identifier: ISC */
/*
 * Rewriting against full recomputation: a packet with right checksums has right ones afterwards, one
 * with a wrong checksum has one that is wrong by the same amount, and nothing else changes.
 */
#include <check.h>
#include <string.h>

#include "build.h"
#include "core/packet/packet.h"
#include "core/packet/rewrite.h"
#include "unit.h"

static const uint32_t A = BUILD_IP(10, 8, 0, 2), S = BUILD_IP(192, 0, 2, 7), E = BUILD_IP(203, 0, 113, 1),
		      R = BUILD_IP(198, 51, 100, 9);

static uint8_t p[BUILD_MAX], q[BUILD_MAX], before[BUILD_MAX];
static struct pkt_view v, qv;

static void parse(size_t len)
{
	ck_assert_int_eq(packet_parse(p, len, false, &v), NAT_PASS);
	memcpy(before, p, len);
}

/* Both zeros of one's complement are one number: 0 for a right checksum, else by how much it is off. */
static unsigned transport_error(const uint8_t *packet)
{
	return build_transport_checksum(packet) % 0xffffu;
}

static uint32_t random_address(void)
{
	static const uint32_t edge[] = {0, 0xffffffff, 0x0000ffff, 0xffff0000};

	return unit_below(8) ? (uint32_t)unit_random() : edge[unit_below(4)];
}

static uint16_t random_port(void)
{
	static const uint16_t edge[] = {0, 1, 0xfffe, 0xffff};

	return unit_below(8) ? (uint16_t)unit_random() : edge[unit_below(4)];
}

static struct rewrite random_rewrite(void)
{
	return (struct rewrite){random_address(), random_address(), random_port(), random_port(), false};
}

/* The bytes in `packet` as a naive NAT would translate them. */
static void rewrite_slowly(uint8_t *packet, const struct rewrite *rw)
{
	uint8_t *l4 = packet + (packet[0] & 15) * 4;

	store32(packet + 12, rw->src);
	store32(packet + 16, rw->dst);
	if (packet[9] == 6 || packet[9] == 17) {
		store16(l4, rw->sport);
		store16(l4 + 2, rw->dport);
	} else if (packet[9] == 1) {
		store16(l4 + 4, rw->sport);
	}
	build_fix(packet);
}

/* ---- outer packets ---- */

START_TEST(test_3022_rewrite_equals_recomputation)
{
	static const uint8_t protos[] = {6, 17, 1, 47}, options[] = {7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0};

	for (int round = 0; round < 10000; round++) {
		struct rewrite rw = random_rewrite();
		size_t len = BUILD(p, .proto = protos[_i], .src = random_address(), .dst = random_address(),
				   .id = random_port(), .ip_options = options, .ip_options_len = unit_below(12),
				   .sport = random_port(), .dport = random_port(), .seq = (uint32_t)unit_random(),
				   .flags = TCP_ACK, .icmp_type = 8, .payload_len = unit_below(64));

		if (packet_parse(p, len, false, &v) != NAT_PASS)
			continue; /* an option cut short */
		memcpy(before, p, len);
		if (protos[_i] == 1)
			rw.dport = rw.sport;
		rewrite_apply(&v, &rw);
		rewrite_slowly(before, &rw);
		if (memcmp(p, before, len) != 0)
			build_show(__func__, p, len);
		ck_assert_int_eq(memcmp(p, before, len), 0);
		ck_assert(v.src == rw.src && v.dst == rw.dst);
		if (protos[_i] != 47)
			ck_assert(v.sport == rw.sport && v.dport == rw.dport);
	}
}
END_TEST

/* The packet path's two write the same bytes as rewrite_apply(), whatever is wrong or missing. */
START_TEST(test_one_endpoint_equals_both)
{
	static const uint8_t protos[] = {6, 17, 1, 47, 33};

	for (int round = 0; round < 20000; round++) {
		struct rewrite rw = random_rewrite();
		size_t len = BUILD(p, .proto = protos[_i], .src = random_address(), .dst = random_address(),
				   .id = random_port(), .sport = random_port(), .dport = random_port(),
				   .flags = TCP_ACK, .icmp_type = 8, .payload_len = unit_below(64));
		uint8_t field = protos[_i] == 6 ? 16 : protos[_i] == 1 ? 2 : 6;
		bool to_source = unit_below(2);

		if (len >= 20u + field + 2 && unit_below(2))
			store16(p + 20 + field, random_port()); /* 0 and 0xffff among them */
		parse(len);
		memcpy(q, p, len);
		ck_assert_int_eq(packet_parse(q, len, false, &qv), NAT_PASS);
		rw.csum_partial = unit_below(4) == 0;
		if (to_source)
			rewrite_source(&qv, rw.src, rw.sport, rw.csum_partial);
		else
			rewrite_destination(&qv, rw.dst, rw.dport, rw.csum_partial);
		rw = (struct rewrite){to_source ? rw.src : v.src, to_source ? v.dst : rw.dst,
				      to_source ? rw.sport : v.sport, to_source ? v.dport : rw.dport, rw.csum_partial};
		if (protos[_i] == 1)
			rw.sport = rw.dport = to_source ? rw.sport : rw.dport;
		rewrite_apply(&v, &rw);
		ck_assert_int_eq(memcmp(p, q, len), 0);
		ck_assert(v.src == qv.src && v.dst == qv.dst && v.sport == qv.sport && v.dport == qv.dport);
	}
}
END_TEST

START_TEST(test_every_port_and_id)
{
	static const uint8_t protos[] = {6, 17, 1};
	size_t len = BUILD(p, .proto = protos[_i], .src = A, .dst = S, .sport = 1, .dport = 2, .flags = TCP_SYN,
			   .icmp_type = 8, .payload_len = 11);

	parse(len);
	for (unsigned port = 0; port <= 0xffff; port++) {
		uint16_t to = (uint16_t)port, other = (uint16_t) ~(port << 8 | port >> 8);
		struct rewrite rw = {E, S, to, protos[_i] == 1 ? to : other, false};

		rewrite_apply(&v, &rw); /* on top of the one before */
		build_ck_verify(p, len);
		ck_assert(v.sport == to && packet_parse(p, len, false, &v) == NAT_PASS && v.sport == to);
	}
	rewrite_apply(&v, &(struct rewrite){A, S, 1, protos[_i] == 1 ? 1 : 2, false});
	ck_assert_int_eq(memcmp(p, before, len), 0);
}
END_TEST

START_TEST(test_wrong_checksum_stays_wrong_by_the_same_amount)
{
	static const uint8_t protos[] = {6, 17, 1}, field[] = {16, 6, 2};

	for (int round = 0; round < 10000; round++) {
		struct rewrite rw = random_rewrite();
		size_t len = BUILD(p, .proto = protos[_i], .src = random_address(), .dst = random_address(),
				   .flags = TCP_ACK, .icmp_type = 0, .payload_len = unit_below(32));
		unsigned error;

		do
			store16(p + 20 + field[_i], random_port());
		while (protos[_i] == 17 && load16(p + 26) == 0);
		parse(len);
		error = transport_error(p);
		rewrite_apply(&v, &rw);
		ck_assert_uint_eq(transport_error(p), error);
		ck_assert_uint_eq(build_checksum(0, p, 20), 0);
	}
}
END_TEST

START_TEST(test_3022_udp_without_checksum)
{
	for (int round = 0; round < 10000; round++) {
		struct rewrite rw = random_rewrite();
		size_t len = BUILD(p, .proto = 17, .src = A, .dst = S, .sport = 5000, .no_checksum = true);

		parse(len);
		rewrite_apply(&v, &rw);
		ck_assert_uint_eq(load16(p + 26), 0);
		ck_assert(load16(p + 20) == rw.sport && build_verify(p, len) == NULL);
	}
}
END_TEST

START_TEST(test_768_udp_checksum_that_comes_out_as_zero)
{
	unsigned hits = 0;
	size_t len = BUILD(p, .proto = 17, .src = A, .dst = S, .sport = 5000, .dport = 53, .payload_len = 3);

	parse(len);
	for (unsigned port = 0; port <= 0xffff; port++) {
		rewrite_apply(&v, &(struct rewrite){E, S, (uint16_t)port, 53, false});
		ck_assert_uint_ne(load16(p + 26), 0);
		ck_assert_uint_eq(transport_error(p), 0);
		hits += load16(p + 26) == 0xffff;
	}
	ck_assert_uint_eq(hits, 1);
}
END_TEST

START_TEST(test_partial_checksum_follows_addresses_only)
{
	static const uint8_t protos[] = {6, 17};

	for (int round = 0; round < 10000; round++) {
		struct rewrite rw = random_rewrite();
		size_t len = BUILD(p, .proto = protos[_i], .src = random_address(), .dst = random_address(),
				   .flags = TCP_ACK, .csum_partial = true, .payload_len = unit_below(32));

		ck_assert_int_eq(packet_parse(p, len, true, &v), NAT_PASS);
		rw.csum_partial = true;
		rewrite_apply(&v, &rw);
		BUILD(q, .proto = protos[_i], .src = rw.src, .dst = rw.dst, .csum_partial = true,
		      .payload_len = len - (protos[_i] == 6 ? 40 : 28));
		ck_assert_uint_eq(load16(p + (protos[_i] == 6 ? 36 : 26)) % 0xffffu,
				  load16(q + (protos[_i] == 6 ? 36 : 26)) % 0xffffu);
		ck_assert(load16(p + 20) == rw.sport && load16(p + 22) == rw.dport);
	}
}
END_TEST

START_TEST(test_super_packet)
{
	size_t len = BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_ACK, .payload_len = 65495);

	parse(len);
	rewrite_apply(&v, &(struct rewrite){E, S, 40000, 443, false});
	build_ck_verify(p, len);
	BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_ACK, .payload_len = 65495, .csum_partial = true);
	ck_assert_int_eq(packet_parse(p, len, true, &v), NAT_PASS);
	rewrite_apply(&v, &(struct rewrite){E, S, 40000, 443, true});
	BUILD(q, .proto = 6, .src = E, .dst = S, .sport = 40000, .dport = 443, .flags = TCP_ACK, .payload_len = 65495,
	      .csum_partial = true);
	ck_assert_uint_eq(load16(p + 36) % 0xffffu, load16(q + 36) % 0xffffu);
}
END_TEST

START_TEST(test_4787_14_fragments)
{
	static const uint8_t protos[] = {6, 17, 1};
	struct rewrite rw = {E, R, 40000, protos[_i] == 1 ? 40000 : 7, false};
	size_t len = BUILD(q, .proto = protos[_i], .src = A, .dst = S, .sport = 1, .dport = 2, .flags = TCP_ACK,
			   .icmp_type = 8, .payload_len = 3000);
	size_t whole = len - 20;

	/* rewritten piece by piece and put together again, the datagram is what it would have been in one */
	for (size_t at = 0, n; at < whole; at += n) {
		n = whole - at > 1000 ? 1000 : whole - at;
		parse(build_fragment(p, q, at, n));
		rewrite_apply(&v, &rw);
		ck_assert_uint_eq(build_checksum(0, p, 20), 0);
		ck_assert(load32(p + 12) == E && load32(p + 16) == R);
		memcpy(q + 20 + at, p + 20, n);
		if (at > 0)
			ck_assert_int_eq(memcmp(p + 20, before + 20, n), 0);
	}
	store32(q + 12, E);
	store32(q + 16, R);
	build_fix_ip(q);
	build_ck_verify(q, len);
	ck_assert_uint_eq(load16(q + (protos[_i] == 1 ? 24 : 20)), 40000);
}
END_TEST

START_TEST(test_checksums_of_dccp_and_udplite_follow_the_addresses)
{
	static const uint8_t protos[] = {33, 136, 47, 132};

	for (int round = 0; round < 1000; round++) {
		struct rewrite rw = random_rewrite();
		size_t len = BUILD(p, .proto = protos[_i], .src = A, .dst = S, .payload_len = 24);
		unsigned error;

		parse(len);
		error = transport_error(p);
		rewrite_apply(&v, &rw);
		build_ck_verify(p, len);
		if (_i < 2)
			ck_assert_uint_eq(transport_error(p), error);
		else
			ck_assert_int_eq(memcmp(p + 20, before + 20, 24), 0);
		ck_assert(v.sport == protos[_i] && load32(p + 12) == rw.src);
	}
}
END_TEST

START_TEST(test_icmp_error_takes_addresses_alone)
{
	size_t len = BUILD(q, .proto = 17, .src = A, .dst = S);

	len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = 3}, q, len);
	parse(len);
	rewrite_apply(&v, &(struct rewrite){E, S, 5, 6, false});
	build_ck_verify(p, len);
	ck_assert(load32(p + 12) == E && load32(p + 16) == S && v.sport == 0);
	ck_assert_int_eq(memcmp(p + 20, before + 20, len - 20), 0);
}
END_TEST

/* ---- quotes ---- */

/* A random packet into `q`, and an error about its first bytes into `p`; the length of the error. */
static size_t random_error(uint8_t proto, size_t *quoted)
{
	static const uint8_t options[] = {1, 1, 7, 9, 4, 0, 0, 0, 0, 0, 0, 0};
	size_t len = BUILD(q, .proto = proto, .src = random_address(), .dst = random_address(), .id = random_port(),
			   .ip_options = options, .ip_options_len = unit_below(4) * 4, .sport = random_port(),
			   .dport = random_port(), .flags = TCP_ACK, .icmp_type = 8, .payload_len = unit_below(64));
	size_t least = 28 + (size_t)(q[0] & 15) * 4 - 20;

	*quoted = unit_below(2) ? len : least + unit_below((uint32_t)(len - least + 1));
	if (*quoted == least + 9)
		--*quoted; /* half of a TCP checksum cannot be carried along */
	return build_icmp_error(p, &(struct build){.src = R, .dst = load32(q + 12), .icmp_type = 11}, q, *quoted);
}

START_TEST(test_5508_4_quote_equals_recomputation)
{
	static const uint8_t protos[] = {6, 17, 1};

	for (int round = 0; round < 10000; round++) {
		struct rewrite rw = random_rewrite();
		size_t quoted, len = random_error(protos[_i], &quoted);

		parse(len);
		ck_assert_int_eq(packet_parse_quote(&v, &qv), NAT_PASS);
		rewrite_quote(&v, &qv, &rw);
		rewrite_apply(&v, &(struct rewrite){R, rw.src, 0, 0, false});
		rewrite_slowly(q, &rw);
		build_ck_verify(p, len);
		if (memcmp(p + 28, q, quoted) != 0)
			build_show(__func__, p, len);
		ck_assert_int_eq(memcmp(p + 28, q, quoted), 0);
		ck_assert(qv.src == rw.src && qv.dst == rw.dst && qv.sport == rw.sport && load32(p + 16) == rw.src);
	}
}
END_TEST

START_TEST(test_5508_3c_quoted_checksum_stays_wrong)
{
	static const uint8_t protos[] = {6, 17, 1}, field[] = {16, 6, 2};

	for (int round = 0; round < 10000; round++) {
		struct rewrite rw = random_rewrite();
		size_t len = BUILD(q, .proto = protos[_i], .src = A, .dst = S, .flags = TCP_ACK, .icmp_type = 8);
		unsigned error;

		store16(q + 20 + field[_i], 1 + unit_below(0xfffe));
		error = transport_error(q);
		len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = 3}, q, len);
		parse(len);
		ck_assert_int_eq(packet_parse_quote(&v, &qv), NAT_PASS);
		rewrite_quote(&v, &qv, &rw);
		ck_assert_uint_eq(transport_error(p + 28), error);
		ck_assert_uint_eq(transport_error(p), 0);
	}
}
END_TEST

START_TEST(test_quoted_udp_without_checksum)
{
	size_t len = BUILD(q, .proto = 17, .src = A, .dst = S, .no_checksum = true, .payload_len = 8);

	len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = 3}, q, len);
	parse(len);
	ck_assert_int_eq(packet_parse_quote(&v, &qv), NAT_PASS);
	rewrite_quote(&v, &qv, &(struct rewrite){E, S, 40000, 53, false});
	ck_assert_uint_eq(load16(p + 28 + 26), 0);
	build_ck_verify(p, len);
}
END_TEST

START_TEST(test_5508_3d_extension_of_rfc_4884_is_kept)
{
	static const uint8_t extension[] = {0x20, 0, 0x1c, 0x9a, 0, 8, 1, 1, 0x18, 0x6a, 0x11, 0x01};
	size_t len = BUILD(q, .proto = 6, .src = A, .dst = S, .sport = 5000, .flags = TCP_ACK, .payload_len = 300);

	memcpy(q + 128, extension, sizeof(extension));
	len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = 11}, q, 128 + sizeof(extension));
	p[25] = 32;
	build_fix(p);
	parse(len);
	ck_assert_int_eq(packet_parse_quote(&v, &qv), NAT_PASS);
	rewrite_quote(&v, &qv, &(struct rewrite){E, S, 40000, 443, false});
	build_ck_verify(p, len);
	ck_assert_int_eq(memcmp(p + 28 + 128, extension, sizeof(extension)), 0);
	ck_assert(p[25] == 32 && load16(p + 48) == 40000);
}
END_TEST

START_TEST(test_error_whose_checksum_is_still_to_be_made)
{
	size_t len = BUILD(q, .proto = 17, .src = A, .dst = S, .payload_len = 4);
	uint16_t check;

	len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = 3}, q, len);
	check = load16(p + 22);
	parse(len);
	ck_assert_int_eq(packet_parse_quote(&v, &qv), NAT_PASS);
	rewrite_quote(&v, &qv, &(struct rewrite){E, S, 40000, 53, true});
	ck_assert_uint_eq(load16(p + 22), check);
	ck_assert(transport_error(p + 28) == 0 && load16(p + 48) == 40000);
}
END_TEST

/* ---- TTL, id, MSS ---- */

START_TEST(test_1812_every_ttl)
{
	for (unsigned ttl = 255; ttl > 0; ttl--) {
		size_t len = BUILD(p, .proto = (uint8_t)unit_random(), .src = random_address(), .dst = S,
				   .ttl = (uint8_t)ttl, .frag_offset = 64, .payload_len = 16);

		parse(len);
		rewrite_decrement_ttl(&v);
		ck_assert(p[8] == ttl - 1 && v.ttl == ttl - 1);
		build_ck_verify(p, len);
		p[8]++;
		ck_assert_int_eq(memcmp(p, before, 10) == 0 && memcmp(p + 12, before + 12, len - 12) == 0, 1);
	}
}
END_TEST

START_TEST(test_6864_every_ip_id)
{
	size_t len = BUILD(p, .proto = 17, .src = A, .dst = S, .id = 0xabcd, .payload_len = 16);

	parse(len);
	for (unsigned id = 0; id <= 0xffff; id++) {
		rewrite_ip_id(&v, (uint16_t)(id * 40503));
		ck_assert(load16(p + 4) == (uint16_t)(id * 40503) && v.id == load16(p + 4));
		build_ck_verify(p, len);
	}
}
END_TEST

#define OPT(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})

/* Options, and at which offset the MSS stands afterwards (0: nothing changes), clamped to 1000. */
static const struct {
	uint8_t options[40];
	size_t len;
	uint8_t at;
} mss_rows[] = {
	{OPT(2, 4, 0x05, 0xb4), 2},
	{OPT(1, 2, 4, 0x05, 0xb4), 3}, /* odd */
	{OPT(1, 1, 1, 2, 4, 0xff, 0xff), 5},
	{OPT(3, 3, 7, 2, 4, 0x03, 0xe9), 5},
	{OPT(4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 0x05, 0xb4), 14},
	{OPT(254, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1,
	     1, 2, 4, 9, 9),
	 38},
	{OPT(2, 4, 0x05, 0xb4, 8, 99, 0, 0), 2}, /* the end is malformed: that is behind it */
	{OPT(2, 4, 0x03, 0xe8), 0},		 /* 1000: never raised */
	{OPT(2, 4, 0x02, 0x18), 0},
	{OPT(2, 4, 0, 0), 0},
	{OPT(2, 3, 0x05, 0xb4), 0}, /* length other than 4 */
	{OPT(2, 5, 0x05, 0xb4, 0), 0},
	{OPT(2, 2, 0x05, 0xb4), 0},
	{OPT(0, 2, 4, 0x05, 0xb4), 0},	  /* behind the end */
	{OPT(3, 0, 2, 4, 0x05, 0xb4), 0}, /* length 0, 1, beyond */
	{OPT(3, 1, 2, 4, 0x05, 0xb4), 0},
	{OPT(3, 200, 2, 4, 0x05, 0xb4), 0},
	{OPT(1, 1, 2, 4), 0}, /* cut off at the end of the header */
	{OPT(1, 1, 1, 2), 0},
	{OPT(1, 2, 4, 5), 0},
};

START_TEST(test_mss_clamp_wherever_it_stands)
{
	size_t at = mss_rows[_i].at;
	size_t len = BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_SYN, .tcp_options = mss_rows[_i].options,
			   .tcp_options_len = mss_rows[_i].len, .payload_len = 5);

	parse(len);
	ck_assert_int_eq(rewrite_clamp_mss(&v, 1000, false), at != 0);
	build_ck_verify(p, len);
	if (at) {
		ck_assert_uint_eq(load16(p + 40 + at), 1000);
		store16(p + 40 + at, load16(before + 40 + at));
		memcpy(p + 36, before + 36, 2);
	}
	ck_assert_int_eq(memcmp(p, before, len), 0);
}
END_TEST

START_TEST(test_mss_clamp_equals_recomputation)
{
	for (int round = 0; round < 10000; round++) {
		uint8_t options[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
		uint16_t had = random_port(), mss = random_port(), error;
		size_t at = unit_below(9), len;

		options[at] = 2;
		options[at + 1] = 4;
		store16(options + at + 2, had);
		len = BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_SYN | TCP_ACK, .tcp_options = options,
			    .tcp_options_len = sizeof(options));
		if (unit_below(2))
			p[36] ^= (uint8_t)unit_random();
		parse(len);
		error = (uint16_t)transport_error(p);
		ck_assert_int_eq(rewrite_clamp_mss(&v, mss, false), had > mss);
		ck_assert_uint_eq(load16(p + 40 + at + 2), had > mss ? mss : had);
		ck_assert_uint_eq(transport_error(p), error);
	}
}
END_TEST

START_TEST(test_mss_clamp_of_several)
{
	static const uint8_t options[] = {2, 4, 0x05, 0xb4, 1, 2, 4, 0x02, 0x00, 2, 4, 0x10, 0x00};
	size_t len = BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_SYN, .tcp_options = options,
			   .tcp_options_len = sizeof(options));

	parse(len);
	ck_assert(rewrite_clamp_mss(&v, 1000, false));
	ck_assert(load16(p + 42) == 1000 && load16(p + 47) == 0x200 && load16(p + 51) == 1000);
	build_ck_verify(p, len);
}
END_TEST

START_TEST(test_mss_clamp_only_where_it_counts)
{
	static const uint8_t mss[] = {2, 4, 0x05, 0xb4};
	static const struct {
		uint8_t proto, flags;
		bool change;
	} rows[] = {
		{6, TCP_SYN, true},  {6, TCP_SYN | TCP_ACK, true},   {6, TCP_ACK, false},
		{6, TCP_RST, false}, {17, TCP_SYN | TCP_ACK, false},
	};
	size_t len = BUILD(p, .proto = rows[_i].proto, .src = A, .dst = S, .flags = rows[_i].flags, .tcp_options = mss,
			   .tcp_options_len = 4, .payload_len = 40);

	parse(len);
	ck_assert_int_eq(rewrite_clamp_mss(&v, 1000, false), rows[_i].change);
	ck_assert_int_eq(memcmp(p, before, len) != 0, rows[_i].change);
}
END_TEST

START_TEST(test_mss_clamp_under_a_partial_checksum)
{
	static const uint8_t mss[] = {2, 4, 0x05, 0xb4};
	size_t len = BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_SYN, .tcp_options = mss,
			   .tcp_options_len = 4, .csum_partial = true);
	uint16_t check = load16(p + 36);

	ck_assert_int_eq(packet_parse(p, len, true, &v), NAT_PASS);
	ck_assert(rewrite_clamp_mss(&v, 1000, true));
	ck_assert(load16(p + 42) == 1000 && load16(p + 36) == check);
}
END_TEST

static TCase *outer_packets(void)
{
	TCase *t = tcase_create("packets");

	tcase_add_loop_test(t, test_3022_rewrite_equals_recomputation, 0, 4);
	tcase_add_loop_test(t, test_one_endpoint_equals_both, 0, 5);
	tcase_add_loop_test(t, test_every_port_and_id, 0, 3);
	tcase_add_loop_test(t, test_wrong_checksum_stays_wrong_by_the_same_amount, 0, 3);
	tcase_add_test(t, test_3022_udp_without_checksum);
	tcase_add_test(t, test_768_udp_checksum_that_comes_out_as_zero);
	tcase_add_loop_test(t, test_partial_checksum_follows_addresses_only, 0, 2);
	tcase_add_test(t, test_super_packet);
	tcase_add_loop_test(t, test_4787_14_fragments, 0, 3);
	tcase_add_loop_test(t, test_checksums_of_dccp_and_udplite_follow_the_addresses, 0, 4);
	tcase_add_test(t, test_icmp_error_takes_addresses_alone);
	return t;
}

static TCase *quotes(void)
{
	TCase *t = tcase_create("quotes");

	tcase_add_loop_test(t, test_5508_4_quote_equals_recomputation, 0, 3);
	tcase_add_loop_test(t, test_5508_3c_quoted_checksum_stays_wrong, 0, 3);
	tcase_add_test(t, test_quoted_udp_without_checksum);
	tcase_add_test(t, test_5508_3d_extension_of_rfc_4884_is_kept);
	tcase_add_test(t, test_error_whose_checksum_is_still_to_be_made);
	return t;
}

static TCase *fields(void)
{
	TCase *t = tcase_create("TTL, id, MSS");

	tcase_add_test(t, test_1812_every_ttl);
	tcase_add_test(t, test_6864_every_ip_id);
	tcase_add_loop_test(t, test_mss_clamp_wherever_it_stands, 0, sizeof(mss_rows) / sizeof(mss_rows[0]));
	tcase_add_test(t, test_mss_clamp_equals_recomputation);
	tcase_add_test(t, test_mss_clamp_of_several);
	tcase_add_loop_test(t, test_mss_clamp_only_where_it_counts, 0, 5);
	tcase_add_test(t, test_mss_clamp_under_a_partial_checksum);
	return t;
}

static Suite *rewrite_suite(void)
{
	Suite *s = suite_create("rewrite");

	suite_add_tcase(s, outer_packets());
	suite_add_tcase(s, quotes());
	suite_add_tcase(s, fields());
	return s;
}

int main(void)
{
	return unit_main(rewrite_suite);
}
