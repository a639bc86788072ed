/* SPDX-License-Identifier: ISC */
/*
 * Ports, table and hosts at their limits (RFC 6888 REQ-4, 5, 11, 13; RFC 4787 REQ-11): everything usable is used,
 * exactly once; the rest is refused, answered and counted, exactly; no open session gives way; and mapping and
 * filtering behave the same at every fill.
 *
 * Names tell where a scenario comes from: vpp (dynamic_ports_exhausted, dynamic_edge_ports, session_limit_per_vrf,
 * outside_address_distribution, det44 session_limit_per_user), pf (nat.sh exhaust), libalias (natout stress), cgnat
 * (vyatta's whole_dp), nft_zones (the kernel's nft_zones_many.sh).
 */
#include <check.h>
#include <string.h>

#include "natlab.h"
#include "unit.h"

enum { PORTS = 65536 - 1024, OVER = 256 };

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
}

static void teardown(void)
{
	lab_free(lab);
}

static const uint8_t protos[] = {17, 6, 1};

/* An opener of class _i of `protos`, from `src`, port or id `sport`. */
static void send_out(uint8_t proto, uint32_t src, uint16_t sport, uint32_t dst)
{
	LAB_SEND(lab, .proto = proto, .src = src, .dst = dst, .sport = sport, .dport = 7, .icmp_type = 8,
		 .flags = TCP_SYN, .seq = 1000, .window = 1000, .payload_len = proto == 6 ? 0 : 8, .df = true);
}

static void send_answer(uint8_t proto, uint32_t dst, uint16_t ext)
{
	LAB_SEND(lab, .proto = proto, .src = LAB_S1, .dst = dst, .sport = proto == 1 ? ext : 7, .dport = ext,
		 .icmp_type = 0, .flags = TCP_SYN | TCP_ACK, .seq = 1, .ack = 1001, .window = 1000,
		 .payload_len = proto == 6 ? 0 : 8, .df = true);
}

/* ---- every port once ---- */

/* VPP dynamic_ports_exhausted: 64512 flows and 256 more. */
START_TEST(test_vpp_dynamic_ports_exhausted_6888_11_13)
{
	static uint16_t port_of[65536];
	static uint8_t seen[65536];
	uint64_t refused = 0, told = 0;
	uint8_t proto = protos[_i];

	memset(seen, 0, sizeof(seen));
	lab->skip_check = true;
	lab->policy.limits.reserve = 0;
	lab_start(lab);
	for (uint32_t i = 0; i < PORTS; i++) {
		send_out(proto, LAB_A, (uint16_t)i, LAB_S1);
		uint16_t e = port_of[i] = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;

		ck_assert_msg(e >= 1024 && !seen[e], "flow %u got port %u", i, e);
		seen[e] = 1;
	}
	for (uint32_t i = PORTS; i < PORTS + OVER; i++) {
		send_out(proto, LAB_A, (uint16_t)i, LAB_S1);
		refused += lab_delta(lab, DROP_NO_PORT);
		told += lab_delta(lab, COUNT_ICMP_SENT) + lab_delta(lab, COUNT_ICMP_LIMITED);
	}
	ck_assert_uint_eq(refused, OVER);
	ck_assert_uint_eq(told, OVER);
	ck_assert_uint_eq(nat_counters(lab->nat)[COUNT_SESSION_NEW], PORTS);
	ck_assert_uint_eq(lab_sessions(lab), PORTS);
	for (uint32_t i = 0; i < PORTS; i++) { /* RFC 6888 REQ-11D: every one of them still lives */
		send_answer(proto, LAB_EXT, port_of[i]);
		ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dport, (uint16_t)i);
	}
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

/* ... and the first that is free again is given out at once. */
START_TEST(test_pf_exhaust_heals_at_once_6888_11)
{
	lab->pool_ports[0] = (struct nat_range){2000, 2001};
	lab_start(lab);
	for (int round = 0; round < 5; round++) {
		uint32_t cursor = 0;

		for (uint16_t i = 0; i < 2; i++) {
			send_out(17, LAB_A, (uint16_t)(1 + i), LAB_S1);
			lab_one(lab, NAT_TO_OUTSIDE);
		}
		send_out(17, LAB_A, 3, LAB_S1);
		lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
		lab_advance(lab, 1000);
		nat_session_delete(lab->nat, table_next(nat_table(lab->nat), &cursor, UINT32_MAX), SESSION_END_DELETED,
				   lab->now_ms);
		send_out(17, LAB_A, 3, LAB_S1);
		lab_one(lab, NAT_TO_OUTSIDE);
		lab_advance(lab, 301000);
		ck_assert_uint_eq(lab_sessions(lab), 0);
	}
}
END_TEST

