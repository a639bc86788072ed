/* SPDX-License-Identifier: ISC */
/* Ports in blocks and deterministic ones (RFC 7422), through the whole core. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/table/table_private.h"
#include "natlab.h"
#include "unit.h"

enum { SIZE = 64, PER_HOST = 3, REUSE_MS = 121 * 1000, UDP_MS = 301 * 1000 };

static struct lab *block_lab(void)
{
	struct lab *l = lab_new();

	l->policy.allocation = ALLOCATION_BLOCK;
	l->policy.blocks = (struct nat_blocks){.size = SIZE, .per_host = PER_HOST};
	return l;
}

static struct lab *started(void)
{
	struct lab *l = block_lab();

	lab_start(l);
	events_want(nat_events(l->nat), UINT32_MAX);
	return l;
}

static uint32_t block_number(uint16_t port)
{
	return (port - 1024u) / SIZE;
}

static struct block_view block_at(struct lab *l, uint32_t address, uint16_t port)
{
	struct block_view v = {0};
	int32_t slot = table_address_slot(nat_table(l->nat), address);

	ck_assert_int_ne(slot, TABLE_NONE);
	if (!table_block_at(nat_table(l->nat), (uint16_t)slot, port, &v))
		v.host = 0;
	return v;
}

static uint32_t count_blocks(struct lab *l)
{
	struct block_view v;
	uint32_t cursor = 0, n = 0;

	do {
		n += table_block_next(nat_table(l->nat), &cursor, 100, &v);
	} while (cursor != 0);
	return n;
}

/* Events of that type since the start: how many, and the last one. */
static uint32_t count_events(struct lab *l, enum event_type type, struct event *last)
{
	const struct event_ring *log = &nat_events(l->nat)->log;
	uint64_t cursor = events_begin(log), lost;
	struct event e;
	uint32_t n = 0;

	while (events_read(log, &cursor, &e, 1, &lost) > 0) {
		if (e.type != type)
			continue;
		*last = e;
		n++;
	}
	return n;
}

/* Every port of the host's first block, from sport 10000 on. */
static void fill(struct lab *l, uint32_t host, uint32_t n)
{
	l->skip_check = true;
	for (uint32_t i = 0; i < n; i++)
		lab_udp_out(l, host, (uint16_t)(10000 + i), LAB_S1, 53);
	l->skip_check = false;
	ck_assert_ptr_null(nat_check(l->nat));
}

START_TEST(test_all_protocols_of_a_host_share_one_block)
{
	struct lab *l = started();
	uint16_t udp = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	uint16_t tcp = lab_syn_out(l, LAB_A, 5000, LAB_S1, 80);
	uint16_t echo = lab_echo_out(l, LAB_A, 77, LAB_S1);
	struct block_view v = block_at(l, LAB_EXT, udp);

	ck_assert_uint_eq(block_number(udp), block_number(tcp));
	ck_assert_uint_eq(block_number(udp), block_number(echo));
	ck_assert_uint_eq(v.host, LAB_A);
	ck_assert_uint_eq(v.used, 3);
	ck_assert_uint_eq(v.ports.last - v.ports.first + 1, SIZE);
	ck_assert_uint_eq((v.ports.first - 1024) % SIZE, 0);
	ck_assert(!v.is_fixed);
	ck_assert_uint_eq(count_blocks(l), 1);
	lab_free(l);
}
END_TEST

/* How many of the eight blocks of the address a host gets, which takes all that it can. */
static uint32_t blocks_of_greedy_host(int reserve, uint32_t *free)
{
	struct lab *l = block_lab();
	uint32_t n, all;

	l->policy.blocks.per_host = 62;
	l->policy.limits.reserve = reserve;
	l->pool_ports[0] = (struct nat_range){1024, 1024 + 8 * SIZE - 1};
	lab_start(l);
	l->skip_check = true;
	for (uint32_t i = 0; i < 9 * SIZE; i++)
		LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = (uint16_t)(10000 + i), .dport = 53);
	n = count_blocks(l);
	all = table_address_blocks(nat_table(l->nat), 0, free);
	ck_assert_uint_eq(all, 8);
	LAB_SEND(l, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = 1, .dport = 53);
	ck_assert_uint_eq(l->n_out, 1);
	if (*free > 0) /* or it is the refusal */
		ck_assert_uint_eq(l->out[0].to, NAT_TO_OUTSIDE);
	ck_assert_ptr_null(nat_check(l->nat));
	lab_free(l);
	return n;
}

START_TEST(test_reserve_of_blocks_is_for_hosts_that_have_fewer)
{
	uint32_t free;

	ck_assert_uint_eq(blocks_of_greedy_host(0, &free), 8);
	ck_assert_uint_eq(free, 0);
	ck_assert_uint_eq(blocks_of_greedy_host(50, &free), 4);
	ck_assert_uint_eq(free, 4);
	ck_assert_uint_eq(blocks_of_greedy_host(RESERVE_AUTO, &free), 7); /* an eighth */
	ck_assert_uint_eq(free, 1);
}
END_TEST

