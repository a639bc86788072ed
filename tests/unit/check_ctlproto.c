/* SPDX-License-Identifier: ISC */
/*
 * The control protocol: the table of requests, cursors at every length, frames at every cut, every kind
 * of record there and back, and filters against an obvious evaluation.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/ctlevent.h"
#include "common/ctlrecord.h"
#include "common/ctlstatus.h"
#include "common/ctlstun.h"
#include "common/ctlrule.h"
#include "daemon/control/request.h"
#include "unit.h"

static uint8_t buf[CTL_REPLY_MAX];

static struct ctl_writer fresh(void)
{
	memset(buf, 0xa5, sizeof(buf));
	return (struct ctl_writer){.buf = buf, .size = sizeof(buf)};
}

/* The one frame in `w`, its body in memory of exactly its size, so that the sanitizer sees a read beyond. */
static uint8_t *body_of(const struct ctl_writer *w, uint8_t type, struct ctl_reader *r)
{
	struct ctl_frame f;
	uint8_t *exact;

	ck_assert_int_eq(ctl_frame_next(w->buf, w->len, CTL_REPLY_MAX, &f), (int)w->len);
	ck_assert_uint_eq(f.type, type);
	exact = malloc(f.body.left ? f.body.left : 1);
	memcpy(exact, f.body.p, f.body.left);
	*r = (struct ctl_reader){exact, f.body.left, false};
	return exact;
}

/* ---- the table ---- */

static const struct {
	uint8_t type;
	const char *name;
	bool has_filter;
	enum ctl_permission permission;
} requests[] = {
	{CTL_STATUS, "status", false, CTL_MAY_READ},
	{CTL_LIST, "list", true, CTL_MAY_READ},
	{CTL_LIST_ZERO, "list and zero", true, CTL_MAY_CHANGE},
	{CTL_COUNT, "count", true, CTL_MAY_READ},
	{CTL_STATS, "stats", false, CTL_MAY_READ},
	{CTL_DELETE, "delete", true, CTL_MAY_CHANGE},
	{CTL_FLUSH, "flush", false, CTL_MAY_CHANGE},
	{CTL_MAPPINGS, "mappings", false, CTL_MAY_READ},
	{CTL_FORWARDS, "forwards", false, CTL_MAY_READ},
	{CTL_POOLS, "pools", false, CTL_MAY_READ},
	{CTL_RELOAD, "reload", false, CTL_MAY_CHANGE},
	{CTL_DOCTOR, "doctor", false, CTL_MAY_READ},
	{CTL_MONITOR, "monitor", true, CTL_MAY_READ},
	{CTL_WHO, "who", false, CTL_MAY_READ},
	{CTL_HOSTS, "hosts", true, CTL_MAY_READ},
	{CTL_BLOCKS, "blocks", false, CTL_MAY_READ},
	{CTL_RULES, "rules", false, CTL_MAY_READ},
	{CTL_EXPLAIN, "explain", false, CTL_MAY_READ},
	{CTL_STUN, "public-address", false, CTL_MAY_CHANGE},
	{CTL_BACKEND_ORDER, "backend", false, CTL_MAY_CHANGE},
	{CTL_FORWARD_ORDER, "forward", false, CTL_MAY_CHANGE},
	{CTL_CONFIRM, "confirm", false, CTL_MAY_CHANGE},
};

enum { REQUESTS = sizeof(requests) / sizeof(requests[0]) };

START_TEST(test_request_has_name_and_permission)
{
	const struct ctl_request *info = ctl_request_find(requests[_i].type);

	ck_assert_ptr_nonnull(info);
	ck_assert_str_eq(info->name, requests[_i].name);
	ck_assert_int_eq(info->permission, requests[_i].permission);
	ck_assert_uint_le(info->min_len, info->max_len);
	ck_assert_uint_le(info->max_len + CTL_FRAME_HEAD, CTL_REQUEST_MAX);
}
END_TEST

START_TEST(test_nothing_else_is_a_request)
{
	int known = 0;

	for (int type = 0; type < 256; type++)
		known += ctl_request_find((uint8_t)type) != NULL && type != CTL_CAPTURE; /* longer than others */
	ck_assert_int_eq(known, REQUESTS);
}
END_TEST

static struct ctl_filter full_filter(void)
{
	struct ctl_filter f = {
		.criteria = CTL_BY_ALL,
		.protocol = 6,
		.state = CTL_STATE_TIME_WAIT,
		.sport = 1,
		.dport = 65535,
		.orig_src = {0x0a080002, 32},
		.orig_dst = {0xc0000200, 24},
		.reply_src = {0, 0},
		.reply_dst = {0x80000000, 1},
		.id = UINT64_MAX,
	};

	memset(f.forward, 'x', CTL_NAME_MAX);
	return f;
}

