/* SPDX-License-Identifier: ISC */
/*
 * The decoder on packets quoted in ICMP errors: cut off anywhere, damaged, with options and extensions.
 */
#include <check.h>
#include <string.h>

#include "build.h"
#include "core/packet/packet.h"
#include "unit.h"

static const uint32_t A = BUILD_IP(10, 8, 0, 2), S = BUILD_IP(192, 0, 2, 7), R = BUILD_IP(198, 51, 100, 9);

static uint8_t p[BUILD_MAX], q[BUILD_MAX];
static struct pkt_view v, qv;

static enum nat_reason parse_quote(uint8_t *data, size_t len)
{
	ck_assert_int_eq(packet_parse(data, len, false, &v), NAT_PASS);
	ck_assert_int_eq(v.kind, PKT_ICMP_ERROR);
	memset(&qv, 0, sizeof(qv));
	return packet_parse_quote(&v, &qv);
}

#define ck_reason(got, want)                                                                                     \
	do {                                                                                                     \
		enum nat_reason got_ = (got);                                                                    \
                                                                                                                 \
		ck_assert_msg(got_ == (want), "%s instead of %s", nat_reason_name(got_), nat_reason_name(want)); \
	} while (0)

/* An error about the first `n` bytes of the packet in `q`. */
static size_t error_about(size_t n)
{
	return build_icmp_error(
		p, &(struct build){.src = R, .dst = A, .icmp_type = 3, .icmp_code = 4, .icmp_rest = 1300}, q, n);
}

START_TEST(test_5382_9_tcp_quote_as_far_as_it_reaches)
{
	size_t len = BUILD(q, .proto = 6, .src = S, .dst = A, .sport = 443, .dport = 54321, .seq = 0x11223344,
			   .ack = 0x55667788, .flags = TCP_SYN | TCP_ACK, .window = 0x1234, .payload_len = 500);

	for (size_t n = 0; n <= len; n++) {
		size_t have = n < 20 ? 0 : n - 20;

		ck_reason(parse_quote(p, error_about(n)), n < 28 ? DROP_ICMP_QUOTE : NAT_PASS);
		if (n < 28)
			continue;
		ck_assert(qv.is_quote && qv.kind == PKT_TCP && qv.sport == 443 && qv.dport == 54321);
		ck_assert(qv.src == S && qv.dst == A && qv.len == len && qv.l4_len == have);
		ck_assert_ptr_eq(qv.ip, p + 28);
		ck_assert_uint_eq(qv.tcp_seq, 0x11223344);
		ck_assert_uint_eq(qv.tcp_ack, have >= 12 ? 0x55667788 : 0);
		ck_assert_uint_eq(qv.tcp_hlen, have >= 13 ? 20 : 0);
		ck_assert_uint_eq(qv.tcp_flags, have >= 14 ? TCP_SYN | TCP_ACK : 0);
		ck_assert_uint_eq(qv.tcp_window, have >= 16 ? 0x1234 : 0);
		ck_assert_uint_eq(qv.tcp_data, 0);
	}
}
END_TEST

START_TEST(test_5508_3b_options_of_the_quote_are_skipped)
{
	uint8_t options[40];

	for (size_t n = 0; n <= 40; n += 4) {
		size_t len;

		memset(options, 1, sizeof(options));
		options[0] = 7;
		options[1] = 0; /* malformed, even */
		len = BUILD(q, .proto = 17, .src = S, .dst = A, .sport = 53, .dport = 5000, .ip_options = options,
			    .ip_options_len = n, .payload_len = 8);
		ck_reason(parse_quote(p, error_about(len)), NAT_PASS);
		ck_assert(qv.ihl == 20 + n && qv.sport == 53 && qv.dport == 5000 && qv.l4_len == 16);
		/* the ports are there, or it is no use */
		ck_reason(parse_quote(p, error_about(20 + n + 8)), NAT_PASS);
		ck_reason(parse_quote(p, error_about(20 + n + 7)), DROP_ICMP_QUOTE);
	}
}
END_TEST

START_TEST(test_5508_7_3_source_route_in_the_quote)
{
	static const uint8_t lsrr[] = {131, 7, 4, 192, 0, 2, 1};
	size_t len = BUILD(q, .proto = 17, .src = S, .dst = A, .ip_options = lsrr, .ip_options_len = 7);

	ck_reason(parse_quote(p, error_about(len)), DROP_ICMP_QUOTE);
}
END_TEST

