/* SPDX-License-Identifier: ISC */
/* The compiled policy against a linear reading of the same policy. */
#include <check.h>
#include <string.h>

#include "core/policy/rule.h"
#include "core/base/span.h"
#include "unit.h"

enum { LIST_MAX = 12, FROM_MAX = 3, BASE = 0xfffff800 /* the universe ends with the last address of all */ };

/* A policy together with the memory of its lists. */
struct world {
	struct nat_policy p;
	struct nat_prefix inside[LIST_MAX], exempt[LIST_MAX], broadcast[LIST_MAX];
	struct nat_address_range addresses[LIST_MAX];
	struct nat_range shared_ports[LIST_MAX], pool_ports[LIST_MAX];
	struct nat_forward forwards[LIST_MAX];
	struct nat_prefix from[LIST_MAX][FROM_MAX];
};

static void world_tie(struct world *w)
{
	w->p.inside = w->inside;
	w->p.exempt = w->exempt;
	w->p.broadcast = w->broadcast;
	w->p.addresses = w->addresses;
	w->p.shared_ports = w->shared_ports;
	w->p.pool_ports = w->pool_ports;
	w->p.forwards = w->forwards;
	for (int i = 0; i < LIST_MAX; i++)
		w->forwards[i].from = w->from[i];
}

/* ---- the oracle: no index, no order but the file's ---- */

static bool prefix_holds(const struct nat_prefix *p, uint32_t a)
{
	return p->length == 0 || (a ^ p->address) >> (32 - p->length) == 0;
}

static bool any_prefix(const struct nat_prefix *p, uint32_t n, uint32_t a)
{
	for (uint32_t i = 0; i < n; i++) {
		if (prefix_holds(&p[i], a))
			return true;
	}
	return false;
}

/* Ordinal by counting; *shared is that of the range. */
static int32_t oracle_ordinal(const struct nat_policy *p, uint32_t a, bool *shared)
{
	int32_t n = 0;

	*shared = false;
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		for (uint64_t x = p->addresses[i].first; x <= p->addresses[i].last; x++, n++) {
			if (x == a) {
				*shared = p->addresses[i].shared;
				return n;
			}
		}
	}
	return -1;
}

static bool forward_matches(const struct nat_forward *f, enum nat_class c, uint32_t a, uint16_t port)
{
	return (c == CLASS_TCP || c == CLASS_UDP) && (f->protocols >> c & 1) && (f->address == 0 || f->address == a) &&
	       port >= f->ports.first && port <= f->ports.last;
}

static int32_t oracle_inbound(const struct nat_policy *p, enum nat_class c, uint32_t a, uint16_t port, uint32_t remote)
{
	int32_t result = -1;

	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];

		if (!forward_matches(f, c, a, port))
			continue;
		if (f->n_from == 0 || any_prefix(f->from, f->n_from, remote))
			return (int32_t)i;
		result = -2;
	}
	return result;
}

static int32_t oracle_outbound(const struct nat_policy *p, enum nat_class c, uint32_t a, uint16_t port)
{
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];
		int offset = port - f->to_port;

		if ((c == CLASS_TCP || c == CLASS_UDP) && (f->protocols >> c & 1) && f->to == a && offset >= 0 &&
		    offset <= f->ports.last - f->ports.first)
			return (int32_t)i;
	}
	return -1;
}

static bool oracle_usable(const struct nat_policy *p, enum nat_class c, uint32_t a, uint16_t port)
{
	bool shared;
	bool in_range = false;

	if (oracle_ordinal(p, a, &shared) < 0)
		return false;
	if (c == CLASS_OTHER)
		return true;
	for (uint32_t i = 0; i < (shared ? p->n_shared_ports : p->n_pool_ports); i++) {
		const struct nat_range *r = shared ? &p->shared_ports[i] : &p->pool_ports[i];

		in_range |= port >= r->first && port <= r->last;
	}
	for (uint32_t i = 0; i < p->n_forwards; i++)
		in_range &= !forward_matches(&p->forwards[i], c, a, port);
	return in_range;
}

