/* SPDX-License-Identifier: ISC */
/* natd-web's pure parts: the text of /metrics, parameters, and the hosts that may connect. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "web/http.h"
#include "web/metrics.h"
#include "web/params.h"

/* ---- metrics ---- */

/* Inline, gcc 12 mistakes `&text` for its result. */
__attribute__((noinline)) static char *written(const struct metrics *m)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	metrics_write(f, m);
	fclose(f);
	return text;
}

static void expect_text(const char *text, const char *wanted)
{
	ck_assert_msg(strstr(text, wanted) != NULL, "not there: %s\nin:\n%s", wanted, text);
}

static const struct ctl_counter counters[] = {
	{7, "drop_ttl", "time to live used up", CTL_COUNTER, ""},
	{1, "out_packets", "packets", CTL_COUNTER, ""},
	{9, "drop_no_port", "no port", CTL_COUNTER, ""},
	{2, "out_bytes", "bytes in them", CTL_COUNTER, "bytes"},
	{3, "in_packets", "packets", CTL_COUNTER, ""},
	{4, "sessions_ended_address_lost", "lost", CTL_COUNTER, ""},
	{5, "sessions_tcp_time_wait", "waiting", CTL_GAUGE, ""},
	{6, "memory_resident", "a \"quoted\" \\ help", CTL_GAUGE, "bytes"},
	{8, "table_bytes", "table", CTL_GAUGE, "bytes"},
	{10, "odd-name\n", "of another natd\n", CTL_COUNTER, ""},
	{11, "alarm_ports", "alarm", CTL_GAUGE, ""},
	{12, "send_again", "not sent", CTL_COUNTER, ""},
	{13, "ready_total", "odd", CTL_COUNTER, ""},
};

static struct metrics some(bool is_openmetrics)
{
	static const struct web_stats web = {.answered = {0, 0, 3}, .queries = 2, .query_us = 1500000};
	static const struct ctl_pool pool = {0xcb007101, true, 100, {10, 0, 200}, {4, 0, 300}};

	return (struct metrics){.is_openmetrics = is_openmetrics,
				.is_up = true,
				.version = "1 \"x\"\n",
				.counters = counters,
				.n_counters = sizeof(counters) / sizeof(*counters),
				.pools = &pool,
				.n_pools = 1,
				.web = &web,
				.clients = 5};
}

START_TEST(test_counters_that_differ_by_reason_are_one_metric)
{
	const struct metrics m = some(false);
	char *text = written(&m);

	expect_text(text, "natd_dropped_packets_total{reason=\"drop_ttl\"} 7\n"
			  "natd_dropped_packets_total{reason=\"drop_no_port\"} 9\n");
	expect_text(text, "natd_translated_packets_total{direction=\"out\"} 1\n"
			  "natd_translated_packets_total{direction=\"in\"} 3\n");
	expect_text(text,
		    "# TYPE natd_translated_bytes_total counter\nnatd_translated_bytes_total{direction=\"out\"} 2\n");
	expect_text(text, "natd_sessions_ended_total{reason=\"address-lost\"} 4\n");
	expect_text(text, "natd_sessions{protocol=\"tcp\",state=\"TIME_WAIT\"} 5\n");
	expect_text(text, "natd_alarm_raised{id=\"ports\"} 11\n");
	expect_text(text, "natd_unsent_packets_total{reason=\"send_again\"} 12\n");
	free(text);
}
END_TEST

START_TEST(test_others_are_metrics_of_their_own_with_their_unit)
{
	const struct metrics m = some(false);
	char *text = written(&m);

	expect_text(text, "# HELP natd_memory_resident_bytes a \"quoted\" \\\\ help\n"
			  "# TYPE natd_memory_resident_bytes gauge\nnatd_memory_resident_bytes 6\n");
	expect_text(text, "\nnatd_table_bytes 8\n");
	expect_text(text, "# HELP natd_odd_name__total of another natd?\n");
	expect_text(text, "\nnatd_odd_name__total 10\n");
	expect_text(text, "\nnatd_ready_total 13\n");
	expect_text(text, "natd_build_info{version=\"1__x__\",");
	free(text);
}
END_TEST

START_TEST(test_ports_are_used_quarantined_or_free_and_never_negative)
{
	const struct metrics m = some(false);
	char *text = written(&m);

	expect_text(text, "natd_ports{address=\"203.0.113.1\",protocol=\"tcp\",state=\"used\"} 6\n"
			  "natd_ports{address=\"203.0.113.1\",protocol=\"tcp\",state=\"quarantined\"} 4\n"
			  "natd_ports{address=\"203.0.113.1\",protocol=\"tcp\",state=\"free\"} 90\n");
	expect_text(text, "{address=\"203.0.113.1\",protocol=\"icmp\",state=\"used\"} 0\n");
	expect_text(text, "{address=\"203.0.113.1\",protocol=\"icmp\",state=\"free\"} 0\n");
	free(text);
}
END_TEST

START_TEST(test_openmetrics_has_its_own_heads_and_end)
{
	const struct metrics m = some(true);
	char *text = written(&m);

	expect_text(text, "# TYPE natd_dropped_packets counter\nnatd_dropped_packets_total{");
	expect_text(text, "# TYPE natd_build info\nnatd_build_info{");
	expect_text(text, "# HELP natd_memory_resident_bytes a \\\"quoted\\\" \\\\ help\n");
	expect_text(text, "natd_control_request_duration_seconds_sum 1.500000\n"
			  "natd_control_request_duration_seconds_count 2\n# EOF\n");
	free(text);
}
END_TEST

