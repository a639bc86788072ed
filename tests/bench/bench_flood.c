/* SPDX-License-Identifier: ISC */
/*
 * The cost of a packet of a flood in the core, for counting instructions: there is no clock in it.
 *
 *	valgrind --tool=callgrind --toggle-collect=nat_batch tests/bench/bench_flood FLOOD [PACKETS]
 *
 * "Collected" divided by the packets is the price of one; `callgrind_annotate` shows where. FLOOD: a number of the list below.
 * With -DBENCH_BEFORE it compiles against the core of before events and budgets.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#ifdef BENCH_BEFORE
#include "core/nat.h"
#else
#include "core/nat/nat.h"
#endif

enum {
	BATCH = 64,
	LEN = 100,
	SESSIONS = 100000,
	FRAGMENTS = 4096,
	PACKETS = 20000,
	BEFORE = 3000, /* packets of the flood before those that count: rings and budgets are full then */
	EXT = 0xcb007101,
	INSIDE = 0x0a080000,
	SERVER = 0xc6336401,
	VICTIM_PORT = 5000,
	TCP = 6,
	UDP = 17,
	ICMP = 1,
};

struct bench {
	struct nat *nat;
	uint64_t now_ms, random;
	uint32_t sent;
	uint16_t mapped; /* the outside port of the victim's mapping */
	uint64_t emitted;
};

static uint32_t draw(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return (uint32_t)(b->random >> 16);
}

