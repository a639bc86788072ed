/* SPDX-License-Identifier: ISC */
/*
 * The control protocol's STUN: a datagram to send from a temporary mapping of natd, and the datagrams that come back.
 * As in ctlproto.h, each ctl_put_ writes one whole frame (false: no room), each ctl_get_ reads a body (false:
 * malformed).
 */
#ifndef NATD_COMMON_CTLSTUN_H
#define NATD_COMMON_CTLSTUN_H

#include "ctlrecord.h"

enum {
	CTL_STUN_BYTES_MAX = 128,    /* of the datagram to send */
	CTL_STUN_ANSWER_MAX = 1472,  /* of a datagram that comes back */
	CTL_STUN_WAIT_MAX_MS = 10000 /* longest time that natd waits for answers */
};

struct ctl_stun {
	uint32_t outside; /* source address */
	/* identifies the mapping: chosen by the client, the same for each request that is to use it; not 0 */
	uint16_t port;
	struct ctl_endpoint server;
	uint16_t wait_ms;
	uint16_t len;
	const uint8_t *bytes; /* a Binding request; after get it points into the body */
};
bool ctl_put_stun(struct ctl_writer *w, const struct ctl_stun *s);
bool ctl_get_stun(struct ctl_reader *r, struct ctl_stun *s);

struct ctl_stun_answer {
	struct ctl_endpoint outside; /* of the mapping */
	struct ctl_endpoint from;
	uint16_t len; /* 0: none has come yet; the record only reports the mapping's endpoint */
	const uint8_t *bytes;
};
bool ctl_put_stun_answer(struct ctl_writer *w, const struct ctl_stun_answer *a);
bool ctl_get_stun_answer(struct ctl_reader *r, struct ctl_stun_answer *a);

#endif
