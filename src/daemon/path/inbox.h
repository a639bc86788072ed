/* SPDX-License-Identifier: ISC */
/*
 * Datagrams to natd itself: those that the core translated to NAT_PROBE_ADDRESS (core/nat/probe.h), which is no host. Lanes
 * hand them in while they hold the translation; the control room, which holds it as well, takes them out. A few boxes, each of one
 * port, of a few datagrams each: what does not fit is lost, as it could have been on its way.
 */
#ifndef NATD_DAEMON_INBOX_H
#define NATD_DAEMON_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"

enum { INBOX_BOXES = 4, INBOX_DATAGRAMS = 8, INBOX_BYTES = 1472 };

struct inbox_datagram {
	uint32_t from; /* host byte order, as is the port */
	uint16_t from_port;
	uint16_t len;
	uint8_t bytes[INBOX_BYTES];
};

struct inbox_box {
	uint16_t port; /* 0: not in use */
	uint32_t n;
	struct inbox_datagram datagrams[INBOX_DATAGRAMS];
};

/* Zeroed: nothing is taken. */
struct inbox {
	bool is_open; /* there may be sessions of natd's own: nothing to its address is sent on */
	struct inbox_box boxes[INBOX_BOXES];
};

/* A packet that leaves to inside. False: it is none of natd's, and goes on. */
bool inbox_take(struct inbox *i, const struct nat_packet *p);
/* The box of that port; NULL: there is none. */
struct inbox_box *inbox_find(struct inbox *i, uint16_t port);

#endif
