/* SPDX-License-Identifier: ISC */
/*
 * Forbidden results: leaks, spoofs, martians, loops, malformed packets, repaired checksums; and exhaustion that ends
 * open sessions. test_l1_* is the matrix of packets that Linux's masquerade sends untranslated.
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

/* ---- leaks (CONFORMANCE L1: what the kernel calls INVALID and forwards as it is) ---- */

static const struct {
	struct build b;
	enum nat_reason why;
} leaks[] = {
	{{.proto = 6, .flags = TCP_RST}, DROP_TCP_NO_SESSION},
	{{.proto = 6, .flags = TCP_FIN | TCP_ACK}, DROP_TCP_NO_SESSION},
	{{.proto = 6, .flags = TCP_SYN | TCP_ACK}, DROP_TCP_NO_SESSION},
	{{.proto = 6, .flags = TCP_ACK, .payload_len = 100}, DROP_TCP_NO_SESSION},
	{{.proto = 6, .flags = 0}, DROP_TCP_FLAGS},
	{{.proto = 6, .flags = TCP_SYN | TCP_FIN}, DROP_TCP_FLAGS},
	{{.proto = 6, .flags = TCP_SYN | TCP_RST}, DROP_TCP_FLAGS},
	{{.proto = 1, .icmp_type = 0, .payload_len = 8}, DROP_ICMP_NO_SESSION},
	{{.proto = 1, .icmp_type = 5, .payload_len = 28}, DROP_ICMP_TYPE},
};

START_TEST(test_1918_3_l1_inside_source_never_leaves)
{
	struct build b = leaks[_i].b;

	lab_start(lab);
	b.src = LAB_A;
	b.dst = LAB_S1;
	b.sport = 5000;
	b.dport = 80;
	lab->in_len = build_packet(lab->in, &b);
	lab_send(lab, lab->in, lab->in_len);
	lab_dropped(lab, leaks[_i].why);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

START_TEST(test_l1_sctp_with_junk_is_translated_or_dropped)
{
	lab_start(lab);
	LAB_SEND(lab, .proto = 132, .src = LAB_A, .dst = LAB_S1, .payload_len = 40);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	lab->policy.other_protocols = OTHER_DROP;
	ck_assert_uint_eq(lab_reload(lab).ended, 1);
	LAB_SEND(lab, .proto = 132, .src = LAB_A, .dst = LAB_S1, .payload_len = 40);
	lab_dropped_with_icmp(lab, DROP_OTHER_PROTOCOL, 3, 2);
	LAB_SEND(lab, .proto = 132, .src = LAB_S1, .dst = LAB_EXT, .payload_len = 40);
	ck_assert_uint_eq(lab->n_out, 0);
}
END_TEST

START_TEST(test_l1_out_of_window_data_is_translated)
{
	lab_start(lab);
	lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 80);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 80, .flags = TCP_ACK,
		 .seq = 0x70000000, .ack = 5001, .window = 65535, .payload_len = 100);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
}
END_TEST

/* ---- wrong checksums stay wrong, by the same difference (CONFORMANCE B3, RELIABILITY C2-15) ---- */

START_TEST(test_3022_4_1_bad_transport_checksum_is_never_repaired)
{
	static const uint8_t protos[] = {6, 17, 1};
	uint8_t proto = protos[_i];
	uint8_t p[200];
	size_t at = proto == 6 ? 36 : proto == 17 ? 26 : 22;
	uint16_t wrong;

	lab->bad_checksums_expected = true;
	lab_start(lab);
	size_t len = BUILD(p, .proto = proto, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 80, .icmp_type = 8,
			   .flags = TCP_SYN, .payload_len = 20);

	store16(p + at, (uint16_t)(load16(p + at) ^ 0x0100));
	wrong = build_transport_checksum(p);
	ck_assert_uint_ne(wrong, 0);
	lab_send(lab, p, len);
	ck_assert_uint_eq(build_transport_checksum(lab_one(lab, NAT_TO_OUTSIDE)->bytes), wrong);
}
END_TEST

