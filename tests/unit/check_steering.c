/* SPDX-License-Identifier: ISC */
/* The steering table: who owns a port, which gaps the rules leave to the host, what becomes of one packet. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/steering/steering.h"
#include "unit.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

enum {
	SHARED = IP(203, 0, 113, 1),
	POOL = IP(203, 0, 113, 9),
	REMOTE = IP(198, 51, 100, 7),
	GATEWAY = IP(10, 8, 0, 1)
};
enum { HOST_A = IP(10, 8, 0, 2), GUEST = IP(10, 9, 0, 2), ROUTED = IP(10, 77, 0, 2), EXEMPT = IP(172, 16, 0, 5) };

static const struct steering_interface inside[] = {{"lan0", 3, false}, {"guest0", 4, false}};
static const struct nat_prefix prefixes[] = {
	{IP(10, 8, 0, 0), 24, 0}, {IP(10, 9, 0, 0), 24, 0}, {IP(10, 77, 0, 0), 16, 0}};
static const int prefix_out[] = {3, 4, 0};
static const struct nat_prefix exempt[] = {{IP(172, 16, 0, 0), 12, 0}};
static const bool exempt_is_outside[] = {true};
static const struct nat_address_range addresses[] = {{.first = SHARED, .last = SHARED, .shared = true},
						     {.first = IP(203, 0, 113, 8), .last = IP(203, 0, 113, 12)}};
static const struct nat_range dynamic[] = {{16384, 32767}, {61000, 65534}};
static const struct nat_forward forwards[] = {
	{.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 80}},
	{.name = "tls", .protocols = 1 << CLASS_TCP, .ports = {443, 443}},
	{.name = "pool", .protocols = 1 << CLASS_UDP, .address = POOL, .ports = {53, 53}},
};

static struct nat_policy policy;
static struct steering_input input;
static struct steering *s;
static struct steering_ports host_tcp;

static void setup(void)
{
	memset(&host_tcp, 0, sizeof(host_tcp));
	host_tcp.bits[0] = UINT64_C(1) << 22;
	policy = (struct nat_policy){.inside = prefixes,
				     .n_inside = 3,
				     .exempt = exempt,
				     .n_exempt = 1,
				     .addresses = addresses,
				     .n_addresses = 2,
				     .shared_ports = dynamic,
				     .n_shared_ports = 2,
				     .forwards = forwards,
				     .n_forwards = 3};
	input = (struct steering_input){.tun = "natd0",
					.outside = "eth0",
					.outside_index = 2,
					.inside = inside,
					.n_inside = 2,
					.policy = &policy,
					.prefix_out = prefix_out,
					.exempt_is_outside = exempt_is_outside,
					.host_tcp = &host_tcp,
					.ephemeral = {32768, 60999}};
	s = steering_create(&input);
	ck_assert_ptr_nonnull(s);
}

static void teardown(void)
{
	steering_destroy(s);
}

static const struct {
	enum nat_class c;
	uint32_t address;
	uint16_t port;
	enum steering_owner owner;
} owners[] = {
	{CLASS_TCP, SHARED, 80, STEERING_OWNER_FORWARD},    {CLASS_UDP, SHARED, 80, STEERING_OWNER_HOST},
	{CLASS_TCP, SHARED, 16383, STEERING_OWNER_HOST},    {CLASS_TCP, SHARED, 16384, STEERING_OWNER_DYNAMIC},
	{CLASS_UDP, SHARED, 32767, STEERING_OWNER_DYNAMIC}, {CLASS_UDP, SHARED, 32768, STEERING_OWNER_HOST},
	{CLASS_UDP, SHARED, 53, STEERING_OWNER_HOST},	    {CLASS_UDP, POOL, 53, STEERING_OWNER_FORWARD},
	{CLASS_TCP, POOL, 53, STEERING_OWNER_POOL},	    {CLASS_TCP, REMOTE, 80, STEERING_OWNER_NOBODY},
};

START_TEST(test_owner_of_a_port)
{
	ck_assert_int_eq(steering_owner(s, owners[_i].c, owners[_i].address, owners[_i].port), owners[_i].owner);
}
END_TEST

START_TEST(test_owned_ports_agree_with_the_owner)
{
	struct steering_ports owned;

	steering_owned(s, CLASS_TCP, SHARED, &owned);
	for (uint32_t port = 0; port < 65536; port++)
		ck_assert_int_eq(steering_port_is_set(&owned, (uint16_t)port),
				 steering_owner(s, CLASS_TCP, SHARED, (uint16_t)port) != STEERING_OWNER_HOST);
}
END_TEST

/* The host's own connections first, then the gap with its server, though it is the smallest. */
START_TEST(test_gaps_that_the_host_uses_come_first)
{
	struct steering_gap gaps[4];

	ck_assert_int_eq(steering_gaps(s, SHARED, gaps, 2), 2);
	ck_assert(gaps[0].classes == (1 << CLASS_TCP | 1 << CLASS_UDP) && gaps[0].ports.first == 1 &&
		  gaps[0].ports.last == 79);
	ck_assert(gaps[1].classes == (1 << CLASS_TCP | 1 << CLASS_UDP) && gaps[1].ports.first == 32768 &&
		  gaps[1].ports.last == 60999);
}
END_TEST

