/* SPDX-License-Identifier: ISC */
/*
 * The decoder: what it reads from good packets, which reason it gives for each bad one, whole packets
 * and fragments (for quotes see check_quote.c), and that it never reads beyond the bytes it is given.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "core/packet/packet.h"
#include "unit.h"

static const uint32_t A = BUILD_IP(10, 8, 0, 2), S = BUILD_IP(192, 0, 2, 7), R = BUILD_IP(198, 51, 100, 9);

static uint8_t p[BUILD_MAX + 1], q[BUILD_MAX + 1];
static struct pkt_view v, qv;

/*
 * Parses exactly `len` bytes from memory of exactly that size, so that the sanitizer sees a read
 * beyond, and sees to it that nothing is written. The view points into `data`.
 */
static enum nat_reason parse(uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct pkt_view there;
	enum nat_reason why;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, data, len);
	memset(&v, 0, sizeof(v));
	why = packet_parse(exact, len, false, &there);
	ck_assert_int_eq(memcmp(exact, data, len), 0);
	free(exact);
	ck_assert_int_eq(packet_parse(data, len, false, &v), why);
	return why;
}

#define ck_reason(got, want)                                                                                     \
	do {                                                                                                     \
		enum nat_reason got_ = (got);                                                                    \
                                                                                                                 \
		ck_assert_msg(got_ == (want), "%s instead of %s", nat_reason_name(got_), nat_reason_name(want)); \
	} while (0)

/* ---- good packets ---- */

START_TEST(test_tcp_fields)
{
	static const uint8_t options[] = {2, 4, 5, 180, 1, 3, 3, 7};
	size_t len =
		BUILD(p, .proto = 6, .src = A, .dst = S, .tos = 0xb8, .ttl = 63, .id = 77, .df = true, .sport = 54321,
		      .dport = 443, .seq = 0xdeadbeef, .ack = 0x01020304, .flags = TCP_ACK | TCP_PSH, .window = 501,
		      .tcp_options = options, .tcp_options_len = 8, .payload_len = 100);

	ck_reason(parse(p, len), NAT_PASS);
	ck_assert_ptr_eq(v.ip, p);
	ck_assert_ptr_eq(v.l4, p + 20);
	ck_assert(v.src == A && v.dst == S && v.sport == 54321 && v.dport == 443);
	ck_assert(v.len == len && v.l4_len == 128 && v.ihl == 20 && v.id == 77 && v.ttl == 63 && v.ip[1] == 0xb8);
	ck_assert(v.proto == 6 && v.kind == PKT_TCP && v.proto_class == CLASS_TCP && v.frag == FRAG_NONE);
	ck_assert(v.dont_fragment && !v.more_fragments && v.frag_offset == 0 && !v.is_quote);
	ck_assert(v.tcp_flags == (TCP_ACK | TCP_PSH) && v.tcp_hlen == 28 && v.tcp_window == 501);
	ck_assert(v.tcp_seq == 0xdeadbeef && v.tcp_ack == 0x01020304 && v.tcp_data == 100);
}
END_TEST

START_TEST(test_udp_fields)
{
	size_t len = BUILD(p, .proto = 17, .src = A, .dst = S, .sport = 0, .dport = 65535, .payload_len = 3);

	ck_reason(parse(p, len), NAT_PASS);
	ck_assert(v.kind == PKT_UDP && v.proto_class == CLASS_UDP && v.sport == 0 && v.dport == 65535);
	ck_assert(v.l4_len == 11 && v.len == 31 && !v.dont_fragment && v.tcp_hlen == 0);
}
END_TEST

static const struct {
	uint8_t type;
	uint8_t kind;
} icmp_types[] = {
	{0, PKT_ICMP_REPLY},  {3, PKT_ICMP_ERROR},  {4, PKT_ICMP_REST},	  {5, PKT_ICMP_REST},
	{8, PKT_ICMP_QUERY},  {9, PKT_ICMP_REST},   {10, PKT_ICMP_REST},  {11, PKT_ICMP_ERROR},
	{12, PKT_ICMP_ERROR}, {13, PKT_ICMP_QUERY}, {14, PKT_ICMP_REPLY}, {15, PKT_ICMP_REST},
	{17, PKT_ICMP_REST},  {18, PKT_ICMP_REST},  {40, PKT_ICMP_REST},  {255, PKT_ICMP_REST},
};

