/* SPDX-License-Identifier: ISC */
/* From configuration and facts to policy: derived values, refusals and warnings. */
#include <check.h>
#include <string.h>

#include "core/policy/rule.h"
#include "daemon/config/config.h"
#include "daemon/setup/build_policy.h"
#include "unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

enum {
	WAN = 0xc6336402, /* 198.51.100.2 */
	WAN_BROADCAST = 0xc63364ff,
	LAN = 0x0a080001, /* 10.8.0.1 */
	LAN_NET = 0x0a080000,
	DMZ = 0xc0a80101, /* 192.168.1.1 */
	DMZ_NET = 0xc0a80100,
};

/* A host with eth0 198.51.100.2/24 outside, and lan 10.8.0.1/24 and dmz 192.168.1.1/26 inside. */
struct host {
	struct host_address wan[3], lan[2], dmz[1];
	struct host_interface inside[2];
	struct host_facts facts;
};

static struct host host;
static struct config_report report;
static struct natd_config *config;
static struct policy_storage storage;
static struct nat_policy policy;

static struct host_address address(uint32_t a, uint8_t length)
{
	return (struct host_address){.address = a, .peer = a, .length = length};
}

static void setup(void)
{
	memset(&host, 0, sizeof(host));
	memset(&report, 0, sizeof(report));
	memset(&storage, 0, sizeof(storage));
	config = NULL;
	host.wan[0] = address(WAN, 24);
	host.lan[0] = address(LAN, 24);
	host.dmz[0] = address(DMZ, 26);
	host.facts.outside = (struct host_interface){.name = "eth0",
						     .index = 2,
						     .exists = true,
						     .is_up = true,
						     .mtu = 1500,
						     .addresses = host.wan,
						     .n_addresses = 1};
	host.inside[0] = (struct host_interface){.name = "lan",
						 .index = 2,
						 .exists = true,
						 .is_up = true,
						 .mtu = 1420,
						 .addresses = host.lan,
						 .n_addresses = 1};
	host.inside[1] = (struct host_interface){.name = "dmz",
						 .index = 2,
						 .exists = true,
						 .is_up = true,
						 .mtu = 9000,
						 .addresses = host.dmz,
						 .n_addresses = 1};
	host.facts.inside = host.inside;
	host.facts.n_inside = 2;
}

static void teardown(void)
{
	config_free(config);
	policy_storage_fini(&storage);
	config_report_fini(&report);
}

/* `outside`, `inside`: more of these groups. */
static bool build(const char *outside, const char *inside, const char *rest)
{
	char text[2048];
	int n = snprintf(
		text, sizeof(text),
		"outside = { interface = \"eth0\"; %s };\ninside = { interfaces = [ \"lan\", \"dmz\" ]; %s };\n%s",
		outside, inside, rest);

	config_free(config);
	config = config_load_string(text, (size_t)n, "f", &report);
	ck_assert_msg(config != NULL, "%s", report.n_problems ? report.problems[0].text : "");
	config_report_fini(&report);
	return policy_build(config, &host.facts, &policy, &storage, &report);
}

