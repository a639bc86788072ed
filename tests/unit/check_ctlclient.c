/* SPDX-License-Identifier: ISC */
/*
 * A control client without a socket, over the whole core: what each request answers, listings in slices,
 * and abuse: cuts, pipelines, rubbish at every offset, lengths, versions, permissions, idling.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/ctlrecord.h"
#include "common/ctlstatus.h"
#include "core/nat/view.h"
#include "daemon/base/finding.h"
#include "daemon/control/capture.h"
#include "daemon/control/ctlclient.h"
#include "daemon/control/metrics.h"
#include "daemon/control/stream.h"
#include "daemon/control/survey.h"
#include "daemon/control/zeroed.h"
#include "natlab.h"
#include "unit.h"

enum { REPLY_MAX = 4 << 20, IDS_MAX = 4096 };

struct talk {
	struct lab *lab;
	struct ctl_client *c;
	struct ctl_backend backend;
	struct ctl_env env;
	struct zeroed zeroed;
	struct survey survey;
	struct captures captures;
	uint64_t now_ms;
	size_t reply_len;
	size_t next; /* where the reader stands */
	uint8_t reply[REPLY_MAX];
};

/* ---- what the daemon would say ---- */

static unsigned lines_to_say = 1;
static bool reload_works = true;

static void say_status(void *ctx, struct ctl_sink *sink)
{
	(void)ctx;
	ctl_say_text(sink, "version", "0.1");
	ctl_say_number(sink, "uptime", 60);
	ctl_say_list(sink, "warnings", "one");
	ctl_say_list(sink, "warnings", "two");
}

static void say_stats(void *ctx, struct ctl_sink *sink)
{
	const struct metric m = {"tun_read", "packets read", METRIC_COUNTER, "", 4};

	(void)ctx;
	ctl_say_metric(sink, &m);
}

static bool do_reload(void *ctx, struct ctl_sink *sink, uint32_t confirm_s, struct nat_reconfigure_report *report)
{
	(void)confirm_s;
	(void)ctx;
	for (unsigned i = 0; i < lines_to_say; i++)
		ctl_say_line(sink, "natd.conf:3: a line that is long enough to fill a buffer soon if it comes often");
	*report = (struct nat_reconfigure_report){.kept = 7, .ended = 2};
	return reload_works;
}

static void say_doctor(void *ctx, struct ctl_sink *sink)
{
	const struct finding well = {"tun-device", FINDING_OK, "/dev/net/tun", "", 0};
	const struct finding wrong = {"forwarding", FINDING_ERROR, "forwarding is off", "sysctl net.ipv4.ip_forward=1",
				      0};

	(void)ctx;
	ctl_say_finding(sink, &well);
	ctl_say_finding(sink, &wrong);
}

/* ---- talking ---- */

static struct talk *talk_new(bool may_change)
{
	struct talk *t = calloc(1, sizeof(*t));

	lines_to_say = 1;
	reload_works = true;
	t->lab = lab_new();
	t->backend = (struct ctl_backend){
		.status = say_status, .stats = say_stats, .reload = do_reload, .doctor = say_doctor};
	t->now_ms = t->lab->now_ms;
	lab_start(t->lab);
	t->env = (struct ctl_env){.nat = t->lab->nat,
				  .backend = &t->backend,
				  .version = "0.1-test",
				  .survey = &t->survey,
				  .captures = &t->captures,
				  .zeroed = &t->zeroed};
	t->c = ctl_client_create(&t->env, may_change, t->now_ms);
	ck_assert_ptr_nonnull(t->c);
	return t;
}

static void talk_free(struct talk *t)
{
	ctl_client_destroy(t->c);
	zeroed_fini(&t->zeroed);
	survey_free(&t->survey, t->lab->nat);
	lab_free(t->lab);
	free(t);
}

/* Takes at most `n` of the waiting bytes. */
static void drain(struct talk *t, size_t n)
{
	size_t len;
	const uint8_t *out = ctl_client_output(t->c, &len);

	ck_assert_uint_le(len, CTL_OUT_SIZE);
	n = n < len ? n : len;
	ck_assert_uint_le(t->reply_len + n, REPLY_MAX);
	memcpy(t->reply + t->reply_len, out, n);
	t->reply_len += n;
	ctl_client_sent(t->c, n, t->now_ms);
	ck_assert_ptr_null(ctl_client_check(t->c));
}

static void settle(struct talk *t)
{
	size_t before;

	do {
		before = t->reply_len;
		ctl_client_run(t->c, CTL_SLICE_VISITS, t->now_ms);
		ck_assert_ptr_null(ctl_client_check(t->c));
		drain(t, SIZE_MAX);
	} while (ctl_client_has_work(t->c) || t->reply_len != before);
}

/* Sends bytes in pieces of at most `piece`, running in between as far as it goes. */
static void say(struct talk *t, const uint8_t *bytes, size_t len, size_t piece)
{
	while (len > 0) {
		size_t room;
		uint8_t *space = ctl_client_space(t->c, &room);
		size_t n = len < piece ? len : piece;

		if (room == 0)
			return; /* closing */
		n = n < room ? n : room;
		memcpy(space, bytes, n);
		ctl_client_fed(t->c, n, t->now_ms);
		bytes += n;
		len -= n;
		settle(t);
	}
}

static size_t add_hello(uint8_t *buf, size_t len)
{
	const struct ctl_hello hello = {.magic = CTL_MAGIC, .version = CTL_VERSION, .version_min = CTL_VERSION};
	struct ctl_writer w = {.buf = buf, .size = 4096, .len = len};

	ck_assert(ctl_put_hello(&w, &hello));
	return w.len;
}

static size_t add_request(uint8_t *buf, size_t len, enum ctl_type type, const struct ctl_filter *f)
{
	struct ctl_writer w = {.buf = buf, .size = 4096, .len = len};

	ck_assert(ctl_put_request(&w, type, f));
	return w.len;
}

static void ask(struct talk *t, enum ctl_type type, const struct ctl_filter *f)
{
	uint8_t buf[4096];

	say(t, buf, add_request(buf, 0, type, f), SIZE_MAX);
}

static void greet(struct talk *t)
{
	uint8_t buf[4096];

	say(t, buf, add_hello(buf, 0), SIZE_MAX);
}

/* The next frame of the reply; false: there is none. Half a frame is an error. */
static bool next_frame(struct talk *t, struct ctl_frame *f)
{
	int used = ctl_frame_next(t->reply + t->next, t->reply_len - t->next, CTL_REPLY_MAX, f);

	if (t->next == t->reply_len)
		return false;
	ck_assert_int_gt(used, 0);
	t->next += (size_t)used;
	return true;
}

static struct ctl_frame expect(struct talk *t, uint8_t type)
{
	struct ctl_frame f;

	ck_assert(next_frame(t, &f));
	ck_assert_msg(f.type == type, "frame %u instead of %u", f.type, type);
	return f;
}

static struct ctl_end expect_end(struct talk *t)
{
	struct ctl_frame f = expect(t, CTL_R_END);
	struct ctl_end end;

	ck_assert(ctl_get_end(&f.body, &end));
	ck_assert_uint_eq(t->next, t->reply_len);
	return end;
}

static void expect_error(struct talk *t, uint16_t code, bool closes)
{
	struct ctl_frame f = expect(t, CTL_R_ERROR);
	static struct ctl_error e;

	ck_assert(ctl_get_error(&f.body, &e));
	ck_assert_msg(e.code == code, "error %u (%s) instead of %u", e.code, e.text, code);
	ck_assert_int_ne(e.text[0], '\0');
	ck_assert_uint_eq(t->next, t->reply_len);
	ck_assert_int_eq(ctl_client_is_done(t->c), closes);
}

static struct talk *talk_greeted(bool may_change)
{
	struct talk *t = talk_new(may_change);

	greet(t);
	expect(t, CTL_R_HELLO);
	return t;
}

static void make_sessions(struct talk *t, uint32_t n)
{
	t->lab->skip_check = true;
	for (uint32_t i = 0; i < n; i++)
		lab_udp_out(t->lab, LAB_A + i % 3, (uint16_t)(5000 + i), LAB_S1, 53);
}

