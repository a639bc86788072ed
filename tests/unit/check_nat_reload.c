/* SPDX-License-Identifier: ISC */
/* A reload whose sessions are judged in slices: what packets meet in between. */
#include <check.h>

#include "core/table/table_private.h"
#include "natlab.h"
#include "unit.h"

enum { HOSTS = 24, REUSE_MS = 121 * 1000 };

static struct lab *l;

static void setup(void)
{
	l = lab_new();
	l->addresses[0].last = LAB_EXT + 3;
}

static void teardown(void)
{
	lab_free(l);
}

static uint32_t outside_of(uint32_t host, uint16_t sport, uint32_t to)
{
	lab_udp_out(l, host, sport, to, 53);
	return lab_one(l, NAT_TO_OUTSIDE)->v.src;
}

/* Each host has a session; one of those that leave by the last address. *lost: how many do. */
static uint32_t host_on_last_address(uint32_t *lost)
{
	uint32_t host = 0;

	*lost = 0;
	for (uint32_t i = 0; i < HOSTS; i++) {
		if (outside_of(LAB_A + i, 9, LAB_S1) != LAB_EXT + 3)
			continue;
		host = LAB_A + i;
		++*lost;
	}
	ck_assert_uint_ne(host, 0);
	return host;
}

/* Without the last address, from now on; nothing has been judged. */
static void begin_without_last(void)
{
	l->addresses[0].last = LAB_EXT + 2;
	lab_reload_begin(l);
}

static void judge_all(uint32_t ended)
{
	struct nat_reconfigure_report r;

	while (lab_judge(l, 5, &r))
		;
	ck_assert_uint_eq(r.ended, ended);
}

START_TEST(test_packet_of_a_forbidden_session_opens_another_at_once)
{
	uint32_t lost, host, address;
	uint16_t port;

	lab_start(l);
	host = host_on_last_address(&lost);
	begin_without_last();
	port = lab_udp_out(l, host, 9, LAB_S1, 53);
	address = lab_one(l, NAT_TO_OUTSIDE)->v.src;
	ck_assert_uint_lt(address, LAB_EXT + 3);
	ck_assert_uint_eq(lab_sessions(l), HOSTS);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = address, .sport = 53, .dport = port);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, host);
	judge_all(lost);
	ck_assert_uint_eq(lab_sessions(l), HOSTS - lost + 1);
	ck_assert_uint_eq(lab_udp_out(l, host, 9, LAB_S1, 53), port);
}
END_TEST

START_TEST(test_segment_of_a_forbidden_session_is_dropped_and_its_host_gets_a_reset)
{
	struct nat_reconfigure_report r;
	uint32_t lost, host;

	lab_start(l);
	host = host_on_last_address(&lost);
	lab_tcp_established(l, host, 1000, LAB_S1, 443);
	begin_without_last();
	LAB_SEND(l, .proto = 6, .src = host, .dst = LAB_S1, .sport = 1000, .dport = 443, .flags = TCP_ACK, .seq = 1001,
		 .ack = 5001);
	lab_dropped(l, DROP_TCP_NO_SESSION);
	ck_assert_uint_eq(lab_sessions(l), HOSTS);
	ck_assert(lab_judge(l, 1, &r));
	ck_assert_uint_ge(r.ended, 1);
	lab_advance(l, 1);
	ck_assert_uint_eq(l->n_out, 1);
	ck_assert_uint_eq(l->out[0].v.dst, host);
	ck_assert_uint_eq(l->out[0].v.tcp_flags & TCP_RST, TCP_RST);
	lab_syn_out(l, host, 1000, LAB_S1, 443);
	ck_assert_uint_lt(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT + 3);
	judge_all(lost + 1);
}
END_TEST

