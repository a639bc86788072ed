/* SPDX-License-Identifier: ISC */
/* Choice of outside ports: every one of a range once, evenly, at any fill; preferences; quarantine after use. */
#include <check.h>

#include "tablelab.h"

enum { LIKE = 2000, UNTIL_FULL = 70000 };

static uint16_t take(struct lab *l, const struct port_request *rq)
{
	bool recycled = true;
	uint16_t port = table_port_take(l->t, rq, unit_random(), l->now_s, &recycled);

	ck_assert(!recycled);
	return port;
}

/* ---- ranges ---- */

static const struct {
	struct nat_range range[3];
	uint32_t n;
	uint32_t ports;
} range_sets[] = {
	{{{40000, 40000}}, 1, 1},
	{{{1, 1}}, 1, 1},
	{{{65535, 65535}}, 1, 1},
	{{{0, 0}}, 1, 0}, /* port 0 is never chosen */
	{{{0, 65535}}, 1, 65535},
	{{{1024, 65535}}, 1, 64512},
	{{{511, 512}}, 1, 2},
	{{{512, 1023}}, 1, 512},
	{{{0, 0}, {7, 8}, {63, 65}}, 3, 5},
	{{{100, 700}, {1000, 1030}, {32768, 36863}}, 3, 601 + 31 + 4096},
	{{{10, 5}, {20, 20}}, 2, 1}, /* a range the wrong way round is empty */
	{{{0, 0}}, 0, 0},
};

static bool in_set(int set, uint16_t port)
{
	for (uint32_t i = 0; i < range_sets[set].n; i++)
		if (port >= range_sets[set].range[i].first && port <= range_sets[set].range[i].last)
			return true;
	return false;
}

