/* SPDX-License-Identifier: ISC */
/*
 * A thread that serves one of several TUN queues (tun.queues above 1). It shares only the translation with the others,
 * under one lock.
 */
#ifndef NATD_DAEMON_WORKER_H
#define NATD_DAEMON_WORKER_H

#include <stdint.h>

#include "lane.h"

struct worker;

struct worker_params {
	struct lane_params lane; /* with a lock; while the thread runs, only it uses the counters */
	const struct tun *tun;
	uint32_t busy_poll_us;
	int lost_fd; /* eventfd, borrowed: written when the queue cannot be read any more */
};

/* Starts it, with every signal blocked. NULL: out of memory or threads. */
struct worker *worker_start(const struct worker_params *p);
/* Ends it; packets in progress are sent. The caller must not hold the lock. NULL is allowed. */
void worker_stop(struct worker *w);

/* Adds its counters to `sum`. The caller holds the lock. */
void worker_add_counters(const struct worker *w, struct io_counters *sum);

/* The errno that ended its reading; 0: it is still reading. */
int worker_lost(const struct worker *w);

#endif
