/* SPDX-License-Identifier: ISC */
/*
 * Balanced forwards through the core: the choice of a session, affinity, counts, backends that go and come back, reload
 * and restart, and virtual addresses for inside hosts.
 */
#include <check.h>
#include <string.h>

#include "../../src/core/nat/explain.h"
#include "../../src/core/nat/view.h"
#include "natlab.h"
#include "unit.h"

enum { TCP = 1 << CLASS_TCP, UDP = 1 << CLASS_UDP, HOSTS = 4 };

#define VIRTUAL	   BUILD_IP(10, 96, 0, 10)
#define BACKEND(i) (BUILD_IP(10, 8, 0, 20) + (uint32_t)(i))
#define CLIENT(i)  (BUILD_IP(198, 51, 100, 10) + (uint32_t)(i))

static struct lab *lab;
static struct nat_backend backends[HOSTS];

static void setup(void)
{
	lab = lab_new();
	for (uint32_t i = 0; i < HOSTS; i++)
		backends[i] = (struct nat_backend){BACKEND(i), 8080, 1};
}

static void teardown(void)
{
	lab_free(lab);
}

static struct nat_forward *add(const char *name, enum nat_balance balance, uint32_t affinity)
{
	struct nat_forward *f = &lab->forwards[lab->policy.n_forwards++];

	*f = (struct nat_forward){.protocols = TCP | UDP,
				  .ports = {80, 81},
				  .backends = backends,
				  .n_backends = HOSTS,
				  .balance = (uint8_t)balance,
				  .affinity = affinity};
	strcpy(f->name, name);
	return f;
}

static struct nat_forward *add_virtual(const char *name)
{
	struct nat_forward *f = add(name, BALANCE_HASH, 0);

	f->address = VIRTUAL;
	f->side = SIDE_INSIDE;
	lab->addresses[1] = lab->addresses[0];
	lab->addresses[0] = (struct nat_address_range){.first = VIRTUAL, .last = VIRTUAL, .is_virtual = true};
	lab->policy.n_addresses = 2;
	return f;
}

static void send_udp(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	LAB_SEND(lab, .proto = 17, .src = src, .dst = dst, .sport = sport, .dport = dport, .payload_len = 8);
}

/* The backend that gets it. */
static uint32_t udp_to(uint32_t src, uint16_t sport, uint16_t dport)
{
	send_udp(src, sport, LAB_EXT, dport);
	return lab_one(lab, NAT_TO_INSIDE)->v.dst;
}

static void syn_to(uint32_t src, uint16_t sport, uint32_t dst)
{
	LAB_SEND(lab, .proto = 6, .src = src, .dst = dst, .sport = sport, .dport = 80, .flags = TCP_SYN, .seq = 1000,
		 .window = 1000);
}

static enum nat_backend_change set(uint32_t i, uint8_t why, bool on)
{
	memcpy(lab->before, nat_counters(lab->nat), sizeof(lab->before));
	return nat_backend_set(lab->nat, "web", &backends[i], why, on, lab->now_ms);
}

static uint32_t place_of(uint32_t address)
{
	return address - BACKEND(0);
}

static uint32_t sessions_of(uint32_t i)
{
	struct nat_backend_view v;

	ck_assert(nat_backend_view(lab->nat, 0, i, &v));
	return v.sessions;
}

/* ---- the choice ---- */

START_TEST(test_one_source_one_backend_and_all_get_some)
{
	uint32_t got[HOSTS] = {0};

	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t to = udp_to(CLIENT(i), 1000, 80);

		ck_assert_uint_eq(lab->out[0].v.dport, 8080);
		ck_assert_uint_eq(udp_to(CLIENT(i), 1001, 81), to);
		ck_assert_uint_eq(lab->out[0].v.dport, 8081);
		got[place_of(to)]++;
	}
	for (uint32_t i = 0; i < HOSTS; i++) {
		ck_assert_uint_gt(got[i], 25);
		ck_assert_uint_eq(sessions_of(i), 2 * got[i]);
	}
}
END_TEST

/* Answers go back by the session, whichever backend new connections get. */
START_TEST(test_a_session_keeps_its_backend)
{
	uint32_t to;

	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	to = udp_to(CLIENT(1), 1000, 80);
	set(place_of(to), BACKEND_DRAINED, true);
	ck_assert_uint_ne(udp_to(CLIENT(1), 1001, 80), to);
	ck_assert_uint_eq(udp_to(CLIENT(1), 1000, 80), to);
	send_udp(to, 8080, CLIENT(1), 1000);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.sport, 80);
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
}
END_TEST

