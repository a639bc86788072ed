/* SPDX-License-Identifier: ISC */
/*
 * Costs of the connection table: resident bytes a session, cycles a look-up (batched, with the
 * prefetch steps that the packet path uses), openings a second with choice of the port, the worst
 * single opening while growing, sweeping, restart. Usage: bench_table [sessions [sessions-per-
 * mapping]]; default 1k to 1M at 1:1, then a million under hard conditions: 16 a mapping, all in one mapping, tuples as
 * somebody who knows the code but not the secret would choose them, and a table 99 % full; at the end the ratios.
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

#include "bench.h"
#include "core/table/table.h"

enum { BATCH = 64, PORTS = 64000, LOOKUPS = 4000000, HOST_SESSIONS = 50, FIRST_ADDRESS = 0xc6120000 };

struct bench {
	struct table_memory m;
	struct table_params params;
	struct table *t;
	uint32_t sessions, ratio, addresses;
	bool is_chosen;	      /* tuples that differ in few bits, and those the high ones */
	bool is_full;	      /* the table has room for 1 % more */
	double found, missed; /* median cycles of a look-up */
	uint64_t random;
	size_t resident_before;
};

static uint64_t next_random(struct bench *b)
{
	b->random ^= b->random >> 12;
	b->random ^= b->random << 25;
	b->random ^= b->random >> 27;
	return b->random * 2685821657736338717ull;
}

static double cpu_ns(void)
{
	return cpu_seconds() * 1e9;
}

static double now_ns(void)
{
	return (double)nanoseconds();
}

struct worst {
	double ns;
	double before_ns;
	long preemptions;
	uint32_t left_out;
};

static void worst_start(struct worst *w)
{
	*w = (struct worst){.before_ns = now_ns(), .preemptions = preemptions()};
}

static void worst_step(struct worst *w)
{
	double now = now_ns(), took = now - w->before_ns;
	long n;

	if (took > w->ns && took > 5000) {
		n = preemptions();
		if (n == w->preemptions)
			w->ns = took;
		else
			w->left_out++;
		w->preemptions = n;
		now = now_ns();
	} else if (took > w->ns) {
		w->ns = took;
	}
	w->before_ns = now;
}

/* Medians over batches: a shared machine only disturbs some of them. */
static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, uint32_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n > 0 ? v[n / 2] : 0;
}

static void give_back(void *ctx, void *start, size_t len)
{
	(void)ctx;
	madvise(start, len, MADV_DONTNEED);
}

static void attach(struct bench *b, uint32_t now_s)
{
	struct table_attach_report report;

	b->t = table_attach(&b->m, &b->params, now_s, &report);
	if (b->t == NULL) {
		fprintf(stderr, "no table\n");
		exit(1);
	}
	for (uint32_t i = 0; i < b->addresses; i++)
		table_address_add(b->t, FIRST_ADDRESS + i);
}

static void setup(struct bench *b)
{
	memset(&b->params, 0, sizeof(b->params));
	b->random = BENCH_RANDOM;
	b->addresses = b->sessions / b->ratio / PORTS + 1;
	b->params.max_sessions = b->is_full ? b->sessions + b->sessions / 99 : TABLE_MAX_SESSIONS;
	b->params.max_addresses = b->addresses;
	b->params.port_reuse_s = 120;
	b->params.timeouts = (struct nat_timeouts)BENCH_TIMEOUTS;
	for (int i = 0; i < 4; i++)
		b->params.secret[i] = next_random(b);
	table_memory_need(b->params.max_sessions, b->params.max_addresses, &b->m);
	b->m.records = bench_reserve(b->m.records_len);
	b->m.scratch = bench_reserve(b->m.scratch_len);
	b->resident_before = resident();
	attach(b, 1000);
}

/* Flow number i: `ratio` sessions share an inside endpoint, 50 of them or one mapping's worth are a host's. */
static struct session_key flow(const struct bench *b, uint32_t i)
{
	uint32_t mapping = i / b->ratio;
	uint32_t mix = i * 2654435761u;

