/* SPDX-License-Identifier: ISC */
/*
 * Budgets of inside hosts (budget.c): sessions opened from outside do not use up theirs, a reserve is always kept,
 * expired sessions do not count, and filtering also holds on the way through the outside address.
 */
#include <check.h>
#include <string.h>

#include "natlab.h"
#include "unit.h"

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
	lab->skip_check = true;
}

static void teardown(void)
{
	ck_assert_ptr_null(nat_check(lab->nat));
	lab_free(lab);
}

static void udp_out(uint32_t src, uint16_t sport, uint32_t dst)
{
	LAB_SEND(lab, .proto = 17, .src = src, .dst = dst, .sport = sport, .dport = 7, .payload_len = 8);
}

static void udp_in(uint16_t sport, uint16_t ext)
{
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = sport, .dport = ext, .payload_len = 8);
}

/* How many of `n` new sessions, each by a port of its own, `src` can open. */
static uint32_t opens(uint32_t src, uint32_t n)
{
	uint32_t opened = 0;

	for (uint32_t i = 0; i < n; i++) {
		udp_out(src, (uint16_t)(1 + i), LAB_S2);
		opened += (uint32_t)lab_delta(lab, COUNT_SESSION_NEW);
	}
	return opened;
}

static void forward_web(void)
{
	lab->forwards[0] = (struct nat_forward){
		.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 80}, .to = LAB_B, .to_port = 8080};
	lab->policy.n_forwards = 1;
}

static uint32_t syns_to_the_forward(uint32_t n)
{
	uint32_t passed = 0;

	for (uint32_t i = 0; i < n; i++) {
		LAB_SEND(lab, .proto = 6, .src = BUILD_IP(100, 64, 0, 0) + i, .dst = LAB_EXT, .sport = 9, .dport = 80,
			 .flags = TCP_SYN, .window = 1000);
		passed += (uint32_t)lab_delta(lab, COUNT_IN_PACKETS);
	}
	return passed;
}

/* ---- fault 33: outside traffic is billed to the inside host ---- */

START_TEST(test_fault_33_packets_to_one_mapping_leave_its_host_its_ports)
{
	uint16_t e;

	lab->addresses[0].shared = true;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	e = lab_udp_out(lab, LAB_B, 5000, LAB_S1, 7);
	for (uint32_t i = 0; i < 21000; i++)
		udp_in((uint16_t)(1000 + i), e);
	ck_assert_uint_gt(lab_sessions(lab), 20000);
	ck_assert_uint_eq(opens(LAB_B, 20), 20);
	ck_assert_uint_eq(opens(LAB_A, 20), 20);
}
END_TEST

/* More of them than the host has ports itself, and than there are left. */
START_TEST(test_fault_33_unanswered_sessions_from_outside_cost_no_ports)
{
	uint16_t e = 0;

	lab->pool_ports[0] = (struct nat_range){1024, 3023};
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	for (uint16_t i = 0; i < 1000; i++) {
		e = lab_udp_out(lab, LAB_B, (uint16_t)(5000 + i), LAB_S1, 7);
		udp_in(7, e); /* an answer */
	}
	for (uint16_t i = 0; i < 1100; i++)
		udp_in((uint16_t)(1000 + i), e);
	ck_assert_uint_eq(lab_sessions(lab), 1 + 1000 + 1100);
	ck_assert_uint_eq(opens(LAB_B, 20), 20);
}
END_TEST

START_TEST(test_fault_33_syns_to_a_forward_leave_its_host_its_sessions)
{
	forward_web();
	lab->policy.limits.sessions = 20000;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	ck_assert_uint_lt(syns_to_the_forward(21000), 20000);
	ck_assert_uint_eq(opens(LAB_B, 20), 20);
	ck_assert_uint_eq(opens(LAB_A, 20), 20);
}
END_TEST