static void put_request(struct ctl_writer *w, enum ctl_type type, const struct ctl_filter *f)
{
	const struct ctl_who who = {0};
	struct ctl_subscribe s = {.kinds = 1};
	struct ctl_hosts hosts = {0};
	static const struct ctl_forward_order forward;

	if (type == CTL_EXPLAIN) {
		ck_assert(ctl_put_explain(w, &(struct ctl_explain){0}));
		return;
	}
	if (type == CTL_WHO) {
		ck_assert(ctl_put_who(w, &who));
		return;
	}
	if (type == CTL_STUN) {
		ck_assert(ctl_put_stun(w, &(struct ctl_stun){0}));
		return;
	}
	if (type == CTL_BACKEND_ORDER) {
		ck_assert(ctl_put_backend_order(w, &(struct ctl_backend_order){0}));
		return;
	}
	if (type == CTL_FORWARD_ORDER) {
		ck_assert(ctl_put_forward_order(w, &forward));
		return;
	}
	if (type == CTL_HOSTS) {
		hosts.filter = *f;
		ck_assert(ctl_put_hosts(w, &hosts));
		return;
	}
	if (type != CTL_MONITOR) {
		ck_assert(ctl_put_request(w, type, f));
		return;
	}
	s.filter = *f;
	ck_assert(ctl_put_subscribe(w, &s));
}

START_TEST(test_the_table_allows_exactly_what_the_encoder_makes)
{
	const struct ctl_request *info = ctl_request_find(requests[_i].type);
	struct ctl_filter most = full_filter();
	struct ctl_filter least = {0};
	struct ctl_writer w = fresh();

	put_request(&w, requests[_i].type, requests[_i].has_filter ? &least : NULL);
	ck_assert_uint_eq(w.len - CTL_FRAME_HEAD, info->min_len);
	if (!requests[_i].has_filter)
		return;
	w = fresh();
	put_request(&w, requests[_i].type, &most);
	ck_assert_uint_eq(w.len - CTL_FRAME_HEAD, info->max_len);
}
END_TEST

/* ---- cursors ---- */

START_TEST(test_numbers_are_big_endian)
{
	static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct ctl_writer w = fresh();
	struct ctl_reader r = {buf, sizeof(want), false};

	ctl_put_u8(&w, 1);
	ctl_put_u16(&w, 0x0203);
	ctl_put_u32(&w, 0x04050607);
	ctl_put_u64(&w, 0x08090a0b0c0d0e0f);
	ck_assert_uint_eq(w.len, sizeof(want));
	ck_assert_mem_eq(buf, want, sizeof(want));
	ck_assert_uint_eq(ctl_get_u8(&r), 1);
	ck_assert_uint_eq(ctl_get_u16(&r), 0x0203);
	ck_assert_uint_eq(ctl_get_u32(&r), 0x04050607);
	ck_assert_uint_eq(ctl_get_u64(&r), 0x08090a0b0c0d0e0f);
	ck_assert(!r.bad && r.left == 0);
	ck_assert_uint_eq(ctl_get_u8(&r), 0);
	ck_assert(r.bad);
}
END_TEST

START_TEST(test_bad_stays_bad)
{
	const uint8_t two[] = {0xff, 0xff};
	struct ctl_reader r = {two, 2, false};

	ck_assert_uint_eq(ctl_get_u32(&r), 0);
	ck_assert(r.bad);
	ck_assert_uint_eq(ctl_get_u8(&r), 0);
	ck_assert(r.bad && r.left == 0);
}
END_TEST

START_TEST(test_text_must_fit_and_hold_no_nul)
{
	static const struct {
		const char *bytes;
		size_t len;
		size_t size;
		const char *want; /* NULL: bad */
	} cases[] = {
		{"\0\3abc", 5, 4, "abc"}, {"\0\3abc", 5, 3, NULL}, {"\0\4abc", 5, 9, NULL},   {"\0\0", 2, 1, ""},
		{"\0\3a\0c", 5, 9, NULL}, {"\0", 1, 9, NULL},	   {"\377\377a", 3, 9, NULL}, {"\0\1\33", 3, 9, "\33"},
	};
	char out[16] = "before";
	struct ctl_reader r = {(const uint8_t *)cases[_i].bytes, cases[_i].len, false};

	ctl_get_text(&r, out, cases[_i].size);
	ck_assert_int_eq(r.bad, cases[_i].want == NULL);
	ck_assert_str_eq(out, cases[_i].want ? cases[_i].want : "");
}
END_TEST

START_TEST(test_long_text_is_cut)
{
	char text[CTL_TEXT_MAX + 100];
	char out[CTL_TEXT_MAX + 1];
	struct ctl_writer w = fresh();
	struct ctl_reader r = {buf, sizeof(buf), false};

	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ctl_put_text(&w, text);
	ctl_get_text(&r, out, sizeof(out));
	ck_assert(!r.bad);
	ck_assert_uint_eq(strlen(out), CTL_TEXT_MAX);
	ctl_put_text(&w, NULL);
	ck_assert_uint_eq(w.len, 2 + CTL_TEXT_MAX + 2);
}
END_TEST

/* ---- frames ---- */

START_TEST(test_a_frame_is_taken_at_its_last_byte_and_not_before)
{
	struct ctl_writer w = fresh();
	struct ctl_frame f;
	struct ctl_filter filter = full_filter();

	ctl_put_request(&w, CTL_LIST, &filter);
	for (size_t len = 0; len < w.len; len++)
		ck_assert_int_eq(ctl_frame_next(buf, len, CTL_REQUEST_MAX, &f), 0);
	ck_assert_int_eq(ctl_frame_next(buf, w.len + 7, CTL_REQUEST_MAX, &f), (int)w.len);
	ck_assert_uint_eq(f.body.left, w.len - CTL_FRAME_HEAD);
}
END_TEST