START_TEST(test_no_two_hosts_share_a_block)
{
	struct lab *l = started();
	uint32_t host_of[1008] = {0};

	for (uint32_t i = 0; i < 200; i++) {
		uint32_t host = LAB_A + i % 100;
		uint32_t n = block_number(lab_udp_out(l, host, (uint16_t)(5000 + i), LAB_S1, 53));

		ck_assert(host_of[n] == 0 || host_of[n] == host);
		host_of[n] = host;
	}
	ck_assert_uint_eq(count_blocks(l), 100);
	lab_free(l);
}
END_TEST

START_TEST(test_blocks_and_ports_are_drawn_at_random)
{
	struct lab *l = started();
	uint32_t neighbours = 0, rising = 0, before = 0, port_before = 0;

	for (uint32_t i = 0; i < 200; i++) {
		uint16_t port = lab_udp_out(l, LAB_A + i, 5000, LAB_S1, 53);
		uint32_t n = block_number(port), within = (port - 1024u) % SIZE;

		neighbours += i > 0 && (n == before + 1 || n + 1 == before);
		rising += i > 0 && within > port_before;
		before = n;
		port_before = within;
	}
	ck_assert_uint_lt(neighbours, 10);
	ck_assert_uint_gt(rising, 60);
	ck_assert_uint_lt(rising, 140);
	lab_free(l);
}
END_TEST

START_TEST(test_next_block_when_the_first_is_used_up)
{
	struct lab *l = started();
	struct event e;

	fill(l, LAB_A, SIZE);
	ck_assert_uint_eq(count_blocks(l), 1);
	lab_udp_out(l, LAB_A, 9, LAB_S1, 53);
	ck_assert_uint_eq(count_blocks(l), 2);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_NEW, &e), 2);
	ck_assert_uint_eq(e.int_addr, LAB_A);
	ck_assert_uint_eq(e.ext_addr, LAB_EXT);
	ck_assert_uint_eq(e.rem_port - e.ext_port, SIZE - 1);
	ck_assert_uint_eq(nat_counters(l->nat)[COUNT_BLOCK_NEW], 2);
	lab_free(l);
}
END_TEST

START_TEST(test_host_has_no_more_blocks_than_its_limit)
{
	struct lab *l = started();

	fill(l, LAB_A, SIZE * PER_HOST);
	ck_assert_uint_eq(count_blocks(l), PER_HOST);
	LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 9, .dport = 53);
	lab_dropped_with_icmp(l, DROP_HOST_BLOCKS, 3, 1);
	lab_udp_out(l, LAB_B, 9, LAB_S1, 53);	      /* it holds up no other */
	lab_tcp_established(l, LAB_A, 9, LAB_S1, 80); /* ports of another protocol are free */
	lab_free(l);
}
END_TEST

START_TEST(test_block_comes_back_after_the_quarantine_of_its_last_port)
{
	struct lab *l = started();
	uint16_t port = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	struct event e;

	lab_advance(l, UDP_MS);
	ck_assert_uint_eq(lab_sessions(l), 0);
	ck_assert_uint_eq(block_at(l, LAB_EXT, port).host, LAB_A);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_FREED, &e), 0);
	lab_advance(l, REUSE_MS);
	ck_assert_uint_eq(block_at(l, LAB_EXT, port).host, 0);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_FREED, &e), 1);
	ck_assert_uint_eq(e.int_addr, LAB_A);
	ck_assert_uint_le(e.ext_port, port);
	ck_assert_uint_ge(e.rem_port, port);
	ck_assert_uint_eq(nat_counters(l->nat)[COUNT_BLOCK_FREED], 1);
	ck_assert_uint_eq(table_host_count(nat_table(l->nat)), 0);
	lab_free(l);
}
END_TEST

START_TEST(test_host_goes_on_in_its_quarantined_block)
{
	struct lab *l = started();
	uint16_t first = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53), again;

	lab_advance(l, UDP_MS);
	again = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	ck_assert_uint_eq(block_number(again), block_number(first));
	ck_assert_uint_eq(count_blocks(l), 1);
	lab_free(l);
}
END_TEST

/* RFC 6888 REQ-8: a port of its own comes out of quarantine early, not one of another host's. */
START_TEST(test_host_recycles_its_own_ports_when_it_may_have_no_more_blocks)
{
	struct lab *l = started();
	uint16_t port;

	for (uint32_t i = 0; i < 30; i++)
		lab_udp_out(l, LAB_B, (uint16_t)(5000 + i), LAB_S1, 53);
	lab_advance(l, 1000);
	fill(l, LAB_A, SIZE * PER_HOST);
	lab_advance(l, UDP_MS);
	fill(l, LAB_A, 1);
	ck_assert_uint_eq(lab_delta(l, COUNT_PORT_RECYCLED), 1);
	port = lab_udp_out(l, LAB_A, 9, LAB_S1, 53);
	ck_assert_uint_eq(lab_delta(l, COUNT_PORT_RECYCLED), 1);
	ck_assert_uint_eq(block_at(l, LAB_EXT, port).host, LAB_A);
	ck_assert_uint_eq(count_blocks(l), PER_HOST + 1);
	lab_free(l);
}
END_TEST

