/* SPDX-License-Identifier: ISC */
/*
 * The data path in the event loop; lane.c has what happens to a packet.
 *
 * Theory of operation. With one queue the TUN is an event like any other. With several, workers read them, and the
 * loop's thread handles ICMP, time and control. All share one translation under one lock. The loop takes it when a
 * turn's first callback begins and releases it before it waits, so code that runs in the loop need not know about
 * workers.
 *
 * Time: nat_step() visits records at a pace that covers the table in DATAPLANE_ROUND_MS, in slices of DATAPLANE_STEP,
 * one a turn of the loop. A slice that closes many sessions ends early; the records that it did not visit stay due, so
 * the pace holds however many there are to close. It is not faster either: a flood of short sessions ends at the rate
 * at which it began, which readers of events can follow, instead of all at once.
 */
#include "dataplane.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/nat/nat.h"
#include "core/table/table.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "worker.h"

enum {
	STEP_FAST_MS = 100,
	STEP_LEAST = 64,     /* records a step: more than rounding down loses */
	STEP_SLOW_MS = 1000, /* for a table that one slice covers */
	DONE_MS = 100,	     /* until the end of slow work is noticed if its notification is lost */
	WORKERS_MS = 1,	     /* for the workers between two slices of slow work */
};

struct dataplane {
	struct loop *loop;
	struct nat *nat;
	struct lane *lane;
	const struct transit *transit;
	struct inbox *inbox;
	struct icmpsock *icmp;
	struct loop_fd *tun_event;
	struct loop_fd *icmp_event;
	struct loop_soon *tun_soon;
	struct loop_timer *step_timer;
	struct loop_soon *step_soon;
	uint64_t step_at_ms; /* time up to which `step_due` has been counted */
	uint64_t step_due;   /* records still to be visited */
	void (*tun_lost)(void *ctx, int err);
	void *ctx;
	uint32_t busy_poll_us;
	pthread_mutex_t lock;
	struct path_queue *queues;
	uint32_t n_queues;
	struct worker **workers;
	uint32_t n_workers;
	struct loop_soon *workers_soon;
	int lost_fd; /* eventfd: a worker lost its queue; -1 without workers */
	struct loop_fd *lost_event;
};

/* ---- packets ---- */

static void lose_tun(struct dataplane *d, int err)
{
	dataplane_serve(d, NULL, 0);
	d->tun_lost(d->ctx, err);
}

static void serve_tun(void *ctx)
{
	struct dataplane *d = ctx;
	int r = lane_serve(d->lane, loop_now_ms(d->loop));

	if (r > 0)
		loop_soon_ask(d->tun_soon);
	else if (r < 0)
		lose_tun(d, -r);
}

static void on_tun(void *ctx, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	serve_tun(ctx);
}

static int read_icmp(void *ctx, uint8_t *buffer, size_t room, struct nat_packet *p)
{
	struct dataplane *d = ctx;

	return icmpsock_read(d->icmp, nat_policy_get(d->nat), buffer, room, p);
}

static void on_icmp(void *ctx, int fd, unsigned ready)
{
	struct dataplane *d = ctx;
	int r = lane_burst(d->lane, read_icmp, d, loop_now_ms(d->loop));

	(void)fd;
	(void)ready;
	/* Errors of a raw socket are events (the device went down, an error arrived), and reading them clears them. */
	if (r < 0)
		log_write(LEVEL_DEBUG, SUB_DATA, -r, "reading ICMP");
}

/* ---- time ---- */

static void step(void *ctx)
{
	struct dataplane *d = ctx;
	uint64_t now_ms = loop_now_ms(d->loop);
	uint64_t round = table_sweep_round(nat_table(d->nat));
	uint64_t elapsed_ms = now_ms - d->step_at_ms;
	struct nat_stepped done;
	uint32_t budget, visits;

	/* After a long sleep one round is enough. */
	if (elapsed_ms > DATAPLANE_ROUND_MS)
		elapsed_ms = DATAPLANE_ROUND_MS;
	d->step_due += round * elapsed_ms / DATAPLANE_ROUND_MS;
	if (d->step_due > round)
		d->step_due = round;
	d->step_at_ms = now_ms;
	budget = d->step_due > DATAPLANE_STEP ? DATAPLANE_STEP : (uint32_t)d->step_due;
	if (budget < STEP_LEAST)
		budget = STEP_LEAST;
	done = lane_step(d->lane, now_ms, budget);
	visits = done.more || done.ended ? done.visited : budget;
	d->step_due -= visits < d->step_due ? visits : d->step_due;
	if (done.more || d->step_due > 0)
		loop_soon_ask(d->step_soon);
	loop_timer_once(d->step_timer, round > DATAPLANE_STEP ? STEP_FAST_MS : STEP_SLOW_MS);
}

void dataplane_step_soon(struct dataplane *d)
{
	loop_soon_ask(d->step_soon);
}

/* ---- workers ---- */

