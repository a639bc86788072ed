/* SPDX-License-Identifier: ISC */
/*
 * The request "capture": packets, as natd sees them before and after translation, for control clients.
 *
 * Theory of operation. While captures run, they share one tap of the core (core/nat/tap.h). A packet that one of them
 * wants is copied into that capture's ring, as it arrived and as it leaves; the client's job reads the ring. A program
 * (common/cbpf.h) matches the bytes in place, so unwanted packets are not copied. Both forms of a packet are wanted if
 * one of them is. Translation only rewrites headers. So the first CAPTURE_HEAD bytes of each packet are kept, and the
 * inbound form can still be restored if only the translated one matches.
 *
 * A ring has CAPTURE_RING bytes. Packets that do not fit are lost and counted: packets never wait for a reader. A
 * client that does not read costs its ring and the matching of packets, no more; at most CAPTURES_MAX run at once.
 */
#ifndef NATD_DAEMON_CAPTURE_H
#define NATD_DAEMON_CAPTURE_H

#include <stdint.h>

#include "core/nat/tap.h"
#include "request.h"

enum {
	CAPTURES_MAX = 4,
	CAPTURE_RING = 4 << 20, /* a power of two */
	CAPTURE_HEAD = 256,	/* more than translation can change: two IP headers and two transport headers */
};

struct capture;

/* The most recent inbound form, shared by all captures. */
struct capture_came {
	uint64_t number; /* of the packet; 0: none yet */
	uint64_t time_ns;
	const struct nat_packet *packet;
	uint32_t len;
	bool from_outside;
	uint8_t head[CAPTURE_HEAD];
};

/* Zeroed: no capture is running. */
struct captures {
	struct capture *running[CAPTURES_MAX]; /* NULL: a free slot */
	uint32_t n;
	struct nat *nat;
	struct nat_tap tap;
	struct capture_came came;
};

/* For the table of requests. */
const char *ctl_object_to_capture(const union ctl_args *args);
void ctl_begin_capture(struct ctl_job *j, const struct ctl_env *env);
void ctl_slice_capture(struct ctl_job *j, const struct ctl_turn *t);
void ctl_end_capture(struct ctl_job *j, const struct ctl_env *env);

#endif
