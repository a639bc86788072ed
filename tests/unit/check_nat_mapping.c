/* SPDX-License-Identifier: ISC */
/*
 * Mapping, filtering, hairpinning and port choice of the whole core (RFC 4787, 5382, 5508 REQ-1, 6056, 6888,
 * 7857), with requirement ids in the names. Scenarios of other suites say where they come from.
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

static void two_addresses(void)
{
	lab->addresses[0].last = LAB_EXT2;
}

static void small_range(uint16_t first, uint16_t last)
{
	lab->pool_ports[0] = (struct nat_range){first, last};
}

static void udp_in(uint32_t src, uint16_t sport, uint16_t dport)
{
	LAB_SEND(lab, .proto = 17, .src = src, .dst = LAB_EXT, .sport = sport, .dport = dport, .payload_len = 8);
}

/* ---- mapping ---- */

START_TEST(test_4787_1_endpoint_independent_mapping)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S2, 7), e);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 8), e);
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
}
END_TEST

START_TEST(test_4787_1_endpoint_independent_mapping_under_collision)
{
	uint16_t a, b;

	lab->policy.port_selection = PORTS_PRESERVE;
	lab_start(lab);
	a = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	b = lab_udp_out(lab, LAB_B, 5000, LAB_S2, 7);
	ck_assert_uint_eq(a, 5000);
	ck_assert_uint_ne(a, b);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_B, 5000, LAB_S1, 7), b);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_B, 5000, LAB_S3, 7), b);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S2, 7), a);
}
END_TEST

START_TEST(test_5382_1_endpoint_independent_mapping_tcp)
{
	lab_start(lab);
	uint16_t e = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 80);

	ck_assert_uint_eq(lab_syn_out(lab, LAB_A, 5000, LAB_S2, 80), e);
	ck_assert_uint_ne(lab_syn_out(lab, LAB_B, 5000, LAB_S2, 80), e);
}
END_TEST

START_TEST(test_5508_1a_query_id_mapping_is_endpoint_independent)
{
	lab_start(lab);
	uint16_t a = lab_echo_out(lab, LAB_A, 42, LAB_S1);

	ck_assert_uint_eq(lab_echo_out(lab, LAB_A, 42, LAB_S2), a);
	ck_assert_uint_ne(lab_echo_out(lab, LAB_B, 42, LAB_S1), a);
}
END_TEST

START_TEST(test_4787_1_address_dependent_mapping_when_configured)
{
	lab->policy.mapping = MAPPING_ADDRESS_DEPENDENT;
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 8), e);
	ck_assert_uint_ne(lab_udp_out(lab, LAB_A, 5000, LAB_S2, 7), e);
}
END_TEST

START_TEST(test_4787_1_address_and_port_dependent_mapping_when_configured)
{
	lab->policy.mapping = MAPPING_ADDRESS_AND_PORT_DEPENDENT;
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	ck_assert_uint_ne(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 8), e);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), e);
}
END_TEST

START_TEST(test_4787_2_6888_2_paired_pooling)
{
	two_addresses();
	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t h = 0; h < 20; h++) {
		uint32_t src = BUILD_IP(10, 8, 0, 20) + h, ext;

		lab_udp_out(lab, src, 4000, LAB_S1, 53);
		ext = lab->out[0].v.src;
		for (uint16_t i = 0; i < 50; i++) {
			lab_udp_out(lab, src, (uint16_t)(4001 + i), LAB_S2 + i, 53);
			ck_assert_uint_eq(lab->out[0].v.src, ext);
			lab_syn_out(lab, src, (uint16_t)(4001 + i), LAB_S2 + i, 80);
			ck_assert_uint_eq(lab->out[0].v.src, ext);
			lab_echo_out(lab, src, (uint16_t)(4001 + i), LAB_S2 + i);
			ck_assert_uint_eq(lab->out[0].v.src, ext);
		}
	}
}
END_TEST