START_TEST(test_impossible_lengths_are_seen_at_once)
{
	static const struct {
		uint8_t head[4];
		int want;
	} cases[] = {
		{{0, 0, 0, 0}, -1},	    {{0, 0, 0, 1}, 0},		{{0, 0, 15, 252}, 0},
		{{0, 0, 15, 253}, -1},	    {{0, 1, 0, 1}, -1},		{{0x80, 0, 0, 1}, -1},
		{{255, 255, 255, 255}, -1}, {{255, 255, 255, 252}, -1}, {{'G', 'E', 'T', ' '}, -1},
	};
	struct ctl_frame f;

	ck_assert_int_eq(ctl_frame_next(cases[_i].head, 4, CTL_REQUEST_MAX, &f), cases[_i].want);
}
END_TEST

static const struct ctl_counter some_counter = {.value = 7, .name = "some_name", .help = "what it means"};

START_TEST(test_a_frame_without_room_leaves_no_trace)
{
	struct ctl_counter c;
	struct ctl_writer w = fresh();
	struct ctl_reader r;
	size_t whole;
	uint8_t *exact;

	ck_assert(ctl_put_counter(&w, &some_counter));
	whole = w.len;
	for (size_t size = 0; size < whole; size++) {
		w = fresh();
		w.size = size;
		ck_assert(!ctl_put_counter(&w, &some_counter));
		ck_assert_uint_eq(w.len, 0);
		ck_assert(!w.full);
	}
	w.size = whole;
	ck_assert(ctl_put_counter(&w, &some_counter));
	exact = body_of(&w, CTL_R_COUNTER, &r);
	ck_assert(ctl_get_counter(&r, &c));
	ck_assert_str_eq(c.name, "some_name");
	ck_assert_str_eq(c.help, "what it means");
	ck_assert_uint_eq(c.value, 7);
	free(exact);
}
END_TEST

/* ---- records, there and back ---- */

static struct ctl_endpoint random_endpoint(void)
{
	return (struct ctl_endpoint){(uint32_t)unit_random(), (uint16_t)unit_random()};
}

static struct ctl_entry random_entry(void)
{
	static const char *const names[] = {"", "web", "game", "0123456789012345678901234567890"};
	static const uint8_t protocols[] = {6, 17, 1, 47};
	struct ctl_entry e;

	memset(&e, 0, sizeof(e));
	e.id = unit_random();
	e.protocol = protocols[unit_below(4)];
	e.state = (uint8_t)unit_below(CTL_STATE_COUNT);
	e.flags = (uint8_t)unit_below(8);
	e.timeout_s = (uint32_t)unit_random();
	e.age_s = (uint32_t)unit_random();
	e.inside = random_endpoint();
	e.outside = random_endpoint();
	e.remote = random_endpoint();
	for (int i = 0; i < 2; i++) {
		e.packets[i] = unit_random();
		e.bytes[i] = unit_random();
	}
	strcpy(e.forward, names[unit_below(4)]);
	return e;
}

/* The same, and some come from a backend or from a static pair. */
static struct ctl_entry random_entry_with_origin(void)
{
	struct ctl_entry e = random_entry();

	if (unit_below(2))
		e.backend = (struct ctl_endpoint){1 + unit_below(1000), (uint16_t)unit_below(65536)};
	if (unit_below(2))
		strcpy(e.pair, "srv");
	return e;
}

static void ck_same_endpoint(const struct ctl_endpoint *a, const struct ctl_endpoint *b)
{
	ck_assert_uint_eq(a->address, b->address);
	ck_assert_uint_eq(a->port, b->port);
}

START_TEST(test_entries_survive_the_wire)
{
	for (int n = 0; n < 1000; n++) {
		struct ctl_entry e = random_entry_with_origin();
		struct ctl_entry got;
		struct ctl_writer w = fresh();
		struct ctl_reader r;
		uint8_t *exact;

		ck_assert(ctl_put_entry(&w, &e));
		ck_assert_uint_le(w.len, 160);
		exact = body_of(&w, CTL_R_ENTRY, &r);
		ck_assert(ctl_get_entry(&r, &got));
		ck_assert_uint_eq(r.left, 0);
		free(exact);
		ck_assert(got.id == e.id && got.protocol == e.protocol && got.state == e.state);
		ck_assert(got.flags == e.flags && got.timeout_s == e.timeout_s && got.age_s == e.age_s);
		ck_same_endpoint(&got.inside, &e.inside);
		ck_same_endpoint(&got.outside, &e.outside);
		ck_same_endpoint(&got.remote, &e.remote);
		ck_assert_mem_eq(got.packets, e.packets, sizeof(e.packets));
		ck_assert_mem_eq(got.bytes, e.bytes, sizeof(e.bytes));
		ck_assert_str_eq(got.forward, e.forward);
		ck_assert_str_eq(got.pair, e.pair);
		ck_same_endpoint(&got.backend, &e.backend);
	}
}
END_TEST