/* ---- answers ---- */

START_TEST(test_hello_tells_version_and_rights)
{
	struct talk *t = talk_new(_i);
	struct ctl_hello h;
	struct ctl_frame f;

	greet(t);
	f = expect(t, CTL_R_HELLO);
	ck_assert(ctl_get_hello_reply(&f.body, &h));
	ck_assert(h.magic == CTL_MAGIC && h.version == 1 && h.may_change == _i);
	ck_assert_str_eq(h.daemon, "0.1-test");
	talk_free(t);
}
END_TEST

START_TEST(test_list_tells_all_about_each_kind_of_session)
{
	struct talk *t = talk_greeted(false);
	struct ctl_filter all = {0};
	struct ctl_frame f;
	struct ctl_entry e[3];
	uint16_t port = lab_tcp_established(t->lab, LAB_A, 54321, LAB_S1, 443);

	lab_udp_out(t->lab, LAB_B, 5353, LAB_S2, 53);
	lab_echo_out(t->lab, LAB_A, 4711, LAB_S3);
	t->now_ms += 5000;
	ask(t, CTL_LIST, &all);
	for (int i = 0; i < 3; i++) {
		f = expect(t, CTL_R_ENTRY);
		ck_assert(ctl_get_entry(&f.body, &e[i]));
		ck_assert_uint_eq(e[i].age_s, 5);
		ck_assert_uint_eq(e[i].outside.address, LAB_EXT);
		ck_assert_str_eq(e[i].forward, "");
		ck_assert_uint_ne(e[i].id, 0);
	}
	ck_assert_uint_eq(expect_end(t).count, 3);
	ck_assert(e[0].protocol == 6 && e[0].state == CTL_STATE_ESTABLISHED && e[0].timeout_s == 7440 - 5);
	ck_assert(e[0].inside.address == LAB_A && e[0].inside.port == 54321 && e[0].outside.port == port);
	ck_assert(e[0].remote.address == LAB_S1 && e[0].remote.port == 443);
	ck_assert_uint_eq(e[0].flags, CTL_ENTRY_REPLIED | CTL_ENTRY_ASSURED);
	ck_assert(e[0].packets[0] == 2 && e[0].packets[1] == 1 && e[0].bytes[0] > 40);
	ck_assert(e[1].protocol == 17 && e[1].flags == 0 && e[1].timeout_s == 295 && e[1].packets[0] == 1);
	ck_assert(e[1].state == CTL_STATE_NONE && e[1].packets[1] == 0);
	ck_assert(e[2].protocol == 1 && e[2].inside.port == 4711 && e[2].timeout_s == 55);
	ck_assert_uint_eq(e[2].outside.port, e[2].remote.port);
	talk_free(t);
}
END_TEST

static struct ctl_entry only_entry(struct talk *t, enum ctl_type type)
{
	struct ctl_filter all = {0};
	struct ctl_frame f;
	struct ctl_entry e;

	ask(t, type, &all);
	f = expect(t, CTL_R_ENTRY);
	ck_assert(ctl_get_entry(&f.body, &e));
	ck_assert_uint_eq(expect_end(t).count, 1);
	return e;
}

/* Listings do not decide whether a session was answered; and its successor in the same record counts for itself. */
START_TEST(test_fault_42_counters_from_zero)
{
	struct talk *t = talk_greeted(true);
	uint16_t port = lab_udp_out(t->lab, LAB_A, 5000, LAB_S1, 53);
	struct ctl_entry e;

	LAB_SEND(t->lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = port, .payload_len = 8);
	e = only_entry(t, CTL_LIST_ZERO);
	ck_assert(e.packets[0] == 1 && e.packets[1] == 1 && e.bytes[0] == 36);
	e = only_entry(t, CTL_LIST);
	ck_assert(e.packets[0] == 0 && e.packets[1] == 0 && e.bytes[0] == 0 && e.bytes[1] == 0);
	ck_assert_uint_eq(e.flags, CTL_ENTRY_REPLIED);
	lab_udp_out(t->lab, LAB_A, 5000, LAB_S1, 53);
	e = only_entry(t, CTL_LIST_ZERO);
	ck_assert(e.packets[0] == 1 && e.packets[1] == 0 && e.bytes[0] == 36);
	nat_session_end(t->lab->nat, e.id, SESSION_END_DELETED, t->now_ms);
	lab_udp_out(t->lab, LAB_B, 5000, LAB_S1, 53);
	e = only_entry(t, CTL_LIST);
	ck_assert_uint_eq(e.packets[0], 1);
	talk_free(t);
}
END_TEST

static void add_forward(struct lab *l)
{
	l->forwards[0] = (struct nat_forward){
		.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 80}, .to = LAB_WEB, .to_port = 8080};
	l->policy.n_forwards = 1;
	lab_reload(l);
}

START_TEST(test_forwarded_session_shows_its_origin_and_forward)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter by_name = {.criteria = CTL_BY_FORWARD, .forward = "web"};
	struct ctl_filter other = {.criteria = CTL_BY_FORWARD, .forward = "box"};
	struct ctl_tuple tuple[2];
	struct ctl_frame f;
	struct ctl_entry e;

	add_forward(t->lab);
	LAB_SEND(t->lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 999, .dport = 80, .flags = TCP_SYN,
		 .seq = 1);
	ask(t, CTL_LIST, &by_name);
	f = expect(t, CTL_R_ENTRY);
	ck_assert(ctl_get_entry(&f.body, &e));
	ck_assert_uint_eq(expect_end(t).count, 1);
	ck_assert_str_eq(e.forward, "web");
	ck_assert_uint_eq(e.flags, CTL_ENTRY_FROM_OUTSIDE);
	ctl_entry_tuples(&e, tuple);
	ck_assert(tuple[0].src.address == LAB_S1 && tuple[0].dst.address == LAB_EXT && tuple[0].dst.port == 80);
	ck_assert(tuple[1].src.address == LAB_WEB && tuple[1].src.port == 8080 && tuple[1].dst.address == LAB_S1);
	ask(t, CTL_COUNT, &other);
	ck_assert_uint_eq(expect_end(t).count, 0);
	ask(t, CTL_FORWARDS, NULL);
	expect(t, CTL_R_FORWARD);
	ck_assert_uint_eq(expect_end(t).count, 1);
	talk_free(t);
}
END_TEST

START_TEST(test_what_has_timed_out_is_not_shown)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};

	make_sessions(t, 5);
	t->now_ms += 301000; /* and the sweep has not run */
	ask(t, CTL_COUNT, &all);
	ck_assert_uint_eq(expect_end(t).count, 0);
	talk_free(t);
}
END_TEST

START_TEST(test_count_and_delete_agree_with_list)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter f = {.criteria = CTL_BY_ORIG_SRC, .orig_src = {LAB_A, 32}};
	struct ctl_filter all = {0};
	struct ctl_frame frame;
	int n = 0;

	make_sessions(t, 300);
	ask(t, CTL_COUNT, &f);
	ck_assert_uint_eq(expect_end(t).count, 100);
	ask(t, CTL_DELETE, &f);
	for (n = 0; n < 100; n++)
		expect(t, CTL_R_ENTRY);
	ck_assert_uint_eq(expect_end(t).count, 100);
	ck_assert_uint_eq(lab_sessions(t->lab), 200);
	ask(t, CTL_DELETE, &f);
	ck_assert_uint_eq(expect_end(t).count, 0);
	ask(t, CTL_LIST, &all);
	for (n = 0; n < 200; n++)
		expect(t, CTL_R_ENTRY);
	ck_assert_uint_eq(expect_end(t).count, 200);
	ask(t, CTL_FLUSH, NULL);
	ck_assert_uint_eq(expect_end(t).count, 200);
	ck_assert_uint_eq(lab_sessions(t->lab), 0);
	ck_assert_ptr_null(nat_check(t->lab->nat));
	ck_assert(!next_frame(t, &frame));
	talk_free(t);
}
END_TEST

