/* SPDX-License-Identifier: ISC */
/*
 * Length and option arithmetic through the whole core, in the three contexts of packet.h: whole packet, first fragment,
 * quote in an ICMP error (RELIABILITY C2-12, 13: FreeBSD SA-20:12, EN-22:06). And packets broken at random, for the
 * invariants that the lab checks at each send.
 *
 * Names tell where a scenario comes from: pf_opts (OpenBSD's regress), en_22_06, sa_20_12 (FreeBSD's advisories).
 */
#include <check.h>
#include <string.h>

#include "natlab.h"
#include "unit.h"

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
}

static void teardown(void)
{
	lab_free(lab);
}

static const uint8_t protos[] = {17, 6, 1};

static struct build packet(uint8_t proto)
{
	return (struct build){.proto = proto,
			      .src = LAB_A,
			      .dst = LAB_S1,
			      .sport = 5000,
			      .dport = 7,
			      .icmp_type = 8,
			      .flags = TCP_SYN,
			      .window = 1000,
			      .payload_len = proto == 6 ? 0 : 40,
			      .df = true};
}

/* ---- IP options ---- */

/* Every header length there is, in both directions: the ports are found behind it, the options stay as they are. */
START_TEST(test_pf_opts_1812_5_3_13_ip_header_of_any_length)
{
	uint8_t options[40];
	uint8_t proto = protos[_i % 3];
	struct build b = packet(proto);

	for (size_t i = 0; i < sizeof(options); i++)
		options[i] = 1; /* no operation */
	options[0] = 7;		/* record route, as long as there is room */
	options[1] = (uint8_t)(4 * (_i / 3 + 1));
	options[2] = 4;
	b.ip_options = options;
	b.ip_options_len = options[1];
	lab_start(lab);
	lab_send(lab, lab->in, lab->in_len = build_packet(lab->in, &b));
	const struct lab_out *o = lab_one(lab, NAT_TO_OUTSIDE);
	uint16_t e = o->v.sport;

	ck_assert_uint_eq(o->v.ihl, 20 + options[1]);
	ck_assert_mem_eq(o->bytes + 20, options, options[1]);
	b.src = LAB_S1;
	b.dst = LAB_EXT;
	b.sport = proto == 1 ? e : 7;
	b.dport = e;
	b.icmp_type = 0;
	b.flags = TCP_SYN | TCP_ACK;
	b.ack = 1;
	lab_send(lab, lab->in, lab->in_len = build_packet(lab->in, &b));
	o = lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_eq(o->v.dport, 5000);
	ck_assert_mem_eq(o->bytes + 20, options, options[1]);
}
END_TEST

static const struct {
	uint8_t bytes[8];
	enum nat_reason why;
} ip_options[] = {
	{{0x94, 4, 0, 0, 1, 1, 1, 0}, NAT_PASS},	  /* router alert */
	{{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, NAT_PASS}, /* padding behind the end */
	{{0x44, 8, 5, 0, 0, 0, 0, 0}, NAT_PASS},	  /* timestamp */
	{{7, 0, 4, 0, 1, 1, 1, 1}, DROP_IP_OPTIONS},	  /* no length */
	{{7, 1, 4, 0, 1, 1, 1, 1}, DROP_IP_OPTIONS},	  /* length below its own two bytes */
	{{7, 9, 4, 0, 1, 1, 1, 1}, DROP_IP_OPTIONS},	  /* beyond the header */
	{{1, 1, 1, 1, 1, 1, 1, 7}, DROP_IP_OPTIONS},	  /* type without length */
	{{1, 0x83, 7, 4, 1, 2, 3, 4}, DROP_SOURCE_ROUTE}, {{1, 0x89, 3, 4, 1, 1, 1, 1}, DROP_SOURCE_ROUTE},
};

START_TEST(test_pf_opts_every_walk_ends)
{
	struct build b = packet(17);

	b.ip_options = ip_options[_i].bytes;
	b.ip_options_len = 8;
	lab_start(lab);
	lab_send(lab, lab->in, lab->in_len = build_packet(lab->in, &b));
	if (ip_options[_i].why == NAT_PASS)
		lab_one(lab, NAT_TO_OUTSIDE);
	else
		lab_dropped(lab, ip_options[_i].why);
}
END_TEST

/* ---- lengths ---- */

/* Bytes behind the IP total length (link padding) are neither judged nor sent on: whole, fragment, error. */
START_TEST(test_trailing_bytes_are_ignored)
{
	uint8_t p[400], whole[400], error[400];
	struct build b = packet(protos[_i / 3]);
	size_t len;

	b.payload_len = 64;
	b.df = false;
	lab_start(lab);
	len = build_packet(whole, &b);
	if (_i % 3 == 1)
		len = build_fragment(p, whole, 0, 48);
	else
		memcpy(p, whole, len);
	memset(p + len, 0xa5, 60);
	lab_send(lab, p, len + 60);
	const struct lab_out *o = lab_one(lab, NAT_TO_OUTSIDE);

	ck_assert_uint_eq(o->len, len);
	if (_i % 3 != 2)
		return;
	len = build_icmp_error(error, &(const struct build){.src = LAB_R, .dst = LAB_EXT, .icmp_type = 11}, o->bytes,
			       o->len);
	memset(error + len, 0xa5, 33);
	lab_send(lab, error, len + 33);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->len, len);
}
END_TEST