START_TEST(test_3022_4_1_udp_checksum_zero_stays_zero)
{
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 7, .payload_len = 9,
		 .no_checksum = true);
	const struct lab_out *o = lab_one(lab, NAT_TO_OUTSIDE);

	ck_assert_uint_eq(load16(o->bytes + 26), 0);
}
END_TEST

/* VPP icmp_echo_reply_trailer: link padding behind the IP total length is neither counted nor sent on. */
START_TEST(test_vpp_trailer_is_ignored)
{
	uint8_t p[200];

	lab_start(lab);
	size_t len = BUILD(p, .proto = 1, .src = LAB_A, .dst = LAB_S1, .sport = 9, .icmp_type = 8, .payload_len = 5);

	memset(p + len, 0xaa, 20);
	lab_send(lab, p, len + 20);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->len, len);
}
END_TEST

/* ---- addresses ---- */

#define IP BUILD_IP

static const struct {
	uint32_t src, dst;
	enum nat_reason why;
} address_cases[] = {
	{IP(0, 0, 0, 1), LAB_S1, DROP_MARTIAN_SOURCE},
	{IP(127, 0, 0, 1), LAB_S1, DROP_MARTIAN_SOURCE},
	{IP(224, 0, 0, 1), LAB_S1, DROP_MARTIAN_SOURCE},
	{IP(240, 0, 0, 1), LAB_EXT, DROP_MARTIAN_SOURCE},
	{IP(255, 255, 255, 255), LAB_EXT, DROP_MARTIAN_SOURCE},
	{LAB_A, IP(0, 1, 2, 3), DROP_MARTIAN_DESTINATION},
	{LAB_A, IP(127, 0, 0, 1), DROP_MARTIAN_DESTINATION},
	{LAB_A, IP(240, 0, 0, 1), DROP_MARTIAN_DESTINATION},
	{LAB_A, IP(224, 0, 0, 5), DROP_MULTICAST},
	{LAB_S1, IP(239, 1, 2, 3), DROP_MULTICAST},
	{LAB_A, IP(255, 255, 255, 255), DROP_BROADCAST},
	{LAB_A, IP(203, 0, 113, 255), DROP_BROADCAST},
	{LAB_S1, IP(10, 8, 0, 255), DROP_BROADCAST},
	{IP(203, 0, 113, 255), LAB_EXT, DROP_MARTIAN_SOURCE},
	{LAB_A, LAB_A, DROP_LAND},
	{LAB_EXT, LAB_EXT, DROP_LAND},
	{IP(10, 9, 9, 9), LAB_S1, DROP_INSIDE_SOURCE},
	{LAB_S1, LAB_A, DROP_INSIDE_DESTINATION},
	{LAB_B, LAB_A, DROP_INSIDE_DESTINATION},
	{LAB_EXT2, LAB_EXT, DROP_SPOOFED_EXTERNAL},
	{LAB_A, IP(192, 0, 2, 1), DROP_EXEMPT},
	{LAB_S1, LAB_S2, DROP_INSIDE_SOURCE},
};

START_TEST(test_c2_17_18_20_1812_5_3_7_address_matrix)
{
	static const uint8_t protos[] = {6, 17, 1, 47};

	lab->addresses[0].last = LAB_EXT2;
	lab->broadcast[0] = (struct nat_prefix){.address = IP(203, 0, 113, 255), .length = 32};
	lab->broadcast[1] = (struct nat_prefix){.address = IP(10, 8, 0, 255), .length = 32};
	lab->policy.n_broadcast = 2;
	lab->exempt[0] = (struct nat_prefix){.address = IP(192, 0, 2, 0), .length = 24};
	lab->policy.n_exempt = 1;
	lab_start(lab);
	for (size_t i = 0; i < sizeof(protos); i++) {
		LAB_SEND(lab, .proto = protos[i], .src = address_cases[_i].src, .dst = address_cases[_i].dst,
			 .sport = 5000, .dport = 80, .icmp_type = 8, .flags = TCP_SYN, .payload_len = 8);
		lab_dropped(lab, address_cases[_i].why);
	}
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

START_TEST(test_c2_3_inside_host_cannot_answer_for_a_server)
{
	uint16_t e;

	lab_start(lab);
	e = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 80);
	LAB_SEND(lab, .proto = 6, .src = LAB_B, .dst = LAB_EXT, .sport = 80, .dport = e, .flags = TCP_SYN | TCP_ACK);
	lab_dropped(lab, DROP_TCP_NO_SESSION);
}
END_TEST

