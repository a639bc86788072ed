/* SPDX-License-Identifier: ISC */
/*
 * What the packet path owns: the TUN device with its queues, the sockets that translated packets leave by, the socket that
 * reads ICMP, and the data path over them (dataplane.h). tun.queues says how many queues there are; with more than one each is
 * served by a worker with a raw socket of its own.
 *
 * Opening the TUN queues is natd.c's part, since a service manager may have kept them.
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
	struct rawsock *raw;   /* of the event loop's thread */
	struct ways *ways;     /* likewise */
	struct io_counters io; /* likewise */
	struct icmpsock icmp;  /* fd -1: not open */
	struct dataplane *dataplane;
	struct transit transit;
	struct inbox inbox;
	uint32_t mark;				 /* of the raw sockets */
	unsigned icmp_from[ICMPSOCK_INTERFACES]; /* see path_follow_interfaces() */
	uint32_t n_icmp_from;
};

/* Nothing is open yet. */
void path_init(struct path *p);

/* How many queues there are to be: `configured` (tun.queues), or one a core. */
uint32_t path_queues_wanted(uint32_t configured);
/* Makes room for the queues and opens the raw sockets (needs CAP_NET_RAW). 0 or a negative errno; path_fini() in either case. */
int path_open(struct path *p, uint32_t n_queues);
/* Closes and frees everything. */
void path_fini(struct path *p);

bool path_has_tun(const struct path *p);
/* Closes every queue, which the data path has stopped reading. */
void path_close_tun(struct path *p);

/* Serves packets from now on. 0 or -ENOMEM. `p->tun_lost` is called in the loop's thread. */
struct path_start {
	struct loop *loop;
	struct nat *nat;
	void (*tun_lost)(void *ctx, int err);
	void *ctx;
};
int path_start(struct path *p, const struct path_start *s);
/* Reads the queues, which are open; before path_start() nothing. 0 or -ENOMEM. */
int path_serve(struct path *p);
/* Stops serving packets; everything stays open. */
void path_stop(struct path *p);

/* Follows the host: reads ICMP where the interfaces are now, and sends by the outside one. `policy` is in force. */
void path_follow_interfaces(struct path *p, const struct host_facts *facts, const struct nat_policy *policy);
/* The kernel says that links, addresses or rules changed: ways are looked up again. */
void path_host_changed(struct path *p);
/* The mark of what the raw sockets send; with CAP_NET_ADMIN. 0 or a negative errno. */
int path_set_mark(struct path *p, uint32_t mark);

/* Runs fn(ctx) in another thread while packets go on; returns after it. Without a data path it is called as it is. */
void path_aside(const struct path *p, void (*fn)(void *ctx), void *ctx);

/* A packet of natd's own, as if it had been read from inside. It is used up; nothing without a data path. */
void path_send(struct path *p, uint8_t *packet, uint32_t len);

/* What this thread and the workers have counted so far. */
void path_counters(const struct path *p, struct io_counters *sum);

#endif
