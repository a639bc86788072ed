/* SPDX-License-Identifier: ISC */
/*
 * Joins datagrams of one flow that leave in one burst into a UDP super-packet (UDP_SEGMENT, "USO"), which the kernel takes
 * in one write instead of one send each, and cuts up as late as it can. What cannot be joined goes
 * its ordinary way; nothing waits longer than the burst that it came in. Pure: the ways out are the caller's.
 */
#ifndef NATD_DAEMON_MERGE_H
#define NATD_DAEMON_MERGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/nat/nat.h"

enum {
	MERGE_GROUPS = 16, /* flows joined at the same time */
	MERGE_MOST = 64,   /* datagrams a super-packet: what every kernel with USO takes (UDP_MAX_SEGMENTS) */
	MERGE_LEAST = 3,   /* below that a send each is as cheap */
};

struct merge;

enum merge_result {
	MERGE_SENT,
	MERGE_AGAIN, /* not this time: each datagram goes by merge_ways.again */
	MERGE_NEVER, /* this kernel does not know such: each goes singly, and no super-packet is tried any more */
};

struct merge_ways {
	void (*single)(void *ctx, const struct nat_packet *p);
	void (*again)(void *ctx, const struct nat_packet *p);
	/* `whole`: headers at whole->data, whole->len and gso_size of the super-packet; its bytes are in `parts`. Unless MERGE_SENT
	 * nothing of it was sent, and the headers are as they came. */
	enum merge_result (*super)(void *ctx, const struct nat_packet *whole, const struct iovec *parts, int n);
	void *ctx;
};

struct merge *merge_create(const struct merge_ways *ways); /* NULL: memory short */
void merge_destroy(struct merge *m);			   /* NULL: nothing; what is held is lost */

/* True: taken; its bytes must stay (and may change) until merge_flush(). False: it is for the caller to send, and what was
 * taken of its flow has been sent before it. */
bool merge_add(struct merge *m, const struct nat_packet *p);

/* Sends all that was taken. */
void merge_flush(struct merge *m);

#endif