START_TEST(test_a_cut_or_prolonged_entry)
{
	struct ctl_entry e = random_entry();
	struct ctl_entry got;
	struct ctl_writer w = fresh();

	ctl_put_entry(&w, &e);
	for (size_t left = 0; left < w.len - CTL_FRAME_HEAD; left++) {
		struct ctl_reader r = {buf + CTL_FRAME_HEAD, left, false};

		ck_assert(!ctl_get_entry(&r, &got));
	}
	/* Replies may grow at their end within a version. */
	ck_assert(ctl_get_entry(&(struct ctl_reader){buf + CTL_FRAME_HEAD, w.len, false}, &got));
}
END_TEST

START_TEST(test_a_rule_survives_the_wire)
{
	struct ctl_writer w = fresh();
	const struct ctl_rule rule = {7, "no-smtp", CTL_RULE_REJECT, CTL_RULE_OUT, true, 1, 2, 3, UINT64_MAX};
	struct ctl_rule back;
	struct ctl_reader r;

	ck_assert(ctl_put_rule(&w, &rule));
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_rule(&r, &back) && r.left == 0);
	ck_assert_str_eq(back.name, rule.name);
	ck_assert(back.number == 7 && back.action == CTL_RULE_REJECT && back.directions == CTL_RULE_OUT && back.log);
	ck_assert(back.sessions == 1 && back.refused == 2 && back.packets == 3 && back.bytes == UINT64_MAX);
	/* an action that there is not */
	buf[CTL_FRAME_HEAD + 4 + 2 + 7] = CTL_RULE_ACTIONS;
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(!ctl_get_rule(&r, &back));
}
END_TEST

START_TEST(test_mapping_pool_end_and_error_survive_the_wire)
{
	const struct ctl_mapping m = {17, {0x0a080003, 5353}, {0xcb007101, 60002}, {0xc0000235, 53}, 9};
	const struct ctl_pool p = {0xcb007101, true, 20918, {7, 8, 9}, {4, 5, 6}};
	struct ctl_mapping m2;
	struct ctl_pool p2;
	struct ctl_end end;
	struct ctl_error error;
	struct ctl_reader r;
	struct ctl_writer w = fresh();

	ctl_put_mapping(&w, &m);
	free(body_of(&w, CTL_R_MAPPING, &r));
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_mapping(&r, &m2) && r.left == 0);
	ck_assert(m2.protocol == 17 && m2.sessions == 9);
	ck_same_endpoint(&m2.inside, &m.inside);
	ck_same_endpoint(&m2.outside, &m.outside);
	ck_same_endpoint(&m2.remote, &m.remote);

	w = fresh();
	ctl_put_pool(&w, &p);
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_pool(&r, &p2) && r.left == 0);
	ck_assert(p2.address == p.address && p2.shared && p2.ports == 20918 && p2.used[2] == 9 &&
		  p2.quarantined[0] == 4);

	w = fresh();
	ctl_put_end(&w, 5, UINT64_MAX);
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_end(&r, &end) && end.count == 5 && end.count2 == UINT64_MAX);

	w = fresh();
	ctl_put_error(&w, CTL_E_DENIED, "no");
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_error(&r, &error) && error.code == CTL_E_DENIED);
	ck_assert_str_eq(error.text, "no");
}
END_TEST

START_TEST(test_host_survives_the_wire)
{
	const struct ctl_host h = {
		.address = 0x0a080003,
		.outside = 0xcb007101,
		.sessions = 1,
		.ports = 2,
		.blocks = 3,
		.interval_ms = 4,
		.packets = {5, 6},
		.bytes = {UINT64_MAX, 7},
		.packets_rate = {8, 9},
		.bytes_rate = {10, 11},
	};
	struct ctl_host got = {0};
	struct ctl_reader r;
	struct ctl_writer w = fresh();

	ctl_put_host(&w, &h);
	free(body_of(&w, CTL_R_HOST, &r));
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_host(&r, &got) && r.left == 0);
	ck_assert_int_eq(memcmp(&got, &h, sizeof(h)), 0);
	for (size_t cut = 0; cut < w.len - CTL_FRAME_HEAD; cut++)
		ck_assert(!ctl_get_host(&(struct ctl_reader){buf + CTL_FRAME_HEAD, cut, false}, &got));
}
END_TEST

static bool hosts_are_read(uint8_t order, uint8_t limit, uint8_t flags)
{
	const uint8_t body[] = {order, limit, flags, 0, 0};
	struct ctl_hosts q;

	return ctl_get_hosts(&(struct ctl_reader){body, sizeof(body), false}, &q);
}

START_TEST(test_order_of_hosts_needs_a_limit)
{
	ck_assert(hosts_are_read(CTL_ORDER_NONE, 0, 0));
	ck_assert(hosts_are_read(CTL_ORDER_PORTS, CTL_HOSTS_MAX, 1));
	ck_assert(!hosts_are_read(CTL_ORDER_NONE, 1, 0));
	ck_assert(!hosts_are_read(CTL_ORDER_RATE, 0, 0));
	ck_assert(!hosts_are_read(CTL_ORDER_RATE, CTL_HOSTS_MAX + 1, 0));
	ck_assert(!hosts_are_read(CTL_ORDER_COUNT, 1, 0));
	ck_assert(!hosts_are_read(CTL_ORDER_RATE, 1, 2));
}
END_TEST

