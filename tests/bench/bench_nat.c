/* SPDX-License-Identifier: ISC */
/*
 * The core alone, one thread: parse, look-up, rewrite with checksums, counters and timer refresh, in batches, over
 * random flows of N sessions, half outbound and half inbound. Prints cycles and nanoseconds a packet,
 * sessions opened a second, the worst single open and those above 100 us, both beside a loop that does nothing for as
 * long but touch as many new pages (what the machine took), resident bytes a session, what expiry costs, and each row's
 * cycles as a ratio to the row before.
 *
 *	bench_nat [MAX_SESSIONS [SESSIONS_A_MAPPING]]   default 1000000, and both 1 and 16; 10000000 needs 1 GB
 *	BENCH_HUGE=1 bench_nat                          on huge pages, where the kernel offers them
 *	BENCH_FORWARDS=10000 bench_nat                  with so many forwards, on every second port
 *
 * Only nat_batch() is timed; packets are made between the batches.
 */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench_core.h"

enum {
	BATCH = 64,
	PACKET = 100,
	ADDRESSES = 256,
	EXT = 0xcb007100, /* 203.0.113.0 */
	INSIDE = 0x0a000000,
	PACKETS = 4000000, /* timed at each size */
	STEP = 256,	   /* records a slice of the sweep, as the daemon does it */
	GROUPED = 16,	   /* sessions a mapping of the second series */
	LONG_NS = 100000,  /* no single packet should take that long */
};

struct external {
	uint32_t address;
	uint16_t port;
};

struct bench {
	struct nat *nat;
	struct nat_memory memory;
	struct bench_site site;
	struct external *externals;
	uint8_t bytes[BATCH][128];
	struct nat_packet packets[BATCH];
	uint64_t now_ms;
	uint64_t random;
	uint32_t made;
	uint32_t ratio; /* sessions a mapping */
	struct external last;
	uint64_t emitted;
};

/* A UDP packet with right IP checksum and a plausible UDP one (by difference it stays what it is). */
static void make_packet(uint8_t *p, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	memset(p, 0, 28);
	p[0] = 0x45;
	bench_put(p + 2, 2, PACKET);
	p[6] = 0x40;
	p[8] = 64;
	p[9] = 17;
	bench_put(p + 12, 4, src);
	bench_put(p + 16, 4, dst);
	bench_put(p + 20, 2, sport);
	bench_put(p + 22, 2, dport);
	bench_put(p + 24, 2, PACKET - 20);
	bench_put(p + 26, 2, 0x1234);
	bench_put(p + 10, 2, bench_sum(p, 20));
}

/* Session i: 1000 ports of one host, then the next host; one server each, and `ratio` of them to a port. */
static uint32_t inside_of(const struct bench *b, uint32_t i)
{
	return INSIDE + 2 + i / b->ratio / 1000;
}

static uint16_t port_of(const struct bench *b, uint32_t i)
{
	return (uint16_t)(10000 + i / b->ratio % 1000);
}

static uint32_t server_of(uint32_t i)
{
	return 0xc6336400u + i * 7;
}

static void outbound(const struct bench *b, uint8_t *p, uint32_t i)
{
	make_packet(p, inside_of(b, i), port_of(b, i), server_of(i), 443);
}

static void inbound(const struct bench *b, uint8_t *p, uint32_t i)
{
	make_packet(p, server_of(i), 443, b->externals[i].address, b->externals[i].port);
}

static void on_emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct bench *b = ctx;

	(void)owned;
	b->emitted++;
	b->last.address =
		(uint32_t)p->data[12] << 24 | (uint32_t)p->data[13] << 16 | (uint32_t)p->data[14] << 8 | p->data[15];
	b->last.port = (uint16_t)(p->data[20] << 8 | p->data[21]);
}

/* As many as BENCH_FORWARDS says, of two protocols each, for free(). */
static struct nat_forward *make_forwards(uint32_t *n)
{
	const char *wanted = getenv("BENCH_FORWARDS");
	struct nat_forward *f;

	*n = wanted ? (uint32_t)strtoul(wanted, NULL, 10) : 0;
	f = calloc((size_t)*n + 1, sizeof(*f));
	if (f == NULL)
		exit(1);
	for (uint32_t i = 0; i < *n; i++) {
		f[i] = (struct nat_forward){.protocols = 1 << CLASS_TCP | 1 << CLASS_UDP, .to = INSIDE + 1 + i};
		f[i].ports = (struct nat_range){(uint16_t)(2001 + 2 * i), (uint16_t)(2001 + 2 * i)};
		f[i].to_port = f[i].ports.first;
		snprintf(f[i].name, sizeof(f[i].name), "f%u", (unsigned)i);
	}
	return f;
}