/* Another seed, another process: the same choice, as of a gateway that takes over. */
START_TEST(test_another_gateway_with_the_same_file_chooses_the_same)
{
	uint32_t to[50];

	add("web", BALANCE_HASH, 300);
	lab_start(lab);
	for (uint32_t i = 0; i < 50; i++)
		to[i] = udp_to(CLIENT(i), 1000, 80);
	teardown();
	setup();
	lab->seed[0] = 99;
	lab->now_ms = 77000000;
	add("other", BALANCE_HASH, 300)->ports = (struct nat_range){90, 90};
	add("web", BALANCE_HASH, 300);
	lab_start(lab);
	for (uint32_t i = 0; i < 50; i++)
		ck_assert_uint_eq(udp_to(CLIENT(i), 1000, 80), to[i]);
}
END_TEST

START_TEST(test_least_counts_sessions_that_live)
{
	add("web", BALANCE_LEAST, 0);
	backends[3].weight = 2;
	lab_start(lab);
	for (uint16_t k = 0; k < 50; k++)
		udp_to(CLIENT(1), (uint16_t)(1000 + k), 80);
	for (uint32_t i = 0; i < HOSTS; i++)
		ck_assert_uint_eq(sessions_of(i), i == 3 ? 20 : 10);
	lab_advance(lab, 301000);
	for (uint32_t i = 0; i < HOSTS; i++)
		ck_assert_uint_eq(sessions_of(i), 0);
}
END_TEST

START_TEST(test_random_uses_all)
{
	uint32_t got[HOSTS] = {0};

	add("web", BALANCE_RANDOM, 0);
	lab_start(lab);
	for (uint16_t k = 0; k < 200; k++)
		got[place_of(udp_to(CLIENT(1), (uint16_t)(1000 + k), 80))]++;
	for (uint32_t i = 0; i < HOSTS; i++)
		ck_assert_uint_gt(got[i], 20);
}
END_TEST

/* ---- affinity ---- */

START_TEST(test_affinity_holds_for_its_seconds_and_no_longer)
{
	uint32_t to, others = 0;

	add("web", BALANCE_RANDOM, 60);
	lab_start(lab);
	to = udp_to(CLIENT(1), 1000, 80);
	for (uint16_t k = 1; k < 20; k++) {
		lab_advance(lab, 50000);
		ck_assert_uint_eq(udp_to(CLIENT(1), (uint16_t)(1000 + k), 80), to);
	}
	for (uint16_t k = 0; k < 20; k++) {
		lab_advance(lab, 62000);
		others += udp_to(CLIENT(1), (uint16_t)(2000 + k), 80) != to;
	}
	ck_assert_uint_gt(others, 0);
}
END_TEST

/* A source does not move because a backend was added; it does when its own takes nothing. */
START_TEST(test_affinity_outlives_a_reload_and_yields_to_drain)
{
	uint32_t to[50];

	add("web", BALANCE_HASH, 300)->n_backends = 2;
	lab_start(lab);
	for (uint32_t i = 0; i < 50; i++)
		to[i] = udp_to(CLIENT(i), 1000, 80);
	lab->forwards[0].n_backends = HOSTS;
	lab_reload(lab);
	for (uint32_t i = 0; i < 50; i++)
		ck_assert_uint_eq(udp_to(CLIENT(i), 1001, 80), to[i]);
	set(0, BACKEND_DRAINED, true);
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t now = udp_to(CLIENT(i), 1002, 80);

		ck_assert(to[i] == BACKEND(0) ? now != to[i] : now == to[i]);
	}
}
END_TEST

/* ---- a backend goes down ---- */

/* kube-proxy's years-old complaint: a UDP flow whose server died kept its conntrack entry, and its packets went nowhere
 * for as long as the client went on sending. */
START_TEST(test_kube_proxy_stale_udp_entry_follows_to_a_live_backend)
{
	uint32_t to, next;

	add("web", BALANCE_HASH, 300);
	lab_start(lab);
	to = udp_to(CLIENT(1), 1000, 80);
	ck_assert_int_eq(set(place_of(to), BACKEND_DOWN, true), NAT_BACKEND_CHANGED);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	ck_assert_uint_eq(table_ended(nat_table(lab->nat), SESSION_END_BACKEND_DOWN), 1);
	next = udp_to(CLIENT(1), 1000, 80);
	ck_assert_uint_ne(next, to);
	ck_assert_int_eq(set(place_of(to), BACKEND_DOWN, false), NAT_BACKEND_CHANGED);
	ck_assert_uint_eq(udp_to(CLIENT(1), 1000, 80), next);
}
END_TEST