START_TEST(test_by_id_finds_exactly_that_one)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};
	struct ctl_filter f = {.criteria = CTL_BY_ID};
	struct ctl_frame frame;
	struct ctl_entry e;

	make_sessions(t, 50);
	ask(t, CTL_LIST, &all);
	frame = expect(t, CTL_R_ENTRY);
	ck_assert(ctl_get_entry(&frame.body, &e));
	t->next = t->reply_len;
	f.id = e.id;
	ask(t, CTL_DELETE, &f);
	frame = expect(t, CTL_R_ENTRY);
	ck_assert(ctl_get_entry(&frame.body, &e));
	ck_assert_uint_eq(e.id, f.id);
	ck_assert_uint_eq(expect_end(t).count, 1);
	ask(t, CTL_DELETE, &f);
	ck_assert_uint_eq(expect_end(t).count, 0);
	f.id = UINT64_MAX;
	ask(t, CTL_COUNT, &f);
	ck_assert_uint_eq(expect_end(t).count, 0);
	ck_assert_uint_eq(lab_sessions(t->lab), 49);
	talk_free(t);
}
END_TEST

START_TEST(test_each_mapping_is_shown_once_with_its_sessions)
{
	struct talk *t = talk_greeted(false);
	struct ctl_frame f;
	struct ctl_mapping m;
	uint32_t sessions = 0;

	for (uint16_t i = 0; i < 40; i++) {
		lab_udp_out(t->lab, LAB_A, (uint16_t)(5000 + i), LAB_S1, 53);
		lab_udp_out(t->lab, LAB_A, (uint16_t)(5000 + i), LAB_S2, 53);
		lab_syn_out(t->lab, LAB_B, (uint16_t)(5000 + i), LAB_S2, 53);
	}
	lab_echo_out(t->lab, LAB_A, 4711, LAB_S3);
	ask(t, CTL_MAPPINGS, NULL);
	for (int i = 0; i < 81; i++) {
		f = expect(t, CTL_R_MAPPING);
		ck_assert(ctl_get_mapping(&f.body, &m));
		ck_assert_uint_eq(m.outside.address, LAB_EXT);
		ck_assert_uint_eq(m.remote.address, 0);
		ck_assert_uint_eq(m.sessions, m.protocol == 17 ? 2 : 1);
		ck_assert_uint_eq(m.inside.address, m.protocol == 6 ? LAB_B : LAB_A);
		sessions += m.sessions;
	}
	ck_assert_uint_eq(expect_end(t).count, 81);
	ck_assert_uint_eq(sessions, lab_sessions(t->lab));
	talk_free(t);
}
END_TEST

START_TEST(test_pools_in_ascending_order_with_their_use)
{
	struct talk *t = talk_new(false);
	struct ctl_frame f;
	struct ctl_pool p;

	talk_free(t);
	t = talk_greeted(false);
	t->lab->addresses[1] = (struct nat_address_range){.first = LAB_EXT + 5, .last = LAB_EXT + 6, .shared = true};
	t->lab->addresses[2] = (struct nat_address_range){.first = 0xffffffff, .last = 0xffffffff, .shared = false};
	t->lab->policy.n_addresses = 3;
	lab_reload(t->lab);
	ask(t, CTL_POOLS, NULL);
	for (int i = 0; i < 4; i++) {
		static const uint32_t want[] = {LAB_EXT, LAB_EXT + 5, LAB_EXT + 6, 0xffffffff};

		f = expect(t, CTL_R_POOL);
		ck_assert(ctl_get_pool(&f.body, &p));
		ck_assert_uint_eq(p.address, want[i]);
		ck_assert_int_eq(p.shared, i == 1 || i == 2);
		ck_assert_uint_eq(p.ports, p.shared ? 16384 + 4535 : 64512);
	}
	ck_assert_uint_eq(expect_end(t).count, 4);
	talk_free(t);
}
END_TEST

START_TEST(test_status_has_what_core_and_daemon_know)
{
	struct talk *t = talk_greeted(false);
	static struct ctl_item i;
	struct ctl_frame f;
	bool sessions = false;
	int warnings = 0;

	make_sessions(t, 4);
	ask(t, CTL_STATUS, NULL);
	while (next_frame(t, &f) && f.type == CTL_R_ITEM) {
		ck_assert(ctl_get_item(&f.body, &i));
		sessions |= strcmp(i.name, "sessions") == 0 && i.number == 4;
		warnings += strcmp(i.name, "warnings") == 0 && i.kind == CTL_ITEM_LIST;
	}
	ck_assert_uint_eq(f.type, CTL_R_END);
	ck_assert(sessions && warnings == 2);
	talk_free(t);
}
END_TEST

START_TEST(test_stats_has_every_counter_once_and_the_daemons_after_them)
{
	struct talk *t = talk_greeted(false);
	struct ctl_counter c;
	struct ctl_frame f;

	make_sessions(t, 4);
	ask(t, CTL_STATS, NULL);
	for (int r = 1; r < NAT_REASON_COUNT; r++) {
		f = expect(t, CTL_R_COUNTER);
		ck_assert(ctl_get_counter(&f.body, &c));
		ck_assert_str_eq(c.name, nat_reason_name((enum nat_reason)r));
		ck_assert_str_eq(c.help, nat_reason_help((enum nat_reason)r));
		ck_assert_uint_eq(c.value, nat_counters(t->lab->nat)[r]);
	}
	expect(t, CTL_R_COUNTER);
	ck_assert_uint_eq(expect_end(t).count, NAT_REASON_COUNT);
	talk_free(t);
}
END_TEST

START_TEST(test_doctor_and_reload)
{
	struct talk *t = talk_greeted(true);
	struct ctl_end end;

	ask(t, CTL_DOCTOR, NULL);
	expect(t, CTL_R_CHECK);
	expect(t, CTL_R_CHECK);
	ck_assert_uint_eq(expect_end(t).count, 2);
	ask(t, CTL_RELOAD, NULL);
	expect(t, CTL_R_LINE);
	end = expect_end(t);
	ck_assert(end.count == 7 && end.count2 == 2);
	reload_works = false;
	ask(t, CTL_RELOAD, NULL);
	expect(t, CTL_R_LINE);
	expect_error(t, CTL_E_FAILED, false);
	talk_free(t);
}
END_TEST

START_TEST(test_an_answer_too_long_says_so_and_still_ends)
{
	struct talk *t = talk_greeted(true);
	struct ctl_frame f;
	char text[CTL_TEXT_MAX + 1];
	uint32_t lines = 0;
	uint32_t lost = 0;

	lines_to_say = 5000;
	ask(t, CTL_RELOAD, NULL);
	for (; next_frame(t, &f) && f.type == CTL_R_LINE; lines++) {
		ck_assert(ctl_get_line(&f.body, text));
		if (strncmp(text, "... and ", 8) == 0)
			lost = (uint32_t)atoi(text + 8);
	}
	ck_assert_uint_eq(f.type, CTL_R_END);
	ck_assert_uint_gt(lines, 300);
	ck_assert_uint_eq(lines - 1 + lost, 5000);
	talk_free(t);
}
END_TEST

/* ---- slices ---- */

START_TEST(test_a_listing_shows_each_session_once_while_others_come_and_go)
{
	enum { N = 3000 };
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};
	uint8_t *seen = calloc(1, 65536);
	uint8_t buf[4096];
	struct ctl_frame f;
	struct ctl_entry e;
	size_t len = add_request(buf, 0, CTL_LIST, &all);
	uint16_t extra = 20000;
	size_t room;
	size_t waiting;
	int runs;

	make_sessions(t, N);
	memcpy(ctl_client_space(t->c, &room), buf, len);
	ctl_client_fed(t->c, len, t->now_ms);
	for (runs = 0; ctl_client_run(t->c, 32, t->now_ms) || (ctl_client_output(t->c, &waiting), waiting); runs++) {
		lab_udp_out(t->lab, LAB_WEB, extra++, LAB_S3, 7);
		drain(t, unit_below(3000));
		ck_assert_ptr_null(ctl_client_check(t->c));
	}
	ck_assert_int_gt(runs, N / 32);
	while (next_frame(t, &f) && f.type == CTL_R_ENTRY) {
		ck_assert(ctl_get_entry(&f.body, &e));
		if (e.inside.address == LAB_WEB)
			continue;
		ck_assert_int_eq(seen[e.inside.port], 0);
		seen[e.inside.port] = 1;
	}
	ck_assert_uint_eq(f.type, CTL_R_END);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(seen[5000 + i], 1);
	free(seen);
	talk_free(t);
}
END_TEST

