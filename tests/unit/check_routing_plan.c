/* SPDX-License-Identifier: ISC */
/*
 * The plan of managed routing against a model of the kernel's rule look-up: what happens to a packet while the
 * plan is half in place, when it is there, and while it is taken away.
 */
#include <check.h>
#include <string.h>

#include "daemon/routing/routing_plan.h"
#include "unit.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

enum { MAIN = 254, LOCAL = 255, NATD = ROUTING_TABLE, REFUSED = 1, NOWHERE = 0 };
enum { SHARED = IP(203, 0, 113, 1), POOL = IP(203, 0, 113, 9), INSIDE = IP(10, 8, 0, 2), INSIDE_2 = IP(10, 9, 0, 2) };
enum { REMOTE = IP(198, 51, 100, 7), EXEMPT = IP(172, 16, 0, 5), GATEWAY = IP(10, 8, 0, 1) };

static const char *const inside_names[] = {"lan0", "lan1"};
static const struct nat_prefix inside[] = {{IP(10, 8, 0, 0), 24, 0}, {IP(10, 9, 0, 0), 24, 0}};
static const struct nat_prefix exempt[] = {{IP(172, 16, 0, 0), 12, 0}};
static const struct nat_prefix onlink[] = {{IP(203, 0, 113, 0), 24, 0}};
static const bool exempt_is_outside[] = {true};
static const struct nat_address_range addresses[] = {
	{SHARED, SHARED, true},
	{IP(203, 0, 113, 8), IP(203, 0, 113, 12), false},
};
static const struct nat_range ports[] = {{16384, 32767}, {61000, 65534}};
static const struct nat_forward forwards[] = {
	{.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 80}},
	{.name = "elsewhere", .protocols = 1 << CLASS_UDP, .address = POOL, .ports = {53, 53}},
};
static const struct nat_range host_tcp[] = {{20000, 20001}, {61000, 61000}, {65534, 65534}};

static struct nat_policy policy;
static struct routing_input input;
static struct routing_plan plan;

static void setup(void)
{
	policy = (struct nat_policy){.inside = inside,
				     .n_inside = 2,
				     .exempt = exempt,
				     .n_exempt = 1,
				     .addresses = addresses,
				     .n_addresses = 2,
				     .shared_ports = ports,
				     .n_shared_ports = 2,
				     .forwards = forwards,
				     .n_forwards = 2};
	input = (struct routing_input){.tun = "natd0",
				       .outside = "eth0",
				       .inside = inside_names,
				       .n_inside = 2,
				       .policy = &policy,
				       .exempt_is_outside = exempt_is_outside,
				       .onlink = onlink,
				       .n_onlink = 1,
				       .host_tcp = host_tcp,
				       .n_host_tcp = 3,
				       .outside_was_forwarding = true};
	memset(&plan, 0, sizeof(plan));
	ck_assert(routing_plan_make(&input, &plan));
}

static void teardown(void)
{
	routing_plan_fini(&plan);
}

/* ---- the model: objects [0, n) of the plan are in place; `skip` one more is not ---- */

struct probe {
	const char *iif;
	uint32_t src, dst;
	uint8_t proto;
	uint16_t dport; /* 0: a fragment */
};

static bool prefix_has(const struct nat_prefix *p, uint32_t a)
{
	return p->length == 0 || (a ^ p->address) >> (32 - p->length) == 0;
}

static bool rule_matches(const struct netlink_rule *r, const struct probe *p)
{
	if (r->iif[0] && strcmp(r->iif, p->iif) != 0)
		return false;
	if (r->ip_proto && r->ip_proto != p->proto)
		return false;
	if (r->dport.last && (p->dport < r->dport.first || p->dport > r->dport.last))
		return false;
	return prefix_has(&r->from, p->src) && prefix_has(&r->to, p->dst);
}

/* Does the table know the destination? The local one only the host's own addresses, the main one everything. */
static bool table_has(uint32_t table, uint32_t dst)
{
	return table != LOCAL || dst == SHARED || dst == GATEWAY;
}

static int rule_result(const struct netlink_rule *r, uint32_t dst)
{
	if (r->action != NETLINK_LOOKUP)
		return REFUSED;
	return table_has(r->table, dst) ? (int)r->table : NOWHERE;
}

