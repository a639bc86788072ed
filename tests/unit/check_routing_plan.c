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

static const struct nat_prefix inside[] = {{IP(10, 8, 0, 0), 24, 0}, {IP(10, 9, 0, 0), 24, 0}};
static const struct nat_prefix exempt[] = {{IP(172, 16, 0, 0), 12, 0}};
static const struct nat_prefix onlink[] = {{IP(203, 0, 113, 0), 24, 0}};
static const bool exempt_is_outside[] = {true};
static const struct nat_address_range addresses[] = {
	{.first = SHARED, .last = SHARED, .shared = true},
	{.first = IP(203, 0, 113, 8), .last = IP(203, 0, 113, 12)},
};
static const struct nat_range ports[] = {{16384, 32767}, {61000, 65534}};
static const struct nat_forward forwards[] = {
	{.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 80}},
	{.name = "elsewhere", .protocols = 1 << CLASS_UDP, .address = POOL, .ports = {53, 53}},
};
static const struct steering_interface interfaces[] = {{"lan0", 3, false}, {"lan1", 4, false}};
static const int prefix_out[] = {3, 4};

static struct nat_policy policy;
static struct steering_input table;
static struct steering *steering;
static struct routing_input input;
static struct routing_plan plan;

/* The plan for `policy`, `table` and `input` as they are now. */
static void make(void)
{
	steering_destroy(steering);
	steering = steering_create(&table);
	ck_assert_ptr_nonnull(steering);
	input.steering = steering;
	ck_assert(routing_plan_make(&input, &plan));
}

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
	table = (struct steering_input){.tun = "natd0",
					.outside = "eth0",
					.outside_index = 2,
					.inside = interfaces,
					.n_inside = 2,
					.policy = &policy,
					.prefix_out = prefix_out,
					.exempt_is_outside = exempt_is_outside,
					.ephemeral = {32768, 60999}};
	input = (struct routing_input){.place = {.slot = 0, .table = ROUTING_TABLE, .protocol = NETLINK_PROTOCOL},
				       .onlink = onlink,
				       .n_onlink = 1,
				       .outside_was_forwarding = true};
	memset(&plan, 0, sizeof(plan));
	make();
}

static void teardown(void)
{
	routing_plan_fini(&plan);
	steering_destroy(steering);
	steering = NULL;
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
	if (r->mark) /* natd's own packets are not modelled */
		return false;
	if (r->iif[0] && strcmp(r->iif, p->iif) != 0)
		return false;
	if (r->ip_proto && r->ip_proto != p->proto)
		return false;
	if (r->dport.last && (p->dport < r->dport.first || p->dport > r->dport.last))
		return false;
	return prefix_has(&r->from, p->src) && prefix_has(&r->to, p->dst);
}

/* The result of a table: NOWHERE, REFUSED, or the table; any of natd's own that leads to the TUN is NATD. Objects [0,
 * n). */
static int ask_table(uint32_t number, uint32_t dst, uint32_t n)
{
	int result = NOWHERE;
	uint8_t longest = 0;

	if (number == LOCAL)
		return dst == SHARED || dst == GATEWAY ? LOCAL : NOWHERE;
	if (number == MAIN)
		return MAIN;
	for (uint32_t i = 0; i < n; i++) {
		const struct routing_object *o = &plan.objects[i];

		if (o->kind != ROUTING_ROUTE || o->route.table != number || !prefix_has(&o->route.to, dst))
			continue;
		if (o->route.to.length < longest || (o->route.to.length == longest && o->route.closed && result))
			continue;
		longest = o->route.to.length;
		result = o->route.closed ? REFUSED : NATD;
	}
	return result;
}

