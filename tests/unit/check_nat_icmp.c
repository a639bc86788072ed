/* SPDX-License-Identifier: ISC */
/*
 * ICMP errors through the whole core (RFC 5508, RFC 4787 REQ-12, RFC 7857 2.2), and those that natd owes itself: about
 * each kind of packet, from the end host and from a router on the way, in both directions and hairpinned.
 */
#include <check.h>
#include <string.h>

#include "../../src/core/packet/icmp.h"
#include "natlab.h"
#include "unit.h"

enum { PORT = 5000, SERVER_PORT = 7 };

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
}

static void teardown(void)
{
	lab_free(lab);
}

/* ---- what an error is about ---- */

enum about { ABOUT_UDP, ABOUT_UDP_NO_CHECKSUM, ABOUT_TCP_8_BYTES, ABOUT_TCP_WHOLE, ABOUT_ECHO, ABOUT_COUNT };

static bool is_tcp(enum about a)
{
	return a == ABOUT_TCP_8_BYTES || a == ABOUT_TCP_WHOLE;
}

static struct build flow_packet(enum about a, uint32_t src, uint32_t dst)
{
	struct build b = {.src = src, .dst = dst, .sport = PORT, .dport = SERVER_PORT, .payload_len = 40, .df = true};

	b.proto = is_tcp(a) ? 6 : a == ABOUT_ECHO ? 1 : 17;
	b.no_checksum = a == ABOUT_UDP_NO_CHECKSUM;
	if (is_tcp(a)) {
		b.flags = TCP_SYN;
		b.seq = 1000;
		b.window = 8000;
		b.payload_len = 0;
	}
	if (a == ABOUT_ECHO)
		b.icmp_type = 8;
	return b;
}

static size_t quote_len(enum about a, size_t len)
{
	return a == ABOUT_TCP_8_BYTES ? 28 : len;
}

/* A's packet to S1 goes out; `seen` is what the network saw of it. */
static size_t open_flow(enum about a, uint8_t *seen)
{
	struct build b = flow_packet(a, LAB_A, LAB_S1);

	lab->in_len = build_packet(lab->in, &b);
	lab_send(lab, lab->in, lab->in_len);
	const struct lab_out *o = lab_one(lab, NAT_TO_OUTSIDE);

	memcpy(seen, o->bytes, o->len);
	return o->len;
}

static void send_error(uint32_t from, uint32_t to, uint8_t type, uint8_t code, const uint8_t *quoted, size_t len)
{
	struct build b = {.src = from, .dst = to, .icmp_type = type, .icmp_code = code, .df = true};
	uint8_t p[2000];

	if (type == 3 && code == 4)
		b.icmp_rest = 1200;
	lab_send(lab, p, build_icmp_error(p, &b, quoted, len));
}

static struct pkt_view quote_of(const struct lab_out *o)
{
	struct pkt_view q;

	ck_assert_int_eq(o->v.kind, PKT_ICMP_ERROR);
	ck_assert_int_eq(packet_parse_quote(&o->v, &q), NAT_PASS);
	return q;
}

static void expect_quote(const struct lab_out *o, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	struct pkt_view q = quote_of(o);

	ck_assert_uint_eq(q.src, src);
	ck_assert_uint_eq(q.dst, dst);
	ck_assert_uint_eq(q.sport, sport);
	if (q.proto_class != CLASS_ICMP)
		ck_assert_uint_eq(q.dport, dport);
}

/* ---- through ---- */

START_TEST(test_5508_4_4787_12a_12b_5382_9_inbound_error_is_translated)
{
	enum about a = (enum about)(_i / 2);
	uint32_t from = _i % 2 ? LAB_R : LAB_S1; /* 4787-12a: from any sender */
	uint8_t seen[200];

	lab_start(lab);
	size_t len = open_flow(a, seen);

	send_error(from, LAB_EXT, 3, 3, seen, quote_len(a, len));
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->v.src, from);
	ck_assert_uint_eq(o->v.dst, LAB_A);
	ck_assert_uint_eq(o->v.icmp_type, 3);
	ck_assert_uint_eq(o->v.icmp_code, 3);
	expect_quote(o, LAB_A, PORT, LAB_S1, SERVER_PORT);
}
END_TEST