/* ---- random worlds, small enough for everything to overlap ---- */

static uint32_t random_address(void)
{
	return BASE + unit_below(0x800) / (1 + unit_below(64));
}

static uint32_t random_near_end(void)
{
	return unit_below(2) ? random_address() : UINT32_MAX - unit_below(32);
}

static uint16_t random_port(void)
{
	static const uint16_t edges[] = {0, 1, 1023, 1024, 65534, 65535};

	return unit_below(4) ? (uint16_t)(100 + unit_below(24)) : edges[unit_below(6)];
}

static uint32_t random_prefixes(struct nat_prefix *p, uint32_t max)
{
	uint32_t n = unit_below(max + 1);

	for (uint32_t i = 0; i < n; i++) {
		p[i].length = unit_below(30) ? (uint8_t)(20 + unit_below(13)) : 0;
		p[i].address = p[i].length ? random_near_end() & (UINT32_MAX << (32 - p[i].length)) : 0;
		p[i].mtu = (uint16_t)unit_below(2000);
	}
	return n;
}

static uint32_t random_addresses(struct nat_address_range *r, uint32_t max)
{
	uint32_t n = 0;
	uint64_t next = BASE + unit_below(16);

	while (n < max && unit_below(8)) {
		uint64_t last = next + unit_below(8);

		if (unit_below(12) == 0)
			last = UINT32_MAX;
		r[n++] = (struct nat_address_range){
			.first = (uint32_t)next, .last = (uint32_t)last, .shared = unit_below(3) == 0};
		next = last + 1 + unit_below(3);
		if (next > UINT32_MAX)
			break;
	}
	return n;
}

static struct nat_range random_range(void)
{
	uint16_t a = random_port();
	uint16_t b = random_port();

	return a < b ? (struct nat_range){a, b} : (struct nat_range){b, a};
}

static uint32_t random_ranges(struct nat_range *r, uint32_t max)
{
	uint32_t n = unit_below(max + 1);

	for (uint32_t i = 0; i < n; i++)
		r[i] = random_range();
	return n;
}

static void random_forward(struct world *w, uint32_t i)
{
	struct nat_forward *f = &w->forwards[i];
	uint32_t steps;

	f->protocols = (uint8_t)(1 + unit_below(3));
	f->address = unit_below(3) ? BASE + unit_below(24) : 0;
	f->ports = random_range();
	steps = (uint32_t)(f->ports.last - f->ports.first);
	f->to = BASE + unit_below(4);
	f->to_port = (uint16_t)unit_below(65536 - steps);
	if (steps < 64)
		f->to_port = (uint16_t)(unit_below(4) ? 100 + unit_below(24) : 65535 - steps);
	f->n_from = unit_below(2) ? random_prefixes(w->from[i], FROM_MAX) : 0;
}

static void random_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	world_tie(w);
	w->p.n_inside = random_prefixes(w->inside, LIST_MAX);
	w->p.n_exempt = random_prefixes(w->exempt, 2);
	w->p.n_broadcast = random_prefixes(w->broadcast, 2);
	w->p.n_addresses = random_addresses(w->addresses, LIST_MAX);
	w->p.n_shared_ports = random_ranges(w->shared_ports, 2);
	w->p.n_pool_ports = random_ranges(w->pool_ports, 3);
	w->p.n_forwards = unit_below(LIST_MAX + 1);
	for (uint32_t i = 0; i < w->p.n_forwards; i++)
		random_forward(w, i);
}

/* Compiles `w` from a copy that is spoilt at once: what rules_create() borrowed would show. */
static struct rules *compile(const struct world *w)
{
	struct world *copy = malloc(sizeof(*copy));
	struct rules *r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, w, sizeof(*copy));
	world_tie(copy);
	r = rules_create(&copy->p);
	memset(copy, 0xa5, sizeof(*copy));
	free(copy);
	ck_assert_ptr_nonnull(r);
	return r;
}