/* The only problem there is. */
static const char *problem(void)
{
	static char text[1024];

	text[0] = '\0';
	if (report.n_problems == 1)
		config_problem_text(&report.problems[0], text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%u problems", report.n_problems);
	return text;
}

START_TEST(test_inside_prefixes_default_to_the_interfaces_networks)
{
	ck_assert(build("", "", ""));
	ck_assert_uint_eq(report.n_problems, 0);
	ck_assert_uint_eq(policy.n_inside, 2);
	ck_assert(policy.inside[0].address == LAN_NET && policy.inside[0].length == 24 && policy.inside[0].mtu == 1420);
	ck_assert(policy.inside[1].address == DMZ_NET && policy.inside[1].length == 26 && policy.inside[1].mtu == 9000);
	ck_assert_uint_eq(policy.icmp_source, LAN);
	ck_assert_uint_eq(policy.outside_mtu, 1500);
}
END_TEST

START_TEST(test_mtu_of_the_tun_device)
{
	ck_assert(build("", "", ""));
	ck_assert_uint_eq(policy.tun_mtu, 0);
	ck_assert(build("", "", "tun = { mtu = 1420; };"));
	ck_assert_uint_eq(policy.tun_mtu, 1420);
}
END_TEST

START_TEST(test_directed_broadcast_addresses_of_every_network)
{
	ck_assert(build("", "", ""));
	ck_assert_uint_eq(policy.n_broadcast, 3);
	ck_assert(policy.broadcast[0].address == WAN_BROADCAST && policy.broadcast[0].length == 32);
	ck_assert_uint_eq(policy.broadcast[1].address, LAN_NET + 255);
	ck_assert_uint_eq(policy.broadcast[2].address, DMZ_NET + 63);
	host.wan[0].length = 31; /* RFC 3021: none */
	host.dmz[0].length = 32;
	ck_assert(build("", "", ""));
	ck_assert_uint_eq(policy.n_broadcast, 1);
}
END_TEST

START_TEST(test_shared_address_is_the_first_primary_one)
{
	host.wan[0].is_secondary = true;
	host.wan[1] = address(0xcb007105, 24);
	host.wan[2] = address(0xcb007201, 24);
	host.facts.outside.n_addresses = 3;
	ck_assert(build("", "", ""));
	ck_assert_uint_eq(policy.n_addresses, 1);
	ck_assert(policy.addresses[0].first == 0xcb007105 && policy.addresses[0].last == 0xcb007105 &&
		  policy.addresses[0].shared);
}
END_TEST

START_TEST(test_shared_address_takes_its_place_among_the_pool)
{
	ck_assert(build("addresses = [ \"203.0.113.8/29\", \"interface\", \"192.0.2.1\" ];", "", ""));
	ck_assert_uint_eq(policy.n_addresses, 3);
	ck_assert(policy.addresses[0].first == 0xc0000201 && !policy.addresses[0].shared);
	ck_assert(policy.addresses[1].first == WAN && policy.addresses[1].shared);
	ck_assert(policy.addresses[2].first == 0xcb007108 && policy.addresses[2].last == 0xcb00710f);
	ck_assert(policy.n_shared_ports == 2 && policy.shared_ports[0].first == 16384);
	ck_assert(policy.n_pool_ports == 1 && policy.pool_ports[0].first == 1024);
}
END_TEST

START_TEST(test_networks_that_lie_in_each_other_are_inside_once)
{
	host.lan[1] = address(LAN + 1, 25); /* within 10.8.0.0/24 */
	host.inside[0].n_addresses = 2;
	ck_assert(build("", "", ""));
	ck_assert_uint_eq(policy.n_inside, 2);
	host.lan[1] = address(LAN, 16); /* around it */
	ck_assert(build("", "", ""));
	ck_assert_uint_eq(policy.n_inside, 2);
	ck_assert(policy.inside[0].address == 0x0a080000 && policy.inside[0].length == 16);
}
END_TEST

START_TEST(test_point_to_point_network_is_the_peers)
{
	host.lan[0] = (struct host_address){.address = LAN, .peer = 0x0a090005, .length = 32};
	ck_assert(build("", "", ""));
	ck_assert(policy.n_inside == 2 && policy.inside[0].address == 0x0a090005 && policy.inside[0].length == 32);
	ck_assert_uint_eq(policy.icmp_source, LAN);
}
END_TEST

START_TEST(test_configured_prefix_has_the_mtu_of_its_interface)
{
	ck_assert(build("", "prefixes = [ \"10.8.0.0/25\", \"192.168.0.0/16\", \"172.16.0.0/12\" ];", ""));
	ck_assert_uint_eq(policy.n_inside, 3);
	ck_assert_uint_eq(policy.inside[0].mtu, 1420);
	ck_assert_uint_eq(policy.inside[1].mtu, 9000);
	ck_assert_uint_eq(policy.inside[2].mtu, 0); /* behind a router, on either */
	host.facts.n_inside = 1;
	ck_assert(build("", "prefixes = [ \"172.16.0.0/12\" ];", ""));
	ck_assert_uint_eq(policy.inside[0].mtu, 1420);
	host.inside[0].mtu = 65536; /* as lo has */
	host.facts.outside.mtu = 65536;
	ck_assert(build("", "prefixes = [ \"172.16.0.0/12\" ];", ""));
	ck_assert_uint_eq(policy.inside[0].mtu, 65535);
	ck_assert_uint_eq(policy.outside_mtu, 65535);
}
END_TEST

START_TEST(test_prefix_over_two_interfaces_has_the_smaller_mtu)
{
	host.dmz[0] = address(0x0a090001, 24);
	ck_assert(build("", "prefixes = [ \"10.0.0.0/8\" ];", ""));
	ck_assert_uint_eq(policy.inside[0].mtu, 1420);
	host.inside[1].mtu = 1280;
	ck_assert(build("", "prefixes = [ \"10.0.0.0/8\" ];", ""));
	ck_assert_uint_eq(policy.inside[0].mtu, 1280);
}
END_TEST

START_TEST(test_settings_reach_the_policy)
{
	ck_assert(
		build("unsolicited = \"host\";", "exempt = [ \"172.16.0.0/12\" ];",
		      "translation = { mapping = \"address-dependent\"; filtering = \"endpoint-independent\"; "
		      "hairpinning = false;\n"
		      "port_selection = \"preserve\"; port_parity = true; pooling = \"arbitrary\"; mss_clamp = 1300;\n"
		      "other_protocols = \"drop\"; exhausted_icmp = \"none\"; };\n"
		      "timeouts = { udp = 301; }; limits = { sessions = 99; };\n"
		      "forwards = ( { protocol = \"tcp\"; port = 80; to = \"10.8.0.10\"; } );"));
	ck_assert_uint_eq(report.n_problems, 0);
	ck_assert(policy.unsolicited == UNSOLICITED_HOST && policy.mapping == MAPPING_ADDRESS_DEPENDENT);
	ck_assert(policy.filtering == FILTERING_ENDPOINT_INDEPENDENT && !policy.hairpinning && policy.port_parity);
	ck_assert(policy.port_selection == PORTS_PRESERVE && policy.pooling == POOLING_ARBITRARY);
	ck_assert(policy.mss_clamp == 1300 && policy.other_protocols == OTHER_DROP);
	ck_assert(policy.exhausted_icmp == EXHAUSTED_NONE && policy.timeouts.udp == 301 &&
		  policy.limits.sessions == 99);
	ck_assert(policy.n_exempt == 1 && policy.exempt[0].address == 0xac100000 && policy.n_forwards == 1);
}
END_TEST

START_TEST(test_policy_compiles)
{
	struct rules *r;
	uint32_t to = 0;
	uint16_t port = 0;

	ck_assert(build("", "", "forwards = ( { protocol = \"tcp\"; port = 80; to = \"10.8.0.10:8080\"; } );"));
	r = rules_create(&policy);
	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq(rules_forward_inbound(r, CLASS_TCP, WAN, 80, 0x08080808, &to, &port), 0);
	ck_assert(to == 0x0a08000a && port == 8080);
	ck_assert(rules_port_usable(r, CLASS_UDP, WAN, 61000) && !rules_port_usable(r, CLASS_UDP, WAN, 40000));
	ck_assert(rules_is_inside(r, LAN + 7) && !rules_is_inside(r, WAN));
	rules_destroy(r);
}
END_TEST

START_TEST(test_4787_7_outside_network_that_overlaps_an_inside_one_is_warned_of)
{
	host.wan[0] = address(0x0a080005, 16);
	ck_assert(build("", "", ""));
	ck_assert_str_eq(
		problem(),
		"f:2: warning: the network of eth0, 10.8.0.0/16, overlaps the inside prefix 10.8.0.0/24: outside "
		"hosts with those addresses are out of reach (RFC 4787 REQ-7); renumber one of them");
}
END_TEST

START_TEST(test_4787_7_inside_network_that_overlaps_the_pool_is_left_out)
{
	ck_assert(build("addresses = [ \"10.8.0.200-10.8.0.201\" ];", "", ""));
	ck_assert_str_eq(
		problem(),
		"f:1: warning: outside.addresses: 10.8.0.200-10.8.0.201 overlaps 10.8.0.0/24 of the inside interface "
		"lan, which is left out: outside and inside must not share addresses (RFC 4787 REQ-7)");
	for (uint32_t i = 0; i < policy.n_inside; i++)
		ck_assert_uint_ne(policy.inside[i].address, LAN);
}
END_TEST

START_TEST(test_pool_that_holds_an_address_of_the_host_is_warned_of)
{
	ck_assert(build("addresses = [ \"198.51.100.0/29\" ];", "", ""));
	ck_assert_str_eq(
		problem(),
		"f:1: warning: outside.addresses: 198.51.100.2 belongs to this host (eth0): leave it out of the pool, "
		"or share it by writing \"interface\" instead");
}
END_TEST

START_TEST(test_pool_that_holds_a_broadcast_address_is_warned_of)
{
	ck_assert(build("addresses = [ \"198.51.100.248/29\" ];", "", ""));
	ck_assert_str_eq(
		problem(),
		"f:1: warning: outside.addresses: 198.51.100.255 is the broadcast address of a network of this host: "
		"leave it out");
}
END_TEST

START_TEST(test_missing_addresses_are_warnings)
{
	host.facts.outside.n_addresses = 0;
	ck_assert(build("", "", ""));
	ck_assert_str_eq(problem(), "f:1: warning: eth0 has no IPv4 address yet, so there is none to share");
	ck_assert_uint_eq(policy.n_addresses, 0);
	config_report_fini(&report);
	host.facts.outside.n_addresses = 1;
	host.inside[0].n_addresses = host.inside[1].n_addresses = 0;
	ck_assert(build("", "", ""));
	ck_assert_str_eq(
		problem(),
		"f:2: warning: the inside interfaces have no IPv4 prefix yet, so there are no inside hosts: give them "
		"addresses, or set inside.prefixes");
	for (uint32_t i = 0; i < policy.n_inside; i++)
		ck_assert_uint_ne(policy.inside[i].address, LAN);
	ck_assert_uint_eq(policy.icmp_source, 0);
}
END_TEST

START_TEST(test_own_32_bit_address_holds_no_inside_host)
{
	host.lan[0] = address(LAN, 32);
	host.facts.n_inside = 1;
	ck_assert(build("", "", ""));
	for (uint32_t i = 0; i < policy.n_inside; i++)
		ck_assert_uint_ne(policy.inside[i].address, LAN);
	ck_assert_uint_eq(report.n_problems, 1);
}
END_TEST

START_TEST(test_missing_interfaces_are_warnings)
{
	host.facts.outside = (struct host_interface){.name = "eth0"};
	ck_assert(build("addresses = [ \"192.0.2.1\" ];", "", ""));
	ck_assert_str_eq(problem(), "f:1: warning: outside.interface: eth0 does not exist yet");
	ck_assert_uint_eq(policy.n_addresses, 1);
	config_report_fini(&report);
	host.facts.outside.exists = true;
	host.inside[1] = (struct host_interface){.name = "dmz"};
	ck_assert(build("addresses = [ \"192.0.2.1\" ];", "", ""));
	ck_assert_str_eq(problem(), "f:2: warning: inside.interfaces: dmz does not exist yet");
}
END_TEST

static const struct {
	const char *forward;
	const char *want;
} idle[] = {
	{"port = 80; to = \"10.9.0.10\";",
	 "f:3: warning: forward \"a\" leads nowhere: 10.9.0.10 is in no inside prefix at "
	 "present"},
	{"port = 80; to = \"10.8.0.10\"; address = \"203.0.113.9\";",
	 "f:3: warning: forward \"a\" takes nothing: 203.0.113.9 is no outside address of natd at present"},
	{"port = 80; to = \"10.8.0.1\";",
	 "f:3: warning: forward \"a\" leads to 10.8.0.1, which is this host: what the host itself "
	 "answers is not translated; open the port on its outside address instead"},
	{"port = 80; to = \"10.8.0.10\"; address = \"198.51.100.2\";", "0 problems"},
};

START_TEST(test_forward_that_cannot_work_is_a_warning)
{
	char text[256];

	snprintf(text, sizeof(text), "forwards = ( { name = \"a\"; protocol = \"tcp\"; %s } );", idle[_i].forward);
	ck_assert(build("", "", text));
	ck_assert_str_eq(problem(), idle[_i].want);
}
END_TEST

START_TEST(test_exempt_prefix_that_holds_the_outside_address_is_a_warning)
{
	ck_assert(build("", "exempt = [ \"198.51.0.0/16\" ];", ""));
	ck_assert_str_eq(problem(),
			 "f:2: warning: inside.exempt: 198.51.0.0/16 holds 198.51.100.2, the outside address: inside "
			 "hosts cannot reach forwards by it");
}
END_TEST

static Suite *suite_policy(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("policy");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_inside_prefixes_default_to_the_interfaces_networks);
	tcase_add_test(t, test_mtu_of_the_tun_device);
	tcase_add_test(t, test_directed_broadcast_addresses_of_every_network);
	tcase_add_test(t, test_shared_address_is_the_first_primary_one);
	tcase_add_test(t, test_shared_address_takes_its_place_among_the_pool);
	tcase_add_test(t, test_networks_that_lie_in_each_other_are_inside_once);
	tcase_add_test(t, test_point_to_point_network_is_the_peers);
	tcase_add_test(t, test_configured_prefix_has_the_mtu_of_its_interface);
	tcase_add_test(t, test_prefix_over_two_interfaces_has_the_smaller_mtu);
	tcase_add_test(t, test_settings_reach_the_policy);
	tcase_add_test(t, test_policy_compiles);
	tcase_add_test(t, test_4787_7_outside_network_that_overlaps_an_inside_one_is_warned_of);
	tcase_add_test(t, test_4787_7_inside_network_that_overlaps_the_pool_is_left_out);
	tcase_add_test(t, test_pool_that_holds_an_address_of_the_host_is_warned_of);
	tcase_add_test(t, test_pool_that_holds_a_broadcast_address_is_warned_of);
	tcase_add_test(t, test_missing_addresses_are_warnings);
	tcase_add_test(t, test_own_32_bit_address_holds_no_inside_host);
	tcase_add_test(t, test_missing_interfaces_are_warnings);
	tcase_add_loop_test(t, test_forward_that_cannot_work_is_a_warning, 0, LEN(idle));
	tcase_add_test(t, test_exempt_prefix_that_holds_the_outside_address_is_a_warning);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite_policy);
}
