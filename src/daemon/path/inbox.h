/* SPDX-License-Identifier: ISC */
/*
 * Datagrams to natd itself: those that the core translated to NAT_PROBE_ADDRESS (core/nat/probe.h), which is no host.
 * Lanes store them while they hold the translation's lock; the control room, which holds it as well, takes them out.
 * There are a few boxes, each for one port and a few datagrams: datagrams that do not fit are lost, as they could have
 * been on their way.
 */
#ifndef NATD_DAEMON_INBOX_H
#define NATD_DAEMON_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"

enum { INBOX_BOXES = 4, INBOX_DATAGRAMS = 8, INBOX_BYTES = 1472 };

struct inbox_datagram {
	uint32_t from; /* host byte order, like the port */
	uint16_t from_port;
	uint16_t len;
	uint8_t bytes[INBOX_BYTES];
};

struct inbox_box {
	uint16_t port; /* 0: not in use */
	uint32_t n;
	struct inbox_datagram datagrams[INBOX_DATAGRAMS];
};

/* Zeroed: nothing is accepted. */
struct inbox {
	bool is_open; /* natd may have sessions of its own: packets to its address are never forwarded */
	struct inbox_box boxes[INBOX_BOXES];
};

/* Takes a packet that leaves to the inside. False: it is not for natd, and is forwarded. */
bool inbox_take(struct inbox *i, const struct nat_packet *p);
/* The box for that port; NULL: there is none. */
struct inbox_box *inbox_find(struct inbox *i, uint16_t port);

#endif
