/* SPDX-License-Identifier: ISC */
/* Forwards of protocols without ports, and default hosts. */
#include <check.h>
#include <string.h>

#include "core/nat/view.h"
#include "natlab.h"
#include "unit.h"

enum { GRE = 47, ESP = 50, ALL = 1 << CLASS_TCP | 1 << CLASS_UDP | 1 << CLASS_ICMP | 1 << CLASS_OTHER };

#define VPN  BUILD_IP(10, 8, 0, 9)
#define REST BUILD_IP(10, 8, 0, 5)

static struct lab *l;

static void add(const char *name, uint8_t protocols, uint16_t number, uint32_t to)
{
	struct nat_forward *f = &l->forwards[l->policy.n_forwards++];

	*f = (struct nat_forward){.protocols = protocols, .to = to, .ports = {number, number}, .to_port = number};
	strcpy(f->name, name);
	f->is_default = protocols == ALL;
	if (protocols == 1 << CLASS_ICMP || f->is_default)
		f->ports = (struct nat_range){0, UINT16_MAX};
}

static void setup(void)
{
	l = lab_new();
	l->addresses[1] = (struct nat_address_range){.first = LAB_EXT2, .last = LAB_EXT2};
}

static void teardown(void)
{
	lab_free(l);
}

static const char *name_of_only_session(void)
{
	static struct session_view v;
	uint32_t cursor = 0;

	ck_assert(nat_view_next(l->nat, &cursor, 100, l->now_ms, &v));
	return v.origin.forward;
}

static void outside_gets_in(uint8_t proto, uint32_t to)
{
	LAB_SEND(l, .proto = proto, .src = LAB_S1, .dst = LAB_EXT);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, to);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.src, LAB_S1);
}

START_TEST(test_protocol_without_ports_is_forwarded_both_ways)
{
	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	lab_start(l);
	outside_gets_in(GRE, VPN);
	ck_assert_str_eq(name_of_only_session(), "vpn");
	LAB_SEND(l, .proto = GRE, .src = VPN, .dst = LAB_S1);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	LAB_SEND(l, .proto = ESP, .src = LAB_S1, .dst = LAB_EXT);
	lab_dropped(l, DROP_UNSOLICITED);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_str_eq(name_of_only_session(), "vpn");
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	l->forwards[0].to = REST;
	ck_assert_uint_eq(lab_reload(l).ended, 1);
	outside_gets_in(GRE, REST);
}
END_TEST

START_TEST(test_host_of_a_protocol_speaks_first_from_the_forwards_address)
{
	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	l->policy.n_addresses = 2;
	l->forwards[0].address = LAB_EXT2;
	lab_start(l);
	LAB_SEND(l, .proto = GRE, .src = VPN, .dst = LAB_S1);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT2);
	LAB_SEND(l, .proto = GRE, .src = LAB_S1, .dst = LAB_EXT2);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, VPN);
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	LAB_SEND(l, .proto = GRE, .src = LAB_S2, .dst = LAB_EXT); /* of another address */
	lab_dropped(l, DROP_UNSOLICITED);
}
END_TEST

START_TEST(test_another_hosts_session_keeps_the_protocol_with_its_remote_host)
{
	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	lab_start(l);
	LAB_SEND(l, .proto = GRE, .src = LAB_A, .dst = LAB_S1);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	outside_gets_in(GRE, LAB_A);
	LAB_SEND(l, .proto = GRE, .src = VPN, .dst = LAB_S1);
	lab_dropped_with_icmp(l, DROP_OTHER_BUSY, 3, 1);
	LAB_SEND(l, .proto = GRE, .src = LAB_S2, .dst = LAB_EXT);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, VPN);
}
END_TEST

START_TEST(test_from_holds_for_protocols_and_default_hosts)
{
	static const struct nat_prefix from = {.address = LAB_S2, .length = 32};

	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	add("rest", ALL, 0, REST);
	for (int i = 0; i < 2; i++) {
		l->forwards[i].from = &from;
		l->forwards[i].n_from = 1;
	}
	lab_start(l);
	LAB_SEND(l, .proto = GRE, .src = LAB_S1, .dst = LAB_EXT); /* nor does the default host get it */
	lab_dropped(l, DROP_FORWARD_SOURCE);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 1, .dport = 2);
	lab_dropped(l, DROP_FORWARD_SOURCE);
	LAB_SEND(l, .proto = GRE, .src = LAB_S2, .dst = LAB_EXT);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, VPN);
	LAB_SEND(l, .proto = 17, .src = LAB_S2, .dst = LAB_EXT, .sport = 1, .dport = 2);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
}
END_TEST

