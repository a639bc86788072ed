/* SPDX-License-Identifier: ISC */
/*
 * Sessions of the connection table, one property at a time. Random sequences against a naive table are in
 * check_table_model.c; restarts and damage in check_table_restart.c.
 */
#include <check.h>

#include "tablelab.h"

START_TEST(test_session_is_found_from_both_sides_and_not_by_other_keys)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session *s;

	lab_open(&l, 100, 2);
	s = lab_session(&l, &spec);
	for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
		struct session_key k = lab_key(s, (enum nat_dir)dir), other;

		ck_assert_ptr_eq(lab_find(&l, &k), s);
		other = k, other.local++;
		ck_assert_ptr_null(lab_find(&l, &other));
		other = k, other.remote++;
		ck_assert_ptr_null(lab_find(&l, &other));
		other = k, other.local_port++;
		ck_assert_ptr_null(lab_find(&l, &other));
		other = k, other.remote_port++;
		ck_assert_ptr_null(lab_find(&l, &other));
		other = k, other.proto_class = CLASS_TCP;
		ck_assert_ptr_null(lab_find(&l, &other));
		other = k, other.dir = !other.dir;
		ck_assert_ptr_null(lab_find(&l, &other));
	}
	lab_check(&l);
	lab_close(&l);
}
END_TEST

static const struct {
	uint8_t proto_class, state;
	uint32_t timeout;
} timeouts[] = {
	{CLASS_UDP, SESSION_SYN_OUT, 300},	  {CLASS_UDP, SESSION_ESTABLISHED, 300},
	{CLASS_ICMP, SESSION_SYN_OUT, 60},	  {CLASS_OTHER, SESSION_SYN_OUT, 600},
	{CLASS_TCP, SESSION_SYN_OUT, 240},	  {CLASS_TCP, SESSION_SYN_IN, 240},
	{CLASS_TCP, SESSION_SYN_BOTH, 240},	  {CLASS_TCP, SESSION_SYNACK_OUT, 240},
	{CLASS_TCP, SESSION_SYNACK_IN, 240},	  {CLASS_TCP, SESSION_ESTABLISHED, 7440},
	{CLASS_TCP, SESSION_FIN_OUT, 7440},	  {CLASS_TCP, SESSION_FIN_IN, 7440},
	{CLASS_TCP, SESSION_FIN_OUT_ACKED, 7440}, {CLASS_TCP, SESSION_FIN_IN_ACKED, 7440},
	{CLASS_TCP, SESSION_FIN_BOTH, 240},	  {CLASS_TCP, SESSION_TIME_WAIT, 240},
	{CLASS_TCP, SESSION_RESET, 240},
};

START_TEST(test_5382_5_session_lives_exactly_its_timeout)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session_key k;
	struct session *s;

	lab_open(&l, 100, 1);
	spec.proto_class = timeouts[_i].proto_class;
	spec.state = timeouts[_i].state;
	s = lab_session(&l, &spec);
	k = lab_key(s, DIR_OUT);
	ck_assert_uint_eq(table_session_timeout(l.t, s), timeouts[_i].timeout);
	l.now_s += timeouts[_i].timeout;
	ck_assert_ptr_eq(lab_find(&l, &k), s);
	ck_assert_uint_eq(table_sweep(l.t, l.now_s, 1000).closed, 0);
	l.now_s++;
	ck_assert_ptr_null(lab_find(&l, &k));
	ck_assert_uint_eq(table_session_count(l.t), 1);
	ck_assert_uint_eq(table_sweep(l.t, l.now_s, 1000).closed, 1);
	ck_assert_uint_eq(table_session_count(l.t), 0);
	ck_assert_uint_eq(table_mapping_count(l.t), 0);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_expiry_is_called_by_how_far_the_connection_had_come)
{
	for (int st = SESSION_SYN_OUT; st < SESSION_STATE_COUNT; st++) {
		struct session s = {.kind = CLASS_TCP};
		enum session_end want = SESSION_END_TIMEOUT;

		session_set_state(&s, (enum session_state)st);
		if (st == SESSION_RESET)
			want = SESSION_END_RESET;
		else if (st > SESSION_ESTABLISHED)
			want = SESSION_END_CLOSED;
		ck_assert_int_eq(table_session_expiry(&s), want);
	}
	ck_assert_str_eq(session_end_name(SESSION_END_ADDRESS_LOST), "address-lost");
	ck_assert_str_eq(session_end_name(SESSION_END_COUNT), "unknown");
}
END_TEST

