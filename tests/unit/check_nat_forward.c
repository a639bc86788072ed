/* SPDX-License-Identifier: ISC */
/*
 * Forwards (static mappings) through the core: which one takes a packet, ranges, the effect of a reload on them and
 * on dynamic mappings, and the reverse.
 *
 * Names tell where a scenario comes from: libalias (3_natin.c: portforward, portoverlap, redirectany), vpp
 * (static_dynamic, dynamic_to_static, hairpinning, hairpinning_avoid_inf_loop).
 */
#include <check.h>
#include <string.h>

#include "natlab.h"
#include "unit.h"

enum { TCP = 1 << CLASS_TCP, UDP = 1 << CLASS_UDP };

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
}

static void teardown(void)
{
	lab_free(lab);
}

static struct nat_forward *add(const char *name, uint8_t protocols, uint16_t first, uint16_t last)
{
	struct nat_forward *f = &lab->forwards[lab->policy.n_forwards++];

	*f = (struct nat_forward){.protocols = protocols, .ports = {first, last}, .to = LAB_WEB, .to_port = first};
	strcpy(f->name, name);
	return f;
}

static void syn_in(uint32_t from, uint32_t to, uint16_t dport)
{
	LAB_SEND(lab, .proto = 6, .src = from, .dst = to, .sport = (uint16_t)(900 + to % 256), .dport = dport,
		 .flags = TCP_SYN, .seq = 1, .window = 1000, .df = true);
}

static void expect_to(uint32_t host, uint16_t port)
{
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->v.dst, host);
	ck_assert_uint_eq(o->v.dport, port);
}

/* ---- which one ---- */

/* libalias portforward, portoverlap: natd takes the first in the file that matches, so the specific stand first. */
START_TEST(test_libalias_portoverlap_first_in_the_file_wins)
{
	static const struct nat_prefix one = {.address = LAB_S1, .length = 32};
	struct nat_forward *f;

	lab->addresses[0].last = LAB_EXT2;
	f = add("from-s1", TCP, 80, 80);
	f->from = &one;
	f->n_from = 1;
	f->to_port = 8001;
	f = add("address", TCP, 80, 80);
	f->address = LAB_EXT2;
	f->to_port = 8002;
	f = add("port", TCP, 80, 80);
	f->to_port = 8003;
	add("range", TCP, 1, 1000)->to_port = 10001;
	lab_start(lab);
	syn_in(LAB_S1, LAB_EXT, 80);
	expect_to(LAB_WEB, 8001);
	syn_in(LAB_S1, LAB_EXT2, 80);
	expect_to(LAB_WEB, 8001);
	syn_in(LAB_S2, LAB_EXT2, 80);
	expect_to(LAB_WEB, 8002);
	syn_in(LAB_S2, LAB_EXT, 80);
	expect_to(LAB_WEB, 8003);
	syn_in(LAB_S2, LAB_EXT, 81);
	expect_to(LAB_WEB, 10081);
	syn_in(LAB_S2, LAB_EXT, 1001);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
}
END_TEST

/* A wildcard that stands before a specific one takes everything: file order, nothing else. */
START_TEST(test_forward_wildcard_first_hides_the_rest)
{
	lab->addresses[0].last = LAB_EXT2;
	add("any", TCP, 80, 80)->to_port = 8001;
	struct nat_forward *f = add("two", TCP, 80, 80);

	f->address = LAB_EXT2;
	f->to_port = 8002;
	lab_start(lab);
	syn_in(LAB_S1, LAB_EXT2, 80);
	expect_to(LAB_WEB, 8001);
}
END_TEST

START_TEST(test_7857_6_forward_is_for_its_protocol_alone)
{
	add("tcp", TCP, 5000, 5000);
	add("udp", UDP, 6000, 6000);
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 9, .dport = 5000, .payload_len = 8);
	lab_dropped(lab, DROP_UNSOLICITED);
	syn_in(LAB_S1, LAB_EXT, 6000);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	syn_in(LAB_S1, LAB_EXT, 5000);
	expect_to(LAB_WEB, 5000);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 9, .dport = 6000, .payload_len = 8);
	expect_to(LAB_WEB, 6000);
}
END_TEST