/* EN-22:06: a UDP length beyond the payload is fatal for a whole datagram alone; a first fragment and a quote pass. */
static const struct {
	uint16_t udp_len;
	enum nat_reason whole;
} udp_lengths[] = {
	{48, NAT_PASS},		{47, NAT_PASS},		 {8, NAT_PASS},	      {49, DROP_L4_HEADER},
	{4000, DROP_L4_HEADER}, {65535, DROP_L4_HEADER}, {7, DROP_L4_HEADER}, {0, DROP_L4_HEADER},
};

START_TEST(test_en_22_06_udp_length_whole)
{
	struct build b = packet(17);

	b.no_checksum = true;
	lab->bad_checksums_expected = true;
	lab_start(lab);
	lab->in_len = build_packet(lab->in, &b);
	ck_assert_uint_eq(lab->in_len, 68);
	store16(lab->in + 24, udp_lengths[_i].udp_len);
	lab_send(lab, lab->in, lab->in_len);
	if (udp_lengths[_i].whole == NAT_PASS)
		ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->len, 68);
	else
		lab_dropped(lab, udp_lengths[_i].whole);
}
END_TEST

START_TEST(test_en_22_06_udp_length_of_a_first_fragment)
{
	uint8_t whole[8000], p[2000];
	struct build b = packet(17);

	b.payload_len = 3992;
	b.df = false;
	lab_start(lab);
	build_packet(whole, &b);
	lab_send(lab, p, build_fragment(p, whole, 0, 16));
	ck_assert_uint_eq(load16(lab_one(lab, NAT_TO_OUTSIDE)->bytes + 24), 4000);
}
END_TEST

/* SA-20:12: a quote of so many transport bytes. Eight are enough for TCP, too; its checksum is not there then. */
START_TEST(test_sa_20_12_quote_of_any_length)
{
	uint8_t proto = protos[_i % 3], p[400], seen[200];
	size_t bytes = (size_t)_i / 3;
	struct build b = packet(proto);

	lab_start(lab);
	lab_send(lab, lab->in, lab->in_len = build_packet(lab->in, &b));
	size_t len = lab_one(lab, NAT_TO_OUTSIDE)->len;

	memcpy(seen, lab->out[0].bytes, len);
	if (20 + bytes > len)
		return;
	lab_send(lab, p,
		 build_icmp_error(p,
				  &(const struct build){.src = LAB_R, .dst = LAB_EXT, .icmp_type = 3, .icmp_code = 1},
				  seen, 20 + bytes));
	if (bytes < 8) {
		lab_dropped(lab, DROP_ICMP_QUOTE);
	} else {
		const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

		ck_assert_uint_eq(o->len, 20 + 8 + 20 + bytes);
		ck_assert_uint_eq(load32(o->bytes + 28 + 12), LAB_A);
		ck_assert_uint_eq(load16(o->bytes + 28 + 20 + (proto == 1 ? 4 : 0)), 5000);
	}
}
END_TEST

