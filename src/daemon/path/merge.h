/* SPDX-License-Identifier: ISC */
/*
 * Joins datagrams of one flow that leave in one burst into a UDP super-packet (UDP_SEGMENT, "USO"). The kernel takes it
 * in one write instead of one send each, and cuts it as late as possible. Datagrams that cannot be joined are sent
 * singly; nothing waits longer than its own burst. Pure: the caller supplies the outputs.
 */
#ifndef NATD_DAEMON_MERGE_H
#define NATD_DAEMON_MERGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/nat/nat.h"

enum {
	MERGE_GROUPS = 16, /* flows joined at the same time */
	MERGE_MOST = 64,   /* datagrams a super-packet: the limit of every kernel with USO (UDP_MAX_SEGMENTS) */
	MERGE_LEAST = 3,   /* below that, one send each is as cheap */
};

struct merge;

enum merge_result {
	MERGE_SENT,
	MERGE_AGAIN, /* not this time: each datagram goes to merge_ways.again */
	MERGE_NEVER, /* this kernel does not support it: each is sent singly, and no super-packet is tried any more */
};

struct merge_ways {
	void (*single)(void *ctx, const struct nat_packet *p);
	void (*again)(void *ctx, const struct nat_packet *p);
	/* `whole`: headers at whole->data, with len and gso_size of the super-packet; its bytes are in `parts`.
	 * Unless MERGE_SENT is returned, nothing was sent, and the headers are restored. */
	enum merge_result (*super)(void *ctx, const struct nat_packet *whole, const struct iovec *parts, int n);
	void *ctx;
};

struct merge *merge_create(const struct merge_ways *ways); /* NULL: out of memory */
void merge_destroy(struct merge *m);			   /* NULL is allowed; held datagrams are lost */

/* True: taken; its bytes must stay valid (and may change) until merge_flush(). False: the caller must send it;
 * datagrams taken of its flow have been sent before. */
bool merge_add(struct merge *m, const struct nat_packet *p);

/* Sends all datagrams that were taken. */
void merge_flush(struct merge *m);

#endif