static void compare_address(const struct world *w, const struct rules *r, uint32_t a)
{
	bool shared;
	int32_t ordinal = oracle_ordinal(&w->p, a, &shared);
	const struct nat_range *ranges;
	uint32_t n;

	ck_assert_int_eq(rules_is_inside(r, a), any_prefix(w->inside, w->p.n_inside, a));
	ck_assert_int_eq(rules_is_exempt(r, a), any_prefix(w->exempt, w->p.n_exempt, a));
	ck_assert_int_eq(rules_is_broadcast(r, a), any_prefix(w->broadcast, w->p.n_broadcast, a));
	ck_assert_int_eq(rules_address_find(r, a), ordinal);
	ck_assert_int_eq(rules_address_is_shared(r, a), shared);
	if (ordinal >= 0)
		ck_assert_uint_eq(rules_address_at(r, (uint32_t)ordinal), a);
	ranges = rules_port_ranges(r, a, &n);
	ck_assert_uint_eq(n, shared ? w->p.n_shared_ports : w->p.n_pool_ports);
	if (n > 0)
		ck_assert_int_eq(memcmp(ranges, shared ? w->shared_ports : w->pool_ports, n * sizeof(*ranges)), 0);
}

/* Two prefixes of one length may name different MTUs: then either is right. */
static bool mtu_is_right(const struct world *w, uint32_t a, uint16_t mtu)
{
	int best = -1;
	bool found = false;

	for (uint32_t i = 0; i < w->p.n_inside; i++) {
		if (prefix_holds(&w->inside[i], a) && w->inside[i].length > best)
			best = w->inside[i].length;
	}
	for (uint32_t i = 0; i < w->p.n_inside; i++)
		found |= prefix_holds(&w->inside[i], a) && w->inside[i].length == best && w->inside[i].mtu == mtu;
	return best < 0 ? mtu == 0 : found;
}

static void compare_endpoint(const struct world *w, const struct rules *r, enum nat_class c, uint32_t a)
{
	uint16_t port = random_port();
	uint32_t remote = random_near_end();
	uint32_t to = 0, ext = 0;
	uint16_t to_port = 0, ext_port = 0;
	bool shared;
	int32_t want = oracle_ordinal(&w->p, a, &shared) < 0 ? -1 : oracle_inbound(&w->p, c, a, port, remote);
	int32_t got = rules_forward_inbound(r, c, a, port, remote, &to, &to_port);

	ck_assert_int_eq(got, want);
	if (want >= 0) {
		ck_assert_uint_eq(to, w->forwards[want].to);
		ck_assert_int_eq(to_port - w->forwards[want].to_port, port - w->forwards[want].ports.first);
	}
	want = oracle_outbound(&w->p, c, a, port);
	got = rules_forward_outbound(r, c, a, port, &ext, &ext_port);
	ck_assert_int_eq(got, want);
	if (want >= 0) {
		ck_assert_uint_eq(ext, w->forwards[want].address);
		ck_assert_int_eq(ext_port - w->forwards[want].ports.first, port - w->forwards[want].to_port);
	}
	ck_assert_int_eq(rules_port_usable(r, c, a, port), oracle_usable(&w->p, c, a, port));
}

/* Are all ports of that range forwarded? Of very many pieces the compiled policy may say no all the same. */
static void compare_whole_range(const struct world *w, const struct rules *r, enum nat_class c, uint32_t a)
{
	struct nat_range ports = random_range();
	bool all = true, got;

	for (uint32_t port = ports.first; port <= ports.last && all; port++) {
		all = false;
		for (uint32_t i = 0; i < w->p.n_forwards; i++)
			all = all || forward_matches(&w->forwards[i], c, a, (uint16_t)port);
	}
	got = rules_ports_are_forwarded(r, c, a, &ports);
	ck_assert(all || !got);
	if (w->p.n_forwards <= 4)
		ck_assert_int_eq(got, all);
}