START_TEST(test_forward_with_any_number_of_sources_survives_the_wire)
{
	static const uint32_t counts[] = {0, 1, CTL_FROM_MAX, CTL_FROM_MAX + 1, 100000};
	struct ctl_forward f = {.name = "game", .protocols = 3, .first_port = 27015, .last_port = 27030};
	struct ctl_forward got;
	struct ctl_writer w = fresh();
	struct ctl_reader r;
	uint32_t n = counts[_i] < CTL_FROM_MAX ? counts[_i] : CTL_FROM_MAX;

	f.n_from = counts[_i];
	f.to = (struct ctl_endpoint){0x0a08000b, 27015};
	for (uint32_t i = 0; i < n; i++)
		f.from[i] = (struct ctl_prefix){i << 8, 24};
	ck_assert(ctl_put_forward(&w, &f));
	ck_assert_uint_le(w.len, CTL_RECORD_MAX);
	free(body_of(&w, CTL_R_FORWARD, &r));
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_forward(&r, &got) && r.left == 0);
	ck_assert_str_eq(got.name, "game");
	ck_assert(got.n_from == counts[_i] && got.first_port == 27015 && got.last_port == 27030 && got.protocols == 3);
	ck_same_endpoint(&got.to, &f.to);
	for (uint32_t i = 0; i < n; i++)
		ck_assert(got.from[i].address == i << 8 && got.from[i].length == 24);
}
END_TEST

START_TEST(test_items_checks_and_lines_survive_the_wire)
{
	static struct ctl_item i;
	static struct ctl_check c;
	char line[CTL_TEXT_MAX + 1];
	struct ctl_writer w = fresh();
	struct ctl_reader r;

	ctl_put_item_number(&w, "sessions", 12);
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_item(&r, &i) && i.kind == CTL_ITEM_NUMBER && i.number == 12);
	ck_assert_str_eq(i.name, "sessions");
	w = fresh();
	ctl_put_item_text(&w, CTL_ITEM_LIST, "warnings", "\33[2Jx");
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_item(&r, &i) && i.kind == CTL_ITEM_LIST);
	ck_assert_str_eq(i.text, "\33[2Jx");
	buf[CTL_FRAME_HEAD] = 3;
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(!ctl_get_item(&r, &i));
	w = fresh();
	ctl_put_check(&w, &(struct ctl_check){.severity = CTL_CHECK_FAIL,
					      .what = "no /dev/net/tun",
					      .remedy = "modprobe tun",
					      .id = "tun-device",
					      .percent = 83});
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_check(&r, &c) && c.severity == CTL_CHECK_FAIL);
	ck_assert_str_eq(c.remedy, "modprobe tun");
	ck_assert_str_eq(c.id, "tun-device");
	ck_assert_uint_eq(c.percent, 83);
	w = fresh();
	ctl_put_line(&w, "natd.conf:3: what");
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_line(&r, line));
	ck_assert_str_eq(line, "natd.conf:3: what");
}
END_TEST

START_TEST(test_both_hellos_survive_the_wire)
{
	struct ctl_hello h = {
		.magic = CTL_MAGIC, .version = 3, .version_min = 2, .may_change = true, .daemon = "0.1.0-12-gabcdef"};
	struct ctl_hello got;
	struct ctl_writer w = fresh();
	struct ctl_reader r;

	ctl_put_hello(&w, &h);
	ck_assert_uint_eq(w.len, 13);
	ck_assert_mem_eq(buf, "\0\0\0\11\1NATD\0\3\0\2", 13); /* for ever */
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_hello(&r, &got));
	ck_assert(got.magic == CTL_MAGIC && got.version == 3 && got.version_min == 2);
	w = fresh();
	ctl_put_hello_reply(&w, &h);
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_hello_reply(&r, &got) && got.version == 3 && got.may_change);
	ck_assert_str_eq(got.daemon, h.daemon);
}
END_TEST

/* ---- events ---- */

START_TEST(test_every_kind_of_event_survives_the_wire)
{
	static struct ctl_event e, got;
	struct ctl_writer w = fresh();
	struct ctl_reader r;
	uint8_t *exact;

	memset(&e, 0, sizeof(e));
	e = (struct ctl_event){.sequence = 7, .time_us = 1790000000123456, .kind = (uint8_t)_i, .has_ended = true};
	strcpy(e.reason, "address-lost");
	if (ctl_event_has_entry(e.kind))
		e.entry = (struct ctl_entry){.id = 9, .protocol = 6, .inside = {1, 2}, .packets = {3, 4}};
	else if (e.kind == CTL_EVENT_MAPPING)
		e.mapping = (struct ctl_mapping){.protocol = 17, .inside = {1, 2}, .outside = {3, 4}};
	else if (e.kind == CTL_EVENT_BLOCK)
		e.block.first = 1024;
	else
		strcpy(e.text, "configuration reloaded");
	ck_assert(ctl_put_event(&w, &e));
	ck_assert_uint_le(w.len, CTL_RECORD_MAX);
	exact = body_of(&w, CTL_R_EVENT, &r);
	ck_assert(ctl_get_event(&r, &got));
	ck_assert_mem_eq(&got, &e, sizeof(e));
	free(exact);
	ck_assert_int_eq(ctl_event_by_name(ctl_event_name((uint8_t)_i)), _i);
}
END_TEST

