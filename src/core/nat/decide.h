/* SPDX-License-Identifier: ISC */
/*
 * The decision about a packet without a session, from policy and table, without changing either. open.c commits it,
 * explain.c reports it.
 *
 * Nothing is taken, counted or charged while deciding. Expired entries may still count. If they may be the reason for a
 * refusal and `may_sweep` is set, the result is DECIDED_SWEEP: the caller removes expired entries and decides again. A
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
	DECIDED_OPEN,  /* opens a session, described by `spec` */
	DECIDED_SWEEP, /* see above */
};

/* The stage that decided, or that would come next: in this order. */
enum decide_stage {
	STAGE_OWNER,   /* is it natd's, or the host's own? hairpinning */
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

/* The source of the outside endpoint. */
enum decide_basis {
	BASIS_NONE,
	BASIS_MAPPING, /* the inside endpoint's, or the outside endpoint's own */
	BASIS_FORWARD, /* `forward` */
	BASIS_STATIC,  /* a static 1:1 pair */
	BASIS_DRAW,    /* a new port of the outside address */
	BASIS_ADDRESS, /* a protocol without ports */
};

struct decision {
	uint8_t action;		    /* enum decided */
	uint8_t reason;		    /* enum nat_reason, of DECIDED_DROP */
	uint8_t stage;		    /* enum decide_stage */
	uint8_t basis;		    /* enum decide_basis */
	int32_t rule;		    /* of the filter, that decides; FILTER_NONE: none does */
	struct filter_packet asked; /* the packet as the filter saw it, if it was consulted */
	int32_t forward;	    /* index of the forward that decides, even if it refuses; -1: none */
	int32_t backend;	    /* place in a balanced forward; -1: none */
	/* only the port guard can tell: if the host has a socket there, the packet is the host's after all */
	bool asks_host;
	bool is_held;	  /* an unsolicited SYN, to be answered later (RFC 5382 REQ-4) */
	bool is_answered; /* by an ICMP port unreachable */
	uint32_t ordinal; /* BASIS_DRAW, BASIS_ADDRESS: of the outside address */
	uint32_t tried;	  /* ... and how many addresses had been tried when it was found */
	struct session_spec
		/* of DECIDED_OPEN, and of refusals from STAGE_LIMITS on, as far as known. ext_port 0 with
		 * BASIS_DRAW: to be drawn */
		spec;
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
/* Continues with the next outside address, after d->ordinal had no port after all, for `why`. In endpoint.c. */
void nat_decide_again(const struct nat *n, const struct work *w, enum nat_reason why, struct decision *d);

/* ---- endpoint.c: the outside endpoint of outbound packets ---- */

/* RFC 4787 REQ-1: the existing mapping, else a new one within the share of ports of `h` (NULL: a host without any). */
void nat_decide_endpoint(const struct nat *n, const struct work *w, const struct host *h, struct decision *d);
/* Does this protocol never reach natd on this address, because it is shared with the host? */
bool nat_is_left_to_host(const struct nat *n, uint8_t proto, uint32_t address);
/* While sessions are being checked against a new policy, a mapping may exist that the policy forbids. */
bool nat_takes_sessions(const struct nat *n, const struct work *w, const struct mapping *m);
/* Does the session that is to be opened have a twin, seen from the other side? NAT_PASS: no. */
enum nat_reason nat_check_other_side(const struct nat *n, const struct decision *d, enum nat_dir side);

#endif