START_TEST(test_clock_a_second_back_ends_nothing)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session_key k;
	struct session *s;

	lab_open(&l, 100, 1);
	s = lab_session(&l, &spec);
	k = lab_key(s, DIR_OUT);
	l.now_s--;
	ck_assert_ptr_eq(lab_find(&l, &k), s);
	lab_close(&l);
}
END_TEST

START_TEST(test_equal_session_is_refused_while_it_lives_in_either_direction)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000), twin;
	enum nat_reason why = NAT_PASS;

	lab_open(&l, 100, 1);
	lab_session(&l, &spec);
	ck_assert_ptr_null(table_session_open(l.t, &spec, l.now_s, &why));
	ck_assert_int_eq(why, DROP_TABLE);
	twin = spec, twin.ext_port++; /* the same from inside */
	ck_assert_ptr_null(table_session_open(l.t, &twin, l.now_s, &why));
	twin = spec, twin.int_port++; /* the same from outside */
	ck_assert_ptr_null(table_session_open(l.t, &twin, l.now_s, &why));
	twin.forward = true;
	ck_assert_ptr_null(table_session_open(l.t, &twin, l.now_s, &why));
	ck_assert_uint_eq(table_session_count(l.t), 1);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_session_that_timed_out_gives_way_to_an_equal_one)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000), other = lab_spec(1, 1000, 2, 40000);
	struct session *s;
	uint64_t id, other_id;

	lab_open(&l, 100, 1);
	id = table_session_id(l.t, lab_session(&l, &spec));
	l.now_s += 301;
	spec.ext_port = 40001; /* its old mapping is gone */
	s = lab_session(&l, &spec);
	ck_assert_uint_ne(table_session_id(l.t, s), id);
	ck_assert_ptr_null(table_session_by_id(l.t, id));
	ck_assert(table_port_used(l.t, CLASS_UDP, 0, 40000)); /* rests */
	lab_check(&l);
	/* in a mapping that goes on */
	other.ext_port = 40001;
	other_id = table_session_id(l.t, lab_session(&l, &other));
	l.now_s += 200;
	s->seen_s = l.now_s;
	l.now_s += 200;
	table_session_answered(l.t, table_session_by_id(l.t, other_id));
	ck_assert_uint_eq(table_unanswered_count(l.t), 1);
	s = lab_session(&l, &other);
	ck_assert_uint_eq(table_unanswered_count(l.t), 2);
	ck_assert_uint_eq(table_session_count(l.t), 2);
	ck_assert_uint_eq(table_host(l.t, s->int_addr, false)->unanswered, 2);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_hopeless_sessions_are_refused)
{
	struct lab l;
	struct session_spec good = lab_spec(1, 1000, 1, 40000), bad[6];
	enum nat_reason why;

	lab_open(&l, 100, 2);
	for (int i = 0; i < 6; i++)
		bad[i] = good;
	bad[0].ext = 2;
	bad[1].ext = 65535;
	bad[2].ext_port = 0;
	bad[3].proto_class = CLASS_COUNT;
	bad[4].state = SESSION_FREE;
	bad[5].state = SESSION_STATE_COUNT;
	for (int i = 0; i < 6; i++) {
		why = NAT_PASS;
		ck_assert_ptr_null(table_session_open(l.t, &bad[i], l.now_s, &why));
		ck_assert_int_eq(why, DROP_TABLE);
	}
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_full_table_says_so_and_heals_at_once)
{
	enum { SIZE = 1000 };
	struct lab l;
	struct session *s[SIZE];
	struct session_spec spec;
	enum nat_reason why = NAT_PASS;

	lab_open(&l, SIZE, 1);
	for (uint16_t i = 0; i < SIZE; i++) {
		spec = lab_spec(i % 7, (uint16_t)(1000 + i), 1, (uint16_t)(20000 + i));
		s[i] = lab_session(&l, &spec);
	}
	lab_check(&l);
	spec = lab_spec(1, 60000, 1, 60000);
	ck_assert_ptr_null(table_session_open(l.t, &spec, l.now_s, &why));
	ck_assert_int_eq(why, DROP_SESSIONS_FULL);
	table_session_close(l.t, s[500], SESSION_END_DELETED, l.now_s);
	ck_assert_ptr_eq(lab_session(&l, &spec), s[500]);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_id_is_never_zero_and_not_used_again)
{
	enum { ROUNDS = 100000, KEEP = 64 };
	struct lab l;
	uint64_t before[KEEP] = {0};

	lab_open(&l, 10, 1);
	table_set_timeouts(l.t, &lab_timeouts, 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct session_spec spec = lab_spec(1, 1000, 1, 40000);
		struct session *s = lab_session(&l, &spec);
		uint64_t id = table_session_id(l.t, s);

		bool is_right = id != 0 && id < 1ull << 53 && table_session_by_id(l.t, id) == s;

		/* Plain comparisons: each ck_assert() writes to a pipe, and there would be millions. */
		for (int k = 0; k < KEEP; k++)
			is_right = is_right && id != before[k];
		before[i % KEEP] = id;
		table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
		if (!is_right || table_session_by_id(l.t, id) != NULL)
			ck_abort_msg("id %" PRIu64 " in round %d", id, i);
	}
	ck_assert_ptr_null(table_session_by_id(l.t, 0));
	ck_assert_ptr_null(table_session_by_id(l.t, UINT64_MAX));
	lab_close(&l);
}
END_TEST