/* vyatta cgnat21: two blocks of 128 ports, 257 flows. */
START_TEST(test_cgnat21_two_ranges_used_to_the_last)
{
	lab->pool_ports[0] = (struct nat_range){5000, 5127};
	lab->pool_ports[1] = (struct nat_range){60000, 60127};
	lab->policy.n_pool_ports = 2;
	lab->policy.limits.reserve = 0;
	lab_start(lab);
	for (uint16_t i = 0; i < 256; i++) {
		send_out(17, LAB_A, i, LAB_S1);
		uint16_t e = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;

		ck_assert((e >= 5000 && e <= 5127) || (e >= 60000 && e <= 60127));
	}
	send_out(17, LAB_A, 256, LAB_S1);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
}
END_TEST

/* vyatta cgnat22, 23: a paired host stays on its full address; with arbitrary pooling the other one serves. */
START_TEST(test_cgnat22_23_7857_4_full_address)
{
	lab->policy.pooling = (enum nat_pooling)_i;
	lab->addresses[0].last = LAB_EXT2;
	lab->pool_ports[0] = (struct nat_range){2000, 2009};
	lab->policy.limits.reserve = 0;
	lab_start(lab);
	for (uint16_t i = 0; i < 10; i++) {
		send_out(17, LAB_A, i, LAB_S1);
		lab_one(lab, NAT_TO_OUTSIDE);
	}
	for (uint16_t i = 10; i < 20; i++) {
		send_out(17, LAB_A, i, LAB_S1);
		if (_i == POOLING_PAIRED)
			ck_assert_uint_eq(lab_delta(lab, DROP_NO_PORT), 1);
		else
			lab_one(lab, NAT_TO_OUTSIDE);
	}
	send_out(17, LAB_A, 20, LAB_S1);
	ck_assert_uint_eq(lab_delta(lab, DROP_NO_PORT), 1);
}
END_TEST

static const uint16_t edges[] = {0, 1, 1023, 1024, 65535};

/* VPP dynamic_edge_ports. */
START_TEST(test_vpp_dynamic_edge_ports)
{
	uint8_t proto = protos[_i / 5];
	uint16_t sport = edges[_i % 5];

	lab_start(lab);
	send_out(proto, LAB_A, sport, LAB_S1);
	uint16_t e = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;

	ck_assert_uint_ge(e, 1024);
	send_answer(proto, LAB_EXT, e);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dport, sport);
}
END_TEST

/* ---- pools ---- */

/* RFC 6888 REQ-3: ranges and single addresses, apart; VPP outside_address_distribution: hosts spread over all of
 * them. */
START_TEST(test_vpp_outside_address_distribution_6888_3)
{
	static const struct nat_address_range pool[] = {
		{.first = LAB_EXT, .last = LAB_EXT + 6},
		{.first = LAB_EXT + 16, .last = LAB_EXT + 16},
		{.first = BUILD_IP(203, 0, 113, 64), .last = BUILD_IP(203, 0, 113, 71)},
		{.first = BUILD_IP(203, 1, 0, 1), .last = BUILD_IP(203, 1, 0, 1)},
	};
	uint32_t used[17] = {0};

	memcpy(lab->addresses, pool, sizeof(pool));
	lab->policy.n_addresses = 4;
	lab->inside[0] = (struct nat_prefix){.address = BUILD_IP(10, 8, 0, 0), .length = 16};
	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t i = 0; i < 1700; i++) {
		uint32_t k, at = 0;

		send_out(17, BUILD_IP(10, 8, 1, 0) + i, 5000, LAB_S1);
		uint32_t address = lab_one(lab, NAT_TO_OUTSIDE)->v.src;

		for (k = 0; k < 4 && !(address >= pool[k].first && address <= pool[k].last); k++)
			at += pool[k].last - pool[k].first + 1;
		ck_assert_uint_lt(k, 4);
		used[at + address - pool[k].first]++;
	}
	for (int i = 0; i < 17; i++)
		ck_assert_msg(used[i] >= 50 && used[i] <= 200, "address %d has %u of 1700 hosts", i, used[i]);
}
END_TEST

