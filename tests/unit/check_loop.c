/* SPDX-License-Identifier: ISC */
/* The event loop: fairness, removal from within callbacks, one clock reading a turn. No test waits longer than a timer
 * of 2 ms. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/base/loop.h"
#include "unit.h"

struct probe {
	struct loop *loop;
	struct loop_fd *fd;
	struct loop_timer *timer;
	struct loop_soon *soon;
	int calls;
	int limit;
	uint64_t seen_ms;
	unsigned ready;
	int signo;
	int pipe[2];
};

static struct loop *loop;

static void setup(void)
{
	loop = loop_create();
	ck_assert_ptr_nonnull(loop);
}

static void teardown(void)
{
	loop_destroy(loop);
}

static void open_pipe(struct probe *p, char fill)
{
	ck_assert_int_eq(pipe(p->pipe), 0);
	if (fill)
		ck_assert_int_eq(write(p->pipe[1], &fill, 1), 1);
}

static void close_pipe(struct probe *p)
{
	close(p->pipe[0]);
	close(p->pipe[1]);
}

static void count_fd(void *ctx, int fd, unsigned ready)
{
	struct probe *p = ctx;

	ck_assert_int_ge(fd, 0);
	p->calls++;
	p->ready |= ready;
}

static void count(void *ctx)
{
	struct probe *p = ctx;

	p->calls++;
	if (p->calls == p->limit)
		loop_stop(p->loop);
}

static void count_and_ask(void *ctx)
{
	struct probe *p = ctx;

	count(p);
	loop_soon_ask(p->soon);
}

START_TEST(test_everything_ready_is_called_once_a_turn)
{
	struct probe p[8] = {0};

	for (int i = 0; i < 8; i++) {
		open_pipe(&p[i], 'x');
		p[i].fd = loop_fd_add(loop, p[i].pipe[0], LOOP_READ, count_fd, &p[i]);
	}
	for (int turn = 1; turn <= 5; turn++) {
		ck_assert_int_eq(loop_turn(loop, false), 0);
		for (int i = 0; i < 8; i++)
			ck_assert_int_eq(p[i].calls, turn);
	}
	for (int i = 0; i < 8; i++) {
		loop_fd_remove(p[i].fd);
		close_pipe(&p[i]);
	}
}
END_TEST

START_TEST(test_work_put_off_for_ever_starves_nobody)
{
	struct probe busy = {.loop = loop}, p = {0};

	open_pipe(&p, 'x');
	p.fd = loop_fd_add(loop, p.pipe[0], LOOP_READ, count_fd, &p);
	busy.soon = loop_soon_add(loop, count_and_ask, &busy);
	loop_soon_ask(busy.soon);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(loop_turn(loop, false), 0);
	ck_assert_int_eq(p.calls, 100);
	ck_assert_int_ge(busy.calls, 50);
	ck_assert_int_le(busy.calls, 100); /* never twice in a turn */
	loop_soon_remove(busy.soon);
	loop_fd_remove(p.fd);
	close_pipe(&p);
}
END_TEST

START_TEST(test_soon_is_called_once_however_often_asked)
{
	struct probe p = {.loop = loop, .limit = 1};

	p.soon = loop_soon_add(loop, count, &p);
	for (int i = 0; i < 10; i++)
		loop_soon_ask(p.soon);
	ck_assert_int_eq(loop_run(loop), 0);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, false);
	ck_assert_int_eq(p.calls, 1);
	loop_soon_ask(p.soon);
	loop_soon_cancel(p.soon);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, false);
	ck_assert_int_eq(p.calls, 1);
	loop_soon_remove(p.soon);
}
END_TEST

START_TEST(test_fd_waits_for_what_was_asked)
{
	static const struct {
		unsigned events, ready;
	} rows[] = {{0, 0}, {LOOP_READ, LOOP_READ}, {LOOP_WRITE, 0}, {LOOP_READ | LOOP_WRITE, LOOP_READ}, {0, 0}};
	struct probe p = {0};

	open_pipe(&p, 'x');
	p.fd = loop_fd_add(loop, p.pipe[0], 0, count_fd, &p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		p.ready = 0;
		loop_fd_set(p.fd, rows[i].events);
		loop_turn(loop, false);
		ck_assert_msg(p.ready == rows[i].ready, "row %zu: %u", i, p.ready);
	}
	loop_fd_remove(p.fd);
	p.fd = loop_fd_add(loop, p.pipe[1], LOOP_WRITE, count_fd, &p);
	loop_turn(loop, false);
	ck_assert_uint_eq(p.ready, LOOP_WRITE);
	loop_fd_remove(p.fd);
	close_pipe(&p);
}
END_TEST

