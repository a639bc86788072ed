/* SPDX-License-Identifier: ISC */
/*
 * The cost of a packet of a flood in the core, for counting instructions: there is no clock in it.
 *
 *	valgrind --tool=callgrind --toggle-collect=nat_batch tests/bench/bench_flood FLOOD [PACKETS]
 *
 * "Collected" divided by the packets is the price of one; `callgrind_annotate` shows where. FLOOD: a number of the list
 * below. With -DBENCH_BEFORE it compiles against the core of before events and budgets.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_core.h"

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
	struct bench_site site;
	uint64_t now_ms, random;
	uint32_t sent;
	uint16_t mapped; /* the outside port of the victim's mapping */
	uint64_t emitted;
};

static uint32_t draw(struct bench *b)
{
	return (uint32_t)(bench_random(&b->random) >> 16);
}

static void head(uint8_t *p, uint8_t proto, uint32_t src, uint32_t dst, uint32_t id, uint16_t fragment)
{
	memset(p, 0, LEN);
	p[0] = 0x45;
	bench_put(p + 2, 2, LEN);
	bench_put(p + 4, 2, id);
	bench_put(p + 6, 2, fragment);
	p[8] = 64;
	p[9] = proto;
	bench_put(p + 12, 4, src);
	bench_put(p + 16, 4, dst);
	bench_put(p + 10, 2, bench_sum(p, 20));
}

static void transport(uint8_t *p, uint16_t sport, uint16_t dport, uint8_t flags)
{
	bench_put(p + 20, 2, sport);
	bench_put(p + 22, 2, dport);
	if (p[9] == UDP) {
		bench_put(p + 24, 2, LEN - 20);
		return;
	}
	p[32] = 0xf0; /* all the rest are options: zero ends them */
	p[33] = flags;
	bench_put(p + 34, 2, 65535);
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
	bench_put(p + 26, 2, 600);
	memcpy(p + 28, quoted, LEN - 28);
	bench_put(p + 22, 2, bench_sum(p + 20, LEN - 20));
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

static void create(struct bench *b)
{
	struct nat_memory m = {0};
	struct nat_policy policy;
	struct table_attach_report report;

	b->site.inside = (struct nat_prefix){.address = INSIDE, .length = 24};
	b->site.outside = (struct nat_address_range){.first = EXT, .last = EXT};
	policy = bench_policy(&b->site, SESSIONS, FRAGMENTS);
	policy.filtering = FILTERING_ADDRESS_DEPENDENT;
	policy.unsolicited = UNSOLICITED_REJECT;
	policy.pooling = POOLING_PAIRED;
	policy.icmp_source = INSIDE + 1;
#ifndef BENCH_BEFORE
	m.table.max_events = 1024;
#endif
	bench_memory(&m, SESSIONS, 4, FRAGMENTS, bench_touched);
	b->nat = bench_create(&m, &policy, b->now_ms, &report);
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
	struct bench b = {.now_ms = 1000000, .random = BENCH_RANDOM};
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
