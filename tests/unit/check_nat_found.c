/* SPDX-License-Identifier: ISC */
/* Faults that the model test and the fuzzer have found in the core: a test for each. */
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

/* The remote side of a hairpinned session is natd's own address; no outside host may use it as a source. */
START_TEST(test_c2_16_land_packet_of_a_hairpinned_session)
{
	uint16_t a, b;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	a = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	b = lab_udp_out(lab, LAB_B, 5000, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .payload_len = 8);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_B);
	LAB_SEND(lab, .proto = 17, .src = LAB_EXT, .dst = LAB_EXT, .sport = a, .dport = b, .payload_len = 8);
	lab_dropped(lab, DROP_LAND);
}
END_TEST

/* One call with a budget for all of them ends all of them, wherever the last one stopped. */
START_TEST(test_sweep_sees_every_record_in_one_round)
{
	lab_start(lab);
	for (uint16_t i = 0; i < 40; i++)
		lab_udp_out(lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 7);
	nat_step(lab->nat, lab->now_ms, (uint32_t)(_i + 1), NULL, NULL);
	nat_step(lab->nat, lab->now_ms + 301000, 1000, NULL, NULL);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* As long as it says that there is more, there is; and the other way round. */
START_TEST(test_step_says_that_more_may_be_over)
{
	struct nat_stepped done = {0};
	int steps = 0;

	lab_start(lab);
	for (uint16_t i = 0; i < 64; i++)
		lab_udp_out(lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 7);
	do {
		done = nat_step(lab->nat, lab->now_ms + 301000, 64, NULL, NULL);
		ck_assert_int_lt(steps++, 10);
	} while (done.ended);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* An address that there was room for only when the one before had gone: a forward on it works at once. */
START_TEST(test_forward_on_an_address_that_another_made_room_for)
{
	lab->memory.max_addresses = 1;
	lab_start(lab);
	lab->addresses[0] = (struct nat_address_range){.first = LAB_EXT2, .last = LAB_EXT2};
	lab->forwards[0] = (struct nat_forward){.name = "web",
						.protocols = 1 << CLASS_UDP,
						.address = LAB_EXT2,
						.ports = {8080, 8080},
						.to = LAB_WEB,
						.to_port = 80};
	lab->policy.n_forwards = 1;
	lab_reload(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT2, .sport = 5000, .dport = 8080, .payload_len = 8);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_WEB);
}
END_TEST

/* A hairpinned packet whose destination has become the host's own is handed over as its sender sent it. */
START_TEST(test_4787_9_hairpin_to_a_port_that_became_the_hosts)
{
	const struct lab_out *o;
	uint16_t a, b;

	lab->addresses[0].shared = true;
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	a = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	b = lab_udp_out(lab, LAB_B, 5000, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .payload_len = 8);
	lab_one(lab, NAT_TO_INSIDE);
	lab->shared_ports[0] = (struct nat_range){a, a};
	lab->policy.n_shared_ports = 1;
	lab_reload(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .payload_len = 8);
	o = lab_one(lab, NAT_TO_HOST);
	ck_assert_uint_eq(o->len, lab->in_len);
	ck_assert_mem_eq(o->bytes, lab->in, lab->in_len);
}
END_TEST

/* ... and the fragments that follow it count for no session. */
START_TEST(test_4787_14_fragments_to_a_port_that_became_the_hosts)
{
	uint8_t whole[256], piece[256];
	struct session *s;
	uint32_t cursor = 0;
	uint16_t a, b;

	lab->addresses[0].shared = true;
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	a = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	b = lab_udp_out(lab, LAB_B, 5000, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .payload_len = 8);
	lab_one(lab, NAT_TO_INSIDE);
	lab->shared_ports[0] = (struct nat_range){a, a};
	lab->policy.n_shared_ports = 1;
	lab_reload(lab);
	BUILD(whole, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .payload_len = 40);
	lab_send(lab, piece, build_fragment(piece, whole, 0, 24));
	lab_one(lab, NAT_TO_HOST);
	lab_send(lab, piece, build_fragment(piece, whole, 24, 24));
	lab_one(lab, NAT_TO_HOST);
	while ((s = table_next(nat_table(lab->nat), &cursor, UINT32_MAX)) != NULL)
		ck_assert_uint_eq(s->packets[DIR_IN], 0);
}
END_TEST

/* The same with a SYN, whose MSS would be clamped on its way inside. */
START_TEST(test_4787_9_syn_to_a_port_that_became_the_hosts)
{
	static const uint8_t mss[] = {2, 4, 0x23, 0};
	uint16_t a, b;

	lab->addresses[0].shared = true;
	lab->policy.mss_clamp = 536;
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	a = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7);
	b = lab_syn_out(lab, LAB_B, 5000, LAB_S1, 7);
	for (int round = 0; round < 2; round++) {
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = b, .flags = TCP_SYN,
			 .tcp_options = mss, .tcp_options_len = sizeof(mss));
		lab_one(lab, round == 0 ? NAT_TO_INSIDE : NAT_TO_HOST);
		lab->shared_ports[0] = (struct nat_range){a, a};
		lab->policy.n_shared_ports = 1;
		lab_reload(lab);
	}
	ck_assert_mem_eq(lab->out[0].bytes, lab->in, lab->in_len);
}
END_TEST