START_TEST(test_listing_sees_each_lasting_session_once_while_others_come_and_go)
{
	enum { SIZE = 2000, LASTING = 500 };
	struct lab l;
	unsigned seen[LASTING] = {0};
	uint32_t cursor = 0, calls = 0;
	struct session *s, *churn = NULL;

	lab_open(&l, SIZE, 1);
	for (uint32_t i = 0; i < SIZE - 1; i++) {
		struct session_spec spec = lab_spec(1, (uint16_t)(1000 + i), 1, (uint16_t)(2000 + i));

		lab_session(&l, &spec)->bytes[0] = i;
	}
	while ((s = table_next(l.t, &cursor, 10)) != NULL) /* only each fourth lasts */
		if (s->bytes[0] % 4 != 0)
			table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	ck_assert_uint_eq(cursor, 0);
	do {
		struct session_spec spec = lab_spec(2, (uint16_t)(1000 + calls % 50000), 1, (uint16_t)(10000 + calls));

		s = table_next(l.t, &cursor, unit_below(3));
		if (s != NULL && s->bytes[0] % 4 == 0 && s->int_addr == LAB_INSIDE + 1)
			seen[s->bytes[0] / 4]++;
		if (churn != NULL)
			table_session_close(l.t, churn, SESSION_END_DELETED, l.now_s);
		churn = lab_session(&l, &spec);
		churn->bytes[0] = 1;
		ck_assert_uint_lt(++calls, 4 * SIZE);
	} while (s != NULL || cursor != 0);
	for (int i = 0; i < LASTING; i++)
		ck_assert_uint_eq(seen[i], 1);
	lab_close(&l);
}
END_TEST

START_TEST(test_sweep_keeps_to_its_budget_and_a_round_visits_all)
{
	enum { SIZE = 1000, BUDGET = 37 };
	struct lab l;
	uint32_t visited = 0, closed = 0, round;
	struct table_swept swept;

	lab_open(&l, SIZE, 1);
	for (uint16_t i = 0; i < SIZE; i++) {
		struct session_spec spec = lab_spec(i, 1000, 1, (uint16_t)(2000 + i));

		lab_session(&l, &spec);
	}
	l.now_s += 301;
	round = table_sweep_round(l.t);
	ck_assert_uint_eq(round, SIZE);
	for (int calls = 0; visited < round; calls++) { /* each is to be closed, which counts as four */
		swept = table_sweep(l.t, l.now_s, BUDGET);
		ck_assert_uint_eq(swept.closed, swept.visited);
		ck_assert_uint_le(swept.closed, 16); /* what one looks at before it counts */
		ck_assert_int_lt(calls, 4 * SIZE / BUDGET + 1);
		visited += swept.visited;
		closed += swept.closed;
	}
	ck_assert_uint_eq(visited, round);
	ck_assert_uint_eq(closed, SIZE);
	lab_check(&l);
	table_sweep(l.t, l.now_s, SIZE);
	ck_assert_uint_eq(table_host_count(l.t), 0);
	ck_assert_uint_eq(table_sweep_round(l.t), 0);
	lab_close(&l);
}
END_TEST