	if (b->is_chosen)
		return (struct session_key){
			.local = 0x0a000000 + (i / 64000 << 16),
			.remote = i << 12,
			.local_port = (uint16_t)(1024 + i % 64000),
			.remote_port = 443,
			.proto_class = CLASS_UDP,
			.dir = DIR_OUT,
		};
	return (struct session_key){
		.local = 0x0a000000 + mapping / HOST_SESSIONS,
		.remote = mix,
		.local_port = (uint16_t)(1024 + mapping % HOST_SESSIONS * 977),
		.remote_port = (uint16_t)(mix >> 7),
		.proto_class = CLASS_UDP,
		.dir = DIR_OUT,
	};
}

/* As nat_open.c does it: look for the session, the host, the mapping, take a port, open. */
static struct session *open_flow(struct bench *b, uint32_t i, uint32_t now_s)
{
	static const struct nat_range range = {1024, 65535};
	struct session_key k = flow(b, i);
	struct port_request rq = {
		.ext = (uint16_t)(i / b->ratio / PORTS), .proto_class = CLASS_UDP, .ranges = &range, .n_ranges = 1};
	struct session_spec spec = {.int_addr = k.local,
				    .rem_addr = k.remote,
				    .int_port = k.local_port,
				    .rem_port = k.remote_port,
				    .proto_class = CLASS_UDP,
				    .state = SESSION_SYN_OUT};
	struct mapping m;
	enum nat_reason why;
	bool recycled;

	if (table_find(b->t, &k, table_hash(b->t, &k), now_s) != NULL)
		return NULL;
	table_host(b->t, k.local, true);
	if (table_mapping_internal(b->t, CLASS_UDP, k.local, k.local_port, k.remote, k.remote_port, &m)) {
		spec.ext = m.ext;
		spec.ext_port = m.ext_port;
	} else {
		spec.ext = rq.ext;
		spec.ext_port = table_port_take(b->t, &rq, next_random(b), now_s, &recycled);
	}
	return table_session_open(b->t, &spec, now_s, &why);
}

static void bench_open(struct bench *b)
{
	double start = cpu_ns(), total, *batch = malloc((b->sessions / BATCH + 1) * sizeof(*batch)), since = 0;
	struct worst w;

	worst_start(&w);
	for (uint32_t i = 0; i < b->sessions; i++) {
		if (open_flow(b, i, 1000) == NULL) {
			fprintf(stderr, "flow %u refused\n", i);
			exit(1);
		}
		worst_step(&w);
		if (i % BATCH == 0)
			since = w.before_ns;
		if (i % BATCH == BATCH - 1)
			batch[i / BATCH] = w.before_ns - since;
	}
	total = cpu_ns() - start;
	printf("  open         %8.2f M/s (median %.2f)  worst %.1f us (%u left out: preempted)\n",
	       b->sessions / total * 1e3, (BATCH - 1) / median(batch, b->sessions / BATCH) * 1e3, w.ns / 1e3,
	       w.left_out);
	free(batch);
	printf("  memory       %8.1f bytes a session resident\n",
	       (double)(resident() - b->resident_before) / b->sessions);
}

static void find_batch(struct bench *b, const struct session_key *k, uint32_t *hits)
{
	struct table_probe probe[BATCH], *probes[BATCH];

	for (int i = 0; i < BATCH; i++) {
		probe[i].key = k[i];
		probes[i] = &probe[i];
	}
	table_probe(b->t, probes, BATCH);
	for (int i = 0; i < BATCH; i++) {
		struct session *s = table_finish_lookup(b->t, &probe[i], 1001);

		if (s == NULL)
			continue;
		s->packets[0]++;
		s->bytes[0] += 64;
		s->seen_s = 1001;
		++*hits;
	}
}

static double bench_find(struct bench *b, const char *name, uint32_t offset)
{
	struct session_key *keys = malloc(sizeof(*keys) * LOOKUPS);
	double *took = malloc(sizeof(*took) * (LOOKUPS / BATCH));
	uint32_t hits = 0;
	double ns, all, middle;

	for (uint32_t i = 0; i < LOOKUPS; i++) {
		keys[i] = flow(b, offset + (uint32_t)((next_random(b) >> 32) * b->sessions >> 32));
		keys[i].remote_port ^= offset != 0;
	}
	for (int round = 0; round < 2; round++) { /* the first warms up and brings entries home */
		hits = 0;
		ns = now_ns();
		all = (double)cycles();
		for (uint32_t i = 0; i < LOOKUPS / BATCH; i++) {
			uint64_t start = cycles();

			find_batch(b, keys + (size_t)i * BATCH, &hits);
			took[i] = (double)(cycles() - start) / BATCH;
		}
		all = (double)cycles() - all;
		ns = now_ns() - ns;
	}
	middle = median(took, LOOKUPS / BATCH);
	printf("  %-12s %8.1f cycles, median %.1f, %.1f ns (%.0f %% hits)\n", name, all / LOOKUPS, middle,
	       middle * ns / all, 100.0 * hits / LOOKUPS);
	free(keys);
	free(took);
	return middle;
}