START_TEST(test_parity_and_preserve_hold_within_the_block)
{
	struct lab *l = block_lab();
	uint16_t port;

	l->policy.port_parity = true;
	lab_start(l);
	for (uint16_t i = 0; i < 20; i++)
		ck_assert_uint_eq(lab_udp_out(l, LAB_A, (uint16_t)(5000 + i), LAB_S1, 53) % 2, i % 2u);
	ck_assert_uint_eq(count_blocks(l), 1);
	l->policy.port_parity = false;
	l->policy.port_selection = PORTS_PRESERVE;
	lab_reload(l);
	port = lab_udp_out(l, LAB_B, 9, LAB_S1, 53);
	port = (uint16_t)(block_at(l, LAB_EXT, port).ports.first + 7);
	ck_assert_uint_eq(lab_syn_out(l, LAB_B, port, LAB_S1, 80), port);
	ck_assert_uint_ne(lab_syn_out(l, LAB_C, port, LAB_S1, 80), port);
	lab_free(l);
}
END_TEST

/* Each port of a block that is all a forward's is refused: the block goes back, and another one may be drawn. */
START_TEST(test_block_without_a_usable_port_goes_back)
{
	struct lab *l = block_lab();

	l->pool_ports[0] = (struct nat_range){1024, 1024 + SIZE - 1};
	l->forwards[0] = (struct nat_forward){
		.name = "f", .protocols = 1 << CLASS_UDP, .ports = l->pool_ports[0], .to = LAB_WEB, .to_port = 1024};
	l->policy.n_forwards = 1;
	lab_start(l);
	LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 9, .dport = 53);
	lab_dropped_with_icmp(l, DROP_NO_PORT, 3, 1);
	ck_assert_uint_eq(count_blocks(l), 0);
	ck_assert_uint_eq(block_number(lab_syn_out(l, LAB_A, 9, LAB_S1, 80)), 0);
	lab_free(l);
}
END_TEST

/* Seven of eight blocks are a forward's: the one that is not is found whatever the draw. */
START_TEST(test_opening_passes_over_blocks_that_are_all_a_forwards)
{
	for (uint64_t seed = 0; seed < 64; seed++) {
		struct lab *l = block_lab();

		l->seed[0] ^= seed;
		l->pool_ports[0] = (struct nat_range){1024, 1024 + 8 * SIZE - 1};
		l->forwards[0] = (struct nat_forward){.name = "f",
						      .protocols = 1 << CLASS_UDP,
						      .ports = {1024, 1024 + 7 * SIZE - 1},
						      .to = LAB_WEB,
						      .to_port = 1024};
		l->policy.n_forwards = 1;
		lab_start(l);
		ck_assert_uint_eq(block_number(lab_udp_out(l, LAB_A, 9, LAB_S1, 53)), 7);
		LAB_SEND(l, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = 9, .dport = 53);
		lab_dropped_with_icmp(l, DROP_NO_PORT, 3, 1);
		ck_assert_uint_ne(block_number(lab_syn_out(l, LAB_B, 9, LAB_S1, 80)), 7);
		ck_assert_uint_eq(nat_counters(l->nat)[COUNT_BLOCK_FREED], 0);
		lab_free(l);
	}
}
END_TEST

START_TEST(test_host_goes_to_an_address_with_free_blocks)
{
	struct lab *l = block_lab();

	l->pool_ports[0] = (struct nat_range){1024, 1024 + 4 * SIZE - 1};
	l->addresses[0].last = LAB_EXT + 1;
	lab_start(l);
	for (uint32_t i = 0; i < 8; i++)
		lab_udp_out(l, LAB_A + i, 9, LAB_S1, 53);
	ck_assert_uint_eq(count_blocks(l), 8);
	LAB_SEND(l, .proto = 17, .src = LAB_A + 8, .dst = LAB_S1, .sport = 9, .dport = 53);
	lab_dropped_with_icmp(l, DROP_NO_PORT, 3, 1);
	lab_free(l);
}
END_TEST

START_TEST(test_last_blocks_are_for_hosts_that_have_none)
{
	struct lab *l = block_lab();

	l->pool_ports[0] = (struct nat_range){1024, 1024 + 16 * SIZE - 1};
	l->policy.blocks.per_host = 16;
	lab_start(l);
	for (uint32_t i = 0; i < 2; i++)
		lab_udp_out(l, LAB_B + i, 9, LAB_S1, 53);
	l->skip_check = true;
	for (uint32_t i = 0; i < 16 * SIZE; i++)
		LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = (uint16_t)(2000 + i), .dport = 53);
	ck_assert_uint_eq(lab_delta(l, DROP_HOST_SHARE), 1);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(count_blocks(l), 14);
	lab_udp_out(l, LAB_B + 20, 9, LAB_S1, 53);
	lab_udp_out(l, LAB_B + 21, 9, LAB_S1, 53);
	lab_free(l);
}
END_TEST

START_TEST(test_class_has_limits_of_its_own)
{
	static const struct nat_prefix gold[] = {{.address = LAB_B, .length = 32}};
	static const struct nat_host_class classes[] = {
		{"gold", gold, 1, {HOST_LIMIT_AS_ALL, HOST_LIMIT_AS_ALL, 0, PER_HOST + 1}}};
	struct lab *l = block_lab();

	l->policy.classes = classes;
	l->policy.n_classes = 1;
	l->policy.limits.sessions_per_host = SIZE * PER_HOST + 5;
	lab_start(l);
	fill(l, LAB_A, SIZE * PER_HOST);
	LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 9, .dport = 53);
	lab_dropped_with_icmp(l, DROP_HOST_BLOCKS, 3, 1);
	fill(l, LAB_B, SIZE * PER_HOST + 5);
	LAB_SEND(l, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = 9, .dport = 53);
	ck_assert_uint_eq(lab_delta(l, DROP_HOST_SESSIONS), 1);
	lab_free(l);
}
END_TEST