START_TEST(test_fault_33_quota_of_sessions)
{
	forward_web();
	lab->policy.limits.sessions_per_host = 100;
	lab_start(lab);
	ck_assert_uint_eq(syns_to_the_forward(200), 100);
	ck_assert_uint_eq(lab_delta(lab, DROP_HOST_SESSIONS), 1);
	ck_assert_uint_eq(opens(LAB_B, 200), 100);
	ck_assert_uint_eq(lab_delta(lab, DROP_HOST_SESSIONS), 1);
	ck_assert_uint_eq(syns_to_the_forward(1), 1); /* a known one */
}
END_TEST

START_TEST(test_fault_33_rate)
{
	forward_web();
	lab->policy.limits.new_sessions_per_host = 10;
	lab_start(lab);
	ck_assert_uint_eq(syns_to_the_forward(20), 10);
	ck_assert_uint_eq(lab_delta(lab, DROP_HOST_RATE), 1);
	ck_assert_uint_eq(opens(LAB_B, 20), 10);
	lab_advance(lab, 500);
	ck_assert_uint_eq(syns_to_the_forward(20), 10 + 5); /* the known ones, and half a second's worth */
}
END_TEST

/* Many hosts, each with sessions from outside: the outside as a whole leaves the last half of the reserve. */
START_TEST(test_fault_33_outside_as_a_whole_leaves_half_of_the_reserve)
{
	uint32_t left;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab->policy.limits.sessions = 4000;
	lab_start(lab);
	for (uint32_t h = 0; h < 100; h++) {
		uint16_t e = lab_udp_out(lab, LAB_A + h, 5000, LAB_S1, 7);

		for (uint32_t i = 0; i < 300; i++) {
			udp_in((uint16_t)(1000 + i), e);
			if (lab->n_out > 0) /* answered, so that they are no flood */
				LAB_SEND(lab, .proto = 17, .src = LAB_A + h, .dst = LAB_S1, .sport = 5000,
					 .dport = (uint16_t)(1000 + i), .payload_len = 8);
		}
	}
	left = 4000 - lab_sessions(lab);
	ck_assert_uint_le(left, 250);
	ck_assert_uint_gt(left, 100); /* some have gone to what these hosts opened */
	ck_assert_uint_eq(opens(LAB_A + 5, 20), 20);
}
END_TEST

/* ---- fault 34: a host that is alone takes everything ---- */

START_TEST(test_fault_34_a_host_alone_leaves_a_reserve_of_the_ports)
{
	lab->pool_ports[0] = (struct nat_range){1024, 3023};
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 3000), 2000 - 250);
	ck_assert_uint_eq(lab_delta(lab, DROP_HOST_SHARE), 1);
	ck_assert_uint_eq(opens(LAB_B, 20), 20);
}
END_TEST

START_TEST(test_fault_34_a_host_alone_can_use_nearly_all)
{
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 65000), 64512 - 64512 / 64);
	ck_assert_uint_eq(opens(LAB_B, 20), 20);
}
END_TEST

START_TEST(test_fault_34_a_syn_flood_to_the_only_active_host)
{
	forward_web();
	lab->policy.limits.sessions = 3000;
	lab_start(lab);
	ck_assert_uint_le(syns_to_the_forward(5000), 2750);
	ck_assert_uint_eq(opens(LAB_A, 20), 20);
	ck_assert_uint_eq(opens(LAB_B, 20), 20);
}
END_TEST

static const struct {
	int percent;
	uint32_t kept; /* of 1000 */
} reserves[] = {{0, 0}, {1, 10}, {10, 100}, {33, 330}, {50, 500}, {RESERVE_AUTO, 125}};

START_TEST(test_fault_34_reserve_as_configured)
{
	lab->policy.limits.reserve = reserves[_i].percent;
	lab->policy.limits.sessions = 1000;
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 2000), 1000 - reserves[_i].kept);
	ck_assert_uint_eq(lab_delta(lab, reserves[_i].kept == 0 ? DROP_SESSIONS_FULL : DROP_HOST_SHARE), 1);
	ck_assert_uint_eq(opens(LAB_B, 5), reserves[_i].kept == 0 ? 0 : 5);
}
END_TEST