START_TEST(test_a_slice_is_bounded_and_a_full_buffer_stops_it)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};
	uint8_t buf[4096];
	size_t len = add_request(buf, 0, CTL_LIST, &all);
	size_t waiting;
	size_t room;

	make_sessions(t, 3000);
	memcpy(ctl_client_space(t->c, &room), buf, len);
	ctl_client_fed(t->c, len, t->now_ms);
	ck_assert(ctl_client_run(t->c, 10, t->now_ms));
	ctl_client_output(t->c, &waiting);
	ck_assert_uint_gt(waiting, 0);
	ck_assert_uint_le(waiting, 10 * 128);
	for (int i = 0; i < 1000 && ctl_client_run(t->c, 100, t->now_ms); i++)
		;
	ck_assert(!ctl_client_has_work(t->c));
	ctl_client_output(t->c, &waiting);
	ck_assert_uint_le(waiting, CTL_OUT_SIZE);
	settle(t);
	t->next = 0;
	expect(t, CTL_R_HELLO);
	for (int i = 0; i < 3000; i++)
		expect(t, CTL_R_ENTRY);
	ck_assert_uint_eq(expect_end(t).count, 3000);
	talk_free(t);
}
END_TEST

START_TEST(test_a_reload_in_the_middle_of_a_listing_is_survived)
{
	static const enum ctl_type types[] = {CTL_LIST, CTL_MAPPINGS, CTL_FORWARDS, CTL_POOLS};
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};
	uint8_t buf[4096];
	size_t len = add_request(buf, 0, types[_i], types[_i] == CTL_LIST ? &all : NULL);
	struct ctl_frame f;
	size_t room;

	add_forward(t->lab);
	make_sessions(t, 500);
	memcpy(ctl_client_space(t->c, &room), buf, len);
	ctl_client_fed(t->c, len, t->now_ms);
	ctl_client_run(t->c, 1, t->now_ms);
	t->lab->addresses[0] = (struct nat_address_range){.first = LAB_EXT - 1, .last = LAB_EXT - 1, .shared = false};
	t->lab->policy.n_forwards = 0;
	lab_reload(t->lab);
	settle(t);
	while (next_frame(t, &f) && f.type != CTL_R_END)
		;
	ck_assert_uint_eq(f.type, CTL_R_END);
	talk_free(t);
}
END_TEST

/* ---- abuse ---- */

/* A conversation with everything in it that changes nothing. */
static size_t conversation(uint8_t *buf)
{
	struct ctl_filter all = {0};
	struct ctl_filter some = {.criteria = CTL_BY_PROTOCOL | CTL_BY_SPORT | CTL_BY_FORWARD,
				  .protocol = 17,
				  .sport = 5001,
				  .forward = "web"};
	size_t len = add_hello(buf, 0);

	len = add_request(buf, len, CTL_LIST, &all);
	len = add_request(buf, len, CTL_COUNT, &some);
	len = add_request(buf, len, CTL_STATUS, NULL);
	len = add_request(buf, len, CTL_MAPPINGS, NULL);
	len = add_request(buf, len, CTL_DELETE, &some);
	return add_request(buf, len, CTL_POOLS, NULL);
}

START_TEST(test_the_answer_is_the_same_however_the_requests_are_cut)
{
	uint8_t buf[4096];
	size_t len = conversation(buf);
	struct talk *whole = talk_new(true);

	make_sessions(whole, 20);
	say(whole, buf, len, SIZE_MAX);
	for (size_t piece = 1; piece < len; piece += piece < 20 ? 1 : 13) {
		struct talk *t = talk_new(true);

		make_sessions(t, 20);
		say(t, buf, len, piece);
		ck_assert_uint_eq(t->reply_len, whole->reply_len);
		ck_assert_mem_eq(t->reply, whole->reply, t->reply_len);
		talk_free(t);
	}
	talk_free(whole);
}
END_TEST

/* The reply is made of whole frames, and where the client was given up, the last one says so. */
static void ck_contained(struct talk *t)
{
	struct ctl_frame f = {0};

	t->next = 0;
	while (next_frame(t, &f))
		;
	ck_assert_ptr_null(ctl_client_check(t->c));
	if (ctl_client_is_done(t->c))
		ck_assert_uint_eq(f.type, CTL_R_ERROR);
}

START_TEST(test_rubbish_at_every_offset_is_contained)
{
	static const uint8_t rubbish[] = {0, 1, 4, 0x7f, 0x80, 0xff};
	uint8_t buf[4096];
	size_t len = conversation(buf);
	struct talk *t = talk_new(true);
	int closed = 0;

	make_sessions(t, 5);
	for (size_t at = 0; at < len; at++) {
		uint8_t kept = buf[at];

		for (size_t i = 0; i < sizeof(rubbish); i++) {
			ctl_client_destroy(t->c);
			t->c = ctl_client_create(&t->env, true, t->now_ms);
			t->reply_len = 0;
			buf[at] = rubbish[i];
			say(t, buf, len, SIZE_MAX);
			ck_contained(t);
			closed += ctl_client_is_done(t->c);
		}
		buf[at] = kept;
	}
	ck_assert_int_gt(closed, 100);
	talk_free(t);
}
END_TEST

START_TEST(test_random_rubbish_is_contained)
{
	struct talk *t = talk_new(true);
	uint8_t buf[4096];

	make_sessions(t, 5);
	for (int n = 0; n < 500; n++) {
		size_t len = n % 2 ? conversation(buf) : sizeof(buf) / 4;

		for (size_t i = n % 2 ? 13 : 0; i < len; i++) {
			if (n % 2 == 0 || unit_below(10) == 0)
				buf[i] = (uint8_t)(unit_below(2) ? unit_below(16) : unit_random());
		}
		ctl_client_destroy(t->c);
		t->c = ctl_client_create(&t->env, n % 3 == 0, t->now_ms);
		t->reply_len = 0;
		say(t, buf, len, 1 + unit_below(200));
		ck_contained(t);
	}
	ck_assert_ptr_null(nat_check(t->lab->nat));
	talk_free(t);
}
END_TEST

static const struct {
	const char *what;
	const char *bytes;
	size_t len;
	uint16_t code;
	bool greeted;
} bad_bytes[] = {
	{"HTTP", "GET / HTTP/1.1\r\n", 16, CTL_E_PROTOCOL, false},
	{"length 0", "\0\0\0\0", 4, CTL_E_PROTOCOL, false},
	{"oversize", "\0\0\17\375", 4, CTL_E_PROTOCOL, true},
	{"2 GiB", "\177\377\377\377\3", 5, CTL_E_PROTOCOL, true},
	{"request before hello", "\0\0\0\1\2", 5, CTL_E_PROTOCOL, false},
	{"wrong magic", "\0\0\0\11\1NATE\0\1\0\1", 13, CTL_E_PROTOCOL, false},
	{"short hello", "\0\0\0\10\1NATD\0\1\0", 12, CTL_E_PROTOCOL, false},
	{"too new", "\0\0\0\11\1NATD\0\3\0\2", 13, CTL_E_VERSION, false},
	{"too old", "\0\0\0\11\1NATD\0\0\0\0", 13, CTL_E_VERSION, false},
	{"second hello", "\0\0\0\11\1NATD\0\1\0\1", 13, CTL_E_PROTOCOL, true},
	{"status with a body", "\0\0\0\2\2x", 6, CTL_E_PROTOCOL, true},
	{"list without a filter", "\0\0\0\1\3", 5, CTL_E_PROTOCOL, true},
	{"unknown criterion", "\0\0\0\3\3\200\0", 7, CTL_E_PROTOCOL, true},
	{"criteria without values", "\0\0\0\3\3\0\1", 7, CTL_E_PROTOCOL, true},
};

