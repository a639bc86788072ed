/* SPDX-License-Identifier: ISC */
/*
 * A tap: an observer of packets and of their fate. Without one a batch pays one test of a pointer.
 */
#ifndef NATD_CORE_TAP_H
#define NATD_CORE_TAP_H

#include "nat.h"

struct nat_endpoint {
	uint32_t address; /* host byte order; 0: unknown */
	uint16_t port;	  /* host byte order; or query id */
};

/* The fate of a packet, or of the packet that natd answers. */
struct nat_fate {
	uint8_t to;	     /* enum nat_to */
	uint8_t reason;	     /* enum nat_reason if to == NAT_NOWHERE */
	uint8_t proto_class; /* enum nat_class; CLASS_COUNT: unreadable */
	uint8_t protocol;
	bool from_outside; /* it came from outside; with a session: that was opened from outside */
	uint64_t session;  /* id; 0: none */
	struct nat_endpoint inside, outside, remote; /* of the session, else as far as the packet names them */
};

/* Called from nat_batch() and nat_step(), in the middle of the core's work: they may read sessions by
 * nat_view_by_id(), and call no other function of the core. */
struct nat_tap {
	/* A packet has arrived from inside or outside; its bytes will be translated in place. */
	void (*came)(void *ctx, const struct nat_packet *p, bool from_outside);
	/* A packet leaves. `is_form`: it is the current packet, or a piece of it; else natd made or held it. `f` is
	 * the fate of the current packet; NULL: there is none, natd acts by itself. */
	void (*leaves)(void *ctx, const struct nat_packet *p, bool is_form, const struct nat_fate *f);
	/* The current packet is finished. Not called for packets that natd ignores. */
	void (*done)(void *ctx, const struct nat_fate *f);
	void *ctx;
};

/* `tap` is borrowed until the next call; NULL: none. */
void nat_set_tap(struct nat *n, const struct nat_tap *tap);

#endif
