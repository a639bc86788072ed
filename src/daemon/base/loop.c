/* SPDX-License-Identifier: ISC */
/*
 * The event loop on libevent.
 *
 * Theory of operation. Each object is a libevent `event` whose callback first reads the clock, if it is the first of
 * the turn, and then calls the user's function. A turn is one EVLOOP_ONCE: libevent polls, queues the ready events and
 * calls them all. All events have the same priority: with several, libevent serves only the best ready one in a turn,
 * and a busy one starves the others. Work deferred to the next turn is a timer of 0 ms, not event_active(): an active
 * event would be called again in the same turn, and for ever if it activates itself.
 *
 * libevent's timers run on CLOCK_MONOTONIC, natd's time is CLOCK_BOOTTIME: after a suspend the timers fire as if no
 * time had passed, and loop_now_ms() shows that it has.
 *
 * Signals: the handler sets a bit and writes a byte to a pipe, which the loop reads like any descriptor. libevent's own
 * signals would do the same, but only a turn of its loop would see them. A callback that waits for slow work must see a
 * stop signal too.
 *
 * If libevent or the kernel has no memory to wait for an event, the event is kept in a list, and each turn tries again;
 * until then the loop polls, so every event is served and nothing else stops.
 */
#define _GNU_SOURCE 1 /* pipe2() */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"

enum { RETRY_MS = 10, SIGNALS_MAX = 32, SIGNAL_BYTES = 1024 };

struct loop {
	struct event_base *base;
	uint64_t now_ms;
	bool is_clock_read; /* in this turn */
	bool stop;
	bool is_guarded; /* the guard is held */
	void (*take)(void *ctx);
	void (*give)(void *ctx);
	void *guard_ctx;
	struct arming *unarmed;
	struct loop_signal *signals;
	struct loop_fd *signal_event; /* reads signal_pipe[0]; NULL: no signal was added yet */
	int signal_pipe[2];
};

/* An event, and its timeout. */
struct arming {
	struct event *event;
	struct timeval after;
	bool is_timed;
	struct arming *next, **from; /* in the loop's list of failed armings; `from` NULL: in none */
};

struct loop_fd {
	struct loop *loop;
	struct arming arming;
	loop_fd_fn *fn;
	void *ctx;
	int fd;
	unsigned events;
};

struct loop_signal {
	struct loop *loop;
	struct loop_signal *next;
	struct sigaction before;
	loop_signal_fn *fn;
	void *ctx;
	int signo;
	bool is_urgent;
};

struct loop_timer {
	struct loop *loop;
	struct arming arming;
	loop_fn *fn;
	void *ctx;
};

struct loop_soon {
	struct loop_timer timer;
};

uint64_t loop_clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Every callback starts with this. */
static void enter(struct loop *l)
{
	if (l->is_clock_read)
		return;
	if (l->take)
		l->take(l->guard_ctx);
	l->is_guarded = l->take != NULL;
	l->now_ms = loop_clock_ms();
	l->is_clock_read = true;
}

static void leave(struct loop *l)
{
	if (l->is_guarded)
		l->give(l->guard_ctx);
	l->is_guarded = false;
}

void loop_set_guard(struct loop *l, void (*take)(void *ctx), void (*give)(void *ctx), void *ctx)
{
	leave(l);
	l->take = take;
	l->give = give;
	l->guard_ctx = ctx;
	if (take && l->is_clock_read) { /* called from a callback */
		take(ctx);
		l->is_guarded = true;
	}
}

void loop_pause_guard(struct loop *l)
{
	leave(l);
}

void loop_resume_guard(struct loop *l)
{
	if (!l->take || !l->is_clock_read || l->is_guarded)
		return;
	l->take(l->guard_ctx);
	l->is_guarded = true;
}

/* libevent's messages are discarded: failures are results of calls, and the caller logs them. */
static void discard(int severity, const char *message)
{
	(void)severity;
	(void)message;
}

struct loop *loop_create(void)
{
	struct event_config *config = event_config_new();
	struct loop *l = calloc(1, sizeof(*l));

	event_set_log_callback(discard);
	if (config && l) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
		l->base = event_base_new_with_config(config);
		l->now_ms = loop_clock_ms();
	}
	if (config)
		event_config_free(config);
	if (l && !l->base) {
		free(l);
		l = NULL;
	}
	if (l)
		l->signal_pipe[0] = l->signal_pipe[1] = -1;
	return l;
}

static void signal_give_back(struct loop_signal *s)
{
	(void)sigaction(s->signo, &s->before, NULL);
	free(s);
}