static void create(struct bench *b)
{
	struct nat_policy p;
	struct table_attach_report report;
	struct nat_forward *forwards;

	b->site.inside = (struct nat_prefix){.address = INSIDE, .length = 8};
	b->site.outside = (struct nat_address_range){.first = EXT, .last = EXT + ADDRESSES - 1};
	p = bench_policy(&b->site, TABLE_MAX_SESSIONS, 4096);
	p.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	p.pooling = POOLING_ARBITRARY;
	forwards = make_forwards(&p.n_forwards);
	p.forwards = forwards;
	bench_memory(&b->memory, TABLE_MAX_SESSIONS, ADDRESSES, 4096, bench_reserve);
	b->nat = bench_create(&b->memory, &p, b->now_ms, &report);
	free(forwards);
}

struct rate {
	uint64_t ns;
	uint32_t opened;
};

struct opening {
	struct rate singly, batched;
	uint64_t worst_ns;
	uint32_t left_out;  /* of the worst, because the thread was taken off its processor meanwhile */
	uint32_t long_ones; /* above LONG_NS, whatever the reason */
	uint64_t pages;	    /* touched for the first time */
	long preemptions;
};

static double opens_a_second(struct rate r)
{
	return r.ns > 0 ? r.opened * 1e9 / (double)r.ns : 0;
}

static void on_open(void *ctx, const struct nat_packet *p, bool owned)
{
	struct bench *b = ctx;

	on_emit(ctx, p, owned);
	b->externals[b->made + (uint32_t)(p - b->packets)] = b->last;
}

/* By the thread's own time, which other programs do not add to. */
static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void make_openers(struct bench *b, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		outbound(b, b->bytes[k], b->made + k);
		b->packets[k] = (struct nat_packet){.data = b->bytes[k], .len = PACKET};
	}
}

static void count_opened(struct bench *b, uint32_t n, struct rate *r, uint64_t ns)
{
	for (uint32_t k = 0; k < n; k++) {
		if (b->packets[k].to == NAT_TO_OUTSIDE)
			continue;
		fprintf(stderr, "bench_nat: session %u: %s\n", b->made + k,
			nat_reason_name((enum nat_reason)b->packets[k].reason));
		exit(1);
	}
	b->made += n;
	r->opened += n;
	r->ns += ns;
}

/* `n` new sessions in one batch. */
static void open_batched(struct bench *b, uint32_t n, struct rate *r)
{
	uint64_t before;

	make_openers(b, n);
	before = thread_ns();
	nat_batch(b->nat, b->now_ms, b->packets, n, on_open, b);
	count_opened(b, n, r, thread_ns() - before);
}

static void note_worst(struct opening *o, uint64_t took)
{
	long n;

	o->long_ones += took > LONG_NS;
	if (took <= o->worst_ns)
		return;
	n = preemptions();
	if (n == o->preemptions)
		o->worst_ns = took;
	else
		o->left_out++;
	o->preemptions = n;
}

/* One packet a batch, which tells the worst. The thread's clock is read once for all: a reading costs as much as an
 * opening. */
static void open_singly(struct bench *b, uint32_t n, struct opening *o)
{
	uint64_t start, before;

	make_openers(b, n);
	start = thread_ns();
	for (uint32_t k = 0; k < n; k++) {
		before = nanoseconds();
		nat_batch(b->nat, b->now_ms, &b->packets[k], 1, on_open, b);
		note_worst(o, nanoseconds() - before);
	}
	count_opened(b, n, &o->singly, thread_ns() - start);
}

/* The same for a loop that only touches as many new pages: the time that the machine takes from a thread. */
static struct opening nothing(uint64_t ns, uint64_t pages)
{
	struct opening o = {.preemptions = preemptions()};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *fresh = bench_reserve((pages + 1) * page);
	uint64_t start = nanoseconds(), now = start, before, touched = 0;

	while (now - start < ns) {
		before = now;
		if (touched < (now - start) * pages / ns)
			fresh[touched++ * page] = 1;
		now = nanoseconds();
		note_worst(&o, now - before);
	}
	munmap(fresh, (pages + 1) * page);
	return o;
}

/* Half of the sessions one packet a batch, half in full batches, as a burst of them comes. */
static void grow_to(struct bench *b, uint32_t n, struct opening *o)
{
	uint64_t before = resident();

	o->preemptions = preemptions();
	while (b->made < n) {
		open_singly(b, n - b->made < BATCH ? n - b->made : BATCH, o);
		if (b->made + BATCH <= n)
			open_batched(b, BATCH, &o->batched);
	}
	o->pages = (resident() - before) / (uint64_t)sysconf(_SC_PAGESIZE);
}

static void make_batch(struct bench *b)
{
	for (int k = 0; k < BATCH; k++) {
		uint32_t i = (uint32_t)((bench_random(&b->random) >> 32) * b->made >> 32);

		if (k & 1)
			inbound(b, b->bytes[k], i);
		else
			outbound(b, b->bytes[k], i);
		b->packets[k] = (struct nat_packet){.data = b->bytes[k], .len = PACKET};
	}
}

