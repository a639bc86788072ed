/* SPDX-License-Identifier: ISC */
/*
 * One way through natd: reads bursts from a device, passes them to the core, sends the result. The event loop's thread
 * has one; with several TUN queues each worker has its own (worker.h). Nothing here waits.
 */
#ifndef NATD_DAEMON_LANE_H
#define NATD_DAEMON_LANE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nat/nat.h"
#include "inbox.h"
#include "rawsock.h"
#include "tun.h"
#include "ways.h"

enum {
	LANE_BURST = 64, /* packets translated together */
	LANE_BURSTS = 4, /* bursts read at most before the caller gets its turn */
};

struct lane;

struct lane_params {
	struct nat *nat;
	struct rawsock *raw;
	struct ways *ways;
	const struct transit *transit;
	struct inbox *inbox; /* touched while `nat` is locked; NULL: natd has no sessions of its own */
	struct io_counters
		*io; /* of what is read from the TUN and written to it; the caller's thread alone counts here */
	/* Held around each use of `nat`; NULL: the caller has exclusive use of it. */
	pthread_mutex_t *lock;
};

/* Everything in `p` is borrowed. NULL: out of memory. */
struct lane *lane_create(const struct lane_params *p);
void lane_destroy(struct lane *l); /* NULL is allowed */

/* The device from which packets are read and to which super-packets are written; NULL: none for now. */
void lane_set_tun(struct lane *l, const struct tun *tun);
void lane_set_busy_poll(struct lane *l, uint32_t us);

/*
 * The TUN is readable. Reads up to LANE_BURSTS bursts; then, while packets come close enough together, polls for more
 * for a bounded time. Returns 1: call again soon; 0: wait until the TUN is readable; else the negative errno that ended
 * reading.
 */
int lane_serve(struct lane *l, uint64_t now_ms);

/* Processes one burst from another device. `read` is as tun_read(): 1, 0, -EBADMSG, or a final error. The result is
 * as above. */
typedef int lane_read_fn(void *ctx, uint8_t *buffer, size_t room, struct nat_packet *p);
int lane_burst(struct lane *l, lane_read_fn *read, void *ctx, uint64_t now_ms);

/* Sends a packet of natd's own, as if it had been read from inside. The buffer is overwritten. */
void lane_send(struct lane *l, uint8_t *packet, uint32_t len, uint64_t now_ms);

/* Calls nat_step() and sends the packets that it emits. */
struct nat_stepped lane_step(struct lane *l, uint64_t now_ms, uint32_t budget);

#endif