START_TEST(test_5508_1_icmp_kinds)
{
	uint8_t kind = icmp_types[_i].kind;
	bool query = kind == PKT_ICMP_QUERY || kind == PKT_ICMP_REPLY;
	size_t len = BUILD(p, .proto = 1, .src = A, .dst = S, .icmp_type = icmp_types[_i].type, .icmp_code = 1,
			   .sport = 4711, .seq = 9, .payload_len = 36);

	ck_reason(parse(p, len), NAT_PASS);
	ck_assert(v.kind == kind && v.proto_class == CLASS_ICMP && v.icmp_type == icmp_types[_i].type &&
		  v.icmp_code == 1);
	ck_assert_uint_eq(v.sport, query ? 4711 : 0);
	ck_assert_uint_eq(v.dport, v.sport);
}
END_TEST

START_TEST(test_other_protocol_has_its_number_for_ports)
{
	size_t len = BUILD(p, .proto = 47, .src = A, .dst = S, .payload_len = (size_t)_i);

	ck_reason(parse(p, len), NAT_PASS);
	ck_assert(v.kind == PKT_OTHER && v.proto_class == CLASS_OTHER && v.sport == 47 && v.dport == 47);
	ck_assert_uint_eq(v.l4_len, _i);
}
END_TEST

START_TEST(test_super_packet_of_65535_bytes)
{
	size_t len = BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_ACK, .payload_len = 65495);

	ck_assert_uint_eq(len, 65535);
	ck_reason(parse(p, len), NAT_PASS);
	ck_assert_uint_eq(v.len, 65535);
	ck_assert_uint_eq(v.l4_len, 65515);
	ck_assert_uint_eq(v.tcp_data, 65495);
	len = BUILD(p, .proto = 17, .src = A, .dst = S, .payload_len = 65507);
	ck_reason(parse(p, len), NAT_PASS);
}
END_TEST

START_TEST(test_1812_bytes_beyond_the_total_length_are_ignored)
{
	size_t len = BUILD(p, .proto = 1, .src = A, .dst = S, .icmp_type = 0, .payload_len = 6);

	memset(p + len, 0xee, 26); /* Ethernet's padding */
	ck_reason(parse(p, len + 26), NAT_PASS);
	ck_assert_uint_eq(v.len, len);
	ck_assert_uint_eq(v.l4_len, 14);
	/* and they are no part of an ICMP error's checksum */
	len = BUILD(q, .proto = 17, .src = A, .dst = S);
	len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = 3}, q, len);
	memset(p + len, 0xee, 10);
	ck_reason(parse(p, len + 10), NAT_PASS);
	ck_reason(packet_parse_quote(&v, &qv), NAT_PASS);
	ck_assert_uint_eq(qv.l4_len, 8);
}
END_TEST

/* ---- IP header ---- */

START_TEST(test_every_truncation_is_refused)
{
	static const uint8_t protos[] = {6, 17, 1, 47};
	size_t len =
		BUILD(p, .proto = protos[_i], .src = A, .dst = S, .flags = TCP_SYN, .icmp_type = 8, .payload_len = 5);

	for (size_t n = 0; n < len; n++)
		ck_reason(parse(p, n), DROP_SHORT);
	ck_reason(parse(p, len), NAT_PASS);
}
END_TEST

