/* SPDX-License-Identifier: ISC */
/*
 * Packets that keep a mapping alive, and packets that do not (RFC 4787 REQ-6, RFC 7857 7 and 7.1, RFC 5508 REQ-6):
 * not those of an outside host alone, nor the inside host's refusals of them.
 */
#include <check.h>
#include <string.h>

#include "natlab.h"
#include "unit.h"

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab->policy.timeouts.udp = 120;
}

static void teardown(void)
{
	lab_free(lab);
}

static void udp_in(uint32_t from, uint16_t sport, uint16_t ext)
{
	LAB_SEND(lab, .proto = 17, .src = from, .dst = LAB_EXT, .sport = sport, .dport = ext, .payload_len = 8);
}

static void udp_out(uint32_t to, uint16_t dport)
{
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = to, .sport = 5000, .dport = dport, .payload_len = 8);
	lab_one(lab, NAT_TO_OUTSIDE);
}

START_TEST(test_4787_6_6a_both_directions_refresh_what_the_inside_asked_for)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (int i = 0; i < 10; i++) {
		lab_advance(lab, 100000);
		if (_i)
			udp_in(LAB_S1, 7, e);
		else
			udp_out(LAB_S1, 7);
		ck_assert_uint_eq(lab->n_out, 1);
	}
	lab_advance(lab, 121000);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* The inside host is gone or its port closed; outside hosts knock on, each from many ports, and get ICMP errors. */
START_TEST(test_7857_7_1_flood_from_outside_keeps_no_mapping)
{
	uint8_t p[200], q[200];
	bool closed = _i != 0;

	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (uint16_t i = 0; i < 60; i++) { /* five minutes */
		udp_in(LAB_S2 + i % 5, (uint16_t)(1000 + i), e);
		if (i < 24)
			ck_assert_uint_eq(lab->n_out, 1);
		if (i > 26)
			lab_dropped(lab, DROP_UNSOLICITED);
		if (closed && lab->n_out == 1) {
			size_t len = lab->out[0].len;

			memcpy(q, lab->out[0].bytes, len);
			len = build_icmp_error(
				p,
				&(const struct build){
					.src = LAB_A, .dst = LAB_S2 + i % 5, .icmp_type = 3, .icmp_code = 3},
				q, len);
			lab_send(lab, p, len);
			lab_one(lab, NAT_TO_OUTSIDE);
		}
		lab_advance(lab, 5000);
	}
	ck_assert_uint_eq(lab_sessions(lab), 0);
	ck_assert_uint_eq(table_mapping_count(nat_table(lab->nat)), 0);
}
END_TEST

/* The same with TCP: the inside host answers each SYN with an RST. */
START_TEST(test_7857_7_1_rsts_in_response_keep_no_mapping)
{
	uint32_t in = 0;

	lab_start(lab);
	uint16_t e = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (uint16_t i = 0; i < 180; i++) { /* a quarter of an hour */
		LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = (uint16_t)(1000 + i), .dport = e,
			 .flags = TCP_SYN, .seq = 1, .window = 1000);
		in += lab->n_out;
		if (lab->n_out == 1) {
			LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S2, .sport = 5000,
				 .dport = (uint16_t)(1000 + i), .flags = TCP_RST | TCP_ACK, .ack = 2);
			lab_one(lab, NAT_TO_OUTSIDE);
		}
		lab_advance(lab, 5000);
	}
	ck_assert_uint_ge(in, 48);
	ck_assert_uint_le(in, 52);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* One that the inside host answers is a conversation, and holds the mapping as any other. */
START_TEST(test_4787_6_answered_sessions_hold_the_mapping)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (int i = 0; i < 10; i++) {
		udp_in(LAB_S2, 99, e);
		lab_one(lab, NAT_TO_INSIDE);
		udp_out(LAB_S2, 99);
		lab_advance(lab, 100000);
	}
	udp_in(LAB_S3, 99, e);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