/* The kernel's decision about the packet: the table that decides, or REFUSED. `removed` are taken out of the n. */
static int look_up(const struct probe *p, uint32_t n, const bool *removed)
{
	bool local_moved = false;
	uint32_t pref, i;
	int result;

	for (i = 0; i < n; i++)
		local_moved |= plan.objects[i].kind == ROUTING_LOCAL_MOVE && !(removed && removed[i]);
	if (!local_moved && ask_table(LOCAL, p->dst, n) == LOCAL)
		return LOCAL;
	for (pref = ROUTING_PREF_FIRST; pref <= ROUTING_PREF_LAST; pref++) {
		if (pref == ROUTING_PREF_LOCAL && local_moved && ask_table(LOCAL, p->dst, n) == LOCAL)
			return LOCAL;
		for (i = 0; i < n; i++) {
			const struct routing_object *o = &plan.objects[i];

			if (o->kind != ROUTING_RULE || o->rule.priority != pref || (removed && removed[i]) ||
			    !rule_matches(&o->rule, p))
				continue;
			result = o->rule.action == NETLINK_LOOKUP ? ask_table(o->rule.table, p->dst, n) : REFUSED;
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
	{"65535 goes by way of natd", {"eth0", REMOTE, SHARED, 6, 65535}, NATD},
	{"host's port", {"eth0", REMOTE, SHARED, 6, 22}, LOCAL},
	{"host's ephemeral port", {"eth0", REMOTE, SHARED, 17, 40000}, LOCAL},
	{"host's socket in natd's range", {"eth0", REMOTE, SHARED, 6, 20001}, NATD},
	{"forward", {"eth0", REMOTE, SHARED, 6, 80}, NATD},
	{"forward of the other protocol", {"eth0", REMOTE, SHARED, 17, 80}, LOCAL},
	{"forward of another address", {"eth0", REMOTE, SHARED, 17, 53}, LOCAL},
	{"any fragment", {"eth0", REMOTE, SHARED, 17, 0}, NATD},
	{"the last of natd's ports", {"eth0", REMOTE, SHARED, 6, 65534}, NATD},
	{"ESP", {"eth0", REMOTE, SHARED, 50, 0}, NATD},
	{"SCTP with what is like a host's port", {"eth0", REMOTE, SHARED, 132, 22}, NATD},
	{"IPIP stays the host's", {"eth0", REMOTE, SHARED, 4, 0}, LOCAL},
	{"the look-up before an answer by ARP", {"eth0", REMOTE, SHARED, 0, 0}, LOCAL},
	{"26 a source of another inside interface", {"lan1", INSIDE, REMOTE, 6, 443}, REFUSED},
	{"26 the same by hairpin", {"lan1", INSIDE, SHARED, 6, 30000}, LOCAL},
	{"ping of the host", {"eth0", REMOTE, SHARED, 1, 0}, LOCAL},
	{"GRE to the host", {"eth0", REMOTE, SHARED, 47, 0}, NATD},
	{"pool, any protocol", {"eth0", REMOTE, POOL, 47, 0}, NATD},
	{"pool, last address", {"eth0", REMOTE, IP(203, 0, 113, 12), 1, 0}, NATD},
	{"beyond the pool", {"eth0", REMOTE, IP(203, 0, 113, 13), 6, 30000}, MAIN},
	{"before the pool", {"eth0", REMOTE, IP(203, 0, 113, 7), 6, 30000}, MAIN},
	{"pool from the host itself", {"lo", SHARED, POOL, 6, 80}, NATD},
	{"pool from the TUN: natd never sends there", {"natd0", REMOTE, POOL, 6, 80}, MAIN},
	{"hairpin", {"lan0", INSIDE, SHARED, 17, 30000}, NATD},
	{"hairpin to a forward", {"lan1", INSIDE_2, SHARED, 6, 80}, NATD},
	{"hairpin, fragment", {"lan0", INSIDE, SHARED, 17, 0}, NATD},
	{"hairpin to the pool", {"lan0", INSIDE, POOL, 6, 80}, NATD},
	{"inside to the host's port", {"lan0", INSIDE, SHARED, 6, 22}, LOCAL},
	{"C2-3 inside host plays the remote one", {"lan0", REMOTE, SHARED, 6, 30000}, LOCAL},
	{"C2-3 the same to the pool", {"lan0", REMOTE, POOL, 6, 80}, REFUSED},
	{"28 another source is refused and counted by natd", {"lan0", REMOTE, IP(192, 0, 2, 9), 6, 80}, NATD},
	{"C2-3 the same in a fragment", {"lan0", REMOTE, SHARED, 17, 0}, LOCAL},
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
	const struct probe p = {"lan0", INSIDE, REMOTE, 6, 443};
	bool *removed = calloc(plan.n_objects, sizeof(*removed));
	uint32_t i, pref;

	ck_assert_ptr_nonnull(removed);
	for (i = 0; i < plan.n_objects; i++)
		removed[i] = plan.objects[i].kind == ROUTING_LOCAL_MOVE;
	for (pref = ROUTING_PREF_LAST; pref >= ROUTING_PREF_FIRST; pref--) {
		for (i = 0; i < plan.n_objects; i++) {
			const struct routing_object *o = &plan.objects[i];

			removed[i] |=
				o->kind == ROUTING_RULE && o->rule.priority == pref && !routing_plan_is_last(&o->rule);
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
	make();
	ck_assert_int_eq(look_up(&transit, plan.n_objects, NULL), REFUSED);
	ck_assert_int_eq(look_up(&own, plan.n_objects, NULL), LOCAL);
}
END_TEST

START_TEST(test_6888_6_answers_of_exempt_pass_only_where_the_way_is_outside)
{
	const struct probe p = {"eth0", EXEMPT, INSIDE, 6, 22};
	const struct probe spoofed = {"eth0", INSIDE_2, INSIDE, 6, 22};

	ck_assert_int_eq(look_up(&spoofed, plan.n_objects, NULL), REFUSED);
	table.exempt_is_outside = NULL;
	make();
	ck_assert_int_eq(look_up(&p, plan.n_objects, NULL), REFUSED);
}
END_TEST

/* Fault 20: rules by prefix. */
START_TEST(test_without_inside_interfaces_the_prefixes_decide)
{
	const struct probe out = {"wg7", INSIDE, REMOTE, 6, 443}, other = {"wg7", REMOTE, EXEMPT, 6, 443};
	const struct probe hairpin = {"wg7", INSIDE, SHARED, 6, 30000}, back = {"natd0", INSIDE, SHARED, 6, 5000};

	table.n_inside = 0;
	make();
	ck_assert_int_eq(look_up(&out, plan.n_objects, NULL), NATD);
	ck_assert_int_eq(look_up(&hairpin, plan.n_objects, NULL), NATD);
	ck_assert_int_eq(look_up(&back, plan.n_objects, NULL), LOCAL);
	ck_assert_int_eq(look_up(&other, plan.n_objects, NULL), MAIN);
}
END_TEST

static uint32_t count_rules(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < plan.n_objects; i++)
		n += plan.objects[i].kind == ROUTING_RULE || plan.objects[i].kind == ROUTING_LOCAL_MOVE;
	return n;
}

/* Fault 14. A pool adds two rules, an exempt prefix one for each interface and answer. */
START_TEST(test_number_of_rules_has_a_bound)
{
	static struct nat_forward many[30000];

	policy.n_exempt = 0;
	policy.n_addresses = 1;
	policy.n_inside = 1;
	table.n_inside = 1;
	input.outside_was_forwarding = false;
	for (uint32_t n = 0; n <= 30000; n += 15000) {
		for (uint32_t i = 0; i < n; i++)
			many[i] = (struct nat_forward){.protocols = 1 << CLASS_TCP | 1 << CLASS_UDP,
						       .ports = {(uint16_t)(2 * i + 1), (uint16_t)(2 * i + 1)}};
		policy.forwards = many;
		policy.n_forwards = n;
		make();
		ck_assert_uint_le(count_rules(), 8 + 4 + 4);
	}
}
END_TEST

/* Each test runs in a process of its own, which starts from the same seed: draw on to get another case. */
static void draw_on(int cases_before)
{
	int i;

	for (i = 0; i < cases_before * 101; i++)
		(void)unit_random();
}

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
	make();
	for (a = pool.first - 3; a != pool.last + 4; a++) {
		bool expected = a - pool.first <= pool.last - pool.first;
		uint32_t covered = 0;

		for (i = 0; i < plan.n_objects; i++) {
			const struct routing_object *o = &plan.objects[i];

			covered += o->kind == ROUTING_ROUTE && !o->route.closed &&
				   o->route.table == ROUTING_TABLE + 2 && prefix_has(&o->route.to, a);
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
	make();
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
	ck_assert_int_eq(planned_value("net/ipv4/tcp_early_demux"), 0);
	ck_assert_int_eq(planned_value("net/ipv4/conf/eth0/accept_redirects"), 0);
	for (i = 0; i < plan.n_objects; i++) {
		if (plan.objects[i].kind == ROUTING_SYSCTL)
			ck_assert_msg(sysctl_is_ours(plan.objects[i].sysctl.name), "%s", plan.objects[i].sysctl.name);
	}
	input.all_rp_filter = 1;
	make();
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
	tcase_add_test(t, test_without_inside_interfaces_the_prefixes_decide);
	tcase_add_test(t, test_number_of_rules_has_a_bound);
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