/* Every session gets its answer, so that the first packets of its life are not measured. */
static void answer_all(struct bench *b)
{
	for (uint32_t at = 0; at < b->made; at += BATCH) {
		uint32_t n = b->made - at < BATCH ? b->made - at : BATCH;

		for (uint32_t k = 0; k < n; k++) {
			inbound(b, b->bytes[k], at + k);
			b->packets[k] = (struct nat_packet){.data = b->bytes[k], .len = PACKET};
		}
		nat_batch(b->nat, b->now_ms, b->packets, n, on_emit, b);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Prints a row; its cycles a packet, given those of the row `before` (0: none). Medians, because a shared machine
 * disturbs some of the batches and not the others. */
static double measure(struct bench *b, uint64_t idle, const struct opening *o, double before)
{
	static uint64_t took[PACKETS / BATCH];
	uint64_t c = 0, ns = 0, emitted = b->emitted;
	uint32_t batches = PACKETS / BATCH;
	const struct opening idling = nothing(o->singly.ns, o->pages);
	double middle;

	for (uint32_t i = 0; i < batches; i++) {
		uint64_t t, u;

		make_batch(b);
		u = nanoseconds();
		t = cycles();
		nat_batch(b->nat, b->now_ms, b->packets, BATCH, on_emit, b);
		took[i] = cycles() - t;
		c += took[i];
		ns += nanoseconds() - u;
	}
	if (b->emitted - emitted != (uint64_t)batches * BATCH) {
		fprintf(stderr, "bench_nat: %" PRIu64 " packets lost\n",
			(uint64_t)batches * BATCH - (b->emitted - emitted));
		exit(1);
	}
	qsort(took, batches, sizeof(took[0]), by_value);
	middle = (double)took[batches / 2] / BATCH;
	printf("%10u %8.0f %6.2f %8.0f %8.1f %10.0f %10.0f %9.1f %9.1f %6u %7u %8u %8.1f\n", b->made, middle,
	       before > 0 ? middle / before : 1, (double)c / ((double)batches * BATCH), middle * (double)ns / (double)c,
	       opens_a_second(o->singly), opens_a_second(o->batched), (double)o->worst_ns / 1000,
	       (double)idling.worst_ns / 1000, o->long_ones, idling.long_ones, o->left_out,
	       (double)(resident() - idle) / b->made);
	fflush(stdout);
	return middle;
}

static void expire(struct bench *b)
{
	uint64_t worst = 0, total = thread_ns(), steps = 0;

	b->now_ms += 400000;
	while (table_session_count(nat_table(b->nat)) > 0) {
		uint64_t before = thread_ns(), took;

		nat_step(b->nat, b->now_ms, STEP, on_emit, b);
		took = thread_ns() - before;
		steps++;
		if (took > worst)
			worst = took;
	}
	printf("expiry of %u sessions: %.0f ms in %" PRIu64 " steps, worst step %.0f us\n", b->made,
	       (double)(thread_ns() - total) / 1e6, steps, (double)worst / 1000);
}

/* The cycles a packet of its last row. */
static double series(uint32_t max, uint32_t ratio)
{
	static struct bench b;
	double middle = 0;
	uint64_t idle;

	memset(&b, 0, sizeof(b));
	b.ratio = ratio;
	b.now_ms = 1000000;
	b.random = BENCH_RANDOM;
	b.externals = calloc(max, sizeof(*b.externals));
	if (b.externals == NULL)
		exit(1);
	memset(b.externals, 1, max * sizeof(*b.externals)); /* resident before anything is measured */
	create(&b);
	idle = resident();
	printf("sessions a mapping: %u\n", ratio);
	printf("%10s %8s %6s %8s %8s %10s %10s %9s %9s %6s %7s %8s %8s\n", "sessions", "cycles", "ratio", "mean", "ns",
	       "opens/s", "in batches", "worst us", "no work", "long", "no work", "left out", "bytes");
	for (uint64_t n = 1000; n <= max; n *= 10) {
		struct opening o = {0};

		grow_to(&b, (uint32_t)n, &o);
		answer_all(&b);
		middle = measure(&b, idle, &o, middle);
	}
	expire(&b);
	nat_destroy(b.nat);
	munmap(b.memory.table.records, b.memory.table.records_len);
	munmap(b.memory.table.scratch, b.memory.table.scratch_len);
	munmap(b.memory.fragments, b.memory.fragments_len);
	free(b.externals);
	return middle;
}

int main(int argc, char **argv)
{
	uint32_t max = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	uint32_t ratio = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
	double lone;

	if (max < 1000 || max > TABLE_MAX_SESSIONS || ratio == 0) {
		fprintf(stderr, "usage: bench_nat [MAX_SESSIONS, 1000 to %d [SESSIONS_A_MAPPING]]\n",
			TABLE_MAX_SESSIONS);
		return 2;
	}
	lone = series(max, ratio);
	if (argc <= 2)
		printf("%u a mapping to 1 a mapping, cycles a packet: %.2f\n", GROUPED, series(max, GROUPED) / lone);
	return 0;
}