static const struct {
	uint8_t type, code;
} errors[] = {
	{3, 0}, {3, 1},	 {3, 2},  {3, 3},  {3, 4},  {3, 5},  {3, 6},
	{3, 9}, {3, 10}, {3, 13}, {3, 15}, {11, 0}, {11, 1}, {12, 0},
};

/* The answer of S1 to the packet that went out, as `seen`. */
static struct build answer_to(enum about a, const uint8_t *seen, size_t len)
{
	struct build b = flow_packet(a, LAB_S1, LAB_EXT);
	struct pkt_view v;

	ck_assert_int_eq(packet_parse((uint8_t *)(uintptr_t)seen, len, false, &v), NAT_PASS);
	b.sport = a == ABOUT_ECHO ? v.sport : SERVER_PORT;
	b.dport = v.sport;
	b.icmp_type = 0;
	if (is_tcp(a)) {
		b.flags = TCP_SYN | TCP_ACK;
		b.ack = 1001;
	}
	return b;
}

static const struct lab_out *send_built(const struct build *b, enum nat_to to)
{
	lab->in_len = build_packet(lab->in, b);
	lab_send(lab, lab->in, lab->in_len);
	return lab_one(lab, to);
}

enum { ERRORS = sizeof(errors) / sizeof(errors[0]) };

/* From both sides, about each protocol: the answer still comes in, and what A sends next leaves from the same port. */
START_TEST(test_4787_12_5382_10_5508_7_1_2_errors_end_nothing)
{
	static const enum about protocols[] = {ABOUT_UDP, ABOUT_TCP_WHOLE, ABOUT_ECHO};
	enum about a = protocols[_i / ERRORS];
	uint8_t type = errors[_i % ERRORS].type, code = errors[_i % ERRORS].code;
	uint8_t seen[200], answer[200];
	size_t answer_len;

	lab_start(lab);
	size_t len = open_flow(a, seen);
	struct build b = answer_to(a, seen, len);

	send_error(LAB_R, LAB_EXT, type, code, seen, len);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->v.icmp_type, type);
	ck_assert_uint_eq(o->v.icmp_code, code);
	if (type == 3 && code == 4)
		ck_assert_uint_eq(load16(o->v.l4 + 6), 1200);
	o = send_built(&b, NAT_TO_INSIDE);
	memcpy(answer, o->bytes, answer_len = o->len);
	send_error(LAB_A, LAB_S1, type, code, answer, answer_len);
	lab_one(lab, NAT_TO_OUTSIDE);
	send_built(&b, NAT_TO_INSIDE);
	if (!is_tcp(a)) {
		b = flow_packet(a, LAB_A, LAB_S2);
		ck_assert_uint_eq(send_built(&b, NAT_TO_OUTSIDE)->v.sport, answer_to(a, seen, len).dport);
	}
	ck_assert_uint_eq(lab_sessions(lab), is_tcp(a) ? 1 : 2);
}
END_TEST

