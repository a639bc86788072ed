/* SPDX-License-Identifier: ISC */
/* The walk through a firewall's chains: chains that surely drop a packet, those that may pass it, and unrelated
 * ones. */
#include <check.h>
#include <linux/netfilter.h>
#include <string.h>

#include "daemon/kernel/firewall.h"
#include "unit.h"

static struct firewall firewall;
static struct firewall_chain base;

static void setup(void)
{
	memset(&firewall, 0, sizeof(firewall));
	base = (struct firewall_chain){
		.family = NFPROTO_IPV4, .hook = FIREWALL_FORWARD, .drops = true, .table = "filter", .name = "FORWARD"};
	ck_assert(firewall_add_chain(&firewall, &base));
}

static void teardown(void)
{
	firewall_fini(&firewall);
}

static struct firewall_test interface(enum firewall_field field, const char *name, bool whole)
{
	struct firewall_test t = {.field = (uint8_t)field};

	memcpy(t.name, name, strlen(name));
	t.length = (uint8_t)(strlen(name) + whole);
	return t;
}

static const struct firewall_test unknown = {.field = FIREWALL_ANYTHING};

/* A rule of `chain` with up to two tests. */
static void rule(const char *chain, enum firewall_verdict verdict, const char *target, const struct firewall_test *a,
		 const struct firewall_test *b)
{
	struct firewall_rule r = {.family = NFPROTO_IPV4, .table = "filter", .verdict = (uint8_t)verdict};

	memcpy(r.chain, chain, strlen(chain));
	if (target)
		memcpy(r.target, target, strlen(target));
	if (a)
		firewall_add_test(&r, a);
	if (b)
		firewall_add_test(&r, b);
	ck_assert(firewall_add_rule(&firewall, &r));
}

static struct firewall_result ask(const char *iif, const char *oif)
{
	const struct firewall_packet p = {
		.iif = iif, .oif = oif, .mark = 7, .ct_state = FIREWALL_CT_NEW, .protocol = IPPROTO_TCP};

	return firewall_ask(&firewall, &base, &p);
}

START_TEST(test_policy_decides_where_no_rule_does)
{
	ck_assert(ask("lan0", "natd0").drops && ask("lan0", "natd0").by_policy);
	base.drops = false;
	ck_assert(!ask("lan0", "natd0").drops);
}
END_TEST

START_TEST(test_interfaces_whole_beginning_and_negated)
{
	struct firewall_test whole = interface(FIREWALL_OIF, "natd0", true),
			     part = interface(FIREWALL_IIF, "lan", false);
	struct firewall_test other = interface(FIREWALL_IIF, "eth0", true);

	rule("FORWARD", FIREWALL_ACCEPT, NULL, &whole, NULL);
	ck_assert(!ask("lan0", "natd0").drops);
	ck_assert(ask("lan0", "natd01").drops);
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &part, NULL);
	ck_assert(!ask("lan0", "eth0").drops);
	ck_assert(ask("eth0", "lan0").drops);
	other.is_negated = true;
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &other, NULL);
	ck_assert(!ask("wg0", "eth0").drops);
}
END_TEST

START_TEST(test_new_connections_are_not_established)
{
	const struct firewall_test established = {.field = FIREWALL_CT_STATE, .value = FIREWALL_CT_ESTABLISHED};
	const struct firewall_test both = {.field = FIREWALL_CT_STATE,
					   .value = FIREWALL_CT_ESTABLISHED | FIREWALL_CT_NEW};

	rule("FORWARD", FIREWALL_ACCEPT, NULL, &established, NULL);
	ck_assert(ask("lan0", "natd0").drops);
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &both, NULL);
	ck_assert(!ask("lan0", "natd0").drops);
}
END_TEST

/* ufw passes forwarded ICMP, and drops the rest. */
START_TEST(test_a_rule_of_another_protocol_does_not_match)
{
	const struct firewall_test icmp = {.field = FIREWALL_PROTOCOL, .value = IPPROTO_ICMP};
	const struct firewall_test tcp = {.field = FIREWALL_PROTOCOL, .value = IPPROTO_TCP};

	rule("FORWARD", FIREWALL_ACCEPT, NULL, &icmp, NULL);
	ck_assert(ask("lan0", "natd0").drops);
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &tcp, &unknown);
	ck_assert(!ask("lan0", "natd0").drops);
}
END_TEST

/* firewalld accepts what a DNAT rule has translated. */
START_TEST(test_no_other_rule_translates_what_is_natds)
{
	struct firewall_test status = {.field = FIREWALL_CT_STATUS, .value = 0x20};

	rule("FORWARD", FIREWALL_ACCEPT, NULL, &status, NULL);
	ck_assert(ask("lan0", "natd0").drops);
	status.value = 0x28; /* or what has been confirmed: not known */
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &status, NULL);
	ck_assert(!ask("lan0", "natd0").drops);
}
END_TEST