START_TEST(test_1812_impossible_ip_headers)
{
	/* first byte, total length; of a packet of 28 bytes */
	static const struct {
		uint8_t first;
		uint16_t total;
		enum nat_reason why;
	} rows[] = {
		{0x65, 28, DROP_IP_HEADER}, {0x05, 28, DROP_IP_HEADER}, {0x55, 28, DROP_IP_HEADER},
		{0x44, 28, DROP_IP_HEADER}, {0x40, 28, DROP_IP_HEADER}, {0x45, 19, DROP_IP_HEADER},
		{0x45, 0, DROP_IP_HEADER},  {0x46, 20, DROP_IP_HEADER}, {0x4f, 59, DROP_IP_HEADER},
		{0x4f, 28, DROP_IP_HEADER}, {0x45, 29, DROP_SHORT},	{0x45, 65535, DROP_SHORT},
		{0x48, 32, DROP_SHORT},	    {0x4f, 60, DROP_SHORT},	{0x4f, 65535, DROP_SHORT},
	};

	BUILD(p, .proto = 17, .src = A, .dst = S);
	p[0] = rows[_i].first;
	store16(p + 2, rows[_i].total);
	if ((p[0] & 15) == 5)
		build_fix_ip(p);
	ck_reason(parse(p, 28), rows[_i].why);
}
END_TEST