START_TEST(test_kube_proxy_stale_udp_entry_of_a_backend_removed)
{
	uint32_t to, place;

	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	to = udp_to(CLIENT(1), 1000, 80);
	place = place_of(to);
	memmove(&backends[place], &backends[place + 1], (HOSTS - 1 - place) * sizeof(backends[0]));
	lab->forwards[0].n_backends = HOSTS - 1;
	ck_assert_uint_eq(lab_reload(lab).ended, 1);
	ck_assert_uint_ne(udp_to(CLIENT(1), 1000, 80), to);
}
END_TEST

static void handshake(uint32_t src, uint32_t dst, uint32_t *backend, uint16_t *back_port)
{
	syn_to(src, 1000, dst);
	*backend = lab_one(lab, NAT_TO_INSIDE)->v.dst;
	*back_port = lab->out[0].v.sport;
	LAB_SEND(lab, .proto = 6, .src = *backend, .dst = lab->out[0].v.src, .sport = 8080, .dport = *back_port,
		 .flags = TCP_SYN | TCP_ACK, .seq = 5000, .ack = 1001, .window = 1000);
	LAB_SEND(lab, .proto = 6, .src = src, .dst = dst, .sport = 1000, .dport = 80, .flags = TCP_ACK, .seq = 1001,
		 .ack = 5001, .window = 1000);
	lab_one(lab, NAT_TO_INSIDE);
}

START_TEST(test_tcp_client_of_a_dead_backend_gets_a_reset)
{
	const struct lab_out *o;
	uint32_t to;
	uint16_t port;

	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	handshake(CLIENT(1), LAB_EXT, &to, &port);
	set(place_of(to), BACKEND_DOWN, true);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	lab_advance(lab, 1);
	o = lab_one(lab, NAT_TO_OUTSIDE);
	ck_assert(o->v.src == LAB_EXT && o->v.sport == 80 && o->v.dst == CLIENT(1) && o->v.dport == 1000);
	ck_assert(o->v.tcp_flags == (TCP_RST | TCP_ACK));
	ck_assert_uint_eq(o->v.tcp_seq, 5001);
	ck_assert_uint_eq(lab_delta(lab, COUNT_RESET_SENT), 1);
	syn_to(CLIENT(1), 1000, LAB_EXT);
	ck_assert_uint_ne(lab_one(lab, NAT_TO_INSIDE)->v.dst, to);
}
END_TEST

START_TEST(test_all_down_is_refused_with_an_answer)
{
	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	for (uint32_t i = 0; i < HOSTS; i++)
		set(i, i == 0 ? BACKEND_DRAINED : BACKEND_DOWN, true);
	syn_to(CLIENT(1), 1000, LAB_EXT);
	ck_assert_uint_eq(lab_delta(lab, DROP_BACKENDS_DOWN), 1);
	ck_assert_uint_eq(lab->n_out, 1);
	ck_assert(lab->out[0].v.tcp_flags == (TCP_RST | TCP_ACK) && lab->out[0].v.tcp_ack == 1001);
	send_udp(CLIENT(1), 1000, LAB_EXT, 80);
	lab_dropped_with_icmp(lab, DROP_BACKENDS_DOWN, 3, 3);
	set(2, BACKEND_DOWN, false);
	ck_assert_uint_eq(udp_to(CLIENT(1), 1000, 80), BACKEND(2));
}
END_TEST

START_TEST(test_states_are_kept_over_a_reload_and_unknown_ones_refused)
{
	const struct nat_backend other = {BACKEND(9), 8080, 1};

	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	for (uint32_t i = 1; i < HOSTS; i++)
		ck_assert_int_eq(set(i, BACKEND_DOWN, true), NAT_BACKEND_CHANGED);
	ck_assert_int_eq(set(1, BACKEND_DOWN, true), NAT_BACKEND_SAME);
	lab->forwards[1] = lab->forwards[0];
	add("before", BALANCE_HASH, 0);
	strcpy(lab->forwards[0].name, "before");
	strcpy(lab->forwards[1].name, "web");
	lab->forwards[0].ports = (struct nat_range){90, 90};
	lab->policy.n_forwards = 2;
	lab_reload(lab);
	for (uint32_t i = 0; i < 20; i++)
		ck_assert_uint_eq(udp_to(CLIENT(i), 1000, 80), BACKEND(0));
	ck_assert_int_eq(nat_backend_set(lab->nat, "web", &other, BACKEND_DOWN, true, lab->now_ms),
			 NAT_BACKEND_UNKNOWN);
	ck_assert_int_eq(nat_backend_set(lab->nat, "no", backends, BACKEND_DOWN, true, lab->now_ms),
			 NAT_BACKEND_UNKNOWN);
}
END_TEST

