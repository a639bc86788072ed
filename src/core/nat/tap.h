/* SPDX-License-Identifier: ISC */
/*
 * A tap: who watches packets pass, with what became of each of them. Without one a batch pays one test of a pointer.
 */
#ifndef NATD_CORE_TAP_H
#define NATD_CORE_TAP_H

#include "nat.h"

struct nat_endpoint {
	uint32_t address; /* host byte order; 0: not known */
	uint16_t port;	  /* host byte order; or query id */
};

/* What became of a packet, or of the one that natd answers. */
struct nat_fate {
	uint8_t to;	     /* enum nat_to */
	uint8_t reason;	     /* enum nat_reason when to == NAT_NOWHERE */
	uint8_t proto_class; /* enum nat_class; CLASS_COUNT: it could not be read so far */
	uint8_t protocol;
	bool from_outside; /* it came from there; with a session: that was opened from there */
	uint64_t session;  /* id; 0: none */
	struct nat_endpoint inside, outside, remote; /* of the session, else as far as the packet names them */
};

/* Called from nat_batch() and nat_step(), while the core works: they may read sessions by nat_view_by_id(), and call
 * nothing else of it. */
struct nat_tap {
	/* A packet has come from inside or outside; its bytes will be translated in place. */
	void (*came)(void *ctx, const struct nat_packet *p, bool from_outside);
	/* A packet leaves. `is_form`: it is the one that came last, or a piece of it; else natd made or held it back. `f` is
	 * of the packet that came; NULL: none did, natd acts by itself. */
	void (*leaves)(void *ctx, const struct nat_packet *p, bool is_form, const struct nat_fate *f);
	/* All is done about the packet that came last. Not called of what is none of natd's business. */
	void (*done)(void *ctx, const struct nat_fate *f);
	void *ctx;
};

/* `tap` is borrowed until the next call; NULL: none. */
void nat_set_tap(struct nat *n, const struct nat_tap *tap);

#endif
