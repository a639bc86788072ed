/* SPDX-License-Identifier: ISC */
/* Filter rules through the core: permitted openings, the form of a refusal, limits, counters, and sessions that a
 * reload ends. */
#include <check.h>
#include <string.h>

#include "core/nat/rule_view.h"
#include "natlab.h"
#include "unit.h"

enum { RULES = 8, TCP_BIT = 1u << 6, UDP_BIT = 1u << 17, ICMP_BIT = 1u << 1, ADMIN = 13 };

static struct lab *lab;
static struct filter_rule rules[RULES];
static struct filter_list lists[RULES];
static struct filter_span spans[RULES];
static struct nat_range ports[RULES];
static struct filter_config config;

static void setup(void)
{
	lab = lab_new();
	config = (struct filter_config){.lists = lists, .rules = rules};
	lab->policy.filter = &config;
}

static void teardown(void)
{
	lab_free(lab);
}

static struct filter_rule *add(const char *name, enum filter_action action, uint8_t directions)
{
	struct filter_rule *r = &rules[config.n_rules++];

	*r = (struct filter_rule){.action = (uint8_t)action,
				  .directions = directions,
				  .from = FILTER_ANY,
				  .to = FILTER_ANY,
				  .via = FILTER_ANY,
				  .forward = FILTER_NONE};
	strcpy(r->name, name);
	return r;
}

static uint16_t list(uint32_t first, uint32_t last)
{
	spans[config.n_lists] = (struct filter_span){first, last};
	lists[config.n_lists] = (struct filter_list){&spans[config.n_lists], 1};
	return (uint16_t)config.n_lists++;
}

static void set_port(struct filter_rule *r, uint16_t port)
{
	struct nat_range *range = &ports[r - rules];

	*range = (struct nat_range){port, port};
	r->ports = range;
	r->n_ports = 1;
}

static void add_forward(uint16_t port, uint16_t to_port)
{
	struct nat_forward *f = &lab->forwards[lab->policy.n_forwards++];

	*f = (struct nat_forward){.protocols = 1 << CLASS_TCP | 1 << CLASS_UDP,
				  .ports = {port, port},
				  .to = LAB_WEB,
				  .to_port = to_port,
				  .name = "web"};
}

static void send_syn(uint32_t from, uint16_t sport, uint32_t to, uint16_t dport)
{
	LAB_SEND(lab, .proto = 6, .src = from, .dst = to, .sport = sport, .dport = dport, .flags = TCP_SYN, .seq = 1000,
		 .window = 1000, .df = true);
}

static void send_udp(uint32_t from, uint16_t sport, uint32_t to, uint16_t dport)
{
	LAB_SEND(lab, .proto = 17, .src = from, .dst = to, .sport = sport, .dport = dport, .payload_len = 8);
}

static struct rule_view rule(uint32_t i)
{
	struct rule_view v;

	nat_rule_survey_begin(lab->nat);
	while (nat_rule_survey_step(lab->nat, 1000))
		;
	nat_rule_view(lab->nat, i, &v);
	return v;
}

/* ---- refusals ---- */

START_TEST(a_rule_that_drops_is_silent_and_opens_nothing)
{
	struct filter_rule *r = add("no-smtp", FILTER_DROP, FILTER_OUT);

	r->protocols[0] = TCP_BIT;
	set_port(r, 25);
	lab_start(lab);
	send_syn(LAB_A, 5000, LAB_S1, 25);
	lab_dropped(lab, DROP_RULE);
	ck_assert_uint_eq(lab_sessions(lab), 0);
	send_syn(LAB_A, 5000, LAB_S1, 80);
	lab_one(lab, NAT_TO_OUTSIDE);
	send_udp(LAB_A, 5000, LAB_S1, 25);
	lab_one(lab, NAT_TO_OUTSIDE);
}
END_TEST

