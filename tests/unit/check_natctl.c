/* SPDX-License-Identifier: ISC */
/*
 * natctl without a daemon: the lines that are promised, byte for byte; nothing foreign reaches a
 * terminal; filters as conntrack has them; and an answer taken apart however it arrives.
 */
#include <check.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "client/exchange.h"
#include "ctl/filter.h"
#include "client/json.h"
#include "client/names.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "ctl/sheet.h"
#include "ctl/term.h"
#include "ctl/top.h"
#include "unit.h"

static char complaint[2048];

void natctl_complain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(complaint, sizeof(complaint), format, ap);
	va_end(ap);
}

/* ---- golden lines ---- */

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static const struct ctl_entry tcp = {
	.id = 17,
	.protocol = 6,
	.state = CTL_STATE_ESTABLISHED,
	.flags = CTL_ENTRY_REPLIED | CTL_ENTRY_ASSURED,
	.timeout_s = 7438,
	.age_s = 2,
	.inside = {IP(10, 8, 0, 2), 54321},
	.outside = {IP(203, 0, 113, 1), 60001},
	.remote = {IP(93, 184, 216, 34), 443},
	.packets = {12, 10},
	.bytes = {1904, 9120},
};
static const struct ctl_entry udp = {
	.id = 18,
	.protocol = 17,
	.timeout_s = 298,
	.inside = {IP(10, 8, 0, 3), 5353},
	.outside = {IP(203, 0, 113, 1), 60002},
	.remote = {IP(192, 0, 2, 53), 53},
	.packets = {1, 0},
	.bytes = {62, 0},
};
static const struct ctl_entry icmp = {
	.id = 19,
	.protocol = 1,
	.flags = CTL_ENTRY_REPLIED,
	.timeout_s = 57,
	.inside = {IP(10, 8, 0, 2), 4711},
	.outside = {IP(203, 0, 113, 1), 23871},
	.remote = {IP(192, 0, 2, 7), 23871},
	.packets = {1, 1},
	.bytes = {84, 84},
};
static const struct ctl_entry forwarded = {
	.id = 20,
	.protocol = 6,
	.state = CTL_STATE_SYN_RECV,
	.flags = CTL_ENTRY_REPLIED | CTL_ENTRY_FROM_OUTSIDE,
	.timeout_s = 240,
	.age_s = 1,
	.inside = {IP(10, 8, 0, 10), 8080},
	.outside = {IP(203, 0, 113, 1), 80},
	.remote = {IP(198, 51, 100, 7), 40000},
	.packets = {1, 2},
	.bytes = {60, 120},
	.forward = "web",
};
static const struct ctl_entry esp = {
	.id = 21,
	.protocol = 50,
	.flags = CTL_ENTRY_REPLIED | CTL_ENTRY_ASSURED,
	.timeout_s = 299,
	.inside = {IP(10, 8, 0, 2), 0},
	.outside = {IP(203, 0, 113, 1), 0},
	.remote = {IP(192, 0, 2, 7), 0},
	.packets = {3, 4},
	.bytes = {300, 400},
};
static const struct ctl_entry ping_in = {
	.id = 22,
	.protocol = 1,
	.flags = CTL_ENTRY_FROM_OUTSIDE,
	.timeout_s = 60,
	.inside = {IP(10, 8, 0, 2), 5},
	.outside = {IP(203, 0, 113, 1), 6},
	.remote = {IP(192, 0, 2, 7), 6},
	.packets = {0, 1},
	.bytes = {0, 84},
};

