/* SPDX-License-Identifier: ISC */
/*
 * The way out: a raw IPv4 socket (IP_HDRINCL), in batches. The kernel routes these packets, so packets to the outside
 * and to the inside both use it. Never blocks; a packet that cannot be sent is counted by cause and dropped, without
 * affecting others.
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

/* The kernel refused a packet with `err`, which has been counted. `p` is as it was queued, its bytes are valid
 * during the call; the callback must not queue anything. */
typedef void rawsock_refused_fn(void *ctx, const struct nat_packet *p, int err);

/* *out is the caller's to destroy. Returns 0 or a negative errno (-EPERM: no CAP_NET_RAW). `counters` is borrowed. */
int rawsock_create(struct rawsock **out, struct io_counters *counters);
void rawsock_destroy(struct rawsock *r); /* NULL is allowed; queued packets are lost */
void rawsock_set_refused(struct rawsock *r, rawsock_refused_fn *fn, void *ctx);
/* Sets the mark of all packets (SO_MARK; needs CAP_NET_ADMIN). Returns 0 or a negative errno. */
int rawsock_set_mark(struct rawsock *r, uint32_t mark);
/* Sets the interface, by index, through which packets to the outside leave; their source is used for the route
 * look-up. 0: any. Applies to packets queued from now on. */
void rawsock_set_outside(struct rawsock *r, int index);

/*
 * Queues one packet (len >= 20, gso_size 0); a full batch is sent at once. If `owned`, the bytes are copied (as in
 * nat_emit: they are valid only during the call), otherwise they must stay valid until rawsock_flush(). A partial
 * checksum is completed in place.
 */
void rawsock_queue(struct rawsock *r, const struct nat_packet *p, bool owned);
/* Sends everything queued. */
void rawsock_flush(struct rawsock *r);

#endif