START_TEST(test_host_counts_and_pairing_follow_its_sessions)
{
	struct lab l;
	struct session_spec a = lab_spec(1, 1000, 1, 40000), b = lab_spec(1, 1000, 2, 40000),
			    f = lab_spec(1, 80, 3, 80);
	struct session *s, *sf;
	struct host *h;

	lab_open(&l, 100, 2);
	ck_assert_ptr_null(table_host(l.t, a.int_addr, false));
	f.forward = true;
	sf = lab_session(&l, &f);
	h = table_host(l.t, a.int_addr, false);
	ck_assert_uint_eq(h->ext, 0);
	a.ext = b.ext = 1;
	s = lab_session(&l, &a);
	lab_session(&l, &b);
	ck_assert_uint_eq(h->sessions, 3);
	ck_assert_uint_eq(h->unanswered, 3);
	ck_assert_uint_eq(h->ports, 1);
	ck_assert_uint_eq(h->ext, 1); /* the first mapping pairs, not the forward */
	table_session_answered(l.t, s);
	table_session_answered(l.t, s);
	ck_assert_uint_eq(h->unanswered, 2);
	ck_assert_uint_eq(table_unanswered_count(l.t), 2);
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	table_session_close(l.t, sf, SESSION_END_DELETED, l.now_s);
	ck_assert_uint_eq(h->sessions, 1);
	ck_assert_uint_eq(h->unanswered, 1);
	ck_assert_uint_eq(table_host_count(l.t), 1);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_host_that_went_is_not_taken_for_the_one_in_its_place)
{
	struct lab l;
	uint32_t first = lab_spec(1, 1000, 1, 40000).int_addr, second = first + 1;
	struct host *h;

	lab_open(&l, 100, 2);
	h = table_host(l.t, first, true);
	ck_assert_ptr_eq(table_host(l.t, first, false), h);
	table_sweep(l.t, l.now_s, 100);
	ck_assert_ptr_null(table_host(l.t, first, false));
	lab_check(&l);
	ck_assert_ptr_eq(table_host(l.t, second, true), h);
	ck_assert_uint_eq(h->address, second);
	ck_assert_ptr_null(table_host(l.t, first, false));
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_address_slot_stays_until_nothing_uses_it)
{
	struct lab l;
	struct session_spec spec = lab_spec(1, 1000, 1, 40000);
	struct session *s;

	lab_open(&l, 100, 2);
	ck_assert_int_eq(table_address_add(l.t, LAB_OUTSIDE), 0);
	ck_assert_int_eq(table_address_add(l.t, LAB_OUTSIDE + 2), TABLE_NONE);
	s = lab_session(&l, &spec);
	table_address_remove(l.t, 0);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE), 0);
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE), 0); /* a port rests there */
	l.now_s += 121;
	table_sweep(l.t, l.now_s, 10);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE), TABLE_NONE);
	ck_assert_int_eq(table_address_add(l.t, LAB_OUTSIDE + 2), 0);
	spec.ext = 1;
	spec.forward = true; /* no port of the pool, and yet a use */
	s = lab_session(&l, &spec);
	table_address_remove(l.t, 1);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE + 1), 1);
	table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	ck_assert_int_eq(table_address_slot(l.t, LAB_OUTSIDE + 1), TABLE_NONE);
	table_address_remove(l.t, 1);
	table_address_remove(l.t, 65535);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

static void wipe(void *ctx, void *start, size_t len)
{
	const struct lab *l = ctx;
	uint8_t *p = start, *records = l->memory.records, *scratch = l->memory.scratch;

	ck_assert((p >= records && p + len <= records + l->memory.records_len) ||
		  (p >= scratch && p + len <= scratch + l->memory.scratch_len));
	ck_assert_uint_eq((uintptr_t)p % 4096, 0);
	memset(start, 0, len);
}