static const struct {
	const struct ctl_entry *entry;
	const char *line;
	const char *json;
} golden[] = {
	{&tcp,
	 "tcp      6 7438 ESTABLISHED src=10.8.0.2 dst=93.184.216.34 sport=54321 dport=443 packets=12 bytes=1904 "
	 "src=93.184.216.34 dst=203.0.113.1 sport=443 dport=60001 packets=10 bytes=9120 [ASSURED] id=17\n",
	 "{\"id\":17,\"protocol\":\"tcp\",\"state\":\"ESTABLISHED\",\"timeout\":7438,\"age\":2,\"origin\":\"inside\","
	 "\"forward\":null,\"inside\":{\"address\":\"10.8.0.2\",\"port\":54321},"
	 "\"outside\":{\"address\":\"203.0.113.1\",\"port\":60001},"
	 "\"remote\":{\"address\":\"93.184.216.34\",\"port\":443},\"out\":{\"packets\":12,\"bytes\":1904},"
	 "\"in\":{\"packets\":10,\"bytes\":9120},\"flags\":[\"ASSURED\"]}\n"},
	{&udp,
	 "udp      17 298 src=10.8.0.3 dst=192.0.2.53 sport=5353 dport=53 packets=1 bytes=62 [UNREPLIED] "
	 "src=192.0.2.53 dst=203.0.113.1 sport=53 dport=60002 packets=0 bytes=0 id=18\n",
	 "{\"id\":18,\"protocol\":\"udp\",\"state\":null,\"timeout\":298,\"age\":0,\"origin\":\"inside\","
	 "\"forward\":null,\"inside\":{\"address\":\"10.8.0.3\",\"port\":5353},"
	 "\"outside\":{\"address\":\"203.0.113.1\",\"port\":60002},"
	 "\"remote\":{\"address\":\"192.0.2.53\",\"port\":53},\"out\":{\"packets\":1,\"bytes\":62},"
	 "\"in\":{\"packets\":0,\"bytes\":0},\"flags\":[\"UNREPLIED\"]}\n"},
	{&icmp,
	 "icmp     1 57 src=10.8.0.2 dst=192.0.2.7 type=8 code=0 id=4711 packets=1 bytes=84 "
	 "src=192.0.2.7 dst=203.0.113.1 type=0 code=0 id=23871 packets=1 bytes=84 id=19\n",
	 NULL},
	{&forwarded,
	 "tcp      6 240 SYN_RECV src=198.51.100.7 dst=203.0.113.1 sport=40000 dport=80 packets=2 bytes=120 "
	 "src=10.8.0.10 dst=198.51.100.7 sport=8080 dport=40000 packets=1 bytes=60 id=20\n",
	 "{\"id\":20,\"protocol\":\"tcp\",\"state\":\"SYN_RECV\",\"timeout\":240,\"age\":1,\"origin\":\"outside\","
	 "\"forward\":\"web\",\"inside\":{\"address\":\"10.8.0.10\",\"port\":8080},"
	 "\"outside\":{\"address\":\"203.0.113.1\",\"port\":80},"
	 "\"remote\":{\"address\":\"198.51.100.7\",\"port\":40000},\"out\":{\"packets\":1,\"bytes\":60},"
	 "\"in\":{\"packets\":2,\"bytes\":120},\"flags\":[]}\n"},
	{&esp,
	 "unknown  50 299 src=10.8.0.2 dst=192.0.2.7 packets=3 bytes=300 "
	 "src=192.0.2.7 dst=203.0.113.1 packets=4 bytes=400 [ASSURED] id=21\n",
	 "{\"id\":21,\"protocol\":\"esp\",\"state\":null,\"timeout\":299,\"age\":0,\"origin\":\"inside\","
	 "\"forward\":null,\"inside\":{\"address\":\"10.8.0.2\",\"port\":null},"
	 "\"outside\":{\"address\":\"203.0.113.1\",\"port\":null},"
	 "\"remote\":{\"address\":\"192.0.2.7\",\"port\":null},\"out\":{\"packets\":3,\"bytes\":300},"
	 "\"in\":{\"packets\":4,\"bytes\":400},\"flags\":[\"ASSURED\"]}\n"},
	{&ping_in,
	 "icmp     1 60 src=192.0.2.7 dst=203.0.113.1 type=8 code=0 id=6 packets=1 bytes=84 [UNREPLIED] "
	 "src=10.8.0.2 dst=192.0.2.7 type=0 code=0 id=5 packets=0 bytes=0 id=22\n",
	 NULL},
};

enum { GOLDEN = sizeof(golden) / sizeof(golden[0]) };

static char text[65536];

static FILE *open_text(void)
{
	memset(text, 0, sizeof(text));
	return fmemopen(text, sizeof(text) - 1, "w");
}

START_TEST(test_entry_lines_are_conntracks)
{
	FILE *f = open_text();

	output_entry_line(f, golden[_i].entry, 0);
	fclose(f);
	ck_assert_str_eq(text, golden[_i].line);
}
END_TEST

/* Fault 42: what `conntrack -L -o save` and `-o extended` print of the same entries (see test_conntrack.py). */
START_TEST(test_fault_42_save_and_extended_are_conntracks)
{
	FILE *f = open_text();

	output_entry_save(f, &tcp);
	output_entry_save(f, &udp);
	output_entry_save(f, &icmp);
	output_entry_save(f, &esp);
	output_entry_line(f, &udp, LINE_EXTENDED | LINE_MARK);
	fclose(f);
	ck_assert_str_eq(
		text,
		"-A -t 7438 -u SEEN_REPLY,ASSURED -s 10.8.0.2 -d 93.184.216.34 -r 93.184.216.34 -q 203.0.113.1 -p tcp "
		"--sport 54321 --dport 443 --reply-port-src 443 --reply-port-dst 60001 --state ESTABLISHED\n"
		"-A -t 298 -u UNSET -s 10.8.0.3 -d 192.0.2.53 -r 192.0.2.53 -q 203.0.113.1 -p udp --sport 5353 "
		"--dport 53 --reply-port-src 53 --reply-port-dst 60002\n"
		"-A -t 57 -u SEEN_REPLY -s 10.8.0.2 -d 192.0.2.7 -r 192.0.2.7 -q 203.0.113.1 -p icmp --icmp-type 8 "
		"--icmp-code 0 --icmp-id 4711\n"
		"-A -t 299 -u SEEN_REPLY,ASSURED -s 10.8.0.2 -d 192.0.2.7 -r 192.0.2.7 -q 203.0.113.1 -p 50\n"
		"ipv4     2 udp      17 298 src=10.8.0.3 dst=192.0.2.53 sport=5353 dport=53 packets=1 bytes=62 "
		"[UNREPLIED] src=192.0.2.53 dst=203.0.113.1 sport=53 dport=60002 packets=0 bytes=0 mark=0 use=1 "
		"id=18\n");
}
END_TEST

