/* SPDX-License-Identifier: ISC */
/*
 * The queues of the TUN device, as tun.queues says. The first is natd->tun; with more than one, all of them are served by
 * workers, each with a raw socket of its own. A service manager keeps them over a restart, each with what waits in it.
 */
#ifndef NATD_DAEMON_QUEUES_H
#define NATD_DAEMON_QUEUES_H

#include <stdint.h>

#include "dataplane.h"
#include "tun.h"

struct natd;

struct queues {
	struct dataplane_queue *queue; /* NULL with one queue */
	uint32_t n;
};

/* How many there are to be: tun.queues, or one a core. */
uint32_t queues_wanted(const struct natd *n);
/* Makes room and opens the raw sockets (needs CAP_NET_RAW). 0 or a negative errno. Nothing with one queue. */
int queues_create(struct natd *n);
void queues_destroy(struct natd *n);
/* Takes over or opens the queues beyond natd->tun, which is open, closes what the former natd had more, and has all of
 * them read if the data path is there. 0 or a negative errno. */
int queues_open(struct natd *n, const struct tun_options *o);
/* Has them read. 0 or -ENOMEM. */
int queues_serve(struct natd *n);
/* Closes every queue. Nobody may be reading them. */
void queues_close(struct natd *n);

#endif
