/* SPDX-License-Identifier: ISC */
/*
 * The order of a session's packets while some pass through natd and some are carried (core/nat/flow.h, "Order"). Packets arrive at
 * any moment between natd's steps: reading its queues, translating, sending. Each direction has to leave in the order in which it
 * came, with one queue for both directions or with one for each.
 */
#include <check.h>
#include <string.h>

#include "mirrorforward.h"

enum { QUEUE = 512, BYTES = 1600, MOMENTS = 4000, SEEDS = 6, LANES = 2 };

struct waiting {
	uint8_t bytes[BYTES];
	size_t len;
	uint32_t number, end; /* end: of its data */
	uint8_t dir;
};

/* A queue and the thread that reads it. */
static struct lane {
	struct waiting queue[QUEUE], noted[QUEUE];
	uint32_t in_queue, n_noted, n_read;
	bool was_empty;
	enum { READS, TRANSLATES, SENDS } next;
	struct mirror_sending sending;
} lanes[LANES];

static uint32_t n_lanes;
static struct talk talk;
static uint32_t arrived[2], left[2]; /* numbers of packets, from 1 on */
static bool has_forwarder;	     /* else natd has given no beat, and it leaves everything to natd */

static void setup_order(void)
{
	setup();
	memset(lanes, 0, sizeof(lanes));
	memset(arrived, 0, sizeof(arrived));
	memset(left, 0, sizeof(left));
	n_lanes = 1;
	has_forwarder = true;
	carried = 0;
}

/* A packet of that direction has left the gateway. */
static void leave_gateway(const struct waiting *w)
{
	ck_assert_msg(w->number == left[w->dir] + 1, "packet %u of direction %u left behind packet %u",
		      (unsigned)w->number, w->dir, (unsigned)left[w->dir]);
	left[w->dir] = w->number;
	(w->dir == DIR_OUT ? &talk.out : &talk.in)->acked = w->end; /* it has arrived */
}

/* As natd gets it: its data are the next that this side sends. */
static size_t make_packet(uint8_t *p, bool from_inside, uint32_t len, bool is_plain)
{
	struct end *me = from_inside ? &talk.in : &talk.out, *peer = from_inside ? &talk.out : &talk.in;
	struct build b = {.proto = talk.proto,
			  .src = me->address,
			  .dst = from_inside ? peer->address : LAB_EXT,
			  .sport = me->port,
			  .dport = from_inside ? peer->port : talk.ext,
			  .seq = me->next,
			  .ack = me->acked,
			  .flags = TCP_ACK,
			  .window = 60000,
			  .payload_len = len,
			  .df = is_plain};

	me->next += len;
	return build_packet(p, &b);
}

static void arrive(bool from_inside, uint32_t len, bool is_plain)
{
	uint8_t dir = from_inside ? DIR_OUT : DIR_IN;
	struct lane *l = &lanes[dir % n_lanes];
	struct waiting *w = &l->queue[l->in_queue];

	if (l->in_queue == QUEUE)
		return;
	w->len = make_packet(w->bytes, from_inside, len, is_plain);
	w->number = ++arrived[dir];
	w->dir = dir;
	w->end = (from_inside ? &talk.in : &talk.out)->next;
	if (has_forwarder && play_forwarder(w->bytes, w->len, lab->now_ms)) {
		carried++;
		leave_gateway(w);
	} else {
		l->in_queue++;
	}
}

static void read_queue(struct lane *l)
{
	nat_mirror_read(&l->sending);
	l->n_read = unit_below(2) ? l->in_queue : unit_below(l->in_queue + 1);
	l->was_empty = l->n_read == l->in_queue;
}

static void translate_read(struct lane *l)
{
	for (uint32_t i = 0; i < l->n_read; i++) {
		lab_send(lab, l->queue[i].bytes, l->queue[i].len);
		ck_assert_uint_eq(lab->n_out, 1);
		l->noted[l->n_noted++] = l->queue[i];
	}
	l->in_queue -= l->n_read;
	memmove(l->queue, l->queue + l->n_read, l->in_queue * sizeof(l->queue[0]));
	nat_mirror_take_sending(lab->nat, &l->sending);
}

static void send_translated(struct lane *l)
{
	for (uint32_t i = 0; i < l->n_noted; i++)
		leave_gateway(&l->noted[i]);
	l->n_noted = 0;
	nat_mirror_sent(lab->nat, &l->sending, false);
	if (l->was_empty)
		nat_mirror_sent(lab->nat, &l->sending, true);
	nat_mirror_show(lab->nat, n_lanes == 1, NULL, NULL);
}

/* The next of the three steps of daemon/path/lane.c; packets may arrive before each. */
static void step_lane(struct lane *l)
{
	switch (l->next) {
	case READS:
		read_queue(l);
		l->next = TRANSLATES;
		return;
	case TRANSLATES:
		translate_read(l);
		l->next = SENDS;
		return;
	case SENDS:
		send_translated(l);
		l->next = READS;
	}
}

static bool is_idle(const struct lane *l)
{
	return l->in_queue + l->n_noted == 0 && l->next == READS;
}

static bool are_idle(void)
{
	return is_idle(&lanes[0]) && is_idle(&lanes[1]);
}

/* Everything is sent, and the queues have been read once more. */
static void settle(void)
{
	for (uint32_t i = 0; i < n_lanes; i++) {
		do
			step_lane(&lanes[i]);
		while (!is_idle(&lanes[i]));
		for (int step = 0; step < 3; step++)
			step_lane(&lanes[i]);
	}
}