START_TEST(test_gaps_never_hold_a_port_of_natd)
{
	struct nat_forward many[200];
	struct steering_gap gaps[8];
	uint32_t n;

	memset(many, 0, sizeof(many));
	for (uint32_t i = 0; i < 200; i++) {
		many[i].protocols = 1 << CLASS_TCP | 1 << CLASS_UDP;
		many[i].ports.first = many[i].ports.last = (uint16_t)(1 + unit_below(65535));
	}
	policy.forwards = many;
	policy.n_forwards = 200;
	steering_destroy(s);
	s = steering_create(&input);
	n = (uint32_t)steering_gaps(s, SHARED, gaps, 8);
	ck_assert_uint_eq(n, 8);
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t port = gaps[i].ports.first; port <= gaps[i].ports.last; port++)
			for (int c = CLASS_TCP; c <= CLASS_UDP; c++)
				ck_assert(!(gaps[i].classes & 1 << c) ||
					  steering_owner(s, (enum nat_class)c, SHARED, (uint16_t)port) ==
						  STEERING_OWNER_HOST);
	}
}
END_TEST

START_TEST(test_prefixes_are_tied_to_their_interface)
{
	ck_assert_uint_eq(s->n_pairs, 4); /* one each, and the routed one with both */
	ck_assert(steering_source_fits(s, 0, HOST_A));
	ck_assert(!steering_source_fits(s, 1, HOST_A));
	ck_assert(steering_source_fits(s, 1, GUEST));
	ck_assert(steering_source_fits(s, 0, ROUTED) && steering_source_fits(s, 1, ROUTED));
	ck_assert(!steering_source_fits(s, 0, REMOTE));
}
END_TEST

START_TEST(test_prefixes_without_interfaces_fit_anywhere)
{
	input.n_inside = 0;
	steering_destroy(s);
	s = steering_create(&input);
	ck_assert_uint_eq(s->n_pairs, 3);
	ck_assert(steering_source_fits(s, 0, HOST_A));
}
END_TEST

START_TEST(test_shared_addresses_are_counted)
{
	ck_assert_uint_eq(steering_shared(s, 0), SHARED);
	ck_assert_uint_eq(steering_shared(s, 1), 0);
}
END_TEST

