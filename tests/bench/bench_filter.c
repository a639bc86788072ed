/* SPDX-License-Identifier: ISC */
/*
 * The filter alone: nanoseconds (processor time) and table bytes of one judgement, by the number of rules that differ
 * in every field, and with a set of 100,000 prefixes; and seconds to compile. The time to make the packets is left out.
 *
 *	bench_filter [set]		the set alone
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "core/policy/filter.h"

enum { RULES = 10000, SET = 100000, PACKETS = 1000000 };

static uint64_t seed = 88172645463325252ull;
static struct filter_rule rules[RULES];
static struct nat_range ports[RULES];
static struct filter_span prefixes[2 * RULES], set[SET];
static struct filter_list lists[2 * RULES + 1];

static uint32_t below(uint32_t n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * 2685821657736338717ull >> 32) * n >> 32);
}

static struct filter_span prefix(unsigned shortest)
{
	unsigned length = shortest + below(33 - shortest);
	uint32_t mask = length == 32 ? 0 : UINT32_MAX >> length;
	uint32_t a = below(UINT32_MAX) & ~mask;

	return (struct filter_span){a, a | mask};
}

/* Each field of each rule: given, with probability `given` of 4, or open. */
static void make_rules(uint32_t n, uint32_t given)
{
	for (uint32_t i = 0; i < n; i++) {
		uint16_t first = (uint16_t)below(65536), last = (uint16_t)below(65536);
		uint8_t protocol = below(2) ? 6 : 17;

		prefixes[2 * i] = prefix(8);
		prefixes[2 * i + 1] = prefix(8);
		lists[2 * i] = (struct filter_list){&prefixes[2 * i], 1};
		lists[2 * i + 1] = (struct filter_list){&prefixes[2 * i + 1], 1};
		ports[i] = first < last ? (struct nat_range){first, last} : (struct nat_range){last, first};
		rules[i] = (struct filter_rule){.directions = (uint8_t)(1 + below(3)),
						.ports = &ports[i],
						.n_ports = below(4) < given,
						.from = (uint16_t)(below(4) < given ? 2 * i : FILTER_ANY),
						.to = (uint16_t)(below(4) < given ? 2 * i + 1 : FILTER_ANY),
						.via = FILTER_ANY,
						.forward = FILTER_NONE};
		/* one prefix at least: else a rule matches nearly everything, and the first one ends each look-up */
		if (rules[i].from == FILTER_ANY && rules[i].to == FILTER_ANY)
			rules[i].from = (uint16_t)(2 * i);
		if (below(4) < given)
			rules[i].protocols[0] = 1u << protocol;
	}
}

static struct filter_packet packet(void)
{
	return (struct filter_packet){.direction = below(2) ? FILTER_OUT : FILTER_IN,
				      .protocol = below(2) ? 6 : 17,
				      .has_ports = true,
				      .port = (uint16_t)below(65536),
				      .from = below(UINT32_MAX),
				      .to = below(UINT32_MAX),
				      .forward = FILTER_NONE};
}

static void measure(const char *title, const struct filter_config *c)
{
	double began = cpu_seconds(), made, packets_made;
	struct filter *f = filter_create(c);
	uint64_t found = 0, sum = 0;

	if (f == NULL)
		exit(1);
	made = cpu_seconds();
	for (int i = 0; i < PACKETS; i++) {
		struct filter_packet p = packet();

		sum += p.from ^ p.to ^ p.port ^ p.protocol ^ p.direction;
	}
	packets_made = cpu_seconds();
	for (int i = 0; i < PACKETS; i++) {
		struct filter_packet p = packet();

		found += filter_match(f, &p, 0) != FILTER_NONE;
	}
	printf("%-44s %6.0f ns, %5.1f %% matched, %8.2f MB, compiled in %.3f s%s\n", title,
	       (cpu_seconds() - packets_made - (packets_made - made)) / PACKETS * 1e9, 100.0 * (double)found / PACKETS,
	       (double)filter_bytes(f) / 1e6, made - began, sum == 0 ? " " : "");
	filter_destroy(f);
}

int main(int argc, char **argv)
{
	static const uint32_t counts[] = {1, 10, 100, 1000, RULES};
	char title[64];

	(void)argv;
	for (unsigned i = 0; argc == 1 && i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (uint32_t given = 2; given <= 4; given += 2) {
			make_rules(counts[i], given);
			snprintf(title, sizeof(title), "%" PRIu32 " rules, %s", counts[i],
				 given == 4 ? "every field given" : "half of the fields open");
			measure(title, &(struct filter_config){lists, 2 * counts[i], rules, counts[i]});
		}
	}
	for (uint32_t i = 0; i < SET; i++)
		set[i] = prefix(16);
	lists[0] = (struct filter_list){set, SET};
	rules[0] = (struct filter_rule){
		.directions = 3, .from = 0, .to = FILTER_ANY, .via = FILTER_ANY, .forward = FILTER_NONE};
	measure("1 rule, a set of 100,000 prefixes", &(struct filter_config){lists, 1, rules, 1});
	return 0;
}