START_TEST(test_7857_4_paired_address_exhausted_drops_hard)
{
	two_addresses();
	small_range(2000, 2001);
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	lab_udp_out(lab, LAB_A, 2, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 3, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
}
END_TEST

START_TEST(test_4787_2_arbitrary_pooling_uses_every_address)
{
	two_addresses();
	small_range(2000, 2001);
	lab->policy.pooling = POOLING_ARBITRARY;
	lab_start(lab);
	for (uint16_t i = 1; i <= 4; i++)
		lab_udp_out(lab, LAB_A, i, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
}
END_TEST

START_TEST(test_4787_3_no_port_overloading)
{
	lab_start(lab);
	uint16_t a = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (uint16_t i = 0; i < 500; i++)
		ck_assert_uint_ne(lab_udp_out(lab, LAB_B, (uint16_t)(5000 + i), LAB_S2, 7), a);
}
END_TEST

static const struct {
	uint16_t inside;
	bool low;
} class_cases[] = {{100, true}, {1, true}, {1023, true}, {1024, false}, {5000, false}, {65535, false}};

START_TEST(test_4787_3a_port_class_is_kept)
{
	small_range(1, 65535);
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, class_cases[_i].inside, LAB_S1, 7);

	ck_assert_int_eq(e < 1024, class_cases[_i].low);
}
END_TEST

START_TEST(test_4787_4_port_parity_is_kept_when_configured)
{
	lab->policy.port_parity = true;
	lab_start(lab);
	for (uint16_t i = 0; i < 200; i++)
		ck_assert_uint_eq(lab_udp_out(lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 7) & 1, (5000 + i) & 1);
}
END_TEST

/* What one protocol has mapped lets no other one in, in each of the six ways. */
START_TEST(test_7857_5_mappings_are_per_protocol)
{
	enum nat_class mapped = (enum nat_class)(_i / 2);
	uint16_t e;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	e = mapped == CLASS_TCP	  ? lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7)
	    : mapped == CLASS_UDP ? lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7)
				  : lab_echo_out(lab, LAB_A, 5000, LAB_S1);
	if (mapped != CLASS_TCP && _i % 2 == 0) {
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .dport = e, .flags = TCP_SYN);
		lab_dropped(lab, DROP_UNSOLICITED_SYN);
	} else if (mapped != CLASS_UDP && (mapped == CLASS_TCP) == (_i % 2 == 0)) {
		LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .dport = e, .payload_len = 8);
		lab_dropped(lab, DROP_UNSOLICITED);
	} else {
		LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = 0, .sport = e);
		lab_dropped(lab, DROP_ICMP_NO_SESSION);
	}
}
END_TEST

START_TEST(test_6056_3_ports_are_spread_and_unpredictable)
{
	uint32_t low = 0, runs = 0;
	uint16_t last = 0;

	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t i = 0; i < 4000; i++) {
		uint16_t e = lab_udp_out(lab, LAB_A, (uint16_t)(2000 + i), LAB_S1, 7);

		low += e < 33280;
		runs += e == last + 1;
		last = e;
	}
	ck_assert_uint_gt(low, 1700);
	ck_assert_uint_lt(low, 2300);
	ck_assert_uint_lt(runs, 8);
}
END_TEST

START_TEST(test_6888_13_every_port_is_usable_exactly_once)
{
	static bool seen[65536];
	enum { FIRST = 10000, LAST = 12999 };

	memset(seen, 0, sizeof(seen));
	small_range(FIRST, LAST);
	lab->skip_check = true;
	lab->policy.limits.reserve = 0;
	lab_start(lab);
	for (uint32_t i = 0; i <= LAST - FIRST; i++) {
		uint16_t e = lab_udp_out(lab, LAB_A, (uint16_t)(20000 + i), LAB_S1, 7);

		ck_assert_uint_ge(e, FIRST);
		ck_assert_uint_le(e, LAST);
		ck_assert(!seen[e]);
		seen[e] = true;
	}
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 1, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

/* libalias 2_natout "portrange" */
START_TEST(test_libalias_portrange_third_of_two_ports_fails)
{
	small_range(2000, 2001);
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	lab_udp_out(lab, LAB_B, 1, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_C, .dst = LAB_S1, .sport = 1, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
}
END_TEST

START_TEST(test_6888_8_freed_port_rests_under_endpoint_independent_filtering)
{
	small_range(2000, 2000);
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	lab_advance(lab, 302000);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = 1, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
	lab_advance(lab, 118000);
	LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = 1, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
	lab_advance(lab, 4000);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_B, 1, LAB_S1, 7), 2000);
}
END_TEST