/* ---- reload and restart ---- */

START_TEST(test_sessions_go_on_while_their_backend_is_listed)
{
	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	for (uint32_t i = 0; i < 20; i++)
		udp_to(CLIENT(i), 1000, 80);
	backends[0].weight = 9;
	lab->forwards[0].balance = BALANCE_LEAST;
	ck_assert_uint_eq(lab_reload(lab).ended, 0);
	lab_restart(lab);
	ck_assert_uint_eq(sessions_of(0) + sessions_of(1) + sessions_of(2) + sessions_of(3), 20);
	backends[0].port = 9090;
	ck_assert_uint_gt(lab_reload(lab).ended, 0);
	ck_assert_uint_eq(sessions_of(0), 0);
}
END_TEST

START_TEST(test_listing_and_explanation_name_the_backend)
{
	struct session_view v;
	struct explanation x;
	uint32_t cursor = 0, to;
	uint8_t copy[BUILD_MAX];

	add("web", BALANCE_HASH, 0);
	lab_start(lab);
	to = udp_to(CLIENT(1), 1000, 81);
	ck_assert(nat_view_next(lab->nat, &cursor, 1000, lab->now_ms, &v));
	ck_assert_str_eq(v.origin.forward, "web");
	ck_assert(v.origin.backend == to && v.origin.backend_port == 8080);
	lab->in_len = build_packet(
		lab->in,
		&(const struct build){
			.proto = 17, .src = CLIENT(1), .dst = LAB_EXT, .sport = 1001, .dport = 80, .payload_len = 8});
	memcpy(copy, lab->in, lab->in_len);
	nat_explain(lab->nat, lab->now_ms, copy, (uint32_t)lab->in_len, &x);
	ck_assert_uint_eq(x.pass[0].inside, to);
	ck_assert_int_eq(x.pass[0].decision.backend, (int32_t)place_of(to));
}
END_TEST

/* ---- virtual addresses ---- */

START_TEST(test_virtual_address_leads_inside_hosts_to_a_backend_and_back)
{
	uint32_t to;
	uint16_t port;

	lab->policy.hairpinning = false;
	lab->exempt[0] = (struct nat_prefix){.address = BUILD_IP(10, 0, 0, 0), .length = 8};
	lab->policy.n_exempt = 1;
	add_virtual("web");
	lab_start(lab);
	send_udp(LAB_A, 5000, VIRTUAL, 80);
	to = lab_one(lab, NAT_TO_INSIDE)->v.dst;
	port = lab->out[0].v.sport;
	ck_assert(place_of(to) < HOSTS && lab->out[0].v.src == LAB_EXT);
	send_udp(to, 8080, LAB_EXT, port);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A);
	ck_assert(lab->out[0].v.src == VIRTUAL && lab->out[0].v.sport == 80 && lab->out[0].v.dport == 5000);
	ck_assert_uint_eq(lab_reload(lab).ended, 0);
}
END_TEST

START_TEST(test_a_backend_that_calls_its_service_reaches_itself_or_another)
{
	uint32_t reached = 0;

	add_virtual("web");
	lab_start(lab);
	for (uint32_t i = 0; i < HOSTS; i++) {
		syn_to(BACKEND(i), 1000, VIRTUAL);
		ck_assert_uint_lt(place_of(lab_one(lab, NAT_TO_INSIDE)->v.dst), HOSTS);
		reached += lab->out[0].v.dst == BACKEND(i);
	}
	set(1, BACKEND_DRAINED, true);
	set(2, BACKEND_DRAINED, true);
	set(3, BACKEND_DRAINED, true);
	syn_to(BACKEND(0), 2000, VIRTUAL);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, BACKEND(0));
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
	ck_assert_uint_le(reached, HOSTS);
}
END_TEST