START_TEST(test_bad_bytes_end_the_connection_with_a_word)
{
	struct talk *t = bad_bytes[_i].greeted ? talk_greeted(true) : talk_new(true);

	say(t, (const uint8_t *)bad_bytes[_i].bytes, bad_bytes[_i].len, SIZE_MAX);
	expect_error(t, bad_bytes[_i].code, true);
	talk_free(t);
}
END_TEST

START_TEST(test_versions_that_overlap_agree_on_ours)
{
	struct talk *t = talk_new(true);

	say(t, (const uint8_t *)"\0\0\0\11\1NATD\0\11\0\0", 13, SIZE_MAX);
	expect(t, CTL_R_HELLO);
	ck_assert(!ctl_client_is_done(t->c));
	talk_free(t);
}
END_TEST

START_TEST(test_later_and_unknown_requests_are_refused_and_the_next_is_answered)
{
	static const uint8_t types[] = {200, 199, 201, 77, 0, 128, 130, 255};
	struct talk *t = talk_greeted(true);
	const uint8_t request[] = {0, 0, 0, 1, types[_i]};

	say(t, request, sizeof(request), SIZE_MAX);
	expect_error(t, CTL_E_UNSUPPORTED, false);
	ask(t, CTL_POOLS, NULL);
	expect(t, CTL_R_POOL);
	expect_end(t);
	talk_free(t);
}
END_TEST

START_TEST(test_client_that_renounced_changes_is_refused_them)
{
	struct talk *t = talk_new(true);
	struct ctl_frame frame;

	make_sessions(t, 10);
	say(t, (const uint8_t *)"\0\0\0\12\1NATD\0\1\0\1\1", 14, SIZE_MAX);
	ck_assert_int_gt(ctl_frame_next(t->reply, t->reply_len, CTL_REPLY_MAX, &frame), 0);
	ck_assert_uint_eq(frame.body.p[6], 0); /* its rights */
	expect(t, CTL_R_HELLO);
	ask(t, CTL_FLUSH, NULL);
	expect_error(t, CTL_E_DENIED, false);
	ck_assert_uint_eq(table_session_count(nat_table(t->lab->nat)), 10);
	talk_free(t);
}
END_TEST

START_TEST(test_hello_with_an_unknown_flag_ends_the_connection)
{
	struct talk *t = talk_new(true);

	say(t, (const uint8_t *)"\0\0\0\12\1NATD\0\1\0\1\2", 14, SIZE_MAX);
	expect_error(t, CTL_E_PROTOCOL, true);
	talk_free(t);
}
END_TEST

START_TEST(test_who_may_only_read_changes_nothing)
{
	struct talk *t = talk_greeted(false);
	struct ctl_filter f = {.criteria = CTL_BY_PROTOCOL, .protocol = 17};

	make_sessions(t, 10);
	ask(t, CTL_DELETE, &f);
	expect_error(t, CTL_E_DENIED, false);
	ask(t, CTL_FLUSH, NULL);
	expect_error(t, CTL_E_DENIED, false);
	ask(t, CTL_RELOAD, NULL);
	expect_error(t, CTL_E_DENIED, false);
	ck_assert_uint_eq(lab_sessions(t->lab), 10);
	ask(t, CTL_COUNT, &f);
	ck_assert_uint_eq(expect_end(t).count, 10);
	talk_free(t);
}
END_TEST

/* ---- events ---- */

static void subscribe(struct talk *t, const struct ctl_subscribe *s)
{
	uint8_t bytes[CTL_REQUEST_MAX];
	struct ctl_writer w = {.buf = bytes, .size = sizeof(bytes)};

	ck_assert(ctl_put_subscribe(&w, s));
	events_want(nat_events(t->lab->nat), ctl_event_types(s->kinds)); /* as the server does */
	say(t, bytes, w.len, SIZE_MAX);
}

static const struct ctl_event *expect_event(struct talk *t, enum ctl_event_kind kind)
{
	static struct ctl_event e;
	struct ctl_frame f = expect(t, CTL_R_EVENT);

	ck_assert(ctl_get_event(&f.body, &e));
	ck_assert_str_eq(ctl_event_name(e.kind), ctl_event_name((uint8_t)kind));
	return &e;
}

static void wake(struct talk *t)
{
	ck_assert(!ctl_client_has_work(t->c));
	ctl_client_wake(t->c);
	settle(t);
}

START_TEST(test_subscriber_gets_events_as_they_come)
{
	const struct ctl_subscribe s = {.kinds = CTL_EVENTS_SESSIONS};
	struct talk *t = talk_greeted(false);
	uint64_t id;

	make_sessions(t, 1); /* before the subscription */
	subscribe(t, &s);
	ck_assert_uint_eq(t->next, t->reply_len);
	lab_udp_out(t->lab, LAB_A, 7000, LAB_S1, 53);
	wake(t);
	id = expect_event(t, CTL_EVENT_NEW)->entry.id;
	ck_assert_uint_eq(t->next, t->reply_len);
	nat_session_delete(t->lab->nat, table_session_by_id(nat_table(t->lab->nat), id), SESSION_END_DELETED,
			   t->lab->now_ms);
	wake(t);
	ck_assert_str_eq(expect_event(t, CTL_EVENT_DESTROY)->reason, "deleted");
	talk_free(t);
}
END_TEST

START_TEST(test_subscriber_may_wait_for_ever_and_ends_with_its_input)
{
	const struct ctl_subscribe s = {.kinds = CTL_EVENTS_SESSIONS};
	struct talk *t = talk_greeted(false);

	subscribe(t, &s);
	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms + 10 * CTL_IDLE_MS));
	ctl_client_eof(t->c);
	settle(t);
	expect_end(t);
	ck_assert(ctl_client_is_done(t->c));
	talk_free(t);
}
END_TEST

START_TEST(test_history_ends_where_the_ring_does)
{
	const struct ctl_subscribe s = {.kinds = 1 << CTL_EVENT_DESTROY,
					.start = CTL_START_OLDEST,
					.until_end = true,
					.filter = {.criteria = CTL_BY_PROTOCOL, .protocol = 17}};
	struct talk *t = talk_greeted(true);

	make_sessions(t, 5);
	ask(t, CTL_FLUSH, NULL);
	ck_assert_uint_eq(expect_end(t).count, 5);
	subscribe(t, &s);
	for (int i = 0; i < 5; i++)
		ck_assert_str_eq(expect_event(t, CTL_EVENT_DESTROY)->reason, "flushed");
	ck_assert_uint_eq(expect_end(t).count, 5);
	ask(t, CTL_POOLS, NULL); /* the connection goes on */
	expect(t, CTL_R_POOL);
	talk_free(t);
}
END_TEST

START_TEST(test_sequence_number_continues_a_subscription)
{
	struct ctl_subscribe s = {.kinds = 1 << CTL_EVENT_DESTROY, .start = CTL_START_OLDEST, .until_end = true};
	struct talk *t = talk_greeted(true);
	uint64_t first, second;

	make_sessions(t, 2);
	ask(t, CTL_FLUSH, NULL);
	expect_end(t);
	subscribe(t, &s);
	first = expect_event(t, CTL_EVENT_DESTROY)->sequence;
	second = expect_event(t, CTL_EVENT_DESTROY)->sequence;
	ck_assert_uint_gt(second, first);
	expect_end(t);
	s.start = CTL_START_SEQUENCE;
	s.sequence = first + 1;
	subscribe(t, &s);
	ck_assert_uint_eq(expect_event(t, CTL_EVENT_DESTROY)->sequence, second);
	ck_assert_uint_eq(expect_end(t).count, 1);
	talk_free(t);
}
END_TEST

/* ---- hosts ---- */