/* Rules that depend on addresses may pass a packet; if they drop it, that proves nothing. */
START_TEST(test_what_cannot_be_judged_is_no_finding)
{
	const struct firewall_test docker = interface(FIREWALL_OIF, "docker0", true);

	rule("FORWARD", FIREWALL_ACCEPT, NULL, &unknown, &docker);
	ck_assert(ask("lan0", "natd0").drops);
	rule("FORWARD", FIREWALL_DROP, NULL, &unknown, NULL);
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &unknown, NULL);
	ck_assert(!ask("lan0", "natd0").drops);
}
END_TEST

START_TEST(test_chains_are_entered_and_left)
{
	const struct firewall_test lan = interface(FIREWALL_IIF, "lan0", true),
				   wg = interface(FIREWALL_IIF, "wg0", true);

	rule("FORWARD", FIREWALL_JUMP, "user", NULL, NULL);
	rule("user", FIREWALL_RETURN, NULL, &lan, NULL);
	rule("user", FIREWALL_ACCEPT, NULL, NULL, NULL);
	ck_assert(ask("lan0", "natd0").drops);
	ck_assert(!ask("wg0", "natd0").drops);
	rule("FORWARD", FIREWALL_GOTO, "last", &lan, NULL);
	rule("FORWARD", FIREWALL_ACCEPT, NULL, NULL, NULL);
	rule("last", FIREWALL_DROP, NULL, &wg, NULL);
	ck_assert(ask("lan0", "natd0").drops); /* by goto the rest of the chain is left */
	ck_assert(!ask("eth7", "natd0").drops);
}
END_TEST

START_TEST(test_circles_of_chains_end)
{
	rule("FORWARD", FIREWALL_JUMP, "a", NULL, NULL);
	rule("a", FIREWALL_JUMP, "FORWARD", NULL, NULL);
	ck_assert(ask("lan0", "natd0").drops);
}
END_TEST

START_TEST(test_too_many_tests_cannot_be_judged)
{
	struct firewall_rule r = {
		.family = NFPROTO_IPV4, .table = "filter", .chain = "FORWARD", .verdict = FIREWALL_ACCEPT};
	const struct firewall_test lan = interface(FIREWALL_IIF, "lan0", true);

	for (int i = 0; i <= FIREWALL_TESTS; i++)
		firewall_add_test(&r, &lan);
	ck_assert_uint_eq(r.n_tests, FIREWALL_TESTS);
	ck_assert(firewall_add_rule(&firewall, &r));
	ck_assert(!ask("lan0", "natd0").drops);
	ck_assert(ask("wg0", "natd0").drops);
}
END_TEST

static void reject(const char *chain, const struct firewall_test *a)
{
	rule(chain, FIREWALL_DROP, NULL, a, NULL);
	firewall.rules[firewall.n_rules - 1].rejects = true;
}

static bool may_reject(const char *iif, const char *oif)
{
	const struct firewall_packet p = {.iif = iif, .oif = oif, .ct_state = FIREWALL_CT_NEW, .protocol = IPPROTO_TCP};

	return firewall_may_reject(&firewall, &base, &p);
}

START_TEST(test_what_may_be_rejected)
{
	const struct firewall_test tun = interface(FIREWALL_IIF, "natd0", true),
				   lan = interface(FIREWALL_OIF, "lan0", true);

	ck_assert(!may_reject("natd0", "lan0")); /* the policy drops in silence */
	reject("user", &unknown);
	ck_assert(!may_reject("natd0", "lan0")); /* no rule leads there */
	rule("FORWARD", FIREWALL_JUMP, "user", &lan, NULL);
	ck_assert(may_reject("natd0", "lan0"));
	ck_assert(!may_reject("natd0", "lan1"));
	firewall.n_rules = 0;
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &tun, NULL);
	reject("FORWARD", NULL);
	ck_assert(!may_reject("natd0", "lan0"));
	ck_assert(may_reject("lan0", "natd0"));
}
END_TEST

START_TEST(test_what_is_over_in_an_inner_chain)
{
	const struct firewall_test tun = interface(FIREWALL_IIF, "natd0", true);

	rule("FORWARD", FIREWALL_JUMP, "user", NULL, NULL);
	rule("user", FIREWALL_ACCEPT, NULL, &tun, NULL);
	reject("FORWARD", NULL);
	ck_assert(!may_reject("natd0", "lan0"));
	ck_assert(may_reject("wg0", "lan0"));
	firewall.n_rules = 0;
	rule("FORWARD", FIREWALL_JUMP, "user", &unknown, NULL);
	rule("user", FIREWALL_ACCEPT, NULL, &tun, NULL);
	reject("FORWARD", NULL);
	ck_assert(may_reject("natd0", "lan0"));
	firewall.n_rules = 0;
	rule("FORWARD", FIREWALL_OTHER, NULL, NULL, NULL); /* a map of verdicts */
	ck_assert(!may_reject("natd0", "lan0"));
	reject("somewhere", NULL);
	ck_assert(may_reject("natd0", "lan0"));
	firewall.n_rules = 0;
	rule("FORWARD", FIREWALL_JUMP, "a", NULL, NULL);
	rule("a", FIREWALL_JUMP, "FORWARD", NULL, NULL); /* a circle */
	ck_assert(may_reject("natd0", "lan0"));
}
END_TEST