/* ... also when the first answer was an RST, and after a restart. */
START_TEST(test_answered_later_holds_the_mapping)
{
	lab_start(lab);
	uint16_t e = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (int i = 0; i < 2; i++) {
		LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 99, .dport = e, .flags = TCP_SYN,
			 .seq = 1, .window = 1000);
		lab_one(lab, NAT_TO_INSIDE);
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S2, .sport = 5000, .dport = 99,
			 .flags = (uint8_t)((i == 0 ? TCP_RST : TCP_SYN) | TCP_ACK), .ack = 2, .window = 1000);
		lab_one(lab, NAT_TO_OUTSIDE);
	}
	LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 99, .dport = e, .flags = TCP_ACK, .seq = 2,
		 .ack = 1, .window = 1000);
	lab_one(lab, NAT_TO_INSIDE);
	lab_advance(lab, 1000000);
	ck_assert_uint_eq(lab_sessions(lab), 1);
	lab_restart(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S3, .dst = LAB_EXT, .sport = 99, .dport = e, .flags = TCP_SYN);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

/* The host comes back before the last session of the mapping has gone: it has the same port, and is open again. */
START_TEST(test_4787_1_6_host_that_speaks_again_has_its_mapping_back)
{
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	lab_advance(lab, 100000);
	udp_in(LAB_S2, 99, e);
	lab_advance(lab, 50000);
	udp_in(LAB_S3, 99, e);
	lab_dropped(lab, DROP_UNSOLICITED);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), e);
	udp_in(LAB_S3, 99, e);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

/* ---- fault 38: a TCP session that is over on the inside is not pinned from outside ---- */

static uint16_t port; /* of the session, outside */

static void tcp(enum nat_dir dir, unsigned flags, uint32_t seq, uint32_t ack, size_t len)
{
	if (dir == DIR_OUT)
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 80,
			 .flags = (uint8_t)flags, .seq = 1001 + seq, .ack = 5001 + ack, .window = 65535,
			 .payload_len = len);
	else
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 80, .dport = port,
			 .flags = (uint8_t)flags, .seq = 5001 + seq, .ack = 1001 + ack, .window = 65535,
			 .payload_len = len);
}

/* The ends that inside brings about; after each the session has no more than the time of its state. */
static const struct {
	const char *name;
	uint32_t lasts_s;
	struct {
		enum nat_dir dir;
		unsigned flags;
		uint32_t seq, ack;
	} steps[4];
} ends[] = {
	{"RST from inside", 240, {{DIR_OUT, TCP_RST, 0, 0}}},
	{"RST from outside", 240, {{DIR_IN, TCP_RST, 0, 0}}},
	{"both FINs",
	 240,
	 {{DIR_OUT, TCP_FIN | TCP_ACK, 0, 0},
	  {DIR_IN, TCP_FIN | TCP_ACK, 0, 1},
	  {DIR_OUT, TCP_ACK, 1, 1},
	  {DIR_OUT, TCP_ACK, 1, 1}}},
	{"both FINs, one not acknowledged",
	 240,
	 {{DIR_OUT, TCP_FIN | TCP_ACK, 0, 0}, {DIR_IN, TCP_FIN | TCP_ACK, 0, 0}}},
	{"FIN from inside", 7440, {{DIR_OUT, TCP_FIN | TCP_ACK, 0, 0}, {DIR_IN, TCP_ACK, 0, 1}}},
	{"FIN from inside, not acknowledged", 7440, {{DIR_OUT, TCP_FIN | TCP_ACK, 0, 0}}},
};

static void finish(int how)
{
	port = lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 80);
	for (unsigned i = 0; i < 4 && ends[how].steps[i].flags != 0; i++)
		tcp(ends[how].steps[i].dir, ends[how].steps[i].flags, ends[how].steps[i].seq, ends[how].steps[i].ack,
		    0);
}