/* nft_zones_many.sh: a hundred clients with one and the same source port to one server. */
START_TEST(test_nft_zones_many_clients_with_equal_ports_4787_3_5382_7)
{
	static uint8_t seen[65536];
	uint8_t proto = protos[_i];

	memset(seen, 0, sizeof(seen));
	lab_start(lab);
	for (uint32_t i = 0; i < 100; i++) {
		send_out(proto, LAB_A + i, 10000, LAB_S1);
		uint16_t e = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;

		ck_assert(!seen[e]);
		seen[e] = 1;
		send_answer(proto, LAB_EXT, e);
		ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A + i);
	}
}
END_TEST

/* libalias 2_natout stress: 25 hosts with 1200 flows each, answers in any order. */
START_TEST(test_libalias_natout_stress)
{
	enum { HOSTS = 25, FLOWS = 1200, ALL = HOSTS * FLOWS };
	static struct {
		uint32_t host;
		uint16_t sport, ext;
		uint8_t proto;
	} flow[ALL], t;

	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t i = 0; i < ALL; i++) {
		flow[i].host = LAB_A + i % HOSTS;
		flow[i].sport = (uint16_t)(1 + i / HOSTS * 53);
		flow[i].proto = protos[unit_below(3)];
		send_out(flow[i].proto, flow[i].host, flow[i].sport, LAB_S1);
		flow[i].ext = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;
	}
	for (uint32_t i = ALL - 1; i > 0; i--) {
		uint32_t k = unit_below(i + 1);

		t = flow[i];
		flow[i] = flow[k];
		flow[k] = t;
	}
	for (uint32_t i = 0; i < ALL; i++) {
		send_answer(flow[i].proto, LAB_EXT, flow[i].ext);
		const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

		ck_assert_uint_eq(o->v.dst, flow[i].host);
		ck_assert_uint_eq(o->v.dport, flow[i].sport);
	}
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

/* ---- chosen unpredictably (RFC 6056 3, RFC 7857 9, RFC 6888 REQ-15) ---- */

START_TEST(test_6056_3_7857_9_6888_15_ports_are_hard_to_guess)
{
	enum { N = 8192, BINS = 16 };
	uint32_t bin[BINS] = {0}, next = 0, repeats = 0;
	static uint16_t port[N];
	double chi = 0;

	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t i = 0; i < N; i++) {
		send_out(17, LAB_A, (uint16_t)i, LAB_S1);
		port[i] = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;
		bin[(port[i] - 1024) / (PORTS / BINS)]++;
		next += i > 0 && (uint16_t)(port[i] - port[i - 1] + 16) <= 32;
	}
	for (int i = 0; i < BINS; i++) {
		double d = bin[i] - (double)N / BINS;

		chi += d * d / ((double)N / BINS);
	}
	ck_assert_msg(chi < 60, "chi-square %f of 15 degrees", chi); /* 1e-6 would be 57 */
	ck_assert_uint_le(next, 20);				     /* about 4 expected */
	lab_restart(lab);					     /* another seed: nothing repeats */
	nat_destroy(lab->nat);
	lab->nat = NULL;
	memset(lab->memory.table.records, 0, lab->memory.table.records_len);
	lab_start(lab);
	for (uint32_t i = 0; i < 1000; i++) {
		send_out(17, LAB_A, (uint16_t)i, LAB_S1);
		repeats += lab_one(lab, NAT_TO_OUTSIDE)->v.sport == port[i];
	}
	ck_assert_uint_le(repeats, 5);
}
END_TEST

/* RFC 6056 3.2: the whole range 1024-65535 is in use; with preserve, only what is taken moves. */
START_TEST(test_6056_3_4_preserve_moves_only_what_is_taken)
{
	lab->policy.port_selection = PORTS_PRESERVE;
	lab_start(lab);
	for (uint16_t i = 0; i < 500; i++) {
		send_out(17, LAB_A, (uint16_t)(1024 + 100 * i), LAB_S1);
		ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.sport, 1024 + 100 * i);
		send_out(17, LAB_B, (uint16_t)(1024 + 100 * i), LAB_S1);
		ck_assert_uint_ne(lab_one(lab, NAT_TO_OUTSIDE)->v.sport, 1024 + 100 * i);
	}
}
END_TEST

