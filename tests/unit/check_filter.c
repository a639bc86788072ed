/* SPDX-License-Identifier: ISC */
/* The compiled filter against a walk over the same rules. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/filter.h"
#include "unit.h"

enum { LISTS = 12, SPANS = 6, PORTS = 3, RULES_MAX = 3000, ICMP = 1, TCP = 6, UDP = 17 };

struct world {
	struct filter_config c;
	struct filter_list lists[LISTS];
	struct filter_span spans[LISTS][SPANS];
	struct filter_rule rules[RULES_MAX];
	struct nat_range ports[RULES_MAX][PORTS];
};

static struct world w;

/* ---- the oracle ---- */

static bool bit(const uint32_t b[8], unsigned i)
{
	return b[i / 32] >> i % 32 & 1;
}

static bool blank(const uint32_t b[8])
{
	static const uint32_t none[8];

	return memcmp(b, none, sizeof(none)) == 0;
}

static bool listed(uint16_t list, uint32_t a)
{
	if (list == FILTER_ANY)
		return true;
	for (uint32_t i = 0; i < w.lists[list].n; i++) {
		if (a >= w.spans[list][i].first && a <= w.spans[list][i].last)
			return true;
	}
	return false;
}

static bool ports_match(const struct filter_rule *r, const struct filter_packet *p)
{
	if (r->n_ports == 0)
		return true;
	for (uint32_t i = 0; p->has_ports && i < r->n_ports; i++) {
		if (p->port >= r->ports[i].first && p->port <= r->ports[i].last)
			return true;
	}
	return false;
}

static bool matches(const struct filter_rule *r, const struct filter_packet *p)
{
	return (r->directions & p->direction) && (blank(r->protocols) || bit(r->protocols, p->protocol)) &&
	       (blank(r->icmp_types) || (p->protocol == ICMP && bit(r->icmp_types, p->icmp_type))) &&
	       ports_match(r, p) && listed(r->from, p->from) && listed(r->to, p->to) &&
	       listed(r->via, p->direction == FILTER_OUT ? p->from : p->to) &&
	       (r->forward == FILTER_NONE || r->forward == p->forward);
}

static int32_t oracle(const struct filter_packet *p, uint32_t begin)
{
	for (uint32_t i = begin; i < w.c.n_rules; i++) {
		if (matches(&w.rules[i], p))
			return (int32_t)i;
	}
	return FILTER_NONE;
}

/* ---- random worlds: values from few, so that rules overlap, and from both ends of each range ---- */

static uint32_t random_address(void)
{
	static const uint32_t edges[] = {0, 1, UINT32_MAX - 1, UINT32_MAX};

	return unit_below(8) ? 0x0a000000 + unit_below(64) * (unit_below(2) ? 1 : 0x10000) : edges[unit_below(4)];
}

static uint16_t random_port(void)
{
	static const uint16_t edges[] = {0, 1, 65534, 65535};

	return unit_below(8) ? (uint16_t)(80 + unit_below(40)) : edges[unit_below(4)];
}

static uint8_t random_protocol(void)
{
	static const uint8_t known[] = {ICMP, TCP, UDP, 0, 255, 47};

	return known[unit_below(6)];
}

static uint16_t random_list(void)
{
	return unit_below(3) ? (uint16_t)unit_below(LISTS) : (uint16_t)FILTER_ANY;
}

static void random_lists(void)
{
	for (unsigned l = 0; l < LISTS; l++) {
		w.lists[l] = (struct filter_list){w.spans[l], unit_below(SPANS + 1)};
		for (uint32_t i = 0; i < w.lists[l].n; i++) {
			uint32_t a = random_address(), b = random_address();

			w.spans[l][i] = a < b ? (struct filter_span){a, b} : (struct filter_span){b, a};
		}
	}
}

static void random_rule(uint32_t i)
{
	struct filter_rule *r = &w.rules[i];

	*r = (struct filter_rule){
		.directions = (uint8_t)(1 + unit_below(3)),
		.ports = w.ports[i],
		.n_ports = unit_below(2) ? unit_below(PORTS + 1) : 0,
		.from = random_list(),
		.to = random_list(),
		.via = unit_below(4) ? (uint16_t)FILTER_ANY : random_list(),
		.forward = unit_below(4) ? FILTER_NONE : (int32_t)unit_below(3),
	};
	for (unsigned k = unit_below(3); k > 0; k--) {
		uint8_t protocol = random_protocol();

		r->protocols[protocol / 32] |= 1u << protocol % 32;
	}
	if (unit_below(6) == 0)
		r->icmp_types[0] = 1u << unit_below(2) * 8;
	for (uint32_t k = 0; k < r->n_ports; k++) {
		uint16_t a = random_port(), b = random_port();

		w.ports[i][k] = a < b ? (struct nat_range){a, b} : (struct nat_range){b, a};
	}
}

static void random_world(uint32_t n_rules)
{
	random_lists();
	for (uint32_t i = 0; i < n_rules; i++)
		random_rule(i);
	w.c = (struct filter_config){w.lists, LISTS, w.rules, n_rules};
}

