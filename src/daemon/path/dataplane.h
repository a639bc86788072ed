/* SPDX-License-Identifier: ISC */
/*
 * The only place where devices meet the core: reads bursts from the TUN and the ICMP socket, passes them to the core,
 * sends the result, and drives the core's time. Every wake-up has a budget, so packets never delay the control socket
 * for long, nor does it delay them.
 *
 * With one TUN queue everything runs in the thread of the event loop. With several, each queue has a worker, and that
 * thread takes the lock of the translation for each of its turns (loop_set_guard()).
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
	DATAPLANE_ROUND_MS = 8000, /* each record of the table is visited once in this time: no expiry is later */
};

/* One queue of the TUN device. With several queues, each has its own raw socket, ways and counters; with one, these
 * are NULL and those of dataplane_params are used. */
struct path_queue {
	struct tun tun; /* fd -1: not open */
	struct rawsock *raw;
	struct ways *ways;
	struct io_counters io;
};

struct dataplane_params {
	struct loop *loop;
	struct nat *nat;
	struct rawsock *raw;	/* for packets that the event loop's thread sends */
	struct ways *ways;	/* likewise */
	struct io_counters *io; /* for packets that it reads and writes */
	const struct transit *transit;
	struct inbox *inbox; /* NULL: natd has no sessions of its own */
	/* The device is gone, or reading it failed permanently: it is not read any more until dataplane_serve(). */
	void (*tun_lost)(void *ctx, int err);
	void *ctx;
};

/* Everything in `p` is borrowed as long as it lives. NULL: out of memory. Nothing is read yet. */
struct dataplane *dataplane_create(const struct dataplane_params *p);
void dataplane_destroy(struct dataplane *d); /* NULL is allowed */

/* Reads these `n` queues from now on: one in the loop's thread, several with a worker each (this thread writes to
 * the first). 0: none; call it so before closing the old ones. Returns 0 or -ENOMEM. */
int dataplane_serve(struct dataplane *d, struct path_queue *queues, uint32_t n);
int dataplane_set_icmp(struct dataplane *d, struct icmpsock *icmp);

/* nat_step() has work now, not only when time has passed. */
void dataplane_step_soon(struct dataplane *d);

/* Time to poll for the next packet before sleeping, in microseconds, while packets come closer together than that; 0
 * (the default): sleep at once. Workers use the value that is set when they start. */
void dataplane_set_busy_poll(struct dataplane *d, uint32_t us);

/* Sends a packet of natd's own, as if it had been read from inside. The buffer is overwritten. */
void dataplane_send(struct dataplane *d, uint8_t *packet, uint32_t len);

/* Adds the workers' counters to `sum`. */
void dataplane_add_counters(const struct dataplane *d, struct io_counters *sum);

/* Runs the slow fn(ctx) in another thread and returns after it; meanwhile the workers or this thread serve packets,
 * and urgent signals are served too. So fn() must not use anything that packets use, nor wait for this thread. Call
 * it from a callback of the loop; the loop's clock is read again afterwards. If no thread can be created, packets
 * wait. */
void dataplane_aside(struct dataplane *d, void (*fn)(void *ctx), void *ctx);

/* The same for work that does use what packets use: calls slice(ctx) until it returns false, and serves packets in
 * between. */
void dataplane_in_slices(struct dataplane *d, bool (*slice)(void *ctx), void *ctx);

#endif