START_TEST(test_entries_as_json)
{
	FILE *f = open_text();

	if (json_is_built_in() && golden[_i].json) {
		ck_assert(json_print_entry(f, golden[_i].entry));
		fflush(f);
		ck_assert_str_eq(text, golden[_i].json);
	}
	fclose(f);
}
END_TEST

START_TEST(test_table_columns_stand_below_each_other)
{
	FILE *f = open_text();
	const char *second;

	output_entry_heading(f);
	output_entry_row(f, golden[_i].entry);
	fclose(f);
	second = strchr(text, '\n') + 1;
	ck_assert_int_eq(strstr(second, "10.8.0.") - second, strstr(text, "INSIDE") - text);
	ck_assert_int_eq(strrchr(second, ' ') + 1 - second, strstr(text, "ID\n") - text);
}
END_TEST

START_TEST(test_lines_of_mappings_forwards_and_pools)
{
	const struct ctl_mapping m = {17, {IP(10, 8, 0, 3), 5353}, {IP(203, 0, 113, 1), 60002}, {0, 0}, 2};
	const struct ctl_mapping m2 = {6, {IP(10, 8, 0, 3), 1}, {IP(203, 0, 113, 1), 2}, {IP(192, 0, 2, 7), 0}, 1};
	static struct ctl_forward w = {.name = "game",
				       .protocols = 3,
				       .first_port = 27015,
				       .last_port = 27030,
				       .to = {IP(10, 8, 0, 11), 27015},
				       .n_from = 1,
				       .from = {{IP(198, 51, 100, 0), 24}}};
	static struct ctl_forward box = {.name = "box",
					 .protocols = 1,
					 .address = IP(203, 0, 113, 9),
					 .first_port = 22,
					 .last_port = 22,
					 .to = {IP(10, 8, 0, 12), 22}};
	const struct ctl_pool p = {IP(203, 0, 113, 1), true, 20918, {1, 2, 3}, {0, 0, 0}};
	FILE *f = open_text();

	output_mapping_line(f, &m);
	output_mapping_line(f, &m2);
	output_forward_line(f, &w);
	output_forward_line(f, &box);
	output_pool_line(f, &p);
	fclose(f);
	ck_assert_str_eq(text,
			 "udp      17 inside=10.8.0.3:5353 outside=203.0.113.1:60002 remote=any sessions=2\n"
			 "tcp      6 inside=10.8.0.3:1 outside=203.0.113.1:2 remote=192.0.2.7 sessions=1\n"
			 "game tcp,udp outside=any:27015-27030 inside=10.8.0.11:27015-27030 from=198.51.100.0/24\n"
			 "box tcp outside=203.0.113.9:22 inside=10.8.0.12:22 from=any\n"
			 "203.0.113.1 shared ports=20918 tcp=1 udp=2 icmp=3\n");
}
END_TEST

START_TEST(test_nothing_foreign_reaches_a_terminal)
{
	struct ctl_forward w = {.name = "a\33[2J\177\r\n\233z", .protocols = 1, .first_port = 1, .last_port = 1};
	struct ctl_entry e = tcp;
	struct sheet *sheet = output_forward_sheet();
	FILE *f = open_text();

	strcpy(e.forward, "\33]0;x\7");
	output_forward_line(f, &w);
	ck_assert(sheet);
	output_forward_row(sheet, &w);
	sheet_print(sheet, f);
	sheet_destroy(sheet);
	output_entry_row(f, &e);
	fclose(f);
	for (const char *p = text; *p; p++)
		ck_assert(*p == '\n' || (*p >= ' ' && *p <= '~'));
	ck_assert_ptr_nonnull(strstr(text, "a\\x1b[2J\\x7f\\x0d\\x0a\\x9bz"));
}
END_TEST