/* Whichever of the two is called first removes both. */
static void remove_both(void *ctx, int fd, unsigned ready)
{
	struct probe *p = ctx;

	(void)fd;
	(void)ready;
	p->calls++;
	loop_fd_remove(p[0].fd);
	loop_fd_remove(p[1].fd);
}

static void remove_both_2(void *ctx, int fd, unsigned ready)
{
	struct probe *p = ctx;

	remove_both(p - 1, fd, ready);
}

START_TEST(test_removed_object_is_not_called_though_it_was_ready)
{
	struct probe p[2] = {0};

	open_pipe(&p[0], 'x');
	open_pipe(&p[1], 'x');
	p[0].fd = loop_fd_add(loop, p[0].pipe[0], LOOP_READ, remove_both, &p[0]);
	p[1].fd = loop_fd_add(loop, p[1].pipe[0], LOOP_READ, remove_both_2, &p[1]);
	loop_turn(loop, false);
	loop_turn(loop, false);
	ck_assert_int_eq(p[0].calls + p[1].calls, 1);
	close_pipe(&p[0]);
	close_pipe(&p[1]);
}
END_TEST

static void remove_timer(void *ctx)
{
	struct probe *p = ctx;

	p->calls++;
	loop_timer_remove(p->timer);
	loop_stop(p->loop);
}

/* As by a signal while natd starts. */
START_TEST(test_a_stop_before_the_loop_runs_ends_it)
{
	struct probe p = {.loop = loop};

	p.timer = loop_timer_add(loop, count, &p);
	loop_timer_every(p.timer, 1);
	loop_stop(loop);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(p.calls, 0);
	loop_timer_remove(p.timer);
}
END_TEST

START_TEST(test_timer_may_remove_itself)
{
	struct probe p = {.loop = loop};

	p.timer = loop_timer_add(loop, remove_timer, &p);
	ck_assert(!loop_timer_armed(p.timer));
	loop_timer_every(p.timer, 1);
	ck_assert(loop_timer_armed(p.timer));
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(p.calls, 1);
}
END_TEST

START_TEST(test_periodic_timer_comes_again_and_single_one_does_not)
{
	struct probe again = {.loop = loop, .limit = 3}, once = {.loop = loop};

	again.timer = loop_timer_add(loop, count, &again);
	once.timer = loop_timer_add(loop, count, &once);
	loop_timer_once(once.timer, 1);
	loop_timer_every(again.timer, 2);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(again.calls, 3);
	ck_assert_int_eq(once.calls, 1);
	ck_assert(!loop_timer_armed(once.timer));
	loop_timer_stop(again.timer);
	ck_assert(!loop_timer_armed(again.timer));
	loop_timer_remove(again.timer);
	loop_timer_remove(once.timer);
}
END_TEST

static void note_time(void *ctx, int fd, unsigned ready)
{
	struct probe *p = ctx;

	(void)fd;
	(void)ready;
	p->seen_ms = loop_now_ms(p->loop);
	while (loop_clock_ms() == p->seen_ms)
		; /* at most a millisecond */
}

START_TEST(test_clock_is_read_once_a_turn)
{
	struct probe p[2] = {{.loop = loop}, {.loop = loop}};
	uint64_t before_ms = loop_clock_ms();

	for (int i = 0; i < 2; i++) {
		open_pipe(&p[i], 'x');
		p[i].fd = loop_fd_add(loop, p[i].pipe[0], LOOP_READ, note_time, &p[i]);
	}
	loop_turn(loop, false);
	ck_assert_uint_eq(p[0].seen_ms, p[1].seen_ms);
	ck_assert_uint_ge(p[0].seen_ms, before_ms);
	before_ms = p[0].seen_ms;
	loop_turn(loop, false);
	ck_assert_uint_gt(p[0].seen_ms, before_ms);
	for (int i = 0; i < 2; i++) {
		loop_fd_remove(p[i].fd);
		close_pipe(&p[i]);
	}
}
END_TEST

