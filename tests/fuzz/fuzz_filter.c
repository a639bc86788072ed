/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: the compiled filter beside a walk over the same rules. Input: lists, rules, then packets; whatever bytes
 * there are make a configuration that has passed the checks of natd.conf. The first match must be the same from every
 * rule on, and a rule that filter_hidden_by() calls hidden must never be the first to match.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/filter.h"

enum { LISTS = 8, SPANS = 5, PORTS = 3, RULES = 40, PACKETS = 64, ICMP = 1 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct filter_list lists[LISTS];
	struct filter_span spans[LISTS][SPANS];
	struct filter_rule rules[RULES];
	struct nat_range ports[RULES][PORTS];
	struct filter_config c;
	const uint8_t *data;
	size_t left;
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t byte(struct world *w)
{
	if (w->left == 0)
		return 0;
	w->left--;
	return *w->data++;
}

/* Few values, so that rules and packets meet, and both ends of the range. */
static uint32_t address(struct world *w)
{
	uint8_t b = byte(w);

	return b >= 0xf0   ? UINT32_MAX - (b & 15)
	       : b >= 0xe0 ? b & 15u
			   : 0x0a000000u + (b & 31u) * (b & 32 ? 1u : 0x10000u);
}

static uint16_t port(struct world *w)
{
	uint8_t b = byte(w);

	return (uint16_t)(b >= 0xf0 ? UINT16_MAX - (b & 15) : b & 63);
}

static uint8_t protocol(struct world *w)
{
	static const uint8_t known[] = {ICMP, 6, 17, 0, 255, 47, 6, 17};

	return known[byte(w) & 7];
}

static uint16_t list(struct world *w)
{
	uint8_t b = byte(w);

	return b & 0x80 ? (uint16_t)FILTER_ANY : b % LISTS;
}

static void read_lists(struct world *w)
{
	for (unsigned l = 0; l < LISTS; l++) {
		w->lists[l] = (struct filter_list){w->spans[l], byte(w) % (SPANS + 1)};
		for (uint32_t i = 0; i < w->lists[l].n; i++) {
			uint32_t a = address(w), b = address(w);

			w->spans[l][i] = a < b ? (struct filter_span){a, b} : (struct filter_span){b, a};
		}
	}
}

static void read_rule(struct world *w, uint32_t i)
{
	struct filter_rule *r = &w->rules[i];
	uint8_t shape = byte(w);

	*r = (struct filter_rule){.directions = (uint8_t)(1 + (shape & 3) % 3),
				  .action = (uint8_t)((shape >> 2 & 3) % 3),
				  .ports = w->ports[i],
				  .n_ports = shape & 0x10 ? byte(w) % (PORTS + 1) : 0,
				  .from = list(w),
				  .to = list(w),
				  .via = shape & 0x20 ? list(w) : (uint16_t)FILTER_ANY,
				  .forward = shape & 0x40 ? byte(w) % 3 : FILTER_NONE};
	if (shape & 0x80)
		r->limit = (struct filter_limit){1u + byte(w), 1u + byte(w)};
	for (unsigned k = byte(w) % 3; k > 0; k--) {
		uint8_t p = protocol(w);

		r->protocols[p / 32] |= 1u << p % 32;
	}
	for (unsigned k = byte(w) % 3; k > 0; k--) {
		uint8_t t = byte(w) & 15;

		r->icmp_types[t / 32] |= 1u << t % 32;
	}
	for (uint32_t k = 0; k < r->n_ports; k++) {
		uint16_t a = port(w), b = port(w);

		w->ports[i][k] = a < b ? (struct nat_range){a, b} : (struct nat_range){b, a};
	}
}

static struct filter_packet read_packet(struct world *w)
{
	struct filter_packet p = {.direction = byte(w) & 1 ? FILTER_OUT : FILTER_IN,
				  .protocol = protocol(w),
				  .port = port(w),
				  .from = address(w),
				  .to = address(w),
				  .forward = FILTER_NONE};

	p.has_ports = p.protocol == 6 || p.protocol == 17;
	if (p.protocol == ICMP)
		p.icmp_type = byte(w) & 15;
	if (p.direction == FILTER_IN)
		p.forward = byte(w) % 4 - 1;
	return p;
}

/* ---- the oracle ---- */

static bool bit_or_none(const uint32_t b[8], unsigned i, bool applies)
{
	static const uint32_t none[8];

	return memcmp(b, none, sizeof(none)) == 0 || (applies && b[i / 32] >> i % 32 & 1);
}

static bool listed(const struct world *w, uint16_t l, uint32_t a)
{
	bool found = l == FILTER_ANY;

	for (uint32_t i = 0; !found && i < w->lists[l].n; i++)
		found = a >= w->spans[l][i].first && a <= w->spans[l][i].last;
	return found;
}

static bool matches(const struct world *w, const struct filter_rule *r, const struct filter_packet *p)
{
	bool in_ports = r->n_ports == 0;

	for (uint32_t i = 0; p->has_ports && i < r->n_ports; i++)
		in_ports |= p->port >= r->ports[i].first && p->port <= r->ports[i].last;
	return (r->directions & p->direction) && bit_or_none(r->protocols, p->protocol, true) &&
	       bit_or_none(r->icmp_types, p->icmp_type, p->protocol == ICMP) && in_ports &&
	       listed(w, r->from, p->from) && listed(w, r->to, p->to) &&
	       listed(w, r->via, p->direction == FILTER_OUT ? p->from : p->to) &&
	       (r->forward == FILTER_NONE || r->forward == p->forward);
}

static int32_t walk(const struct world *w, const struct filter_packet *p, uint32_t begin)
{
	for (uint32_t i = begin; i < w->c.n_rules; i++) {
		if (matches(w, &w->rules[i], p))
			return (int32_t)i;
	}
	return FILTER_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	int32_t hidden[RULES];
	struct filter *f;

	memset(&w, 0, sizeof(w));
	w.data = data;
	w.left = size;
	read_lists(&w);
	w.c = (struct filter_config){w.lists, LISTS, w.rules, byte(&w) % (RULES + 1)};
	for (uint32_t i = 0; i < w.c.n_rules; i++)
		read_rule(&w, i);
	for (uint32_t i = 0; i < w.c.n_rules; i++) {
		hidden[i] = filter_hidden_by(&w.c, i);
		require(hidden[i] < (int32_t)i);
	}
	f = filter_create(&w.c);
	require(f != NULL && filter_rule_count(f) == w.c.n_rules);
	for (unsigned n = 0; n < PACKETS && w.left > 0; n++) {
		struct filter_packet p = read_packet(&w);
		int32_t first = walk(&w, &p, 0);

		require(first == FILTER_NONE || hidden[first] == FILTER_NONE);
		for (uint32_t begin = 0; begin <= w.c.n_rules; begin++)
			require(filter_match(f, &p, begin) == walk(&w, &p, begin));
	}
	filter_destroy(f);
	return 0;
}
