/* SPDX-License-Identifier: ISC */
/*
 * The mirror: a NAT with a forwarder beside it gives the same bytes, tables, counters and events as one without. The forwarder is
 * played (mirrorforward.h); the tc programs themselves: tests/bpf/check_fast.c. The order of packets: check_mirror_order.c.
 */
#include <check.h>
#include <string.h>

#include "core/nat/tap.h"
#include "mirrorforward.h"

START_TEST(test_a_forwarder_changes_no_result)
{
	drains = false;
	ask_mtu = pick_mtu;
	for (int i = 0; i <= _i; i++) /* each has a seed of its own */
		unit_seed_ = unit_random();
	play_random(STEPS);
}
END_TEST

/* ---- one at a time ---- */

static struct talk make_tcp(void)
{
	struct talk t = {.proto = 6,
			 .in = {.address = LAB_A, .port = 5000, .next = 1000, .window = 60000},
			 .out = {.address = LAB_S1, .port = SERVER_PORT, .next = 9000, .window = 60000}};

	say_tcp(&t, true, TCP_SYN, 0);
	t.ext = external_port();
	say_tcp(&t, false, TCP_SYN | TCP_ACK, 0);
	say_tcp(&t, true, TCP_ACK, 0);
	return t;
}

static struct talk make_busy(void)
{
	struct talk t = make_tcp();

	for (int i = 0; i < 6; i++)
		say_tcp(&t, i % 2, TCP_ACK, 100);
	return t;
}

static bool is_live(uint32_t slot)
{
	return flow_state_of(&flows[slot]) == FLOW_LIVE;
}

static uint32_t shown(void)
{
	struct nat_mirror_counts c;

	nat_mirror_counts(lab->nat, &c);
	return c.flows;
}

START_TEST(test_a_session_is_shown_with_its_eighth_packet)
{
	struct talk t = make_tcp();

	for (int i = 3; i < 8; i++) {
		ck_assert_uint_eq(shown(), 0);
		ck_assert(!say_tcp(&t, true, TCP_ACK, 10));
	}
	ck_assert_uint_eq(shown(), 1);
	ck_assert(say_tcp(&t, true, TCP_ACK, 10));
	ck_assert(say_tcp(&t, false, TCP_ACK, 10));
}
END_TEST

START_TEST(test_fin_syn_and_rst_stop_it_for_what_comes_after)
{
	static const uint8_t flags[] = {TCP_FIN | TCP_ACK, TCP_SYN, TCP_RST};

	for (size_t i = 0; i < sizeof(flags); i++) {
		struct talk t = make_busy();

		ck_assert(say_tcp(&t, true, TCP_ACK, 1));
		ck_assert(!say_tcp(&t, false, flags[i], 0));
		ck_assert_uint_eq(shown(), 0);
		ck_assert(!say_tcp(&t, true, TCP_ACK, 1));
		end_one();
		advance_both(200000);
	}
}
END_TEST

START_TEST(test_what_the_forwarder_learns_late_is_known_before_its_answer)
{
	struct talk t = make_busy();
	struct flow_key k = {
		.local = LAB_A, .remote = LAB_S1, .local_port = 5000, .remote_port = SERVER_PORT, .dir = DIR_OUT};
	struct flow *f = find_flow(&k);

	ck_assert_ptr_nonnull(f);
	/* The peer's FIN takes it out of the index, while another processor carries a segment of the inside host. */
	say_tcp(&t, false, TCP_FIN | TCP_ACK, 0);
	lab_send(plain, plain->in,
		 build_packet(plain->in, &(const struct build){.proto = 6,
							       .src = LAB_A,
							       .dst = LAB_S1,
							       .sport = 5000,
							       .dport = SERVER_PORT,
							       .seq = t.in.next,
							       .ack = t.out.next - 1,
							       .flags = TCP_ACK,
							       .window = 60000,
							       .payload_len = 500,
							       .df = true}));
	flow_advance(f, &(struct flow_segment){
				.seq = t.in.next, .end = t.in.next + 500, .ack = t.out.next - 1, .window = 60000});
	flow_count(f, DIR_OUT, 1, 540, (uint32_t)(lab->now_ms / 1000));
	t.in.next += 500;
	say_tcp(&t, false, TCP_ACK, 0);
	say_tcp(&t, true, TCP_FIN | TCP_ACK, 0);
	say_tcp(&t, false, TCP_ACK, 0);
	compare_sessions();
}
END_TEST