START_TEST(test_event_of_a_later_kind_is_no_error)
{
	static struct ctl_event e = {.kind = CTL_EVENT_CONFIG}, got;
	struct ctl_writer w = fresh();
	struct ctl_reader r;

	ck_assert(ctl_put_event(&w, &e));
	buf[CTL_FRAME_HEAD + 16] = CTL_EVENT_COUNT;
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_event(&r, &got));
	ck_assert_str_eq(ctl_event_name(got.kind), "UNKNOWN");
}
END_TEST

START_TEST(test_subscription_survives_the_wire_or_is_refused)
{
	struct ctl_subscribe s = {.kinds = CTL_EVENTS_ALL,
				  .start = CTL_START_SEQUENCE,
				  .until_end = true,
				  .sequence = 77,
				  .filter = {.criteria = CTL_BY_PROTOCOL, .protocol = 6}};
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {{0, 0xff}, {4, CTL_START_COUNT}, {5, 2}};
	struct ctl_subscribe got;
	struct ctl_writer w = fresh();
	struct ctl_reader r;

	ck_assert(ctl_put_subscribe(&w, &s));
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(ctl_get_subscribe(&r, &got));
	ck_assert(got.kinds == s.kinds && got.start == s.start && got.until_end && got.sequence == 77);
	ck_assert(got.filter.criteria == CTL_BY_PROTOCOL && got.filter.protocol == 6);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w = fresh();
		ctl_put_subscribe(&w, &s);
		buf[CTL_FRAME_HEAD + bad[i].at] = bad[i].value;
		r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
		ck_assert_msg(!ctl_get_subscribe(&r, &got), "row %zu", i);
	}
	s.kinds = 0;
	w = fresh();
	ctl_put_subscribe(&w, &s);
	r = (struct ctl_reader){buf + CTL_FRAME_HEAD, w.len - CTL_FRAME_HEAD, false};
	ck_assert(!ctl_get_subscribe(&r, &got));
}
END_TEST

/* ---- filters ---- */

START_TEST(test_every_set_of_criteria_survives_the_wire)
{
	struct ctl_filter most = full_filter();

	for (unsigned criteria = 0; criteria <= CTL_BY_ALL; criteria++) {
		struct ctl_filter f = most;
		struct ctl_filter got;
		struct ctl_writer w = fresh();
		struct ctl_reader r;
		uint8_t *exact;

		f.criteria = (uint16_t)criteria;
		ck_assert(ctl_put_request(&w, CTL_COUNT, &f));
		exact = body_of(&w, CTL_COUNT, &r);
		ck_assert(ctl_get_filter(&r, &got));
		ck_assert_uint_eq(got.criteria, criteria);
		ck_assert_uint_eq(got.protocol, criteria & CTL_BY_PROTOCOL ? 6 : 0);
		ck_assert_uint_eq(got.dport, criteria & CTL_BY_DPORT ? 65535 : 0);
		ck_assert_uint_eq(got.reply_dst.length, criteria & CTL_BY_REPLY_DST ? 1 : 0);
		ck_assert_uint_eq(got.orig_src.address, criteria & CTL_BY_ORIG_SRC ? 0x0a080002 : 0);
		ck_assert_uint_eq(got.id, criteria & CTL_BY_ID ? UINT64_MAX : 0);
		ck_assert_str_eq(got.forward, criteria & CTL_BY_FORWARD ? most.forward : "");
		free(exact);
	}
}
END_TEST

START_TEST(test_malformed_filters_are_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{"", 0},
		{"\0", 1},
		{"\4\0", 2},					   /* a criterion that does not exist */
		{"\0\0x", 3},					   /* more than it says */
		{"\0\1", 2},					   /* less than it says */
		{"\0\2\12\0\0\1\30", 7},			   /* host bits */
		{"\0\2\12\0\0\0\41", 7},			   /* 33 bits */
		{"\0\200\12", 3},				   /* state 10 */
		{"\1\0\0\40abcdefghijklmnopqrstuvwxyzabcdef", 36}, /* name of 32 */
	};
	struct ctl_reader r = {(const uint8_t *)cases[_i].bytes, cases[_i].len, false};
	struct ctl_filter f;

	ck_assert(!ctl_get_filter(&r, &f));
}
END_TEST

/* The slow and obvious way: bit by bit, over the tuples written out by hand. */
static bool oracle_prefix(const struct ctl_prefix *p, uint32_t address)
{
	for (int bit = 0; bit < p->length; bit++) {
		if ((p->address >> (31 - bit) & 1) != (address >> (31 - bit) & 1))
			return false;
	}
	return true;
}

