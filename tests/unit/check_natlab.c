/* SPDX-License-Identifier: ISC */
/* natlab without a laboratory: its command line, its plan, the blocks of a recording. */
#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "natlab/options.h"
#include "natlab/plan.h"
#include "natlab/record.h"
#include "unit.h"

START_TEST(test_types_and_their_options)
{
	struct nat_wish w;
	const char *about;

	ck_assert_ptr_null(options_take_nat(&w, "symmetric,no-udp,preserve", &about));
	ck_assert_str_eq(w.type, "symmetric");
	ck_assert(w.no_udp && w.preserve && !w.cgnat && !w.hairpin_off);
	ck_assert_ptr_null(options_take_nat(&w, "full-cone,hairpin=off,cgnat", &about));
	ck_assert(w.hairpin_off && w.cgnat);
	ck_assert_ptr_null(options_take_nat(&w, "file=a,preserve", &about));
	ck_assert_str_eq(w.file, "a,preserve");
}
END_TEST

START_TEST(test_wrong_types_are_named)
{
	static const struct {
		const char *text, *about;
	} wrong[] = {{"", ""},
		     {"cone", "cone"},
		     {"symmetric,", ""},
		     {"symmetric,preserve,hairpin", "hairpin"},
		     {"full-cone,cgnat=1,preserve", "cgnat=1,preserve"},
		     {"file=", "file="}};
	struct nat_wish w;
	const char *about;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_ptr_nonnull(options_take_nat(&w, wrong[i].text, &about));
		ck_assert_str_eq(about, wrong[i].about);
	}
}
END_TEST

static struct lab_options wish(const char *nat, unsigned hosts)
{
	struct lab_options o = {.hosts = hosts, .n_nats = 1, .server = true};
	const char *about;

	ck_assert_ptr_null(options_take_nat(&o.nats[0], nat, &about));
	return o;
}

START_TEST(test_plan_of_a_carriers_nat)
{
	static const char *const names[] = {"internet", "server", "nat1-cgnat", "nat1", "nat1-host1", "nat1-host2"};
	struct lab_options o = wish("symmetric,cgnat,no-udp", 2);
	struct plan p;

	ck_assert(plan_make(&p, &o, "/d"));
	ck_assert_uint_eq(p.n_nodes, sizeof(names) / sizeof(names[0]));
	for (size_t i = 0; i < p.n_nodes; i++)
		ck_assert_str_eq(p.nodes[i].name, names[i]);
	ck_assert_ptr_nonnull(strstr(
		p.cables,
		"link add name out0 index 1004 netns /d/nat1 type veth peer name p1 index 1005 netns /d/nat1-cgnat\n"));
	ck_assert(p.nodes[3].wish->no_udp && p.nodes[3].role == NODE_NAT && p.nodes[2].role == NODE_CGNAT);
	ck_assert_str_eq(p.nodes[5].address[0], "192.168.1.3");
	plan_free(&p);
}
END_TEST

START_TEST(test_the_largest_plan)
{
	struct lab_options o = wish("full-cone,cgnat", LAB_MAX_HOSTS);
	struct plan p;

	while (o.n_nats < LAB_MAX_NATS)
		o.nats[o.n_nats++] = o.nats[0];
	ck_assert(plan_make(&p, &o, "/d"));
	ck_assert_uint_eq(p.n_nodes, 2 + LAB_MAX_NATS * (2 + LAB_MAX_HOSTS));
	ck_assert_str_eq(p.nodes[p.n_nodes - 1].name, "nat250-host250");
	ck_assert_str_eq(p.nodes[p.n_nodes - 1].address[0], "192.168.250.251");
	plan_free(&p);
}
END_TEST

static uint32_t word(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Both lengths of a block are there and a multiple of four; the packet is cut, its length kept. */
START_TEST(test_blocks_of_a_recording)
{
	static uint8_t block[RECORD_SNAP + RECORD_OVERHEAD], packet[RECORD_SNAP + 1];
	size_t n = record_section(block);

	ck_assert_uint_eq(n, 28);
	ck_assert_uint_eq(word(block + 4), n);
	n = record_interface(block, "nat1-out0");
	ck_assert_uint_eq(n % 4, 0);
	ck_assert_uint_eq(word(block + 4), n);
	ck_assert_uint_eq(word(block + n - 4), n);
	n = record_packet(block, 3, 0x100000002, packet, 5);
	ck_assert_uint_eq(n, 28 + 8 + 4 - 0);
	ck_assert_uint_eq(word(block + 8), 3);
	ck_assert_uint_eq(word(block + 12), 1);
	ck_assert_uint_eq(word(block + 16), 2);
	n = record_packet(block, 0, 0, packet, sizeof(packet));
	ck_assert_uint_le(n, sizeof(block));
	ck_assert_uint_eq(word(block + 20), RECORD_SNAP);
	ck_assert_uint_eq(word(block + 24), sizeof(packet));
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("natlab");
	TCase *t = tcase_create("natlab");

	tcase_add_test(t, test_types_and_their_options);
	tcase_add_test(t, test_wrong_types_are_named);
	tcase_add_test(t, test_plan_of_a_carriers_nat);
	tcase_add_test(t, test_the_largest_plan);
	tcase_add_test(t, test_blocks_of_a_recording);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
