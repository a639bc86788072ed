/* SPDX-License-Identifier: ISC */
/* Requests of programs beside natd: queries and lasting subscriptions, against a stand-in for natd. */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/link.h"
#include "client/query.h"
#include "client/who.h"
#include "unit.h"
#include "../../src/common/ctlstatus.h"

/* A natd that says `reply` to each connection and then hangs up, or keeps it. */
struct bench {
	struct event_base *base;
	struct event *accept;
	int listener, kept;
	bool hangs_up;
	unsigned connections;
	uint8_t reply[1024], heard[1024];
	size_t reply_len, heard_len;
	char dir[64], path[96];

	unsigned records, ends, ups, downs;
	uint64_t instance;
	bool wants_no_more;
	enum query_outcome outcome;
	uint64_t count;
	char text[128], daemon[64];
};

static void on_accept(evutil_socket_t fd, short what, void *ctx)
{
	struct bench *b = ctx;
	int client = accept(fd, NULL, NULL);

	(void)what;
	ck_assert_int_ge(client, 0);
	b->connections++;
	b->heard_len = (size_t)recv(client, b->heard, sizeof(b->heard), 0);
	ck_assert_int_eq(send(client, b->reply, b->reply_len, MSG_NOSIGNAL), (ssize_t)b->reply_len);
	if (b->kept >= 0)
		close(b->kept);
	b->kept = -1;
	if (b->hangs_up)
		close(client);
	else
		b->kept = client;
}

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	strcpy(b->dir, "/tmp/check_client.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/natd.sock", b->dir);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", b->path);
	b->kept = -1;
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(b->listener, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(b->listener, 5), 0);
	b->base = event_base_new();
	b->accept = event_new(b->base, b->listener, EV_READ | EV_PERSIST, on_accept, b);
	event_add(b->accept, NULL);
	return b;
}

static void bench_free(struct bench *b)
{
	event_free(b->accept);
	event_base_free(b->base);
	close(b->listener);
	if (b->kept >= 0)
		close(b->kept);
	unlink(b->path);
	rmdir(b->dir);
	free(b);
}

static struct ctl_writer say(struct bench *b, bool greets)
{
	const struct ctl_hello hello = {
		.magic = CTL_MAGIC, .version = CTL_VERSION, .daemon = "0.1-test", .instance = 1234567};
	struct ctl_writer w = {.buf = b->reply, .size = sizeof(b->reply)};

	if (greets)
		ctl_put_hello_reply(&w, &hello);
	return w;
}

static bool on_record(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct bench *b = ctx;

	(void)body;
	b->records += type == CTL_R_COUNTER || type == CTL_R_LOST;
	return !b->wants_no_more;
}

static void on_end(void *ctx, const struct query_result *r)
{
	struct bench *b = ctx;

	b->ends++;
	b->outcome = r->outcome;
	b->count = r->end.count;
	snprintf(b->text, sizeof(b->text), "%s", r->text);
	snprintf(b->daemon, sizeof(b->daemon), "%s", r->daemon);
	event_base_loopbreak(b->base);
}

static void ask(struct bench *b, struct ctl_writer w, uint32_t patience_ms)
{
	const struct query_call call = {
		.type = CTL_STATS, .patience_ms = patience_ms, .on_record = on_record, .on_end = on_end, .ctx = b};

	b->reply_len = w.len;
	ck_assert_ptr_nonnull(query_start(b->base, b->path, &call));
	ck_assert_uint_eq(b->ends, 0); /* never from within */
	event_base_dispatch(b->base);
	ck_assert_uint_eq(b->ends, 1);
}

START_TEST(test_query_renounces_changes_and_hands_on_records)
{
	const struct ctl_counter counter = {.name = "drop_ttl", .value = 3};
	struct bench *b = bench_new();
	struct ctl_writer w = say(b, true);
	struct ctl_frame frame;
	struct ctl_hello hello;
	int used;

	ctl_put_counter(&w, &counter);
	ctl_put_counter(&w, &counter);
	ctl_put_end(&w, 2, 0);
	ask(b, w, 10000);
	ck_assert_int_eq(b->outcome, QUERY_DONE);
	ck_assert_uint_eq(b->records, 2);
	ck_assert_uint_eq(b->count, 2);
	ck_assert_str_eq(b->daemon, "0.1-test");
	used = ctl_frame_next(b->heard, b->heard_len, CTL_REQUEST_MAX, &frame);
	ck_assert(frame.type == CTL_HELLO && ctl_get_hello(&frame.body, &hello) && hello.flags == CTL_HELLO_READ_ONLY);
	ck_assert_int_gt(ctl_frame_next(b->heard + used, b->heard_len - (size_t)used, CTL_REQUEST_MAX, &frame), 0);
	ck_assert_uint_eq(frame.type, CTL_STATS);
	bench_free(b);
}
END_TEST