START_TEST(test_6888_8c_last_resting_port_is_recycled_when_filtering_protects)
{
	small_range(2000, 2000);
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	lab_advance(lab, 302000);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_B, 1, LAB_S1, 7), 2000);
	ck_assert_uint_eq(lab_delta(lab, COUNT_PORT_RECYCLED), 1);
}
END_TEST

/* ---- filtering ---- */

static const struct {
	enum nat_filtering mode;
	bool same_host_other_port;
	bool other_host;
} filter_cases[] = {
	{FILTERING_ENDPOINT_INDEPENDENT, true, true},
	{FILTERING_ADDRESS_DEPENDENT, true, false},
	{FILTERING_ADDRESS_AND_PORT_DEPENDENT, false, false},
};

static void expect_filter(bool allowed)
{
	if (allowed)
		lab_one(lab, NAT_TO_INSIDE);
	else
		lab_dropped(lab, DROP_FILTERED);
}

START_TEST(test_4787_8_filtering_as_configured)
{
	lab->policy.filtering = filter_cases[_i].mode;
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7000);

	udp_in(LAB_S1, 7000, e);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A);
	ck_assert_uint_eq(lab->out[0].v.dport, 5000);
	udp_in(LAB_S1, 7001, e);
	expect_filter(filter_cases[_i].same_host_other_port);
	udp_in(LAB_S2, 7000, e);
	expect_filter(filter_cases[_i].other_host);
}
END_TEST

START_TEST(test_5382_3_filtering_tcp_syn_as_configured)
{
	lab->policy.filtering = filter_cases[_i].mode;
	lab_start(lab);
	uint16_t e = lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 80);

	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 81, .dport = e, .flags = TCP_SYN);
	expect_filter(filter_cases[_i].same_host_other_port);
	LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 80, .dport = e, .flags = TCP_SYN);
	expect_filter(filter_cases[_i].other_host);
}
END_TEST

START_TEST(test_7857_7_filtered_packets_do_not_refresh)
{
	uint16_t e;

	lab_start(lab);
	e = _i == 0   ? lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7)
	    : _i == 1 ? lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7)
		      : lab_echo_out(lab, LAB_A, 5000, LAB_S1);
	for (int i = 0; i < 6; i++) {
		lab_advance(lab, 60000);
		if (_i == 0)
			udp_in(LAB_S2, 9, e);
		else if (_i == 1)
			LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 9, .dport = e,
				 .flags = TCP_SYN);
		else
			LAB_SEND(lab, .proto = 1, .src = LAB_S2, .dst = LAB_EXT, .icmp_type = 0, .sport = e);
		ck_assert(lab->n_out == 0);
	}
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

START_TEST(test_4787_5_udp_mapping_lives_five_minutes)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	lab_advance(lab, 299000);
	udp_in(LAB_S1, 7, e);
	lab_one(lab, NAT_TO_INSIDE);
	lab_advance(lab, 302000);
	udp_in(LAB_S1, 7, e);
	lab_dropped(lab, DROP_UNSOLICITED);
}
END_TEST

START_TEST(test_4787_6_outbound_refreshes)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (int i = 0; i < 10; i++) {
		lab_advance(lab, 150000);
		ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), e);
	}
}
END_TEST

START_TEST(test_5508_2_query_lives_sixty_seconds)
{
	lab_start(lab);
	uint16_t e = lab_echo_out(lab, LAB_A, 42, LAB_S1);

	lab_advance(lab, 59000);
	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .sport = e, .icmp_type = 0, .payload_len = 16);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.sport, 42);
	lab_advance(lab, 62000);
	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .sport = e, .icmp_type = 0, .payload_len = 16);
	lab_dropped(lab, DROP_ICMP_NO_SESSION);
}
END_TEST