/* ---- restart and reload ---- */

START_TEST(test_blocks_survive_a_restart)
{
	struct lab *l = started();
	uint16_t quarantined = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53), live;
	uint32_t since, since_live;

	lab_advance(l, UDP_MS);
	live = lab_udp_out(l, LAB_B, 5000, LAB_S1, 53);
	since = block_at(l, LAB_EXT, quarantined).since_s;
	since_live = block_at(l, LAB_EXT, live).since_s;
	lab_advance(l, 5000);
	for (int i = 0; i < 3; i++) {
		lab_restart(l);
		ck_assert_ptr_null(nat_check(l->nat));
		ck_assert_uint_eq(block_at(l, LAB_EXT, quarantined).host, LAB_A);
		ck_assert_uint_eq(block_at(l, LAB_EXT, quarantined).since_s, since);
		ck_assert_uint_eq(block_at(l, LAB_EXT, live).host, LAB_B);
		ck_assert_uint_eq(block_at(l, LAB_EXT, live).since_s, since_live);
	}
	ck_assert_uint_eq(block_number(lab_udp_out(l, LAB_A, 5000, LAB_S1, 53)), block_number(quarantined));
	lab_reload(l);
	ck_assert_uint_eq(count_blocks(l), 2);
	lab_free(l);
}
END_TEST

/* RFC 6888 REQ-2. A forward's session on another address came first at the restart, and the host was paired with that. */
START_TEST(test_6888_2_quarantined_block_pairs_its_host_after_a_restart)
{
	struct lab *l = block_lab();
	uint32_t paired, other;

	l->addresses[0].last = LAB_EXT + 3;
	l->forwards[0] = (struct nat_forward){
		.name = "f", .protocols = 1 << CLASS_TCP, .ports = {80, 80}, .to = LAB_A, .to_port = 80};
	l->policy.n_forwards = 1;
	lab_start(l);
	lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	paired = lab_one(l, NAT_TO_OUTSIDE)->v.src;
	other = paired == LAB_EXT ? LAB_EXT + 1 : LAB_EXT;
	lab_advance(l, UDP_MS);
	LAB_SEND(l, .proto = 6, .src = LAB_S1, .dst = other, .sport = 900, .dport = 80, .flags = TCP_SYN);
	lab_one(l, NAT_TO_INSIDE);
	lab_restart(l);
	lab_udp_out(l, LAB_A, 5001, LAB_S1, 53);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, paired);
	ck_assert_uint_eq(count_blocks(l), 1);
	lab_free(l);
}
END_TEST

/* Its block was on an address that came back; it stayed paired with another one, where it might have no block. */
START_TEST(test_6888_2_host_without_sessions_is_paired_by_its_block)
{
	struct lab *l = block_lab();
	uint32_t paired, cursor = 0;

	l->policy.blocks.per_host = 1;
	l->addresses[0].last = LAB_EXT + 1;
	lab_start(l);
	lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	paired = lab_one(l, NAT_TO_OUTSIDE)->v.src;
	lab_advance(l, UDP_MS);
	l->addresses[0].first = l->addresses[0].last = paired ^ LAB_EXT ^ (LAB_EXT + 1);
	lab_reload(l);
	LAB_SEND(l, .proto = 47, .src = LAB_A, .dst = LAB_S1, .payload_len = 8);
	ck_assert_uint_ne(lab_one(l, NAT_TO_OUTSIDE)->v.src, paired);
	if (_i == 0) /* or while the address is away */
		nat_session_delete(l->nat, table_next(nat_table(l->nat), &cursor, UINT32_MAX), SESSION_END_DELETED,
				   l->now_ms);
	l->addresses[0] = (struct nat_address_range){.first = LAB_EXT, .last = LAB_EXT + 1};
	lab_reload(l);
	if (_i == 1)
		nat_session_delete(l->nat, table_next(nat_table(l->nat), &cursor, UINT32_MAX), SESSION_END_DELETED,
				   l->now_ms);
	lab_udp_out(l, LAB_A, 5001, LAB_S1, 53);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, paired);
	ck_assert_uint_eq(count_blocks(l), 1);
	lab_free(l);
}
END_TEST

START_TEST(test_restart_without_records_of_blocks_goes_by_the_sessions)
{
	struct lab *l = started();
	uint16_t quarantined = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53), live;
	struct table *t;

	lab_advance(l, UDP_MS);
	live = lab_udp_out(l, LAB_B, 5000, LAB_S1, 53);
	t = nat_table(l->nat);
	for (uint32_t i = 0; i < t->quarantine_slots.top; i++) {
		if (block_record_is(t->quarantined[i]))
			t->quarantined[i] = 0;
	}
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(block_at(l, LAB_EXT, live).host, LAB_B);
	ck_assert_uint_eq(block_at(l, LAB_EXT, quarantined).host, 0); /* no host's until it is free */
	lab_advance(l, REUSE_MS);
	ck_assert_ptr_null(nat_check(l->nat));
	lab_free(l);
}
END_TEST