START_TEST(test_compiled_policy_answers_as_the_linear_one)
{
	struct world w;
	struct rules *r;

	for (int round = 0; round < 150; round++) {
		random_world(&w);
		r = compile(&w);
		for (int i = 0; i < 100; i++) {
			uint32_t a = unit_below(2) ? BASE + unit_below(32) : random_near_end();

			compare_address(&w, r, a);
			ck_assert(mtu_is_right(&w, a, rules_inside_mtu(r, a)));
			compare_endpoint(&w, r, (enum nat_class)unit_below(CLASS_COUNT), a);
			compare_endpoint(&w, r, CLASS_TCP, BASE + unit_below(24));
			compare_whole_range(&w, r, CLASS_TCP, BASE + unit_below(24));
		}
		rules_destroy(r);
	}
}
END_TEST

START_TEST(test_ordinals_count_up_without_gaps)
{
	struct world w;
	struct rules *r;
	uint32_t n;

	for (int round = 0; round < 50; round++) {
		random_world(&w);
		r = compile(&w);
		n = rules_address_count(r);
		for (uint32_t i = 0; i < n; i++)
			ck_assert_int_eq(rules_address_find(r, rules_address_at(r, i)), (int32_t)i);
		ck_assert_uint_eq(rules_address_at(r, n), 0);
		rules_destroy(r);
	}
}
END_TEST

START_TEST(test_most_specific_inside_prefix_gives_the_mtu)
{
	struct world w = {.p = {.n_inside = 3},
			  .inside = {{0x0a000000, 8, 1500}, {0x0a080000, 16, 1420}, {0x0a080100, 24, 9000}}};
	struct rules *r;

	world_tie(&w);
	r = compile(&w);
	ck_assert_uint_eq(rules_inside_mtu(r, 0x0a000001), 1500);
	ck_assert_uint_eq(rules_inside_mtu(r, 0x0a080001), 1420);
	ck_assert_uint_eq(rules_inside_mtu(r, 0x0a080101), 9000);
	ck_assert_uint_eq(rules_inside_mtu(r, 0x0a0801ff), 9000);
	ck_assert_uint_eq(rules_inside_mtu(r, 0x0a080200), 1420);
	ck_assert_uint_eq(rules_inside_mtu(r, 0x0b000000), 0);
	rules_destroy(r);
}
END_TEST

/* Forwards 0 and 2 name an address, 1 and 3 mean all; all take TCP port 80. */
static void stacked_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	world_tie(w);
	w->p.n_addresses = 1;
	w->addresses[0] = (struct nat_address_range){.first = BASE + 1, .last = BASE + 2, .shared = false};
	w->p.n_forwards = 4;
	for (uint32_t i = 0; i < 4; i++) {
		w->forwards[i].protocols = 1u << CLASS_TCP;
		w->forwards[i].address = i % 2 == 0 ? BASE + 1 : 0;
		w->forwards[i].ports = (struct nat_range){80, 80};
		w->forwards[i].to = 0x0a000001 + i;
		w->forwards[i].to_port = 80;
		w->from[i][0] = (struct nat_prefix){(1 + i) << 24, 8, 0};
		w->forwards[i].n_from = 1;
	}
}

static const struct {
	uint32_t address;
	uint32_t remote;
	int32_t want;
} stacked[] = {
	{BASE + 1, 0x01000000, 0},  {BASE + 1, 0x02ffffff, 1},	{BASE + 1, 0x03000001, 2},  {BASE + 1, 0x04000001, 3},
	{BASE + 1, 0x05000000, -2}, {BASE + 1, 0x00ffffff, -2}, {BASE + 2, 0x01000000, -2}, {BASE + 2, 0x02000000, 1},
	{BASE + 2, 0x04ffffff, 3},  {BASE + 3, 0x02000000, -1}, /* not natd's */
};