static void note_signal(void *ctx, int signo)
{
	struct probe *p = ctx;

	p->signo = signo;
	loop_stop(p->loop);
}

static void wait_for_urgent(void *ctx)
{
	int *seen = ctx;

	raise(SIGUSR1);
	raise(SIGUSR2);
	ck_assert_int_eq(seen[0] + seen[1], 0);
	loop_serve_urgent(loop);
	ck_assert(seen[0] == 0 && seen[1] == 1);
}

static void count_signal(void *ctx, int signo)
{
	((int *)ctx)[signo == SIGUSR2]++;
}

/* A callback that waits gets only the urgent ones; each is called once. */
START_TEST(test_urgent_signal_is_called_within_a_callback)
{
	int seen[2] = {0, 0};
	struct loop_signal *plain = loop_signal_add(loop, SIGUSR1, count_signal, seen);
	struct loop_signal *urgent = loop_signal_add(loop, SIGUSR2, count_signal, seen);
	struct loop_soon *soon = loop_soon_add(loop, wait_for_urgent, seen);

	loop_signal_set_urgent(urgent);
	loop_soon_ask(soon);
	ck_assert_int_eq(loop_turn(loop, true), 0);
	if (seen[0] == 0)
		ck_assert_int_eq(loop_turn(loop, true), 0);
	ck_assert(seen[0] == 1 && seen[1] == 1);
	loop_soon_remove(soon);
	loop_signal_remove(urgent);
	loop_signal_remove(plain);
}
END_TEST

START_TEST(test_signal_is_called_from_the_loop)
{
	struct probe p = {.loop = loop};
	struct loop_signal *s = loop_signal_add(loop, SIGUSR1, note_signal, &p);

	ck_assert_ptr_nonnull(s);
	raise(SIGUSR1);
	ck_assert_int_eq(p.signo, 0);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(p.signo, SIGUSR1);
	loop_signal_remove(s);
}
END_TEST

static bool memory_is_short;

static void *realloc_unless_short(void *p, size_t size)
{
	return memory_is_short ? NULL : realloc(p, size);
}

/* Found as realloc 825 of the start failing: natd ended, though it had said that it is ready. */
START_TEST(test_timer_without_memory_comes_when_there_is_some)
{
	enum { TIMERS = 100 };
	struct loop_timer *timers[TIMERS];
	struct probe p = {.loop = loop, .limit = TIMERS};

	for (int i = 0; i < TIMERS; i++) {
		timers[i] = loop_timer_add(loop, count, &p);
		ck_assert_ptr_nonnull(timers[i]);
	}
	loop_timer_once(timers[0], 1); /* room for some */
	memory_is_short = true;
	for (int i = 1; i < TIMERS; i++) {
		loop_timer_once(timers[i], 1);
		ck_assert(loop_timer_armed(timers[i]));
	}
	while (p.calls == 0)
		ck_assert_int_eq(loop_turn(loop, true), 0);
	ck_assert_int_lt(p.calls, TIMERS);
	loop_timer_remove(timers[TIMERS - 1]);
	p.limit--;
	memory_is_short = false;
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(p.calls, TIMERS - 1);
	for (int i = 0; i < TIMERS - 1; i++) {
		ck_assert(!loop_timer_armed(timers[i]));
		loop_timer_remove(timers[i]);
	}
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("loop");
	TCase *tc = tcase_create("loop");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_everything_ready_is_called_once_a_turn);
	tcase_add_test(tc, test_work_put_off_for_ever_starves_nobody);
	tcase_add_test(tc, test_soon_is_called_once_however_often_asked);
	tcase_add_test(tc, test_fd_waits_for_what_was_asked);
	tcase_add_test(tc, test_removed_object_is_not_called_though_it_was_ready);
	tcase_add_test(tc, test_a_stop_before_the_loop_runs_ends_it);
	tcase_add_test(tc, test_timer_may_remove_itself);
	tcase_add_test(tc, test_periodic_timer_comes_again_and_single_one_does_not);
	tcase_add_test(tc, test_clock_is_read_once_a_turn);
	tcase_add_test(tc, test_signal_is_called_from_the_loop);
	tcase_add_test(tc, test_urgent_signal_is_called_within_a_callback);
	tcase_add_test(tc, test_timer_without_memory_comes_when_there_is_some);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	event_set_mem_functions(malloc, realloc_unless_short, free);
	return unit_main(make_suite);
}