static const struct {
	const char *name;
	struct steering_packet p;
	bool own;
	enum steering_verdict verdict;
	enum steering_reason reason;
} cases[] = {
	{"answer",
	 {STEERING_FROM_OUTSIDE, 0, REMOTE, SHARED, 6, 20000, false},
	 true,
	 STEERING_TO_NATD,
	 STEERING_BY_DYNAMIC_PORT},
	{"forward",
	 {STEERING_FROM_OUTSIDE, 0, REMOTE, SHARED, 6, 80, false},
	 true,
	 STEERING_TO_NATD,
	 STEERING_BY_FORWARD},
	{"host's",
	 {STEERING_FROM_OUTSIDE, 0, REMOTE, SHARED, 6, 22, false},
	 true,
	 STEERING_TO_HOST,
	 STEERING_BY_HOST_PORT},
	{"fragment",
	 {STEERING_FROM_OUTSIDE, 0, REMOTE, SHARED, 17, 0, true},
	 true,
	 STEERING_TO_NATD,
	 STEERING_BY_FRAGMENT},
	{"GRE", {STEERING_FROM_OUTSIDE, 0, REMOTE, SHARED, 47, 0, false}, true, STEERING_TO_NATD, STEERING_BY_PROTOCOL},
	{"ping",
	 {STEERING_FROM_OUTSIDE, 0, REMOTE, SHARED, 1, 0, false},
	 true,
	 STEERING_TO_HOST,
	 STEERING_BY_HOST_ICMP},
	{"pool", {STEERING_FROM_OUTSIDE, 0, REMOTE, POOL, 1, 0, false}, false, STEERING_TO_NATD, STEERING_BY_POOL},
	{"spoofed",
	 {STEERING_FROM_OUTSIDE, 0, HOST_A, SHARED, 6, 22, false},
	 true,
	 STEERING_REFUSED,
	 STEERING_BY_SPOOFED},
	{"direct",
	 {STEERING_FROM_OUTSIDE, 0, REMOTE, HOST_A, 6, 22, false},
	 false,
	 STEERING_REFUSED,
	 STEERING_BY_DIRECT},
	{"exempt answer",
	 {STEERING_FROM_OUTSIDE, 0, EXEMPT, HOST_A, 6, 22, false},
	 false,
	 STEERING_TO_ROUTES,
	 STEERING_BY_EXEMPT},
	{"out", {STEERING_FROM_INSIDE, 0, HOST_A, REMOTE, 6, 443, false}, false, STEERING_TO_NATD, STEERING_BY_INSIDE},
	{"hairpin",
	 {STEERING_FROM_INSIDE, 0, HOST_A, SHARED, 6, 80, false},
	 true,
	 STEERING_TO_NATD,
	 STEERING_BY_FORWARD},
	{"to the gateway",
	 {STEERING_FROM_INSIDE, 0, HOST_A, GATEWAY, 17, 53, false},
	 true,
	 STEERING_TO_HOST,
	 STEERING_BY_NOT_OURS},
	{"to exempt",
	 {STEERING_FROM_INSIDE, 0, HOST_A, EXEMPT, 6, 22, false},
	 false,
	 STEERING_TO_ROUTES,
	 STEERING_BY_EXEMPT},
	{"to inside",
	 {STEERING_FROM_INSIDE, 0, HOST_A, GUEST, 6, 22, false},
	 false,
	 STEERING_TO_ROUTES,
	 STEERING_BY_INSIDE_TO_INSIDE},
	{"26 guest plays another",
	 {STEERING_FROM_INSIDE, 1, HOST_A, REMOTE, 6, 22, false},
	 false,
	 STEERING_REFUSED,
	 STEERING_BY_SOURCE},
	{"impostor",
	 {STEERING_FROM_INSIDE, 0, REMOTE, POOL, 6, 80, false},
	 false,
	 STEERING_REFUSED,
	 STEERING_BY_SOURCE},
	{"host to the pool",
	 {STEERING_FROM_HOST, 0, SHARED, POOL, 6, 80, false},
	 false,
	 STEERING_TO_NATD,
	 STEERING_BY_POOL},
	{"handed back",
	 {STEERING_FROM_TUN, 0, REMOTE, SHARED, 6, 20000, false},
	 true,
	 STEERING_TO_HOST,
	 STEERING_BY_NOT_OURS},
};

START_TEST(test_verdict_on_one_packet)
{
	enum steering_reason reason;
	enum steering_verdict verdict = steering_judge(s, &cases[_i].p, cases[_i].own, &reason);

	ck_assert_msg(verdict == cases[_i].verdict && reason == cases[_i].reason, "%s: %d, %s", cases[_i].name, verdict,
		      steering_reason_text(reason));
}
END_TEST

/* ---- what natd and the host's own connections leave each other ---- */

static uint32_t spare(struct nat_range *ports, uint32_t n, uint16_t first, uint16_t last)
{
	return steering_spare(ports, n, &(struct nat_range){first, last});
}

START_TEST(test_natd_gives_up_what_the_host_needs)
{
	struct nat_range apart[3] = {{16384, 32767}, {61000, 65534}}, all[3] = {{40000, 40999}};
	struct nat_range many[5] = {{1000, 1999}, {3000, 3999}, {5000, 9000}}, wide[2] = {{1, 65534}};

	ck_assert_uint_eq(spare(apart, 2, 32768, 60999), 2);
	ck_assert(apart[0].last == 32767 && apart[1].first == 61000);
	ck_assert_uint_eq(spare(all, 1, 40000, 40999), 1); /* a quarter */
	ck_assert(all[0].first == 40000 && all[0].last == 40749);
	ck_assert_uint_eq(spare(all, 1, 40000, 40999), 1);
	ck_assert(all[0].last == 40749);
	ck_assert_uint_eq(spare(many, 3, 3000, 5099),
			  3); /* 1,000 between them are free, which is more than a quarter */
	ck_assert(many[2].first == 5000);
	ck_assert_uint_eq(spare(many, 3, 3500, 5399), 3); /* as are 1,000 here */
	ck_assert_uint_eq(spare(many, 3, 3000, 4009), 3); /* 10 of 1,010 are free, and 252 are a quarter */
	ck_assert(many[1].first == 3000 && many[1].last == 3757 && many[2].first == 5000);
	ck_assert_uint_eq(spare(many, 3, 3000, 3757), 3);
	ck_assert(many[1].last == 3757 - 189);
	ck_assert_uint_eq(spare(wide, 1, 32768, 60999), 2); /* on both sides of the host's */
	ck_assert(wide[0].last == 60999 - 1024 && wide[1].first == 61000 && wide[1].last == 65534);
}
END_TEST