/* RFC 9293 3.10.7.1: SYN_SENT accepts a reset only if it acknowledges the SYN. */
START_TEST(a_rule_that_rejects_answers_tcp_with_a_reset)
{
	const struct lab_out *o;

	add("closed", FILTER_REJECT, FILTER_OUT);
	lab_start(lab);
	send_syn(LAB_A, 5000, LAB_S1, 25);
	ck_assert_uint_eq(lab->n_out, 1);
	o = &lab->out[0];
	ck_assert_uint_eq(o->to, NAT_TO_INSIDE);
	ck_assert_uint_eq(o->v.src, LAB_S1);
	ck_assert_uint_eq(o->v.dst, LAB_A);
	ck_assert_uint_eq(o->v.sport, 25);
	ck_assert_uint_eq(o->v.dport, 5000);
	ck_assert_uint_eq(o->v.tcp_flags, TCP_RST | TCP_ACK);
	ck_assert_uint_eq(o->v.tcp_seq, 0);
	ck_assert_uint_eq(o->v.tcp_ack, 1001);
	ck_assert_uint_eq(lab_delta(lab, DROP_RULE_REJECT), 1);
	ck_assert_uint_eq(lab_delta(lab, COUNT_RESET_SENT), 1);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

START_TEST(a_rule_that_rejects_answers_the_rest_with_icmp_administratively_prohibited)
{
	const struct lab_out *o;

	add("closed", FILTER_REJECT, FILTER_OUT);
	lab_start(lab);
	send_udp(LAB_A, 5000, LAB_S1, 53);
	o = lab_dropped_with_icmp(lab, DROP_RULE_REJECT, 3, ADMIN);
	ck_assert_uint_eq(o->v.dst, LAB_A);
}
END_TEST

START_TEST(an_inbound_reject_answers_outside_as_the_forward_s_address)
{
	const struct lab_out *o;

	add_forward(80, 8080);
	add("closed", FILTER_REJECT, FILTER_IN);
	lab_start(lab);
	send_syn(LAB_S1, 6000, LAB_EXT, 80);
	ck_assert_uint_eq(lab->n_out, 1);
	o = &lab->out[0];
	ck_assert_uint_eq(o->to, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.sport, 80);
	ck_assert_uint_eq(o->v.dst, LAB_S1);
	send_udp(LAB_S1, 6000, LAB_EXT, 80);
	o = lab_dropped_with_icmp(lab, DROP_RULE_REJECT, 3, ADMIN);
	ck_assert_uint_eq(o->to, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(o->v.src, LAB_EXT);
}
END_TEST

/* ---- what a rule matches ---- */

START_TEST(inbound_rules_see_the_inside_host_and_its_port)
{
	struct filter_rule *r;

	add_forward(80, 8080);
	r = add("by-inside-port", FILTER_DROP, FILTER_IN);
	r->protocols[0] = UDP_BIT;
	set_port(r, 8080);
	r->to = list(LAB_WEB, LAB_WEB);
	r = add("by-outside-port", FILTER_DROP, FILTER_IN);
	r->protocols[0] = TCP_BIT;
	set_port(r, 80);
	lab_start(lab);
	send_udp(LAB_S1, 6000, LAB_EXT, 80);
	lab_dropped(lab, DROP_RULE);
	send_syn(LAB_S1, 6000, LAB_EXT, 80);
	lab_one(lab, NAT_TO_INSIDE);
}
END_TEST

START_TEST(a_rule_by_forward_lets_in_whom_it_names)
{
	struct filter_rule *r;

	add_forward(80, 8080);
	r = add("office", FILTER_ACCEPT, FILTER_IN);
	r->forward = 0;
	r->from = list(LAB_S1, LAB_S1);
	r = add("others", FILTER_DROP, FILTER_IN);
	r->forward = 0;
	lab_start(lab);
	send_syn(LAB_S1, 6000, LAB_EXT, 80);
	lab_one(lab, NAT_TO_INSIDE);
	send_syn(LAB_S2, 6000, LAB_EXT, 80);
	lab_dropped(lab, DROP_RULE);
}
END_TEST

/* Sessions are stateful: the opening is judged, once. */
START_TEST(answers_and_icmp_errors_of_a_session_pass_whatever_the_inbound_rules)
{
	uint16_t ext;
	uint8_t quoted[BUILD_MAX];
	size_t len;

	add("nothing-in", FILTER_DROP, FILTER_IN);
	lab_start(lab);
	ext = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
	len = lab->out[0].len;
	memcpy(quoted, lab->out[0].bytes, len);
	send_udp(LAB_S1, 53, LAB_EXT, ext);
	lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_gt(len, 28);
}
END_TEST

START_TEST(inbound_rules_hold_for_endpoint_independent_mappings_too)
{
	uint16_t ext;
	struct filter_rule *r;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	r = add("bad", FILTER_DROP, FILTER_IN);
	r->from = list(LAB_S2, LAB_S2);
	lab_start(lab);
	ext = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
	send_udp(LAB_S3, 99, LAB_EXT, ext);
	lab_one(lab, NAT_TO_INSIDE);
	send_udp(LAB_S2, 99, LAB_EXT, ext);
	lab_dropped(lab, DROP_RULE);
}
END_TEST

START_TEST(a_hairpin_opening_is_judged_as_out_then_as_in)
{
	struct filter_rule *r;

	add_forward(80, 8080);
	r = add("not-to-web", FILTER_REJECT, FILTER_IN);
	r->to = list(LAB_WEB, LAB_WEB);
	r->from = list(LAB_EXT, LAB_EXT); /* the source that the inside host would see */
	r = add("not-from-b", FILTER_DROP, FILTER_OUT);
	r->from = list(LAB_B, LAB_B);
	lab_start(lab);
	send_syn(LAB_B, 5000, LAB_EXT, 80);
	lab_dropped(lab, DROP_RULE);
	send_syn(LAB_A, 5000, LAB_EXT, 80);
	ck_assert_uint_eq(lab_delta(lab, DROP_RULE_REJECT), 1);
	ck_assert_uint_eq(lab->n_out, 1);
	ck_assert_uint_eq(lab->out[0].to, NAT_TO_INSIDE);
	ck_assert_uint_eq(lab->out[0].v.dst, LAB_A);
	ck_assert_uint_eq(lab->out[0].v.src, LAB_EXT);
	ck_assert_uint_eq(lab->out[0].v.dport, 5000);
}
END_TEST

START_TEST(icmp_is_matched_by_its_type)
{
	struct filter_rule *r = add("no-echo", FILTER_DROP, FILTER_OUT);

	r->protocols[0] = ICMP_BIT;
	r->icmp_types[0] = 1u << 8;
	lab_start(lab);
	LAB_SEND(lab, .proto = 1, .src = LAB_A, .dst = LAB_S1, .icmp_type = 8, .sport = 7, .payload_len = 8);
	lab_dropped(lab, DROP_RULE);
}
END_TEST

/* ---- limits ---- */

START_TEST(above_its_limit_a_rule_passes_to_the_next)
{
	struct filter_rule *r = add("some", FILTER_ACCEPT, FILTER_OUT);

	r->limit = (struct filter_limit){2, 3};
	add("none", FILTER_DROP, FILTER_OUT);
	lab_start(lab);
	for (uint16_t i = 0; i < 3; i++) {
		send_udp(LAB_A, (uint16_t)(5000 + i), LAB_S1, 53);
		lab_one(lab, NAT_TO_OUTSIDE);
	}
	send_udp(LAB_A, 5003, LAB_S1, 53);
	lab_dropped(lab, DROP_RULE);
	send_udp(LAB_B, 5003, LAB_S1, 53); /* by source */
	lab_one(lab, NAT_TO_OUTSIDE);
	lab_advance(lab, 499);
	send_udp(LAB_A, 5003, LAB_S1, 53);
	lab_dropped(lab, DROP_RULE);
	lab_advance(lab, 1);
	send_udp(LAB_A, 5003, LAB_S1, 53);
	lab_one(lab, NAT_TO_OUTSIDE);
	send_udp(LAB_A, 5004, LAB_S1, 53);
	lab_dropped(lab, DROP_RULE);
}
END_TEST

/* An opening that fails for another reason takes nothing from the limit. */
START_TEST(a_refused_opening_is_not_charged_to_the_rule_that_accepts_it)
{
	struct filter_rule *r = add("some", FILTER_ACCEPT, FILTER_OUT);

	r->limit = (struct filter_limit){1, 1};
	add("none", FILTER_DROP, FILTER_OUT);
	lab->policy.limits.sessions_per_host = 1;
	lab->policy.timeouts.udp = 5;
	lab_start(lab);
	send_udp(LAB_A, 5000, LAB_S1, 53);
	lab_one(lab, NAT_TO_OUTSIDE);
	lab_advance(lab, 1000);
	send_udp(LAB_A, 5001, LAB_S1, 53);
	ck_assert_uint_eq(lab_delta(lab, DROP_HOST_SESSIONS), 1);
	ck_assert_uint_eq(rule(0).sessions, 1);
	send_udp(LAB_A, 5001, LAB_S1, 53);
	ck_assert_uint_eq(lab_delta(lab, DROP_HOST_SESSIONS), 1);
}
END_TEST

/* ---- counters ---- */

START_TEST(a_rule_counts_what_it_refused_and_what_its_sessions_carry)
{
	struct filter_rule *r = add("no-smtp", FILTER_DROP, FILTER_OUT);
	struct rule_view v;
	uint16_t ext;

	r->protocols[0] = TCP_BIT;
	set_port(r, 25);
	add("rest", FILTER_ACCEPT, FILTER_OUT);
	lab->policy.timeouts.udp = 5;
	lab_start(lab);
	send_syn(LAB_A, 5000, LAB_S1, 25);
	send_syn(LAB_A, 5000, LAB_S1, 25);
	v = rule(0);
	ck_assert(v.sessions == 0 && v.refused == 2 && v.traffic.packets == 2 && v.traffic.bytes == 2 * lab->in_len);
	ext = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
	send_udp(LAB_S1, 53, LAB_EXT, ext);
	send_udp(LAB_A, 5000, LAB_S1, 53);
	v = rule(1);
	ck_assert(v.sessions == 1 && v.refused == 0 && v.traffic.packets == 3);
	lab_advance(lab, 20000); /* it ends, and still counts */
	ck_assert_uint_eq(lab_sessions(lab), 0);
	ck_assert_uint_eq(rule(1).traffic.packets, v.traffic.packets);
	ck_assert_uint_eq(rule(1).traffic.bytes, v.traffic.bytes);
}
END_TEST

START_TEST(a_session_names_the_rule_that_let_it_in)
{
	const struct session_origin *o;
	uint32_t cursor = 0;
	struct session *s;

	add_forward(80, 8080);
	add("inbound", FILTER_ACCEPT, FILTER_IN);
	lab_start(lab);
	send_syn(LAB_S1, 6000, LAB_EXT, 80);
	lab_one(lab, NAT_TO_INSIDE);
	s = table_next(nat_table(lab->nat), &cursor, UINT32_MAX);
	ck_assert_ptr_nonnull(s);
	o = table_origin_get(nat_table(lab->nat), table_session_origin(nat_table(lab->nat), s));
	ck_assert_ptr_nonnull(o);
	ck_assert_str_eq(o->rule, "inbound");
	ck_assert_str_eq(o->forward, "web");
}
END_TEST

START_TEST(decisions_of_rules_that_log_can_be_taken_once)
{
	struct filter_log e;
	const char *name;
	struct filter_rule *r = add("logged", FILTER_DROP, FILTER_OUT);

	r->log = true;
	r->protocols[0] = UDP_BIT;
	add("quiet", FILTER_DROP, FILTER_OUT);
	lab_start(lab);
	send_syn(LAB_A, 5000, LAB_S1, 25);
	ck_assert(!nat_rule_log_next(lab->nat, &e, &name));
	send_udp(LAB_A, 5000, LAB_S1, 53);
	ck_assert(nat_rule_log_next(lab->nat, &e, &name));
	ck_assert_str_eq(name, "logged");
	ck_assert(e.sport == 5000 && e.packet.port == 53 && e.packet.from == LAB_A && e.packet.to == LAB_S1);
	ck_assert(!nat_rule_log_next(lab->nat, &e, &name));
	for (uint16_t i = 0; i < FILTER_LOG_MAX + 3; i++)
		send_udp(LAB_A, (uint16_t)(5000 + i), LAB_S1, 53);
	ck_assert_uint_eq(nat_rule_log_lost(lab->nat), 3);
}
END_TEST

/* ---- reload ---- */

START_TEST(a_reload_ends_what_the_new_rules_forbid_and_keeps_the_counters_of_a_name)
{
	struct nat_reconfigure_report report;
	struct filter_rule *r;

	add("rest", FILTER_ACCEPT, FILTER_OUT);
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
	lab_udp_out(lab, LAB_A, 5001, LAB_S1, 123);
	config.n_rules = 0;
	r = add("no-dns", FILTER_REJECT, FILTER_OUT);
	r->protocols[0] = UDP_BIT;
	set_port(r, 53);
	add("rest", FILTER_ACCEPT, FILTER_OUT);
	report = lab_reload(lab);
	ck_assert_uint_eq(report.ended, 1);
	ck_assert_uint_eq(report.kept, 1);
	ck_assert_uint_eq(rule(0).sessions, 0);
	ck_assert_uint_eq(rule(1).sessions, 2);
	send_udp(LAB_A, 5000, LAB_S1, 53);
	lab_dropped_with_icmp(lab, DROP_RULE_REJECT, 3, ADMIN);
	/* and without rules everything is open again */
	lab->policy.filter = NULL;
	lab_reload(lab);
	ck_assert_uint_eq(nat_rule_count(lab->nat), 0);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
}
END_TEST

/* A limit is about openings: it never ends a session that is there. */
/* A query's type is kept with its session. */
START_TEST(a_reload_judges_an_icmp_session_by_its_type)
{
	struct filter_rule *r;

	lab_start(lab);
	LAB_SEND(lab, .proto = 1, .src = LAB_A, .dst = LAB_S1, .icmp_type = 8, .sport = 7, .payload_len = 8);
	LAB_SEND(lab, .proto = 1, .src = LAB_A, .dst = LAB_S1, .icmp_type = 13, .sport = 8, .payload_len = 12);
	lab_one(lab, NAT_TO_OUTSIDE);
	r = add("no-timestamp", FILTER_DROP, FILTER_OUT);
	r->protocols[0] = ICMP_BIT;
	r->icmp_types[0] = 1u << 13;
	ck_assert_uint_eq(lab_reload(lab).kept, 1);
	r->icmp_types[0] = 1u << 8;
	ck_assert_uint_eq(lab_reload(lab).kept, 0);
}
END_TEST

START_TEST(a_reload_keeps_what_a_rule_with_a_limit_let_in)
{
	struct filter_rule *r = add("some", FILTER_ACCEPT, FILTER_OUT);

	r->limit = (struct filter_limit){1, 1};
	add("none", FILTER_DROP, FILTER_OUT);
	lab_start(lab);
	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
	ck_assert_uint_eq(lab_reload(lab).kept, 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nat filter");
	TCase *t = tcase_create("filter");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_rule_that_drops_is_silent_and_opens_nothing);
	tcase_add_test(t, a_rule_that_rejects_answers_tcp_with_a_reset);
	tcase_add_test(t, a_rule_that_rejects_answers_the_rest_with_icmp_administratively_prohibited);
	tcase_add_test(t, an_inbound_reject_answers_outside_as_the_forward_s_address);
	tcase_add_test(t, inbound_rules_see_the_inside_host_and_its_port);
	tcase_add_test(t, a_rule_by_forward_lets_in_whom_it_names);
	tcase_add_test(t, answers_and_icmp_errors_of_a_session_pass_whatever_the_inbound_rules);
	tcase_add_test(t, inbound_rules_hold_for_endpoint_independent_mappings_too);
	tcase_add_test(t, a_hairpin_opening_is_judged_as_out_then_as_in);
	tcase_add_test(t, icmp_is_matched_by_its_type);
	tcase_add_test(t, above_its_limit_a_rule_passes_to_the_next);
	tcase_add_test(t, a_refused_opening_is_not_charged_to_the_rule_that_accepts_it);
	tcase_add_test(t, a_rule_counts_what_it_refused_and_what_its_sessions_carry);
	tcase_add_test(t, a_session_names_the_rule_that_let_it_in);
	tcase_add_test(t, decisions_of_rules_that_log_can_be_taken_once);
	tcase_add_test(t, a_reload_ends_what_the_new_rules_forbid_and_keeps_the_counters_of_a_name);
	tcase_add_test(t, a_reload_judges_an_icmp_session_by_its_type);
	tcase_add_test(t, a_reload_keeps_what_a_rule_with_a_limit_let_in);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