static void bench_restart(struct bench *b)
{
	double ns;

	table_detach(b->t);
	madvise(b->m.scratch, b->m.scratch_len, MADV_DONTNEED);
	ns = cpu_ns();
	attach(b, 1001);
	ns = cpu_ns() - ns;
	printf("  restart      %8.1f ms (%u sessions)\n", ns / 1e6, table_session_count(b->t));
}

static void bench_sweep(struct bench *b)
{
	double start = cpu_ns();
	uint32_t n = table_session_count(b->t);
	struct worst w;

	worst_start(&w);
	while (table_session_count(b->t) > 0) {
		table_sweep(b->t, 5000, 256);
		worst_step(&w);
	}
	printf("  expire       %8.2f M/s   worst sweep of 256: %.1f us (%u left out: preempted)\n",
	       n / (cpu_ns() - start) * 1e3, w.ns / 1e3, w.left_out);
	for (int i = 0; i < 40000; i++)
		table_sweep(b->t, 6000, 4096);
	worst_start(&w);
	for (bool more = true; more;) {
		more = table_trim(b->t, give_back, NULL);
		worst_step(&w);
	}
	printf("  trim         %8.1f us the longest step, then %.1f KiB resident\n", w.ns / 1e3,
	       (double)(resident() - b->resident_before) / 1024);
}

static void bench(struct bench *b)
{
	printf("%" PRIu32 " sessions, %" PRIu32 " a mapping%s%s\n", b->sessions, b->ratio,
	       b->is_chosen ? ", chosen tuples" : "", b->is_full ? ", 99 % full" : "");
	setup(b);
	bench_open(b);
	b->found = bench_find(b, "find", 0);
	b->missed = bench_find(b, "find none", 1u << 28);
	bench_restart(b);
	bench_find(b, "find after", 0);
	bench_sweep(b);
	munmap(b->m.records, b->m.records_len);
	munmap(b->m.scratch, b->m.scratch_len);
}

/* Flat cost: a million sessions in the ordinary way, and in hard ones. */
static void compare(void)
{
	static struct {
		const char *name;
		struct bench b;
	} row[] = {
		{"ordinary", {.sessions = 1000000, .ratio = 1}},
		{"16 sessions a mapping", {.sessions = 1000000, .ratio = 16}},
		{"one mapping for all", {.sessions = 1000000, .ratio = 1000000}},
		{"chosen tuples", {.sessions = 1000000, .ratio = 1, .is_chosen = true}},
		{"99 % full", {.sessions = 1000000, .ratio = 1, .is_full = true}},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		bench(&row[i].b);
	printf("%-24s %10s %8s %10s %8s\n", "1000000 sessions", "found", "ratio", "missed", "ratio");
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		printf("%-24s %10.1f %8.2f %10.1f %8.2f\n", row[i].name, row[i].b.found,
		       row[i].b.found / row[0].b.found, row[i].b.missed, row[i].b.missed / row[0].b.missed);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		uint32_t sessions = (uint32_t)strtoul(argv[1], NULL, 10);
		uint32_t ratio = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;

		if (sessions == 0 || sessions > TABLE_MAX_SESSIONS || ratio == 0) {
			fprintf(stderr, "usage: bench_table [sessions [sessions-per-mapping]]\n");
			return 2;
		}
		bench(&(struct bench){.sessions = sessions, .ratio = ratio});
		return 0;
	}
	for (uint32_t n = 1000; n < 1000000; n *= 10)
		bench(&(struct bench){.sessions = n, .ratio = 1});
	compare();
	return 0;
}