START_TEST(test_every_port_of_the_ranges_is_given_exactly_once)
{
	struct lab l;
	struct port_request rq = {.ext = 1, .proto_class = CLASS_TCP, .like = LIKE};
	uint32_t n = 0;
	uint16_t port;

	lab_open(&l, 10, 2);
	rq.ranges = range_sets[_i].range;
	rq.n_ranges = range_sets[_i].n;
	rq.same_class = unit_below(2) & 1;
	rq.parity = unit_below(2) & 1;
	for (; (port = take(&l, &rq)) != 0; n++) {
		ck_assert(in_set(_i, port));
		ck_assert(table_port_used(l.t, CLASS_TCP, 1, port));
		ck_assert_uint_eq(table_address_ports_used(l.t, 1, CLASS_TCP), n + 1);
		ck_assert_uint_lt(n, UNTIL_FULL);
	}
	ck_assert_uint_eq(n, range_sets[_i].ports);
	ck_assert_uint_eq(table_address_ports_used(l.t, 0, CLASS_TCP), 0);
	ck_assert_uint_eq(table_address_ports_used(l.t, 1, CLASS_UDP), 0);
	lab_check(&l);
	if (n == 0)
		return lab_close(&l);
	port = range_sets[_i].range[range_sets[_i].n - 1].last; /* heals at once */
	table_port_release(l.t, CLASS_TCP, 1, port);
	ck_assert_uint_eq(take(&l, &rq), port);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* Each free port is as likely as any other, be few or many free: chi-square over random holes. */
START_TEST(test_choice_is_even_at_any_fill)
{
	static const struct {
		uint16_t free, parity;
	} fill[] = {{200, 0}, {100, 0}, {10, 0}, {2, 0}, {100, 1}, {5, 1}};
	enum { ROUNDS = 40 };
	const struct nat_range ranges[] = {{960, 1059}, {3000, 3099}};
	struct port_request rq = {.proto_class = CLASS_UDP, .ranges = ranges, .n_ranges = 2, .like = LIKE};
	uint32_t hits[65536] = {0}, n = 0;
	bool is_free[65536] = {false};
	double chi = 0, expected;
	struct lab l;
	uint16_t port;

	lab_open(&l, 10, 1);
	while (take(&l, &rq) != 0)
		;
	while (n < fill[_i].free) {
		port = ranges[unit_below(2)].first + (uint16_t)unit_below(100);
		if (is_free[port] || (fill[_i].parity && port % 2 != LIKE % 2))
			continue;
		is_free[port] = true;
		table_port_release(l.t, CLASS_UDP, 0, port);
		n++;
	}
	rq.parity = fill[_i].parity & 1;
	for (uint32_t i = 0; i < n * ROUNDS; i++) {
		port = take(&l, &rq);
		ck_assert(is_free[port]);
		hits[port]++;
		table_port_release(l.t, CLASS_UDP, 0, port);
	}
	expected = ROUNDS;
	for (int i = 0; i < 65536; i++)
		if (is_free[i])
			chi += (hits[i] - expected) * (hits[i] - expected) / expected;
	/* mean n - 1, standard deviation sqrt(2 (n - 1)); 7 of those, and room for the skew of few degrees */
	ck_assert_double_lt((chi - (n - 1)) * (chi - (n - 1)), 49.0 * 2 * n + 900);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* ---- preferences ---- */

START_TEST(test_4787_4_parity_is_kept_while_there_are_such_ports)
{
	const struct nat_range range = {40001, 40100};
	struct port_request rq = {.proto_class = CLASS_UDP, .ranges = &range, .n_ranges = 1, .parity = 1};
	struct lab l;

	lab_open(&l, 10, 1);
	rq.like = _i ? 5001 : 5000;
	for (int n = 0; n < 50; n++)
		ck_assert_uint_eq(take(&l, &rq) % 2, rq.like % 2);
	for (int n = 0; n < 50; n++) /* then it gives way */
		ck_assert_uint_ne(take(&l, &rq) % 2, rq.like % 2);
	ck_assert_uint_eq(take(&l, &rq), 0);
	lab_close(&l);
}
END_TEST

START_TEST(test_4787_3a_port_class_is_kept_and_gives_way_after_parity)
{
	const struct nat_range range = {1004, 1043}; /* 20 of each class */
	struct port_request rq = {
		.proto_class = CLASS_TCP, .ranges = &range, .n_ranges = 1, .parity = 1, .same_class = 1};
	struct lab l;

	lab_open(&l, 10, 1);
	rq.like = _i ? 5001 : 501;
	for (int n = 0; n < 40; n++) {
		uint16_t port = take(&l, &rq);

		ck_assert((port <= 1023) == (n < 20 ? rq.like <= 1023 : rq.like > 1023));
		if (n < 10)
			ck_assert_uint_eq(port % 2, 1);
		else if (n < 20)
			ck_assert_uint_eq(port % 2, 0);
	}
	ck_assert_uint_eq(take(&l, &rq), 0);
	lab_close(&l);
}
END_TEST

START_TEST(test_preferred_port_is_given_if_it_is_free_and_in_the_ranges)
{
	const struct nat_range ranges[] = {{100, 199}, {300, 399}};
	struct port_request rq = {.proto_class = CLASS_TCP, .ranges = ranges, .n_ranges = 2, .prefer = 350};
	struct lab l;
	uint16_t port;

	lab_open(&l, 10, 1);
	ck_assert_uint_eq(take(&l, &rq), 350);
	port = take(&l, &rq);
	ck_assert(port != 350 && port != 0);
	rq.prefer = 250;
	port = take(&l, &rq);
	ck_assert(port != 250 && port != 0);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* ---- the caller's last word ---- */

struct guard {
	uint16_t only[2];
	uint32_t asked;
	uint8_t times[65536];
};

static bool is_allowed(void *ctx, uint16_t port)
{
	struct guard *g = ctx;

	g->asked++;
	ck_assert_uint_eq(g->times[port]++, 0); /* never twice in one choice */
	return port == g->only[0] || port == g->only[1];
}

START_TEST(test_refused_ports_are_not_asked_again_and_the_allowed_one_is_found)
{
	const struct nat_range range = {40001, 40000 + TABLE_PORT_ASKS};
	struct guard g;
	struct port_request rq = {
		.proto_class = CLASS_TCP, .ranges = &range, .n_ranges = 1, .usable = is_allowed, .ctx = &g};
	struct lab l;

	lab_open(&l, 10, 1);
	for (int round = 0; round < 3; round++) {
		memset(&g, 0, sizeof(g));
		g.only[0] = 40005;
		g.only[1] = 40060;
		if (round < 2)
			ck_assert((take(&l, &rq) + 35) % 55 == (40005 + 35) % 55);
		else
			ck_assert_uint_eq(take(&l, &rq), 0);
		ck_assert_uint_le(g.asked, TABLE_PORT_ASKS);
		ck_assert_uint_eq(table_address_ports_used(l.t, 0, CLASS_TCP), round < 2 ? (uint32_t)round + 1 : 2);
		lab_check(&l);
	}
	lab_close(&l);
}
END_TEST

START_TEST(test_asks_are_bounded_when_everything_is_refused)
{
	const struct nat_range range = {1024, 65535};
	struct guard g = {.asked = 0};
	struct port_request rq = {.proto_class = CLASS_TCP,
				  .ranges = &range,
				  .n_ranges = 1,
				  .parity = 1,
				  .same_class = 1,
				  .like = 5000,
				  .may_recycle = true,
				  .usable = is_allowed,
				  .ctx = &g};
	struct lab l;

	lab_open(&l, 10, 1);
	ck_assert_uint_eq(take(&l, &rq), 0);
	ck_assert_uint_eq(g.asked, TABLE_PORT_ASKS);
	ck_assert_uint_eq(table_address_ports_used(l.t, 0, CLASS_TCP), 0);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_nonsense_requests_get_nothing)
{
	const struct nat_range range = {1024, 65535};
	struct port_request rq = {.proto_class = CLASS_OTHER, .ranges = &range, .n_ranges = 1};
	struct lab l;

	lab_open(&l, 10, 1);
	ck_assert_uint_eq(take(&l, &rq), 0);
	rq.proto_class = CLASS_TCP;
	rq.ext = 1; /* no such address */
	ck_assert_uint_eq(take(&l, &rq), 0);
	rq.ext = 65535;
	ck_assert_uint_eq(take(&l, &rq), 0);
	table_port_release(l.t, CLASS_TCP, 65535, 1024);
	table_port_release(l.t, CLASS_OTHER, 0, 1024);
	table_port_release(l.t, CLASS_TCP, 0, 1024);
	ck_assert(!table_port_used(l.t, CLASS_TCP, 65535, 1024));
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* ---- quarantine ---- */

/* A mapping on `port`, opened and closed now. */
static void use_port(struct lab *l, uint16_t port)
{
	struct session_spec spec = lab_spec(1, port, 1, port);

	table_session_close(l->t, lab_session(l, &spec), SESSION_END_DELETED, l->now_s);
}

START_TEST(test_6888_8_port_is_not_reused_while_it_rests)
{
	const struct nat_range range = {40000, 40001};
	struct port_request rq = {.proto_class = CLASS_UDP, .ranges = &range, .n_ranges = 1};
	struct lab l;

	lab_open(&l, 10, 1);
	use_port(&l, 40000);
	ck_assert_uint_eq(take(&l, &rq), 40001);
	rq.prefer = 40000;
	ck_assert_uint_eq(take(&l, &rq), 0);
	l.now_s += 120;
	ck_assert_uint_eq(take(&l, &rq), 0);
	lab_check(&l);
	l.now_s++;
	ck_assert_uint_eq(take(&l, &rq), 40000);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_mapped_or_resting_port_cannot_be_released)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	enum nat_reason why;
	struct session *s;

	lab_open(&l, 10, 1);
	s = lab_session(&l, &spec);
	table_port_release(l.t, CLASS_UDP, 0, 40000);
	ck_assert(table_port_used(l.t, CLASS_UDP, 0, 40000));
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	table_port_release(l.t, CLASS_UDP, 0, 40000);
	ck_assert(table_port_used(l.t, CLASS_UDP, 0, 40000));
	ck_assert_ptr_null(table_session_open(l.t, &spec, l.now_s, &why)); /* nor opened */
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_6888_8_longest_rested_port_is_recycled_when_none_is_left)
{
	const struct nat_range range = {40000, 40009};
	struct port_request rq = {.proto_class = CLASS_UDP, .ranges = &range, .n_ranges = 1, .may_recycle = true};
	uint16_t order[10];
	struct lab l;
	bool recycled;

	lab_open(&l, 20, 1);
	for (uint16_t i = 0; i < 10; i++)
		order[i] = (uint16_t)(40000 + i * 7 % 10);
	for (int i = 0; i < 10; i++, l.now_s++)
		use_port(&l, order[i]);
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_eq(table_port_take(l.t, &rq, unit_random(), l.now_s, &recycled), order[i]);
		ck_assert(recycled);
		lab_check(&l);
	}
	ck_assert_uint_eq(table_port_take(l.t, &rq, unit_random(), l.now_s, &recycled), 0);
	lab_close(&l);
}
END_TEST

START_TEST(test_recycling_skips_ports_that_the_caller_refuses)
{
	const struct nat_range range = {40000, 40009};
	struct guard g = {.only = {40009, 40003}};
	struct port_request rq = {.proto_class = CLASS_UDP,
				  .ranges = &range,
				  .n_ranges = 1,
				  .may_recycle = true,
				  .usable = is_allowed,
				  .ctx = &g};
	struct lab l;
	bool recycled;

	lab_open(&l, 20, 1);
	for (uint16_t p = 39990; p < 40010; p++)
		use_port(&l, p);
	for (int i = 0; i < 3; i++) { /* from the middle of the list */
		memset(g.times, 0, sizeof(g.times));
		ck_assert_uint_eq(table_port_take(l.t, &rq, unit_random(), l.now_s, &recycled), i == 0	 ? 40003
												: i == 1 ? 40009
													 : 0);
		lab_check(&l);
	}
	use_port(&l, 50000);
	lab_check(&l);
	l.now_s += 121;
	table_sweep(l.t, l.now_s, 100);
	ck_assert_uint_eq(table_address_ports_used(l.t, 0, CLASS_UDP), 2);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_no_rest_when_reuse_is_at_once)
{
	struct lab l;

	lab_open(&l, 10, 1);
	table_set_timeouts(l.t, &lab_timeouts, 0);
	use_port(&l, 40000);
	ck_assert(!table_port_used(l.t, CLASS_UDP, 0, 40000));
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_oldest_rest_ends_when_no_more_can_be_kept)
{
	struct table_usage u;
	struct lab l;

	lab_open(&l, 64, 1);
	for (uint16_t p = 0; p < 200; p++) {
		use_port(&l, (uint16_t)(20000 + p));
		ck_assert(table_port_used(l.t, CLASS_UDP, 0, (uint16_t)(20000 + p)));
		if (p >= 64)
			ck_assert(!table_port_used(l.t, CLASS_UDP, 0, (uint16_t)(20000 + p - 64)));
	}
	table_usage(l.t, &u);
	ck_assert_uint_eq(u.resting, 64);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_6888_8_rest_survives_a_restart_in_its_order)
{
	const struct nat_range range = {40000, 40049};
	struct port_request rq = {.proto_class = CLASS_UDP, .ranges = &range, .n_ranges = 1, .may_recycle = true};
	uint16_t order[50];
	struct lab l;
	bool recycled;

	lab_open(&l, 200, 1);
	for (uint16_t i = 0; i < 50; i++)
		order[i] = (uint16_t)(40000 + i * 7 % 50);
	for (int i = 0; i < 50; i++, l.now_s += unit_below(3)) {
		struct session_spec spec = lab_spec(1, order[i], 1, order[i]);

		table_session_close(l.t, lab_session(&l, &spec), SESSION_END_DELETED, l.now_s);
		if (i % 3 == 0) { /* holes in the array */
			rq.n_ranges = 1;
			table_port_take(l.t,
					&(struct port_request){.proto_class = CLASS_UDP,
							       .ranges = &(struct nat_range){order[i], order[i]},
							       .n_ranges = 1,
							       .may_recycle = true},
					1, l.now_s, &recycled);
			table_port_release(l.t, CLASS_UDP, 0, order[i]);
		}
	}
	for (int i = 0; i < 50; i += 3)
		use_port(&l, order[i]);
	lab_restart(&l, 1);
	ck_assert_uint_eq(l.report.resting, 50);
	lab_check(&l);
	for (int i = 0; i < 50; i++) {
		uint16_t port = table_port_take(l.t, &rq, unit_random(), l.now_s, &recycled);

		ck_assert(recycled);
		if (i < 33)
			ck_assert_uint_eq(port, order[i / 2 * 3 + 1 + i % 2]);
	}
	l.now_s = LAB_T0 + 400;
	lab_restart(&l, 1);
	ck_assert_uint_eq(l.report.resting, 0);
	lab_close(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("port");
	TCase *tc = tcase_create("ports");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_every_port_of_the_ranges_is_given_exactly_once, 0,
			    sizeof(range_sets) / sizeof(range_sets[0]));
	tcase_add_loop_test(tc, test_choice_is_even_at_any_fill, 0, 6);
	tcase_add_loop_test(tc, test_4787_4_parity_is_kept_while_there_are_such_ports, 0, 2);
	tcase_add_loop_test(tc, test_4787_3a_port_class_is_kept_and_gives_way_after_parity, 0, 2);
	tcase_add_test(tc, test_preferred_port_is_given_if_it_is_free_and_in_the_ranges);
	tcase_add_test(tc, test_refused_ports_are_not_asked_again_and_the_allowed_one_is_found);
	tcase_add_test(tc, test_asks_are_bounded_when_everything_is_refused);
	tcase_add_test(tc, test_nonsense_requests_get_nothing);
	tcase_add_test(tc, test_6888_8_port_is_not_reused_while_it_rests);
	tcase_add_test(tc, test_mapped_or_resting_port_cannot_be_released);
	tcase_add_test(tc, test_6888_8_longest_rested_port_is_recycled_when_none_is_left);
	tcase_add_test(tc, test_recycling_skips_ports_that_the_caller_refuses);
	tcase_add_test(tc, test_no_rest_when_reuse_is_at_once);
	tcase_add_test(tc, test_oldest_rest_ends_when_no_more_can_be_kept);
	tcase_add_test(tc, test_6888_8_rest_survives_a_restart_in_its_order);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