START_TEST(test_first_forward_in_file_order_that_allows_the_remote_wins)
{
	struct world w;
	struct rules *r;
	uint32_t to;
	uint16_t to_port;

	stacked_world(&w);
	r = compile(&w);
	ck_assert_int_eq(
		rules_forward_inbound(r, CLASS_TCP, stacked[_i].address, 80, stacked[_i].remote, &to, &to_port),
		stacked[_i].want);
	ck_assert_int_eq(
		rules_forward_inbound(r, CLASS_UDP, stacked[_i].address, 80, stacked[_i].remote, &to, &to_port), -1);
	ck_assert_int_eq(
		rules_forward_inbound(r, CLASS_TCP, stacked[_i].address, 81, stacked[_i].remote, &to, &to_port), -1);
	rules_destroy(r);
}
END_TEST

START_TEST(test_an_open_forward_ends_the_search)
{
	struct world w;
	struct rules *r;
	uint32_t to = 0;
	uint16_t to_port = 0;

	stacked_world(&w);
	w.forwards[1].n_from = 0;
	r = compile(&w);
	ck_assert_int_eq(rules_forward_inbound(r, CLASS_TCP, BASE + 1, 80, 0x03000001, &to, &to_port), 1);
	ck_assert_uint_eq(to, 0x0a000002);
	ck_assert_uint_eq(to_port, 80);
	rules_destroy(r);
}
END_TEST

START_TEST(test_empty_policy_owns_nothing)
{
	struct world w = {0};
	struct rules *r;
	uint32_t n = 7, to;
	uint16_t port;

	r = rules_create(&w.p);
	ck_assert_ptr_nonnull(r);
	ck_assert(!rules_is_inside(r, 0));
	ck_assert_int_eq(rules_address_find(r, 0), -1);
	ck_assert_uint_eq(rules_address_count(r), 0);
	ck_assert_uint_eq(rules_address_at(r, 0), 0);
	ck_assert(!rules_port_usable(r, CLASS_UDP, 0, 1024));
	ck_assert_int_eq(rules_forward_inbound(r, CLASS_TCP, 0, 80, 1, &to, &port), -1);
	ck_assert_int_eq(rules_forward_outbound(r, CLASS_TCP, 0, 80, &to, &port), -1);
	rules_port_ranges(r, 1, &n);
	ck_assert_uint_eq(n, 0);
	rules_destroy(r);
	rules_destroy(NULL);
}
END_TEST

START_TEST(test_tens_of_thousands_of_forwards)
{
	enum { MANY = 60000 };
	struct nat_forward *f = calloc(MANY, sizeof(*f));
	struct nat_address_range all = {.first = 0xc0000000, .last = 0xc000ffff, .shared = false};
	struct nat_policy p = {.addresses = &all, .n_addresses = 1, .forwards = f, .n_forwards = MANY};
	struct rules *r;
	uint32_t to, ext;
	uint16_t port;

	ck_assert_ptr_nonnull(f);
	for (uint32_t i = 0; i < MANY; i++) {
		f[i].protocols = 3;
		f[i].address = all.first + i % 6;
		f[i].ports.first = f[i].ports.last = (uint16_t)(1 + i / 6);
		f[i].to = 0x0a000000 + i;
		f[i].to_port = 443;
	}
	r = rules_create(&p);
	ck_assert_ptr_nonnull(r);
	for (int k = 0; k < 10000; k++) {
		uint32_t i = unit_below(MANY);

		ck_assert_int_eq(rules_forward_inbound(r, CLASS_UDP, f[i].address, f[i].ports.first, 1, &to, &port),
				 (int32_t)i);
		ck_assert_uint_eq(to, f[i].to);
		ck_assert_int_eq(rules_forward_outbound(r, CLASS_TCP, f[i].to, 443, &ext, &port), (int32_t)i);
		ck_assert_uint_eq(ext, f[i].address);
		ck_assert_uint_eq(port, f[i].ports.first);
	}
	rules_destroy(r);
	free(f);
}
END_TEST