START_TEST(test_forward_ranges_keep_step_to_their_edges)
{
	add("low", TCP | UDP, 1, 3)->to_port = 65533;
	add("high", TCP | UDP, 65533, 65535)->to_port = 1;
	lab_start(lab);
	for (uint16_t i = 0; i < 3; i++) {
		syn_in(LAB_S1, LAB_EXT, (uint16_t)(1 + i));
		expect_to(LAB_WEB, (uint16_t)(65533 + i));
		LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 9, .dport = (uint16_t)(65533 + i),
			 .payload_len = 8);
		expect_to(LAB_WEB, (uint16_t)(1 + i));
	}
	syn_in(LAB_S1, LAB_EXT, 4);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	syn_in(LAB_S1, LAB_EXT, 65532);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
}
END_TEST

/* A shared address: the forward's port is natd's though it is none of the configured ones. */
START_TEST(test_forward_on_a_shared_address)
{
	lab->addresses[0].shared = true;
	add("web", TCP, 80, 80);
	lab_start(lab);
	syn_in(LAB_S1, LAB_EXT, 80);
	expect_to(LAB_WEB, 80);
	syn_in(LAB_S1, LAB_EXT, 81);
	lab_one(lab, NAT_TO_HOST);
}
END_TEST

/* One remote port to one inside port by way of two outside addresses: the answers could not be told apart, so the
 * second is refused, and the first goes on. */
START_TEST(test_forward_same_remote_endpoint_twice_is_refused)
{
	lab->addresses[0].last = LAB_EXT2;
	add("web", TCP, 80, 80);
	lab_start(lab);
	syn_in(LAB_S1, LAB_EXT, 80);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT2, .sport = lab->out[0].v.sport, .dport = 80,
		 .flags = TCP_SYN);
	lab_dropped(lab, DROP_TABLE);
	syn_in(LAB_S1, LAB_EXT, 80);
	expect_to(LAB_WEB, 80);
}
END_TEST

/* ---- the inside host speaks first ---- */

/* One external endpoint, whatever the destination, for a forwarded internal endpoint too. */
START_TEST(test_4787_1_5382_1_forwarded_endpoint_is_its_mapping)
{
	add("game", TCP | UDP, 27015, 27015);
	lab_start(lab);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(lab_udp_out(lab, LAB_WEB, 27015, LAB_S1 + i, 7), 27015);
		ck_assert_uint_eq(lab_syn_out(lab, LAB_WEB, 27015, LAB_S1 + i, 7), 27015);
	}
	ck_assert_uint_ne(lab_udp_out(lab, LAB_WEB, 27016, LAB_S1, 7), 27015);
	ck_assert_uint_ne(lab_udp_out(lab, LAB_A, 27015, LAB_S1, 7), 27015);
}
END_TEST

/* ---- hairpinning ---- */

/* VPP hairpinning: to a forward of another host, and the answers. */
START_TEST(test_vpp_hairpinning_udp_4787_9_9a)
{
	add("dns", UDP, 53, 53)->to_port = 5353;
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_EXT, .sport = 5000, .dport = 53, .payload_len = 8);
	expect_to(LAB_WEB, 5353);
	uint16_t a = lab->out[0].v.sport;

	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
	LAB_SEND(lab, .proto = 17, .src = LAB_WEB, .dst = LAB_EXT, .sport = 5353, .dport = a, .payload_len = 8);
	expect_to(LAB_A, 5000);
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
	ck_assert_uint_eq(lab->out[0].v.sport, 53);
}
END_TEST

/* A server that connects to itself by its outside address. */
START_TEST(test_vpp_hairpinning_to_the_forwards_own_host)
{
	add("web", TCP, 80, 80);
	lab_start(lab);
	syn_in(LAB_WEB, LAB_EXT, 80);
	expect_to(LAB_WEB, 80);
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
}
END_TEST