START_TEST(test_1812_every_wrong_ip_checksum_bit)
{
	static const uint8_t options[] = {148, 4, 0, 0, 1, 1, 1, 0};

	for (size_t options_len = 0; options_len <= 8; options_len += 8) {
		size_t len = BUILD(p, .proto = 17, .src = A, .dst = S, .id = 99, .ip_options = options,
				   .ip_options_len = options_len);

		ck_reason(parse(p, len), NAT_PASS);
		for (size_t bit = 32; bit < (20 + options_len) * 8; bit++) {
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ck_reason(parse(p, len), DROP_IP_CHECKSUM);
			ck_assert(v.src == load32(p + 12) && v.dst == load32(p + 16));
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}
END_TEST

START_TEST(test_ip_checksum_equals_oracle_on_random_headers)
{
	for (int round = 0; round < 100000; round++) {
		size_t ihl = 20 + unit_below(11) * 4;

		for (size_t i = 0; i < ihl; i++)
			p[i] = unit_below(4) ? (uint8_t)unit_random() : 0xff;
		p[0] = (uint8_t)(0x40 | ihl / 4);
		store16(p + 2, (uint16_t)ihl);
		if (unit_below(2))
			build_fix_ip(p);
		ck_assert_int_eq(parse(p, ihl) != DROP_IP_CHECKSUM, build_checksum(0, p, ihl) == 0);
	}
}
END_TEST

#define OPT(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})

static const struct {
	uint8_t option[40];
	size_t len;
	enum nat_reason why;
} option_rows[] = {
	{OPT(0), NAT_PASS},
	{OPT(1, 1, 1, 1), NAT_PASS},
	{OPT(148, 4, 0, 0), NAT_PASS},			       /* router alert */
	{OPT(7, 7, 4, 0, 0, 0, 0), NAT_PASS},		       /* record route */
	{OPT(7, 39, 4), NAT_PASS},			       /* nearly all 40 bytes, zero-filled below */
	{OPT(68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0), NAT_PASS}, /* timestamp */
	{OPT(0, 131, 1, 0), NAT_PASS},			       /* behind the end nothing counts */
	{OPT(7, 2, 9, 2), NAT_PASS},			       /* the shortest there is */
	{OPT(7, 0, 0, 0), DROP_IP_OPTIONS},
	{OPT(7, 1, 0, 0), DROP_IP_OPTIONS},
	{OPT(7, 5, 0, 0), DROP_IP_OPTIONS},
	{OPT(7, 255, 0, 0), DROP_IP_OPTIONS},
	{OPT(1, 1, 1, 7), DROP_IP_OPTIONS}, /* no room for its length */
	{OPT(1, 1, 7, 3), DROP_IP_OPTIONS},
	{OPT(7, 4, 4, 0, 68, 5, 0, 0), DROP_IP_OPTIONS},
	{OPT(131, 7, 4, 192, 0, 2, 1), DROP_SOURCE_ROUTE},
	{OPT(137, 7, 4, 192, 0, 2, 1), DROP_SOURCE_ROUTE},
	{OPT(1, 131, 3, 4), DROP_SOURCE_ROUTE}, /* without an address, too */
	{OPT(7, 3, 4, 1, 1, 137, 3, 4), DROP_SOURCE_ROUTE},
};

START_TEST(test_5508_7_3_ip_options)
{
	uint8_t options[40] = {0};
	size_t n = option_rows[_i].option[1] == 39 ? 40 : option_rows[_i].len;

	memcpy(options, option_rows[_i].option, option_rows[_i].len);
	n = BUILD(p, .proto = 17, .src = A, .dst = S, .sport = 5000, .dport = 53, .ip_options = options,
		  .ip_options_len = n);
	ck_reason(parse(p, n), option_rows[_i].why);
	if (option_rows[_i].why == NAT_PASS)
		ck_assert(v.sport == 5000 && v.dport == 53 &&
			  v.ihl == 20 + (option_rows[_i].len + 3) / 4 * 4 + (n == 68 ? 36 : 0));
}
END_TEST

/* ---- fragments ---- */

/* A fragment of protocol `proto` with `n` bytes of (transport header and) payload at `offset`. */
static enum nat_reason fragment(uint8_t proto, size_t offset, size_t n, bool more)
{
	size_t len = BUILD(q, .proto = proto, .src = A, .dst = S, .id = 5, .sport = 1, .dport = 2, .flags = TCP_ACK,
			   .icmp_type = 8, .payload_len = 200);

	memmove(p, q, len);
	store16(p + 2, (uint16_t)(20 + n));
	store16(p + 6, (uint16_t)((more ? 0x2000u : 0) | offset / 8));
	build_fix_ip(p);
	return parse(p, 20 + n);
}

START_TEST(test_4787_14_fragment_form)
{
	static const struct {
		uint8_t proto;
		uint16_t offset, n;
		bool more;
		enum nat_reason why;
	} rows[] = {
		/* first ones: the whole transport header (RFC 1858 3) */
		{17, 0, 8, true, NAT_PASS},
		{17, 0, 0, true, DROP_FRAGMENT_TINY},
		{6, 0, 24, true, NAT_PASS},
		{6, 0, 16, true, DROP_FRAGMENT_TINY},
		{6, 0, 8, true, DROP_FRAGMENT_TINY},
		{1, 0, 8, true, NAT_PASS},
		{1, 0, 0, true, DROP_FRAGMENT_TINY},
		{47, 0, 8, true, NAT_PASS},
		{47, 0, 0, true, DROP_FRAGMENT_TINY},
		/* more to follow: a multiple of 8 (RFC 791 3.2) */
		{17, 0, 12, true, DROP_FRAGMENT_ALIGN},
		{17, 0, 7, true, DROP_FRAGMENT_ALIGN},
		{17, 64, 15, true, DROP_FRAGMENT_ALIGN},
		{17, 64, 16, true, NAT_PASS},
		{17, 64, 15, false, NAT_PASS},
		{17, 64, 1, false, NAT_PASS},
		{17, 64, 0, false, DROP_FRAGMENT_TINY},
		{17, 64, 0, true, DROP_FRAGMENT_TINY},
		/* TCP at offset 8 would write over the flags (RFC 3128) */
		{6, 8, 16, true, DROP_FRAGMENT_TINY},
		{6, 8, 5, false, DROP_FRAGMENT_TINY},
		{6, 16, 5, false, NAT_PASS},
		{17, 8, 16, true, NAT_PASS},
		/* the end of the datagram, with its header, within 65535 */
		{17, 65512, 3, false, NAT_PASS},
		{17, 65512, 4, false, DROP_FRAGMENT_OVERSIZE},
		{17, 65528, 1, false, DROP_FRAGMENT_OVERSIZE},
		{17, 65528, 100, false, DROP_FRAGMENT_OVERSIZE},
		{17, 65504, 8, true, NAT_PASS},
		{17, 65512, 8, true, DROP_FRAGMENT_OVERSIZE},
	};

	ck_reason(fragment(rows[_i].proto, rows[_i].offset, rows[_i].n, rows[_i].more), rows[_i].why);
	if (rows[_i].why != NAT_PASS)
		return;
	ck_assert_uint_eq(v.frag_offset, rows[_i].offset);
	ck_assert_uint_eq(v.l4_len, rows[_i].n);
	ck_assert_int_eq(v.more_fragments, rows[_i].more);
	ck_assert_int_eq(v.frag, rows[_i].offset ? FRAG_LATER : FRAG_FIRST);
	ck_assert_int_eq(v.kind == PKT_LATER_FRAGMENT, rows[_i].offset > 0);
}
END_TEST

START_TEST(test_later_fragment_has_class_but_no_ports)
{
	static const uint8_t rows[][2] = {{6, CLASS_TCP}, {17, CLASS_UDP}, {1, CLASS_ICMP}, {47, CLASS_OTHER}};

	ck_reason(fragment(rows[_i][0], 64, 32, true), NAT_PASS);
	ck_assert(v.proto_class == rows[_i][1] && v.sport == 0 && v.dport == 0 && v.id == 5 && v.src == A &&
		  v.dst == S);
}
END_TEST

START_TEST(test_first_fragment_may_promise_more_than_it_has)
{
	/* FreeBSD SA-20:12 and EN-22:06: a UDP length is that of the whole datagram */
	size_t len = BUILD(q, .proto = 17, .src = A, .dst = S, .sport = 1, .dport = 2, .payload_len = 4000);

	len = build_fragment(p, q, 0, 1480);
	ck_reason(parse(p, len), NAT_PASS);
	ck_assert(v.frag == FRAG_FIRST && v.kind == PKT_UDP && v.sport == 1 && v.l4_len == 1480);
	store16(p + 24, 7);
	ck_reason(parse(p, len), DROP_L4_HEADER);
	/* TCP: no payload is claimed, since its length is unknown */
	BUILD(q, .proto = 6, .src = A, .dst = S, .flags = TCP_ACK, .payload_len = 4000);
	len = build_fragment(p, q, 0, 1480);
	ck_reason(parse(p, len), NAT_PASS);
	ck_assert(v.tcp_data == 0 && v.tcp_hlen == 20);
	/* a header with options that reaches beyond is the tiny fragment attack */
	p[20 + 12] = 15 << 4;
	store16(p + 2, 20 + 56);
	build_fix_ip(p);
	ck_reason(parse(p, 20 + 56), DROP_FRAGMENT_TINY);
	/* an ICMP error's checksum cannot be judged */
	BUILD(q, .proto = 1, .src = A, .dst = S, .icmp_type = 3, .payload_len = 400);
	len = build_fragment(p, q, 0, 64);
	p[20 + 2] ^= 1;
	ck_reason(parse(p, len), NAT_PASS);
	ck_assert(v.kind == PKT_ICMP_ERROR && v.frag == FRAG_FIRST);
}
END_TEST

/* ---- transport ---- */

START_TEST(test_tcp_header_length)
{
	/* data offset in words, bytes of TCP in all */
	static const struct {
		uint8_t words, there;
		enum nat_reason why;
	} rows[] = {
		{5, 20, NAT_PASS},	  {5, 19, DROP_L4_HEADER}, {5, 0, DROP_L4_HEADER},  {5, 4, DROP_L4_HEADER},
		{4, 20, DROP_L4_HEADER},  {0, 40, DROP_L4_HEADER}, {6, 23, DROP_L4_HEADER}, {6, 24, NAT_PASS},
		{15, 59, DROP_L4_HEADER}, {15, 60, NAT_PASS},
	};
	size_t len = 20 + rows[_i].there;

	BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_SYN, .payload_len = 60);
	p[32] = (uint8_t)(rows[_i].words << 4);
	store16(p + 2, (uint16_t)len);
	build_fix_ip(p);
	ck_reason(parse(p, len), rows[_i].why);
	if (rows[_i].why == NAT_PASS)
		ck_assert_uint_eq(v.tcp_data, rows[_i].there - 4u * rows[_i].words);
}
END_TEST

static bool flags_can_occur(unsigned f)
{
	bool fin = f & TCP_FIN, syn = f & TCP_SYN, rst = f & TCP_RST, ack = f & TCP_ACK;

	if (!fin && !syn && !rst && !ack)
		return false;
	return !(syn && fin) && !(syn && rst) && !(fin && rst);
}

START_TEST(test_5382_2_every_set_of_tcp_flags)
{
	for (unsigned f = 0; f < 256; f++) { /* ECE and CWR make no difference */
		size_t len = BUILD(p, .proto = 6, .src = A, .dst = S, .flags = (uint8_t)f);

		ck_reason(parse(p, len), flags_can_occur(f) ? NAT_PASS : DROP_TCP_FLAGS);
		ck_assert_uint_eq(v.tcp_flags, f & 0x3f);
	}
}
END_TEST

START_TEST(test_udp_length)
{
	static const struct {
		uint16_t said, there;
		enum nat_reason why;
	} rows[] = {
		{8, 8, NAT_PASS},
		{7, 8, DROP_L4_HEADER},
		{0, 8, DROP_L4_HEADER},
		{9, 8, DROP_L4_HEADER},
		{8, 7, DROP_L4_HEADER},
		{8, 0, DROP_L4_HEADER},
		{65535, 100, DROP_L4_HEADER},
		{8, 100, NAT_PASS},
		{99, 100, NAT_PASS},
		{101, 100, DROP_L4_HEADER},
	};
	size_t len = 20u + rows[_i].there;

	BUILD(p, .proto = 17, .src = A, .dst = S, .payload_len = 100);
	store16(p + 24, rows[_i].said);
	store16(p + 2, (uint16_t)len);
	build_fix_ip(p);
	ck_reason(parse(p, len), rows[_i].why);
}
END_TEST

START_TEST(test_icmp_length)
{
	static const struct {
		uint8_t type, there;
		enum nat_reason why;
	} rows[] = {
		{8, 8, NAT_PASS},   {8, 7, DROP_L4_HEADER},   {0, 0, DROP_L4_HEADER},	{3, 7, DROP_L4_HEADER},
		{13, 20, NAT_PASS}, {13, 19, DROP_L4_HEADER}, {14, 19, DROP_L4_HEADER}, {14, 20, NAT_PASS},
		{40, 8, NAT_PASS},  {40, 7, DROP_L4_HEADER},
	};
	size_t len = 20u + rows[_i].there;

	BUILD(p, .proto = 1, .src = A, .dst = S, .icmp_type = rows[_i].type, .payload_len = 20);
	store16(p + 2, (uint16_t)len);
	build_fix_ip(p);
	ck_reason(parse(p, len), rows[_i].why);
}
END_TEST

START_TEST(test_transport_checksums_are_nobodys_business)
{
	static const uint8_t protos[] = {6, 17, 1}, field[] = {16, 6, 2};
	size_t len =
		BUILD(p, .proto = protos[_i], .src = A, .dst = S, .flags = TCP_ACK, .icmp_type = 8, .payload_len = 9);

	p[20 + field[_i]] ^= 0x55;
	ck_reason(parse(p, len), NAT_PASS);
}
END_TEST

START_TEST(test_5508_3_icmp_error_with_a_wrong_checksum)
{
	static const uint8_t types[] = {3, 11, 12};
	size_t len = BUILD(q, .proto = 17, .src = A, .dst = S, .payload_len = 31);

	len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = types[_i]}, q, len);
	ck_reason(parse(p, len), NAT_PASS);
	for (size_t i = 21; i < len; i++) {
		p[i] ^= 1;
		ck_reason(parse(p, len), DROP_ICMP_CHECKSUM);
		/* virtio: the sum is still to be made */
		ck_reason(packet_parse(p, len, true, &v), NAT_PASS);
		p[i] ^= 1;
	}
}
END_TEST

