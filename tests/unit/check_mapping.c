/* SPDX-License-Identifier: ISC */
/* Mappings: one by one, shared, with many peers, in each mapping mode, and across a change of the mode. */
#include <check.h>

#include "tablelab.h"

static bool internal(const struct lab *l, const struct session_spec *s, struct mapping *m)
{
	return table_mapping_internal(l->t, (enum nat_class)s->proto_class, s->int_addr, s->int_port, s->rem_addr,
				      s->rem_port, m);
}

START_TEST(test_4787_1_endpoint_independent_mapping_is_found_for_any_remote)
{
	struct lab l;
	struct session_spec a = lab_spec(1, 1000, 1, 40000), b = lab_spec(1, 1000, 2, 40000),
			    c = lab_spec(1, 1001, 1, 1);
	struct session *sa, *sb;
	struct mapping m;

	lab_open(&l, 100, 1);
	ck_assert(!internal(&l, &a, &m));
	sa = lab_session(&l, &a);
	ck_assert(internal(&l, &b, &m));
	ck_assert_uint_eq(m.ext_port, 40000);
	ck_assert_uint_eq(m.sessions, 1);
	ck_assert_uint_eq(m.rem_addr, 0);
	ck_assert_uint_eq(m.rem_port, 0);
	ck_assert(!internal(&l, &c, &m));
	sb = lab_session(&l, &b);
	ck_assert(table_mapping_external(l.t, CLASS_UDP, 0, 40000, &m));
	ck_assert_uint_eq(m.int_addr, a.int_addr);
	ck_assert_uint_eq(m.int_port, 1000);
	ck_assert_uint_eq(m.sessions, 2);
	ck_assert(!table_mapping_external(l.t, CLASS_TCP, 0, 40000, &m)); /* mappings are per protocol */
	ck_assert(!table_mapping_external(l.t, CLASS_UDP, 0, 40001, &m));
	lab_check(&l);
	table_session_close(l.t, sa, SESSION_END_DELETED, l.now_s);
	ck_assert(internal(&l, &a, &m));
	ck_assert_uint_eq(m.sessions, 1);
	ck_assert(table_port_used(l.t, CLASS_UDP, 0, 40000));
	lab_check(&l);
	table_session_close(l.t, sb, SESSION_END_DELETED, l.now_s);
	ck_assert(!internal(&l, &a, &m));
	ck_assert_uint_eq(table_mapping_count(l.t), 0);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_4787_1_dependent_mappings_look_at_the_remote_end)
{
	struct lab l;
	struct session_spec a = lab_spec(1, 1000, 1, 40000), other_port = a, other_address = a;
	struct mapping m;

	other_port.rem_port++;
	other_address.rem_addr++;
	lab_prepare(&l, 100, 1);
	l.params.mapping = _i ? MAPPING_ADDRESS_AND_PORT_DEPENDENT : MAPPING_ADDRESS_DEPENDENT;
	lab_attach(&l);
	table_address_add(l.t, LAB_OUTSIDE);
	lab_session(&l, &a);
	ck_assert(internal(&l, &a, &m));
	ck_assert_uint_eq(m.rem_addr, a.rem_addr);
	ck_assert_uint_eq(m.rem_port, _i ? a.rem_port : 0);
	ck_assert(internal(&l, &other_port, &m) == (_i == 0));
	ck_assert(!internal(&l, &other_address, &m));
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_two_inside_owners_of_one_port_are_refused)
{
	struct lab l;
	struct session_spec a = lab_spec(1, 1000, 1, 40000), b = lab_spec(2, 1000, 2, 40000),
			    c = lab_spec(1, 1001, 2, 40000);
	enum nat_reason why;

	lab_open(&l, 100, 1);
	lab_session(&l, &a);
	ck_assert_ptr_null(table_session_open(l.t, &b, l.now_s, &why));
	ck_assert_ptr_null(table_session_open(l.t, &c, l.now_s, &why));
	ck_assert_int_eq(why, DROP_TABLE);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_forwards_and_other_protocols_have_no_mapping)
{
	struct lab l;
	struct session_spec f = lab_spec(1, 80, 1, 8080), o = lab_spec(1, 47, 2, 47),
			    dynamic = lab_spec(2, 1000, 3, 8080);
	struct mapping m;

	lab_open(&l, 100, 1);
	f.forward = true;
	o.proto_class = CLASS_OTHER;
	lab_session(&l, &f);
	lab_session(&l, &o);
	ck_assert(!internal(&l, &f, &m));
	ck_assert(!internal(&l, &o, &m));
	ck_assert(!table_mapping_external(l.t, CLASS_UDP, 0, 8080, &m));
	ck_assert(!table_port_used(l.t, CLASS_UDP, 0, 8080));
	ck_assert_uint_eq(table_mapping_count(l.t), 0);
	lab_session(&l, &dynamic); /* the table does not judge */
	lab_check(&l);
	lab_close(&l);
}
END_TEST