/* Whatever happens to a record of a block: no session is lost, and what remains agrees with itself. */
START_TEST(test_damaged_records_of_blocks_cost_no_session)
{
	for (int round = 0; round < 60; round++) {
		struct lab *l = started();
		struct table *t;
		uint32_t sessions, top;

		for (uint32_t i = 0; i < 20; i++)
			lab_udp_out(l, LAB_A + i % 7, (uint16_t)(5000 + i), LAB_S1, 53);
		sessions = lab_sessions(l);
		t = nat_table(l->nat);
		top = t->quarantine_slots.top;
		for (int flips = 1 + round % 3; flips > 0; flips--) {
			uint32_t i = unit_below(top);

			if (unit_below(3) == 0)
				t->quarantined[i] = t->quarantined[unit_below(top)];
			else
				t->quarantined[i] ^= 1ull << unit_below(64);
		}
		lab_restart(l);
		ck_assert_ptr_null(nat_check(l->nat));
		ck_assert_uint_eq(lab_sessions(l), sessions);
		ck_assert_uint_eq(lab_reload(l).ended, 0);
		lab_free(l);
	}
}
END_TEST

/* A restart while there was no address left the records of its blocks; those told wrong owners at the next one. */
START_TEST(test_restart_without_an_address_forgets_its_blocks)
{
	struct lab *l = block_lab();
	uint16_t port;

	l->pool_ports[0] = (struct nat_range){1024, 1024 + SIZE - 1};
	lab_start(l);
	lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	lab_advance(l, UDP_MS);
	l->policy.n_addresses = 0;
	lab_reload(l);
	lab_restart(l);
	ck_assert_uint_eq(nat_table(l->nat)->block_records, 1); /* of the cut */
	l->policy.n_addresses = 1;
	lab_reload(l);
	ck_assert_uint_eq(count_blocks(l), 0); /* no host's until it is free */
	lab_advance(l, REUSE_MS);
	port = lab_udp_out(l, LAB_B, 5000, LAB_S1, 53);
	lab_advance(l, UDP_MS);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(block_at(l, LAB_EXT, port).host, LAB_B);
	lab_free(l);
}
END_TEST

/* Its blocks have other numbers then: by those in the records each would be another host's. */
START_TEST(test_address_that_becomes_shared_keeps_who_has_which_block)
{
	struct lab *l = block_lab();
	struct nat_reconfigure_report r;

	l->policy.limits.reserve = 0;
	l->pool_ports[0] = (struct nat_range){16384, 16384 + 4 * SIZE - 1};
	l->shared_ports[0] = (struct nat_range){16384 + SIZE, 16384 + 4 * SIZE - 1};
	l->policy.n_shared_ports = 1;
	lab_start(l);
	for (uint32_t i = 0; i < 4; i++)
		lab_udp_out(l, LAB_A + i, 5000, LAB_S1, 53);
	l->addresses[0].shared = true;
	r = lab_reload(l);
	ck_assert_uint_eq(r.kept, 3);
	ck_assert_uint_eq(r.ended, 1);
	ck_assert_uint_eq(count_blocks(l), 3);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(count_blocks(l), 3);
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	lab_free(l);
}
END_TEST

START_TEST(test_reload_with_another_address_ends_exactly_its_sessions)
{
	struct lab *l = block_lab();
	uint32_t lost = 0;
	struct event e;

	l->addresses[0].last = LAB_EXT + 3;
	lab_start(l);
	events_want(nat_events(l->nat), UINT32_MAX);
	for (uint32_t i = 0; i < 100; i++) {
		lab_udp_out(l, LAB_A + i, 9, LAB_S1, 53);
		lost += lab_one(l, NAT_TO_OUTSIDE)->v.src == LAB_EXT + 3;
	}
	ck_assert_uint_gt(lost, 0);
	l->addresses[0].last = LAB_EXT + 2;
	ck_assert_uint_eq(lab_reload(l).ended, lost);
	ck_assert_uint_eq(lab_sessions(l), 100 - lost);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_NEW, &e), 100);
	lab_advance(l, REUSE_MS);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_FREED, &e), lost);
	l->addresses[0].last = LAB_EXT + 7; /* and more of them */
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_FREED, &e), lost);
	for (uint32_t i = 0; i < 100; i++)
		lab_udp_out(l, LAB_A + i, 10, LAB_S1, 53);
	lab_free(l);
}
END_TEST

/* A session stays if its port lies in a block that its host may have: the first to be found claims it. */
START_TEST(test_reload_from_single_ports_to_blocks)
{
	struct lab *l = lab_new();
	struct nat_reconfigure_report report;

	lab_start(l);
	for (uint32_t i = 0; i < 40; i++)
		lab_udp_out(l, LAB_A, (uint16_t)(5000 + i), LAB_S1, 53);
	for (uint32_t i = 0; i < 3; i++)
		lab_udp_out(l, LAB_B, (uint16_t)(5000 + i), LAB_S1, 53);
	l->policy.allocation = ALLOCATION_BLOCK;
	l->policy.blocks = (struct nat_blocks){.size = SIZE, .per_host = PER_HOST};
	report = lab_reload(l);
	ck_assert_uint_eq(report.kept + report.ended, 43);
	ck_assert_uint_ge(report.ended, 30);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_le(count_blocks(l), 2 * PER_HOST);
	lab_udp_out(l, LAB_C, 1, LAB_S1, 53);
	l->policy.allocation = ALLOCATION_PORT;
	report = lab_reload(l);
	ck_assert_uint_eq(report.ended, 0);
	ck_assert_uint_eq(count_blocks(l), 0);
	ck_assert_ptr_null(nat_check(l->nat));
	lab_advance(l, REUSE_MS);
	lab_free(l);
}
END_TEST