/* A mapping, a forward of a port, a forward of a protocol, the default host: the order in the file does not matter. */
START_TEST(test_default_host_gets_what_nothing_else_asks_for)
{
	uint16_t mapped;

	add("rest", ALL, 0, REST);
	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	add("web", 1 << CLASS_TCP, 80, LAB_WEB);
	lab_start(l);
	mapped = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = mapped);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, LAB_A);
	LAB_SEND(l, .proto = 17, .src = LAB_S2, .dst = LAB_EXT, .sport = 53, .dport = mapped);
	lab_dropped(l, DROP_FILTERED); /* the port is that host's, and its filtering holds */
	LAB_SEND(l, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 9, .dport = 80, .flags = TCP_SYN);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, LAB_WEB);
	outside_gets_in(GRE, VPN);
	outside_gets_in(ESP, REST);
	LAB_SEND(l, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 9, .dport = 22, .flags = TCP_SYN);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dport, 22);
	LAB_SEND(l, .proto = 6, .src = REST, .dst = LAB_S1, .sport = 22, .dport = 9, .flags = TCP_SYN | TCP_ACK);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.sport, 22);
	LAB_SEND(l, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 9, .dport = 22, .flags = TCP_ACK);
	lab_dropped(l, DROP_TCP_NO_SESSION);
	LAB_SEND(l, .proto = 1, .src = LAB_S2, .dst = LAB_EXT, .icmp_type = 8, .sport = 77);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
	LAB_SEND(l, .proto = 1, .src = REST, .dst = LAB_S2, .icmp_type = 0, .sport = 77);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	LAB_SEND(l, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = 0, .sport = 78);
	lab_dropped(l, DROP_ICMP_NO_SESSION);
	lab_restart(l);
	ck_assert_ptr_null(nat_check(l->nat));
	ck_assert_uint_eq(lab_reload(l).ended, 0);
	l->policy.other_protocols = OTHER_DROP;
	ck_assert_uint_eq(lab_reload(l).ended, 2);
	l->forwards[0].address = LAB_EXT2; /* the default host's TCP session and ping */
	ck_assert_uint_eq(lab_reload(l).ended, 2);
	ck_assert_ptr_null(nat_check(l->nat));
}
END_TEST

START_TEST(test_default_host_gets_no_port_in_quarantine)
{
	uint16_t mapped;

	add("rest", ALL, 0, REST);
	lab_start(l);
	mapped = lab_udp_out(l, LAB_A, 5000, LAB_S1, 53);
	lab_advance(l, 301000);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = mapped);
	lab_dropped(l, DROP_UNSOLICITED);
	lab_advance(l, 121000);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = mapped);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
}
END_TEST

/* The default host's sessions stand on ports without a mapping: no mapping to the same remote endpoint is drawn
 * there. */
START_TEST(test_ports_with_a_default_hosts_session_are_not_drawn_for_its_remote)
{
	add("rest", ALL, 0, REST);
	l->pool_ports[0] = (struct nat_range){2000, 2001};
	lab_start(l);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = 2000);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
	ck_assert_uint_eq(lab_udp_out(l, LAB_A, 5000, LAB_S1, 53), 2001);
	LAB_SEND(l, .proto = 17, .src = LAB_B, .dst = LAB_S1, .sport = 1, .dport = 53);
	lab_dropped_with_icmp(l, DROP_NO_PORT, 3, 1);
	ck_assert_uint_eq(lab_udp_out(l, LAB_B, 5000, LAB_S2, 53), 2000);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = 2000);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
	ck_assert_uint_eq(lab_reload(l).ended, 0);
}
END_TEST

/* Of an address shared with the host: ICMP, the host's ports and protocols, and ports on which it has sockets stay its
 * own. */
static bool listens_at_20000(void *ctx, enum nat_class c, uint32_t address, uint16_t port)
{
	(void)ctx, (void)c, (void)address;
	return port == 20000;
}

START_TEST(test_default_host_leaves_a_shared_address_what_is_the_hosts)
{
	add("rest", ALL, 0, REST);
	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	add("ping", 1 << CLASS_ICMP, 0, VPN);
	l->addresses[0].shared = true;
	l->policy.shared_refused[0] = 1u << 1; /* as the daemon does where it makes the rules */
	lab_start(l);
	nat_set_port_guard(l->nat, listens_at_20000, NULL);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = 20001);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = 20000);
	lab_one(l, NAT_TO_HOST);
	LAB_SEND(l, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = 53);
	lab_one(l, NAT_TO_HOST);
	LAB_SEND(l, .proto = ESP, .src = LAB_S1, .dst = LAB_EXT);
	lab_one(l, NAT_TO_HOST);
	LAB_SEND(l, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = 8, .sport = 77);
	lab_one(l, NAT_TO_HOST);
	outside_gets_in(GRE, VPN);
}
END_TEST