static struct filter_packet random_packet(void)
{
	struct filter_packet p = {
		.direction = unit_below(2) ? FILTER_OUT : FILTER_IN,
		.protocol = random_protocol(),
		.port = random_port(),
		.from = random_address(),
		.to = random_address(),
		.forward = (int32_t)unit_below(4) - 1,
	};

	p.icmp_type = p.protocol == ICMP ? (uint8_t)(unit_below(2) * 8) : 0;
	p.has_ports = p.protocol == TCP || p.protocol == UDP;
	return p;
}

static void compare(uint32_t n_rules, int packets)
{
	struct filter *f;

	random_world(n_rules);
	f = filter_create(&w.c);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(filter_rule_count(f), n_rules);
	for (int i = 0; i < packets; i++) {
		struct filter_packet p = random_packet();
		uint32_t begin = unit_below(4) ? 0 : unit_below(n_rules + 2);

		ck_assert_int_eq(filter_match(f, &p, begin), oracle(&p, begin));
	}
	filter_destroy(f);
}

START_TEST(random_rules_decide_as_a_walk_over_them_does)
{
	for (int i = 0; i < 300; i++)
		compare(unit_below(20), 100);
}
END_TEST

START_TEST(rules_beyond_one_chunk_decide_as_a_walk_does)
{
	static const uint32_t counts[] = {1023, 1024, 1025, 2048, RULES_MAX};

	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		compare(counts[i], 1000);
}
END_TEST

START_TEST(without_rules_none_matches)
{
	struct filter_packet p = {.direction = FILTER_OUT};

	compare(0, 10);
	w.c = (struct filter_config){.n_rules = 0};
	ck_assert_int_eq(oracle(&p, 0), FILTER_NONE);
}
END_TEST

/* A packet that a rule hidden by another one would match is always decided before it. */
START_TEST(a_hidden_rule_never_decides)
{
	unsigned hidden = 0;

	for (int i = 0; i < 200; i++) {
		struct filter *f;

		random_world(30);
		f = filter_create(&w.c);
		ck_assert_ptr_nonnull(f);
		for (uint32_t k = 0; k < w.c.n_rules; k++)
			hidden += filter_hidden_by(&w.c, k) != FILTER_NONE;
		for (int k = 0; k < 200; k++) {
			struct filter_packet p = random_packet();
			int32_t decides = filter_match(f, &p, 0);

			if (decides != FILTER_NONE)
				ck_assert_int_eq(filter_hidden_by(&w.c, (uint32_t)decides), FILTER_NONE);
		}
		filter_destroy(f);
	}
	ck_assert_uint_gt(hidden, 0);
}
END_TEST

START_TEST(a_rule_with_a_limit_hides_none)
{
	random_world(1);
	w.rules[0] = (struct filter_rule){
		.directions = 3, .from = FILTER_ANY, .to = FILTER_ANY, .via = FILTER_ANY, .forward = FILTER_NONE};
	w.rules[1] = w.rules[0];
	w.c.n_rules = 2;
	ck_assert_int_eq(filter_hidden_by(&w.c, 1), 0);
	w.rules[0].limit = (struct filter_limit){50, 100};
	ck_assert_int_eq(filter_hidden_by(&w.c, 1), FILTER_NONE);
}
END_TEST

/* 100,000 prefixes in one set that 1,000 rules name: rows are shared, so the set is stored once. */
START_TEST(a_large_set_is_stored_once)
{
	enum { N = 100000 };
	struct filter_span *spans = calloc(N, sizeof(*spans));
	struct filter *f;

	ck_assert_ptr_nonnull(spans);
	random_world(0);
	for (uint32_t i = 0; i < N; i++)
		spans[i] = (struct filter_span){i * 1024, i * 1024 + 255};
	w.lists[0] = (struct filter_list){spans, N};
	for (uint32_t i = 0; i < 1000; i++) {
		w.rules[i] = (struct filter_rule){
			.directions = 3, .from = 0, .to = FILTER_ANY, .via = FILTER_ANY, .forward = FILTER_NONE};
		w.ports[i][0] = (struct nat_range){(uint16_t)i, (uint16_t)i};
		w.rules[i].ports = w.ports[i];
		w.rules[i].n_ports = 1;
	}
	w.c.n_rules = 1000;
	f = filter_create(&w.c);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_lt(filter_bytes(f), 4u << 20);
	for (int i = 0; i < 10000; i++) {
		struct filter_packet p = {
			.direction = FILTER_IN, .protocol = TCP, .has_ports = true, .forward = FILTER_NONE};
		uint32_t within = unit_below(1024);

		p.port = (uint16_t)unit_below(1200);
		p.from = unit_below(N) * 1024 + within;
		ck_assert_int_eq(filter_match(f, &p, 0), within < 256 && p.port < 1000 ? p.port : FILTER_NONE);
	}
	filter_destroy(f);
	free(spans);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("filter");
	TCase *t = tcase_create("filter");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, random_rules_decide_as_a_walk_over_them_does);
	tcase_add_test(t, rules_beyond_one_chunk_decide_as_a_walk_does);
	tcase_add_test(t, without_rules_none_matches);
	tcase_add_test(t, a_hidden_rule_never_decides);
	tcase_add_test(t, a_rule_with_a_limit_hides_none);
	tcase_add_test(t, a_large_set_is_stored_once);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