START_TEST(test_reload_with_another_size_tells_of_the_new_blocks)
{
	struct lab *l = started();
	uint16_t port = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	struct event e;

	l->policy.blocks.size = 128;
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_FREED, &e), 1);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_NEW, &e), 2);
	ck_assert_uint_eq(e.rem_port - e.ext_port, 127);
	ck_assert_uint_eq(block_at(l, LAB_EXT, port).host, LAB_A);
	lab_restart(l);
	ck_assert_uint_eq(block_at(l, LAB_EXT, port).host, LAB_A);
	ck_assert_ptr_null(nat_check(l->nat));
	lab_free(l);
}
END_TEST

/* Hosts come and go, the clock runs, natd restarts and is configured anew: nothing is miscounted. */
START_TEST(test_many_hosts_at_random)
{
	struct lab *l = block_lab();

	l->addresses[0].last = LAB_EXT + 3;
	l->pool_ports[0] = (struct nat_range){1024, 1024 + 24 * SIZE - 3};
	lab_start(l);
	events_want(nat_events(l->nat), UINT32_MAX);
	for (int i = 0; i < 6000; i++) {
		uint32_t what = unit_below(1000);

		l->skip_check = i % 16 != 0;
		if (what < 960)
			LAB_SEND(l, .proto = unit_below(2) ? 17 : 6, .src = LAB_A + unit_below(30), .dst = LAB_S1,
				 .sport = (uint16_t)(2000 + unit_below(400)), .dport = 53, .flags = TCP_SYN);
		else if (what < 980)
			lab_advance(l, 1000 * unit_below(400));
		else if (what < 985)
			lab_restart(l);
		else if (what < 990)
			l->policy.blocks.per_host = 1 + unit_below(4);
		else
			l->addresses[0].last = LAB_EXT + unit_below(4);
		if (what >= 985)
			lab_reload(l);
	}
	ck_assert_ptr_null(nat_check(l->nat));
	lab_free(l);
}
END_TEST

/* ---- deterministic ---- */

static struct lab *fixed_lab(void)
{
	struct lab *l = lab_new();

	l->policy.allocation = ALLOCATION_DETERMINISTIC;
	l->addresses[0].last = LAB_EXT + 3;
	return l;
}

/* 256 hosts on 4 addresses: 64 each, of 64512 ports. */
START_TEST(test_7422_hosts_share_the_ports_by_arithmetic)
{
	struct lab *l = fixed_lab();
	struct event e;

	lab_start(l);
	events_want(nat_events(l->nat), UINT32_MAX);
	for (uint32_t i = 1; i < 255; i++) {
		uint32_t host = BUILD_IP(10, 8, 0, i), first = 1024 + i / 4 * 1008;
		uint16_t port = lab_udp_out(l, host, 5000, LAB_S1, 53);
		struct block_view v = block_at(l, LAB_EXT + i % 4, port);

		ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT + i % 4);
		ck_assert_uint_ge(port, first);
		ck_assert_uint_lt(port, first + 1008);
		ck_assert_uint_eq(v.host, host);
		ck_assert_uint_eq(v.ports.first, first);
		ck_assert_uint_eq(v.ports.last, first + 1007);
		ck_assert(v.is_fixed);
	}
	ck_assert_uint_eq(block_at(l, LAB_EXT, 65535).host, BUILD_IP(10, 8, 0, 252));
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_NEW, &e), 0);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	lab_free(l);
}
END_TEST

START_TEST(test_7422_reserved_ranges_are_left_out)
{
	struct lab *l = fixed_lab();
	uint16_t port;

	l->pool_ports[0] = (struct nat_range){2000, 2999};
	l->pool_ports[1] = (struct nat_range){40000, 49999};
	l->policy.n_pool_ports = 2;
	lab_start(l);
	/* 169 ports each: 5 blocks in the first range, 59 in the second */
	port = lab_udp_out(l, BUILD_IP(10, 8, 0, 18), 5000, LAB_S1, 53);
	ck_assert_uint_ge(port, 2676);
	ck_assert_uint_le(port, 2844);
	port = lab_udp_out(l, BUILD_IP(10, 8, 0, 22), 5000, LAB_S1, 53);
	ck_assert_uint_ge(port, 40000);
	ck_assert_uint_le(port, 40168);
	lab_free(l);
}
END_TEST