/* Unsolicited segments of an outside host: SYNs, ACKs, data with rising numbers, RSTs, FINs; and all of them in
 * turn. */
static void knock(int with, uint32_t i)
{
	switch (with < 5 ? with : (int)(i % 5)) {
	case 0:
		tcp(DIR_IN, TCP_SYN, 90000000 + 1000 * i, 0, 0);
		break;
	case 1:
		tcp(DIR_IN, TCP_ACK, 1, 1, 0);
		break;
	case 2:
		tcp(DIR_IN, TCP_ACK | TCP_PSH, 10 * i, 1, 10);
		break;
	case 3:
		tcp(DIR_IN, TCP_RST, 0, 0, 0);
		break;
	default:
		tcp(DIR_IN, TCP_FIN | TCP_ACK, 10 * i, 1, 0);
	}
}

START_TEST(test_7857_7_fault_38_finished_session_is_not_pinned_from_outside)
{
	enum { WITH = 6, EVERY_S = 60 };
	int how = _i / WITH, with = _i % WITH;
	uint32_t lasts_s = ends[how].lasts_s;

	lab_start(lab);
	finish(how);
	/* a knock may take it one state further, each of which lasts as long as it is meant to */
	for (uint32_t at = EVERY_S; at <= lasts_s + 3 * 240; at += EVERY_S) {
		lab_advance(lab, EVERY_S * 1000);
		knock(with, at / EVERY_S);
	}
	ck_assert_msg(lab_sessions(lab) == 0, "after %s, with %d", ends[how].name, with);
	ck_assert_uint_eq(table_mapping_count(nat_table(lab->nat)), 0);
}
END_TEST

/* ... and connections with answers of the inside host go on: a half-closed download of an hour, a new connection after
 * TIME_WAIT. */
START_TEST(test_5382_2_half_closed_download_lives_by_its_acks)
{
	lab_start(lab);
	finish(4);
	for (uint32_t i = 0; i < 6; i++) {
		lab_advance(lab, 7000000);
		tcp(DIR_IN, TCP_ACK | TCP_PSH, 10 * i, 1, 10);
		lab_one(lab, NAT_TO_INSIDE);
		tcp(DIR_OUT, TCP_ACK, 1, 10 * (i + 1), 0);
		lab_one(lab, NAT_TO_OUTSIDE);
	}
}
END_TEST

START_TEST(test_5382_2_answered_syn_after_time_wait_lives)
{
	lab_start(lab);
	finish(2);
	lab_advance(lab, 200000);
	tcp(DIR_IN, TCP_SYN, 900000, 0, 0);
	lab_one(lab, NAT_TO_INSIDE);
	tcp(DIR_OUT, TCP_SYN | TCP_ACK, 700000, 900001, 0);
	lab_one(lab, NAT_TO_OUTSIDE);
	lab_advance(lab, 200000);
	tcp(DIR_IN, TCP_ACK, 900001, 700001, 0);
	lab_one(lab, NAT_TO_INSIDE);
	lab_advance(lab, 7000000);
	ck_assert_uint_eq(lab_sessions(lab), 1);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_4787_6_6a_both_directions_refresh_what_the_inside_asked_for, 2},
		{test_7857_7_1_flood_from_outside_keeps_no_mapping, 2},
		{test_7857_7_1_rsts_in_response_keep_no_mapping, 1},
		{test_4787_6_answered_sessions_hold_the_mapping, 1},
		{test_answered_later_holds_the_mapping, 1},
		{test_4787_1_6_host_that_speaks_again_has_its_mapping_back, 1},
		{test_7857_7_fault_38_finished_session_is_not_pinned_from_outside,
		 6 * (int)(sizeof(ends) / sizeof(ends[0]))},
		{test_5382_2_half_closed_download_lives_by_its_acks, 1},
		{test_5382_2_answered_syn_after_time_wait_lives, 1},
	};
	Suite *s = suite_create("nat_refresh");
	TCase *tc = tcase_create("refresh");

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