START_TEST(test_forwarded_pings_reach_their_host_and_leave_other_ids_alone)
{
	uint16_t id;

	add("ping", 1 << CLASS_ICMP, 0, VPN);
	lab_start(l);
	LAB_SEND(l, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = 8, .sport = 77);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, VPN);
	LAB_SEND(l, .proto = 1, .src = VPN, .dst = LAB_S1, .icmp_type = 0, .sport = 77);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	id = lab_echo_out(l, VPN, 78, LAB_S1);
	LAB_SEND(l, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = 0, .sport = id);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, VPN);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.sport, 78);
}
END_TEST

/* RFC 4787 REQ-9. Without ports, the two ends must have different addresses: with one, the packet went back to its
 * sender. */
START_TEST(test_hairpin_without_ports_needs_two_addresses)
{
	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	add("rest", ALL, 0, REST);
	l->policy.n_addresses = 2;
	l->forwards[0].address = LAB_EXT2;
	l->addresses[2] = (struct nat_address_range){.first = LAB_EXT2 + 1, .last = LAB_EXT2 + 1, .inside = LAB_A};
	l->policy.n_addresses = 3;
	lab_start(l);
	LAB_SEND(l, .proto = GRE, .src = LAB_A, .dst = LAB_EXT2);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, VPN);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.src, LAB_EXT2 + 1);
	LAB_SEND(l, .proto = GRE, .src = VPN, .dst = LAB_EXT2 + 1);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, LAB_A);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.src, LAB_EXT2);
	LAB_SEND(l, .proto = GRE, .src = VPN, .dst = LAB_EXT2);
	lab_dropped(l, DROP_HAIRPIN_LOOP);
	LAB_SEND(l, .proto = 6, .src = LAB_A, .dst = LAB_EXT, .sport = 9, .dport = 22, .flags = TCP_SYN);
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, REST);
}
END_TEST

/* RFC 5508 REQ-4, 5: both ways, the quote is translated too. */
START_TEST(test_icmp_errors_about_forwarded_protocols_pass)
{
	static uint8_t error[BUILD_MAX];
	struct build b = {.src = LAB_R, .dst = LAB_EXT, .icmp_type = 3, .icmp_code = 1};

	add("vpn", 1 << CLASS_OTHER, GRE, VPN);
	lab_start(l);
	outside_gets_in(GRE, VPN);
	b.src = VPN;
	b.dst = LAB_S1;
	lab_send(l, error,
		 build_icmp_error(error, &b, lab_one(l, NAT_TO_INSIDE)->bytes, lab_one(l, NAT_TO_INSIDE)->len));
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.src, LAB_EXT);
	ck_assert_uint_eq(lab_one(l, NAT_TO_OUTSIDE)->v.dst, LAB_S1);
	LAB_SEND(l, .proto = GRE, .src = VPN, .dst = LAB_S1);
	b.src = LAB_R;
	b.dst = LAB_EXT;
	lab_send(l, error,
		 build_icmp_error(error, &b, lab_one(l, NAT_TO_OUTSIDE)->bytes, lab_one(l, NAT_TO_OUTSIDE)->len));
	ck_assert_uint_eq(lab_one(l, NAT_TO_INSIDE)->v.dst, VPN);
}
END_TEST

static Suite *suite(void)
{
	const TTest *const tests[] = {
		test_protocol_without_ports_is_forwarded_both_ways,
		test_host_of_a_protocol_speaks_first_from_the_forwards_address,
		test_another_hosts_session_keeps_the_protocol_with_its_remote_host,
		test_from_holds_for_protocols_and_default_hosts,
		test_default_host_gets_what_nothing_else_asks_for,
		test_default_host_gets_no_port_in_quarantine,
		test_ports_with_a_default_hosts_session_are_not_drawn_for_its_remote,
		test_default_host_leaves_a_shared_address_what_is_the_hosts,
		test_forwarded_pings_reach_their_host_and_leave_other_ids_alone,
		test_hairpin_without_ports_needs_two_addresses,
		test_icmp_errors_about_forwarded_protocols_pass,
	};
	Suite *s = suite_create("nat_default");
	TCase *tc = tcase_create("default");

	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