/* Neither from outside nor from inside; nor do they end it: the reply passes after them. */
START_TEST(test_5508_6_errors_do_not_refresh)
{
	uint8_t seen[200], reply[200];
	size_t reply_len;

	lab_start(lab);
	size_t len = open_flow(ABOUT_ECHO, seen);
	const struct build b = answer_to(ABOUT_ECHO, seen, len);
	const struct lab_out *o = send_built(&b, NAT_TO_INSIDE);

	memcpy(reply, o->bytes, reply_len = o->len);
	for (int i = 0; i < 2; i++) {
		lab_advance(lab, 25000);
		if (_i == 0)
			send_error(LAB_R, LAB_EXT, 11, 0, seen, len);
		else
			send_error(LAB_A, LAB_S1, 3, 2, reply, reply_len);
		lab_one(lab, _i == 0 ? NAT_TO_INSIDE : NAT_TO_OUTSIDE);
	}
	if (_i == 2) { /* ended by none of them */
		send_built(&b, NAT_TO_INSIDE);
		return;
	}
	lab_advance(lab, 12000);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* S1's packet comes in to A's mapping; A, or a router before it, answers with an error. */
START_TEST(test_5508_5_outbound_error_is_translated)
{
	enum about a = (enum about)(_i / 2);
	uint32_t from = _i % 2 ? LAB_C : LAB_A;
	uint8_t seen[200];
	struct pkt_view v;

	lab_start(lab);
	ck_assert_int_eq(packet_parse(seen, open_flow(a, seen), false, &v), NAT_PASS);
	struct build b = flow_packet(a, LAB_S1, LAB_EXT);

	b.sport = SERVER_PORT;
	b.dport = v.sport;
	if (a == ABOUT_ECHO) {
		b.sport = v.sport;
		b.icmp_type = 0;
	}
	if (is_tcp(a)) {
		b.flags = TCP_SYN | TCP_ACK;
		b.ack = 1001;
	}
	lab->in_len = build_packet(lab->in, &b);
	lab_send(lab, lab->in, lab->in_len);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	memcpy(seen, o->bytes, o->len);
	send_error(from, LAB_S1, 11, 1, seen, quote_len(a, o->len));
	o = lab_one(lab, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.dst, LAB_S1);
	expect_quote(o, LAB_S1, b.sport, LAB_EXT, v.sport);
}
END_TEST

START_TEST(test_5508_7_7857_12_hairpinned_error)
{
	uint8_t proto = _i == 0 ? 17 : 6, seen[200];
	size_t len;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	uint16_t eb = _i == 0 ? lab_udp_out(lab, LAB_B, 6000, LAB_S1, 7) : lab_syn_out(lab, LAB_B, 6000, LAB_S1, 7);

	LAB_SEND(lab, .proto = proto, .src = LAB_A, .dst = LAB_EXT, .sport = PORT, .dport = eb, .payload_len = 20,
		 .flags = TCP_SYN, .window = 1000);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->v.dst, LAB_B);
	memcpy(seen, o->bytes, len = o->len);
	send_error(LAB_B, LAB_EXT, 3, 3, seen, len);
	o = lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.dst, LAB_A);
	expect_quote(o, LAB_A, PORT, LAB_EXT, eb);
}
END_TEST

/* RFC 5508 10: a flood of errors that all name a session. So many a second pass; the session lives, others are not
 * bound. */
START_TEST(test_5508_10_flood_of_errors_about_one_session)
{
	uint8_t seen[200], other[200];
	uint64_t passed = 0, dropped = 0;

	lab->skip_check = true;
	lab_start(lab);
	lab_udp_out(lab, LAB_B, 6000, LAB_S2, 7);
	size_t other_len = lab->out[0].len;

	memcpy(other, lab->out[0].bytes, other_len);
	size_t len = open_flow(ABOUT_UDP, seen);

	for (int i = 0; i < 5000; i++) {
		send_error(LAB_R, LAB_EXT, 3, 1, seen, len);
		passed += lab->n_out;
		dropped += lab_delta(lab, DROP_ICMP_RATE);
	}
	ck_assert_uint_eq(passed, ICMP_PASS_PER_SESSION);
	ck_assert_uint_eq(dropped, 5000 - ICMP_PASS_PER_SESSION);
	send_error(LAB_R, LAB_EXT, 3, 1, other, other_len);
	lab_one(lab, NAT_TO_INSIDE);
	lab_advance(lab, 1000);
	send_error(LAB_R, LAB_EXT, 3, 1, seen, len);
	lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_eq(lab_sessions(lab), 2);
}
END_TEST

/* ---- refused ---- */

START_TEST(test_5508_4_error_without_session)
{
	uint8_t seen[200];

	lab_start(lab);
	size_t len = open_flow(ABOUT_UDP, seen);

	store16(seen + 20, (uint16_t)(load16(seen + 20) ^ 1));
	send_error(LAB_R, LAB_EXT, 3, 3, seen, len);
	lab_dropped(lab, DROP_ICMP_NO_SESSION);
}
END_TEST