START_TEST(test_mapping_is_over_with_its_only_session)
{
	struct lab l;
	struct session_spec a = lab_spec(1, 1000, 1, 40000), b = lab_spec(1, 1000, 2, 40001);
	struct mapping m;

	lab_open(&l, 100, 1);
	lab_session(&l, &a);
	l.now_s += 301;
	table_sweep(l.t, l.now_s, 0);
	ck_assert(!internal(&l, &a, &m));
	ck_assert(!table_mapping_external(l.t, CLASS_UDP, 0, 40000, &m));
	lab_session(&l, &b); /* its successor, before the sweep */
	ck_assert(internal(&l, &a, &m));
	ck_assert_uint_eq(m.ext_port, 40001);
	lab_check(&l);
	ck_assert_uint_eq(table_sweep(l.t, l.now_s, 100).closed, 1);
	ck_assert(internal(&l, &a, &m));
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* ---- peers ---- */

START_TEST(test_4787_8_peers_of_a_mapping_agree_with_a_count)
{
	enum { REMOTES = 20, PORTS = 5, OPS = 20000 };
	struct session *open[REMOTES][PORTS] = {{NULL}};
	uint32_t count[REMOTES] = {0};
	struct lab l;
	struct mapping m = {.proto_class = CLASS_UDP, .ext = 0, .ext_port = 40000};

	lab_open(&l, 200, 1);
	table_set_timeouts(l.t, &lab_timeouts, 0);
	for (int op = 0; op < OPS; op++) {
		uint32_t r = unit_below(REMOTES), p = unit_below(PORTS);
		struct session_spec spec = lab_spec(1, 1000, r, 40000);

		spec.rem_port = (uint16_t)(p + 1);
		if (op / 2000 % 2 && open[r][p] == NULL)
			continue; /* let it run empty now and then */
		if (open[r][p] == NULL) {
			open[r][p] = lab_session(&l, &spec);
			count[r]++;
		} else {
			table_session_close(l.t, open[r][p], SESSION_END_DELETED, l.now_s);
			open[r][p] = NULL;
			count[r]--;
		}
		r = unit_below(REMOTES);
		ck_assert(table_mapping_has_peer(l.t, &m, LAB_REMOTE + r) == (count[r] > 0));
		ck_assert(!table_mapping_has_peer(l.t, &m, LAB_REMOTE + REMOTES));
		if (op % 16 == 0)
			lab_check(&l);
	}
	lab_close(&l);
}
END_TEST

START_TEST(test_one_mapping_with_all_sessions_of_the_table)
{
	enum { SIZE = 50000 };
	struct lab l;
	struct mapping m = {.proto_class = CLASS_UDP, .ext = 0, .ext_port = 40000};
	struct table_usage u;

	lab_open(&l, SIZE, 1);
	for (uint32_t i = 0; i < SIZE; i++) {
		struct session_spec spec = lab_spec(1, 1000, i / 2, 40000);

		spec.rem_port = (uint16_t)(i % 2 + 1);
		lab_session(&l, &spec);
	}
	ck_assert(table_mapping_external(l.t, CLASS_UDP, 0, 40000, &m));
	ck_assert_uint_eq(m.sessions, SIZE);
	ck_assert(table_mapping_has_peer(l.t, &m, LAB_REMOTE + SIZE / 2 - 1));
	ck_assert(!table_mapping_has_peer(l.t, &m, LAB_REMOTE + SIZE / 2));
	table_usage(l.t, &u);
	ck_assert_uint_eq(u.longest_probe, 2);
	lab_check(&l);
	lab_restart(&l, 1);
	ck_assert_uint_eq(l.report.restored, SIZE);
	ck_assert(table_mapping_has_peer(l.t, &m, LAB_REMOTE + 1));
	lab_check(&l);
	l.now_s += 301;
	ck_assert_uint_eq(table_sweep(l.t, l.now_s, 4 * SIZE).closed, SIZE);
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* ---- change of the mode ---- */

START_TEST(test_sessions_go_on_when_the_mapping_mode_changes)
{
	enum { SIZE = 3000 };
	struct lab l;
	struct session *s[SIZE];
	struct session_spec spec;
	struct mapping m;
	uint32_t n = SIZE;

	lab_prepare(&l, SIZE, 1);
	l.params.mapping = MAPPING_ADDRESS_AND_PORT_DEPENDENT;
	lab_attach(&l);
	table_address_add(l.t, LAB_OUTSIDE);
	for (uint32_t i = 0; i < SIZE; i++) { /* hundreds of mappings of each endpoint */
		spec = lab_spec(i % 5, 1000, i, (uint16_t)(10000 + i));
		s[i] = lab_session(&l, &spec);
	}
	lab_check(&l);
	for (int mode = 0; mode < 6; mode++) {
		if (mode == 3)
			lab_restart(&l, 1); /* with the mode it started with */
		table_set_mapping(l.t, (enum nat_mapping_mode)(mode % 3));
		lab_check(&l);
		ck_assert_uint_eq(table_mapping_count(l.t), n);
		for (uint32_t i = 0; i < SIZE; i++) {
			struct session_key k;

			if (s[i] == NULL)
				continue;
			k = lab_key(s[i], DIR_IN);
			ck_assert_ptr_eq(lab_find(&l, &k), s[i]);
			ck_assert(table_mapping_internal(l.t, CLASS_UDP, s[i]->int_addr, 1000, s[i]->rem_addr, 53, &m));
		}
		for (uint32_t i = 0; i < SIZE; i++) {
			if (s[i] == NULL || unit_below(4) > 0)
				continue;
			table_session_close(l.t, s[i], SESSION_END_DELETED, l.now_s);
			s[i] = NULL;
			n--;
		}
		lab_check(&l);
		table_set_mapping(l.t, (enum nat_mapping_mode)(mode % 3)); /* lists what closing left unlisted */
		for (uint32_t i = 0; i < SIZE; i++)
			ck_assert(s[i] == NULL ||
				  table_mapping_internal(l.t, CLASS_UDP, s[i]->int_addr, 1000, s[i]->rem_addr, 53, &m));
	}
	lab_close(&l);
}
END_TEST

/* In a dependent mode nothing under an inside key leads to the sessions of a group made before, but for one remote. */
START_TEST(test_sessions_of_a_group_are_found_when_the_mapping_mode_has_changed)
{
	struct lab l;
	struct session *s[6];

	lab_open(&l, 64, 1);
	for (uint32_t i = 0; i < 6; i++) {
		struct session_spec spec = lab_spec(1, 1000, i, 4000);

		s[i] = lab_session(&l, &spec);
	}
	for (int mode = MAPPING_ENDPOINT_INDEPENDENT; mode <= MAPPING_ADDRESS_AND_PORT_DEPENDENT; mode++) {
		table_set_mapping(l.t, (enum nat_mapping_mode)mode);
		for (uint32_t i = 0; i < 6; i++) {
			struct session_key out = lab_key(s[i], DIR_OUT), in = lab_key(s[i], DIR_IN);

			ck_assert_ptr_eq(lab_find(&l, &out), s[i]);
			ck_assert_ptr_eq(lab_find(&l, &in), s[i]);
		}
		lab_check(&l);
	}
	lab_close(&l);
}
END_TEST

/* A session indexed by its endpoints alone must be indexed by its full key when they lead to another one. */
START_TEST(test_session_is_found_after_its_mapping_gave_way_and_when_it_is_shared)
{
	struct lab l;
	struct session_spec old = lab_spec(1, 1000, 1, 4000), fresh = lab_spec(1, 1000, 2, 4001);
	struct session *s[3];

	lab_open(&l, 64, 1);
	s[0] = lab_session(&l, &old);
	l.now_s += lab_timeouts.udp + 1;
	s[1] = lab_session(&l, &fresh); /* the old mapping is over, and not swept: it gives its inside key up */
	lab_check(&l);
	s[0] = lab_session(&l, &old); /* the same again: it lives, unlisted */
	lab_check(&l);
	old.rem_addr++;
	old.rem_port++;
	s[2] = lab_session(&l, &old); /* a group, still unlisted */
	lab_check(&l);
	for (int i = 0; i < 3; i++) {
		struct session_key out = lab_key(s[i], DIR_OUT), in = lab_key(s[i], DIR_IN);

		ck_assert_ptr_eq(lab_find(&l, &out), s[i]);
		ck_assert_ptr_eq(lab_find(&l, &in), s[i]);
	}
	for (int i = 0; i < 3; i++) {
		table_session_close(l.t, s[i], SESSION_END_DELETED, l.now_s);
		lab_check(&l);
	}
	ck_assert_uint_eq(table_mapping_count(l.t), 0);
	lab_close(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mapping");
	TCase *tc = tcase_create("mappings");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_4787_1_endpoint_independent_mapping_is_found_for_any_remote);
	tcase_add_loop_test(tc, test_4787_1_dependent_mappings_look_at_the_remote_end, 0, 2);
	tcase_add_test(tc, test_two_inside_owners_of_one_port_are_refused);
	tcase_add_test(tc, test_forwards_and_other_protocols_have_no_mapping);
	tcase_add_test(tc, test_mapping_is_over_with_its_only_session);
	tcase_add_test(tc, test_4787_8_peers_of_a_mapping_agree_with_a_count);
	tcase_add_test(tc, test_one_mapping_with_all_sessions_of_the_table);
	tcase_add_test(tc, test_sessions_go_on_when_the_mapping_mode_changes);
	tcase_add_test(tc, test_sessions_of_a_group_are_found_when_the_mapping_mode_has_changed);
	tcase_add_test(tc, test_session_is_found_after_its_mapping_gave_way_and_when_it_is_shared);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