START_TEST(test_query_ends_in_one_way_of_four)
{
	struct bench *b = bench_new();
	const struct ctl_counter counter = {.name = "x"};
	struct ctl_writer w = say(b, true);

	ctl_put_error(&w, CTL_E_DENIED, "not you");
	ask(b, w, 10000);
	ck_assert_int_eq(b->outcome, QUERY_REFUSED);
	ck_assert_str_eq(b->text, "not you");

	b->ends = 0;
	b->wants_no_more = true;
	w = say(b, true);
	ctl_put_counter(&w, &counter);
	ask(b, w, 10000);
	ck_assert_int_eq(b->outcome, QUERY_STOPPED);

	b->ends = 0;
	b->hangs_up = true;
	ask(b, say(b, true), 10000);
	ck_assert_int_eq(b->outcome, QUERY_LOST);
	ck_assert_str_eq(b->text, "natd hung up");

	b->ends = 0;
	w = say(b, false);
	ctl_put_counter(&w, &counter); /* before any hello */
	ask(b, w, 10000);
	ck_assert_int_eq(b->outcome, QUERY_LOST);

	b->ends = 0;
	b->hangs_up = false;
	ask(b, say(b, true), 20);
	ck_assert_str_eq(b->text, "natd does not answer");
	bench_free(b);
}
END_TEST

START_TEST(test_query_without_natd_ends_from_the_loop)
{
	struct bench *b = bench_new();

	unlink(b->path);
	ask(b, say(b, true), 10000);
	ck_assert_int_eq(b->outcome, QUERY_LOST);
	ck_assert_str_eq(b->text, strerror(ENOENT));
	b->ends = 0;
	memset(b->path, 'x', sizeof(b->path) - 1);
	ask(b, say(b, true), 10000);
	ck_assert_str_eq(b->text, strerror(ENOENT));
	bench_free(b);
}
END_TEST

