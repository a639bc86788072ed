/* SPDX-License-Identifier: ISC */
/*
 * The packet path owns the TUN device with its queues, the sockets that send translated packets, the socket that reads
 * ICMP, and the data path over them (dataplane.h). tun.queues sets the number of queues; with more than one each is
 * served by a worker with a raw socket of its own.
 *
 * natd.c opens the TUN queues, since a service manager may have kept them.
 */
#ifndef NATD_DAEMON_PATH_H
#define NATD_DAEMON_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"
#include "icmpsock.h"
#include "inbox.h"
#include "iocounter.h"
#include "daemon/setup/build_policy.h"
#include "rawsock.h"

struct path {
	struct path_queue *queue; /* n_queues, at least one */
	uint32_t n_queues;
	struct rawsock *raw;   /* used by the event loop's thread; likewise the next two */
	struct ways *ways;     /* likewise */
	struct io_counters io; /* likewise */
	struct icmpsock icmp;  /* fd -1: not open */
	struct dataplane *dataplane;
	struct transit transit;
	struct inbox inbox;
	uint32_t mark;				 /* of the raw sockets */
	bool refuses_own;			 /* packets of the host's own programs, by an inside address */
	unsigned icmp_from[ICMPSOCK_INTERFACES]; /* see path_follow_interfaces() */
	uint32_t n_icmp_from;
};

/* Nothing is open yet. */
void path_init(struct path *p);

/* The number of queues: `configured` (tun.queues), or one a core if that is 0. */
uint32_t path_queues_wanted(uint32_t configured);
/* Allocates the queues and opens the raw sockets (needs CAP_NET_RAW). Returns 0 or a negative errno; call
 * path_fini() either way. */
int path_open(struct path *p, uint32_t n_queues);
/* Closes and frees everything. */
void path_fini(struct path *p);

bool path_has_tun(const struct path *p);
/* Closes every queue; the data path must not be reading them. */
void path_close_tun(struct path *p);

/* Serves packets from now on. Returns 0 or -ENOMEM. `p->tun_lost` is called in the loop's thread. */
struct path_start {
	struct loop *loop;
	struct nat *nat;
	void (*tun_lost)(void *ctx, int err);
	void *ctx;
};
int path_start(struct path *p, const struct path_start *s);
/* Starts reading the queues, which must be open; before path_start() it does nothing. Returns 0 or -ENOMEM. */
int path_serve(struct path *p);
/* Stops serving packets; everything stays open. */
void path_stop(struct path *p);

/* Follows the host: reads ICMP from its current interfaces, and sends through the outside one. `policy` is in force. */
void path_follow_interfaces(struct path *p, const struct host_facts *facts, const struct nat_policy *policy);
/* Links, addresses or rules have changed: ways are looked up again. */
void path_host_changed(struct path *p);
/* Sets the mark of packets that the raw sockets send; needs CAP_NET_ADMIN. Returns 0 or a negative errno. */
int path_set_mark(struct path *p, uint32_t mark);

/* Runs fn(ctx) in another thread while packets are served; returns after it. Without a data path fn(ctx) is called
 * directly. */
void path_aside(const struct path *p, void (*fn)(void *ctx), void *ctx);

/* Sends a packet of natd's own, as if it had been read from inside. The buffer is overwritten; without a data path
 * it does nothing. */
void path_send(struct path *p, uint8_t *packet, uint32_t len);

/* Sums the counters of this thread and the workers. */
void path_counters(const struct path *p, struct io_counters *sum);

#endif