/* auto: a 64th for each active host, an eighth with eight and more. */
START_TEST(test_fault_34_reserve_grows_with_the_hosts)
{
	const uint32_t hosts = (uint32_t)_i + 1, total = 32768;

	lab->policy.limits.sessions = total;
	lab->addresses[0].last = LAB_EXT + 7;
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	for (uint32_t i = 1; i < hosts; i++)
		lab_udp_out(lab, LAB_A + i, 5000, LAB_S1, 7);
	for (uint32_t i = 0; i < total; i++) { /* each answered; by one port, so that no ports are short */
		LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1 + (i >> 15), .sport = 5000,
			 .dport = (uint16_t)(1 + (i & 0x7fff)), .payload_len = 8);
		if (lab->out[0].to != NAT_TO_OUTSIDE)
			break;
		struct pkt_view v = lab->out[0].v;

		LAB_SEND(lab, .proto = 17, .src = v.dst, .dst = v.src, .sport = v.dport, .dport = v.sport,
			 .payload_len = 8);
	}
	ck_assert_uint_eq(lab_delta(lab, DROP_HOST_SHARE), 1);
	ck_assert_uint_eq(total - lab_sessions(lab), total * (hosts < 8 ? hosts : 8) / 64);
}
END_TEST

/* ---- fault 35: expired entries count until the sweep ---- */

/* Time passes, and no sweep comes. */
static void age(uint64_t ms)
{
	lab->now_ms += ms;
}

START_TEST(test_fault_35_expired_sessions_count_against_no_quota)
{
	lab->policy.limits.sessions_per_host = 100;
	lab->policy.timeouts.udp = 2;
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 101), 100);
	age(3000);
	ck_assert_uint_eq(opens(LAB_A, 100), 100);
}
END_TEST

START_TEST(test_fault_35_expired_sessions_hold_no_ports)
{
	if (_i == 0)
		lab->policy.limits.ports_per_host = 100;
	else
		lab->pool_ports[0] = (struct nat_range){2000, 2099};
	lab->policy.limits.reserve = 0;
	lab->policy.timeouts.udp = 2;
	lab->policy.timeouts.port_reuse = 0;
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 101), 100);
	age(3000);
	for (uint16_t i = 0; i < 100; i++)
		lab_udp_out(lab, LAB_A, (uint16_t)(30000 + i), LAB_S1, 7);
}
END_TEST

START_TEST(test_fault_35_expired_sessions_fill_no_table)
{
	lab->policy.limits.sessions = 100;
	lab->policy.limits.reserve = _i == 0 ? 0 : RESERVE_AUTO;
	lab->policy.timeouts.udp = 2;
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 101), _i == 0 ? 100 : 88);
	age(3000);
	ck_assert_uint_eq(opens(LAB_A, 80), 80);
	ck_assert_uint_eq(opens(LAB_B, 5), 5);
}
END_TEST

/* A port whose quarantine is over is free, whether a sweep has been there or not. */
START_TEST(test_fault_35_quarantine_that_is_over_holds_no_port)
{
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab->pool_ports[0] = (struct nat_range){2000, 2099};
	lab->policy.timeouts.udp = 2;
	lab->policy.timeouts.port_reuse = 20;
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 101), 88);
	lab_advance(lab, 3000);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	age(21000);
	ck_assert_uint_eq(opens(LAB_A, 101), 88);
}
END_TEST

/* The looks for expired entries are bounded: one round of the table a second, whatever is refused. */
START_TEST(test_fault_35_a_flood_of_refusals_costs_one_round_a_second)
{
	uint64_t before;

	lab->policy.limits.sessions_per_host = 100;
	lab_start(lab);
	opens(LAB_A, 100);
	before = nat_counters(lab->nat)[COUNT_EARLY_SWEEP];
	for (int second = 0; second < 5; second++) {
		for (uint16_t i = 0; i < 1000; i++)
			udp_out(LAB_A, (uint16_t)(30000 + i), LAB_S1);
		age(1000);
	}
	ck_assert_uint_eq(nat_counters(lab->nat)[COUNT_EARLY_SWEEP] - before, 5);
}
END_TEST