START_TEST(test_5508_1_reply_only_from_the_host_that_was_asked)
{
	lab_start(lab);
	uint16_t e = lab_echo_out(lab, LAB_A, 42, LAB_S1);

	LAB_SEND(lab, .proto = 1, .src = LAB_S2, .dst = LAB_EXT, .sport = e, .icmp_type = 0, .payload_len = 16);
	lab_dropped(lab, DROP_ICMP_NO_SESSION);
	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .sport = e, .icmp_type = 8, .payload_len = 16);
	lab_dropped(lab, DROP_UNSOLICITED);
}
END_TEST

START_TEST(test_5508_1_timestamp_query)
{
	lab_start(lab);
	LAB_SEND(lab, .proto = 1, .src = LAB_A, .dst = LAB_S1, .sport = 7, .icmp_type = 13, .payload_len = 12);
	uint16_t e = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;

	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .sport = e, .icmp_type = 14, .payload_len = 12);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dport, 7);
}
END_TEST

/* ---- hairpinning ---- */

START_TEST(test_4787_9_9a_hairpin_with_external_source)
{
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	uint16_t b = lab_udp_out(lab, LAB_B, 6000, LAB_S1, 7);

	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .payload_len = 8);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);
	uint16_t a = o->v.sport;

	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.dst, LAB_B);
	ck_assert_uint_eq(o->v.dport, 6000);
	ck_assert_uint_eq(lab_delta(lab, COUNT_HAIRPIN), 1);
	LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_EXT, .sport = 6000, .dport = a, .payload_len = 8);
	o = lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_eq(o->v.dst, LAB_A);
	ck_assert_uint_eq(o->v.dport, 5000);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.sport, b);
}
END_TEST

static void forward_web(void)
{
	lab->forwards[0] = (struct nat_forward){
		.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 80}, .to = LAB_WEB, .to_port = 8080};
	lab->policy.n_forwards = 1;
}

START_TEST(test_5382_8_8a_hairpin_tcp_to_a_forward)
{
	forward_web();
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = 80, .flags = TCP_SYN, .seq = 1,
		 .window = 1000);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);
	uint16_t a = o->v.sport;

	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.dst, LAB_WEB);
	ck_assert_uint_eq(o->v.dport, 8080);
	LAB_SEND(lab, .proto = 6, .src = LAB_WEB, .dst = LAB_EXT, .sport = 8080, .dport = a, .flags = TCP_SYN | TCP_ACK,
		 .seq = 9, .ack = 2, .window = 1000);
	o = lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.sport, 80);
	ck_assert_uint_eq(o->v.dst, LAB_A);
	ck_assert_uint_eq(o->v.dport, 5000);
}
END_TEST

START_TEST(test_4787_9_hairpin_to_itself)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = e, .payload_len = 8);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.dst, LAB_A);
}
END_TEST

START_TEST(test_4787_9_hairpinning_off)
{
	lab->policy.hairpinning = false;
	lab_start(lab);
	uint16_t b = lab_udp_out(lab, LAB_B, 6000, LAB_S1, 7);

	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b);
	lab_dropped_with_icmp(lab, DROP_HAIRPIN_OFF, 3, 13); /* RFC 5508 REQ-8: administrative restrictions */
}
END_TEST

/* ---- forwards ---- */

START_TEST(test_forward_inbound_and_its_replies)
{
	forward_web();
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 80, .flags = TCP_SYN,
		 .window = 1000);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->v.src, LAB_S1);
	ck_assert_uint_eq(o->v.sport, 999);
	ck_assert_uint_eq(o->v.dst, LAB_WEB);
	ck_assert_uint_eq(o->v.dport, 8080);
	LAB_SEND(lab, .proto = 6, .src = LAB_WEB, .dst = LAB_S1, .sport = 8080, .dport = 999,
		 .flags = TCP_SYN | TCP_ACK, .ack = 1, .window = 1000);
	o = lab_one(lab, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.sport, 80);
}
END_TEST