static void ask_hosts(struct talk *t, const struct ctl_hosts *q)
{
	uint8_t bytes[CTL_REQUEST_MAX];
	struct ctl_writer w = {.buf = bytes, .size = sizeof(bytes)};

	ck_assert(ctl_put_hosts(&w, q));
	say(t, bytes, w.len, SIZE_MAX);
}

static struct ctl_host expect_host(struct talk *t)
{
	struct ctl_frame f = expect(t, CTL_R_HOST);
	struct ctl_host h;

	ck_assert(ctl_get_host(&f.body, &h));
	return h;
}

/* Later, as the server's timer tells. */
static void pass_ms(struct talk *t, uint64_t ms)
{
	t->now_ms += ms;
	survey_tick(&t->survey, t->lab->nat, t->now_ms);
	ctl_client_wake(t->c);
	settle(t);
}

START_TEST(test_hosts_show_what_each_has_and_moved)
{
	const struct ctl_hosts q = {0};
	struct talk *t = talk_greeted(false);
	struct ctl_host h;

	make_sessions(t, 3); /* one of each of three hosts */
	lab_udp_out(t->lab, LAB_A, 9000, LAB_S1, 53);
	ask_hosts(t, &q);
	h = expect_host(t);
	ck_assert_uint_eq(h.address, LAB_A);
	ck_assert_uint_eq(h.sessions, 2);
	ck_assert_uint_eq(h.ports, 2);
	ck_assert_uint_eq(h.packets[0], 2);
	ck_assert_uint_gt(h.bytes[0], 0);
	ck_assert_uint_eq(h.packets[1], 0);
	ck_assert_uint_eq(h.interval_ms, 0);
	ck_assert_uint_eq(expect_host(t).address, LAB_A + 1);
	ck_assert_uint_eq(expect_host(t).address, LAB_A + 2);
	ck_assert_uint_eq(expect_end(t).count, 3);
	talk_free(t);
}
END_TEST

START_TEST(test_hosts_by_source_and_outside_address)
{
	struct ctl_hosts q = {.filter = {.criteria = CTL_BY_ORIG_SRC, .orig_src = {LAB_A + 1, 32}}};
	struct talk *t = talk_greeted(false);

	make_sessions(t, 3);
	ask_hosts(t, &q);
	ck_assert_uint_eq(expect_host(t).address, LAB_A + 1);
	ck_assert_uint_eq(expect_end(t).count, 1);
	q.filter = (struct ctl_filter){.criteria = CTL_BY_REPLY_DST, .reply_dst = {LAB_S1, 32}};
	ask_hosts(t, &q);
	ck_assert_uint_eq(expect_end(t).count, 0);
	q.filter = (struct ctl_filter){.criteria = CTL_BY_DPORT, .dport = 53};
	ask_hosts(t, &q);
	expect_error(t, CTL_E_FAILED, false);
	talk_free(t);
}
END_TEST

START_TEST(test_rates_are_measured_over_a_second_if_they_are_wanted)
{
	const struct ctl_hosts q = {.wants_rates = true};
	struct talk *t = talk_greeted(false);
	struct ctl_host h;

	make_sessions(t, 1);
	ask_hosts(t, &q);
	ck_assert_uint_eq(t->next, t->reply_len);
	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms + CTL_IDLE_MS + 1));
	lab_udp_out(t->lab, LAB_A, 5000, LAB_S1, 53);
	lab_udp_out(t->lab, LAB_A + 1, 5000, LAB_S1, 53); /* one that was not there before */
	pass_ms(t, 500);
	ck_assert_uint_eq(t->next, t->reply_len);
	pass_ms(t, 1500);
	h = expect_host(t);
	ck_assert_uint_eq(h.interval_ms, 2000);
	ck_assert_uint_eq(h.packets[0], 2);
	ck_assert_uint_eq(h.packets_rate[0], 0); /* half a packet a second */
	ck_assert_uint_eq(h.bytes_rate[0], h.bytes[0] / 4);
	h = expect_host(t);
	ck_assert_uint_eq(h.bytes_rate[0], h.bytes[0] / 2);
	ck_assert_uint_eq(expect_end(t).count, 2);
	talk_free(t);
}
END_TEST

START_TEST(test_clients_share_a_pass_while_it_is_fresh_and_its_memory_goes_later)
{
	const struct ctl_hosts q = {0};
	struct talk *t = talk_greeted(false);
	const struct host_sum *sums;

	make_sessions(t, 1);
	ask_hosts(t, &q);
	sums = t->survey.now.sums;
	ck_assert_ptr_nonnull(sums);
	pass_ms(t, SURVEY_FRESH_MS - 1);
	ask_hosts(t, &q);
	ck_assert_ptr_eq(t->survey.now.sums, sums);
	pass_ms(t, 1);
	ask_hosts(t, &q);
	ck_assert_ptr_eq(t->survey.before.sums, sums);
	pass_ms(t, SURVEY_OLD_MS + 1);
	ck_assert_ptr_null(t->survey.now.sums);
	ck_assert_ptr_null(t->survey.before.sums);
	talk_free(t);
}
END_TEST

START_TEST(test_busiest_hosts_come_highest_first)
{
	static const uint32_t sessions[] = {3, 9, 1, 7, 5, 8};
	const struct ctl_hosts q = {.order = CTL_ORDER_SESSIONS, .limit = 4};
	struct talk *t = talk_greeted(false);

	for (uint32_t h = 0; h < 6; h++) {
		for (uint32_t i = 0; i < sessions[h]; i++)
			lab_udp_out(t->lab, LAB_A + h, (uint16_t)(5000 + i), LAB_S1, 53);
	}
	ask_hosts(t, &q);
	ck_assert_uint_eq(expect_host(t).sessions, 9);
	ck_assert_uint_eq(expect_host(t).sessions, 8);
	ck_assert_uint_eq(expect_host(t).sessions, 7);
	ck_assert_uint_eq(expect_host(t).sessions, 5);
	ck_assert_uint_eq(expect_end(t).count, 4);
	talk_free(t);
}
END_TEST

START_TEST(test_client_that_goes_in_the_middle_of_a_pass_leaves_it_to_the_next)
{
	const struct ctl_hosts q = {0};
	struct talk *t = talk_greeted(false);
	uint8_t bytes[CTL_REQUEST_MAX];
	struct ctl_writer w = {.buf = bytes, .size = sizeof(bytes)};
	size_t room;

	make_sessions(t, 60);
	ctl_put_hosts(&w, &q);
	memcpy(ctl_client_space(t->c, &room), bytes, w.len);
	ctl_client_fed(t->c, w.len, t->now_ms);
	ctl_client_run(t->c, 10, t->now_ms);
	ck_assert(t->survey.is_running);
	ctl_client_destroy(t->c);
	t->c = ctl_client_create(&t->env, false, t->now_ms);
	t->reply_len = t->next = 0;
	greet(t);
	expect(t, CTL_R_HELLO);
	pass_ms(t, 5000);
	ask_hosts(t, &q);
	ck_assert_uint_eq(expect_host(t).packets[0], 20);
	expect_host(t), expect_host(t);
	ck_assert_uint_eq(expect_end(t).count, 3);
	talk_free(t);
}
END_TEST

START_TEST(test_delete_without_criteria_is_refused)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};

	make_sessions(t, 10);
	ask(t, CTL_DELETE, &all);
	expect_error(t, CTL_E_FAILED, false);
	ck_assert_uint_eq(lab_sessions(t->lab), 10);
	talk_free(t);
}
END_TEST

START_TEST(test_pipelined_requests_wait_until_the_client_reads)
{
	struct talk *t = talk_greeted(true);
	uint8_t request[5] = {0, 0, 0, 1, CTL_STATS};
	size_t waiting;
	size_t room;
	uint8_t *space;

	for (int i = 0; i < 10000; i++) {
		space = ctl_client_space(t->c, &room);
		if (room >= sizeof(request)) {
			memcpy(space, request, sizeof(request));
			ctl_client_fed(t->c, sizeof(request), t->now_ms);
		}
		ctl_client_run(t->c, CTL_SLICE_VISITS, t->now_ms);
		ctl_client_output(t->c, &waiting);
		ck_assert_uint_le(waiting, CTL_OUT_SIZE);
	}
	ck_assert_uint_lt(room, sizeof(request));
	ck_assert(!ctl_client_has_work(t->c));
	talk_free(t);
}
END_TEST