START_TEST(test_5508_5_error_from_inside_without_session_never_leaks)
{
	uint8_t p[100];

	lab_start(lab);
	size_t len = BUILD(p, .proto = 17, .src = LAB_S1, .dst = LAB_A, .sport = 7, .dport = 5000, .payload_len = 8);

	send_error(LAB_A, LAB_S1, 3, 3, p, len);
	lab_dropped(lab, DROP_ICMP_NO_SESSION);
}
END_TEST

/* Fault 37: A says that B's port is closed. A router between natd and B may say what a router can say (RFC 5508
 * REQ-5). */
START_TEST(test_1122_3_2_2_1_fault_37_only_a_host_speaks_for_its_ports)
{
	static const uint8_t codes[] = {2, 3, 1, 0, 5, 13};
	uint8_t seen[200];

	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_B, 6000, LAB_S1, 7);

	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .dport = e, .payload_len = 20);
	size_t len = lab_one(lab, NAT_TO_INSIDE)->len;

	memcpy(seen, lab->out[0].bytes, len);
	for (unsigned i = 0; i < sizeof(codes); i++) {
		send_error(LAB_A, LAB_S1, 3, codes[i], seen, len);
		if (i < 2)
			lab_dropped(lab, DROP_ICMP_SOURCE);
		else
			ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
		send_error(LAB_B, LAB_S1, 3, codes[i], seen, len);
		lab_one(lab, NAT_TO_OUTSIDE);
	}
}
END_TEST

START_TEST(test_5508_3_bad_icmp_checksum)
{
	uint8_t seen[200], p[300];

	lab_start(lab);
	size_t len = open_flow(ABOUT_UDP, seen);

	len = build_icmp_error(p, &(struct build){.src = LAB_R, .dst = LAB_EXT, .icmp_type = 3, .icmp_code = 3}, seen,
			       len);
	p[22] ^= 1;
	lab_send(lab, p, len);
	lab_dropped(lab, DROP_ICMP_CHECKSUM);
}
END_TEST

START_TEST(test_5508_3a_bad_checksum_of_the_quoted_header)
{
	uint8_t seen[200];

	lab_start(lab);
	size_t len = open_flow(ABOUT_UDP, seen);

	seen[10] ^= 1;
	send_error(LAB_R, LAB_EXT, 3, 3, seen, len);
	lab_dropped(lab, DROP_ICMP_QUOTE_CHECKSUM);
}
END_TEST