/* In a large table each look sees a part, and the round is finished by those that follow. */
START_TEST(test_fault_35_a_large_table_is_seen_part_by_part)
{
	uint64_t before;

	lab->policy.limits.sessions_per_host = 40000;
	lab_start(lab);
	ck_assert_uint_eq(opens(LAB_A, 40001), 40000);
	age(1000);
	before = nat_counters(lab->nat)[COUNT_EARLY_SWEEP];
	for (uint16_t i = 0; i < 100; i++)
		udp_out(LAB_A, (uint16_t)(50000 + i), LAB_S1);
	ck_assert_uint_eq(nat_counters(lab->nat)[COUNT_EARLY_SWEEP] - before, 10);
}
END_TEST

/* ---- fault 36: filtering does not hold over the hairpin ---- */

START_TEST(test_fault_36_4787_8_9_filtering_holds_over_the_hairpin)
{
	uint16_t a, b;

	lab->policy.filtering = (enum nat_filtering)_i;
	lab_start(lab);
	a = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	b = lab_udp_out(lab, LAB_B, 6000, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_EXT, .sport = 6000, .dport = a, .payload_len = 8);
	if (_i == FILTERING_ENDPOINT_INDEPENDENT)
		ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.sport, b);
	else
		lab_dropped(lab, DROP_FILTERED);
	/* A has the right to expect nothing else than the answer of an outside host: B asked first, so A's own packet
	 * passes. */
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .payload_len = 8);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_B);
	LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_EXT, .sport = 6000, .dport = a, .payload_len = 8);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A);
}
END_TEST

START_TEST(test_fault_36_5382_3_8_filtering_of_tcp_holds_over_the_hairpin)
{
	uint16_t a;

	lab->policy.filtering = (enum nat_filtering)_i;
	lab_start(lab);
	a = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7);
	LAB_SEND(lab, .proto = 6, .src = LAB_B, .dst = LAB_EXT, .sport = 6000, .dport = a, .flags = TCP_SYN,
		 .window = 1000);
	if (_i == FILTERING_ENDPOINT_INDEPENDENT)
		ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A);
	else
		lab_dropped(lab, DROP_FILTERED);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_fault_33_packets_to_one_mapping_leave_its_host_its_ports, 1},
		{test_fault_33_unanswered_sessions_from_outside_cost_no_ports, 1},
		{test_fault_33_syns_to_a_forward_leave_its_host_its_sessions, 1},
		{test_fault_33_quota_of_sessions, 1},
		{test_fault_33_rate, 1},
		{test_fault_33_outside_as_a_whole_leaves_half_of_the_reserve, 1},
		{test_fault_34_a_host_alone_leaves_a_reserve_of_the_ports, 1},
		{test_fault_34_a_host_alone_can_use_nearly_all, 1},
		{test_fault_34_a_syn_flood_to_the_only_active_host, 1},
		{test_fault_34_reserve_as_configured, (int)(sizeof(reserves) / sizeof(reserves[0]))},
		{test_fault_34_reserve_grows_with_the_hosts, 10},
		{test_fault_35_expired_sessions_count_against_no_quota, 1},
		{test_fault_35_expired_sessions_hold_no_ports, 2},
		{test_fault_35_expired_sessions_fill_no_table, 2},
		{test_fault_35_quarantine_that_is_over_holds_no_port, 1},
		{test_fault_35_a_flood_of_refusals_costs_one_round_a_second, 1},
		{test_fault_35_a_large_table_is_seen_part_by_part, 1},
		{test_fault_36_4787_8_9_filtering_holds_over_the_hairpin, 3},
		{test_fault_36_5382_3_8_filtering_of_tcp_holds_over_the_hairpin, 3},
	};
	Suite *s = suite_create("nat_budget");
	TCase *tc = tcase_create("budget");

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
