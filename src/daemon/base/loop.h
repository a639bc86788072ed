/* SPDX-License-Identifier: ISC */
/*
 * The event loop: descriptors, signals, timers and work deferred to the next turn. Only this file uses libevent.
 *
 * Fairness: each turn calls everything that is ready exactly once, in the order in which it became ready. There are no
 * priorities, so nothing can starve anything else. In return each callback must stop after a budget of its own (a burst
 * of packets, a slice of a listing, some hundred records). The longest wait is then the sum of those budgets.
 *
 * Every callback may add, change and remove any object, including its own. A removed object is not called again, not
 * even if it was ready in this turn.
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

/* NULL: the system refuses (errno). Destroying the loop invalidates all objects still in it. */
struct loop *loop_create(void);
void loop_destroy(struct loop *l);

/* Runs until loop_stop(). Returns 0, or a negative errno if waiting itself failed. */
int loop_run(struct loop *l);
/* Ends loop_run() after the current turn; called before it: loop_run() returns at once. */
void loop_stop(struct loop *l);
/* Runs one turn; `may_wait`: waits until something is ready. For tests and for shutting down. */
int loop_turn(struct loop *l, bool may_wait);

/* A guard (a lock) for everything that callbacks share with other threads. `take` is called before a turn's first
 * callback (at once if this is called from one), `give` before the loop waits again. Setting another guard, or NULL,
 * gives the old one back first. */
void loop_set_guard(struct loop *l, void (*take)(void *ctx), void (*give)(void *ctx), void *ctx);
/* Brackets around slow work in a callback that needs nothing protected by the guard: others may take it meanwhile.
 * Without a guard they do nothing. */
void loop_pause_guard(struct loop *l);
void loop_resume_guard(struct loop *l);

/* Milliseconds of CLOCK_BOOTTIME (it runs while the machine sleeps, and continues over a restart of the process),
 * read once a turn: constant within a turn. */
uint64_t loop_now_ms(const struct loop *l);
/* Reads the clock again within a turn, after slow work. */
void loop_read_clock(struct loop *l);
/* Reads the same clock directly, for use before the loop runs. */
uint64_t loop_clock_ms(void);

/* ---- descriptors: level-triggered; the caller keeps the descriptor and removes it here before it closes it ---- */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void loop_fd_fn(void *ctx, int fd, unsigned ready);

/* NULL: out of memory. `events`: LOOP_READ, LOOP_WRITE, both or 0. */
struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *ctx);
/* Sets the events to wait for; 0: none. Cheap without a change. If memory is short, each turn tries again, as for
 * timers. */
void loop_fd_set(struct loop_fd *f, unsigned events);
void loop_fd_remove(struct loop_fd *f); /* NULL is allowed */

/* ---- signals: called from the loop, never from a signal handler ---- */

typedef void loop_signal_fn(void *ctx, int signo);

/* Signal numbers below 32; only one loop of the process can have signals. NULL: out of memory. */
struct loop_signal *loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *ctx);
void loop_signal_remove(struct loop_signal *s); /* NULL is allowed; the signal's previous action returns */
/* Makes loop_serve_urgent() call it too: the callback must then neither wait nor touch what the guard protects. */
void loop_signal_set_urgent(struct loop_signal *s);
/* For a callback that waits for something itself: calls the urgent signals that arrived meanwhile. */
void loop_serve_urgent(struct loop *l);

/* ---- timers: not armed when created ---- */

typedef void loop_fn(void *ctx);

struct loop_timer *loop_timer_add(struct loop *l, loop_fn *fn, void *ctx);
void loop_timer_once(struct loop_timer *t, uint32_t ms);
void loop_timer_every(struct loop_timer *t, uint32_t ms); /* ms > 0; the first time after `ms` */
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_armed(const struct loop_timer *t);
void loop_timer_remove(struct loop_timer *t); /* NULL is allowed */

/* ---- deferred work: called once, in the next turn, however often it was requested ---- */

struct loop_soon *loop_soon_add(struct loop *l, loop_fn *fn, void *ctx);
void loop_soon_ask(struct loop_soon *s);
void loop_soon_cancel(struct loop_soon *s);
void loop_soon_remove(struct loop_soon *s); /* NULL is allowed */

#endif