START_TEST(test_5508_3c_bad_quoted_transport_checksum_is_not_judged)
{
	uint8_t seen[200];

	lab->bad_checksums_expected = true;
	lab_start(lab);
	size_t len = open_flow(ABOUT_UDP, seen);

	seen[26] ^= 1;
	send_error(LAB_R, LAB_EXT, 3, 3, seen, len);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

START_TEST(test_cve_2019_5598_outer_destination_differs_from_quoted_source)
{
	uint8_t seen[200];

	lab->addresses[0].last = LAB_EXT2;
	lab_start(lab);
	size_t len = open_flow(ABOUT_UDP, seen);
	uint32_t other = load32(seen + 12) == LAB_EXT ? LAB_EXT2 : LAB_EXT;

	send_error(LAB_R, other, 3, 3, seen, len);
	lab_dropped(lab, DROP_ICMP_QUOTE_ADDRESS);
}
END_TEST

START_TEST(test_redan_forged_too_big_with_wrong_sequence)
{
	uint8_t seen[200];

	lab_start(lab);
	size_t len = open_flow(ABOUT_TCP_WHOLE, seen);

	store32(seen + 24, 0x70000000);
	send_error(LAB_R, LAB_EXT, 3, 4, seen, len);
	lab_dropped(lab, DROP_ICMP_QUOTE_SEQUENCE);
}
END_TEST

/* The ACK is lost inside, so the client still retransmits what natd saw acknowledged: a path MTU found on the way of
 * the retransmission must reach it. Also the other way round, from a router inside. */
START_TEST(test_5508_4_5508_5_error_about_an_acknowledged_segment_passes)
{
	uint8_t seen[1500];

	lab_start(lab);
	uint16_t port = lab_tcp_established(lab, LAB_A, PORT, LAB_S1, SERVER_PORT);
	bool inbound = _i == 1;

	if (inbound) {
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = SERVER_PORT, .dport = port,
			 .flags = TCP_ACK, .seq = 5001, .ack = 1001, .window = 65535, .payload_len = 1400, .df = true);
	} else {
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT,
			 .flags = TCP_ACK, .seq = 1001, .ack = 5001, .window = 65535, .payload_len = 1400, .df = true);
	}
	const struct lab_out *o = lab_one(lab, inbound ? NAT_TO_INSIDE : NAT_TO_OUTSIDE);
	size_t len = o->len;

	memcpy(seen, o->bytes, len);
	if (inbound) {
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT,
			 .flags = TCP_ACK, .seq = 1001, .ack = 6401, .window = 65535);
		send_error(LAB_B, LAB_S1, 3, 4, seen, len > 548 ? 548 : len);
		lab_one(lab, NAT_TO_OUTSIDE);
		return;
	}
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = SERVER_PORT, .dport = port, .flags = TCP_ACK,
		 .seq = 5001, .ack = 2401, .window = 65535);
	send_error(LAB_R, LAB_EXT, 3, 4, seen, len > 548 ? 548 : len);
	expect_quote(lab_one(lab, NAT_TO_INSIDE), LAB_A, PORT, LAB_S1, SERVER_PORT);
}
END_TEST

static const struct {
	uint16_t mtu;
	bool passes;
} mtus[] = {{0, true}, {20, false}, {67, false}, {68, true}, {1400, true}};

START_TEST(test_1191_4_next_hop_mtu_below_68_is_refused)
{
	uint8_t seen[200], p[300];
	struct build b = {.src = LAB_R, .dst = LAB_EXT, .icmp_type = 3, .icmp_code = 4};

	lab_start(lab);
	size_t len = open_flow(ABOUT_UDP, seen);

	len = build_icmp_error(p, &b, seen, len);
	store16(p + 26, mtus[_i].mtu);
	build_fix(p);
	lab_send(lab, p, len);
	if (!mtus[_i].passes) {
		lab_dropped(lab, DROP_ICMP_MTU);
		return;
	}
	ck_assert_uint_eq(load16(lab_one(lab, NAT_TO_INSIDE)->v.l4 + 6), mtus[_i].mtu);
}
END_TEST

START_TEST(test_5508_10c_11_other_types_do_not_cross)
{
	static const uint8_t types[] = {4, 5, 9, 10, 15, 16, 17, 18, 30, 40, 255};

	lab_start(lab);
	for (size_t i = 0; i < sizeof(types); i++) {
		LAB_SEND(lab, .proto = 1, .src = LAB_A, .dst = LAB_S1, .icmp_type = types[i], .payload_len = 40);
		ck_assert_uint_eq(lab->n_out, 0);
		LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = types[i], .payload_len = 40);
		ck_assert_uint_eq(lab->n_out, 0);
	}
}
END_TEST

START_TEST(test_5508_3b_options_in_the_quote)
{
	uint8_t opts[40], seen[200];

	memset(opts, 1, sizeof(opts)); /* NOP */
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT, .payload_len = 8,
		 .ip_options = opts, .ip_options_len = (size_t)_i * 4);
	const struct lab_out *o = lab_one(lab, NAT_TO_OUTSIDE);
	size_t len = o->len;

	memcpy(seen, o->bytes, len);
	send_error(LAB_R, LAB_EXT, 11, 0, seen, len);
	expect_quote(lab_one(lab, NAT_TO_INSIDE), LAB_A, PORT, LAB_S1, SERVER_PORT);
}
END_TEST