static void put(uint8_t *p, unsigned bytes, uint32_t v)
{
	while (bytes-- > 0) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static uint16_t sum_of(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void head(uint8_t *p, uint8_t proto, uint32_t src, uint32_t dst, uint32_t id, uint16_t fragment)
{
	memset(p, 0, LEN);
	p[0] = 0x45;
	put(p + 2, 2, LEN);
	put(p + 4, 2, id);
	put(p + 6, 2, fragment);
	p[8] = 64;
	p[9] = proto;
	put(p + 12, 4, src);
	put(p + 16, 4, dst);
	put(p + 10, 2, sum_of(p, 20));
}

static void transport(uint8_t *p, uint16_t sport, uint16_t dport, uint8_t flags)
{
	put(p + 20, 2, sport);
	put(p + 22, 2, dport);
	if (p[9] == UDP) {
		put(p + 24, 2, LEN - 20);
		return;
	}
	p[32] = 0xf0; /* all the rest are options: zero ends them */
	p[33] = flags;
	put(p + 34, 2, 65535);
}

/* ---- floods: each makes packet number b->sent ---- */

static void syn_from_outside(struct bench *b, uint8_t *p)
{
	head(p, TCP, draw(b) | 0x40000000, EXT, b->sent, 0x4000);
	transport(p, (uint16_t)(1024 + draw(b) % 60000), (uint16_t)(20000 + b->sent % 30000), 2);
}

static void udp_from_outside(struct bench *b, uint8_t *p)
{
	head(p, UDP, draw(b) | 0x40000000, EXT, b->sent, 0x4000);
	transport(p, (uint16_t)(1024 + draw(b) % 60000), (uint16_t)(20000 + b->sent % 30000), 0);
}

static void udp_to_a_mapping(struct bench *b, uint8_t *p)
{
	head(p, UDP, SERVER, EXT, b->sent, 0x4000);
	transport(p, (uint16_t)(1024 + b->sent % 60000), b->mapped, 0);
}

static void udp_from_inside(struct bench *b, uint8_t *p)
{
	head(p, UDP, INSIDE + 3, SERVER + draw(b) % 4096, b->sent, 0x4000);
	transport(p, (uint16_t)(1024 + draw(b) % 60000), 53, 0);
}

static void syn_from_inside(struct bench *b, uint8_t *p)
{
	head(p, TCP, INSIDE + 3, SERVER + draw(b) % 4096, b->sent, 0x4000);
	transport(p, (uint16_t)(1024 + draw(b) % 60000), 443, 2);
}

/* Middle fragments of datagrams that never begin. */
static void fragments_from_outside(struct bench *b, uint8_t *p)
{
	head(p, UDP, draw(b) | 0x40000000, EXT, draw(b), 0x2000 | 10);
}

/* Many pieces of a few datagrams that never begin. */
static void fragments_from_inside(struct bench *b, uint8_t *p)
{
	head(p, UDP, INSIDE + 3, SERVER, b->sent % 16, (uint16_t)(0x2000 | 10 * (1 + b->sent / 16 % 700)));
}

/* "Too big", about the victim's mapping, with ports and sequence numbers by chance. */
static void forged_errors(struct bench *b, uint8_t *p)
{
	uint8_t quoted[LEN];

	head(quoted, UDP, EXT, SERVER, draw(b), 0x4000);
	transport(quoted, (uint16_t)draw(b), 53, 0);
	head(p, ICMP, draw(b) | 0x40000000, EXT, b->sent, 0x4000);
	p[20] = 3;
	p[21] = 4;
	put(p + 26, 2, 600);
	memcpy(p + 28, quoted, LEN - 28);
	put(p + 22, 2, sum_of(p + 20, LEN - 20));
}

static const struct {
	const char *name;
	void (*make)(struct bench *b, uint8_t *p);
} floods[] = {
	{"SYNs from outside, unsolicited = \"reject\"", syn_from_outside},
	{"datagrams from outside to ports without a mapping", udp_from_outside},
	{"datagrams from one server to one mapping, from ever other ports", udp_to_a_mapping},
	{"new flows of UDP by one inside host", udp_from_inside},
	{"SYNs by one inside host", syn_from_inside},
	{"middle fragments from random addresses", fragments_from_outside},
	{"many pieces of 16 datagrams by one inside host", fragments_from_inside},
	{"forged ICMP errors", forged_errors},
};

enum { FLOODS = sizeof(floods) / sizeof(floods[0]) };

/* ---- the core ---- */

static void on_emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct bench *b = ctx;

	(void)owned;
	b->emitted++;
	if (p->data[9] == UDP)
		b->mapped = (uint16_t)(p->data[20] << 8 | p->data[21]);
}

static void *memory(size_t len)
{
	void *p = aligned_alloc(4096, (len + 4095) & ~(size_t)4095);

	if (!p)
		exit(1);
	memset(p, 0, len);
	return p;
}

static void create(struct bench *b)
{
	static const struct nat_prefix inside = {.address = INSIDE, .length = 24};
	static const struct nat_address_range addresses = {.first = EXT, .last = EXT};
	static const struct nat_range ports = {1024, 65535};
	const struct nat_policy policy = {
		.filtering = FILTERING_ADDRESS_DEPENDENT,
		.unsolicited = UNSOLICITED_REJECT,
		.pooling = POOLING_PAIRED,
		.inside = &inside,
		.n_inside = 1,
		.addresses = &addresses,
		.n_addresses = 1,
		.pool_ports = &ports,
		.n_pool_ports = 1,
		.shared_ports = &ports,
		.n_shared_ports = 1,
		.outside_mtu = 1500,
		.icmp_source = INSIDE + 1,
		.timeouts = BENCH_TIMEOUTS,
		.limits = {.sessions = SESSIONS, .fragments = FRAGMENTS},
	};
	struct nat_memory m = {.max_sessions = SESSIONS, .max_addresses = 4, .max_fragments = FRAGMENTS};
	const uint64_t seed[4] = {1, 2, 3, 4};
	struct table_attach_report report;

#ifndef BENCH_BEFORE
	m.table.max_events = 1024;
#endif
	nat_memory_need(&m);
	m.table.records = memory(m.table.records_len);
	m.table.scratch = memory(m.table.scratch_len);
#ifndef BENCH_BEFORE
	m.table.events = memory(m.table.events_len);
#endif
	m.fragments = memory(m.fragments_len);
	b->nat = nat_create(&m, &policy, seed, b->now_ms, &report);
	if (!b->nat)
		exit(1);
}

/* A packet each 10 µs; time passes as the daemon lets it. */
static void send(struct bench *b, void (*make)(struct bench *b, uint8_t *p), uint32_t n)
{
	static uint8_t bytes[BATCH][2048];
	struct nat_packet p[BATCH];

	for (uint32_t done = 0; done < n; done += BATCH) {
		for (uint32_t i = 0; i < BATCH; i++, b->sent++) {
			make(b, bytes[i]);
			p[i] = (struct nat_packet){.data = bytes[i], .len = LEN, .source = NAT_FROM_TUN};
		}
		nat_batch(b->nat, b->now_ms, p, BATCH, on_emit, b);
		if (b->sent / BATCH % 2 == 0)
			b->now_ms++;
		if (b->sent / BATCH % 64 == 0)
			nat_step(b->nat, b->now_ms, 256, on_emit, b);
	}
}

static void victim(struct bench *b, uint8_t *p)
{
	head(p, UDP, INSIDE + 2, SERVER, b->sent, 0x4000);
	transport(p, VICTIM_PORT, 53, 0);
}

/* Out of line and by that name, for callgrind's --toggle-collect. */
__attribute__((noinline)) void flood(struct bench *b, void (*make)(struct bench *b, uint8_t *p), uint32_t n);
void flood(struct bench *b, void (*make)(struct bench *b, uint8_t *p), uint32_t n)
{
	send(b, make, n);
}

int main(int argc, char **argv)
{
	struct bench b = {.now_ms = 1000000, .random = 88172645463325252u};
	unsigned which = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : FLOODS;
	uint32_t n = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : PACKETS;

	if (which >= FLOODS) {
		for (unsigned i = 0; i < FLOODS; i++)
			printf("%u: %s\n", i, floods[i].name);
		return 2;
	}
	create(&b);
	send(&b, victim, BATCH);
	send(&b, floods[which].make, BEFORE);
	b.emitted = 0;
	flood(&b, floods[which].make, n);
	printf("%s: %u packets, %llu emitted\n", floods[which].name, n, (unsigned long long)b.emitted);
	return 0;
}