START_TEST(test_an_ended_session_is_out_at_once)
{
	struct talk t = make_busy();

	ck_assert_uint_eq(shown(), 1);
	end_one();
	ck_assert_uint_eq(shown(), 0);
	ck_assert(!say_tcp(&t, false, TCP_ACK, 10));
	for (uint32_t i = 0; i < FLOW_BUCKETS; i++)
		for (uint32_t w = 0; w < FLOW_WAYS; w++)
			ck_assert_uint_eq(buckets[i].entry[w], 0);
}
END_TEST

START_TEST(test_idle_sessions_make_room)
{
	make_busy();
	advance_both(14000);
	ck_assert_uint_eq(shown(), 1);
	advance_both(3000);
	ck_assert_uint_eq(shown(), 0);
	ck_assert_uint_eq(lab_sessions(lab), 1);
}
END_TEST

START_TEST(test_a_slot_rests_before_it_is_used_again)
{
	make_busy();
	end_one();
	make_busy();
	ck_assert(!is_live(1) && is_live(2));
	end_one();
	advance_both(1000);
	make_busy();
	ck_assert(!is_live(1) && !is_live(2) && is_live(3));
	end_one();
	advance_both(8000);
	make_busy();
	ck_assert(is_live(1) || is_live(2) || is_live(3));
	ck_assert(!is_live(4));
}
END_TEST

START_TEST(test_after_a_pause_no_carried_session_seems_idle)
{
	struct talk t = make_busy();

	/* natd stands still for longer than the timeout; the forwarder goes on. */
	for (int i = 0; i < 80; i++) {
		plain->now_ms = lab->now_ms += 100000;
		ck_assert(say_tcp(&t, i % 2, TCP_ACK, 100));
	}
	ck_assert(!say_tcp(&t, true, TCP_SYN, 0));
	ck_assert_uint_eq(lab_sessions(lab), 1);
	compare_sessions();
}
END_TEST

START_TEST(test_the_next_natd_takes_over_what_was_carried)
{
	struct talk t = make_busy();
	struct flow *before = flows;
	struct flow_memory m;

	nat_mirror_end(lab->nat, true);
	ck_assert(say_tcp(&t, true, TCP_ACK, 100)); /* while none is there */
	ck_assert(say_tcp(&t, false, TCP_ACK, 100));
	lab_restart(plain);
	lab_restart(lab);
	nat_mirror_adopt(lab->nat, before);
	flows = calloc(FLOW_SLOTS, sizeof(*flows));
	memset(buckets, 0, FLOW_BUCKETS * sizeof(*buckets));
	m = memory();
	ck_assert(nat_mirror_begin(lab->nat, &m, ALL));
	compare_sessions();
	ck_assert(!say_tcp(&t, true, TCP_FIN | TCP_ACK, 0));
	ck_assert_uint_eq(lab->n_out, 1);
	free(before);
}
END_TEST

START_TEST(test_a_session_is_shown_again_in_its_slot_and_that_rests_again)
{
	struct talk t = make_busy();

	for (int i = 0; i < 5; i++) { /* a reload ends what is shown, and little later it is busy again */
		reload_both();
		ck_assert_uint_eq(shown(), 0);
		for (int packet = 0; packet < 8; packet++)
			say_tcp(&t, packet % 2, TCP_ACK, 10);
		ck_assert_uint_eq(shown(), 1);
		ck_assert(is_live(1));
		ck_assert(say_tcp(&t, true, TCP_ACK, 10));
		advance_both(700);
	}
	compare_sessions();
	end_one();
	advance_both(1000);
	make_busy();
	ck_assert(!is_live(1) && is_live(2));
	advance_both(5000);
	end_one();
	advance_both(8000);
	for (int i = 0; i < 2; i++) {
		make_busy();
		end_one();
	}
	ck_assert_uint_eq(flows[3].kind | flows[3].int_addr, 0);
}
END_TEST