START_TEST(test_5508_3d_4884_extension_is_kept)
{
	uint8_t seen[200], quoted[128 + 8] = {0}, p[400];
	static const uint8_t extension[8] = {0x20, 0, 0xdf, 0xff, 0, 4, 1, 1};
	struct build b = {.src = LAB_R, .dst = LAB_EXT, .icmp_type = 11, .icmp_code = 0};

	lab->bad_checksums_expected = true; /* the padding lies beyond the quoted datagram */
	lab_start(lab);
	size_t len = open_flow(ABOUT_UDP, seen);

	memcpy(quoted, seen, len);
	memcpy(quoted + 128, extension, sizeof(extension));
	len = build_icmp_error(p, &b, quoted, sizeof(quoted));
	p[25] = 32; /* RFC 4884: 32 words of original datagram */
	build_fix(p);
	lab_send(lab, p, len);
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->len, len);
	ck_assert(memcmp(o->bytes + len - 8, extension, 8) == 0);
	ck_assert_uint_eq(build_checksum(0, o->bytes + 20, o->len - 20), 0);
}
END_TEST

/* ---- natd's own ---- */

START_TEST(test_4787_13_5508_7_1_1_1191_4_too_big_is_answered_with_the_mtu)
{
	lab->policy.outside_mtu = 1300;
	lab_start(lab);
	if (_i)
		lab_udp_out(lab, LAB_A, PORT, LAB_S1, SERVER_PORT);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT,
		 .payload_len = 1400, .df = true, .tos = 46 << 2);
	const struct lab_out *o = lab_dropped_with_icmp(lab, DROP_TOO_BIG, 3, 4);

	ck_assert_uint_eq(load16(o->v.l4 + 6), 1300);
	ck_assert_uint_eq(o->v.src, LAB_GW);
	ck_assert_uint_eq(o->v.dst, LAB_A);
	ck_assert_uint_eq(o->v.ip[1], 46 << 2); /* 5508-10d */
	expect_quote(o, LAB_A, PORT, LAB_S1, SERVER_PORT);
}
END_TEST

START_TEST(test_4787_13_too_big_inbound_quotes_what_was_sent)
{
	lab->inside[0].mtu = 1280;
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, PORT, LAB_S1, SERVER_PORT);

	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = SERVER_PORT, .dport = e, .payload_len = 1400,
		 .df = true);
	const struct lab_out *o = lab_dropped_with_icmp(lab, DROP_TOO_BIG, 3, 4);

	ck_assert_int_eq(o->to, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(load16(o->v.l4 + 6), 1280);
	expect_quote(o, LAB_S1, SERVER_PORT, LAB_EXT, e);
}
END_TEST

/* The same of one that no session has yet: a forward opens it, and the host's own limit is known only then. */
START_TEST(test_4787_13_too_big_inbound_by_a_forward_is_answered)
{
	lab->inside[0].mtu = 1280;
	lab->forwards[0] = (struct nat_forward){
		.name = "dns", .protocols = 1 << CLASS_UDP, .ports = {53, 53}, .to = LAB_A, .to_port = 53};
	lab->policy.n_forwards = 1;
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = SERVER_PORT, .dport = 53,
		 .payload_len = 1400, .df = true);
	const struct lab_out *o = lab_dropped_with_icmp(lab, DROP_TOO_BIG, 3, 4);

	ck_assert_int_eq(o->to, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(load16(o->v.l4 + 6), 1280);
	expect_quote(o, LAB_S1, SERVER_PORT, LAB_EXT, 53);
}
END_TEST

START_TEST(test_4787_13a_without_df_it_is_cut_in_order)
{
	lab->policy.outside_mtu = 1300;
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT,
		 .payload_len = 1400);
	ck_assert_uint_eq(lab->n_out, 2);
	ck_assert_uint_eq(lab->out[0].v.frag_offset, 0);
	ck_assert_uint_eq(lab->out[1].v.frag_offset, 1280);
	ck_assert_uint_eq(lab->out[0].v.id, lab->out[1].v.id);
	ck_assert_uint_eq(lab_delta(lab, COUNT_FRAGMENTED), 1);
}
END_TEST