START_TEST(test_without_natd_there_is_up_0_and_little_else)
{
	struct metrics m = some(false);
	char *text;

	m.is_up = false;
	text = written(&m);
	expect_text(text, "\nnatd_up 0\n");
	ck_assert_ptr_null(strstr(text, "natd_dropped"));
	ck_assert_ptr_null(strstr(text, "natd_build"));
	free(text);
}
END_TEST

START_TEST(test_accept_header_chooses_the_format)
{
	static const struct {
		const char *accept;
		bool wants;
	} rows[] = {
		{NULL, false},
		{"", false},
		{"*/*", false},
		{"text/plain", false},
		{"application/openmetrics-text", true},
		{"application/openmetrics-text; version=1.0.0; charset=utf-8", true},
		{"application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true},
		{"text/plain;q=0.9, application/openmetrics-text;q=0.1", false},
		{"application/openmetrics-text;q=0", false},
		{"application/openmetrics-text; q=0.5, text/plain; q=0.5", true},
		{",,,;q=;q", false},
		{"application/openmetrics-text;q", true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		ck_assert_msg(metrics_wants_openmetrics(rows[i].accept) == rows[i].wants, "%s", rows[i].accept);
}
END_TEST

/* ---- parameters ---- */

START_TEST(test_parameters_are_read)
{
	struct params p;

	ck_assert(params_parse(&p, NULL, PARAM_LIMIT));
	ck_assert_uint_eq(p.limit, 100);
	ck_assert(params_parse(&p, "limit=7&proto=tcp&orig-src=10.8.0.0%2F24&dport=443", PARAM_LIMIT | PARAM_FILTER));
	ck_assert_uint_eq(p.limit, 7);
	ck_assert_uint_eq(p.filter.criteria, CTL_BY_PROTOCOL | CTL_BY_ORIG_SRC | CTL_BY_DPORT);
	ck_assert_uint_eq(p.filter.orig_src.address, 0x0a080000);
	ck_assert(params_parse(&p, "endpoint=203.0.113.1:28783&protocol=udp&at=2026-01-31T23:59:59Z&soft=1",
			       PARAM_ENDPOINT));
	ck_assert_uint_eq(p.who.outside.port, 28783);
	ck_assert_uint_eq(p.who.protocol, 17);
	ck_assert_uint_eq(p.at_us, 1769903999000000);
	ck_assert(p.is_soft);
	ck_assert(params_parse(&p, "src-nat=", PARAM_FILTER));
	ck_assert_uint_eq(p.filter.criteria, CTL_BY_ORIGIN);
}
END_TEST

START_TEST(test_wrong_parameters_are_named)
{
	static const struct {
		const char *query, *why;
		unsigned takes;
	} rows[] = {
		{"limit=1001", "limit: \"1001\" is not a number up to 1000", PARAM_LIMIT},
		{"limit=-1", "limit: \"-1\" is not a number up to 1000", PARAM_LIMIT},
		{"limit=1", "limit: \"1\" is no parameter of this path", 0},
		{"limit=1&limit=1", "limit: \"1\" is given a second time", PARAM_LIMIT},
		{"proto=foo", "proto: \"foo\" is not a protocol's name or number", PARAM_FILTER},
		{"src=1.2.3.4&orig-src=1.2.3.4", "orig-src: \"1.2.3.4\" gives a criterion a second time", PARAM_FILTER},
		{"x%0a=%1b%5b", "x%0a: \"\\x1b[\" is no parameter of this path", PARAM_FILTER},
		{"soft=2", "soft: \"2\" is not 1", 0},
		{"at=1", "endpoint: \"\" is missing: endpoint=ADDRESS:PORT", PARAM_ENDPOINT},
		{"endpoint=1.2.3.4", "endpoint: \"1.2.3.4\" is not ADDRESS:PORT", PARAM_ENDPOINT},
		{"endpoint=1.2.3.4:1&protocol=gre", "protocol: \"gre\" is not tcp, udp or icmp", PARAM_ENDPOINT},
		{"dport", "query: \"dport\" is not NAME=VALUE&NAME=VALUE", PARAM_FILTER},
	};
	struct params p;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ck_assert_msg(!params_parse(&p, rows[i].query, rows[i].takes), "%s", rows[i].query);
		ck_assert_str_eq(p.wrong, rows[i].why);
	}
}
END_TEST

START_TEST(test_hosts_that_a_foreign_page_can_have_are_not_ours)
{
	static const char *const ours[] = {NULL,	 "127.0.0.1",	"127.0.0.1:9642", "[::1]",
					   "[::1]:9642", "LocalHost:1", "10.8.0.1"};
	static const char *const foreign[] = {"",
					      "evil.example",
					      "127.0.0.1.evil.example",
					      "localhost.evil.example",
					      "[::1",
					      "[]",
					      "127.0.0.1@evil",
					      ("1234567890123456789012345678901234567890"
					       "1234567890123456789012345678901234567890")};

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		ck_assert_msg(http_host_is_ours(ours[i]), "%s", ours[i]);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
		ck_assert_msg(!http_host_is_ours(foreign[i]), "%s", foreign[i]);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("web");
	TCase *t = tcase_create("web");

	tcase_add_test(t, test_counters_that_differ_by_reason_are_one_metric);
	tcase_add_test(t, test_others_are_metrics_of_their_own_with_their_unit);
	tcase_add_test(t, test_ports_are_used_quarantined_or_free_and_never_negative);
	tcase_add_test(t, test_openmetrics_has_its_own_heads_and_end);
	tcase_add_test(t, test_without_natd_there_is_up_0_and_little_else);
	tcase_add_test(t, test_accept_header_chooses_the_format);
	tcase_add_test(t, test_parameters_are_read);
	tcase_add_test(t, test_wrong_parameters_are_named);
	tcase_add_test(t, test_hosts_that_a_foreign_page_can_have_are_not_ours);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