START_TEST(test_cancelled_query_says_nothing)
{
	struct bench *b = bench_new();
	const struct query_call call = {.type = CTL_STATS, .on_record = on_record, .on_end = on_end, .ctx = b};

	event_del(b->accept); /* no server is left to answer */
	query_cancel(query_start(b->base, b->path, &call));
	query_cancel(NULL);
	event_base_loop(b->base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(b->ends, 0);
	bench_free(b);
}
END_TEST

/* ---- lasting subscriptions ---- */

static void on_change(void *ctx, const struct ctl_hello *hello, const char *why)
{
	struct bench *b = ctx;

	(void)why;
	b->ups += hello != NULL;
	b->downs += hello == NULL;
	if (hello)
		b->instance = hello->instance;
}

static void run_until(struct bench *b, const unsigned *what, unsigned n)
{
	while (*what < n)
		event_base_loop(b->base, EVLOOP_ONCE);
}

START_TEST(test_link_goes_on_where_it_was_after_each_loss)
{
	struct bench *b = bench_new();
	const struct ctl_subscribe subscribe = {.kinds = 1 << CTL_EVENT_DESTROY, .start = CTL_START_OLDEST};
	const struct link_calls calls = {on_record, on_change, b};
	struct ctl_writer w = say(b, true);
	struct ctl_frame frame;
	struct ctl_subscribe heard;
	struct link *l;
	int used;

	ctl_put_lost(&w, 5);
	b->reply_len = w.len;
	b->hangs_up = true;
	l = link_open(b->base, b->path, &subscribe, &calls);
	run_until(b, &b->downs, 1);
	ck_assert_uint_eq(b->ups, 1);
	ck_assert_uint_eq(b->records, 1);
	link_resume_at(l, 4711);
	b->hangs_up = false;
	run_until(b, &b->ups, 2);
	ck_assert_uint_eq(b->downs, 1);
	used = ctl_frame_next(b->heard, b->heard_len, CTL_REQUEST_MAX, &frame);
	ck_assert_int_gt(ctl_frame_next(b->heard + used, b->heard_len - (size_t)used, CTL_REQUEST_MAX, &frame), 0);
	ck_assert(frame.type == CTL_MONITOR && ctl_get_subscribe(&frame.body, &heard));
	ck_assert(heard.start == CTL_START_SEQUENCE && heard.sequence == 4711);
	link_close(l);
	link_close(NULL);
	bench_free(b);
}
END_TEST

START_TEST(test_link_waits_for_a_natd_that_comes_later)
{
	struct bench *b = bench_new();
	const struct ctl_subscribe subscribe = {.kinds = 1 << CTL_EVENT_DESTROY};
	const struct link_calls calls = {on_record, on_change, b};
	char later[100];
	struct link *l;

	snprintf(later, sizeof(later), "%s.", b->path);
	ck_assert_int_eq(rename(b->path, later), 0);
	b->reply_len = say(b, true).len;
	l = link_open(b->base, b->path, &subscribe, &calls);
	event_base_loop(b->base, EVLOOP_ONCE);
	ck_assert(b->ups == 0 && b->downs == 1);
	ck_assert_int_eq(rename(later, b->path), 0);
	run_until(b, &b->ups, 1);
	ck_assert(b->downs == 1 && b->instance == 1234567);
	link_close(l);
	bench_free(b);
}
END_TEST

START_TEST(test_link_that_is_paused_reads_nothing_and_one_that_restarts_connects_again)
{
	struct bench *b = bench_new();
	const struct ctl_subscribe subscribe = {.kinds = 1 << CTL_EVENT_DESTROY};
	const struct link_calls calls = {on_record, on_change, b};
	struct ctl_writer w = say(b, true);
	struct link *l;

	ctl_put_lost(&w, 5);
	b->reply_len = w.len;
	l = link_open(b->base, b->path, &subscribe, &calls);
	link_pause(l);
	run_until(b, &b->connections, 1);
	for (int i = 0; i < 3; i++)
		event_base_loop(b->base, EVLOOP_NONBLOCK);
	ck_assert(b->ups == 0 && b->records == 0);
	link_unpause(l);
	run_until(b, &b->records, 1);
	link_restart(l);
	run_until(b, &b->records, 2);
	ck_assert(b->connections == 2 && b->ups == 2 && b->downs == 0);
	link_close(l);
	bench_free(b);
}
END_TEST

/* ---- who ---- */

START_TEST(test_who_reads_endpoints_and_times)
{
	struct ctl_endpoint e;
	uint64_t at;

	ck_assert(who_parse_endpoint("203.0.113.1:28783", &e) && e.address == 0xcb007101 && e.port == 28783);
	ck_assert(!who_parse_endpoint("203.0.113.1", &e) && !who_parse_endpoint("203.0.113.0/24:1", &e) &&
		  !who_parse_endpoint("203.0.113.1:65536", &e) && !who_parse_endpoint("", &e));
	ck_assert(who_parse_time("2026-01-31T23:59:59Z", &at) && at == 1769903999000000);
	ck_assert(who_parse_time("1769903999", &at) && at == 1769903999000000);
	ck_assert(!who_parse_time("0", &at) && !who_parse_time("tomorrow", &at) && !who_parse_time("-1", &at));
}
END_TEST

START_TEST(test_who_held_compares_endpoint_protocol_and_seconds)
{
	const struct ctl_who q = {{0xcb007101, 80}, 6};
	struct ctl_entry e = {.protocol = 6, .outside = {0xcb007101, 80}};

	ck_assert(who_held(&q, 5000000, &e, 5900000, 0)); /* opened within that second */
	ck_assert(!who_held(&q, 5000000, &e, 6000000, 0));
	ck_assert(who_held(&q, 5000000, &e, 1, 5000000) && !who_held(&q, 5000000, &e, 1, 4999999));
	e.protocol = 17;
	ck_assert(!who_held(&q, 5000000, &e, 1, 0));
	e.protocol = 6;
	e.outside.port = 81;
	ck_assert(!who_held(&q, 5000000, &e, 1, 0));
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("client");
	TCase *t = tcase_create("client");

	tcase_add_test(t, test_query_renounces_changes_and_hands_on_records);
	tcase_add_test(t, test_query_ends_in_one_way_of_four);
	tcase_add_test(t, test_query_without_natd_ends_from_the_loop);
	tcase_add_test(t, test_cancelled_query_says_nothing);
	tcase_add_test(t, test_link_goes_on_where_it_was_after_each_loss);
	tcase_add_test(t, test_link_waits_for_a_natd_that_comes_later);
	tcase_add_test(t, test_link_that_is_paused_reads_nothing_and_one_that_restarts_connects_again);
	tcase_add_test(t, test_who_reads_endpoints_and_times);
	tcase_add_test(t, test_who_held_compares_endpoint_protocol_and_seconds);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