START_TEST(test_forward_range_keeps_step)
{
	lab->forwards[0] = (struct nat_forward){.name = "game",
						.protocols = 1 << CLASS_TCP | 1 << CLASS_UDP,
						.ports = {27015, 27030},
						.to = LAB_WEB,
						.to_port = 7015};
	lab->policy.n_forwards = 1;
	lab_start(lab);
	udp_in(LAB_S1, 9, 27020);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dport, 7020);
	udp_in(LAB_S1, 9, 27031);
	lab_dropped(lab, DROP_UNSOLICITED);
}
END_TEST

START_TEST(test_forward_from_restriction)
{
	struct nat_prefix from = {.address = LAB_S1, .length = 32};

	forward_web();
	lab->forwards[0].from = &from;
	lab->forwards[0].n_from = 1;
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 999, .dport = 80, .flags = TCP_SYN);
	lab_dropped(lab, DROP_FORWARD_SOURCE);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 80, .flags = TCP_SYN);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

START_TEST(test_forwarded_host_speaks_from_its_forwarded_port)
{
	forward_web();
	lab->forwards[0].protocols = 1 << CLASS_UDP;
	lab_start(lab);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_WEB, 8080, LAB_S1, 7), 80);
}
END_TEST

START_TEST(test_two_forwards_to_one_inside_port_answer_from_the_port_that_was_asked)
{
	forward_web();
	lab->forwards[1] = lab->forwards[0];
	lab->forwards[1].ports = (struct nat_range){81, 81};
	lab->policy.n_forwards = 2;
	lab_start(lab);
	for (uint16_t port = 80; port <= 81; port++) {
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = (uint16_t)(900 + port), .dport = port,
			 .flags = TCP_SYN);
		lab_one(lab, NAT_TO_INSIDE);
	}
	for (uint16_t port = 80; port <= 81; port++) {
		LAB_SEND(lab, .proto = 6, .src = LAB_WEB, .dst = LAB_S1, .sport = 8080, .dport = (uint16_t)(900 + port),
			 .flags = TCP_SYN | TCP_ACK, .ack = 1);
		ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.sport, port);
	}
}
END_TEST

START_TEST(test_mapping_never_takes_a_forwarded_port)
{
	small_range(79, 81);
	forward_web();
	lab_start(lab);
	for (uint16_t i = 0; i < 2; i++)
		ck_assert_uint_ne(lab_syn_out(lab, LAB_A, (uint16_t)(10 + i), LAB_S1, 7), 80);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 30, .dport = 7, .flags = TCP_SYN);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
}
END_TEST

/* ---- the host's own ---- */

static bool guard_below_2002(void *ctx, enum nat_class c, uint32_t address, uint16_t port)
{
	(void)ctx;
	(void)c;
	(void)address;
	return port < 2002;
}

START_TEST(test_cve_2021_3773_port_of_a_host_socket_is_never_taken)
{
	lab->addresses[0].shared = true;
	lab->shared_ports[0] = (struct nat_range){2000, 2002};
	lab->policy.n_shared_ports = 1;
	lab_start(lab);
	nat_set_port_guard(lab->nat, guard_below_2002, NULL);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 2000, LAB_S1, 7), 2002);
	LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = 2001, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
}
END_TEST

START_TEST(test_shared_address_hands_the_host_its_own)
{
	lab->addresses[0].shared = true;
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 22, .flags = TCP_SYN);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_HOST)->v.dst, LAB_EXT);
	ck_assert(memcmp(lab->out[0].bytes, lab->in, lab->in_len) == 0);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 20000, .flags = TCP_SYN);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	lab->policy.unsolicited = UNSOLICITED_HOST;
	lab_reload(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 20000, .flags = TCP_SYN);
	lab_one(lab, NAT_TO_HOST);
}
END_TEST

START_TEST(test_copies_of_the_hosts_own_icmp_are_not_counted)
{
	lab->addresses[0].shared = true;
	lab_start(lab);
	lab->source = NAT_FROM_ICMP;
	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .icmp_type = 0, .payload_len = 8);
	ck_assert_uint_eq(lab->n_out, 0);
	for (int r = 0; r < NAT_REASON_COUNT; r++)
		ck_assert_uint_eq(lab_delta(lab, (enum nat_reason)r), 0);
}
END_TEST