START_TEST(test_memory_is_given_back_after_a_peak)
{
	enum { SIZE = 30000 };
	struct lab l;
	struct table_usage before, after;
	uint32_t cursor = 0;
	struct session *s;

	lab_open(&l, SIZE, 1);
	table_set_timeouts(l.t, &lab_timeouts, 0);
	for (uint32_t i = 0; i < SIZE; i++) {
		struct session_spec spec = lab_spec(i / 8, 1000, i, (uint16_t)(2000 + i));

		lab_session(&l, &spec);
	}
	table_usage(l.t, &before);
	ck_assert_uint_eq(before.sessions, SIZE);
	while ((s = table_next(l.t, &cursor, SIZE)) != NULL)
		if (s->ext_port >= 2100)
			table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	for (int i = 0; i < 100; i++)
		table_sweep(l.t, l.now_s, SIZE);
	lab_check(&l);
	while (table_trim(l.t, wipe, &l))
		lab_check(&l);
	lab_check(&l);
	table_usage(l.t, &after);
	ck_assert_uint_eq(after.sessions, 100);
	ck_assert_uint_lt(after.records_bytes, 20000);
	ck_assert_uint_lt(after.scratch_bytes, before.scratch_bytes / 10);
	for (uint32_t i = 200; i < SIZE; i++) {
		struct session_spec spec = lab_spec(i / 8, 1000, i, (uint16_t)(2000 + i));

		lab_session(&l, &spec);
	}
	lab_check(&l);
	lab_close(&l);
}
END_TEST

static uint32_t pages_in_use(const uint8_t *at, size_t len)
{
	static const uint8_t zero[4096];
	uint32_t n = 0;

	for (size_t i = 0; i + sizeof(zero) <= len; i += sizeof(zero))
		n += memcmp(at + i, zero, sizeof(zero)) != 0;
	return n;
}

/* A page that two pieces share was given back with neither. */
START_TEST(test_memory_given_back_in_pieces_leaves_no_page_between_them)
{
	enum { MANY = 40960, RECORDS_LEFT = 2 /* the header's, the addresses' */ };
	uint32_t cursor = 0, pieces = 1;
	struct session *s;
	struct lab l;

	lab_open(&l, MANY, 1);
	table_set_timeouts(l.t, &lab_timeouts, 0);
	for (uint32_t i = 0; i < MANY; i++) {
		struct session_spec spec = lab_spec(i / 8, 1000, i, (uint16_t)(2000 + i));

		lab_session(&l, &spec);
	}
	while ((s = table_next(l.t, &cursor, MANY)) != NULL)
		table_session_close(l.t, s, SESSION_END_DELETED, l.now_s);
	ck_assert_uint_ge(pages_in_use(l.memory.records, l.memory.records_len), MANY / 64);
	while (table_trim(l.t, wipe, &l))
		pieces++;
	ck_assert_uint_ge(pieces, 3);
	ck_assert_uint_le(pages_in_use(l.memory.records, l.memory.records_len), RECORDS_LEFT);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table");
	TCase *tc = tcase_create("sessions");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_session_is_found_from_both_sides_and_not_by_other_keys);
	tcase_add_loop_test(tc, test_5382_5_session_lives_exactly_its_timeout, 0,
			    sizeof(timeouts) / sizeof(timeouts[0]));
	tcase_add_test(tc, test_expiry_is_called_by_how_far_the_connection_had_come);
	tcase_add_test(tc, test_clock_a_second_back_ends_nothing);
	tcase_add_test(tc, test_equal_session_is_refused_while_it_lives_in_either_direction);
	tcase_add_test(tc, test_session_that_timed_out_gives_way_to_an_equal_one);
	tcase_add_test(tc, test_hopeless_sessions_are_refused);
	tcase_add_test(tc, test_full_table_says_so_and_heals_at_once);
	tcase_add_test(tc, test_id_is_never_zero_and_not_used_again);
	tcase_add_test(tc, test_listing_sees_each_lasting_session_once_while_others_come_and_go);
	tcase_add_test(tc, test_sweep_keeps_to_its_budget_and_a_round_visits_all);
	tcase_add_test(tc, test_host_counts_and_pairing_follow_its_sessions);
	tcase_add_test(tc, test_host_that_went_is_not_taken_for_the_one_in_its_place);
	tcase_add_test(tc, test_address_slot_stays_until_nothing_uses_it);
	tcase_add_test(tc, test_memory_is_given_back_after_a_peak);
	tcase_add_test(tc, test_memory_given_back_in_pieces_leaves_no_page_between_them);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