/* ---- limits ---- */

/* VPP session_limit_per_vrf: exactly so many; det44 session_limit_per_user: the error quotes the packet as its host
 * sent it. */
START_TEST(test_vpp_session_limit_is_exact_6888_4)
{
	lab->policy.limits.sessions_per_host = 1000;
	lab->skip_check = true;
	lab_start(lab);
	for (uint16_t i = 0; i < 1000; i++) {
		send_out(17, LAB_A, i, LAB_S1);
		lab_one(lab, NAT_TO_OUTSIDE);
	}
	send_out(17, LAB_A, 1000, LAB_S1);
	const struct lab_out *o = lab_dropped_with_icmp(lab, DROP_HOST_SESSIONS, 3, 1);

	ck_assert_uint_eq(o->v.dst, LAB_A);
	ck_assert_uint_eq(o->len, 28 + lab->in_len);
	ck_assert_mem_eq(o->bytes + 28, lab->in, lab->in_len);
	send_out(17, LAB_B, 1000, LAB_S1);
	lab_one(lab, NAT_TO_OUTSIDE);
}
END_TEST

/* RFC 6888 REQ-5: one mapping, everyone outside knocks. Its host's share is all that it costs. */
START_TEST(test_6888_5_7_one_mapping_with_many_peers_is_bounded)
{
	uint64_t in = 0, refused = 0;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab->policy.limits.sessions_per_host = 500;
	lab->skip_check = true;
	lab_start(lab);
	uint16_t e = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (uint32_t i = 0; i < 20000; i++) {
		LAB_SEND(lab, .proto = 17, .src = BUILD_IP(100, 64, 0, 0) + i, .dst = LAB_EXT, .sport = 9, .dport = e,
			 .payload_len = 8);
		in += lab_delta(lab, COUNT_IN_PACKETS);
		refused += lab_delta(lab, DROP_HOST_SESSIONS);
	}
	ck_assert_uint_eq(in, 500); /* what the host itself opened counts apart */
	ck_assert_uint_eq(refused, 20000 - 500);
	ck_assert_uint_eq(lab_sessions(lab), 501);
	lab_udp_out(lab, LAB_B, 5000, LAB_S1, 7);
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

/* ---- always the same class (RFC 4787 REQ-11, REQ-8a; RFC 5382 REQ-3a; RFC 6888 REQ-7) ---- */

static void knock(uint32_t from, uint16_t sport, uint16_t ext, bool allowed)
{
	LAB_SEND(lab, .proto = 17, .src = from, .dst = LAB_EXT, .sport = sport, .dport = ext, .payload_len = 8);
	if (allowed)
		ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A);
	else
		lab_dropped(lab, DROP_FILTERED);
}

/* Two hosts with equal ports, three servers: one external port each; and who may answer. */
static void classify(uint16_t sport)
{
	enum nat_filtering f = lab->policy.filtering;
	uint16_t a = lab_udp_out(lab, LAB_A, sport, LAB_S1, 7);
	uint16_t b = lab_udp_out(lab, LAB_B, sport, LAB_S1, 7);

	ck_assert_uint_ne(a, b);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_B, sport, LAB_S2, 7), b);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, sport, LAB_S2, 7), a);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, sport, LAB_S1, 8), a);
	knock(LAB_S1, 7, a, true);
	knock(LAB_S1, 99, a, f != FILTERING_ADDRESS_AND_PORT_DEPENDENT);
	knock(LAB_S3, 7, a, f == FILTERING_ENDPOINT_INDEPENDENT);
}

static void flood_once(uint32_t i)
{
	LAB_SEND(lab, .proto = 17, .src = BUILD_IP(100, 64, 0, 0) + i, .dst = LAB_EXT, .sport = 9,
		 .dport = (uint16_t)(1024 + i * 7), .payload_len = 8);
	LAB_SEND(lab, .proto = 6, .src = BUILD_IP(100, 64, 0, 0) + i, .dst = LAB_EXT, .sport = 9,
		 .dport = (uint16_t)(1024 + i * 7), .flags = TCP_SYN);
}

