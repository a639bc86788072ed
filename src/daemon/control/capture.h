/* SPDX-License-Identifier: ISC */
/*
 * The request "capture": packets, as natd sees them before and after translation, to control clients.
 *
 * Theory of operation. While captures run, they share one tap of the core (core/nat/tap.h). A packet that one of them wants
 * is copied into that capture's ring, as it came and as it leaves; the client's job takes it from there. A program
 * (common/cbpf.h) judges the bytes where they are, so that nothing unwanted is copied; both forms of a packet are
 * wanted when one of them is. Since translation rewrites headers alone, the first CAPTURE_HEAD bytes are kept of each packet,
 * and the form in which it came can still be put together when only the translated one turns out to be wanted.
 *
 * A ring has CAPTURE_RING bytes. What does not fit is lost, and counted: packets never wait for a reader. A client that does
 * not read costs its ring and the judging of packets, no more; at most CAPTURES_MAX run at once.
 */
#ifndef NATD_DAEMON_CAPTURE_H
#define NATD_DAEMON_CAPTURE_H

#include <stdint.h>

#include "core/nat/tap.h"
#include "request.h"

enum {
	CAPTURES_MAX = 4,
	CAPTURE_RING = 4 << 20, /* a power of two */
	CAPTURE_HEAD =
		256, /* beyond every byte that translation may change: two IP headers and two transport headers */
};

struct capture;

/* What came last, for all captures. */
struct capture_came {
	uint64_t number; /* of the packet; 0: none yet */
	uint64_t time_ns;
	const struct nat_packet *packet;
	uint32_t len;
	bool from_outside;
	uint8_t head[CAPTURE_HEAD];
};

/* Zeroed: none runs. */
struct captures {
	struct capture *running[CAPTURES_MAX]; /* NULL: a free place */
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