/* What the kernel does with the packet: the table that decides, or REFUSED. `removed` are taken out of the n. */
static int look_up(const struct probe *p, uint32_t n, const bool *removed)
{
	bool local_moved = false;
	uint32_t pref, i;
	int result;

	for (i = 0; i < n; i++)
		local_moved |= plan.objects[i].kind == ROUTING_LOCAL_MOVE && !(removed && removed[i]);
	if (!local_moved && table_has(LOCAL, p->dst))
		return LOCAL;
	for (pref = ROUTING_PREF_FIRST; pref <= ROUTING_PREF_LAST; pref++) {
		for (i = 0; i < n; i++) {
			const struct routing_object *o = &plan.objects[i];

			if (o->kind != ROUTING_RULE || o->rule.priority != pref || (removed && removed[i]) ||
			    !rule_matches(&o->rule, p))
				continue;
			result = rule_result(&o->rule, p->dst);
			if (result != NOWHERE)
				return result;
		}
	}
	return MAIN;
}

/* ---- tests ---- */

static const struct {
	const char *name;
	struct probe probe;
	int expect;
} cases[] = {
	{"inside to the internet", {"lan0", INSIDE, REMOTE, 6, 443}, NATD},
	{"a fragment of it", {"lan0", INSIDE, REMOTE, 17, 0}, NATD},
	{"inside, GRE", {"lan0", INSIDE, REMOTE, 47, 0}, NATD},
	{"inside to inside", {"lan0", INSIDE, INSIDE_2, 6, 22}, MAIN},
	{"inside to an exempt destination", {"lan1", INSIDE_2, EXEMPT, 6, 22}, MAIN},
	{"inside to the gateway", {"lan0", INSIDE, GATEWAY, 17, 53}, LOCAL},
	{"answer to natd", {"eth0", REMOTE, SHARED, 6, 30000}, NATD},
	{"first and last of natd's ports", {"eth0", REMOTE, SHARED, 17, 16384}, NATD},
	{"the last before a host socket at 65534", {"eth0", REMOTE, SHARED, 6, 65533}, NATD},
	{"host socket at the last port", {"eth0", REMOTE, SHARED, 6, 65534}, LOCAL},
	{"that port is natd's for UDP", {"eth0", REMOTE, SHARED, 17, 65534}, NATD},
	{"65535 goes by way of natd", {"eth0", REMOTE, SHARED, 6, 65535}, NATD},
	{"host's port", {"eth0", REMOTE, SHARED, 6, 22}, LOCAL},
	{"host's ephemeral port", {"eth0", REMOTE, SHARED, 17, 40000}, LOCAL},
	{"host's socket in natd's range", {"eth0", REMOTE, SHARED, 6, 20001}, LOCAL},
	{"beside it", {"eth0", REMOTE, SHARED, 6, 20002}, NATD},
	{"host socket at the start of a range", {"eth0", REMOTE, SHARED, 6, 61000}, LOCAL},
	{"forward", {"eth0", REMOTE, SHARED, 6, 80}, NATD},
	{"forward of the other protocol", {"eth0", REMOTE, SHARED, 17, 80}, LOCAL},
	{"forward of another address", {"eth0", REMOTE, SHARED, 17, 53}, LOCAL},
	{"any fragment", {"eth0", REMOTE, SHARED, 17, 0}, NATD},
	{"ping of the host", {"eth0", REMOTE, SHARED, 1, 0}, LOCAL},
	{"GRE to the host", {"eth0", REMOTE, SHARED, 47, 0}, LOCAL},
	{"pool, any protocol", {"eth0", REMOTE, POOL, 47, 0}, NATD},
	{"pool, last address", {"eth0", REMOTE, IP(203, 0, 113, 12), 1, 0}, NATD},
	{"beyond the pool", {"eth0", REMOTE, IP(203, 0, 113, 13), 6, 30000}, MAIN},
	{"before the pool", {"eth0", REMOTE, IP(203, 0, 113, 7), 6, 30000}, MAIN},
	{"pool from the host itself", {"lo", SHARED, POOL, 6, 80}, NATD},
	{"pool from the TUN would loop", {"natd0", REMOTE, POOL, 6, 80}, REFUSED},
	{"hairpin", {"lan0", INSIDE, SHARED, 17, 30000}, NATD},
	{"hairpin to a forward", {"lan1", INSIDE_2, SHARED, 6, 80}, NATD},
	{"hairpin, fragment", {"lan0", INSIDE, SHARED, 17, 0}, NATD},
	{"hairpin to the pool", {"lan0", INSIDE, POOL, 6, 80}, NATD},
	{"inside to the host's port", {"lan0", INSIDE, SHARED, 6, 22}, LOCAL},
	{"C2-3 inside host plays the remote one", {"lan0", REMOTE, SHARED, 6, 30000}, REFUSED},
	{"C2-3 the same to the pool", {"lan0", REMOTE, POOL, 6, 80}, REFUSED},
	{"C2-3 the same in a fragment", {"lan0", REMOTE, SHARED, 17, 0}, REFUSED},
	{"C2-17 inside source from outside", {"eth0", INSIDE, SHARED, 6, 22}, REFUSED},
	{"C2-17 the same to natd's port", {"eth0", INSIDE_2, SHARED, 17, 30000}, REFUSED},
	{"C2-18 direct access", {"eth0", REMOTE, INSIDE, 6, 22}, REFUSED},
	{"C2-18 direct access to the gateway's inside address", {"eth0", REMOTE, GATEWAY, 6, 22}, REFUSED},
	{"answer of an exempt destination", {"eth0", EXEMPT, INSIDE, 6, 22}, MAIN},
	{"handed back to the host", {"natd0", REMOTE, SHARED, 17, 5000}, LOCAL},
	{"super-packet on its way out", {"natd0", SHARED, REMOTE, 6, 443}, MAIN},
	{"super-packet on its way in", {"natd0", REMOTE, INSIDE, 6, 443}, MAIN},
	{"another interface of the host", {"eth7", REMOTE, SHARED, 6, 30000}, LOCAL},
	{"host itself", {"lo", SHARED, REMOTE, 6, 443}, MAIN},
};