static void see_packet(void *ctx, const struct nat_packet *p, bool from_outside)
{
	(void)ctx;
	(void)p;
	(void)from_outside;
}

static void see_leaving(void *ctx, const struct nat_packet *p, bool is_form, const struct nat_fate *f)
{
	(void)ctx;
	(void)p;
	(void)is_form;
	(void)f;
}

static void see_end(void *ctx, const struct nat_fate *f)
{
	(void)ctx;
	(void)f;
}

START_TEST(test_a_capture_sees_every_packet_and_then_they_are_carried_again)
{
	const struct nat_tap tap = {see_packet, see_leaving, see_end, NULL};
	struct talk t = make_busy();

	nat_set_tap(lab->nat, &tap);
	ck_assert_uint_eq(shown(), 0);
	for (int i = 0; i < 16; i++)
		ck_assert(!say_tcp(&t, i % 2, TCP_ACK, 10));
	nat_set_tap(lab->nat, NULL);
	for (int i = 0; i < 16; i++)
		say_tcp(&t, i % 2, TCP_ACK, 10);
	ck_assert_uint_eq(shown(), 1);
	ck_assert(say_tcp(&t, true, TCP_ACK, 10));
}
END_TEST

START_TEST(test_sessions_of_other_classes_are_not_shown)
{
	struct talk t = {
		.proto = 17, .in = {.address = LAB_A, .port = 5000}, .out = {.address = LAB_S1, .port = SERVER_PORT}};
	const struct build b = {.payload_len = 9, .df = true, .seq = 1};
	struct flow_memory m = memory();

	nat_mirror_end(lab->nat, false);
	ck_assert(nat_mirror_begin(lab->nat, &m, 1 << CLASS_TCP));
	for (int i = 0; i < 40; i++) {
		ck_assert(!say(&t, i % 2 == 0, &b));
		t.ext = i == 0 ? external_port() : t.ext;
		advance_both(500);
	}
	ck_assert_uint_eq(shown(), 0);
	make_busy();
	ck_assert_uint_eq(shown(), 1);
}
END_TEST

START_TEST(test_a_full_bucket_leaves_sessions_to_natd)
{
	struct nat_mirror_counts c;
	struct talk t;

	for (uint32_t i = 0; i < FLOW_BUCKETS; i++)
		memset(&buckets[i], 0xff, sizeof(buckets[i]));
	t = make_busy();
	ck_assert(!say_tcp(&t, true, TCP_ACK, 10));
	nat_mirror_counts(lab->nat, &c);
	ck_assert_uint_eq(c.flows, 0);
	ck_assert_uint_eq(c.full, 1);
}
END_TEST

/* ---- MTUs of routes ---- */

static uint16_t asked_mtu[2];
static bool is_mtu_known;

static bool give_mtu(void *ctx, const struct mirror_ends *e, uint16_t mtu[2])
{
	(void)ctx;
	ck_assert(e->internal == LAB_A && e->remote == LAB_S1 && e->external == LAB_EXT);
	memcpy(mtu, asked_mtu, sizeof(asked_mtu));
	return is_mtu_known;
}

static void ask_for(uint16_t out, uint16_t in)
{
	ask_mtu = give_mtu;
	is_mtu_known = true;
	asked_mtu[DIR_OUT] = out;
	asked_mtu[DIR_IN] = in;
}

/* The session that is shown. */
static uint64_t shown_id(void)
{
	struct mirror_ends ends[2];
	uint32_t at = 1;

	ck_assert_uint_eq(nat_mirror_list(lab->nat, &at, ends, 2), 1);
	ck_assert_uint_eq(at, 0);
	return ends[0].id;
}

