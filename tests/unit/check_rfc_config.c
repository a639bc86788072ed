/* SPDX-License-Identifier: ISC */
/*
 * Settings and defaults that the RFCs require: from the text of natd.conf to the behaviour of the core, in virtual
 * time.
 */
#include <check.h>
#include <string.h>

#include "daemon/config/config.h"
#include "natlab.h"
#include "unit.h"

#define BASE "outside = { interface = \"eth0\"; }; inside = { interfaces = [ \"wg0\" ]; };"

/* libconfig 1.5 forgets a string that stands where none may: not natd's leak. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
}

static void teardown(void)
{
	lab_free(lab);
}

/* The lab with the settings that `text` makes of the defaults. */
static void start_with(const char *text)
{
	struct config_report report = {0};
	struct natd_config *c = config_load_string(text, strlen(text), "f", &report);

	ck_assert_ptr_nonnull(c);
	lab->policy.timeouts = c->timeouts;
	lab->policy.mapping = c->translation.mapping;
	lab->policy.filtering = c->translation.filtering;
	lab->policy.unsolicited = c->outside.unsolicited;
	lab->policy.port_selection = c->translation.port_selection;
	lab->policy.port_parity = c->translation.port_parity;
	lab->policy.pooling = c->translation.pooling;
	lab->policy.exhausted_icmp = c->translation.exhausted_icmp;
	config_free(c);
	config_report_fini(&report);
	lab_start(lab);
}

/* Lives exactly so long after its last packet. */
static void expect_life(uint32_t seconds)
{
	ck_assert_uint_eq(lab_sessions(lab), 1);
	lab_advance(lab, seconds * 1000ull);
	ck_assert_uint_eq(lab_sessions(lab), 1);
	lab_advance(lab, 1000);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}

enum what { UDP, ICMP, OTHER, OPENING, ESTABLISHED, CLOSING };

static void open_one(enum what what)
{
	switch (what) {
	case UDP:
		lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
		break;
	case ICMP:
		lab_echo_out(lab, LAB_A, 5000, LAB_S1);
		break;
	case OTHER:
		LAB_SEND(lab, .proto = 47, .src = LAB_A, .dst = LAB_S1, .payload_len = 8);
		break;
	case OPENING:
		lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7);
		break;
	case ESTABLISHED:
		lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 7);
		break;
	case CLOSING:
		lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 7);
		LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 7, .flags = TCP_RST,
			 .seq = 1001);
		break;
	}
}

static const struct {
	enum what what;
	uint32_t seconds;
} by_default[] = {{UDP, 300}, {ICMP, 60}, {OTHER, 300}, {OPENING, 240}, {ESTABLISHED, 7440}, {CLOSING, 240}};

START_TEST(test_4787_5_5c_5382_5_5508_2_7857_2_1_timers_by_default)
{
	start_with(BASE);
	open_one(by_default[_i].what);
	expect_life(by_default[_i].seconds);
}
END_TEST

static const uint32_t configured[] = {
	[UDP] = 601, [ICMP] = 302, [OTHER] = 403, [OPENING] = 504, [ESTABLISHED] = 9005, [CLOSING] = 206};

START_TEST(test_4787_5b_5382_5a_5508_2a_7857_2_1_each_timer_is_configurable)
{
	start_with(BASE "timeouts = { udp = 601; icmp = 302; other = 403; tcp_opening = 504;"
			" tcp_established = 9005; tcp_closing = 206; };");
	open_one((enum what)_i);
	expect_life(configured[_i]);
}
END_TEST

/* ... and a reload changes it for what lives. */
START_TEST(test_4787_5b_timers_change_with_a_reload)
{
	start_with(BASE);
	open_one(UDP);
	lab->policy.timeouts.udp = 150;
	lab_reload(lab);
	expect_life(150);
}
END_TEST

START_TEST(test_4787_4_7857_8_parity_is_kept_when_asked_for_alone)
{
	unsigned same = 0;

	start_with(_i ? BASE "translation = { port_parity = true; };" : BASE);
	for (uint16_t i = 0; i < 200; i++)
		same += lab_udp_out(lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 7) % 2 == i % 2;
	if (_i)
		ck_assert_uint_eq(same, 200);
	else
		ck_assert(same > 50 && same < 150);
}
END_TEST

/* RFC 6888 REQ-2: paired by default; RFC 4787 REQ-8, RFC 6888 REQ-7: address-dependent filtering by default. */
START_TEST(test_6888_2_7_4787_8_defaults_of_pooling_and_filtering)
{
	lab->addresses[0].last = LAB_EXT + 7;
	start_with(BASE);
	for (uint16_t i = 0; i < 50; i++) {
		static uint32_t first;

		lab_udp_out(lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 7);
		if (i == 0)
			first = lab->out[0].v.src;
		ck_assert_uint_eq(lab->out[0].v.src, first);
	}
	const struct pkt_view v = lab->out[0].v;

	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = v.src, .sport = 99, .dport = v.sport);
	lab_one(lab, NAT_TO_INSIDE);
	LAB_SEND(lab, .proto = 17, .src = LAB_S2, .dst = v.src, .sport = 7, .dport = v.sport);
	lab_dropped(lab, DROP_FILTERED);
}
END_TEST

START_TEST(test_4787_8a_5382_3a_6888_7_filtering_is_configurable)
{
	static const char *const names[] = {"endpoint-independent", "address-dependent", "address-and-port-dependent"};
	char text[300];

	snprintf(text, sizeof(text), "%s translation = { filtering = \"%s\"; };", BASE, names[_i]);
	start_with(text);
	uint16_t u = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7), t = lab_syn_out(lab, LAB_A, 5000, LAB_S1, 7);

	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 99, .dport = u);
	ck_assert_uint_eq(lab->n_out, _i != 2);
	LAB_SEND(lab, .proto = 17, .src = LAB_S2, .dst = LAB_EXT, .sport = 7, .dport = u);
	ck_assert_uint_eq(lab->n_out, _i == 0);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 99, .dport = t, .flags = TCP_SYN);
	ck_assert_uint_eq(lab->n_out, _i != 2);
	LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 7, .dport = t, .flags = TCP_SYN);
	ck_assert_uint_eq(lab->n_out, _i == 0);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_4787_5_5c_5382_5_5508_2_7857_2_1_timers_by_default, 6},
		{test_4787_5b_5382_5a_5508_2a_7857_2_1_each_timer_is_configurable, 6},
		{test_4787_5b_timers_change_with_a_reload, 1},
		{test_4787_4_7857_8_parity_is_kept_when_asked_for_alone, 2},
		{test_6888_2_7_4787_8_defaults_of_pooling_and_filtering, 1},
		{test_4787_8a_5382_3a_6888_7_filtering_is_configurable, 3},
	};
	Suite *s = suite_create("rfc_config");
	TCase *tc = tcase_create("config");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(tc, tests[i].test, 0, tests[i].loops);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