/* TCP data offset: below its own header, beyond the segment. In a quote it is not checked. */
START_TEST(test_tcp_data_offset)
{
	uint8_t p[400], seen[200], offset = (uint8_t)_i;
	struct build b = packet(6);
	size_t len;

	b.payload_len = 20; /* 40 bytes of TCP: an offset of up to 10 fits */
	lab_start(lab);
	lab->in_len = build_packet(lab->in, &b);
	lab->in[32] = (uint8_t)(offset << 4);
	build_fix(lab->in);
	lab_send(lab, lab->in, lab->in_len);
	if (offset >= 5 && offset <= 10)
		lab_one(lab, NAT_TO_OUTSIDE);
	else
		lab_dropped(lab, DROP_L4_HEADER);
	lab_send(lab, lab->in, lab->in_len = build_packet(lab->in, &b));
	memcpy(seen, lab->out[0].bytes, len = lab_one(lab, NAT_TO_OUTSIDE)->len);
	seen[32] = (uint8_t)(offset << 4);
	lab->bad_checksums_expected = true;
	lab_send(lab, p,
		 build_icmp_error(p, &(const struct build){.src = LAB_R, .dst = LAB_EXT, .icmp_type = 11}, seen, len));
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

/* ---- TCP options ---- */

/* MSS at every offset, odd ones too (where the kernel's own clamping writes a wrong checksum): checksums are the
 * lab's. */
START_TEST(test_mss_at_any_offset)
{
	uint8_t options[40];
	struct build b = packet(6);

	memset(options, 1, sizeof(options));
	memcpy(options + _i, (uint8_t[]){2, 4, 0x23, 0}, 4);
	b.tcp_options = options;
	b.tcp_options_len = sizeof(options);
	lab->policy.outside_mtu = 1400;
	lab_start(lab);
	lab_send(lab, lab->in, lab->in_len = build_packet(lab->in, &b));
	const struct lab_out *o = lab_one(lab, NAT_TO_OUTSIDE);

	ck_assert_uint_eq(load16(o->bytes + 40 + _i + 2), 1360);
	ck_assert_uint_eq(lab_delta(lab, COUNT_MSS_CLAMPED), 1);
}
END_TEST

/* Options that end badly end the walk: the segment passes as it is. */
START_TEST(test_tcp_option_walk_is_bounded)
{
	static const uint8_t bad[][12] = {
		{5, 0, 2, 4, 0x23, 0, 1, 1, 1, 1, 1, 1},    {5, 1, 2, 4, 0x23, 0, 1, 1, 1, 1, 1, 1},
		{5, 13, 2, 4, 0x23, 0, 1, 1, 1, 1, 1, 1},   {0, 2, 4, 0x23, 0, 1, 1, 1, 1, 1, 1, 1},
		{2, 3, 0x23, 2, 0x23, 0, 1, 1, 1, 1, 1, 1}, {2, 6, 0x23, 0, 0, 0, 1, 1, 1, 1, 1, 1},
		{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2},	    {1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0x23},
		{1, 1, 1, 1, 1, 1, 1, 1, 3, 255, 1, 1},
	};
	struct build b = packet(6);

	b.tcp_options = bad[_i];
	b.tcp_options_len = 12;
	lab->policy.outside_mtu = 1400;
	lab_start(lab);
	lab_send(lab, lab->in, lab->in_len = build_packet(lab->in, &b));
	ck_assert_mem_eq(lab_one(lab, NAT_TO_OUTSIDE)->bytes + 40, bad[_i], 12);
}
END_TEST

/* ---- checksums ---- */

/* A UDP checksum that comes out as 0 is sent as all ones (RFC 768): tried for every value that a payload can give
 * it. */
START_TEST(test_3022_4_1_udp_checksum_never_becomes_zero)
{
	unsigned ones = 0;

	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t i = 0; i < 65536; i++) {
		const uint8_t payload[2] = {(uint8_t)(i >> 8), (uint8_t)i};

		LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 7, .payload = payload,
			 .payload_len = 2, .df = true);
		uint16_t sum = load16(lab_one(lab, NAT_TO_OUTSIDE)->bytes + 26);

		if (sum == 0)
			ck_abort_msg("payload %04x: checksum 0", i);
		ones += sum == 0xffff;
	}
	ck_assert_uint_ge(ones, 1);
}
END_TEST

