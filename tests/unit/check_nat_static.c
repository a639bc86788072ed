/* SPDX-License-Identifier: ISC */
/* Static pairs, one to one: every port and protocol, both ways, and nothing from a pool. */
#include <check.h>

#include "core/nat/view.h"
#include "natlab.h"
#include "unit.h"

#define PAIR_IN(n)  BUILD_IP(10, 8, 0, 16 + (n)) /* 10.8.0.16/28 and 203.0.113.48/28 */
#define PAIR_OUT(n) BUILD_IP(203, 0, 113, 48 + (n))

static struct lab *l;

static void setup(void)
{
	l = lab_new();
	l->addresses[1] = (struct nat_address_range){.first = PAIR_OUT(0), .last = PAIR_OUT(15), .inside = PAIR_IN(0)};
	l->policy.n_addresses = 2;
}

static void teardown(void)
{
	lab_free(l);
}

static uint32_t ports_used(uint32_t address)
{
	int32_t slot = table_address_slot(nat_table(l->nat), address);
	uint32_t n = 0;

	for (int c = CLASS_TCP; slot != TABLE_NONE && c <= CLASS_ICMP; c++)
		n += table_address_ports_used(nat_table(l->nat), (uint16_t)slot, (enum nat_class)c);
	return n;
}

START_TEST(test_static_host_keeps_every_port)
{
	lab_start(l);
	for (uint32_t n = 0; n < 16; n++) {
		ck_assert_uint_eq(lab_udp_out(l, PAIR_IN(n), 80, LAB_S1, 53), 80);
		ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, PAIR_OUT(n));
		ck_assert_uint_eq(lab_tcp_established(l, PAIR_IN(n), 1, LAB_S1, 443), 1);
		ck_assert_uint_eq(lab_echo_out(l, PAIR_IN(n), 7, LAB_S1), 7);
	}
	LAB_SEND(l, .proto = 47, .src = PAIR_IN(3), .dst = LAB_S1);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, PAIR_OUT(3));
	LAB_SEND(l, .proto = 47, .src = PAIR_IN(4), .dst = LAB_S1); /* two at a time to one remote host */
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, PAIR_OUT(4));
	for (uint32_t n = 0; n < 16; n++)
		ck_assert_uint_eq(ports_used(PAIR_OUT(n)), 0);
	ck_assert_uint_eq(ports_used(LAB_EXT), 0);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(lab_reload(l).ended, 0);
}
END_TEST

START_TEST(test_anyone_may_open_towards_a_static_host)
{
	lab_start(l);
	LAB_SEND(l, .proto = 17, .src = LAB_S2, .dst = PAIR_OUT(2), .sport = 9, .dport = 65535);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(2));
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dport, 65535);
	LAB_SEND(l, .proto = 17, .src = PAIR_IN(2), .dst = LAB_S2, .sport = 65535, .dport = 9);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, PAIR_OUT(2));
	LAB_SEND(l, .proto = 6, .src = LAB_S2, .dst = PAIR_OUT(2), .sport = 9, .dport = 22, .flags = TCP_SYN);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(2));
	LAB_SEND(l, .proto = 6, .src = LAB_S2, .dst = PAIR_OUT(2), .sport = 10, .dport = 22, .flags = TCP_ACK);
	lab_dropped(l, DROP_TCP_NO_SESSION);
	LAB_SEND(l, .proto = 1, .src = LAB_S2, .dst = PAIR_OUT(5), .icmp_type = 8, .sport = 77);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(5));
	LAB_SEND(l, .proto = 1, .src = PAIR_IN(5), .dst = LAB_S2, .icmp_type = 0, .sport = 77);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, PAIR_OUT(5));
	LAB_SEND(l, .proto = 50, .src = LAB_S2, .dst = PAIR_OUT(6));
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(6));
}
END_TEST

START_TEST(test_static_hosts_reach_each_other_by_their_outside_addresses)
{
	lab_start(l);
	LAB_SEND(l, .proto = 17, .src = PAIR_IN(1), .dst = PAIR_OUT(2), .sport = 5, .dport = 6);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.src, PAIR_OUT(1));
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(2));
	LAB_SEND(l, .proto = 17, .src = PAIR_IN(2), .dst = PAIR_OUT(1), .sport = 6, .dport = 5);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(1));
	LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = PAIR_OUT(2), .sport = 5, .dport = 6); /* from the pool, too */
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.src, LAB_EXT);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(2));
}
END_TEST

