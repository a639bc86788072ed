/* SPDX-License-Identifier: ISC */
/* A session's view says what its record says, and an event's view the same as the session's at that time. */
#include <check.h>
#include <string.h>

#include "core/nat/view.h"

#include "natlab.h"
#include "unit.h"

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
	lab_start(lab);
	events_want(nat_events(lab->nat), UINT32_MAX);
}

static void teardown(void)
{
	lab_free(lab);
}

/* A session that has not come by a packet, so that every field is known. */
static uint64_t open_one(void)
{
	struct table *t = nat_table(lab->nat);
	const struct session_origin web = {.forward = "web", .backend = 0x0a080002, .backend_port = 8080};
	struct session_spec spec = {.int_addr = 0x0a080005,
				    .rem_addr = 0xc6336401,
				    .int_port = 1000,
				    .rem_port = 443,
				    .ext_port = 40000,
				    .proto_class = CLASS_TCP,
				    .state = SESSION_ESTABLISHED,
				    .from_outside = true,
				    .origin = table_origin_intern(t, &web)};
	uint32_t now_s = (uint32_t)(lab->now_ms / 1000);
	enum nat_reason why;
	struct session *s = table_session_open(t, &spec, now_s, &why);

	ck_assert_ptr_nonnull(s);
	s->packets[DIR_OUT] = 3;
	s->packets[DIR_IN] = 5;
	s->bytes[DIR_IN] = 5000;
	s->end[DIR_OUT] = 77;
	s->seen_s = now_s + 10;
	return table_session_id(t, s);
}

START_TEST(test_view_says_what_the_record_says)
{
	uint64_t id = open_one();
	struct session_view v, listed;
	uint32_t cursor = 0;

	lab->now_ms += 30000;
	ck_assert(nat_view_by_id(lab->nat, id, lab->now_ms, &v));
	ck_assert_uint_eq(v.version, SESSION_VIEW_VERSION);
	ck_assert_uint_eq(v.id, id);
	ck_assert_uint_eq(v.proto_class, CLASS_TCP);
	ck_assert_uint_eq(v.state, SESSION_ESTABLISHED);
	ck_assert_uint_eq(v.flags, VIEW_FROM_OUTSIDE | VIEW_ASSURED);
	ck_assert(v.int_addr == 0x0a080005 && v.rem_addr == 0xc6336401);
	ck_assert_uint_eq(v.ext_addr, table_address(nat_table(lab->nat), 0));
	ck_assert(v.int_port == 1000 && v.ext_port == 40000 && v.rem_port == 443);
	ck_assert(v.packets[DIR_OUT] == 3 && v.packets[DIR_IN] == 5 && v.bytes[DIR_IN] == 5000 && v.end[DIR_OUT] == 77);
	ck_assert(v.age_s == 30 && v.idle_s == 20);
	ck_assert_uint_eq(v.timeout_s, lab->policy.timeouts.tcp_established - 20);
	ck_assert_str_eq(v.origin.forward, "web");
	ck_assert_uint_eq(v.origin.backend_port, 8080);
	ck_assert(nat_view_next(lab->nat, &cursor, UINT32_MAX, lab->now_ms, &listed));
	ck_assert_mem_eq(&v, &listed, sizeof(v));
	ck_assert(!nat_view_next(lab->nat, &cursor, UINT32_MAX, lab->now_ms, &listed));
	ck_assert_uint_eq(cursor, 0);
}
END_TEST

START_TEST(test_session_whose_time_is_up_has_no_view)
{
	uint64_t id = open_one();
	struct session_view v;
	uint32_t cursor = 0;

	lab->now_ms += 10000000;
	ck_assert(!nat_view_by_id(lab->nat, id, lab->now_ms, &v));
	do {
		ck_assert(!nat_view_next(lab->nat, &cursor, UINT32_MAX, lab->now_ms, &v));
	} while (cursor != 0);
}
END_TEST