START_TEST(test_rules_that_tell_interfaces_apart)
{
	const struct firewall_test out = interface(FIREWALL_IIF, "out0", true),
				   tun = interface(FIREWALL_IIF, "natd0", true);
	struct firewall_test other = interface(FIREWALL_IIF, "natd0", true);

	rule("FORWARD", FIREWALL_ACCEPT, NULL, &out, NULL); /* natd's device gets less */
	rule("FORWARD", FIREWALL_DROP, NULL, &unknown, NULL);
	ck_assert(!firewall_favours(&firewall, &base, "natd0", "out0"));
	rule("FORWARD", FIREWALL_DROP, NULL, &out, &unknown);
	ck_assert(firewall_favours(&firewall, &base, "natd0", "out0"));
	ck_assert(!firewall_favours(&firewall, &base, "natd0", "lan0"));
	firewall.n_rules = 0;
	rule("zone", FIREWALL_ACCEPT, NULL, &tun, NULL);
	ck_assert(firewall_favours(&firewall, &base, "natd0", "out0"));
	firewall.n_rules = 0;
	rule("FORWARD", FIREWALL_DROP, NULL, &tun, NULL);
	ck_assert(!firewall_favours(&firewall, &base, "natd0", "out0"));
	firewall.n_rules = 0;
	rule("FORWARD", FIREWALL_ACCEPT, NULL, &unknown, NULL);
	firewall.rules[0].by_interface = true; /* in a set that is not read */
	ck_assert(!firewall_favours(&firewall, &base, "natd0", "out0"));
	rule("FORWARD", FIREWALL_DROP, NULL, &unknown, NULL);
	firewall.rules[1].by_interface = true;
	ck_assert(firewall_favours(&firewall, &base, "natd0", "out0"));
	firewall.n_rules = 0;
	other.is_negated = true;
	rule("FORWARD", FIREWALL_DROP, NULL, &other, NULL);
	ck_assert(firewall_favours(&firewall, &base, "natd0", "out0"));
}
END_TEST

START_TEST(test_second_translation_unless_spared)
{
	struct firewall_rule masquerade = {
		.family = NFPROTO_IPV4, .table = "nat", .chain = "POSTROUTING", .translates = true};
	struct firewall_rule accept = {
		.family = NFPROTO_IPV4, .table = "nat", .chain = "POSTROUTING", .verdict = FIREWALL_ACCEPT};
	const struct firewall_test mark = {.field = FIREWALL_MARK, .value = 7},
				   out = interface(FIREWALL_OIF, "eth0", true);
	const struct firewall_packet p = {.iif = "", .oif = "eth0", .mark = 7, .ct_state = FIREWALL_CT_NEW};
	const struct firewall_packet q = {.iif = "", .oif = "wg0", .mark = 7, .ct_state = FIREWALL_CT_NEW};

	firewall_add_test(&masquerade, &out);
	ck_assert(firewall_add_rule(&firewall, &masquerade));
	ck_assert_ptr_nonnull(firewall_find_nat(&firewall, &p));
	ck_assert_ptr_null(firewall_find_nat(&firewall, &q));
	firewall.n_rules = 0;
	firewall_add_test(&accept, &mark);
	ck_assert(firewall_add_rule(&firewall, &accept));
	ck_assert(firewall_add_rule(&firewall, &masquerade));
	ck_assert_ptr_null(firewall_find_nat(&firewall, &p));
}
END_TEST

/* Chains that jump to chains would be walked for hours; the kernel allows them, as long as there is no loop. */
START_TEST(test_walk_through_many_jumps_ends)
{
	char from[8], to[8];

	for (unsigned level = 0; level < 15; level++) {
		snprintf(from, sizeof(from), level == 0 ? "FORWARD" : "c%u", level);
		snprintf(to, sizeof(to), "c%u", level + 1);
		for (unsigned i = 0; i < 30; i++)
			rule(from, FIREWALL_JUMP, to, &unknown, NULL);
	}
	ck_assert(!ask("lan0", "natd0").drops);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("firewall");
	TCase *t = tcase_create("walk");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_policy_decides_where_no_rule_does);
	tcase_add_test(t, test_walk_through_many_jumps_ends);
	tcase_add_test(t, test_interfaces_whole_beginning_and_negated);
	tcase_add_test(t, test_new_connections_are_not_established);
	tcase_add_test(t, test_a_rule_of_another_protocol_does_not_match);
	tcase_add_test(t, test_no_other_rule_translates_what_is_natds);
	tcase_add_test(t, test_what_cannot_be_judged_is_no_finding);
	tcase_add_test(t, test_chains_are_entered_and_left);
	tcase_add_test(t, test_circles_of_chains_end);
	tcase_add_test(t, test_too_many_tests_cannot_be_judged);
	tcase_add_test(t, test_what_may_be_rejected);
	tcase_add_test(t, test_what_is_over_in_an_inner_chain);
	tcase_add_test(t, test_rules_that_tell_interfaces_apart);
	tcase_add_test(t, test_second_translation_unless_spared);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
