/* SPDX-License-Identifier: ISC */
/*
 * Forwards and their backends in listings, and the requests that change them; the request to reload. For ctl_put_ and
 * ctl_get_ see ctlrecord.h.
 */
#ifndef NATD_COMMON_CTLFORWARD_H
#define NATD_COMMON_CTLFORWARD_H

#include "ctlrecord.h"

/* OTHER: a protocol without ports; first_port and last_port are its number. ANY: a default host. Both stand alone. */
enum { CTL_FORWARD_TCP = 1, CTL_FORWARD_UDP = 2, CTL_FORWARD_OTHER = 4, CTL_FORWARD_ANY = 8 };

struct ctl_forward {
	char name[CTL_NAME_MAX + 1];
	uint8_t protocols; /* CTL_FORWARD_ bits */
	uint32_t address;  /* 0: every outside address */
	uint16_t first_port, last_port;
	struct ctl_endpoint to; /* for first_port; the other ports follow in step */
	uint32_t n_from;	/* 0: any source; may exceed the size of `from` */
	struct ctl_prefix from[CTL_FROM_MAX];
	uint16_t n_backends; /* that many backend records follow; 0: it leads to `to` */
	uint8_t balance;     /* CTL_BALANCE_ */
	uint8_t side;	     /* CTL_SIDE_ */
	bool is_dynamic;     /* created at run time */
	uint32_t affinity_s;
};
bool ctl_put_forward(struct ctl_writer *w, const struct ctl_forward *f);
bool ctl_get_forward(struct ctl_reader *r, struct ctl_forward *f);

enum { CTL_BALANCE_HASH, CTL_BALANCE_LEAST, CTL_BALANCE_RANDOM, CTL_BALANCE_COUNT };
enum { CTL_SIDE_OUTSIDE, CTL_SIDE_INSIDE, CTL_SIDE_BOTH, CTL_SIDE_COUNT };
const char *ctl_balance_name(uint8_t balance); /* "?" for an unknown number; likewise below */
const char *ctl_side_name(uint8_t side);

enum { CTL_BACKEND_DOWN = 1, CTL_BACKEND_DRAINED = 2 };

/* CTL_FORWARD_ORDER: creates a forward at run time, or removes it. The end frame counts 1 if that changed something. */
enum { CTL_FORWARD_TEXT = 4000 };

struct ctl_forward_order {
	bool is_removal;
	uint32_t lifetime_s; /* 0: for ever */
	char name[CTL_NAME_MAX + 1];
	char text[CTL_FORWARD_TEXT + 1]; /* its keys, as in natd.conf, on one line */
};
bool ctl_put_forward_order(struct ctl_writer *w, const struct ctl_forward_order *o);
bool ctl_get_forward_order(struct ctl_reader *r, struct ctl_forward_order *o);

/* CTL_RELOAD: `confirm_s` 0: no confirmation is needed, as without a body. */
bool ctl_put_reload(struct ctl_writer *w, uint32_t confirm_s);

/* CTL_BACKEND_ORDER: takes a backend out of new connections, or puts it back. The end frame counts 1 if that changed
 * something. */
struct ctl_backend_order {
	char forward[CTL_NAME_MAX + 1];
	struct ctl_endpoint host; /* port 0: the only backend at that address */
	bool drain;		  /* false: it takes connections again */
};
bool ctl_put_backend_order(struct ctl_writer *w, const struct ctl_backend_order *o);
bool ctl_get_backend_order(struct ctl_reader *r, struct ctl_backend_order *o);

struct ctl_backend_state {
	struct ctl_endpoint host; /* for the forward's first port */
	uint16_t weight;
	uint8_t closed; /* CTL_BACKEND_ bits: why it takes no new connections */
	uint32_t sessions;
};
bool ctl_put_backend(struct ctl_writer *w, const struct ctl_backend_state *b);
bool ctl_get_backend(struct ctl_reader *r, struct ctl_backend_state *b);
const char *ctl_backend_state_name(uint8_t closed); /* "up", "down", "drained" */

#endif