/* ---- time ---- */

START_TEST(test_no_hello_in_time)
{
	struct talk *t = talk_new(true);
	uint8_t buf[4096];

	add_hello(buf, 0);
	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms + CTL_HELLO_MS));
	for (int i = 0; i < 9; i++) { /* a byte a second does not help */
		t->now_ms += 1000;
		say(t, buf + i, 1, 1);
	}
	ck_assert_ptr_nonnull(ctl_client_overdue(t->c, t->now_ms + 1001));
	talk_free(t);
}
END_TEST

START_TEST(test_a_request_sent_a_byte_a_second)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter f = {.criteria = CTL_BY_ID | CTL_BY_PROTOCOL};
	uint8_t buf[4096];
	size_t len = add_request(buf, 0, CTL_LIST, &f);
	size_t i;

	t->now_ms += CTL_IDLE_MS / 2;
	for (i = 0; i < len && !ctl_client_overdue(t->c, t->now_ms); i++) {
		say(t, buf + i, 1, 1);
		t->now_ms += 1000;
	}
	ck_assert_uint_eq(i, CTL_FRAME_MS / 1000 + 1);
	talk_free(t);
}
END_TEST

START_TEST(test_idling)
{
	struct talk *t = talk_greeted(true);

	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms + CTL_IDLE_MS));
	ck_assert_ptr_nonnull(ctl_client_overdue(t->c, t->now_ms + CTL_IDLE_MS + 1));
	t->now_ms += CTL_IDLE_MS;
	ask(t, CTL_POOLS, NULL);
	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms + CTL_IDLE_MS));
	talk_free(t);
}
END_TEST

static struct talk *talk_with_output(void)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};
	uint8_t buf[4096];
	size_t len = add_request(buf, 0, CTL_LIST, &all);
	size_t room;

	make_sessions(t, 3000);
	t->now_ms += 50000;
	memcpy(ctl_client_space(t->c, &room), buf, len);
	ctl_client_fed(t->c, len, t->now_ms);
	ctl_client_run(t->c, CTL_SLICE_VISITS, t->now_ms);
	return t;
}

START_TEST(test_a_client_that_does_not_read)
{
	struct talk *t = talk_with_output();

	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms + CTL_STALL_MS));
	ck_assert_ptr_nonnull(ctl_client_overdue(t->c, t->now_ms + CTL_STALL_MS + 1));
	t->now_ms += CTL_STALL_MS;
	drain(t, CTL_STALL_BYTES);
	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms + CTL_STALL_MS));
	talk_free(t);
}
END_TEST

START_TEST(test_a_client_that_reads_a_byte_a_second)
{
	struct talk *t = talk_with_output();
	int seconds;

	for (seconds = 0; !ctl_client_overdue(t->c, t->now_ms) && seconds < 1000; seconds++) {
		drain(t, 1);
		t->now_ms += 1000;
	}
	ck_assert_int_eq(seconds, CTL_STALL_MS / 1000 + 1);
	talk_free(t);
}
END_TEST

START_TEST(test_half_closed_after_the_request_is_still_answered)
{
	struct talk *t = talk_greeted(true);
	struct ctl_filter all = {0};
	uint8_t buf[4096];
	size_t len = add_request(buf, 0, CTL_LIST, &all);
	size_t room;

	make_sessions(t, 2000);
	memcpy(ctl_client_space(t->c, &room), buf, len);
	ctl_client_fed(t->c, len, t->now_ms);
	ctl_client_eof(t->c);
	settle(t);
	for (int i = 0; i < 2000; i++)
		expect(t, CTL_R_ENTRY);
	expect_end(t);
	ck_assert(ctl_client_is_done(t->c));
	talk_free(t);
}
END_TEST

/* ---- captures ---- */

/* UDP alone, after `more` instructions that change nothing. */
static void ask_capture(struct talk *t, uint32_t more, const struct ctl_capture *c)
{
	static uint8_t buf[CTL_CAPTURE_MAX];
	static struct cbpf_insn program[CBPF_MAX];
	const struct cbpf_insn end[] = {{0x30, 0, 0, 9}, {0x15, 0, 1, 17}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}};
	struct ctl_writer w = {.buf = buf, .size = sizeof(buf)};
	struct ctl_capture q = *c;

	q.n_insns = more + 4;
	for (uint32_t i = 0; i < more; i++)
		program[i] = end[0];
	memcpy(program + more, end, sizeof(end));
	ck_assert(ctl_put_capture(&w, &q, program));
	say(t, buf, w.len, 1000);
}

static void expect_begun(struct talk *t)
{
	struct ctl_frame f = expect(t, CTL_R_LOST);
	uint64_t lost;

	ck_assert(ctl_get_lost(&f.body, &lost));
	ck_assert_uint_eq(lost, 0);
}

static struct ctl_packet expect_packet(struct talk *t)
{
	struct ctl_frame f = expect(t, CTL_R_PACKET);
	struct ctl_packet p;

	ck_assert(ctl_get_packet(&f.body, &p));
	return p;
}

START_TEST(test_capture_sends_both_forms_of_what_its_program_wants)
{
	static const uint32_t longer[] = {0, 100, CBPF_MAX - 4};
	struct talk *t = talk_greeted(true);
	struct ctl_packet p[2];

	ask_capture(t, longer[_i], &(struct ctl_capture){.sides = CTL_CAPTURE_BOTH, .count = 4});
	expect_begun(t);
	lab_syn_out(t->lab, LAB_A, 5000, LAB_S1, 80);
	lab_udp_out(t->lab, LAB_A, 5000, LAB_S1, 53);
	wake(t);
	p[0] = expect_packet(t);
	p[1] = expect_packet(t);
	ck_assert(p[0].side == CTL_CAPTURE_INSIDE && p[1].side == CTL_CAPTURE_OUTSIDE && p[1].flags == CTL_PACKET_LEFT);
	ck_assert(p[0].session != 0 && p[0].session == p[1].session && p[0].number == p[1].number);
	ck_assert(p[0].inside.address == LAB_A && p[0].outside.address == LAB_EXT && p[0].remote.port == 53);
	ck_assert(p[0].len == p[0].wire_len && p[0].bytes[15] == (uint8_t)LAB_A && p[1].bytes[15] == (uint8_t)LAB_EXT);
	lab_udp_out(t->lab, LAB_B, 5000, LAB_S1, 53);
	wake(t);
	expect_packet(t);
	expect_packet(t);
	ck_assert_uint_eq(expect_end(t).count, 4);
	ck_assert_uint_eq(t->captures.n, 0);
	ask(t, CTL_COUNT, &(struct ctl_filter){0}); /* the connection is as good as before */
	ck_assert_uint_eq(expect_end(t).count, 3);
	talk_free(t);
}
END_TEST

START_TEST(test_capture_is_for_those_who_may_change_things)
{
	struct talk *t = talk_greeted(false);

	ask_capture(t, _i ? 1000 : 0, &(struct ctl_capture){.sides = CTL_CAPTURE_BOTH});
	expect_error(t, CTL_E_DENIED, _i != 0);
	talk_free(t);
}
END_TEST

START_TEST(test_capture_with_a_program_that_is_not_valid_is_refused)
{
	static uint8_t buf[CTL_CAPTURE_MAX];
	const struct cbpf_insn back = {0x05, 0, 0, UINT32_MAX};
	struct ctl_writer w = {.buf = buf, .size = sizeof(buf)};
	struct talk *t = talk_greeted(true);

	ck_assert(ctl_put_capture(&w, &(struct ctl_capture){.sides = 1, .n_insns = 1}, &back));
	say(t, buf, w.len, SIZE_MAX);
	expect_error(t, CTL_E_FAILED, false);
	ck_assert_uint_eq(t->captures.n, 0);
	talk_free(t);
}
END_TEST