/* The conversation is open, and natd has sent everything; a session of datagrams is old enough to be shown. */
static void open_one(uint8_t proto)
{
	talk = (struct talk){.proto = proto,
			     .in = {.address = LAB_A, .port = 5000, .next = 0xfffff000, .window = 60000},
			     .out = {.address = LAB_S1, .port = SERVER_PORT, .next = 0x7ffff000, .window = 60000}};
	if (proto == 6) {
		say_tcp(&talk, true, TCP_SYN, 0);
		talk.ext = external_port();
		say_tcp(&talk, false, TCP_SYN | TCP_ACK, 0);
		say_tcp(&talk, true, TCP_ACK, 0);
	} else {
		say(&talk, true, &(struct build){.payload_len = 9, .df = true, .seq = 1});
		talk.ext = external_port();
		say(&talk, false, &(struct build){.payload_len = 9, .df = true, .seq = 1});
		advance_both(3000);
	}
	talk.in.acked = talk.out.next;
	talk.out.acked = talk.in.next;
	sending.n = 0;
}

/* Odd packets, and a natd that was stopped, begin it all again. */
static void happen_once(void)
{
	uint32_t what = unit_below(100);

	if (what < 45) {
		arrive(unit_below(2), 1 + unit_below(500), true);
	} else if (what < 47) {
		arrive(true, 1 + unit_below(500), false);
	} else if (what < 50 && are_idle() && unit_below(8) == 0) {
		advance_both(1000); /* flows grow old, and nothing is on its way */
	} else if (what < 51) {
		has_forwarder = false;
	} else if (what < 56 && !has_forwarder) {
		nat_mirror_join_all(lab->nat);
		has_forwarder = true;
	} else if (what < 58) {
		settle();
	} else {
		step_lane(&lanes[unit_below(n_lanes)]);
	}
}

static void play_order(uint8_t proto, uint32_t n, int seed)
{
	for (int i = 0; i <= seed; i++)
		unit_seed_ = unit_random();
	n_lanes = n;
	open_one(proto);
	for (int i = 0; i < MOMENTS; i++)
		happen_once();
	has_forwarder = true;
	settle();
	ck_assert(left[DIR_OUT] == arrived[DIR_OUT] && left[DIR_IN] == arrived[DIR_IN]);
	ck_assert_msg(carried > MOMENTS / 40, "only %u carried", (unsigned)carried);
}

START_TEST(test_no_segment_overtakes_another)
{
	play_order(6, 1 + (uint32_t)_i % LANES, _i / LANES);
}
END_TEST

START_TEST(test_no_datagram_overtakes_another)
{
	play_order(17, 1 + (uint32_t)_i % LANES, _i / LANES);
}
END_TEST

/* Shown, with nothing on its way. */
static void open_shown(uint8_t proto)
{
	open_one(proto);
	for (int i = 0; i < 16; i++) {
		arrive(i % 2, 10, true);
		settle();
	}
	carried = 0;
}

START_TEST(test_what_follows_waits_for_what_is_left_to_natd)
{
	static const uint8_t protocols[] = {6, 17};

	open_shown(protocols[_i]);
	arrive(true, 10, true);
	ck_assert_uint_eq(carried, 1);
	arrive(true, 10, false); /* without DF: natd's */
	arrive(true, 10, true);
	arrive(false, 10, true); /* the other direction goes on */
	ck_assert_uint_eq(carried, 2);
	read_queue(&lanes[0]);
	lanes[0].n_read = lanes[0].in_queue;
	translate_read(&lanes[0]);
	arrive(true, 10, true);
	ck_assert_uint_eq(carried, 2);
	settle();
	arrive(true, 10, true);
	arrive(true, 10, true);
	ck_assert_uint_eq(carried, 4);
	ck_assert_uint_eq(lanes[0].in_queue, 0);
}
END_TEST

START_TEST(test_what_comes_again_is_carried)
{
	open_shown(6);
	arrive(true, 10, true);
	arrive(true, 10, false);
	talk.in.next -= 20; /* both once more */
	arrived[DIR_OUT] -= 2;
	left[DIR_OUT] = arrived[DIR_OUT];
	arrive(true, 20, true);
	ck_assert_uint_eq(carried, 2);
}
END_TEST

START_TEST(test_a_queue_that_is_never_empty_is_waited_for_no_longer_than_two_passes)
{
	open_shown(6);
	arrive(true, 10, false);
	arrive(true, 10, true);
	ck_assert_uint_eq(carried, 0);
	advance_both(1000);
	arrive(true, 10, true);
	ck_assert_uint_eq(carried, 0);
	advance_both(1000);
	left[DIR_OUT] = arrived[DIR_OUT]; /* the three are overtaken */
	arrive(true, 10, true);
	ck_assert_uint_eq(carried, 1);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("mirror_order");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 300);
	tcase_add_checked_fixture(c, setup_order, teardown);
	tcase_add_loop_test(c, test_no_segment_overtakes_another, 0, SEEDS * LANES);
	tcase_add_loop_test(c, test_no_datagram_overtakes_another, 0, SEEDS * LANES);
	tcase_add_loop_test(c, test_what_follows_waits_for_what_is_left_to_natd, 0, 2);
	tcase_add_test(c, test_what_comes_again_is_carried);
	tcase_add_test(c, test_a_queue_that_is_never_empty_is_waited_for_no_longer_than_two_passes);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	forward = play_forwarder;
	return unit_main(make_suite);
}