START_TEST(test_packet_goes_where_the_table_says)
{
	ck_assert_msg(look_up(&cases[_i].probe, plan.n_objects, NULL) == cases[_i].expect, "%s: %d instead of %d",
		      cases[_i].name, look_up(&cases[_i].probe, plan.n_objects, NULL), cases[_i].expect);
}
END_TEST

/* From the first refusing rule on, at every step of putting it in place. */
START_TEST(test_inside_never_leaves_untranslated_while_it_is_put_in_place)
{
	const struct probe p = {"lan1", INSIDE_2, REMOTE, 6, 443};
	bool closed = false;
	uint32_t n;

	for (n = 0; n <= plan.n_objects; n++) {
		closed |= look_up(&p, n, NULL) == REFUSED;
		if (closed)
			ck_assert_int_ne(look_up(&p, n, NULL), MAIN);
	}
	ck_assert(closed);
	ck_assert_int_eq(look_up(&p, plan.n_objects, NULL), NATD);
	ck_assert_int_eq(plan.objects[plan.n_objects - 1].kind, ROUTING_SYSCTL); /* forwarding comes last */
}
END_TEST

/* An order that removes by preference, the last resort at the end, is closed until nothing is left. */
START_TEST(test_inside_never_leaves_untranslated_while_it_is_taken_away)
{
	static const uint32_t order[] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
	const struct probe p = {"lan0", INSIDE, REMOTE, 6, 443};
	bool *removed = calloc(plan.n_objects, sizeof(*removed));
	uint32_t i, k;

	ck_assert_ptr_nonnull(removed);
	for (i = 0; i < plan.n_objects; i++)
		removed[i] = plan.objects[i].kind == ROUTING_LOCAL_MOVE;
	for (k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
		for (i = 0; i < plan.n_objects; i++) {
			removed[i] |= plan.objects[i].kind == ROUTING_RULE && plan.objects[i].rule.priority == order[k];
			ck_assert_int_ne(look_up(&p, plan.n_objects, removed), MAIN);
		}
	}
	free(removed);
}
END_TEST

START_TEST(test_host_reaches_itself_at_every_step)
{
	const struct probe p = {"lo", REMOTE, SHARED, 6, 22};
	uint32_t n;

	for (n = 0; n <= plan.n_objects; n++)
		ck_assert_int_eq(look_up(&p, n, NULL), LOCAL);
}
END_TEST

START_TEST(test_outside_is_closed_where_the_host_did_not_forward)
{
	const struct probe transit = {"eth0", REMOTE, IP(192, 0, 2, 1), 6, 80};
	const struct probe own = {"eth0", REMOTE, SHARED, 6, 22};

	ck_assert_int_eq(look_up(&transit, plan.n_objects, NULL), MAIN);
	input.outside_was_forwarding = false;
	ck_assert(routing_plan_make(&input, &plan));
	ck_assert_int_eq(look_up(&transit, plan.n_objects, NULL), REFUSED);
	ck_assert_int_eq(look_up(&own, plan.n_objects, NULL), LOCAL);
}
END_TEST