START_TEST(test_4787_11_8a_6888_7_same_class_cold_full_reloaded_flooded)
{
	const uint16_t last = 1024 + 5000 - 1;
	uint32_t used = 0;

	lab->policy.filtering = (enum nat_filtering)_i;
	lab->pool_ports[0] = (struct nat_range){1024, last};
	lab->skip_check = true;
	lab_start(lab);
	classify(1);	      /* cold */
	while (used < 4950) { /* 99 % of the ports, by hosts of which each has its share */
		send_out(17, LAB_C + 16 + used % 200, (uint16_t)(1 + used), LAB_S1);
		used++;
		lab_one(lab, NAT_TO_OUTSIDE);
		send_answer(17, LAB_EXT, lab->out[0].v.sport);
	}
	classify(2);
	lab_reload(lab);
	classify(3);
	ck_assert_uint_gt(lab_restart(lab).restored, 4950);
	classify(4);
	for (uint32_t i = 0; i < 3000; i++) {
		flood_once(i);
		if (i % 1000 == 500)
			classify((uint16_t)(5 + i / 1000));
	}
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

/* ---- shares ---- */

static void open_and_answer(uint32_t src, uint16_t sport, uint32_t dst)
{
	send_out(17, src, sport, dst);
	uint16_t e = lab_one(lab, NAT_TO_OUTSIDE)->v.sport;

	LAB_SEND(lab, .proto = 17, .src = dst, .dst = LAB_EXT, .sport = 7, .dport = e, .payload_len = 8);
	lab_one(lab, NAT_TO_INSIDE);
}

/* One host, whose flows are all answered, takes as many of 4000 as it can; the others get the rest, and the last
 * host gets the last one. */
static void take_all(void)
{
	open_and_answer(LAB_B, 1, LAB_S1);
	for (uint16_t i = 0; i < 3519; i++)
		open_and_answer(LAB_A, (uint16_t)(1 + i), LAB_S1);
	for (uint16_t i = 0; i < 3; i++) {
		send_out(17, LAB_A, (uint16_t)(4000 + i), LAB_S1);
		lab_dropped_with_icmp(lab, DROP_HOST_SHARE, 3, 1);
	}
	for (uint16_t i = 0; i < 100; i++)
		open_and_answer(LAB_B, (uint16_t)(2 + i), LAB_S1);
	for (uint16_t i = 0; i < 379; i++)
		open_and_answer(LAB_C + i % 200, (uint16_t)(1 + i), LAB_S1);
	send_out(17, LAB_C, 1000, LAB_S1);
	lab_dropped_with_icmp(lab, DROP_HOST_SHARE, 3, 1);
	open_and_answer(LAB_C + 210, 1, LAB_S1);
	ck_assert_uint_eq(lab_sessions(lab), 4000);
}

START_TEST(test_6888_4_5_reserve_of_the_ports_is_for_the_others)
{
	lab->pool_ports[0] = (struct nat_range){1024, 1024 + 4000 - 1};
	lab->policy.limits.reserve = 12;
	lab->skip_check = true;
	lab_start(lab);
	take_all();
	send_out(17, LAB_C + 220, 1, LAB_S1);
	lab_dropped_with_icmp(lab, DROP_NO_PORT, 3, 1);
	open_and_answer(LAB_A, 1, LAB_S2); /* its existing sessions work as before */
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

START_TEST(test_6888_4_5_reserve_of_the_table_is_for_the_others)
{
	lab->policy.limits.sessions = 4000;
	lab->policy.limits.reserve = 12;
	lab->skip_check = true;
	lab_start(lab);
	take_all();
	send_out(17, LAB_C + 220, 1, LAB_S1);
	lab_dropped_with_icmp(lab, DROP_SESSIONS_FULL, 3, 1);
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

/* Ports in quarantine belong to no host: the next host gets the one that has been there longest. */
START_TEST(test_6888_8_resting_ports_are_nobodys_share)
{
	lab->pool_ports[0] = (struct nat_range){1024, 1024 + 2000 - 1};
	lab->skip_check = true;
	lab_start(lab);
	for (uint16_t i = 0; i < 2000; i++) {
		uint32_t cursor = 0;

		open_and_answer(LAB_A, (uint16_t)(1 + i), LAB_S1);
		nat_session_delete(lab->nat, table_next(nat_table(lab->nat), &cursor, UINT32_MAX), SESSION_END_DELETED,
				   lab->now_ms);
	}
	for (uint16_t i = 0; i < 300; i++) {
		open_and_answer(LAB_A, (uint16_t)(1 + i), LAB_S1);
		open_and_answer(LAB_B, (uint16_t)(1 + i), LAB_S1);
	}
	ck_assert_uint_eq(nat_counters(lab->nat)[COUNT_PORT_RECYCLED], 600);
	ck_assert_ptr_null(nat_check(lab->nat));
}
END_TEST

/* A full table: existing mappings work as before, from either side; new flows are refused, and never treated
 * differently. */
START_TEST(test_4787_11_same_class_at_the_table_limit)
{
	lab->policy.limits.sessions = 12;
	lab->policy.filtering = (enum nat_filtering)_i;
	lab->policy.limits.reserve = 0;
	lab_start(lab);
	uint16_t a = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);

	for (uint16_t i = 0; i < 11; i++)
		lab_udp_out(lab, LAB_B, (uint16_t)(1 + i), LAB_S1, 7);
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), a);
	knock(LAB_S1, 7, a, true);
	for (int i = 0; i < 3; i++) {
		send_out(17, LAB_A, 5000, LAB_S2);
		ck_assert_uint_eq(lab_delta(lab, DROP_SESSIONS_FULL), 1);
		LAB_SEND(lab, .proto = 17, .src = LAB_S3, .dst = LAB_EXT, .sport = 7, .dport = a, .payload_len = 8);
		lab_dropped(lab, _i == FILTERING_ENDPOINT_INDEPENDENT ? DROP_SESSIONS_FULL : DROP_FILTERED);
	}
	ck_assert_uint_eq(lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), a);
}
END_TEST

