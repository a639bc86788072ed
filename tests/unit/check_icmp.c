/* SPDX-License-Identifier: ISC */
/*
 * ICMP errors of natd's own: about what, with which bytes, how often (in virtual time).
 */
#include <check.h>
#include <string.h>

#include "build.h"
#include "core/packet/icmp.h"
#include "unit.h"

static const uint32_t A = BUILD_IP(10, 8, 0, 2), S = BUILD_IP(192, 0, 2, 7), E = BUILD_IP(203, 0, 113, 1);

static uint8_t p[BUILD_MAX + 100];
static struct pkt_view v;

static void parse(size_t len)
{
	ck_assert_int_eq(packet_parse(p, len, false, &v), NAT_PASS);
}

/* ---- whether ---- */

static const struct {
	uint32_t src, dst;
	bool answer;
} address_rows[] = {
	{BUILD_IP(10, 8, 0, 2), BUILD_IP(192, 0, 2, 7), true},
	{BUILD_IP(223, 255, 255, 255), BUILD_IP(192, 0, 2, 7), true},
	{BUILD_IP(1, 0, 0, 0), BUILD_IP(223, 255, 255, 255), true},
	{BUILD_IP(126, 255, 255, 255), BUILD_IP(1, 1, 1, 1), true},
	{BUILD_IP(128, 0, 0, 1), BUILD_IP(1, 1, 1, 1), true},
	{BUILD_IP(0, 0, 0, 0), BUILD_IP(192, 0, 2, 7), false},
	{BUILD_IP(0, 1, 2, 3), BUILD_IP(192, 0, 2, 7), false},
	{BUILD_IP(127, 0, 0, 1), BUILD_IP(192, 0, 2, 7), false},
	{BUILD_IP(224, 0, 0, 1), BUILD_IP(192, 0, 2, 7), false},
	{BUILD_IP(240, 0, 0, 1), BUILD_IP(192, 0, 2, 7), false},
	{BUILD_IP(255, 255, 255, 255), BUILD_IP(192, 0, 2, 7), false},
	{BUILD_IP(10, 8, 0, 2), BUILD_IP(224, 0, 0, 1), false},
	{BUILD_IP(10, 8, 0, 2), BUILD_IP(239, 255, 255, 255), false},
	{BUILD_IP(10, 8, 0, 2), BUILD_IP(240, 0, 0, 1), false},
	{BUILD_IP(10, 8, 0, 2), BUILD_IP(255, 255, 255, 255), false},
};

START_TEST(test_5508_10e_addresses_that_get_no_error)
{
	parse(BUILD(p, .proto = 17, .src = address_rows[_i].src, .dst = address_rows[_i].dst));
	ck_assert_int_eq(icmp_may_answer(&v), address_rows[_i].answer);
}
END_TEST

START_TEST(test_5508_10e_never_about_an_icmp_error)
{
	for (unsigned type = 0; type < 256; type++) {
		bool answer = type == 0 || type == 8 || type == 13 || type == 14;

		parse(BUILD(p, .proto = 1, .src = A, .dst = S, .icmp_type = (uint8_t)type, .payload_len = 28));
		ck_assert_int_eq(icmp_may_answer(&v), answer);
	}
}
END_TEST

START_TEST(test_5508_10e_never_about_a_later_fragment)
{
	parse(BUILD(p, .proto = 17, .src = A, .dst = S, .frag_offset = 8, .payload_len = 8));
	ck_assert(!icmp_may_answer(&v));
	parse(BUILD(p, .proto = 17, .src = A, .dst = S, .mf = true, .payload_len = 8));
	ck_assert(icmp_may_answer(&v));
}
END_TEST

START_TEST(test_other_protocols_get_errors)
{
	parse(BUILD(p, .proto = 47, .src = A, .dst = S, .payload_len = 8));
	ck_assert(icmp_may_answer(&v));
	parse(BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_RST));
	ck_assert(icmp_may_answer(&v));
}
END_TEST

/* ---- what ---- */