START_TEST(test_6888_6_answers_of_exempt_pass_only_where_the_way_is_outside)
{
	const struct probe p = {"eth0", EXEMPT, INSIDE, 6, 22};
	const struct probe spoofed = {"eth0", INSIDE_2, INSIDE, 6, 22};

	ck_assert_int_eq(look_up(&spoofed, plan.n_objects, NULL), REFUSED);
	input.exempt_is_outside = NULL;
	ck_assert(routing_plan_make(&input, &plan));
	ck_assert_int_eq(look_up(&p, plan.n_objects, NULL), REFUSED);
}
END_TEST

START_TEST(test_without_inside_interfaces_there_is_nothing_to_translate)
{
	const struct probe p = {"lan0", INSIDE, REMOTE, 6, 443};

	input.n_inside = 0;
	ck_assert(routing_plan_make(&input, &plan));
	ck_assert_int_eq(look_up(&p, plan.n_objects, NULL), MAIN);
}
END_TEST

/* Each test runs in a process of its own, which starts from the same seed: draw on to get another case. */
static void draw_on(int cases_before)
{
	int i;

	for (i = 0; i < cases_before * 101; i++)
		(void)unit_random();
}

/* Random ranges, sockets and forwards: each port is either named by one range or natd's. The oracle is a bitmap. */
START_TEST(test_host_ranges_are_the_complement)
{
	struct nat_range shared[4], host[8], out[64];
	struct nat_forward fw[6] = {0};
	static bool is_natds[65536];
	uint32_t n_shared = 0, n_host = 0, next = 1, i, n, port;
	uint32_t named = 0;

	draw_on(_i);
	memset(is_natds, 0, sizeof(is_natds));
	while (n_shared < 4 && next < 65000) {
		shared[n_shared].first = (uint16_t)(next + unit_below(9000));
		if (shared[n_shared].first < next)
			break;
		next = shared[n_shared].first + unit_below(9000);
		shared[n_shared++].last = (uint16_t)(next > 65535 ? 65535 : next);
		next += 2;
	}
	for (i = 0; i < n_shared; i++)
		memset(is_natds + shared[i].first, 1, shared[i].last - shared[i].first + 1u);
	for (next = 1; n_host < 8 && next < 60000; n_host++) {
		host[n_host].first = (uint16_t)(next + unit_below(5000));
		host[n_host].last = (uint16_t)(host[n_host].first + unit_below(3) * unit_below(500));
		next = host[n_host].last + 2u;
		memset(is_natds + host[n_host].first, 0, host[n_host].last - host[n_host].first + 1u);
	}
	for (i = 0; i < 6; i++) {
		fw[i].protocols = i % 2 ? 1 << CLASS_TCP : 1 << CLASS_TCP | 1 << CLASS_UDP;
		fw[i].address = i == 3 ? SHARED + 1 : i == 4 ? SHARED : 0;
		fw[i].ports.first = (uint16_t)(1 + unit_below(65500));
		fw[i].ports.last = (uint16_t)(fw[i].ports.first + unit_below(30));
		if (i != 3)
			memset(is_natds + fw[i].ports.first, 1, fw[i].ports.last - fw[i].ports.first + 1u);
	}
	policy.shared_ports = shared;
	policy.n_shared_ports = n_shared;
	policy.forwards = fw;
	policy.n_forwards = 6;
	input.host_tcp = host;
	input.n_host_tcp = n_host;
	n = (uint32_t)routing_plan_host_ranges(&input, CLASS_TCP, SHARED, out, n_shared + n_host + 6 + 1);
	ck_assert_uint_le(n, n_shared + n_host + 6 + 1);
	for (i = 0; i < n; i++) {
		ck_assert_uint_ge(out[i].first, 1);
		ck_assert_uint_le(out[i].last, 65534);
		ck_assert_uint_le(out[i].first, out[i].last);
		ck_assert(i == 0 || out[i].first > out[i - 1].last + 1);
		for (port = out[i].first; port <= out[i].last; port++, named++)
			ck_assert_msg(!is_natds[port], "port %u is natd's", port);
	}
	for (port = 1; port <= 65534; port++)
		named += is_natds[port];
	ck_assert_uint_eq(named, 65534);
}
END_TEST