START_TEST(test_span_index_keeps_the_order_given)
{
	static const struct span spans[] = {{5, 9, 30}, {0, 100, 20}, {7, 7, 10}, {101, UINT64_MAX - 1, 1}};
	struct span_index *x = span_index_create(spans, 4);
	const uint32_t *found;
	uint32_t n;

	ck_assert_ptr_nonnull(x);
	found = span_index_find(x, 7, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert(found[0] == 30 && found[1] == 20 && found[2] == 10);
	found = span_index_find(x, 101, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(found[0], 1);
	span_index_find(x, UINT64_MAX, &n);
	ck_assert_uint_eq(n, 0);
	span_index_destroy(x);
}
END_TEST

/* Every list and number that decides about a session counts, nothing else does. */
static void change(struct world *w, int what)
{
	switch (what) {
	case 0:
		w->inside[1].length++;
		break;
	case 1:
		w->exempt[0].address++;
		break;
	case 2:
		w->p.n_broadcast--;
		break;
	case 3:
		w->addresses[0].shared = !w->addresses[0].shared;
		break;
	case 4:
		w->shared_ports[0].last--;
		break;
	case 5:
		w->pool_ports[0].first++;
		break;
	case 6:
		w->p.other_protocols = OTHER_DROP;
		break;
	case 7:
		w->forwards[0].to++;
		break;
	case 8:
		w->forwards[0].protocols = 1 << CLASS_UDP;
		break;
	case 9:
		w->from[0][0].length--;
		break;
	case 10:
		w->forwards[0].ports.last--;
		break;
	case 11:
		w->p.n_forwards--;
		break;
	case 12:
		w->p.timeouts.udp++;
		w->p.limits.sessions_per_host = 7;
		strcpy(w->forwards[0].name, "another");
		break;
	default:
		break;
	}
}
enum { DECIDING_CHANGES = 12, CHANGES = 14 };

START_TEST(test_rules_that_allow_the_same)
{
	static struct world w;
	struct rules *before, *after;

	memset(&w, 0, sizeof(w));
	w.p.n_inside = w.p.n_exempt = w.p.n_broadcast = 2;
	w.inside[0] = w.inside[1] = w.exempt[0] = w.exempt[1] = (struct nat_prefix){.address = BASE, .length = 24};
	w.broadcast[0] = w.broadcast[1] = (struct nat_prefix){.address = BASE + 255, .length = 32};
	w.p.n_addresses = w.p.n_shared_ports = w.p.n_pool_ports = 1;
	w.addresses[0] = (struct nat_address_range){.first = 5, .last = 9};
	w.shared_ports[0] = w.pool_ports[0] = (struct nat_range){1024, 65535};
	w.p.other_protocols = OTHER_TRANSLATE;
	w.p.n_forwards = 1;
	w.forwards[0] = (struct nat_forward){.protocols = 1 << CLASS_TCP, .ports = {80, 89}, .to = BASE, .n_from = 1};
	w.from[0][0] = (struct nat_prefix){.address = 0, .length = 1};
	world_tie(&w);
	before = rules_create(&w.p);
	change(&w, _i);
	after = rules_create(&w.p);
	ck_assert(before && after);
	ck_assert(rules_allow_the_same(before, after) == (_i >= DECIDING_CHANGES));
	rules_destroy(before);
	rules_destroy(after);
}
END_TEST

static Suite *suite_rule(void)
{
	Suite *s = suite_create("rule");
	TCase *t = tcase_create("rule");

	tcase_add_test(t, test_compiled_policy_answers_as_the_linear_one);
	tcase_add_test(t, test_ordinals_count_up_without_gaps);
	tcase_add_test(t, test_most_specific_inside_prefix_gives_the_mtu);
	tcase_add_loop_test(t, test_first_forward_in_file_order_that_allows_the_remote_wins, 0,
			    sizeof(stacked) / sizeof(stacked[0]));
	tcase_add_test(t, test_an_open_forward_ends_the_search);
	tcase_add_test(t, test_empty_policy_owns_nothing);
	tcase_add_loop_test(t, test_rules_that_allow_the_same, 0, CHANGES);
	tcase_add_test(t, test_tens_of_thousands_of_forwards);
	tcase_add_test(t, test_span_index_keeps_the_order_given);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite_rule);
}