START_TEST(test_json_objects)
{
	static const struct ctl_forward w = {
		.name = "web", .protocols = 1, .first_port = 80, .last_port = 80, .to = {IP(10, 8, 0, 10), 8080}};
	static const struct ctl_forward dns = {.name = "dns",
					       .protocols = 2,
					       .address = IP(10, 96, 0, 10),
					       .first_port = 53,
					       .last_port = 53,
					       .n_backends = 1,
					       .balance = CTL_BALANCE_LEAST,
					       .side = CTL_SIDE_INSIDE,
					       .affinity_s = 30};
	static const struct ctl_backend_state b = {{IP(10, 8, 0, 21), 53}, 2, CTL_BACKEND_DRAINED, 7};
	static const struct ctl_check c = {CTL_CHECK_WARN, "what", "", "ports", 83};
	struct json_object *o;
	FILE *f;

	if (!json_is_built_in())
		return;
	o = json_create();
	json_add_list(o, "warnings");
	json_add_number(o, "n", 5);
	json_add_element(o, "list", "a\1\"");
	json_add_element(o, "list", "not \377 UTF-8");
	json_add_forward(o, "forwards", &w);
	json_add_forward(o, "forwards", &dns);
	json_add_backend(o, "forwards", &b);
	json_add_check(o, "checks", &c);
	json_add_warning(o, &c);
	f = open_text();
	ck_assert(json_print(f, o));
	fclose(f);
	ck_assert_str_eq(
		text, "{\"warnings\":[{\"id\":\"ports\",\"text\":\"what\",\"remedy\":null,\"percent\":83}],\"n\":5,"
		      "\"list\":[\"a\\u0001\\\"\",\"not ? UTF-8\"],"
		      "\"forwards\":[{\"name\":\"web\",\"protocols\":[\"tcp\"],\"address\":null,"
		      "\"first_port\":80,\"last_port\":80,\"to\":{\"address\":\"10.8.0.10\",\"port\":8080},"
		      "\"from\":[],\"from_count\":0,\"side\":\"outside\",\"dynamic\":false},"
		      "{\"name\":\"dns\",\"protocols\":[\"udp\"],\"address\":\"10.96.0.10\",\"first_port\":53,"
		      "\"last_port\":53,\"to\":null,\"from\":[],\"from_count\":0,\"side\":\"inside\",\"dynamic\":false,"
		      "\"balance\":\"least\",\"affinity\":30,\"backends\":[{\"host\":\"10.8.0.21:53\",\"weight\":2,"
		      "\"state\":\"drained\",\"drained\":true,\"sessions\":7}]}],"
		      "\"checks\":[{\"id\":\"ports\",\"severity\":\"warn\",\"what\":\"what\",\"mend\":null}]}\n");
}
END_TEST

START_TEST(test_numbers_for_eyes)
{
	static const struct {
		uint64_t n;
		const char *bytes;
		const char *duration;
	} cases[] = {
		{0, "0 B", "0 s"},
		{59, "59 B", "59 s"},
		{999, "999 B", "16 min 39 s"},
		{1000, "1.0 kB", "16 min 40 s"},
		{7980, "7.9 kB", "2 h 13 min"}, /* cut, not rounded */
		{999999, "999.9 kB", "11 d 13 h"},
		{1000000, "1.0 MB", "11 d 13 h"},
		{UINT64_MAX, "18.4 EB", "213503982334601 d 7 h"},
	};
	char buf[32];

	ck_assert_str_eq(output_bytes(buf, cases[_i].n), cases[_i].bytes);
	ck_assert_str_eq(output_duration(buf, cases[_i].n), cases[_i].duration);
}
END_TEST

START_TEST(test_protocol_names)
{
	char buf[4];

	for (int i = 0; i < 256; i++) {
		const char *name = names_protocol((uint8_t)i, buf);

		ck_assert_int_eq(protocol_number(name), i);
	}
	ck_assert_int_eq(protocol_number("TCP"), 6);
	ck_assert_int_eq(protocol_number("256"), -1);
	ck_assert_int_eq(protocol_number("1x"), -1);
	ck_assert_int_eq(protocol_number("-1"), -1);
	ck_assert_int_eq(protocol_number(""), -1);
	ck_assert_str_eq(names_conntrack_protocol(2), "unknown");
}
END_TEST

/* ---- filters ---- */

enum { ARGS = 12 };

static bool parse(const char *const *words, struct natctl *n, struct ctl_filter *f)
{
	char *argv[ARGS + 2] = {NULL};
	bool ok;
	int argc = 0;

	complaint[0] = '\0';
	argv[argc++] = strdup("list");
	for (; *words; words++)
		argv[argc++] = strdup(*words);
	ok = filter_parse(n, f, argc, argv);
	for (int i = 0; i < ARGS + 2; i++)
		free(argv[i]);
	ck_assert_int_eq(ok, complaint[0] == '\0');
	return ok;
}