START_TEST(test_1812_5_3_1_5508_7_2_ttl_of_icmp_copies_is_taken_by_natd)
{
	lab->addresses[0].shared = true;
	lab_start(lab);
	uint16_t e = lab_echo_out(lab, LAB_A, 42, LAB_S1);

	ck_assert_uint_eq(lab->out[0].v.ttl, 64);
	lab->source = NAT_FROM_ICMP;
	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .sport = e, .icmp_type = 0, .payload_len = 8);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.ttl, 63);
	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .sport = e, .icmp_type = 0, .payload_len = 8,
		 .ttl = 1);
	ck_assert_int_eq(lab_dropped_with_icmp(lab, DROP_TTL, 11, 0)->to, NAT_TO_OUTSIDE);
}
END_TEST

/* ---- reload ---- */

START_TEST(test_reload_keeps_what_is_allowed_and_ends_the_rest)
{
	struct nat_reconfigure_report r;
	uint16_t e;

	forward_web();
	lab_start(lab);
	e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	lab_udp_out(lab, LAB_A, 5001, LAB_S2, 7);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 80, .flags = TCP_SYN);
	lab->policy.n_forwards = 0;
	lab->exempt[0] = (struct nat_prefix){.address = LAB_S2, .length = 32};
	lab->policy.n_exempt = 1;
	r = lab_reload(lab);
	ck_assert_uint_eq(r.kept, 1);
	ck_assert_uint_eq(r.ended, 2);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), e);
}
END_TEST

/* Sessions that an earlier natd opened under other rules are checked, though natd has begun with the present rules; and
 * only once. */
START_TEST(test_restart_with_other_rules_judges_what_it_finds)
{
	struct nat_reconfigure_report r;
	uint16_t e;

	lab_start(lab);
	e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	lab_udp_out(lab, LAB_A, 5001, LAB_S2, 7);
	lab->exempt[0] = (struct nat_prefix){.address = LAB_S2, .length = 32};
	lab->policy.n_exempt = 1;
	lab_restart(lab);
	for (int round = 0; round < 2; round++) {
		r = lab_reload(lab);
		ck_assert_uint_eq(r.kept, 1);
		ck_assert_uint_eq(r.ended, round == 0);
	}
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), e);
}
END_TEST

START_TEST(test_reload_changes_the_address_and_ends_the_sessions_of_the_lost_one)
{
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	lab->addresses[0] = (struct nat_address_range){.first = LAB_EXT2, .last = LAB_EXT2};
	ck_assert_uint_eq(lab_reload(lab).ended, 1);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT2);
	lab->policy.n_addresses = 0;
	ck_assert_uint_eq(lab_reload(lab).ended, 1);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_ADDRESS, 3, 1);
}
END_TEST

START_TEST(test_4787_11_same_behaviour_after_reload_and_restart)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	lab_reload(lab);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S2, 7), e);
	ck_assert_uint_eq(lab_restart(lab).restored, 2);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S3, 7), e);
	udp_in(LAB_S1, 7, e);
	lab_one(lab, NAT_TO_INSIDE);
	udp_in(BUILD_IP(198, 51, 100, 77), 7, e);
	lab_dropped(lab, DROP_FILTERED);
}
END_TEST

/* ---- other protocols ---- */

START_TEST(test_other_protocols_by_address_alone)
{
	lab_start(lab);
	LAB_SEND(lab, .proto = 47, .src = LAB_A, .dst = LAB_S1, .payload_len = 20);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	LAB_SEND(lab, .proto = 47, .src = LAB_S1, .dst = LAB_EXT, .payload_len = 20);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A);
	LAB_SEND(lab, .proto = 47, .src = LAB_S2, .dst = LAB_EXT, .payload_len = 20);
	lab_dropped(lab, DROP_UNSOLICITED);
}
END_TEST