START_TEST(test_deterministic_overflow)
{
	struct lab *l = fixed_lab();
	uint32_t n;
	struct event e;

	l->pool_ports[0] = (struct nat_range){1024, 1024 + 72 * SIZE - 1}; /* 64 hosts and 8 blocks an address */
	l->policy.blocks.overflow = 2;
	lab_start(l);
	events_want(nat_events(l->nat), UINT32_MAX);
	fill(l, LAB_A, SIZE);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_NEW, &e), 0);
	lab_udp_out(l, LAB_A, 9, LAB_S1, 53);
	ck_assert_uint_eq(count_events(l, EVENT_BLOCK_NEW, &e), 1);
	ck_assert_uint_ge(e.ext_port, 1024 + 64 * SIZE);
	n = count_blocks(l);
	ck_assert_uint_eq(n, 2);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(count_blocks(l), 2);
	lab_advance(l, UDP_MS);
	lab_advance(l, REUSE_MS);
	ck_assert_uint_eq(count_blocks(l), 0);
	lab_free(l);
}
END_TEST

START_TEST(test_deterministic_host_without_overflow_is_refused)
{
	struct lab *l = fixed_lab();

	l->pool_ports[0] = (struct nat_range){1024, 1024 + 64 * SIZE - 1};
	lab_start(l);
	fill(l, LAB_A, SIZE);
	LAB_SEND(l, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 9, .dport = 53);
	lab_dropped_with_icmp(l, DROP_HOST_BLOCKS, 3, 1);
	lab_free(l);
}
END_TEST

START_TEST(test_reload_that_moves_shares_ends_what_lies_outside_them)
{
	struct lab *l = fixed_lab();

	lab_start(l);
	lab_udp_out(l, BUILD_IP(10, 8, 0, 4), 5000, LAB_S1, 53);   /* block 1 of the first address */
	lab_udp_out(l, BUILD_IP(10, 8, 0, 100), 5000, LAB_S1, 53); /* block 25 */
	l->inside[0].length = 25;				   /* twice the ports */
	ck_assert_uint_eq(lab_reload(l).ended, 2);
	ck_assert_ptr_null(nat_check(l->nat));
	lab_udp_out(l, BUILD_IP(10, 8, 0, 4), 5000, LAB_S1, 53);
	lab_free(l);
}
END_TEST

/* Each on each of the addresses: how many sessions there are then on the second one. */
static uint32_t open_for_all(struct lab *l)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < 255; i++) {
		lab_udp_out(l, BUILD_IP(10, 8, 0, i), 5000, LAB_S1, 53);
		n += lab_one(l, NAT_TO_OUTSIDE)->v.src == LAB_EXT + 1;
	}
	return n;
}

START_TEST(test_address_in_the_place_of_another_moves_only_its_hosts)
{
	struct lab *l = fixed_lab();
	uint32_t lost;

	l->addresses[0].last = LAB_EXT;
	l->addresses[1] = (struct nat_address_range){.first = LAB_EXT + 1, .last = LAB_EXT + 1};
	l->addresses[2] = (struct nat_address_range){.first = LAB_EXT + 8, .last = LAB_EXT + 9};
	l->policy.n_addresses = 3;
	lab_start(l);
	lost = open_for_all(l);
	ck_assert_uint_gt(lost, 60);
	l->addresses[1] = (struct nat_address_range){.first = LAB_EXT + 5, .last = LAB_EXT + 5};
	ck_assert_uint_eq(lab_reload(l).ended, lost);
	ck_assert_uint_eq(lab_sessions(l), 254 - lost);
	lab_free(l);
}
END_TEST

/* 256 hosts on 5 addresses: 52 each, which makes 260. */
START_TEST(test_hosts_for_which_there_is_room_move_no_share)
{
	struct lab *l = fixed_lab();

	l->addresses[0].last = LAB_EXT + 4;
	lab_start(l);
	open_for_all(l);
	l->inside[1] = (struct nat_prefix){.address = BUILD_IP(10, 9, 0, 0), .length = 30};
	l->policy.n_inside = 2;
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	lab_udp_out(l, BUILD_IP(10, 9, 0, 1), 5000, LAB_S1, 53);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT + 257 % 5);
	l->inside[1].length = 29; /* one too many for that */
	ck_assert_uint_gt(lab_reload(l).ended,
			  60); /* whose port lies in no share of the new size that is their host's */
	lab_free(l);
}
END_TEST

/* ---- the arithmetic by itself ---- */

START_TEST(test_share_and_owner_are_inverse)
{
	struct nat_prefix inside[3] = {{.address = BUILD_IP(100, 64, 8, 0), .length = 22},
				       {.address = BUILD_IP(10, 0, 0, 0), .length = 25},
				       {.address = BUILD_IP(10, 0, 1, 7), .length = 32}};
	struct nat_address_range pool[2] = {{.first = LAB_EXT, .last = LAB_EXT + 6},
					    {.first = LAB_EXT + 20, .last = LAB_EXT + 22}};
	struct nat_range ports = {1024, 65535};
	struct nat_policy p = {.allocation = ALLOCATION_DETERMINISTIC,
			       .inside = inside,
			       .n_inside = 3,
			       .addresses = pool,
			       .n_addresses = 2,
			       .pool_ports = &ports,
			       .n_pool_ports = 1};
	struct allocation *a = allocation_create(&p);
	uint32_t seen = 0;

	ck_assert_uint_eq(a->hosts, 1024 + 128 + 1);
	ck_assert_uint_eq(a->fixed, 116);
	ck_assert_uint_eq(a->cut[CUT_POOL].size, 556);
	for (uint32_t r = 0; r < 2; r++) {
		for (uint32_t o = pool[r].first; o <= pool[r].last; o++) {
			for (uint32_t n = 0; n < 120; n++) {
				uint32_t host = allocation_owner(a, o, n), outside, number;

				if (host == 0)
					continue;
				ck_assert(allocation_share(a, host, &outside, &number));
				ck_assert_uint_eq(outside, o - pool[r].first + (r == 0 ? 0 : 7));
				ck_assert_uint_eq(number, n);
				seen++;
			}
		}
	}
	ck_assert_uint_eq(seen, a->hosts);
	allocation_destroy(a);
	inside[0] = (struct nat_prefix){.address = BUILD_IP(100, 64, 0, 0), .length = 10};
	a = allocation_create(&p);
	ck_assert(!allocation_fits(a));
	allocation_destroy(a);
}
END_TEST