static const struct {
	enum nat_exhausted_icmp how;
	int code;
} exhausted[] = {{EXHAUSTED_HOST_UNREACHABLE, 1}, {EXHAUSTED_ADMIN_PROHIBITED, 13}, {EXHAUSTED_NONE, -1}};

START_TEST(test_5508_8_6888_11b_exhaustion_is_answered_as_configured)
{
	static const enum about protocols[] = {ABOUT_UDP, ABOUT_TCP_WHOLE, ABOUT_ECHO};
	const struct build b = flow_packet(protocols[_i / 3], LAB_B, LAB_S1);

	lab->policy.exhausted_icmp = exhausted[_i % 3].how;
	lab->policy.limits.sessions = 1;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, PORT, LAB_S1, SERVER_PORT);
	lab->in_len = build_packet(lab->in, &b);
	lab_send(lab, lab->in, lab->in_len);
	if (exhausted[_i % 3].code < 0) {
		lab_dropped(lab, DROP_SESSIONS_FULL);
		return;
	}
	const struct lab_out *o = lab_dropped_with_icmp(lab, DROP_SESSIONS_FULL, 3, (uint8_t)exhausted[_i % 3].code);

	ck_assert_uint_eq(o->v.dst, LAB_B);
	expect_quote(o, LAB_B, PORT, LAB_S1, SERVER_PORT);
}
END_TEST

START_TEST(test_5508_10f_own_errors_are_limited_per_source)
{
	uint32_t sent = 0;

	lab->policy.limits.sessions = 1;
	lab->skip_check = true;
	lab_start(lab);
	lab_udp_out(lab, LAB_A, PORT, LAB_S1, SERVER_PORT);
	for (int i = 0; i < 1000; i++) {
		LAB_SEND(lab, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT);
		sent += lab->n_out;
	}
	ck_assert_uint_ge(sent, 1);
	ck_assert_uint_le(sent, ICMP_LIMIT_PER_SOURCE);
	LAB_SEND(lab, .proto = 17, .src = LAB_C, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT);
	lab_dropped_with_icmp(lab, DROP_SESSIONS_FULL, 3, 1);
}
END_TEST

START_TEST(test_5508_10e_no_error_about_errors_or_later_fragments)
{
	uint8_t p[100], q[200];

	lab->policy.limits.sessions = 0;
	lab_start(lab);
	size_t len = BUILD(p, .proto = 17, .src = LAB_S1, .dst = LAB_A, .sport = 7, .dport = 5000, .payload_len = 8);

	len = build_icmp_error(q, &(struct build){.src = LAB_A, .dst = LAB_S1, .icmp_type = 3, .icmp_code = 3}, p, len);
	lab_send(lab, q, len);
	lab_dropped(lab, DROP_ICMP_NO_SESSION);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .frag_offset = 800, .payload_len = 64);
	ck_assert_uint_eq(lab->n_out, 0);
}
END_TEST

/* ---- unsolicited ---- */

START_TEST(test_5382_4_unsolicited_syn_is_answered_after_six_seconds)
{
	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 4000, .flags = TCP_SYN,
		 .seq = 77);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 4000, .flags = TCP_SYN,
		 .seq = 77);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	lab_advance(lab, 5999);
	ck_assert_uint_eq(lab->n_out, 0);
	lab_advance(lab, 1500);
	ck_assert_uint_eq(lab->n_out, 1);
	ck_assert_int_eq(lab->out[0].to, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(lab->out[0].v.icmp_type, 3);
	ck_assert_uint_eq(lab->out[0].v.icmp_code, 3);
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
	expect_quote(&lab->out[0], LAB_S1, 999, LAB_EXT, 4000);
	ck_assert_uint_eq(quote_of(&lab->out[0]).tcp_seq, 77);
}
END_TEST

START_TEST(test_5382_4_held_syn_is_forgotten_on_simultaneous_open)
{
	uint16_t e;

	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab->pool_ports[0] = (struct nat_range){4000, 4000};
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 4000, .flags = TCP_SYN,
		 .seq = 77);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	lab_advance(lab, 3000);
	e = lab_syn_out(lab, LAB_A, PORT, LAB_S1, 999);
	ck_assert_uint_eq(e, 4000);
	lab_advance(lab, 10000);
	ck_assert_uint_eq(lab->n_out, 0);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 4000, .flags = TCP_SYN,
		 .seq = 77);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