START_TEST(test_5508_3a_wrong_header_checksum_in_the_quote)
{
	size_t len = BUILD(q, .proto = 17, .src = S, .dst = A);

	for (size_t bit = 32; bit < 160; bit++) {
		q[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_reason(parse_quote(p, error_about(len)), DROP_ICMP_QUOTE_CHECKSUM);
		q[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(test_5508_3c_transport_checksum_of_the_quote_is_not_judged)
{
	static const uint8_t protos[] = {6, 17, 1}, field[] = {16, 6, 2};
	size_t len =
		BUILD(q, .proto = protos[_i], .src = S, .dst = A, .flags = TCP_ACK, .icmp_type = 0, .payload_len = 64);

	q[20 + field[_i]] ^= 0x55;
	ck_reason(parse_quote(p, error_about(len)), NAT_PASS);
}
END_TEST

START_TEST(test_impossible_quoted_headers)
{
	static const struct {
		uint8_t first;
		uint16_t total;
		enum nat_reason why;
	} rows[] = {
		{0x65, 48, DROP_ICMP_QUOTE},	{0x44, 48, DROP_ICMP_QUOTE}, {0x45, 19, DROP_ICMP_QUOTE},
		{0x45, 0, DROP_ICMP_QUOTE},	{0x45, 27, DROP_ICMP_QUOTE}, {0x45, 28, NAT_PASS},
		{0x45, 48, NAT_PASS},		{0x45, 65535, NAT_PASS},     {0x4f, 48, DROP_ICMP_QUOTE},
		{0x4f, 65535, DROP_ICMP_QUOTE},
	};

	BUILD(q, .proto = 17, .src = S, .dst = A, .payload_len = 20);
	q[0] = rows[_i].first;
	store16(q + 2, rows[_i].total);
	if ((q[0] & 15) == 5)
		build_fix_ip(q);
	ck_reason(parse_quote(p, error_about(48)), rows[_i].why);
	if (rows[_i].why == NAT_PASS) {
		ck_assert_uint_eq(qv.len, rows[_i].total);
		ck_assert_uint_eq(qv.l4_len, rows[_i].total < 48 ? rows[_i].total - 20 : 28);
	}
}
END_TEST

START_TEST(test_quoted_fragments)
{
	size_t len = BUILD(p, .proto = 17, .src = S, .dst = A, .sport = 53, .dport = 5000, .payload_len = 3000);

	len = build_fragment(q, p, 0, 1480);
	ck_reason(parse_quote(p, error_about(len)), NAT_PASS);
	ck_assert(qv.frag == FRAG_FIRST && qv.sport == 53);
	len = BUILD(q, .proto = 17, .src = S, .dst = A, .frag_offset = 1480, .payload_len = 1000);
	ck_reason(parse_quote(p, error_about(len)), DROP_ICMP_QUOTE);
}
END_TEST

START_TEST(test_1122_quoted_icmp)
{
	bool asks = _i == 8 || _i == 13, answers = _i == 0 || _i == 14, query = asks || answers;
	size_t len =
		BUILD(q, .proto = 1, .src = S, .dst = A, .icmp_type = (uint8_t)_i, .sport = 4711, .payload_len = 28);

	ck_reason(parse_quote(p, error_about(len)), query ? NAT_PASS : DROP_ICMP_QUOTE);
	ck_reason(parse_quote(p, error_about(28)), query ? NAT_PASS : DROP_ICMP_QUOTE);
	if (query)
		ck_assert(qv.kind == (asks ? PKT_ICMP_QUERY : PKT_ICMP_REPLY) && qv.sport == 4711 && qv.dport == 4711 &&
			  qv.proto_class == CLASS_ICMP);
}
END_TEST

START_TEST(test_quoted_other_protocol)
{
	/* what the datagram had, up to 8 bytes */
	for (size_t had = 0; had < 12; had++)
		for (size_t n = 0; n <= had; n++) {
			BUILD(q, .proto = 47, .src = S, .dst = A, .payload_len = had);
			ck_reason(parse_quote(p, error_about(20 + n)), n == had || n >= 8 ? NAT_PASS : DROP_ICMP_QUOTE);
			ck_assert(qv.sport == 47 && qv.dport == 47 && qv.kind == PKT_OTHER && qv.l4_len == n);
		}
}
END_TEST

START_TEST(test_5508_3d_length_field_of_rfc_4884)
{
	static const uint8_t types[] = {3, 11, 12};
	size_t len;

	/* 128 bytes of a datagram of 228, then 12 bytes of extension */
	BUILD(q, .proto = 17, .src = S, .dst = A, .sport = 53, .dport = 5000, .payload_len = 200);
	for (unsigned words = 0; words < 256; words++) {
		unsigned said = words * 4, quoted = said == 0 || said > 140 ? 140 : said;

		len = build_icmp_error(p, &(struct build){.src = R, .dst = A, .icmp_type = types[_i]}, q, 140);
		p[25] = (uint8_t)words;
		build_fix(p);
		ck_reason(parse_quote(p, len), quoted < 28 ? DROP_ICMP_QUOTE : NAT_PASS);
		if (quoted >= 28)
			ck_assert_uint_eq(qv.l4_len, quoted - 20);
	}
}
END_TEST

START_TEST(test_quote_is_bounded_by_its_own_length)
{
	/* zero-padded to 128 bytes as RFC 4884 wants: the padding is no transport */
	size_t len = BUILD(q, .proto = 17, .src = S, .dst = A, .payload_len = 4);

	memset(q + len, 0, 128 - len);
	ck_reason(parse_quote(p, error_about(128)), NAT_PASS);
	ck_assert_uint_eq(qv.l4_len, 12);
}
END_TEST

static Suite *quote_suite(void)
{
	Suite *s = suite_create("quote");
	TCase *t = tcase_create("quotes");

	tcase_add_test(t, test_5382_9_tcp_quote_as_far_as_it_reaches);
	tcase_add_test(t, test_5508_3b_options_of_the_quote_are_skipped);
	tcase_add_test(t, test_5508_7_3_source_route_in_the_quote);
	tcase_add_test(t, test_5508_3a_wrong_header_checksum_in_the_quote);
	tcase_add_loop_test(t, test_5508_3c_transport_checksum_of_the_quote_is_not_judged, 0, 3);
	tcase_add_loop_test(t, test_impossible_quoted_headers, 0, 10);
	tcase_add_test(t, test_quoted_fragments);
	tcase_add_loop_test(t, test_1122_quoted_icmp, 0, 256);
	tcase_add_test(t, test_quoted_other_protocol);
	tcase_add_loop_test(t, test_5508_3d_length_field_of_rfc_4884, 0, 3);
	tcase_add_test(t, test_quote_is_bounded_by_its_own_length);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(quote_suite);
}