START_TEST(test_good_filters)
{
	static const struct {
		const char *words[ARGS];
		struct ctl_filter want;
	} cases[] = {
		{{NULL}, {0}},
		{{"-p", "tcp"}, {.criteria = CTL_BY_PROTOCOL, .protocol = 6}},
		{{"--protonum", "47"}, {.criteria = CTL_BY_PROTOCOL, .protocol = 47}},
		{{"-s", "10.8.0.2"}, {.criteria = CTL_BY_ORIG_SRC, .orig_src = {IP(10, 8, 0, 2), 32}}},
		{{"--orig-src", "10.8.0.77/24"}, {.criteria = CTL_BY_ORIG_SRC, .orig_src = {IP(10, 8, 0, 0), 24}}},
		{{"-d0.0.0.0/0"}, {.criteria = CTL_BY_ORIG_DST, .orig_dst = {0, 0}}},
		{{"--orig-dst=255.255.255.255/1"}, {.criteria = CTL_BY_ORIG_DST, .orig_dst = {IP(128, 0, 0, 0), 1}}},
		{{"-r", "1.2.3.4"}, {.criteria = CTL_BY_REPLY_SRC, .reply_src = {IP(1, 2, 3, 4), 32}}},
		{{"-q", "1.2.3.4"}, {.criteria = CTL_BY_REPLY_DST, .reply_dst = {IP(1, 2, 3, 4), 32}}},
		{{"--reply-dst", "1.2.3.4"}, {.criteria = CTL_BY_REPLY_DST, .reply_dst = {IP(1, 2, 3, 4), 32}}},
		{{"--sport", "0", "--dport", "65535"},
		 {.criteria = CTL_BY_SPORT | CTL_BY_DPORT, .sport = 0, .dport = 65535}},
		{{"--state", "TIME_WAIT"}, {.criteria = CTL_BY_STATE, .state = CTL_STATE_TIME_WAIT}},
		{{"--forward", "web"}, {.criteria = CTL_BY_FORWARD, .forward = "web"}},
		{{"-i", "18446744073709551615"}, {.criteria = CTL_BY_ID, .id = UINT64_MAX}},
		{{"--reply-port-src", "443", "--reply-port-dst=1"},
		 {.criteria = CTL_BY_REPLY_SPORT | CTL_BY_REPLY_DPORT, .reply_sport = 443, .reply_dport = 1}},
		{{"--icmp-type", "8", "--icmp-code", "0", "--icmp-id", "4711"},
		 {.criteria = CTL_BY_ICMP, .icmp = 7, .icmp_type = 8, .icmp_id = 4711}},
		{{"-u", "seen_reply,ASSURED"}, {.criteria = CTL_BY_STATUS, .status_set = 6}},
		{{"--status=UNSET"}, {.criteria = CTL_BY_STATUS, .status_clear = 6}},
		{{"-n"}, {.criteria = CTL_BY_ORIGIN}},
		{{"-n", "203.0.113.1", "-f", "ipv4"},
		 {.criteria = CTL_BY_ORIGIN | CTL_BY_REPLY_DST, .reply_dst = {IP(203, 0, 113, 1), 32}}},
		{{"-g", "-p", "tcp"},
		 {.criteria = CTL_BY_ORIGIN | CTL_BY_PROTOCOL, .from_outside = true, .protocol = 6}},
		{{"--dst-nat=10.8.0.1"},
		 {.criteria = CTL_BY_ORIGIN | CTL_BY_REPLY_SRC,
		  .from_outside = true,
		  .reply_src = {IP(10, 8, 0, 1), 32}}},
		{{"conntrack", "-p", "tcp"}, {.criteria = CTL_BY_PROTOCOL, .protocol = 6}},
		{{"-p", "udp", "--dport", "53", "-i", "1"},
		 {.criteria = CTL_BY_PROTOCOL | CTL_BY_DPORT | CTL_BY_ID, .protocol = 17, .dport = 53, .id = 1}},
	};
	struct natctl n = {.socket = "", .format = FORMAT_LINE};
	const struct ctl_filter *want;
	struct ctl_filter f;

	if (_i >= (int)(sizeof(cases) / sizeof(cases[0])))
		return;
	want = &cases[_i].want;
	ck_assert(parse(cases[_i].words, &n, &f));
	ck_assert_uint_eq(f.criteria, want->criteria);
	ck_assert(f.protocol == want->protocol && f.state == want->state && f.id == want->id);
	ck_assert(f.sport == want->sport && f.dport == want->dport);
	ck_assert(f.orig_src.address == want->orig_src.address && f.orig_src.length == want->orig_src.length);
	ck_assert(f.orig_dst.address == want->orig_dst.address && f.orig_dst.length == want->orig_dst.length);
	ck_assert(f.reply_src.address == want->reply_src.address && f.reply_src.length == want->reply_src.length);
	ck_assert(f.reply_dst.address == want->reply_dst.address && f.reply_dst.length == want->reply_dst.length);
	ck_assert_str_eq(f.forward, want->forward);
	ck_assert(f.reply_sport == want->reply_sport && f.reply_dport == want->reply_dport);
	ck_assert(f.status_set == want->status_set && f.status_clear == want->status_clear);
	ck_assert(f.from_outside == want->from_outside);
	ck_assert(f.icmp == want->icmp && f.icmp_type == want->icmp_type && f.icmp_id == want->icmp_id);
}
END_TEST

/* The golden entries that each option of fault 42 selects. */
START_TEST(test_fault_42_what_conntracks_options_choose)
{
	static const struct {
		const char *words[ARGS];
		const char *ids; /* of those that match */
	} cases[] = {
		{{"-n"}, "17 18 19 21 "},
		{{"-g"}, "20 22 "},
		{{"-g", "10.8.0.10"}, "20 "},
		{{"-u", "ASSURED"}, "17 21 "},
		{{"-u", "SEEN_REPLY"}, "17 19 20 21 "},
		{{"-u", "UNSET"}, "18 22 "},
		{{"--reply-port-src", "8080"}, "20 "},
		{{"--reply-port-dst", "60002"}, "18 "},
		{{"--icmp-id", "4711"}, "19 "},
		{{"--icmp-id", "6"}, "22 "},
		{{"--icmp-type", "8"}, "19 22 "},
		{{"--icmp-type", "0"}, ""},
		{{"--icmp-code", "0"}, "19 22 "},
		{{"--icmp-code", "1"}, ""},
		{{"-f", "ipv4"}, "17 18 19 20 21 22 "},
	};
	struct natctl n = {.socket = "", .format = FORMAT_LINE};
	struct ctl_filter f;
	char ids[64] = "";

	if (_i >= (int)(sizeof(cases) / sizeof(cases[0])))
		return;
	ck_assert(parse(cases[_i].words, &n, &f));
	for (int i = 0; i < GOLDEN; i++) {
		if (ctl_filter_matches(&f, golden[i].entry))
			snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%u ", (unsigned)golden[i].entry->id);
	}
	ck_assert_str_eq(ids, cases[_i].ids);
}
END_TEST