static void knock_tcp(uint32_t from, uint16_t sport, uint16_t ext, bool allowed)
{
	LAB_SEND(lab, .proto = 6, .src = from, .dst = LAB_EXT, .sport = sport, .dport = ext, .flags = TCP_SYN,
		 .window = 1000);
	if (allowed)
		ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_A);
	else
		lab_dropped(lab, DROP_FILTERED);
}

START_TEST(test_5382_3_3a_7857_6_filtering_of_tcp_as_configured)
{
	lab->policy.filtering = (enum nat_filtering)_i;
	lab_start(lab);
	uint16_t a = lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 7);

	knock_tcp(LAB_S1, 99, a, _i != FILTERING_ADDRESS_AND_PORT_DEPENDENT);
	knock_tcp(LAB_S3, 7, a, _i == FILTERING_ENDPOINT_INDEPENDENT);
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 7, .dport = a, .payload_len = 8);
	lab_dropped(lab, DROP_UNSOLICITED); /* RFC 7857 6: that was TCP */
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_vpp_dynamic_ports_exhausted_6888_11_13, 3},
		{test_pf_exhaust_heals_at_once_6888_11, 1},
		{test_cgnat21_two_ranges_used_to_the_last, 1},
		{test_cgnat22_23_7857_4_full_address, 2},
		{test_vpp_dynamic_edge_ports, 15},
		{test_vpp_outside_address_distribution_6888_3, 1},
		{test_nft_zones_many_clients_with_equal_ports_4787_3_5382_7, 3},
		{test_libalias_natout_stress, 1},
		{test_6056_3_7857_9_6888_15_ports_are_hard_to_guess, 1},
		{test_6056_3_4_preserve_moves_only_what_is_taken, 1},
		{test_vpp_session_limit_is_exact_6888_4, 1},
		{test_6888_5_7_one_mapping_with_many_peers_is_bounded, 1},
		{test_4787_11_8a_6888_7_same_class_cold_full_reloaded_flooded, 3},
		{test_4787_11_same_class_at_the_table_limit, 3},
		{test_6888_4_5_reserve_of_the_ports_is_for_the_others, 1},
		{test_6888_4_5_reserve_of_the_table_is_for_the_others, 1},
		{test_6888_8_resting_ports_are_nobodys_share, 1},
		{test_5382_3_3a_7857_6_filtering_of_tcp_as_configured, 3},
	};
	Suite *s = suite_create("nat_exhaust");
	TCase *tc = tcase_create("exhaust");

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