static bool oracle(const struct ctl_filter *f, const struct ctl_entry *e)
{
	bool outside = e->flags & CTL_ENTRY_FROM_OUTSIDE;
	uint32_t orig_src = outside ? e->remote.address : e->inside.address;
	uint32_t orig_dst = outside ? e->outside.address : e->remote.address;
	uint32_t reply_src = outside ? e->inside.address : e->remote.address;
	uint32_t reply_dst = outside ? e->remote.address : e->outside.address;
	uint16_t sport = outside ? e->remote.port : e->inside.port;
	uint16_t dport = outside ? e->outside.port : e->remote.port;
	bool ports = e->protocol == 6 || e->protocol == 17;
	bool ok = true;

	ok &= !(f->criteria & CTL_BY_PROTOCOL) || f->protocol == e->protocol;
	ok &= !(f->criteria & CTL_BY_ORIG_SRC) || oracle_prefix(&f->orig_src, orig_src);
	ok &= !(f->criteria & CTL_BY_ORIG_DST) || oracle_prefix(&f->orig_dst, orig_dst);
	ok &= !(f->criteria & CTL_BY_REPLY_SRC) || oracle_prefix(&f->reply_src, reply_src);
	ok &= !(f->criteria & CTL_BY_REPLY_DST) || oracle_prefix(&f->reply_dst, reply_dst);
	ok &= !(f->criteria & CTL_BY_SPORT) || (ports && f->sport == sport);
	ok &= !(f->criteria & CTL_BY_DPORT) || (ports && f->dport == dport);
	ok &= !(f->criteria & CTL_BY_STATE) || (e->protocol == 6 && f->state == e->state);
	ok &= !(f->criteria & CTL_BY_FORWARD) || (e->forward[0] && !strcmp(f->forward, e->forward));
	ok &= !(f->criteria & CTL_BY_ID) || f->id == e->id;
	ok &= !(f->criteria & CTL_BY_REPLY_SPORT) ||
	      (ports && f->reply_sport == (outside ? e->inside.port : e->remote.port));
	ok &= !(f->criteria & CTL_BY_REPLY_DPORT) ||
	      (ports && f->reply_dport == (outside ? e->remote.port : e->outside.port));
	ok &= !(f->criteria & CTL_BY_STATUS) ||
	      ((e->flags | f->status_set) == e->flags && !(e->flags & f->status_clear));
	ok &= !(f->criteria & CTL_BY_ORIGIN) || f->from_outside == outside;
	ok &= !(f->criteria & CTL_BY_ICMP) || e->protocol == 1;
	ok &= !(f->criteria & CTL_BY_ICMP) || !(f->icmp & CTL_ICMP_TYPE) || f->icmp_type == 8;
	ok &= !(f->criteria & CTL_BY_ICMP) || !(f->icmp & CTL_ICMP_CODE) || f->icmp_code == 0;
	ok &= !(f->criteria & CTL_BY_ICMP) || !(f->icmp & CTL_ICMP_ID) ||
	      f->icmp_id == (outside ? e->outside.port : e->inside.port);
	return ok;
}

static struct ctl_prefix near(uint32_t address)
{
	uint8_t length = (uint8_t)unit_below(33);
	uint32_t mask = length ? UINT32_MAX << (32 - length) : 0;

	if (unit_below(4) == 0)
		address ^= 1U << unit_below(32);
	return (struct ctl_prefix){address & mask, length};
}

/* A filter whose values are mostly taken from the entry, so that many match and many just fail to. */
static struct ctl_filter filter_near(const struct ctl_entry *e)
{
	struct ctl_filter f = {.criteria = (uint16_t)(unit_random() & unit_random() & CTL_BY_ALL)};
	struct ctl_tuple t[2];

	ctl_entry_tuples(e, t);
	f.protocol = unit_below(4) ? e->protocol : 17;
	f.state = unit_below(4) ? e->state : CTL_STATE_CLOSE;
	f.sport = unit_below(4) ? t[0].src.port : t[1].src.port;
	f.dport = unit_below(4) ? t[0].dst.port : t[1].dst.port;
	f.orig_src = near(t[0].src.address);
	f.orig_dst = near(t[0].dst.address);
	f.reply_src = near(t[1].src.address);
	f.reply_dst = near(t[1].dst.address);
	f.id = unit_below(4) ? e->id : 1;
	strcpy(f.forward, unit_below(4) ? e->forward : "web");
	f.reply_sport = unit_below(4) ? t[1].src.port : t[0].src.port;
	f.reply_dport = unit_below(4) ? t[1].dst.port : t[0].dst.port;
	f.status_set = unit_below(4) ? e->flags & 6 : 6;
	f.status_clear = unit_below(4) ? ~e->flags & 6 : 6;
	f.from_outside = unit_below(4) ? e->flags & CTL_ENTRY_FROM_OUTSIDE : 1;
	f.icmp = (uint8_t)unit_below(8);
	f.icmp_type = unit_below(4) ? 8 : 0;
	f.icmp_code = unit_below(4) ? 0 : 1;
	f.icmp_id = e->flags & CTL_ENTRY_FROM_OUTSIDE ? e->outside.port : e->inside.port;
	if (unit_below(4))
		f.criteria &= (uint16_t)~CTL_BY_ICMP; /* few entries are ICMP */
	return f;
}