void loop_destroy(struct loop *l)
{
	struct loop_signal *next;

	if (!l)
		return;
	for (struct loop_signal *s = l->signals; s; s = next) {
		next = s->next;
		signal_give_back(s);
	}
	loop_fd_remove(l->signal_event);
	for (int i = 0; i < 2; i++) {
		if (l->signal_pipe[i] >= 0)
			close(l->signal_pipe[i]);
	}
	event_base_free(l->base);
	free(l);
}

/* ---- arming ---- */

static bool arming_try(struct arming *a)
{
	return event_add(a->event, a->is_timed ? &a->after : NULL) == 0;
}

static void arming_unlist(struct arming *a)
{
	if (!a->from)
		return;
	*a->from = a->next;
	if (a->next)
		a->next->from = a->from;
	a->from = NULL;
}

/* False: memory is short; later turns try again. */
static bool arm(struct loop *l, struct arming *a)
{
	if (arming_try(a))
		return true;
	a->next = l->unarmed;
	a->from = &l->unarmed;
	if (a->next)
		a->next->from = &a->next;
	l->unarmed = a;
	return false;
}

static void disarm(struct arming *a)
{
	event_del(a->event);
	arming_unlist(a);
}

static void arming_fini(struct arming *a)
{
	arming_unlist(a);
	if (a->event)
		event_free(a->event);
}

static void arm_rest(struct loop *l)
{
	struct arming *next;

	for (struct arming *a = l->unarmed; a; a = next) {
		next = a->next;
		if (arming_try(a))
			arming_unlist(a);
	}
}

/* ---- turns ---- */

int loop_turn(struct loop *l, bool may_wait)
{
	bool is_short;
	int r;

	arm_rest(l);
	is_short = l->unarmed != NULL;
	errno = 0;
	l->is_clock_read = false;
	r = event_base_loop(l->base, EVLOOP_ONCE | (may_wait && !is_short ? 0 : EVLOOP_NONBLOCK));
	if (r < 0)
		r = errno ? -errno : -EIO;
	leave(l);
	l->is_clock_read = false;
	if (is_short && may_wait) {
		log_warning(SUB_MAIN, "too little memory to wait for every event: polling every %d ms instead",
			    RETRY_MS);
		poll(NULL, 0, RETRY_MS);
	}
	return r < 0 ? r : 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	while (!l->stop && r == 0)
		r = loop_turn(l, true);
	l->stop = false;
	return r;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

void loop_read_clock(struct loop *l)
{
	l->now_ms = loop_clock_ms();
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

/* ---- descriptors ---- */

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *f = arg;
	unsigned ready = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);

	enter(f->loop);
	f->fn(f->ctx, fd, ready);
}

static bool wait_for(struct loop_fd *f, unsigned events)
{
	short what = EV_PERSIST;

	if (f->events == events)
		return true;
	disarm(&f->arming);
	f->events = events;
	if (!events)
		return true;
	if (events & LOOP_READ)
		what |= EV_READ;
	if (events & LOOP_WRITE)
		what |= EV_WRITE;
	event_assign(f->arming.event, f->loop->base, f->fd, what, on_fd, f);
	return arm(f->loop, &f->arming);
}

struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *ctx)
{
	struct loop_fd *f = malloc(sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct loop_fd){.loop = l, .fn = fn, .ctx = ctx, .fd = fd};
	f->arming.event = event_new(l->base, fd, 0, on_fd, f);
	if (!f->arming.event) {
		free(f);
		return NULL;
	}
	if (!wait_for(f, events)) {
		loop_fd_remove(f);
		return NULL;
	}
	return f;
}

void loop_fd_set(struct loop_fd *f, unsigned events)
{
	wait_for(f, events);
}

void loop_fd_remove(struct loop_fd *f)
{
	if (!f)
		return;
	arming_fini(&f->arming);
	free(f);
}

/* ---- signals ---- */

/* The only data that the handler touches. */
static atomic_uint pending_signals; /* a bit each */
static atomic_int signal_wake_fd = -1;

static void handle_signal(int signo)
{
	int saved = errno;

	atomic_fetch_or(&pending_signals, 1u << signo);
	(void)!write(atomic_load(&signal_wake_fd), "", 1); /* if the pipe is full, the loop wakes up anyway */
	errno = saved;
}

static bool take_pending(int signo)
{
	return atomic_fetch_and(&pending_signals, ~(1u << signo)) >> signo & 1;
}