/* ---- broken at random ---- */

static size_t any_packet(uint8_t *p, uint16_t ext)
{
	static const uint8_t flags[] = {TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST};
	static const uint8_t types[] = {8, 0, 3, 11, 12, 13, 5};
	struct build b = packet(unit_below(5) == 0 ? 47 : protos[unit_below(3)]);
	uint8_t options[40], quoted[200];

	for (size_t i = 0; i < sizeof(options); i++)
		options[i] = (uint8_t)unit_below(unit_below(2) ? 10 : 256);
	b.flags = flags[unit_below(5)];
	b.icmp_type = types[unit_below(7)];
	b.payload_len = unit_below(120);
	b.df = unit_below(2);
	b.mf = unit_below(8) == 0;
	b.frag_offset = unit_below(8) == 0 ? (uint16_t)(8 * unit_below(20)) : 0;
	b.id = (uint16_t)unit_below(4);
	if (unit_below(2)) {
		b.src = LAB_S1;
		b.dst = LAB_EXT;
		b.sport = 7;
		b.dport = ext;
	}
	if (unit_below(4) == 0) {
		b.ip_options = options;
		b.ip_options_len = unit_below(41);
	}
	if (unit_below(4) == 0) {
		b.tcp_options = options;
		b.tcp_options_len = unit_below(41);
	}
	if (unit_below(5) == 0) {
		struct build q = packet(protos[unit_below(3)]);

		q.src = LAB_EXT;
		q.sport = ext;
		b.icmp_type = 3;
		b.icmp_code = (uint8_t)unit_below(16);
		return build_icmp_error(p, &b, quoted, build_packet(quoted, &q));
	}
	return build_packet(p, &b);
}

START_TEST(test_packets_broken_at_random)
{
	uint8_t p[1000];
	uint64_t through = 0;

	lab->skip_check = true;
	lab->bad_checksums_expected = true;
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab->policy.outside_mtu = 200;
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (int i = 0; i < 60000; i++) {
		size_t len = any_packet(p, e);

		for (uint32_t n = unit_below(4); n > 0; n--)
			p[unit_below((uint32_t)len)] = (uint8_t)unit_random();
		if (unit_below(2))
			build_fix_ip(p);
		lab_send(lab, p, unit_below(8) == 0 ? unit_below((uint32_t)len + 1) : len);
		through += lab->n_out;
		if (i % 5000 == 0) {
			ck_assert_ptr_null(nat_check(lab->nat));
			lab_advance(lab, 3000);
		}
	}
	ck_assert_uint_gt(through, 1000);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_pf_opts_1812_5_3_13_ip_header_of_any_length, 30},
		{test_pf_opts_every_walk_ends, sizeof(ip_options) / sizeof(ip_options[0])},
		{test_trailing_bytes_are_ignored, 9},
		{test_en_22_06_udp_length_whole, sizeof(udp_lengths) / sizeof(udp_lengths[0])},
		{test_en_22_06_udp_length_of_a_first_fragment, 1},
		{test_sa_20_12_quote_of_any_length, 3 * 41},
		{test_tcp_data_offset, 16},
		{test_mss_at_any_offset, 37},
		{test_tcp_option_walk_is_bounded, 9},
		{test_3022_4_1_udp_checksum_never_becomes_zero, 1},
		{test_packets_broken_at_random, 1},
	};
	Suite *s = suite_create("nat_header");
	TCase *tc = tcase_create("header");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(tc, tests[i].test, 0, tests[i].loops);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