START_TEST(test_view_of_its_end_says_the_same_as_the_session_did)
{
	uint64_t id = open_one(), cursor, lost;
	struct session_view v, ended;
	struct event ev;

	lab->now_ms += 30000;
	ck_assert(nat_view_by_id(lab->nat, id, lab->now_ms, &v));
	cursor = events_end(&nat_events(lab->nat)->log);
	ck_assert(nat_session_end(lab->nat, id, SESSION_END_FLUSHED, lab->now_ms));
	ck_assert(!nat_session_end(lab->nat, id, SESSION_END_FLUSHED, lab->now_ms));
	ck_assert_uint_eq(events_read(&nat_events(lab->nat)->log, &cursor, &ev, 1, &lost), 1);
	ck_assert_uint_eq(ev.type, EVENT_DESTROY);
	nat_view_event(lab->nat, &ev, &ended);
	ck_assert_uint_eq(ended.timeout_s, 0);
	/* what an event does not carry */
	v.timeout_s = v.idle_s = 0;
	v.scale = ended.scale = 0;
	memset(v.end, 0, sizeof(v.end));
	ck_assert_mem_eq(&v, &ended, sizeof(v));
}
END_TEST

/* ---- fault 41: [ASSURED] as conntrack means it ---- */

static bool is_assured(void)
{
	struct session_view v;
	uint32_t cursor = 0;

	ck_assert(nat_view_next(lab->nat, &cursor, UINT32_MAX, lab->now_ms, &v));
	return (v.flags & VIEW_ASSURED) != 0;
}

static void udp(bool out, uint16_t port)
{
	if (out)
		LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 7, .payload_len = 8);
	else
		LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .dport = port, .payload_len = 8);
}

/* A question and its answer, however late; a stream. */
START_TEST(test_fault_41_udp_is_assured_as_a_stream)
{
	uint16_t port = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	udp(false, port);
	ck_assert(!is_assured());
	udp(true, port);
	ck_assert(!is_assured()); /* too early */
	lab_advance(lab, 3000);
	ck_assert(!is_assured());
	udp(_i != 0, port);
	ck_assert(is_assured());
	lab_restart(lab);
	ck_assert(is_assured());
}
END_TEST

START_TEST(test_fault_41_late_answer_makes_no_stream)
{
	uint16_t port = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	lab_advance(lab, 5000);
	udp(true, port);
	ck_assert(!is_assured());
	lab_advance(lab, 1000);
	udp(false, port);
	ck_assert(!is_assured());
	udp(_i != 0, port);
	ck_assert(is_assured());
}
END_TEST

START_TEST(test_fault_41_ping_is_never_assured)
{
	uint16_t id = lab_echo_out(lab, LAB_A, 77, LAB_S1);

	for (int i = 0; i < 3; i++) {
		LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = 0, .sport = id, .dport = id);
		ck_assert(!is_assured());
		lab_advance(lab, 3000);
		lab_echo_out(lab, LAB_A, 77, LAB_S1);
	}
}
END_TEST

static void tcp(bool out, uint16_t port, unsigned flags, uint32_t seq, uint32_t ack)
{
	if (out)
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 80,
			 .flags = (uint8_t)flags, .seq = seq, .ack = ack, .window = 1000);
	else
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 80, .dport = port,
			 .flags = (uint8_t)flags, .seq = seq, .ack = ack, .window = 1000);
}

START_TEST(test_fault_41_tcp_is_assured_after_its_handshake)
{
	uint16_t port = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 80); /* seq 1000 */

	ck_assert(!is_assured());
	if (_i == 0) { /* refused */
		tcp(false, port, TCP_RST | TCP_ACK, 0, 1001);
		ck_assert(!is_assured());
		return;
	}
	tcp(false, port, TCP_SYN | TCP_ACK, 5000, 1001);
	ck_assert(!is_assured());
	if (_i == 1) { /* half-open scan */
		tcp(true, port, TCP_RST, 1001, 0);
		ck_assert(!is_assured());
		return;
	}
	tcp(true, port, TCP_ACK, 1001, 5001);
	ck_assert(is_assured());
	tcp(_i == 2, port, TCP_RST, _i == 2 ? 1001 : 5001, 0);
	ck_assert(is_assured());
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("view");
	TCase *tc = tcase_create("views");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_view_says_what_the_record_says);
	tcase_add_test(tc, test_session_whose_time_is_up_has_no_view);
	tcase_add_test(tc, test_view_of_its_end_says_the_same_as_the_session_did);
	tcase_add_loop_test(tc, test_fault_41_udp_is_assured_as_a_stream, 0, 2);
	tcase_add_loop_test(tc, test_fault_41_late_answer_makes_no_stream, 0, 2);
	tcase_add_test(tc, test_fault_41_ping_is_never_assured);
	tcase_add_loop_test(tc, test_fault_41_tcp_is_assured_after_its_handshake, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