/* ---- everything at once ---- */

static void check_view(const struct pkt_view *w, const uint8_t *start, const uint8_t *end)
{
	ck_assert(w->ip >= start && w->ihl >= 20 && w->ihl <= 60 && w->l4 == w->ip + w->ihl);
	ck_assert(w->l4 + w->l4_len <= end && w->ihl + w->l4_len <= w->len);
	ck_assert(w->kind <= PKT_LATER_FRAGMENT && w->proto_class < CLASS_COUNT);
	ck_assert((w->frag == FRAG_LATER) == (w->frag_offset > 0));
	ck_assert((w->frag == FRAG_LATER) == (w->kind == PKT_LATER_FRAGMENT));
	if (w->kind == PKT_TCP && !w->is_quote)
		ck_assert(w->tcp_hlen >= 20 && w->tcp_hlen <= w->l4_len);
	if (w->kind != PKT_OTHER && w->kind != PKT_LATER_FRAGMENT)
		ck_assert(w->l4_len >= 8);
}

START_TEST(test_random_damage_never_leads_out_of_bounds)
{
	static const uint8_t protos[] = {6, 17, 1, 47};
	static const struct build error = {
		.src = BUILD_IP(198, 51, 100, 9), .dst = BUILD_IP(10, 8, 0, 2), .icmp_type = 11};

	for (int round = 0; round < 100000; round++) {
		uint8_t *end;
		size_t len = BUILD(q, .proto = protos[unit_below(4)], .src = A, .dst = S, .flags = TCP_ACK,
				   .icmp_type = 8, .payload_len = unit_below(40));

		if (unit_below(2))
			len = build_icmp_error(p, &error, q, unit_below((uint32_t)len + 1));
		else
			memmove(p, q, len);
		for (uint32_t n = unit_below(4); n > 0; n--)
			p[unit_below((uint32_t)len)] = (uint8_t)unit_random();
		if (p[0] >> 4 == 4 && (p[0] & 15) >= 5 && (p[0] & 15) * 4u <= len && unit_below(4))
			build_fix_ip(p);
		len = unit_below(8) ? len : unit_below((uint32_t)len + 1);
		if (parse(p, len) != NAT_PASS)
			continue;
		end = p + len;
		check_view(&v, p, end);
		ck_assert_ptr_eq(v.ip, p);
		if (v.kind == PKT_ICMP_ERROR && packet_parse_quote(&v, &qv) == NAT_PASS)
			check_view(&qv, v.l4 + 8, v.l4 + v.l4_len);
	}
}
END_TEST