/* ---- malformed ---- */

static const struct {
	const char *what;
	size_t at;
	uint8_t value;
	size_t cut; /* bytes taken from the end */
	enum nat_reason why;
} malformed[] = {
	{"version 6", 0, 0x65, 0, DROP_IP_HEADER},
	{"header of 16 bytes", 0, 0x44, 0, DROP_IP_HEADER},
	{"header beyond the packet", 0, 0x4f, 0, DROP_IP_HEADER},
	{"total length beyond the bytes", 0, 0x45, 5, DROP_SHORT},
	{"total length below the header", 3, 19, 0, DROP_IP_HEADER},
	{"nothing at all", 0, 0x45, 52, DROP_SHORT},
	{"half a header", 0, 0x45, 40, DROP_SHORT},
};

START_TEST(test_1812_4_2_2_malformed_ip)
{
	uint8_t p[200];

	lab_start(lab);
	size_t len = BUILD(p, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 1, .dport = 2, .flags = TCP_SYN,
			   .payload_len = 12);

	ck_assert_uint_eq(len, 52);
	p[malformed[_i].at] = malformed[_i].value;
	if (malformed[_i].at == 3)
		p[2] = 0;
	lab_send(lab, p, len - malformed[_i].cut);
	ck_assert_msg(lab_delta(lab, malformed[_i].why) == 1, "%s", malformed[_i].what);
	lab_dropped(lab, malformed[_i].why);
}
END_TEST

START_TEST(test_1812_5_2_2_bad_ip_checksum)
{
	uint8_t p[200];

	lab_start(lab);
	size_t len = BUILD(p, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 1, .dport = 2, .payload_len = 12);

	p[10] ^= 0x40;
	lab_send(lab, p, len);
	lab_dropped(lab, DROP_IP_CHECKSUM);
}
END_TEST

START_TEST(test_5508_7_3_source_route_does_not_cross)
{
	static const uint8_t loose[8] = {0x83, 7, 4, 198, 51, 100, 7, 0};
	static const uint8_t strict[8] = {0x89, 7, 4, 198, 51, 100, 7, 0};

	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 1, .dport = 2, .ip_options = loose,
		 .ip_options_len = 8);
	lab_dropped(lab, DROP_SOURCE_ROUTE);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 1, .dport = 2, .ip_options = strict,
		 .ip_options_len = 8);
	lab_dropped(lab, DROP_SOURCE_ROUTE);
}
END_TEST

/* ---- exhaustion ---- */

START_TEST(test_6888_11d_nothing_that_lives_is_evicted)
{
	uint16_t e[10];

	lab->policy.limits.sessions = 10;
	lab->policy.limits.reserve = 0;
	lab_start(lab);
	for (uint16_t i = 0; i < 10; i++)
		e[i] = lab_udp_out(lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 7);
	for (int i = 0; i < 5; i++) {
		LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = (uint16_t)(1 + i), .dport = 7);
		ck_assert_uint_eq(lab_delta(lab, DROP_SESSIONS_FULL), 1);
	}
	for (uint16_t i = 0; i < 10; i++) {
		LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .dport = e[i], .payload_len = 1);
		ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dport, 5000 + i);
	}
}
END_TEST

START_TEST(test_vpp_lru_cleanup_full_of_expired_makes_room)
{
	lab->policy.limits.sessions = 10;
	lab->policy.limits.reserve = 0;
	lab_start(lab);
	for (uint16_t i = 0; i < 10; i++)
		lab_udp_out(lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 7);
	lab_advance(lab, 302000);
	for (uint16_t i = 0; i < 10; i++)
		lab_udp_out(lab, LAB_B, (uint16_t)(6000 + i), LAB_S1, 7);
}
END_TEST