START_TEST(test_forbidden_mapping_takes_no_more_sessions)
{
	uint32_t lost, host, address;
	uint16_t port;

	lab_start(l);
	host = host_on_last_address(&lost);
	outside_of(host, 9, LAB_S2); /* a mapping of two sessions */
	begin_without_last();
	port = lab_udp_out(l, host, 9, LAB_S3, 53);
	address = lab_one(l, NAT_TO_OUTSIDE)->v.src;
	ck_assert_uint_lt(address, LAB_EXT + 3);
	ck_assert_uint_eq(lab_sessions(l), HOSTS + 2);
	ck_assert_uint_eq(lab_udp_out(l, host, 9, LAB_S2, 53), port); /* its session met */
	judge_all(lost + 1);
	ck_assert_uint_eq(lab_udp_out(l, host, 9, LAB_R, 53), port);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, address);
}
END_TEST

START_TEST(test_outside_host_finds_no_forbidden_mapping)
{
	struct nat_reconfigure_report r;
	uint16_t port;

	l->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	l->addresses[0].last = LAB_EXT;
	lab_start(l);
	port = lab_udp_out(l, LAB_A, 9, LAB_S1, 53);
	l->pool_ports[0] = (struct nat_range){1, 1000};
	lab_reload_begin(l);
	LAB_SEND(l, .proto = 17, .src = LAB_S2, .dst = LAB_EXT, .sport = 53, .dport = port);
	lab_dropped(l, DROP_UNSOLICITED);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = port);
	lab_dropped(l, DROP_UNSOLICITED);
	ck_assert_uint_eq(lab_sessions(l), 0);
	ck_assert(!lab_judge(l, 5, &r));
	ck_assert_uint_eq(r.ended, 1);
}
END_TEST

START_TEST(test_error_about_a_forbidden_session_is_dropped)
{
	struct nat_reconfigure_report r;
	static uint8_t error[BUILD_MAX];
	const struct build b = {.src = LAB_R, .dst = LAB_EXT, .icmp_type = 3, .icmp_code = 1};
	size_t len;

	l->addresses[0].last = LAB_EXT;
	lab_start(l);
	lab_udp_out(l, LAB_A, 9, LAB_S1, 53);
	len = build_icmp_error(error, &b, l->out[0].bytes, l->out[0].len);
	l->pool_ports[0] = (struct nat_range){1, 1000};
	lab_reload_begin(l);
	lab_send(l, error, len);
	lab_dropped(l, DROP_ICMP_NO_SESSION);
	ck_assert_uint_eq(lab_sessions(l), 1);
	ck_assert(!lab_judge(l, 5, &r));
	ck_assert_uint_eq(r.ended, 1);
}
END_TEST

/* RFC 4787 REQ-2: pairing follows the first mapping on an address that there still is. */
START_TEST(test_host_is_paired_anew_while_it_has_forbidden_sessions)
{
	uint32_t lost, host, address;

	lab_start(l);
	host = host_on_last_address(&lost);
	begin_without_last();
	address = outside_of(host, 10, LAB_S1);
	judge_all(lost);
	for (uint16_t sport = 11; sport < 40; sport++)
		ck_assert_uint_eq(outside_of(host, sport, LAB_S1), address);
	lab_advance(l, REUSE_MS);
	ck_assert_uint_eq(outside_of(host, 40, LAB_S1), address);
}
END_TEST

START_TEST(test_blocks_of_a_lost_address_count_for_no_limit)
{
	uint32_t lost, host;

	l->policy.allocation = ALLOCATION_BLOCK;
	l->policy.blocks = (struct nat_blocks){.size = 64, .per_host = 1};
	lab_start(l);
	host = host_on_last_address(&lost);
	begin_without_last();
	ck_assert_uint_lt(outside_of(host, 10, LAB_S1), LAB_EXT + 3);
	judge_all(lost);
	ck_assert_uint_lt(outside_of(host, 11, LAB_S1), LAB_EXT + 3); /* ports of the old block are in quarantine */
}
END_TEST

/* ---- at random ---- */

static const enum nat_allocation kinds[] = {ALLOCATION_PORT, ALLOCATION_BLOCK, ALLOCATION_DETERMINISTIC};