static bool reserves(const struct steering_ports *p, uint16_t first, uint16_t last)
{
	for (uint32_t port = first; port <= last; port++) {
		if (!steering_port_is_set(p, (uint16_t)port))
			return false;
	}
	return true;
}

START_TEST(test_the_kernel_chooses_no_port_of_natd)
{
	const struct nat_forward more[] = {
		{.name = "a", .protocols = 1 << CLASS_UDP, .ports = {50000, 50999}},
		{.name = "b", .protocols = 1 << CLASS_TCP, .address = POOL, .ports = {52000, 52999}},
		{.name = "c", .protocols = 1 << CLASS_TCP, .ports = {33000, 60500}},
	};
	struct steering_ports p;
	struct nat_range runs[4];

	input.ephemeral = (struct nat_range){32000, 60999};
	policy.forwards = more;
	policy.n_forwards = 2;
	steering_destroy(s);
	s = steering_create(&input);
	steering_reserved(s, &p);
	ck_assert_uint_eq(steering_ports_runs(&p, runs, 4), 2);
	ck_assert(runs[0].first == 32000 && runs[0].last == 32767); /* within those of the host */
	ck_assert(runs[1].first == 50000 && runs[1].last == 50999);
	policy.n_forwards = 3; /* which would leave the host too few */
	steering_destroy(s);
	s = steering_create(&input);
	steering_reserved(s, &p);
	ck_assert(reserves(&p, 32000, 32767) && reserves(&p, 50000, 50999));
	ck_assert(!steering_port_is_set(&p, 33000));
	input.ephemeral = (struct nat_range){17000, 32000}; /* natd has all of them */
	steering_destroy(s);
	s = steering_create(&input);
	steering_reserved(s, &p);
	ck_assert_uint_eq(steering_ports_runs(&p, NULL, 0), 0);
}
END_TEST

START_TEST(test_many_forwards_are_reserved_in_few_runs)
{
	struct nat_forward *odd = calloc(4000, sizeof(*odd));
	struct steering_ports p;

	ck_assert_ptr_nonnull(odd);
	for (uint32_t i = 0; i < 4000; i++)
		odd[i] = (struct nat_forward){.protocols = 1 << CLASS_UDP,
					      .ports = {(uint16_t)(40001 + 2 * i), (uint16_t)(40001 + 2 * i)}};
	policy.forwards = odd;
	policy.n_forwards = 4000;
	input.ephemeral = (struct nat_range){33000, 60999};
	steering_destroy(s);
	s = steering_create(&input);
	steering_reserved(s, &p);
	ck_assert_uint_eq(steering_ports_runs(&p, NULL, 0), 1);
	ck_assert(reserves(&p, 40001, 47999) && !steering_port_is_set(&p, 40000) && !steering_port_is_set(&p, 48000));
	free(odd);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *suite = suite_create("steering");
	TCase *t = tcase_create("steering");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_owner_of_a_port, 0, (int)(sizeof(owners) / sizeof(owners[0])));
	tcase_add_test(t, test_owned_ports_agree_with_the_owner);
	tcase_add_test(t, test_gaps_that_the_host_uses_come_first);
	tcase_add_test(t, test_gaps_never_hold_a_port_of_natd);
	tcase_add_test(t, test_prefixes_are_tied_to_their_interface);
	tcase_add_test(t, test_prefixes_without_interfaces_fit_anywhere);
	tcase_add_test(t, test_shared_addresses_are_counted);
	tcase_add_loop_test(t, test_verdict_on_one_packet, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_test(t, test_natd_gives_up_what_the_host_needs);
	tcase_add_test(t, test_the_kernel_chooses_no_port_of_natd);
	tcase_add_test(t, test_many_forwards_are_reserved_in_few_runs);
	suite_add_tcase(suite, t);
	return suite;
}

int main(void)
{
	return unit_main(make_suite);
}