START_TEST(test_exhausted_ports_heal_at_once_when_one_is_freed)
{
	uint32_t cursor = 0;

	lab->pool_ports[0] = (struct nat_range){2000, 2001};
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	lab_udp_out(lab, LAB_A, 2, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 3, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
	nat_session_delete(lab->nat, table_next(nat_table(lab->nat), &cursor, UINT32_MAX), SESSION_END_DELETED,
			   lab->now_ms);
	lab_udp_out(lab, LAB_A, 3, LAB_S1, 7);
}
END_TEST

START_TEST(test_6888_4_limits_per_host)
{
	lab->policy.limits.sessions_per_host = 3;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7); /* of any protocol */
	lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7);
	lab_echo_out(lab, LAB_A, 5000, LAB_S1);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 99);
	lab_dropped_with_icmp(lab, DROP_HOST_SESSIONS, 3, 1);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 99, .flags = TCP_SYN);
	lab_dropped_with_icmp(lab, DROP_HOST_SESSIONS, 3, 1);
	lab_udp_out(lab, LAB_B, 5000, LAB_S1, 7);
	lab_advance(lab, 302000);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 99);
}
END_TEST

START_TEST(test_6888_4_port_limit_per_host)
{
	lab->policy.limits.ports_per_host = 2;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 1, LAB_S1, 7);
	lab_udp_out(lab, LAB_A, 2, LAB_S1, 7);
	lab_udp_out(lab, LAB_A, 2, LAB_S2, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 3, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_HOST_PORTS, 3, 1);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 3, .dport = 7, .flags = TCP_SYN);
	lab_dropped_with_icmp(lab, DROP_HOST_PORTS, 3, 1);
	lab_udp_out(lab, LAB_B, 3, LAB_S1, 7);
}
END_TEST

START_TEST(test_6888_4c_new_sessions_a_second_per_host)
{
	lab->policy.limits.new_sessions_per_host = 5;
	lab_start(lab);
	for (uint16_t i = 0; i < 5; i++)
		lab_udp_out(lab, LAB_A, (uint16_t)(1 + i), LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 9, .dport = 7);
	lab_dropped_with_icmp(lab, DROP_HOST_RATE, 3, 1);
	lab_udp_out(lab, LAB_B, 1, LAB_S1, 7);
	lab_advance(lab, 1000);
	lab_udp_out(lab, LAB_A, 10, LAB_S1, 7);
}
END_TEST

/* RELIABILITY C2-10: one host floods, others' success rate is untouched. */
START_TEST(test_c2_10_flood_by_one_host_leaves_room_for_others)
{
	uint64_t refused = 0;

	lab->skip_check = true;
	lab->policy.limits.sessions = 4000;
	lab_start(lab);
	lab_udp_out(lab, LAB_B, 1, LAB_S1, 7);
	for (uint32_t i = 0; i < 20000; i++) {
		LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1 + (i >> 14),
			 .sport = (uint16_t)(1 + (i & 0x3fff)), .dport = 7);
		refused += lab_delta(lab, DROP_UNANSWERED_BUDGET);
	}
	ck_assert_uint_gt(refused, 0);
	for (uint16_t i = 2; i < 1000; i++)
		lab_udp_out(lab, LAB_B, i, LAB_S1, 7);
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

START_TEST(test_c2_10_forged_syn_ack_answers_nothing)
{
	lab_start(lab);
	uint16_t e = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 80);

	ck_assert_uint_eq(table_unanswered_count(nat_table(lab->nat)), 1);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 80, .dport = e, .flags = TCP_SYN | TCP_ACK,
		 .seq = 9, .ack = 0x70000000, .window = 1000);
	ck_assert_uint_eq(table_unanswered_count(nat_table(lab->nat)), 1);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 80, .dport = e, .flags = TCP_SYN | TCP_ACK,
		 .seq = 9, .ack = 1001, .window = 1000);
	lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_eq(table_unanswered_count(nat_table(lab->nat)), 0);
}
END_TEST