START_TEST(test_filters_agree_with_an_obvious_evaluation)
{
	int matched = 0;

	for (int n = 0; n < 20000; n++) {
		struct ctl_entry e = random_entry();
		struct ctl_filter f = filter_near(&e);

		ck_assert_int_eq(ctl_filter_matches(&f, &e), oracle(&f, &e));
		matched += oracle(&f, &e);
	}
	ck_assert_int_gt(matched, 1000);
	ck_assert_int_lt(matched, 18000);
}
END_TEST

START_TEST(test_state_names)
{
	for (int i = 0; i < CTL_STATE_COUNT; i++)
		ck_assert_int_eq(ctl_state_by_name(ctl_state_name((uint8_t)i)), i);
	ck_assert_int_eq(ctl_state_by_name("established"), CTL_STATE_ESTABLISHED);
	ck_assert_int_eq(ctl_state_by_name("ESTABLISHE"), -1);
	ck_assert_int_eq(ctl_state_by_name("ESTABLISHEDX"), -1);
	ck_assert_int_eq(ctl_state_by_name(""), -1);
	ck_assert_str_eq(ctl_state_name(200), "NONE");
}
END_TEST

/* Any bytes at all: no reader leaves them (the sanitizer watches), whatever they say. */
START_TEST(test_rubbish_is_survived)
{
	for (int n = 0; n < 20000; n++) {
		size_t len = unit_below(80);
		uint8_t *bytes = malloc(len ? len : 1);
		static union {
			struct ctl_entry e;
			struct ctl_forward f;
			struct ctl_item i;
			struct ctl_check c;
			struct ctl_counter k;
			struct ctl_filter x;
			struct ctl_hello h;
			struct ctl_host o;
			struct ctl_hosts q;
		} out;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(unit_below(3) ? 0 : unit_random());
		ctl_get_entry(&(struct ctl_reader){bytes, len, false}, &out.e);
		ctl_get_forward(&(struct ctl_reader){bytes, len, false}, &out.f);
		ctl_get_item(&(struct ctl_reader){bytes, len, false}, &out.i);
		ctl_get_check(&(struct ctl_reader){bytes, len, false}, &out.c);
		ctl_get_counter(&(struct ctl_reader){bytes, len, false}, &out.k);
		ctl_get_filter(&(struct ctl_reader){bytes, len, false}, &out.x);
		ctl_get_hello_reply(&(struct ctl_reader){bytes, len, false}, &out.h);
		ctl_get_host(&(struct ctl_reader){bytes, len, false}, &out.o);
		ctl_get_hosts(&(struct ctl_reader){bytes, len, false}, &out.q);
		free(bytes);
	}
}
END_TEST

static Suite *make(void)
{
	Suite *s = suite_create("ctlproto");
	TCase *t = tcase_create("protocol");

	tcase_add_loop_test(t, test_request_has_name_and_permission, 0, REQUESTS);
	tcase_add_test(t, test_nothing_else_is_a_request);
	tcase_add_loop_test(t, test_the_table_allows_exactly_what_the_encoder_makes, 0, REQUESTS);
	tcase_add_test(t, test_numbers_are_big_endian);
	tcase_add_test(t, test_bad_stays_bad);
	tcase_add_loop_test(t, test_text_must_fit_and_hold_no_nul, 0, 8);
	tcase_add_test(t, test_long_text_is_cut);
	tcase_add_test(t, test_a_frame_is_taken_at_its_last_byte_and_not_before);
	tcase_add_loop_test(t, test_impossible_lengths_are_seen_at_once, 0, 9);
	tcase_add_test(t, test_a_frame_without_room_leaves_no_trace);
	tcase_add_test(t, test_entries_survive_the_wire);
	tcase_add_test(t, test_a_cut_or_prolonged_entry);
	tcase_add_test(t, test_a_rule_survives_the_wire);
	tcase_add_test(t, test_mapping_pool_end_and_error_survive_the_wire);
	tcase_add_test(t, test_host_survives_the_wire);
	tcase_add_test(t, test_order_of_hosts_needs_a_limit);
	tcase_add_loop_test(t, test_forward_with_any_number_of_sources_survives_the_wire, 0, 5);
	tcase_add_test(t, test_items_checks_and_lines_survive_the_wire);
	tcase_add_test(t, test_both_hellos_survive_the_wire);
	tcase_add_loop_test(t, test_every_kind_of_event_survives_the_wire, 0, CTL_EVENT_COUNT);
	tcase_add_test(t, test_event_of_a_later_kind_is_no_error);
	tcase_add_test(t, test_subscription_survives_the_wire_or_is_refused);
	tcase_add_test(t, test_every_set_of_criteria_survives_the_wire);
	tcase_add_loop_test(t, test_malformed_filters_are_refused, 0, 9);
	tcase_add_test(t, test_filters_agree_with_an_obvious_evaluation);
	tcase_add_test(t, test_state_names);
	tcase_add_test(t, test_rubbish_is_survived);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make);
}