START_TEST(test_fault_43_misspelt_options_and_commands_get_a_suggestion)
{
	static const struct {
		const char *word;
		const char *suggestion;
	} options[] = {{"--sprot", "--sport?"}, {"--frward", "--forward?"}, {"--jsno", "--json?"}};
	static const struct {
		const char *word;
		const char *suggestion;
	} commands[] = {{"lsit", "`list'?"}, {"statsu", "`status'?"}, {"flsh", "`flush'?"}, {"--lst", "`list'?"}};
	struct natctl n = {.socket = "", .format = FORMAT_LINE};
	struct ctl_filter f;

	for (int i = 0; i < 3; i++) {
		ck_assert(!parse((const char *const[]){options[i].word, "1", NULL}, &n, &f));
		ck_assert_msg(strstr(complaint, options[i].suggestion), "%s", complaint);
	}
	for (int i = 0; i < 4; i++) {
		natctl_complain_command(commands[i].word);
		ck_assert_msg(strstr(complaint, commands[i].suggestion), "%s", complaint);
	}
	natctl_complain_command("xyzzyplugh");
	ck_assert_msg(!strstr(complaint, "did you mean"), "%s", complaint);
}
END_TEST

START_TEST(test_commands_are_found_by_name_letter_and_conntracks_long_name)
{
	static const char *const words[][2] = {{"list", "list"},     {"-L", "list"},	     {"--dump", "list"},
					       {"-D", "delete"},     {"--delete", "delete"}, {"-S", "stats"},
					       {"--flush", "flush"}, {"--count", "count"},   {"help", "help"}};
	static const char *const none[] = {"dump", "--list", "--status", "-X", "-LL", "", "-", "--"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct natctl_command *c = natctl_find_command(words[i][0]);

		ck_assert_msg(c && strcmp(c->name, words[i][1]) == 0, "%s", words[i][0]);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_msg(!natctl_find_command(none[i]), "%s", none[i]);
}
END_TEST

START_TEST(test_output_lists)
{
	struct natctl n = {.format = FORMAT_TABLE};

	ck_assert_ptr_null(options_set_format(&n, "extended,id,timestamp"));
	ck_assert(n.format == FORMAT_LINE && n.line == (LINE_EXTENDED | LINE_TIMESTAMP));
	n = (struct natctl){.format = FORMAT_LINE};
	ck_assert_ptr_null(options_set_format(&n, "save"));
	ck_assert(n.format == FORMAT_SAVE && n.line == 0);
	ck_assert_ptr_nonnull(options_set_format(&n, "save,id")); /* conntrack refuses that too */
	ck_assert_ptr_nonnull(options_set_format(&n, "id,save"));
	ck_assert_ptr_nonnull(options_set_format(&n, "xml"));
	ck_assert_ptr_nonnull(options_set_format(&n, "id,"));
	ck_assert_ptr_nonnull(options_set_format(&n, ""));
}
END_TEST

/* A pipe and a file get no colours and no width (fmemopen has no descriptor at all). */
static struct top_sample sample_at(uint64_t ms)
{
	struct top_sample s = {.is_there = true, .time_ms = ms, .version = "1.0", .n_hosts = 40};

	for (unsigned i = 0; i < 20; i++) {
		snprintf(s.counters[i].name, sizeof(s.counters[i].name), "drop_%u", i);
		s.counters[i].value = 100 + i * ms / 1000;
	}
	s.n_counters = 20;
	for (unsigned i = 0; i < s.n_hosts; i++)
		s.hosts[i] =
			(struct ctl_host){.address = IP(10, 8, 0, 1) + i, .outside = IP(203, 0, 113, 1), .sessions = i};
	return s;
}

static bool page_has(const struct top_page *p, const char *part)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (strstr(p->line[i].text, part))
			return true;
	}
	return false;
}

START_TEST(test_top_fits_every_screen)
{
	static const unsigned sizes[][2] = {{24, 80}, {60, 200}, {1, 1}, {5, 20}, {0, 0}, {1000, 1000}};
	const struct top_sample first = sample_at(0), now = sample_at(2000);
	const struct top_choice choice = {.order = CTL_ORDER_RATE, .delay_s = 1, .has_keys = true};
	static struct top_page p;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		p.rows = sizes[i][0];
		p.columns = sizes[i][1];
		top_compose(&p, &now, &first, &first, &choice);
		ck_assert_uint_le(p.n, sizes[i][0] > 0 ? sizes[i][0] : 1);
		for (unsigned k = 0; k < p.n; k++)
			ck_assert_uint_le(strlen(p.line[k].text), sizes[i][1]);
	}
	p.rows = 24;
	p.columns = 80;
	top_compose(&p, &now, &first, &first, &choice);
	ck_assert_uint_eq(p.n, 24);
	ck_assert_ptr_nonnull(strstr(p.line[23].text, "q quit"));
	ck_assert(page_has(&p, "10.8.0.1"));
}
END_TEST

