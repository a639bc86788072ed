/* SPDX-License-Identifier: ISC */
/*
 * The event loop: descriptors, signals, timers and work put off to the next turn. The only file that
 * knows libevent.
 *
 * Fairness: in one turn everything that is ready is called exactly once, in the order in which it
 * became ready. There are no priorities, so nothing can starve anything else; what a callback must
 * do in return is to stop after a budget of its own (a burst of packets, a slice of a listing, some
 * hundred records). The longest that anything waits is then the sum of those budgets.
 *
 * Every callback may add, change and remove any object, its own included. A removed one is not called
 * again, not even if it was ready in this turn.
 */
#ifndef NATD_DAEMON_LOOP_H
#define NATD_DAEMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;
struct loop_signal;
struct loop_timer;
struct loop_soon;

/* NULL when the system refuses (errno). What is still in it when it is destroyed must not be used again. */
struct loop *loop_create(void);
void loop_destroy(struct loop *l);

/* Runs until loop_stop(). 0, or a negative errno when waiting itself failed. */
int loop_run(struct loop *l);
/* Ends loop_run() after the present turn; before it: the next one at once. */
void loop_stop(struct loop *l);
/* One turn; waits for something to be ready unless `may_wait` is false. For tests and for shutting down. */
int loop_turn(struct loop *l, bool may_wait);

/* What the callbacks use together with other threads: `take` is called before a turn's first callback (at once if this is
 * called from one), `give` before the loop waits again. Setting another, or NULL, gives the old one back first. */
void loop_set_guard(struct loop *l, void (*take)(void *ctx), void (*give)(void *ctx), void *ctx);
/* Around work of a callback that takes long and needs nothing of what the guard protects: others have it meanwhile. Without
 * a guard they do nothing. */
void loop_pause_guard(struct loop *l);
void loop_resume_guard(struct loop *l);

/* Milliseconds of CLOCK_BOOTTIME (it counts while the machine sleeps, and goes on over a restart of the process),
 * read once a turn: the same value throughout the turn. */
uint64_t loop_now_ms(const struct loop *l);
/* Reads it again within a turn, after work that took long. */
void loop_read_clock(struct loop *l);
/* The same clock read now, for use before the loop runs. */
uint64_t loop_clock_ms(void);

/* ---- descriptors: level-triggered; the caller keeps the descriptor and removes it here before it closes it ---- */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void loop_fd_fn(void *ctx, int fd, unsigned ready);

/* NULL when memory is short. `events`: LOOP_READ, LOOP_WRITE, both or 0. */
struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *ctx);
/* What to wait for from now on; 0: nothing. Cheap when it does not change. If memory is short for it, it is tried again each
 * turn, like a timer that is set. */
void loop_fd_set(struct loop_fd *f, unsigned events);
void loop_fd_remove(struct loop_fd *f); /* NULL: nothing */

/* ---- signals: called from the loop, never from a signal handler ---- */

typedef void loop_signal_fn(void *ctx, int signo);

/* Signal numbers below 32; one loop of the process has signals. NULL when memory is short. */
struct loop_signal *loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *ctx);
void loop_signal_remove(struct loop_signal *s); /* NULL: nothing; the signal does what it did before */
/* Also called by loop_serve_urgent(): the callback must then not wait, nor touch what the guard protects. */
void loop_signal_set_urgent(struct loop_signal *s);
/* For a callback that waits for something itself: calls the urgent signals that have come meanwhile. */
void loop_serve_urgent(struct loop *l);

/* ---- timers: not armed when made ---- */

typedef void loop_fn(void *ctx);

struct loop_timer *loop_timer_add(struct loop *l, loop_fn *fn, void *ctx);
void loop_timer_once(struct loop_timer *t, uint32_t ms);
void loop_timer_every(struct loop_timer *t, uint32_t ms); /* ms > 0; the first time after `ms` */
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_armed(const struct loop_timer *t);
void loop_timer_remove(struct loop_timer *t); /* NULL: nothing */

/* ---- later: called once, in the next turn, however often it was requested ---- */

struct loop_soon *loop_soon_add(struct loop *l, loop_fn *fn, void *ctx);
void loop_soon_ask(struct loop_soon *s);
void loop_soon_cancel(struct loop_soon *s);
void loop_soon_remove(struct loop_soon *s); /* NULL: nothing */

#endif
