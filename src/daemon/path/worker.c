/* SPDX-License-Identifier: ISC */
/*
 * Theory of operation. The thread waits for its queue or a stop event, and serves its lane. Its counters are its own;
 * after each turn it copies them, under the lock, for the control socket's thread.
 */
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"

struct worker {
	struct worker_params params;
	struct lane *lane;
	pthread_t thread;
	int stop_fd;
	atomic_bool stop;
	atomic_int lost;
	struct io_counters published; /* under the lock */
};

static void publish(struct worker *w)
{
	pthread_mutex_lock(w->params.lane.lock);
	w->published = *w->params.lane.io;
	pthread_mutex_unlock(w->params.lane.lock);
}

static void tell_lost(struct worker *w, int err)
{
	const uint64_t one = 1;

	atomic_store(&w->lost, err);
	if (write(w->params.lost_fd, &one, sizeof(one)) < 0)
		log_write(LEVEL_ERROR, SUB_DATA, errno,
			  "cannot report that a queue of the TUN device is lost (restart natd)");
}

static void *serve(void *arg)
{
	struct worker *w = arg;
	struct pollfd fds[2] = {{.fd = w->params.tun->fd, .events = POLLIN}, {.fd = w->stop_fd, .events = POLLIN}};
	int r = 0;

	while (!atomic_load(&w->stop) && r >= 0) {
		if (r == 0 && poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		r = lane_serve(w->lane, loop_clock_ms());
		publish(w);
	}
	if (r < 0)
		tell_lost(w, -r);
	return NULL;
}

static int start_thread(struct worker *w)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&w->thread, NULL, serve, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

struct worker *worker_start(const struct worker_params *p)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->params = *p;
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->lane = lane_create(&p->lane);
	if (w->stop_fd >= 0 && w->lane) {
		lane_set_tun(w->lane, p->tun);
		lane_set_busy_poll(w->lane, p->busy_poll_us);
		if (start_thread(w) == 0)
			return w;
	}
	lane_destroy(w->lane);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	free(w);
	return NULL;
}

void worker_stop(struct worker *w)
{
	const uint64_t one = 1;

	if (!w)
		return;
	atomic_store(&w->stop, true);
	if (write(w->stop_fd, &one, sizeof(one)) < 0)
		log_write(LEVEL_ERROR, SUB_DATA, errno, "cannot wake a worker (it stops with its next packet)");
	pthread_join(w->thread, NULL);
	lane_destroy(w->lane);
	close(w->stop_fd);
	free(w);
}

void worker_add_counters(const struct worker *w, struct io_counters *sum)
{
	for (int i = 0; i < IO_COUNTER_COUNT; i++)
		sum->value[i] += w->published.value[i];
}

int worker_lost(const struct worker *w)
{
	return atomic_load(&((struct worker *)(uintptr_t)w)->lost);
}