START_TEST(test_1812_errors_of_every_length)
{
	static const struct icmp_error errors[] = {
		{0, ICMP_UNREACH, ICMP_UNREACH_ADMIN, 0},
		{0, ICMP_TIME_EXCEEDED, 0, 0},
		{0, ICMP_UNREACH, ICMP_UNREACH_NEEDFRAG, 1280},
	};

	for (size_t payload = 0; payload < 1500; payload += payload < 600 ? 1 : 97) {
		uint8_t out[ICMP_ERROR_MAX + 8];
		struct icmp_error e = errors[_i];
		size_t len = BUILD(p, .proto = 17, .src = A, .dst = S, .ttl = 1, .id = 7, .payload_len = payload), n;
		size_t quoted = len > 548 ? 548 : len;

		e.src = E;
		parse(len);
		memset(out, 0xa5, sizeof(out));
		n = icmp_build(out, &v, &e);
		ck_assert_uint_eq(n, 28 + quoted);
		build_ck_verify(out, n);
		ck_assert_int_eq(memcmp(out + 28, p, quoted), 0); /* as its sender sent it */
		ck_assert(load32(out + 12) == E && load32(out + 16) == A && out[9] == 1 && out[8] >= 64);
		ck_assert(load16(out + 4) == 0 && load16(out + 6) == 0);
		ck_assert(out[20] == e.type && out[21] == e.code && load32(out + 24) == e.mtu);
		for (size_t i = n; i < sizeof(out); i++)
			ck_assert_uint_eq(out[i], 0xa5);
	}
}
END_TEST

START_TEST(test_5508_10d_dscp_is_copied)
{
	for (unsigned tos = 0; tos < 256; tos++) {
		uint8_t out[ICMP_ERROR_MAX];

		parse(BUILD(p, .proto = 17, .src = A, .dst = S, .tos = (uint8_t)tos));
		icmp_build(out, &v, &(struct icmp_error){E, ICMP_TIME_EXCEEDED, 0, 0});
		ck_assert_uint_eq(out[1], tos & 0xfc); /* congestion marks are no part of it */
	}
}
END_TEST

START_TEST(test_error_is_understood_by_our_own_decoder)
{
	static const uint8_t protos[] = {6, 17, 1, 47}, options[] = {148, 4, 0, 0};
	struct pkt_view outer, quote;
	uint8_t out[ICMP_ERROR_MAX];
	size_t n;

	parse(BUILD(p, .proto = protos[_i], .src = A, .dst = S, .ip_options = options, .ip_options_len = 4, .sport = 5,
		    .dport = protos[_i] == 1 ? 5 : 6, .flags = TCP_SYN, .icmp_type = 8, .payload_len = 900));
	n = icmp_build(out, &v, &(struct icmp_error){E, ICMP_UNREACH, ICMP_UNREACH_HOST, 0});
	ck_assert_int_eq(packet_parse(out, n, false, &outer), NAT_PASS);
	ck_assert_int_eq(packet_parse_quote(&outer, &quote), NAT_PASS);
	ck_assert(quote.src == A && quote.dst == S && quote.sport == v.sport && quote.kind == v.kind);
	ck_assert(!icmp_may_answer(&outer) && !icmp_may_answer(&quote));
}
END_TEST

START_TEST(test_error_about_a_super_packet_and_about_padding)
{
	uint8_t out[ICMP_ERROR_MAX];

	parse(BUILD(p, .proto = 6, .src = A, .dst = S, .flags = TCP_ACK, .payload_len = 65000));
	ck_assert_uint_eq(icmp_build(out, &v, &(struct icmp_error){E, 3, 4, 1500}), ICMP_ERROR_MAX);
	/* bytes after the packet are not quoted */
	ck_assert_int_eq(packet_parse(p, 100 + BUILD(p, .proto = 17, .src = A, .dst = S), false, &v), NAT_PASS);
	ck_assert_uint_eq(icmp_build(out, &v, &(struct icmp_error){E, 3, 4, 1500}), 56);
}
END_TEST

/* ---- how often ---- */

/* How many of `tries` at once pass. */
static unsigned take(struct icmp_limit *l, uint64_t source, uint64_t now_ms, unsigned tries)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < tries; i++)
		passed += icmp_limit_take(l, source, now_ms, unit_random());
	return passed;
}

START_TEST(test_5508_10f_burst_of_one_source)
{
	static const uint64_t starts[] = {0, 1, 999, 0xfffffff0, 0x100000000, 1ull << 50};
	struct icmp_limit l = {0};

	ck_assert_uint_eq(take(&l, 7, starts[_i], 100), ICMP_LIMIT_PER_SOURCE);
	ck_assert_uint_eq(take(&l, 7, starts[_i] + 99, 100), 0);
	ck_assert_uint_eq(take(&l, 7, starts[_i] + 100, 100), 1);
	ck_assert_uint_eq(take(&l, 7, starts[_i] + 500, 100), 4);
	ck_assert_uint_eq(take(&l, 7, starts[_i] + 60000, 100), ICMP_LIMIT_PER_SOURCE);
}
END_TEST