/* Found by the honest conversations of check_tcp_window: a FIN sent again may carry a newer ACK. */
START_TEST(test_5382_2_retransmitted_fin_moves_the_window)
{
	uint32_t next = 5001;

	lab_start(lab);
	uint16_t e = lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 80);

	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 80, .seq = 1001, .ack = next,
		 .flags = TCP_FIN | TCP_ACK, .window = 65535);
	lab_one(lab, NAT_TO_OUTSIDE);
	for (int i = 0; i < 100; i++, next += 1400) { /* half-closed: data still comes, beyond one window */
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 80, .dport = e, .seq = next,
			 .ack = 1002, .flags = TCP_ACK, .window = 65535, .payload_len = 1400);
		lab_one(lab, NAT_TO_INSIDE);
		ck_assert_uint_eq(lab_delta(lab, COUNT_TCP_LIBERAL), 0);
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 80, .seq = 1001,
			 .ack = next + 1400, .flags = TCP_FIN | TCP_ACK, .window = 65535);
		lab_one(lab, NAT_TO_OUTSIDE);
	}
}
END_TEST

/* ---- MSS ---- */

static const struct {
	int clamp;
	uint16_t mtu, tun_mtu, sent, got;
} mss[] = {
	{MSS_CLAMP_AUTO, 1440, 0, 1460, 1400},
	{MSS_CLAMP_AUTO, 1440, 0, 1000, 1000},
	{MSS_CLAMP_AUTO, 0, 0, 1460, 1460},
	{MSS_CLAMP_AUTO, 1500, 1400, 1460, 1360},
	{MSS_CLAMP_AUTO, 1440, 1500, 1460, 1400},
	{MSS_CLAMP_AUTO, 0, 1400, 1460, 1360},
	{MSS_CLAMP_OFF, 1440, 1400, 1460, 1460},
	{1200, 0, 0, 1460, 1200},
	{1200, 0, 0, 1100, 1100},
};

START_TEST(test_vpp_mss_clamping)
{
	uint8_t options[8] = {2, 4, (uint8_t)(mss[_i].sent >> 8), (uint8_t)mss[_i].sent, 1, 1, 1, 1};

	lab->policy.mss_clamp = mss[_i].clamp;
	lab->policy.outside_mtu = mss[_i].mtu;
	lab->policy.tun_mtu = mss[_i].tun_mtu;
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 1, .dport = 2, .flags = TCP_SYN,
		 .tcp_options = options, .tcp_options_len = 8);
	ck_assert_uint_eq(load16(lab_one(lab, NAT_TO_OUTSIDE)->bytes + 42), mss[_i].got);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_1918_3_l1_inside_source_never_leaves, sizeof(leaks) / sizeof(leaks[0])},
		{test_l1_sctp_with_junk_is_translated_or_dropped, 1},
		{test_l1_out_of_window_data_is_translated, 1},
		{test_3022_4_1_bad_transport_checksum_is_never_repaired, 3},
		{test_3022_4_1_udp_checksum_zero_stays_zero, 1},
		{test_vpp_trailer_is_ignored, 1},
		{test_c2_17_18_20_1812_5_3_7_address_matrix, sizeof(address_cases) / sizeof(address_cases[0])},
		{test_c2_3_inside_host_cannot_answer_for_a_server, 1},
		{test_1812_4_2_2_malformed_ip, sizeof(malformed) / sizeof(malformed[0])},
		{test_1812_5_2_2_bad_ip_checksum, 1},
		{test_5508_7_3_source_route_does_not_cross, 1},
		{test_6888_11d_nothing_that_lives_is_evicted, 1},
		{test_vpp_lru_cleanup_full_of_expired_makes_room, 1},
		{test_exhausted_ports_heal_at_once_when_one_is_freed, 1},
		{test_6888_4_limits_per_host, 1},
		{test_6888_4_port_limit_per_host, 1},
		{test_6888_4c_new_sessions_a_second_per_host, 1},
		{test_c2_10_flood_by_one_host_leaves_room_for_others, 1},
		{test_c2_10_forged_syn_ack_answers_nothing, 1},
		{test_5382_2_retransmitted_fin_moves_the_window, 1},
		{test_vpp_mss_clamping, sizeof(mss) / sizeof(mss[0])},
	};
	Suite *s = suite_create("nat_refuse");
	TCase *tc = tcase_create("refuse");

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
