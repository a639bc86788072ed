/* SPDX-License-Identifier: ISC */
/*
 * What becomes of a packet that has no session: decided here, from policy and table, without changing either. open.c commits
 * it, explain.c reports it.
 *
 * Nothing is taken, counted or charged while deciding. Expired entries may still count: where they may be the reason of a
 * refusal and `may_sweep` is set, the answer is DECIDED_SWEEP; the caller removes what has expired and decides again. A
 * port that will be drawn at random has no number yet: the decision names the outside address.
 */
#ifndef NATD_CORE_DECIDE_H
#define NATD_CORE_DECIDE_H

#include "admit.h"
#include "nat.h"

struct work;

enum decided {
	DECIDED_DROP,  /* for `reason` */
	DECIDED_HOST,  /* it is the host's own */
	DECIDED_OPEN,  /* a session as `spec` says */
	DECIDED_SWEEP, /* see above */
};

/* What decided, or what would be asked next: in this order. */
enum decide_stage {
	STAGE_OWNER,   /* natd's, or the host's own? hairpinning */
	STAGE_KIND,    /* may this kind of packet open a session? */
	STAGE_RULE,    /* the filter's rules */
	STAGE_FORWARD, /* inbound: forwards */
	STAGE_BACKEND, /* inbound: the backends of a balanced forward */
	STAGE_MAPPING, /* inbound: mappings */
	STAGE_FILTER,  /* inbound: filtering */
	STAGE_LIMITS,  /* sessions, reserve, rate */
	STAGE_PORTS,   /* outbound: address and port */
	STAGE_TABLE,   /* another session in its place */
	STAGE_DONE,
};

/* Where the outside endpoint comes from. */
enum decide_basis {
	BASIS_NONE,
	BASIS_MAPPING, /* the inside endpoint's, or the outside endpoint's own */
	BASIS_FORWARD, /* `forward` */
	BASIS_STATIC,  /* a pair, one to one */
	BASIS_DRAW,    /* a new port of the outside address */
	BASIS_ADDRESS, /* a protocol without ports */
};

struct decision {
	uint8_t action;		    /* enum decided */
	uint8_t reason;		    /* enum nat_reason, of DECIDED_DROP */
	uint8_t stage;		    /* enum decide_stage */
	uint8_t basis;		    /* enum decide_basis */
	int32_t rule;		    /* of the filter, that decides; FILTER_NONE: none does */
	struct filter_packet asked; /* what the filter was asked, if it was */
	int32_t forward;	    /* index of the one that decides, also where it refuses; -1: none */
	int32_t backend;	    /* place in a balanced forward; -1: none */
	bool asks_host; /* only the port guard can tell: if a socket of the host is there, the packet is the host's after all */
	bool is_held;	  /* an unsolicited SYN, to be answered later (RFC 5382 REQ-4) */
	bool is_answered; /* by an ICMP port unreachable */
	uint32_t ordinal; /* BASIS_DRAW, BASIS_ADDRESS: of the outside address */
	uint32_t tried;	  /* ... and how many had been tried when it was found */
	struct session_spec
		spec; /* of DECIDED_OPEN, and of what is refused from STAGE_LIMITS on, as far as known. ext_port 0 with
				   * BASIS_DRAW: to be drawn */
};

static inline void decision_drop(struct decision *d, enum decide_stage stage, enum nat_reason why)
{
	d->action = DECIDED_DROP;
	d->stage = (uint8_t)stage;
	d->reason = (uint8_t)why;
}

/* False: `why` refuses it. */
static inline bool decision_goes_on(struct decision *d, enum decide_stage stage, enum nat_reason why)
{
	d->stage = (uint8_t)stage;
	if (why == NAT_PASS)
		return true;
	decision_drop(d, stage, why);
	return false;
}

/* `w`: classified, without session. With arbitrary pooling w->random has been drawn. */
void nat_decide(const struct nat *n, const struct work *w, bool may_sweep, struct decision *d);
/* Goes on to the next outside address, after d->ordinal had no port after all, for `why`. */
void nat_decide_again(const struct nat *n, const struct work *w, enum nat_reason why, struct decision *d);

/* ---- endpoint.c: the outside endpoint of what leaves ---- */

/* RFC 4787 REQ-1: the mapping that is there, else a new one within the share of ports of `h` (NULL: a host without any). */
void nat_decide_endpoint(const struct nat *n, const struct work *w, const struct host *h, struct decision *d);
/* Of this protocol an address shared with the host brings nothing to natd. */
bool nat_is_left_to_host(const struct nat *n, uint8_t proto, uint32_t address);
/* While sessions are judged one may be there that policy forbids. */
bool nat_takes_sessions(const struct nat *n, const struct work *w, const struct mapping *m);
/* Has the session that is to be opened a twin, seen from the other side? NAT_PASS: no. */
enum nat_reason nat_check_other_side(const struct nat *n, const struct decision *d, enum nat_dir side);

#endif