/* A multiplication takes the place of the division. */
START_TEST(test_block_of_a_port_is_exact_for_each_size)
{
	const struct nat_range all = {1, 65535};
	struct cut c;

	for (uint32_t size = BLOCK_SIZE_LEAST; size <= UINT16_MAX; size++) {
		ck_assert(cut_make(&c, &all, 1, size));
		for (uint32_t i = 0; i < c.blocks; i++) {
			struct nat_range r = cut_block(&c, i);

			if (r.first != 1 + i * size || cut_number(&c, r.first) != (int32_t)i ||
			    cut_number(&c, r.last) != (int32_t)i)
				ck_abort_msg("block %u of size %u", i, size);
		}
		ck_assert_int_eq(cut_number(&c, 0), -1);
		cut_fini(&c);
	}
}
END_TEST

START_TEST(test_cut_leaves_what_fills_no_block)
{
	struct nat_range ports[3] = {{16384, 32767}, {40000, 40100}, {61000, 65534}};
	struct cut c;

	ck_assert(cut_make(&c, ports, 3, 512));
	ck_assert_uint_eq(c.blocks, 32 + 8);
	ck_assert_uint_eq(c.blocks, cut_count(ports, 3, 512));
	for (uint32_t n = 0; n < c.blocks; n++) {
		struct nat_range r = cut_block(&c, n);

		ck_assert_uint_eq(r.last - r.first, 511);
		ck_assert_int_eq(cut_number(&c, r.first), (int)n);
		ck_assert_int_eq(cut_number(&c, r.last), (int)n);
	}
	ck_assert_int_eq(cut_number(&c, 16383), -1);
	ck_assert_int_eq(cut_number(&c, 40000), -1);
	ck_assert_int_eq(cut_number(&c, 61000 + 8 * 512), -1);
	ck_assert_int_eq(cut_number(&c, 0), -1);
	cut_fini(&c);
}
END_TEST

static Suite *suite(void)
{
	const TTest *const tests[] = {
		test_all_protocols_of_a_host_share_one_block,
		test_reserve_of_blocks_is_for_hosts_that_have_fewer,
		test_no_two_hosts_share_a_block,
		test_blocks_and_ports_are_drawn_at_random,
		test_next_block_when_the_first_is_used_up,
		test_host_has_no_more_blocks_than_its_limit,
		test_block_comes_back_after_the_quarantine_of_its_last_port,
		test_host_goes_on_in_its_quarantined_block,
		test_host_recycles_its_own_ports_when_it_may_have_no_more_blocks,
		test_parity_and_preserve_hold_within_the_block,
		test_block_without_a_usable_port_goes_back,
		test_opening_passes_over_blocks_that_are_all_a_forwards,
		test_host_goes_to_an_address_with_free_blocks,
		test_last_blocks_are_for_hosts_that_have_none,
		test_class_has_limits_of_its_own,
		test_blocks_survive_a_restart,
		test_6888_2_quarantined_block_pairs_its_host_after_a_restart,
		test_6888_2_host_without_sessions_is_paired_by_its_block,
		test_restart_without_records_of_blocks_goes_by_the_sessions,
		test_damaged_records_of_blocks_cost_no_session,
		test_restart_without_an_address_forgets_its_blocks,
		test_address_that_becomes_shared_keeps_who_has_which_block,
		test_reload_with_another_address_ends_exactly_its_sessions,
		test_reload_from_single_ports_to_blocks,
		test_reload_with_another_size_tells_of_the_new_blocks,
		test_many_hosts_at_random,
		test_7422_hosts_share_the_ports_by_arithmetic,
		test_7422_reserved_ranges_are_left_out,
		test_deterministic_overflow,
		test_deterministic_host_without_overflow_is_refused,
		test_reload_that_moves_shares_ends_what_lies_outside_them,
		test_address_in_the_place_of_another_moves_only_its_hosts,
		test_hosts_for_which_there_is_room_move_no_share,
		test_share_and_owner_are_inverse,
		test_block_of_a_port_is_exact_for_each_size,
		test_cut_leaves_what_fills_no_block,
	};
	Suite *s = suite_create("block");
	TCase *tc = tcase_create("block");

	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(tc, tests[i], 0,
				    tests[i] == test_6888_2_host_without_sessions_is_paired_by_its_block ? 2 : 1);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