START_TEST(test_5382_4a_policy_silences_it)
{
	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 4000, .flags = TCP_SYN);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	lab_advance(lab, 20000);
	ck_assert_uint_eq(lab->n_out, 0);
}
END_TEST

START_TEST(test_5382_4_syn_flood_is_held_in_bounded_memory)
{
	uint64_t answers = 0;

	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t i = 0; i < 20000; i++) {
		LAB_SEND(lab, .proto = 6, .src = LAB_S1 + i % 50, .dst = LAB_EXT, .sport = (uint16_t)(1 + i % 60000),
			 .dport = 4000, .flags = TCP_SYN);
		lab_dropped(lab, DROP_UNSOLICITED_SYN);
	}
	for (int i = 0; i < 20; i++) {
		lab_advance(lab, 500);
		answers += lab->n_out;
		ck_assert_uint_le(lab->n_out, 1000);
	}
	ck_assert_uint_ge(answers, 1);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

START_TEST(test_unsolicited_udp_is_rejected_when_configured)
{
	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 4000, .payload_len = 8);
	const struct lab_out *o = lab_dropped_with_icmp(lab, DROP_UNSOLICITED, 3, 3);

	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.dst, LAB_S1);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_5508_4_4787_12a_12b_5382_9_inbound_error_is_translated, ABOUT_COUNT * 2},
		{test_4787_12_5382_10_5508_7_1_2_errors_end_nothing, 3 * ERRORS},
		{test_5508_6_errors_do_not_refresh, 3},
		{test_5508_5_outbound_error_is_translated, ABOUT_COUNT * 2},
		{test_5508_7_7857_12_hairpinned_error, 2},
		{test_5508_10_flood_of_errors_about_one_session, 1},
		{test_5508_4_error_without_session, 1},
		{test_5508_5_error_from_inside_without_session_never_leaks, 1},
		{test_1122_3_2_2_1_fault_37_only_a_host_speaks_for_its_ports, 1},
		{test_5508_3_bad_icmp_checksum, 1},
		{test_5508_3a_bad_checksum_of_the_quoted_header, 1},
		{test_5508_3c_bad_quoted_transport_checksum_is_not_judged, 1},
		{test_cve_2019_5598_outer_destination_differs_from_quoted_source, 1},
		{test_redan_forged_too_big_with_wrong_sequence, 1},
		{test_5508_4_5508_5_error_about_an_acknowledged_segment_passes, 2},
		{test_1191_4_next_hop_mtu_below_68_is_refused, sizeof(mtus) / sizeof(mtus[0])},
		{test_5508_10c_11_other_types_do_not_cross, 1},
		{test_5508_3b_options_in_the_quote, 11},
		{test_5508_3d_4884_extension_is_kept, 1},
		{test_4787_13_5508_7_1_1_1191_4_too_big_is_answered_with_the_mtu, 2},
		{test_4787_13_too_big_inbound_quotes_what_was_sent, 1},
		{test_4787_13_too_big_inbound_by_a_forward_is_answered, 1},
		{test_4787_13a_without_df_it_is_cut_in_order, 1},
		{test_5508_8_6888_11b_exhaustion_is_answered_as_configured, 9},
		{test_5508_10f_own_errors_are_limited_per_source, 1},
		{test_5508_10e_no_error_about_errors_or_later_fragments, 1},
		{test_5382_4_unsolicited_syn_is_answered_after_six_seconds, 1},
		{test_5382_4_held_syn_is_forgotten_on_simultaneous_open, 1},
		{test_5382_4a_policy_silences_it, 1},
		{test_5382_4_syn_flood_is_held_in_bounded_memory, 1},
		{test_unsolicited_udp_is_rejected_when_configured, 1},
	};
	Suite *s = suite_create("nat_icmp");
	TCase *tc = tcase_create("icmp");

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