START_TEST(test_other_hosts_never_get_a_static_address)
{
	l->policy.pooling = POOLING_ARBITRARY;
	lab_start(l);
	for (uint32_t i = 0; i < 14; i++) {
		for (uint16_t k = 0; k < 4; k++) {
			lab_udp_out(l, LAB_A + i, (uint16_t)(5000 + k), LAB_S1, 53);
			ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
		}
	}
}
END_TEST

/* RFC 5508 REQ-4, 5: the quote is translated, and its checksum. */
START_TEST(test_icmp_errors_about_static_sessions_pass)
{
	static uint8_t error[BUILD_MAX];
	const struct build b = {.src = LAB_R, .dst = PAIR_OUT(1), .icmp_type = 3, .icmp_code = 1};

	lab_start(l);
	lab_udp_out(l, PAIR_IN(1), 5000, LAB_S1, 53);
	lab_send(l, error,
		 build_icmp_error(error, &b, lab_one(l, NAT_TO_OUTSIDE)->bytes, lab_one(l, NAT_TO_OUTSIDE)->len));
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(1));
}
END_TEST

START_TEST(test_reload_ends_what_the_pairs_forbid)
{
	lab_start(l);
	lab_udp_out(l, PAIR_IN(1), 5000, LAB_S1, 53);
	lab_udp_out(l, PAIR_IN(9), 5000, LAB_S1, 53);
	lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	l->addresses[1].last = PAIR_OUT(7);
	ck_assert_uint_eq(lab_reload(l).ended, 1);
	ck_assert_uint_eq(lab_udp_out(l, PAIR_IN(1), 5000, LAB_S1, 53), 5000);
	lab_udp_out(l, PAIR_IN(9), 5000, LAB_S1, 53);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	l->addresses[1].inside = PAIR_IN(8); /* the same addresses, other hosts */
	ck_assert_uint_eq(lab_reload(l).ended, 1);
	ck_assert_ptr_null(nat_check(l->nat));
	l->addresses[0] = (struct nat_address_range){.first = LAB_EXT, .last = LAB_EXT, .inside = LAB_B};
	ck_assert_uint_eq(lab_reload(l).ended, 2); /* the pool's address has become a pair's */
	ck_assert_ptr_null(nat_check(l->nat));
}
END_TEST

START_TEST(test_forward_of_every_address_does_not_name_static_sessions)
{
	struct session_view v;
	uint32_t cursor = 0;

	l->forwards[0] = (struct nat_forward){
		.name = "web", .protocols = 1 << CLASS_UDP, .ports = {80, 80}, .to = LAB_WEB, .to_port = 80};
	l->policy.n_forwards = 1;
	lab_start(l);
	LAB_SEND(l, .proto = 17, .src = LAB_S2, .dst = PAIR_OUT(2), .sport = 9, .dport = 80);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, PAIR_IN(2));
	ck_assert(nat_view_next(l->nat, &cursor, 100, l->now_ms, &v));
	ck_assert_str_eq(v.origin.forward, "");
	ck_assert_uint_eq(lab_reload(l).ended, 0);
}
END_TEST

START_TEST(test_blocks_and_static_pairs_side_by_side)
{
	l->policy.allocation = ALLOCATION_DETERMINISTIC;
	lab_start(l);
	ck_assert_uint_eq(lab_udp_out(l, PAIR_IN(1), 80, LAB_S1, 53), 80);
	lab_udp_out(l, LAB_A, 80, LAB_S1, 53);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(lab_reload(l).ended, 0);
}
END_TEST

static Suite *suite(void)
{
	const TTest *const tests[] = {
		test_static_host_keeps_every_port,
		test_anyone_may_open_towards_a_static_host,
		test_static_hosts_reach_each_other_by_their_outside_addresses,
		test_other_hosts_never_get_a_static_address,
		test_icmp_errors_about_static_sessions_pass,
		test_reload_ends_what_the_pairs_forbid,
		test_forward_of_every_address_does_not_name_static_sessions,
		test_blocks_and_static_pairs_side_by_side,
	};
	Suite *s = suite_create("nat_static");
	TCase *tc = tcase_create("static");

	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
