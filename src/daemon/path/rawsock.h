/* SPDX-License-Identifier: ISC */
/*
 * The way out: a raw IPv4 socket (IP_HDRINCL), in batches. The kernel routes what is sent here, so packets
 * to the outside and to the inside both go this way. Never blocks; what cannot be sent is counted by
 * cause and lost, and takes nothing else with it.
 */
#ifndef NATD_DAEMON_RAWSOCK_H
#define NATD_DAEMON_RAWSOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"
#include "iocounter.h"

enum {
	RAWSOCK_BATCH = 128,	       /* packets a sendmmsg */
	RAWSOCK_ARENA = 128 * 1024,    /* bytes for copies of owned packets in one batch */
	RAWSOCK_SEND_BUFFER = 8 << 20, /* bytes requested (beyond wmem_max only with CAP_NET_ADMIN) */
};

struct rawsock;

/* The kernel refused a packet with `err`, which is counted. `p` as it was queued, its bytes valid during the
 * call; nothing may be queued from within. */
typedef void rawsock_refused_fn(void *ctx, const struct nat_packet *p, int err);

/* *out is the caller's to destroy. 0 or a negative errno (-EPERM: no CAP_NET_RAW). `counters` is borrowed. */
int rawsock_create(struct rawsock **out, struct io_counters *counters);
void rawsock_destroy(struct rawsock *r); /* NULL: nothing; what is queued is lost */
void rawsock_set_refused(struct rawsock *r, rawsock_refused_fn *fn, void *ctx);
/* The mark of all packets (SO_MARK; needs CAP_NET_ADMIN). 0 or a negative errno. */
int rawsock_set_mark(struct rawsock *r, uint32_t mark);
/* The interface, by index, that packets to the outside leave by, with their source as the source of the look-up; 0: any. For
 * packets queued from now on. */
void rawsock_set_outside(struct rawsock *r, int index);

/*
 * Queues one packet (len >= 20, gso_size 0); a full batch is sent at once. For `owned` the bytes are copied
 * (as nat_emit means it: valid during the call only), otherwise they must stay until rawsock_flush(). A
 * checksum that is still partial is filled in, in place.
 */
void rawsock_queue(struct rawsock *r, const struct nat_packet *p, bool owned);
/* Sends all that is queued. */
void rawsock_flush(struct rawsock *r);

#endif