START_TEST(test_virtual_address_is_nothing_to_the_outside_and_takes_no_mapping)
{
	add_virtual("web");
	add("plain", BALANCE_HASH, 0)->ports = (struct nat_range){90, 90};
	lab_start(lab);
	send_udp(LAB_S1, 7, VIRTUAL, 80);
	lab_dropped(lab, DROP_UNSOLICITED);
	send_udp(LAB_A, 5000, VIRTUAL, 90); /* a forward of every outside address is not one of it */
	ck_assert_uint_eq(lab_delta(lab, DROP_UNSOLICITED), 1);
	send_udp(LAB_A, 5000, VIRTUAL, 80); /* pairs its backend with no address for what it sends itself */
	lab_one(lab, NAT_TO_INSIDE);
	for (uint16_t k = 0; k < 50; k++) {
		lab_udp_out(lab, BACKEND(k), 5000, LAB_S1, 7);
		ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
	}
}
END_TEST

START_TEST(test_side_both_is_reached_from_both_sides)
{
	add_virtual("web")->side = SIDE_BOTH;
	lab_start(lab);
	send_udp(LAB_S1, 7, VIRTUAL, 80);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.src, LAB_S1);
	send_udp(LAB_A, 5000, VIRTUAL, 80);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

/* The client's own session ends as well, so that nothing of the connection is left. */
START_TEST(test_inside_client_of_a_dead_backend_gets_a_reset)
{
	const struct lab_out *o;
	uint32_t to;
	uint16_t port;

	add_virtual("web");
	lab_start(lab);
	handshake(LAB_A, VIRTUAL, &to, &port);
	ck_assert_uint_eq(lab_sessions(lab), 2);
	set(place_of(to), BACKEND_DOWN, true);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	lab_advance(lab, 1);
	o = lab_one(lab, NAT_TO_INSIDE);
	ck_assert(o->v.src == VIRTUAL && o->v.sport == 80 && o->v.dst == LAB_A && o->v.dport == 1000);
	ck_assert_uint_eq(o->v.tcp_seq, 5001);
}
END_TEST

/* Nothing but the answer: the client's half of the connection would hold a port until its timer runs out. */
START_TEST(test_all_down_leaves_no_half_of_an_inside_clients_session)
{
	add_virtual("web");
	lab_start(lab);
	for (uint32_t i = 0; i < HOSTS; i++)
		set(i, i == 0 ? BACKEND_DRAINED : BACKEND_DOWN, true);
	syn_to(LAB_A, 1000, VIRTUAL);
	ck_assert_uint_eq(lab_delta(lab, DROP_BACKENDS_DOWN), 1);
	ck_assert_uint_eq(lab->n_out, 1);
	ck_assert(lab->out[0].v.src == VIRTUAL && lab->out[0].v.dst == LAB_A && lab->out[0].v.dport == 1000);
	ck_assert(lab->out[0].v.tcp_flags == (TCP_RST | TCP_ACK) && lab->out[0].v.tcp_ack == 1001);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	send_udp(LAB_A, 1000, VIRTUAL, 80);
	lab_dropped_with_icmp(lab, DROP_BACKENDS_DOWN, 3, 3);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	ck_assert_uint_eq(table_ended(nat_table(lab->nat), SESSION_END_BACKEND_DOWN), 2);
	set(2, BACKEND_DOWN, false);
	send_udp(LAB_A, 1000, VIRTUAL, 80);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, BACKEND(2));
}
END_TEST

static Suite *suite(void)
{
	const TTest *const tests[] = {
		test_one_source_one_backend_and_all_get_some,
		test_a_session_keeps_its_backend,
		test_another_gateway_with_the_same_file_chooses_the_same,
		test_least_counts_sessions_that_live,
		test_random_uses_all,
		test_affinity_holds_for_its_seconds_and_no_longer,
		test_affinity_outlives_a_reload_and_yields_to_drain,
		test_kube_proxy_stale_udp_entry_follows_to_a_live_backend,
		test_kube_proxy_stale_udp_entry_of_a_backend_removed,
		test_tcp_client_of_a_dead_backend_gets_a_reset,
		test_all_down_is_refused_with_an_answer,
		test_states_are_kept_over_a_reload_and_unknown_ones_refused,
		test_sessions_go_on_while_their_backend_is_listed,
		test_listing_and_explanation_name_the_backend,
		test_virtual_address_leads_inside_hosts_to_a_backend_and_back,
		test_a_backend_that_calls_its_service_reaches_itself_or_another,
		test_virtual_address_is_nothing_to_the_outside_and_takes_no_mapping,
		test_side_both_is_reached_from_both_sides,
		test_inside_client_of_a_dead_backend_gets_a_reset,
		test_all_down_leaves_no_half_of_an_inside_clients_session,
	};
	Suite *s = suite_create("nat_balance");
	TCase *tc = tcase_create("balance");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
