/* SPDX-License-Identifier: ISC */
/*
 * A thread that serves one of several TUN queues (tun.queues above 1). It shares the translation with the others
 * under one lock, and nothing else.
 */
#ifndef NATD_DAEMON_WORKER_H
#define NATD_DAEMON_WORKER_H

#include <stdint.h>

#include "lane.h"

struct worker;

struct worker_params {
	struct lane_params lane; /* with a lock; its counters are the thread's alone while it runs */
	const struct tun *tun;
	uint32_t busy_poll_us;
	int lost_fd; /* eventfd: written when the queue cannot be read any more; borrowed */
};

/* Starts it, with every signal blocked. NULL: memory or threads short. */
struct worker *worker_start(const struct worker_params *p);
/* Ends it; packets that it was busy with are sent. The caller must not hold the lock. NULL: nothing. */
void worker_stop(struct worker *w);

/* Adds what it has counted to `sum`. The caller holds the lock. */
void worker_add_counters(const struct worker *w, struct io_counters *sum);

/* The errno that ended its reading; 0: it goes on. */
int worker_lost(const struct worker *w);

#endif
