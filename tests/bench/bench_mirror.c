/* SPDX-License-Identifier: ISC */
/*
 * The mirror with all the sessions that it holds (core/nat/mirror.h).
 *
 *	bench_mirror [SESSIONS]
 *
 * Opens UDP sessions, answers them, and has each shown; then carries a packet of each, as a forwarder would, and lets
 * natd go on with its steps. Prints CPU time: of showing one, of the longest step of natd's, of taking over all, of
 * withdrawing all.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench_core.h"
#include "build.h"
#include "core/nat/mirror.h"
#include "core/packet/packet.h"

enum { BATCH = 64, PACKET = 64, PACKETS_EACH = 8, ROUNDS = 20, STEP = 512 };

struct bench {
	struct nat *nat;
	struct nat_memory memory;
	struct nat_policy policy;
	struct bench_site site;
	struct flow_memory shared;
	uint64_t now_ms;
	uint32_t sessions;
	uint16_t *port; /* of each session, outside */
	uint8_t bytes[BATCH][PACKET];
	struct nat_packet packets[BATCH];
};

static void ignore(void *ctx, const struct nat_packet *p, bool owned)
{
	(void)ctx;
	(void)p;
	(void)owned;
}

static void start(struct bench *b)
{
	struct table_attach_report report;

	b->site.inside = (struct nat_prefix){.address = BUILD_IP(10, 0, 0, 0), .length = 8};
	b->site.outside =
		(struct nat_address_range){.first = BUILD_IP(203, 0, 113, 0), .last = BUILD_IP(203, 0, 113, 15)};
	b->policy = bench_policy(&b->site, b->sessions + 4096, 64);
	bench_memory(&b->memory, b->sessions + 4096, 16, 64, bench_touched);
	b->now_ms = 1000000;
	b->nat = bench_create(&b->memory, &b->policy, b->now_ms, &report);
	b->shared = (struct flow_memory){.flows = bench_touched(FLOW_SLOTS * sizeof(struct flow)),
					 .buckets = bench_touched(FLOW_BUCKETS * sizeof(struct flow_bucket)),
					 .mtus = bench_touched(2 * sizeof(uint16_t[FLOW_MTUS])),
					 .secret = {5, 6}};
	b->port = bench_touched(b->sessions * sizeof(*b->port));
	if (!nat_mirror_begin(b->nat, &b->shared, 1 << CLASS_UDP)) {
		fprintf(stderr, "bench_mirror: no mirror\n");
		exit(1);
	}
}

static uint32_t host_of(uint32_t i)
{
	return BUILD_IP(10, 0, 0, 2) + i % 4096;
}

/* A packet of session i from inside, or its answer. */
static size_t build(const struct bench *b, uint8_t *bytes, uint32_t i, bool is_answer, uint32_t address)
{
	const uint32_t server = BUILD_IP(198, 51, 100, 1);
	const struct build out = {.proto = 17,
				  .src = host_of(i),
				  .dst = server,
				  .sport = (uint16_t)(2000 + i / 4096),
				  .dport = 443,
				  .df = true};
	const struct build back = {
		.proto = 17, .src = server, .dst = address, .sport = 443, .dport = b->port[i], .df = true};

	return build_packet(bytes, is_answer ? &back : &out);
}

/* One packet of every session through natd, and its answer the first time. Returns CPU seconds of showing. */
static double send_all(struct bench *b, bool is_first)
{
	double shown = 0;

	for (uint32_t i = 0; i < b->sessions; i += BATCH) {
		uint32_t n = b->sessions - i < BATCH ? b->sessions - i : BATCH;
		double began;

		for (uint32_t k = 0; k < n; k++)
			b->packets[k] = (struct nat_packet){.data = b->bytes[k],
							    .len = (uint32_t)build(b, b->bytes[k], i + k, false, 0)};
		nat_batch(b->nat, b->now_ms, b->packets, n, ignore, b);
		for (uint32_t k = 0; k < n && is_first; k++) {
			uint32_t address = load32(b->bytes[k] + 12);

			b->port[i + k] = load16(b->bytes[k] + 20);
			b->packets[k] = (struct nat_packet){
				.data = b->bytes[k], .len = (uint32_t)build(b, b->bytes[k], i + k, true, address)};
		}
		if (is_first)
			nat_batch(b->nat, b->now_ms, b->packets, n, ignore, b);
		began = cpu_seconds();
		nat_mirror_show(b->nat, true, NULL, NULL);
		shown += cpu_seconds() - began;
	}
	return shown;
}

/* The forwarder's counts of a packet of each. */
static void carry_all(struct bench *b)
{
	for (uint32_t slot = 1; slot < FLOW_SLOTS; slot++)
		flow_count(&b->shared.flows[slot], 0, 1, 100, (uint32_t)(b->now_ms / 1000));
}

static double take_over_all(struct bench *b)
{
	double began;

	carry_all(b);
	began = cpu_seconds();
	nat_mirror_pull(b->nat);
	return cpu_seconds() - began;
}

/* A second passes. Returns the seconds of natd's longest step in it. */
static double step_second(struct bench *b)
{
	struct nat_stepped done;
	double longest = 0;

	b->now_ms += 1000;
	do {
		double began = cpu_seconds();

		done = nat_step(b->nat, b->now_ms, STEP, ignore, b);
		began = cpu_seconds() - began;
		longest = began > longest ? began : longest;
	} while (done.more);
	return longest;
}

static double longest_step(struct bench *b)
{
	double longest = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double step;

		carry_all(b);
		step = step_second(b);
		longest = step > longest ? step : longest;
	}
	return longest;
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct nat_mirror_counts c;
	double shown, began;

	b.sessions = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 65000;
	start(&b);
	send_all(&b, true);
	for (int i = 0; i < 3; i++)
		step_second(&b);
	for (int i = 2; i < PACKETS_EACH - 1; i++)
		send_all(&b, false);
	shown = send_all(&b, false);
	nat_mirror_counts(b.nat, &c);
	printf("shown: %" PRIu32 " of %" PRIu32 ", %.3f us of CPU time each\n", c.flows, b.sessions,
	       shown * 1e6 / c.flows);
	printf("a session in the mirror: %.1f bytes\n",
	       sizeof(struct flow) + (double)FLOW_BUCKETS * sizeof(struct flow_bucket) / FLOW_SLOTS + sizeof(uint32_t) +
		       2 * sizeof(uint16_t));
	step_second(&b);
	printf("longest step: %.3f ms\n", longest_step(&b) * 1e3);
	printf("taking over all: %.3f ms\n", take_over_all(&b) * 1e3);
	began = cpu_seconds();
	nat_mirror_end(b.nat, false);
	printf("withdrawing all: %.3f ms\n", (cpu_seconds() - began) * 1e3);
	return EXIT_SUCCESS;
}