START_TEST(test_cve_2014_8160_second_host_to_the_same_remote_is_refused)
{
	lab_start(lab);
	LAB_SEND(lab, .proto = 47, .src = LAB_A, .dst = LAB_S1, .payload_len = 20);
	lab_one(lab, NAT_TO_OUTSIDE);
	LAB_SEND(lab, .proto = 47, .src = LAB_B, .dst = LAB_S1, .payload_len = 20);
	lab_dropped_with_icmp(lab, DROP_OTHER_BUSY, 3, 1);
	LAB_SEND(lab, .proto = 50, .src = LAB_B, .dst = LAB_S1, .payload_len = 20);
	lab_one(lab, NAT_TO_OUTSIDE);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_4787_1_endpoint_independent_mapping, 1},
		{test_4787_1_endpoint_independent_mapping_under_collision, 1},
		{test_5382_1_endpoint_independent_mapping_tcp, 1},
		{test_5508_1a_query_id_mapping_is_endpoint_independent, 1},
		{test_4787_1_address_dependent_mapping_when_configured, 1},
		{test_4787_1_address_and_port_dependent_mapping_when_configured, 1},
		{test_4787_2_6888_2_paired_pooling, 1},
		{test_7857_4_paired_address_exhausted_drops_hard, 1},
		{test_4787_2_arbitrary_pooling_uses_every_address, 1},
		{test_4787_3_no_port_overloading, 1},
		{test_4787_3a_port_class_is_kept, sizeof(class_cases) / sizeof(class_cases[0])},
		{test_4787_4_port_parity_is_kept_when_configured, 1},
		{test_7857_5_mappings_are_per_protocol, 6},
		{test_6056_3_ports_are_spread_and_unpredictable, 1},
		{test_6888_13_every_port_is_usable_exactly_once, 1},
		{test_libalias_portrange_third_of_two_ports_fails, 1},
		{test_6888_8_freed_port_rests_under_endpoint_independent_filtering, 1},
		{test_6888_8c_last_resting_port_is_recycled_when_filtering_protects, 1},
		{test_4787_8_filtering_as_configured, 3},
		{test_5382_3_filtering_tcp_syn_as_configured, 3},
		{test_7857_7_filtered_packets_do_not_refresh, 3},
		{test_4787_5_udp_mapping_lives_five_minutes, 1},
		{test_4787_6_outbound_refreshes, 1},
		{test_5508_2_query_lives_sixty_seconds, 1},
		{test_5508_1_reply_only_from_the_host_that_was_asked, 1},
		{test_5508_1_timestamp_query, 1},
		{test_4787_9_9a_hairpin_with_external_source, 1},
		{test_5382_8_8a_hairpin_tcp_to_a_forward, 1},
		{test_4787_9_hairpin_to_itself, 1},
		{test_4787_9_hairpinning_off, 1},
		{test_forward_inbound_and_its_replies, 1},
		{test_forward_range_keeps_step, 1},
		{test_forward_from_restriction, 1},
		{test_forwarded_host_speaks_from_its_forwarded_port, 1},
		{test_two_forwards_to_one_inside_port_answer_from_the_port_that_was_asked, 1},
		{test_mapping_never_takes_a_forwarded_port, 1},
		{test_cve_2021_3773_port_of_a_host_socket_is_never_taken, 1},
		{test_shared_address_hands_the_host_its_own, 1},
		{test_copies_of_the_hosts_own_icmp_are_not_counted, 1},
		{test_1812_5_3_1_5508_7_2_ttl_of_icmp_copies_is_taken_by_natd, 1},
		{test_reload_keeps_what_is_allowed_and_ends_the_rest, 1},
		{test_restart_with_other_rules_judges_what_it_finds, 1},
		{test_reload_changes_the_address_and_ends_the_sessions_of_the_lost_one, 1},
		{test_4787_11_same_behaviour_after_reload_and_restart, 1},
		{test_other_protocols_by_address_alone, 1},
		{test_cve_2014_8160_second_host_to_the_same_remote_is_refused, 1},
	};
	Suite *s = suite_create("nat_mapping");
	TCase *tc = tcase_create("mapping");

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