/* VPP hairpinning_avoid_inf_loop: a forward that leads to an outside address of natd's own would come back for ever. */
START_TEST(test_vpp_hairpinning_avoid_inf_loop)
{
	add("self", TCP, 80, 80)->to = LAB_EXT;
	add("web", TCP, 81, 81);
	lab_start(lab);
	syn_in(LAB_S1, LAB_EXT, 80);
	lab_dropped(lab, DROP_HAIRPIN_LOOP);
	syn_in(LAB_A, LAB_EXT, 80);
	ck_assert_uint_eq(lab_delta(lab, DROP_HAIRPIN_LOOP), 1);
	ck_assert_uint_eq(lab->n_out, 0);
	syn_in(LAB_S1, LAB_EXT, 81);
	expect_to(LAB_WEB, 81);
}
END_TEST

START_TEST(test_hairpinning_off_closes_forwards_from_inside_alone)
{
	lab->policy.hairpinning = false;
	add("web", TCP, 80, 80);
	lab_start(lab);
	syn_in(LAB_A, LAB_EXT, 80);
	lab_dropped_with_icmp(lab, DROP_HAIRPIN_OFF, 3, 13);
	syn_in(LAB_S1, LAB_EXT, 80);
	expect_to(LAB_WEB, 80);
}
END_TEST

/* ---- reload ---- */

/* VPP static_dynamic: a forward takes a port that a dynamic mapping has. The mapping ends; its host gets another
 * port. */
START_TEST(test_vpp_static_dynamic_forward_over_a_live_mapping)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	uint16_t other = lab_udp_out(lab, LAB_A, 5001, LAB_S1, 7);

	add("game", UDP, e, e)->to_port = 27015;
	struct nat_reconfigure_report r = lab_reload(lab);

	ck_assert_uint_eq(r.ended, 1);
	ck_assert_uint_eq(r.kept, 1);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .dport = e, .payload_len = 8);
	expect_to(LAB_WEB, 27015);
	ck_assert_uint_ne(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), e);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5001, LAB_S2, 7), other);
}
END_TEST

/* VPP dynamic_to_static: a forward to an endpoint that has a dynamic mapping. While that exists it stays the
 * endpoint's mapping (RFC 4787 REQ-1); answers to packets by the forward leave from its port; afterwards the
 * forward's port is the endpoint's. */
START_TEST(test_vpp_dynamic_to_static_4787_1)
{
	struct nat_forward *f;

	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	f = add("game", UDP, 27015, 27015);
	f->to = LAB_A;
	f->to_port = 5000;
	ck_assert_uint_eq(lab_reload(lab).ended, 0);
	LAB_SEND(lab, .proto = 17, .src = LAB_S2, .dst = LAB_EXT, .sport = 7, .dport = 27015, .payload_len = 8);
	expect_to(LAB_A, 5000);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S2, 7), 27015);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S3, 7), e);
	lab_advance(lab, 301000);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), 27015);
}
END_TEST

/* Gone, leading elsewhere, or refusing the remote: its sessions end. Only renamed or moved in the file: they stay. */
START_TEST(test_reload_ends_what_a_forward_no_longer_says)
{
	static const struct nat_prefix one = {.address = LAB_S2, .length = 32};
	struct nat_forward *f = add("web", TCP, 80, 80);

	add("box", TCP, 22, 22);
	lab_start(lab);
	syn_in(LAB_S1, LAB_EXT, 80);
	switch (_i) {
	case 0:
		f->ports = (struct nat_range){81, 81};
		break;
	case 1:
		f->to = LAB_A;
		break;
	case 2:
		f->from = &one;
		f->n_from = 1;
		break;
	case 3:
		f->to_port = 8080;
		break;
	default: { /* changes places with the other */
		struct nat_forward t = lab->forwards[0];

		lab->forwards[0] = lab->forwards[1];
		lab->forwards[1] = t;
		strcpy(lab->forwards[1].name, "www");
	}
	}
	ck_assert_uint_eq(lab_reload(lab).ended, _i < 4 ? 1 : 0);
	if (_i == 4) {
		uint32_t cursor = 0;

		ck_assert_str_eq(nat_forward_name(lab->nat, table_next(nat_table(lab->nat), &cursor, UINT32_MAX)),
				 "www");
	}
}
END_TEST