START_TEST(test_capture_ends_by_time_and_with_its_client)
{
	struct talk *t = talk_greeted(true);

	ask_capture(t, 0, &(struct ctl_capture){.sides = CTL_CAPTURE_BOTH, .seconds = 3});
	expect_begun(t);
	t->now_ms += 2999;
	wake(t);
	ck_assert_uint_eq(t->next, t->reply_len);
	t->now_ms += 1;
	wake(t);
	ck_assert_uint_eq(expect_end(t).count, 0);
	ask_capture(t, 0, &(struct ctl_capture){.sides = CTL_CAPTURE_BOTH});
	expect_begun(t);
	ck_assert_uint_eq(t->captures.n, 1);
	t->now_ms += 3600000; /* as silent as it likes */
	ck_assert_ptr_null(ctl_client_overdue(t->c, t->now_ms));
	ctl_client_eof(t->c);
	settle(t);
	ck_assert_uint_eq(expect_end(t).count, 0);
	ck_assert_uint_eq(t->captures.n, 0);
	talk_free(t);
}
END_TEST

START_TEST(test_what_a_capture_cannot_hold_is_lost_and_counted)
{
	enum { SENT = 3500, LENGTH = 1400 };
	struct talk *t = talk_greeted(true);
	uint64_t shown = 0, lost = 0, more;
	struct ctl_frame f;

	ask_capture(t, 0, &(struct ctl_capture){.sides = CTL_CAPTURE_BOTH});
	expect_begun(t);
	t->lab->skip_check = true;
	for (int i = 0; i < SENT; i++)
		LAB_SEND(t->lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 53,
			 .payload_len = LENGTH);
	for (int i = 0; i < 200; i++) {
		wake(t);
		while (next_frame(t, &f)) {
			shown += f.type == CTL_R_PACKET;
			ck_assert(f.type == CTL_R_PACKET || (f.type == CTL_R_LOST && ctl_get_lost(&f.body, &more)));
			lost += f.type == CTL_R_LOST ? more : 0;
		}
		t->reply_len = t->next = 0;
	}
	ck_assert_uint_eq(shown + lost, 2 * SENT);
	ck_assert(shown > CAPTURE_RING / (LENGTH + 200) && lost > 1000);
	talk_free(t);
}
END_TEST

START_TEST(test_captures_at_once_are_bounded)
{
	struct talk *t = talk_greeted(true);
	struct ctl_client *others[CAPTURES_MAX], *own = t->c;

	for (int i = 0; i < CAPTURES_MAX; i++) {
		others[i] = t->c = ctl_client_create(&t->env, true, t->now_ms);
		greet(t);
		expect(t, CTL_R_HELLO);
		ask_capture(t, 0, &(struct ctl_capture){.sides = CTL_CAPTURE_BOTH});
		expect_begun(t);
	}
	t->c = own;
	ask_capture(t, 0, &(struct ctl_capture){.sides = CTL_CAPTURE_BOTH});
	expect_error(t, CTL_E_FAILED, false);
	for (int i = 0; i < CAPTURES_MAX; i++)
		ctl_client_destroy(others[i]); /* gone in the middle */
	ck_assert_uint_eq(t->captures.n, 0);
	lab_udp_out(t->lab, LAB_A, 5000, LAB_S1, 53);
	talk_free(t);
}
END_TEST

static void add_captures(TCase *t)
{
	tcase_add_loop_test(t, test_capture_sends_both_forms_of_what_its_program_wants, 0, 3);
	tcase_add_loop_test(t, test_capture_is_for_those_who_may_change_things, 0, 2);
	tcase_add_test(t, test_capture_with_a_program_that_is_not_valid_is_refused);
	tcase_add_test(t, test_capture_ends_by_time_and_with_its_client);
	tcase_add_test(t, test_what_a_capture_cannot_hold_is_lost_and_counted);
	tcase_add_test(t, test_captures_at_once_are_bounded);
}

static void add_answers(TCase *t)
{
	tcase_add_loop_test(t, test_hello_tells_version_and_rights, 0, 2);
	tcase_add_test(t, test_list_tells_all_about_each_kind_of_session);
	tcase_add_test(t, test_fault_42_counters_from_zero);
	tcase_add_test(t, test_forwarded_session_shows_its_origin_and_forward);
	tcase_add_test(t, test_what_has_timed_out_is_not_shown);
	tcase_add_test(t, test_count_and_delete_agree_with_list);
	tcase_add_test(t, test_by_id_finds_exactly_that_one);
	tcase_add_test(t, test_each_mapping_is_shown_once_with_its_sessions);
	tcase_add_test(t, test_pools_in_ascending_order_with_their_use);
	tcase_add_test(t, test_status_has_what_core_and_daemon_know);
	tcase_add_test(t, test_stats_has_every_counter_once_and_the_daemons_after_them);
	tcase_add_test(t, test_doctor_and_reload);
	tcase_add_test(t, test_an_answer_too_long_says_so_and_still_ends);
	tcase_add_test(t, test_a_listing_shows_each_session_once_while_others_come_and_go);
	tcase_add_test(t, test_a_slice_is_bounded_and_a_full_buffer_stops_it);
	tcase_add_loop_test(t, test_a_reload_in_the_middle_of_a_listing_is_survived, 0, 4);
}

static void add_abuse(TCase *t)
{
	tcase_add_test(t, test_the_answer_is_the_same_however_the_requests_are_cut);
	tcase_add_test(t, test_rubbish_at_every_offset_is_contained);
	tcase_add_test(t, test_random_rubbish_is_contained);
	tcase_add_loop_test(t, test_bad_bytes_end_the_connection_with_a_word, 0,
			    sizeof(bad_bytes) / sizeof(bad_bytes[0]));
	tcase_add_test(t, test_versions_that_overlap_agree_on_ours);
	tcase_add_loop_test(t, test_later_and_unknown_requests_are_refused_and_the_next_is_answered, 0, 8);
	tcase_add_test(t, test_client_that_renounced_changes_is_refused_them);
	tcase_add_test(t, test_hello_with_an_unknown_flag_ends_the_connection);
	tcase_add_test(t, test_who_may_only_read_changes_nothing);
	tcase_add_test(t, test_hosts_show_what_each_has_and_moved);
	tcase_add_test(t, test_hosts_by_source_and_outside_address);
	tcase_add_test(t, test_rates_are_measured_over_a_second_if_they_are_wanted);
	tcase_add_test(t, test_clients_share_a_pass_while_it_is_fresh_and_its_memory_goes_later);
	tcase_add_test(t, test_busiest_hosts_come_highest_first);
	tcase_add_test(t, test_client_that_goes_in_the_middle_of_a_pass_leaves_it_to_the_next);
	tcase_add_test(t, test_subscriber_gets_events_as_they_come);
	tcase_add_test(t, test_subscriber_may_wait_for_ever_and_ends_with_its_input);
	tcase_add_test(t, test_history_ends_where_the_ring_does);
	tcase_add_test(t, test_sequence_number_continues_a_subscription);
	tcase_add_test(t, test_delete_without_criteria_is_refused);
	tcase_add_test(t, test_pipelined_requests_wait_until_the_client_reads);
	tcase_add_test(t, test_no_hello_in_time);
	tcase_add_test(t, test_a_request_sent_a_byte_a_second);
	tcase_add_test(t, test_idling);
	tcase_add_test(t, test_a_client_that_does_not_read);
	tcase_add_test(t, test_a_client_that_reads_a_byte_a_second);
	tcase_add_test(t, test_half_closed_after_the_request_is_still_answered);
}

static Suite *make(void)
{
	Suite *s = suite_create("ctlclient");
	TCase *answers = tcase_create("answers");
	TCase *abuse = tcase_create("abuse");

	add_answers(answers);
	add_captures(answers);
	add_abuse(abuse);
	tcase_set_timeout(answers, 60);
	tcase_set_timeout(abuse, 60);
	suite_add_tcase(s, answers);
	suite_add_tcase(s, abuse);
	return s;
}

int main(void)
{
	return unit_main(make);
}