START_TEST(test_what_is_larger_than_the_mtu_of_its_route_is_natds)
{
	const uint16_t other[2] = {0, 600}, none[2] = {0, 0};
	struct talk t;

	ask_for(500, 0);
	t = make_busy();
	ck_assert(say_tcp(&t, true, TCP_ACK, 460));
	ck_assert(!say_tcp(&t, true, TCP_ACK, 461));
	ck_assert(say_tcp(&t, false, TCP_ACK, 1400));
	nat_mirror_set_mtu(lab->nat, shown_id(), other);
	ck_assert(say_tcp(&t, true, TCP_ACK, 1400));
	ck_assert(say_tcp(&t, false, TCP_ACK, 560));
	ck_assert(!say_tcp(&t, false, TCP_ACK, 561));
	nat_mirror_set_mtu(lab->nat, shown_id(), none);
	ck_assert(say_tcp(&t, true, TCP_ACK, 1400) && say_tcp(&t, false, TCP_ACK, 1400));
}
END_TEST

START_TEST(test_a_session_whose_mtu_is_not_known_is_not_shown_yet)
{
	struct talk t;

	ask_for(0, 0);
	is_mtu_known = false;
	t = make_busy();
	ck_assert_uint_eq(shown(), 0);
	is_mtu_known = true;
	for (int i = 0; i < 8; i++)
		say_tcp(&t, i % 2, TCP_ACK, 10);
	ck_assert_uint_eq(shown(), 1);
}
END_TEST

START_TEST(test_mtus_that_no_flow_has_make_room)
{
	struct nat_mirror_counts c;

	for (uint16_t i = 0; i < 50; i++) {
		const uint16_t again[2] = {(uint16_t)(1300 + i), (uint16_t)(700 + i)};

		ask_for((uint16_t)(1000 + i), (uint16_t)(500 + i));
		make_busy();
		nat_mirror_set_mtu(lab->nat, shown_id(), again);
		end_one();
	}
	nat_mirror_counts(lab->nat, &c);
	ck_assert(c.shown == 50 && c.full == 0);
}
END_TEST

START_TEST(test_more_mtus_than_the_lists_hold_leave_sessions_to_natd)
{
	struct nat_mirror_counts c;

	for (uint16_t i = 1; i < FLOW_MTUS_IN; i++) {
		mtus[DIR_IN][i] = i;
		lab->nat->mirror->mtu_users[DIR_IN][i] = 1;
	}
	ask_for(500, 500);
	make_busy();
	nat_mirror_counts(lab->nat, &c);
	ck_assert(c.flows == 0 && c.full == 1);
	end_one();
	ask_for(500, FLOW_MTUS_IN - 1);
	make_busy();
	ck_assert_uint_eq(shown(), 1);
	nat_mirror_set_mtu(lab->nat, shown_id(), (const uint16_t[2]){0, 500});
	ck_assert_uint_eq(shown(), 0);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("mirror");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 300);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_a_session_is_shown_with_its_eighth_packet);
	tcase_add_test(c, test_fin_syn_and_rst_stop_it_for_what_comes_after);
	tcase_add_test(c, test_what_the_forwarder_learns_late_is_known_before_its_answer);
	tcase_add_test(c, test_an_ended_session_is_out_at_once);
	tcase_add_test(c, test_idle_sessions_make_room);
	tcase_add_test(c, test_a_slot_rests_before_it_is_used_again);
	tcase_add_test(c, test_after_a_pause_no_carried_session_seems_idle);
	tcase_add_test(c, test_the_next_natd_takes_over_what_was_carried);
	tcase_add_test(c, test_a_session_is_shown_again_in_its_slot_and_that_rests_again);
	tcase_add_test(c, test_a_capture_sees_every_packet_and_then_they_are_carried_again);
	tcase_add_test(c, test_sessions_of_other_classes_are_not_shown);
	tcase_add_test(c, test_a_full_bucket_leaves_sessions_to_natd);
	tcase_add_test(c, test_what_is_larger_than_the_mtu_of_its_route_is_natds);
	tcase_add_test(c, test_a_session_whose_mtu_is_not_known_is_not_shown_yet);
	tcase_add_test(c, test_mtus_that_no_flow_has_make_room);
	tcase_add_test(c, test_more_mtus_than_the_lists_hold_leave_sessions_to_natd);
	tcase_add_loop_test(c, test_a_forwarder_changes_no_result, 0, 8);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	forward = play_forwarder;
	return unit_main(make_suite);
}