/* libalias redirectany: a forward without address follows the outside address. */
START_TEST(test_libalias_redirectany_follows_the_address)
{
	add("web", TCP, 80, 80);
	lab_start(lab);
	syn_in(LAB_S1, LAB_EXT, 80);
	expect_to(LAB_WEB, 80);
	lab->addresses[0] = (struct nat_address_range){.first = LAB_EXT2, .last = LAB_EXT2};
	ck_assert_uint_eq(lab_reload(lab).ended, 1);
	syn_in(LAB_S1, LAB_EXT2, 80);
	expect_to(LAB_WEB, 80);
}
END_TEST

/* Its host would answer past natd: such a session carried half of a conversation, until a reload ended it. */
START_TEST(test_no_session_from_an_exempt_address)
{
	uint16_t mapped;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab->exempt[0] = (struct nat_prefix){.address = LAB_S2, .length = 32};
	lab->policy.n_exempt = 1;
	add("web", TCP, 80, 80);
	*add("gre", 1 << CLASS_OTHER, 47, 47) = (struct nat_forward){
		.name = "gre", .protocols = 1 << CLASS_OTHER, .ports = {47, 47}, .to = LAB_B, .to_port = 47};
	lab_start(lab);
	mapped = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
	syn_in(LAB_S2, LAB_EXT, 80);
	lab_dropped(lab, DROP_EXEMPT);
	LAB_SEND(lab, .proto = 47, .src = LAB_S2, .dst = LAB_EXT, .payload_len = 8);
	lab_dropped(lab, DROP_EXEMPT);
	LAB_SEND(lab, .proto = 17, .src = LAB_S2, .dst = LAB_EXT, .sport = 7, .dport = mapped, .payload_len = 8);
	lab_dropped(lab, DROP_EXEMPT);
	syn_in(LAB_S1, LAB_EXT, 80);
	expect_to(LAB_WEB, 80);
}
END_TEST

/* ---- limits hold for inbound packets, too; the outside gets no answer ---- */

START_TEST(test_6888_4_5_limits_bind_forwards)
{
	lab->policy.limits.sessions_per_host = 3;
	add("web", TCP, 80, 80);
	lab_start(lab);
	for (uint32_t i = 0; i < 3; i++) {
		syn_in(LAB_S1 + i, LAB_EXT, 80);
		expect_to(LAB_WEB, 80);
	}
	syn_in(LAB_S1 + 4, LAB_EXT, 80);
	lab_dropped(lab, DROP_HOST_SESSIONS);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_libalias_portoverlap_first_in_the_file_wins, 1},
		{test_forward_wildcard_first_hides_the_rest, 1},
		{test_7857_6_forward_is_for_its_protocol_alone, 1},
		{test_forward_ranges_keep_step_to_their_edges, 1},
		{test_forward_on_a_shared_address, 1},
		{test_forward_same_remote_endpoint_twice_is_refused, 1},
		{test_4787_1_5382_1_forwarded_endpoint_is_its_mapping, 1},
		{test_vpp_hairpinning_udp_4787_9_9a, 1},
		{test_vpp_hairpinning_to_the_forwards_own_host, 1},
		{test_vpp_hairpinning_avoid_inf_loop, 1},
		{test_hairpinning_off_closes_forwards_from_inside_alone, 1},
		{test_vpp_static_dynamic_forward_over_a_live_mapping, 1},
		{test_vpp_dynamic_to_static_4787_1, 1},
		{test_reload_ends_what_a_forward_no_longer_says, 5},
		{test_libalias_redirectany_follows_the_address, 1},
		{test_no_session_from_an_exempt_address, 1},
		{test_6888_4_5_limits_bind_forwards, 1},
	};
	Suite *s = suite_create("nat_forward");
	TCase *tc = tcase_create("forward");

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