/* Every address of a random pool is covered by exactly one prefix in "from outside", and no other address. */
START_TEST(test_pool_prefixes_cover_the_range_exactly)
{
	struct nat_address_range pool = {.shared = false};
	uint32_t a, i;

	draw_on(_i);
	pool.first = (_i == 0 ? 0 : (uint32_t)unit_random() & 0xffffff00u) + unit_below(200);
	pool.last = _i == 1 ? UINT32_MAX : pool.first + unit_below(300);
	if (_i == 1)
		pool.first = UINT32_MAX - unit_below(300);
	policy.addresses = &pool;
	policy.n_addresses = 1;
	ck_assert(routing_plan_make(&input, &plan));
	for (a = pool.first - 3; a != pool.last + 4; a++) {
		bool expected = a - pool.first <= pool.last - pool.first;
		uint32_t covered = 0;

		for (i = 0; i < plan.n_objects; i++) {
			const struct netlink_rule *r = &plan.objects[i].rule;

			covered += plan.objects[i].kind == ROUTING_RULE && r->priority == 5 &&
				   strcmp(r->iif, "eth0") == 0 && prefix_has(&r->to, a);
		}
		ck_assert_uint_eq(covered, expected);
	}
}
END_TEST

START_TEST(test_proxies_are_the_pool_addresses_on_the_link)
{
	uint32_t i, n = 0;

	for (i = 0; i < plan.n_objects; i++) {
		if (plan.objects[i].kind == ROUTING_PROXY)
			ck_assert_uint_eq(plan.objects[i].proxy, IP(203, 0, 113, 8) + n++);
	}
	ck_assert_uint_eq(n, 5);
	input.n_onlink = 0;
	ck_assert(routing_plan_make(&input, &plan));
	for (i = 0; i < plan.n_objects; i++)
		ck_assert_int_ne(plan.objects[i].kind, ROUTING_PROXY);
}
END_TEST

static int32_t planned_value(const char *name)
{
	uint32_t i;

	for (i = 0; i < plan.n_objects; i++) {
		if (plan.objects[i].kind == ROUTING_SYSCTL && strcmp(plan.objects[i].sysctl.name, name) == 0)
			return plan.objects[i].sysctl.value;
	}
	return -1;
}

START_TEST(test_settings)
{
	uint32_t i;

	ck_assert_int_eq(planned_value("net/ipv4/conf/natd0/rp_filter"), 0);
	ck_assert_int_eq(planned_value("net/ipv4/conf/natd0/accept_local"), 1);
	ck_assert_int_eq(planned_value("net/ipv4/conf/natd0/forwarding"), 1);
	ck_assert_int_eq(planned_value("net/ipv4/conf/eth0/forwarding"), 1);
	ck_assert_int_eq(planned_value("net/ipv4/conf/lan1/forwarding"), 1);
	ck_assert_int_eq(planned_value("net/ipv6/conf/natd0/disable_ipv6"), 1);
	for (i = 0; i < plan.n_objects; i++) {
		if (plan.objects[i].kind == ROUTING_SYSCTL)
			ck_assert_msg(sysctl_is_ours(plan.objects[i].sysctl.name), "%s", plan.objects[i].sysctl.name);
	}
	input.all_rp_filter = 1;
	ck_assert(routing_plan_make(&input, &plan));
	ck_assert_int_eq(planned_value("net/ipv4/conf/natd0/rp_filter"), 2);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("routing_plan");
	TCase *t = tcase_create("plan");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_packet_goes_where_the_table_says, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_test(t, test_inside_never_leaves_untranslated_while_it_is_put_in_place);
	tcase_add_test(t, test_inside_never_leaves_untranslated_while_it_is_taken_away);
	tcase_add_test(t, test_host_reaches_itself_at_every_step);
	tcase_add_test(t, test_outside_is_closed_where_the_host_did_not_forward);
	tcase_add_test(t, test_6888_6_answers_of_exempt_pass_only_where_the_way_is_outside);
	tcase_add_test(t, test_without_inside_interfaces_there_is_nothing_to_translate);
	tcase_add_loop_test(t, test_host_ranges_are_the_complement, 0, 50);
	tcase_add_loop_test(t, test_pool_prefixes_cover_the_range_exactly, 0, 20);
	tcase_add_test(t, test_proxies_are_the_pool_addresses_on_the_link);
	tcase_add_test(t, test_settings);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