START_TEST(test_top_shows_the_most_frequent_drops_first)
{
	const struct top_sample first = sample_at(0), before = sample_at(1000), now = sample_at(3000);
	const struct top_choice choice = {.order = CTL_ORDER_RATE, .delay_s = 1};
	static struct top_page p;
	unsigned i = 0;

	p.rows = 40;
	p.columns = 80;
	top_compose(&p, &now, &before, &first, &choice);
	while (i < p.n && strncmp(p.line[i].text, "DROPPED", 7) != 0)
		i++;
	ck_assert_str_eq(p.line[i + 1].text, "drop_19                            19.0             57");
	ck_assert_str_eq(p.line[i + 8].text, "drop_12                            12.0             36");
	ck_assert(!page_has(&p, "drop_11 "));
	top_compose(&p, &first, NULL, &first, &choice);
	ck_assert(page_has(&p, "nothing"));
}
END_TEST

START_TEST(test_fault_43_nothing_but_text_without_a_terminal)
{
	FILE *f = open_text();

	ck_assert_str_eq(term_style(f, TERM_RED), "");
	ck_assert_uint_eq(term_width(f), 0);
	fclose(f);
}
END_TEST

static const char *const bad_filters[][4] = {
	{"-p", "foo"},
	{"-p", "256"},
	{"-p"},
	{"-s", "10.8.0"},
	{"-s", "10.8.0.2/33"},
	{"-s", "10.8.0.2/"},
	{"-s", "10.8.0.2/-1"},
	{"-s", "::1"},
	{"-s", "10.8.0.2.3.4.5.6.7.8.9"},
	{"-s", ""},
	{"--sport", "65536"},
	{"--sport", "-1"},
	{"--sport", " 1"},
	{"--sport", "1x"},
	{"--sport", ""},
	{"--state", "OPEN"},
	{"--forward", ""},
	{"--forward", "abcdefghijklmnopqrstuvwxyzabcdef"},
	{"-i", "18446744073709551616"},
	{"-i", "x"},
	{"-x"},
	{"--nonsense"},
	{"--forward"},
	{"word"},
	{"-u", "GONE"},
	{"-u", ""},
	{"-f", "ipv6"},
	{"--icmp-type", "256"},
	{"--icmp-id", "65536"},
	{"--icmp-id"},
	{"-n", "-g"},
	{"-n", "x"},
	{"-p", "tcp", "word"},
	{"-o", "xml"},
};

START_TEST(test_bad_filters)
{
	struct natctl n = {.socket = "", .format = FORMAT_LINE};
	struct ctl_filter f;

	ck_assert(!parse(bad_filters[_i], &n, &f));
}
END_TEST

START_TEST(test_a_criterion_given_twice)
{
	static const char *const words[] = {"-p", "tcp", "--protonum", "udp", NULL};
	struct natctl n = {.socket = "", .format = FORMAT_LINE};
	struct ctl_filter f;

	ck_assert(!parse(words, &n, &f));
}
END_TEST

START_TEST(test_commands_without_a_filter_take_output_options_only)
{
	static const char *const good[] = {"-o", "table", NULL};
	static const char *const bad[] = {"-p", "tcp", NULL};
	struct natctl n = {.socket = "", .format = FORMAT_LINE};

	ck_assert(parse(good, &n, NULL));
	ck_assert_int_eq(n.format, FORMAT_TABLE);
	ck_assert(!parse(bad, &n, NULL));
}
END_TEST

/* ---- exchanges ---- */

static int records;

static bool count_records(void *ctx, uint8_t type, struct ctl_reader *body)
{
	(void)ctx, (void)body;
	records++;
	return type != CTL_R_LINE; /* which stands for an unwanted one here */
}

static size_t make_answer(uint8_t *buf, size_t size)
{
	struct ctl_writer w = {.buf = buf, .size = size};
	const struct ctl_hello h = {.magic = CTL_MAGIC, .version = 1, .daemon = "0.1"};

	ctl_put_hello_reply(&w, &h);
	ctl_put_entry(&w, &tcp);
	ctl_put_entry(&w, &udp);
	ctl_put_u32(&w, 3); /* a kind of record that does not exist yet */
	ctl_put_u8(&w, 250);
	ctl_put_u16(&w, 0);
	ctl_put_end(&w, 2, 0);
	return w.len;
}

static enum exchange_state feed(struct exchange *e, const uint8_t *bytes, size_t len, size_t piece)
{
	exchange_init(e, count_records, NULL);
	records = 0;
	while (len > 0 && e->state == EXCHANGE_MORE) {
		size_t room;
		uint8_t *space = exchange_space(e, &room);
		size_t n = piece < len ? piece : len;

		ck_assert_uint_gt(room, 0);
		n = n < room ? n : room;
		memcpy(space, bytes, n);
		exchange_fed(e, n);
		bytes += n;
		len -= n;
	}
	return e->state;
}