/* A remote that a reload puts inside, or makes a broadcast address: nothing goes outside for it any more. */
START_TEST(test_c2_30_remote_that_a_reload_puts_inside)
{
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	if (_i == 0)
		lab->inside[lab->policy.n_inside++] = (struct nat_prefix){.address = LAB_S1, .length = 32};
	else
		lab->broadcast[lab->policy.n_broadcast++] = (struct nat_prefix){.address = LAB_S1, .length = 32};
	ck_assert_uint_eq(lab_reload(lab).ended, 1);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 7, .payload_len = 8);
	lab_dropped(lab, _i == 0 ? DROP_INSIDE_DESTINATION : DROP_BROADCAST);
}
END_TEST

/* Tokens from a higher rate are not spent under a lower one. */
START_TEST(test_6888_4_rate_lowered_by_a_reload)
{
	lab->policy.limits.new_sessions_per_host = 10;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	lab->policy.limits.new_sessions_per_host = 1;
	lab_reload(lab);
	lab_udp_out(lab, LAB_A, 5001, LAB_S1, 7);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5002, .dport = 7, .payload_len = 8);
	lab_dropped_with_icmp(lab, DROP_HOST_RATE, 3, 1);
}
END_TEST

/* Too large to go out: answered, but not to a source that is none of an inside host's. */
static const struct {
	uint32_t src;
	enum nat_reason why;
} strangers[] = {
	{LAB_S2, DROP_INSIDE_SOURCE},
	{BUILD_IP(10, 9, 0, 1), DROP_INSIDE_SOURCE},
	{LAB_EXT, DROP_INSIDE_SOURCE},
	{BUILD_IP(127, 0, 0, 1), DROP_MARTIAN_SOURCE},
};

START_TEST(test_1812_no_error_to_a_stranger_whose_packet_is_too_big)
{
	lab->policy.outside_mtu = 576;
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = strangers[_i].src, .dst = LAB_S1, .sport = 1, .dport = 7, .payload_len = 600,
		 .df = true);
	lab_dropped(lab, strangers[_i].why);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nat_found");
	TCase *t = tcase_create("nat_found");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_c2_16_land_packet_of_a_hairpinned_session);
	tcase_add_loop_test(t, test_sweep_sees_every_record_in_one_round, 0, 40);
	tcase_add_test(t, test_step_says_that_more_may_be_over);
	tcase_add_test(t, test_forward_on_an_address_that_another_made_room_for);
	tcase_add_test(t, test_4787_9_hairpin_to_a_port_that_became_the_hosts);
	tcase_add_test(t, test_4787_14_fragments_to_a_port_that_became_the_hosts);
	tcase_add_test(t, test_4787_9_syn_to_a_port_that_became_the_hosts);
	tcase_add_test(t, test_6888_4_rate_lowered_by_a_reload);
	tcase_add_loop_test(t, test_c2_30_remote_that_a_reload_puts_inside, 0, 2);
	tcase_add_loop_test(t, test_1812_no_error_to_a_stranger_whose_packet_is_too_big, 0,
			    (int)(sizeof(strangers) / sizeof(strangers[0])));
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