START_TEST(test_5508_10f_rate_of_one_source)
{
	/* however often it asks: 10 and 10 a second, no time lost to rounding */
	static const unsigned steps[] = {1, 3, 7, 33, 99, 100};
	struct icmp_limit l = {0};
	unsigned passed = 0;

	for (uint64_t now = 5000; now <= 65000; now += steps[_i])
		passed += take(&l, 7, now, 3);
	ck_assert_uint_ge(passed, 10 + 600 - 2);
	ck_assert_uint_le(passed, 10 + 600);
}
END_TEST

START_TEST(test_sources_do_not_share_a_bucket)
{
	struct icmp_limit l = {0};
	uint64_t now = 0;

	for (unsigned source = 0; source < ICMP_LIMIT_BUCKETS; source++, now += 1000)
		ck_assert_uint_eq(take(&l, source, now, 100), ICMP_LIMIT_PER_SOURCE);
}
END_TEST

START_TEST(test_5508_10f_global_rate)
{
	struct icmp_limit l = {0};
	unsigned passed = 0;

	for (uint64_t now = 0; now < 20000; now++)
		for (unsigned i = 0; i < 10; i++) /* 10000 a second from changing sources */
			passed += icmp_limit_take(&l, unit_random(), now, unit_random());
	ck_assert_uint_ge(passed, 20 * ICMP_LIMIT_GLOBAL * 8 / 10);
	ck_assert_uint_le(passed, 20 * ICMP_LIMIT_GLOBAL * 12 / 10);
}
END_TEST

START_TEST(test_cve_2020_25705_global_budget_is_not_to_be_guessed)
{
	struct icmp_limit l = {0};
	unsigned least = 1000, most = 0;

	for (uint64_t now = 0; now < 1000000; now += 1000) {
		unsigned passed = 0;

		for (unsigned source = 0; source < ICMP_LIMIT_BUCKETS; source++)
			passed += icmp_limit_take(&l, source, now, unit_random());
		least = passed < least ? passed : least;
		most = passed > most ? passed : most;
	}
	ck_assert_uint_ge(least, 50);
	ck_assert_uint_le(least, 60);
	ck_assert_uint_ge(most, 140);
	ck_assert_uint_le(most, 150);
}
END_TEST

START_TEST(test_refusal_takes_nothing)
{
	struct icmp_limit l = {0};
	struct icmp_limit was;

	take(&l, 7, 1000, 100);
	was = l;
	ck_assert(!icmp_limit_take(&l, 7, 1001, 1));
	ck_assert_int_eq(memcmp(&was, &l, sizeof(l)), 0);
	l.budget = 0;
	was = l;
	ck_assert(!icmp_limit_take(&l, 8, 1001, 1));
	ck_assert_int_eq(memcmp(&was, &l, sizeof(l)), 0);
}
END_TEST

static Suite *icmp_suite(void)
{
	Suite *s = suite_create("icmp");
	TCase *whether = tcase_create("whether"), *what = tcase_create("what"), *often = tcase_create("how often");

	tcase_add_loop_test(whether, test_5508_10e_addresses_that_get_no_error, 0, 15);
	tcase_add_test(whether, test_5508_10e_never_about_an_icmp_error);
	tcase_add_test(whether, test_5508_10e_never_about_a_later_fragment);
	tcase_add_test(whether, test_other_protocols_get_errors);
	tcase_add_loop_test(what, test_1812_errors_of_every_length, 0, 3);
	tcase_add_test(what, test_5508_10d_dscp_is_copied);
	tcase_add_loop_test(what, test_error_is_understood_by_our_own_decoder, 0, 4);
	tcase_add_test(what, test_error_about_a_super_packet_and_about_padding);
	tcase_add_loop_test(often, test_5508_10f_burst_of_one_source, 0, 6);
	tcase_add_loop_test(often, test_5508_10f_rate_of_one_source, 0, 6);
	tcase_add_test(often, test_sources_do_not_share_a_bucket);
	tcase_add_test(often, test_5508_10f_global_rate);
	tcase_add_test(often, test_cve_2020_25705_global_budget_is_not_to_be_guessed);
	tcase_add_test(often, test_refusal_takes_nothing);
	suite_add_tcase(s, whether);
	suite_add_tcase(s, what);
	suite_add_tcase(s, often);
	return s;
}

int main(void)
{
	return unit_main(icmp_suite);
}
