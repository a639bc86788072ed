/* SPDX-License-Identifier: ISC */
/*
 * The choice of a backend alone: nanoseconds of processor time by the number of backends and by the way to choose.
 * Under `valgrind --tool=callgrind` the instructions of one choice are those of a run, divided by the choices that it
 * prints.
 *
 *	bench_balance [BACKENDS [hash|least|random]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "core/policy/balance.h"

enum { CHOICES = 2000000, MOST = NAT_BACKENDS_MAX };

static struct balance_scale scale;
static struct balance_target targets[MOST];
static struct balance_lanes lanes[MOST / BALANCE_LANES];
static uint8_t closed[MOST];
static uint32_t sessions[MOST];

static int32_t choose(const char *way, uint32_t n, uint32_t k)
{
	const struct balance_set set = {targets, lanes, closed, n};

	if (strcmp(way, "least") == 0)
		return balance_least(&set, sessions, k);
	if (strcmp(way, "random") == 0)
		return balance_random(&set, k);
	return balance_hash(&scale, &set, k);
}

static void measure(const char *way, uint32_t n)
{
	double begin = cpu_seconds();
	uint64_t sum = 0;

	balance_lanes_make(lanes, targets, n);
	for (uint32_t k = 0; k < CHOICES; k++)
		sum += (uint64_t)choose(way, n, k * 2654435761u);
	printf("%-6s %3" PRIu32 " backends: %6.1f ns a choice (%d choices, mean place %.2f)\n", way, n,
	       (cpu_seconds() - begin) * 1e9 / CHOICES, CHOICES, (double)sum / CHOICES);
}

int main(int argc, char **argv)
{
	static const char *const ways[] = {"hash", "least", "random"};
	static const uint32_t counts[] = {2, 8, 64, 256};
	uint32_t wanted = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;

	balance_scale_init(&scale);
	for (uint32_t i = 0; i < MOST; i++)
		targets[i] = balance_target_of(&(struct nat_backend){
			.address = 0x0a080000 + i, .port = 8080, .weight = (uint16_t)(1 + i % 5)});
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		if (argc > 2 && strcmp(argv[2], ways[w]) != 0)
			continue;
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			if (wanted == 0 || (wanted == counts[c]))
				measure(ways[w], counts[c]);
		}
	}
	return 0;
}