static TCase *good_packets(void)
{
	TCase *t = tcase_create("good packets");

	tcase_add_test(t, test_tcp_fields);
	tcase_add_test(t, test_udp_fields);
	tcase_add_loop_test(t, test_5508_1_icmp_kinds, 0, 16);
	tcase_add_loop_test(t, test_other_protocol_has_its_number_for_ports, 0, 10);
	tcase_add_test(t, test_super_packet_of_65535_bytes);
	tcase_add_test(t, test_1812_bytes_beyond_the_total_length_are_ignored);
	return t;
}

static TCase *ip_header(void)
{
	TCase *t = tcase_create("IP header");

	tcase_add_loop_test(t, test_every_truncation_is_refused, 0, 4);
	tcase_add_loop_test(t, test_1812_impossible_ip_headers, 0, 15);
	tcase_add_test(t, test_1812_every_wrong_ip_checksum_bit);
	tcase_add_test(t, test_ip_checksum_equals_oracle_on_random_headers);
	tcase_add_loop_test(t, test_5508_7_3_ip_options, 0, sizeof(option_rows) / sizeof(option_rows[0]));
	tcase_add_loop_test(t, test_4787_14_fragment_form, 0, 27);
	tcase_add_loop_test(t, test_later_fragment_has_class_but_no_ports, 0, 4);
	tcase_add_test(t, test_first_fragment_may_promise_more_than_it_has);
	return t;
}

static TCase *transport(void)
{
	TCase *t = tcase_create("transport");

	tcase_add_loop_test(t, test_tcp_header_length, 0, 10);
	tcase_add_test(t, test_5382_2_every_set_of_tcp_flags);
	tcase_add_loop_test(t, test_udp_length, 0, 10);
	tcase_add_loop_test(t, test_icmp_length, 0, 10);
	tcase_add_loop_test(t, test_transport_checksums_are_nobodys_business, 0, 3);
	tcase_add_loop_test(t, test_5508_3_icmp_error_with_a_wrong_checksum, 0, 3);
	tcase_add_test(t, test_random_damage_never_leads_out_of_bounds);
	return t;
}

static Suite *packet_suite(void)
{
	Suite *s = suite_create("packet");

	suite_add_tcase(s, good_packets());
	suite_add_tcase(s, ip_header());
	suite_add_tcase(s, transport());
	return s;
}

int main(void)
{
	return unit_main(packet_suite);
}