static void on_signals(void *ctx, int fd, unsigned ready)
{
	struct loop *l = ctx;
	char bytes[SIGNAL_BYTES];

	(void)ready;
	(void)!read(fd, bytes, sizeof(bytes));
	for (struct loop_signal *s = l->signals, *next; s; s = next) {
		next = s->next;
		if (take_pending(s->signo))
			s->fn(s->ctx, s->signo);
	}
}

void loop_serve_urgent(struct loop *l)
{
	for (struct loop_signal *s = l->signals; s; s = s->next) {
		if (s->is_urgent && take_pending(s->signo))
			s->fn(s->ctx, s->signo);
	}
}

static bool open_signal_pipe(struct loop *l)
{
	if (l->signal_event)
		return true;
	if (l->signal_pipe[0] < 0 && pipe2(l->signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	l->signal_event = loop_fd_add(l, l->signal_pipe[0], LOOP_READ, on_signals, l);
	atomic_store(&signal_wake_fd, l->signal_pipe[1]);
	return l->signal_event != NULL;
}

struct loop_signal *loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *ctx)
{
	struct sigaction action = {.sa_handler = handle_signal, .sa_flags = SA_RESTART};
	struct loop_signal *s = malloc(sizeof(*s));

	assert(signo > 0 && signo < SIGNALS_MAX);
	if (!s)
		return NULL;
	*s = (struct loop_signal){.loop = l, .fn = fn, .ctx = ctx, .signo = signo};
	sigfillset(&action.sa_mask);
	(void)take_pending(signo);
	if (!open_signal_pipe(l) || sigaction(signo, &action, &s->before) < 0) {
		free(s);
		return NULL;
	}
	s->next = l->signals;
	l->signals = s;
	return s;
}

void loop_signal_set_urgent(struct loop_signal *s)
{
	s->is_urgent = true;
}

void loop_signal_remove(struct loop_signal *s)
{
	struct loop_signal **at;

	if (!s)
		return;
	for (at = &s->loop->signals; *at != s; at = &(*at)->next)
		assert(*at);
	*at = s->next;
	signal_give_back(s);
}

/* ---- timers ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	enter(t->loop);
	t->fn(t->ctx);
}

static bool timer_init(struct loop_timer *t, struct loop *l, loop_fn *fn, void *ctx)
{
	*t = (struct loop_timer){.loop = l, .fn = fn, .ctx = ctx};
	t->arming.event = event_new(l->base, -1, 0, on_timer, t);
	return t->arming.event != NULL;
}

static void timer_arm(struct loop_timer *t, uint32_t ms, bool again)
{
	struct arming *a = &t->arming;

	disarm(a);
	a->after = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	a->is_timed = true;
	event_assign(a->event, t->loop->base, -1, again ? EV_PERSIST : 0, on_timer, t);
	arm(t->loop, a);
}

struct loop_timer *loop_timer_add(struct loop *l, loop_fn *fn, void *ctx)
{
	struct loop_timer *t = malloc(sizeof(*t));

	if (t && !timer_init(t, l, fn, ctx)) {
		free(t);
		return NULL;
	}
	return t;
}

void loop_timer_once(struct loop_timer *t, uint32_t ms)
{
	timer_arm(t, ms, false);
}

void loop_timer_every(struct loop_timer *t, uint32_t ms)
{
	timer_arm(t, ms ? ms : 1, true);
}

void loop_timer_stop(struct loop_timer *t)
{
	disarm(&t->arming);
}

bool loop_timer_armed(const struct loop_timer *t)
{
	return t->arming.from != NULL || event_pending(t->arming.event, EV_TIMEOUT, NULL) != 0;
}

void loop_timer_remove(struct loop_timer *t)
{
	if (!t)
		return;
	arming_fini(&t->arming);
	free(t);
}

/* ---- later ---- */

struct loop_soon *loop_soon_add(struct loop *l, loop_fn *fn, void *ctx)
{
	struct loop_soon *s = malloc(sizeof(*s));

	if (s && !timer_init(&s->timer, l, fn, ctx)) {
		free(s);
		return NULL;
	}
	return s;
}

void loop_soon_ask(struct loop_soon *s)
{
	if (!loop_timer_armed(&s->timer))
		timer_arm(&s->timer, 0, false);
}

void loop_soon_cancel(struct loop_soon *s)
{
	loop_timer_stop(&s->timer);
}

void loop_soon_remove(struct loop_soon *s)
{
	if (!s)
		return;
	arming_fini(&s->timer.arming);
	free(s);
}