START_TEST(test_an_answer_is_understood_however_it_is_cut)
{
	static struct exchange e;
	uint8_t buf[1024];
	size_t len = make_answer(buf, sizeof(buf));

	for (size_t piece = 1; piece <= len; piece++) {
		ck_assert_int_eq(feed(&e, buf, len, piece), EXCHANGE_DONE);
		ck_assert_int_eq(records, 3);
		ck_assert_uint_eq(e.end.count, 2);
		ck_assert_str_eq(e.hello.daemon, "0.1");
	}
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_int_eq(feed(&e, buf, cut, 7), EXCHANGE_MORE);
}
END_TEST

static const struct {
	const char *what;
	const char *bytes;
	size_t len;
	enum exchange_state want;
} answers[] = {
	{"no hello", "\0\0\0\21\202\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 21, EXCHANGE_BROKEN},
	{"error without hello", "\0\0\0\6\203\0\3\0\1x", 10, EXCHANGE_REFUSED},
	{"other magic", "\0\0\0\13\201NATE\0\1\0\0\1x", 15, EXCHANGE_BROKEN},
	{"other version", "\0\0\0\13\201NATD\0\2\0\0\1x", 15, EXCHANGE_BROKEN},
	{"short hello", "\0\0\0\5\201NATD", 9, EXCHANGE_BROKEN},
	{"oversize", "\0\0\100\0\201", 5, EXCHANGE_BROKEN},
	{"length 0", "\0\0\0\0", 4, EXCHANGE_BROKEN},
	{"HTTP", "HTTP/1.1 200 OK", 15, EXCHANGE_BROKEN},
	{"two hellos", "\0\0\0\13\201NATD\0\1\0\0\1x\0\0\0\13\201NATD\0\1\0\0\1x", 30, EXCHANGE_BROKEN},
	{"cut error", "\0\0\0\4\203\0\3\0", 8, EXCHANGE_BROKEN},
	{"unwanted record", "\0\0\0\13\201NATD\0\1\0\0\1x\0\0\0\1\213", 20, EXCHANGE_BROKEN},
};

START_TEST(test_answers_of_a_strange_natd)
{
	static struct exchange e;

	ck_assert_int_eq(feed(&e, (const uint8_t *)answers[_i].bytes, answers[_i].len, SIZE_MAX), answers[_i].want);
}
END_TEST

START_TEST(test_a_long_answer_passes_through_the_buffer)
{
	static uint8_t buf[400000];
	static struct exchange e;
	struct ctl_writer w = {.buf = buf, .size = sizeof(buf)};
	const struct ctl_hello h = {.magic = CTL_MAGIC, .version = 1, .daemon = "0.1"};
	int n = 0;

	ctl_put_hello_reply(&w, &h);
	while (w.size - w.len > 200) {
		ctl_put_entry(&w, &tcp);
		n++;
	}
	ctl_put_end(&w, (uint64_t)n, 0);
	ck_assert_int_eq(feed(&e, buf, w.len, 1 + unit_below(20000)), EXCHANGE_DONE);
	ck_assert_int_eq(records, n);
}
END_TEST

static void add_output(TCase *t)
{
	tcase_add_loop_test(t, test_entry_lines_are_conntracks, 0, GOLDEN);
	tcase_add_loop_test(t, test_entries_as_json, 0, GOLDEN);
	tcase_add_loop_test(t, test_table_columns_stand_below_each_other, 0, GOLDEN);
	tcase_add_test(t, test_lines_of_mappings_forwards_and_pools);
	tcase_add_test(t, test_nothing_foreign_reaches_a_terminal);
	tcase_add_test(t, test_fault_42_save_and_extended_are_conntracks);
	tcase_add_test(t, test_top_fits_every_screen);
	tcase_add_test(t, test_top_shows_the_most_frequent_drops_first);
	tcase_add_test(t, test_fault_43_nothing_but_text_without_a_terminal);
	tcase_add_test(t, test_json_objects);
	tcase_add_loop_test(t, test_numbers_for_eyes, 0, 8);
	tcase_add_test(t, test_protocol_names);
}

static void add_input(TCase *t)
{
	tcase_add_loop_test(t, test_good_filters, 0, 24);
	tcase_add_loop_test(t, test_fault_42_what_conntracks_options_choose, 0, 15);
	tcase_add_test(t, test_fault_43_misspelt_options_and_commands_get_a_suggestion);
	tcase_add_test(t, test_commands_are_found_by_name_letter_and_conntracks_long_name);
	tcase_add_test(t, test_output_lists);
	tcase_add_loop_test(t, test_bad_filters, 0, sizeof(bad_filters) / sizeof(bad_filters[0]));
	tcase_add_test(t, test_a_criterion_given_twice);
	tcase_add_test(t, test_commands_without_a_filter_take_output_options_only);
	tcase_add_test(t, test_an_answer_is_understood_however_it_is_cut);
	tcase_add_loop_test(t, test_answers_of_a_strange_natd, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(t, test_a_long_answer_passes_through_the_buffer);
}

static Suite *make(void)
{
	Suite *s = suite_create("natctl");
	TCase *output = tcase_create("output");
	TCase *input = tcase_create("input");

	add_output(output);
	add_input(input);
	suite_add_tcase(s, output);
	suite_add_tcase(s, input);
	return s;
}

int main(void)
{
	return unit_main(make);
}