static void take_lock(void *ctx)
{
	pthread_mutex_lock(&((struct dataplane *)ctx)->lock);
}

static void give_lock(void *ctx)
{
	pthread_mutex_unlock(&((struct dataplane *)ctx)->lock);
}

/* A worker may end while it waits for the lock, which this thread may hold: so this releases it meanwhile. */
static void stop_workers(struct dataplane *d)
{
	loop_set_guard(d->loop, NULL, NULL, NULL);
	for (uint32_t i = 0; i < d->n_workers; i++)
		worker_stop(d->workers[i]);
	free(d->workers);
	d->workers = NULL;
	d->n_workers = 0;
	loop_fd_remove(d->lost_event);
	d->lost_event = NULL;
	if (d->lost_fd >= 0)
		close(d->lost_fd);
	d->lost_fd = -1;
}

static void on_lost(void *ctx, int fd, unsigned ready)
{
	struct dataplane *d = ctx;
	int err = 0;

	(void)fd;
	(void)ready;
	for (uint32_t i = 0; i < d->n_workers && err == 0; i++)
		err = worker_lost(d->workers[i]);
	lose_tun(d, err);
}

static int start_each(struct dataplane *d)
{
	for (; d->n_workers < d->n_queues; d->n_workers++) {
		struct path_queue *q = &d->queues[d->n_workers];
		const struct worker_params p = {
			.lane = {.nat = d->nat,
				 .raw = q->raw,
				 .ways = q->ways,
				 .io = &q->io,
				 .transit = d->transit,
				 .inbox = d->inbox,
				 .lock = &d->lock},
			.tun = &q->tun,
			.busy_poll_us = d->busy_poll_us,
			.lost_fd = d->lost_fd,
		};

		d->workers[d->n_workers] = worker_start(&p);
		if (!d->workers[d->n_workers])
			return -ENOMEM;
	}
	return 0;
}

/* Called in a turn of the loop: from here on it holds the lock whenever its callbacks run. */
static void start_workers(void *ctx)
{
	struct dataplane *d = ctx;

	loop_set_guard(d->loop, take_lock, give_lock, d);
	if (start_each(d) == 0)
		return;
	log_error(SUB_DATA, "cannot start %u workers: out of memory or threads; trying again", (unsigned)d->n_queues);
	lose_tun(d, ENOMEM);
}

static int prepare_workers(struct dataplane *d)
{
	d->lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->workers = calloc(d->n_queues, sizeof(*d->workers));
	if (d->lost_fd >= 0 && d->workers)
		d->lost_event = loop_fd_add(d->loop, d->lost_fd, LOOP_READ, on_lost, d);
	if (!d->lost_event) {
		stop_workers(d);
		return -ENOMEM;
	}
	loop_soon_ask(d->workers_soon);
	return 0;
}

static void stop_reading(struct dataplane *d)
{
	stop_workers(d);
	loop_fd_remove(d->tun_event);
	d->tun_event = NULL;
	loop_soon_cancel(d->tun_soon);
	loop_soon_cancel(d->workers_soon);
	lane_set_tun(d->lane, NULL);
}

int dataplane_serve(struct dataplane *d, struct path_queue *queues, uint32_t n)
{
	stop_reading(d);
	d->queues = queues;
	d->n_queues = n;
	if (n == 0)
		return 0;
	lane_set_tun(d->lane, &queues[0].tun);
	if (n > 1)
		return prepare_workers(d);
	d->tun_event = loop_fd_add(d->loop, queues[0].tun.fd, LOOP_READ, on_tun, d);
	return d->tun_event ? 0 : -ENOMEM;
}

void dataplane_add_counters(const struct dataplane *d, struct io_counters *sum)
{
	for (uint32_t i = 0; i < d->n_workers; i++)
		worker_add_counters(d->workers[i], sum);
}

/* ---- slow work beside packets ---- */

struct aside {
	void (*fn)(void *ctx);
	void *ctx;
	atomic_bool is_done;
	int done_fd;
};

static void *run_aside(void *arg)
{
	struct aside *a = arg;
	a->fn(a->ctx);
	atomic_store(&a->is_done, true);
	if (eventfd_write(a->done_fd, 1) < 0)
		log_write(LEVEL_ERROR, SUB_DATA, errno,
			  "cannot wake the packet thread (it checks ten times a second anyway)");
	return NULL;
}

static int serve_icmp(struct dataplane *d)
{
	int r;

	loop_resume_guard(d->loop);
	r = lane_burst(d->lane, read_icmp, d, loop_clock_ms());
	loop_pause_guard(d->loop);
	return r;
}