static void change_policy(bool may_change_kind)
{
	uint32_t first = unit_below(3);

	l->addresses[0].first = LAB_EXT + first;
	l->addresses[0].last = LAB_EXT + first + unit_below(3);
	l->pool_ports[0].last = (uint16_t)(unit_below(2) ? 20000 : 19000);
	l->policy.blocks.per_host = 1 + unit_below(3);
	if (may_change_kind)
		l->policy.allocation = kinds[unit_below(3)];
	if (unit_below(4) == 0)
		l->policy.blocks.size = 32 + unit_below(3) * 16;
	l->policy.n_forwards = unit_below(2);
}

static void one_packet(void)
{
	uint32_t remote = LAB_S1 + unit_below(3);

	if (unit_below(4) == 0)
		LAB_SEND(l, .proto = 17, .src = remote, .dst = LAB_EXT + unit_below(6), .sport = 53,
			 .dport = (uint16_t)(15000 + unit_below(5000)));
	else
		LAB_SEND(l, .proto = unit_below(2) ? 17 : 6, .src = LAB_A + unit_below(12), .dst = remote,
			 .sport = (uint16_t)(2000 + unit_below(30)), .dport = 53, .flags = TCP_SYN);
	for (uint32_t i = 0; i < l->n_out; i++) {
		if (l->out[i].to == NAT_TO_OUTSIDE)
			ck_assert_msg(l->out[i].v.src >= l->addresses[0].first &&
					      l->out[i].v.src <= l->addresses[0].last,
				      "left by an address that is none any more");
	}
}

/* Whatever packets come between two slices: in the end the policy allows each session. */
START_TEST(test_nothing_forbidden_is_left_whatever_comes_between_slices)
{
	struct nat_reconfigure_report r;

	l->policy.allocation = kinds[_i];
	l->policy.blocks = (struct nat_blocks){.size = 64, .per_host = 2, .overflow = 1};
	l->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	l->pool_ports[0] = (struct nat_range){15000, 20000};
	l->inside[0].length = 28;
	l->forwards[0] = (struct nat_forward){
		.name = "f", .protocols = 1 << CLASS_UDP, .ports = {15100, 15140}, .to = LAB_B, .to_port = 2000};
	lab_start(l);
	for (int round = 0; round < 25; round++) {
		for (int i = 0; i < 40; i++)
			one_packet();
		change_policy(round % 4 == 0);
		lab_reload_begin(l);
		while (lab_judge(l, 1 + unit_below(8), &r)) {
			for (uint32_t i = unit_below(4); i > 0; i--)
				one_packet();
			if (unit_below(60) == 0)
				lab_advance(l, 1000);
			if (unit_below(60) == 0) {
				change_policy(false);
				lab_reload_begin(l);
			}
		}
		l->exempt[0] = (struct nat_prefix){.address = BUILD_IP(192, 0, 2, (uint32_t)round), .length = 32};
		l->policy.n_exempt = 1; /* something has changed, so they are judged again */
		ck_assert_uint_eq(lab_reload(l).ended, 0);
		if (unit_below(5) == 0)
			lab_advance(l, REUSE_MS);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nat_reload");
	TCase *t = tcase_create("nat_reload");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_packet_of_a_forbidden_session_opens_another_at_once);
	tcase_add_test(t, test_segment_of_a_forbidden_session_is_dropped_and_its_host_gets_a_reset);
	tcase_add_test(t, test_forbidden_mapping_takes_no_more_sessions);
	tcase_add_test(t, test_outside_host_finds_no_forbidden_mapping);
	tcase_add_test(t, test_error_about_a_forbidden_session_is_dropped);
	tcase_add_test(t, test_host_is_paired_anew_while_it_has_forbidden_sessions);
	tcase_add_test(t, test_blocks_of_a_lost_address_count_for_no_limit);
	tcase_add_loop_test(t, test_nothing_forbidden_is_left_whatever_comes_between_slices, 0, 3);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
