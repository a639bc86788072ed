/* SPDX-License-Identifier: ISC */
/*
 * The only place where devices meet the core: reads bursts from the TUN and the ICMP socket, has them
 * translated, sends what comes out, and lets the core's time pass. Every wake-up has a budget, so that
 * packets never hold up the control socket, nor it them.
 *
 * With one TUN queue everything happens in the thread of the event loop. With several each queue has a worker, and
 * that thread takes the lock of the translation for each of its turns (loop_set_guard()).
 */
#ifndef NATD_DAEMON_DATAPLANE_H
#define NATD_DAEMON_DATAPLANE_H

#include <stdint.h>

#include "icmpsock.h"
#include "iocounter.h"
#include "lane.h"
#include "rawsock.h"
#include "tun.h"

struct loop;
struct nat;
struct dataplane;

enum {
	DATAPLANE_STEP = 256, /* budget of nat_step() in one turn: 256 visits, or 64 closings in half a millisecond */
	DATAPLANE_ROUND_MS = 8000, /* in which each record of the table is visited once: no expiry is later */
};

/* One queue of the TUN device. With several, each has a raw socket, ways and counters of its own; with one, they are NULL and those of
 * dataplane_params serve. */
struct path_queue {
	struct tun tun; /* fd -1: not open */
	struct rawsock *raw;
	struct ways *ways;
	struct io_counters io;
};

struct dataplane_params {
	struct loop *loop;
	struct nat *nat;
	struct rawsock *raw;	/* for what the event loop's thread sends */
	struct ways *ways;	/* likewise */
	struct io_counters *io; /* for what it reads and writes */
	const struct transit *transit;
	struct inbox *inbox; /* NULL: nothing is natd's own */
	/* The device is gone, or reading it failed for good: it is not read any more until dataplane_serve(). */
	void (*tun_lost)(void *ctx, int err);
	void *ctx;
};

/* All of it is borrowed as long as it lives. NULL when memory is short. Nothing is read yet. */
struct dataplane *dataplane_create(const struct dataplane_params *p);
void dataplane_destroy(struct dataplane *d); /* NULL: nothing */

/* Reads these `n` queues from now on: one in the loop's thread, several with a worker each (this thread writes to the first).
 * 0: none (before the old ones are closed). 0 or -ENOMEM. */
int dataplane_serve(struct dataplane *d, struct path_queue *queues, uint32_t n);
int dataplane_set_icmp(struct dataplane *d, struct icmpsock *icmp);

/* There is something to do for nat_step(): now, not only when time has passed. */
void dataplane_step_soon(struct dataplane *d);

/* How long to look for the next packet before sleeping, in microseconds, while packets come closer together than
 * that; 0 (at first): sleep at once. Workers take it when they start. */
void dataplane_set_busy_poll(struct dataplane *d, uint32_t us);

/* A packet of natd's own, as if it had been read from inside. It is used up. */
void dataplane_send(struct dataplane *d, uint8_t *packet, uint32_t len);

/* Adds what the workers have counted to `sum`. */
void dataplane_add_counters(const struct dataplane *d, struct io_counters *sum);

/* Calls fn(ctx), which takes long, in a thread of its own, and returns when it has ended; packets are served meanwhile, by the
 * workers or by this thread, and urgent signals too. So fn() must not use what packets use, nor wait for this thread. From a
 * callback of the loop, whose clock has been read again after it. Where no thread can be had packets wait. */
void dataplane_aside(struct dataplane *d, void (*fn)(void *ctx), void *ctx);

/* The same for work that uses what packets use: calls slice(ctx) until it returns false, and packets are served in between. */
void dataplane_in_slices(struct dataplane *d, bool (*slice)(void *ctx), void *ctx);

#endif