/* A failing device is left to the loop, which will see the failure again. */
static void serve_until_done(struct dataplane *d, const struct aside *a)
{
	struct pollfd fds[] = {{.fd = a->done_fd, .events = POLLIN},
			       {.fd = d->n_queues == 1 ? d->queues[0].tun.fd : -1, .events = POLLIN},
			       {.fd = d->icmp ? d->icmp->fd : -1, .events = POLLIN}};

	while (!atomic_load(&a->is_done)) {
		loop_serve_urgent(d->loop);
		if (poll(fds, sizeof(fds) / sizeof(*fds), DONE_MS) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (fds[1].revents && lane_serve(d->lane, loop_clock_ms()) < 0)
			fds[1].fd = -1;
		if (fds[2].revents && serve_icmp(d) < 0)
			fds[2].fd = -1;
	}
}

/* False: no thread can be created. */
static bool run_beside(struct dataplane *d, struct aside *a)
{
	sigset_t all, before;
	pthread_t thread;
	bool ok;

	a->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->done_fd < 0)
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = pthread_create(&thread, NULL, run_aside, a) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ok) {
		serve_until_done(d, a);
		pthread_join(thread, NULL);
	}
	close(a->done_fd);
	return ok;
}

void dataplane_aside(struct dataplane *d, void (*fn)(void *ctx), void *ctx)
{
	struct aside a = {.fn = fn, .ctx = ctx};

	loop_pause_guard(d->loop);
	if (!run_beside(d, &a))
		fn(ctx);
	loop_resume_guard(d->loop);
	loop_read_clock(d->loop);
}

/* Serves waiting packets, and lets the workers run. A failing device is left to the loop. */
static void serve_between(struct dataplane *d)
{
	struct pollfd fds[] = {{.fd = d->n_queues == 1 ? d->queues[0].tun.fd : -1, .events = POLLIN},
			       {.fd = d->icmp ? d->icmp->fd : -1, .events = POLLIN}};

	loop_serve_urgent(d->loop);
	if (d->n_queues > 1) {
		loop_pause_guard(d->loop);
		poll(NULL, 0, WORKERS_MS);
		loop_resume_guard(d->loop);
	}
	if (poll(fds, sizeof(fds) / sizeof(*fds), 0) <= 0)
		return;
	if (fds[0].revents)
		lane_serve(d->lane, loop_clock_ms());
	if (fds[1].revents)
		lane_burst(d->lane, read_icmp, d, loop_clock_ms());
}

void dataplane_in_slices(struct dataplane *d, bool (*slice)(void *ctx), void *ctx)
{
	while (slice(ctx)) {
		serve_between(d);
		loop_read_clock(d->loop);
		if (loop_now_ms(d->loop) - d->step_at_ms >= STEP_FAST_MS)
			step(d);
	}
	loop_read_clock(d->loop);
}

/* ---- create and destroy ---- */

struct dataplane *dataplane_create(const struct dataplane_params *p)
{
	const struct lane_params lane = {
		.nat = p->nat, .raw = p->raw, .ways = p->ways, .io = p->io, .transit = p->transit, .inbox = p->inbox};
	struct dataplane *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	d->loop = p->loop;
	d->nat = p->nat;
	d->transit = p->transit;
	d->inbox = p->inbox;
	d->tun_lost = p->tun_lost;
	d->ctx = p->ctx;
	d->lost_fd = -1;
	d->step_at_ms = loop_clock_ms();
	d->lane = lane_create(&lane);
	d->step_timer = loop_timer_add(p->loop, step, d);
	d->step_soon = loop_soon_add(p->loop, step, d);
	d->tun_soon = loop_soon_add(p->loop, serve_tun, d);
	d->workers_soon = loop_soon_add(p->loop, start_workers, d);
	if (!d->lane || !d->step_timer || !d->step_soon || !d->tun_soon || !d->workers_soon) {
		dataplane_destroy(d);
		return NULL;
	}
	loop_timer_once(d->step_timer, STEP_FAST_MS);
	return d;
}

void dataplane_destroy(struct dataplane *d)
{
	if (!d)
		return;
	if (d->lane && d->tun_soon && d->workers_soon) /* not one that dataplane_create() abandoned half-made */
		stop_reading(d);
	loop_fd_remove(d->icmp_event);
	loop_timer_remove(d->step_timer);
	loop_soon_remove(d->step_soon);
	loop_soon_remove(d->tun_soon);
	loop_soon_remove(d->workers_soon);
	lane_destroy(d->lane);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int dataplane_set_icmp(struct dataplane *d, struct icmpsock *icmp)
{
	loop_fd_remove(d->icmp_event);
	d->icmp_event = NULL;
	d->icmp = icmp;
	if (!icmp)
		return 0;
	d->icmp_event = loop_fd_add(d->loop, icmp->fd, LOOP_READ, on_icmp, d);
	return d->icmp_event ? 0 : -ENOMEM;
}

void dataplane_send(struct dataplane *d, uint8_t *packet, uint32_t len)
{
	lane_send(d->lane, packet, len, loop_now_ms(d->loop));
}

void dataplane_set_busy_poll(struct dataplane *d, uint32_t us)
{
	d->busy_poll_us = us;
	lane_set_busy_poll(d->lane, us);
}
