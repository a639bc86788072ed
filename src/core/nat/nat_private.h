/* SPDX-License-Identifier: ISC */
/*
 * Shared by the files of the façade only.
 *
 * Theory of operation. A packet is a `struct work` on its way through these steps:
 *
 *   nat_batch     parse all (direction, key), look all keys up side by side, then one by one:
 *   translate     one pass outbound or inbound; a hairpinned packet takes both, in that order; later fragments and
 *                 ICMP errors have files of their own
 *     nat_pass      find the session, else decide (decide.c) and open (open.c); track, rewrite
 *   nat_send      count, cut for the MTU, hand to the caller
 *
 * Direction is data. An outbound pass replaces the source by the external endpoint, an inbound pass the destination by
 * the internal one; both use the same code with the other half of the session. Invariants: nothing leaves with an
 * inside source, nothing goes inside except to a session's host, and a packet is either emitted, held (fragment) or
 * counted under exactly one reason.
 */
#ifndef NATD_CORE_NAT_PRIVATE_H
#define NATD_CORE_NAT_PRIVATE_H

#include "admit.h"
#include "backends.h"
#include "core/fragment/fragment.h"
#include "core/packet/icmp.h"
#include "mirror.h"
#include "nat.h"
#include "core/base/prf.h"
#include "core/packet/reset.h"
#include "core/packet/rewrite.h"
#include "core/policy/rule.h"
#include "core/tcp/tcp.h"
#include "tap.h"

enum {
	HOLD_MAX = 1024,  /* unsolicited SYNs waiting for RFC 5382 REQ-4's six seconds */
	HOLD_QUOTE = 120, /* IP and TCP header with all options */
	HOLD_BUCKETS = 2048,
	ID_SETS = 512, /* counters of IP ids: ID_WAYS destinations in each */
	ID_WAYS = 4,
};

/* An unsolicited SYN from outside, stored as it arrived (RFC 5382 REQ-4). */
struct hold {
	uint64_t due_ms;   /* 0: cancelled */
	struct pkt_view v; /* of `bytes`, cut to the stored part */
	uint8_t bytes[HOLD_QUOTE];
	uint16_t next; /* in its bucket: place in the ring + 1; 0: the last */
};

struct holds {
	struct hold ring[HOLD_MAX]; /* in the order of arrival, which is that of due_ms */
	uint16_t buckets
		[HOLD_BUCKETS]; /* by a keyed hash of the tuple, youngest first: place in the ring + 1; 0: empty */
	uint64_t secret[4];
	uint32_t head;
	uint32_t count;
};

/* An RST still to be sent: see reset.c. */
struct reset_later {
	struct tcp_reset reset;
	uint8_t to; /* NAT_TO_INSIDE or NAT_TO_OUTSIDE */
};

struct resets {
	struct reset_later *list;
	uint32_t count, room;
	uint32_t sent; /* of them */
};

/* The next IP id for one destination, see nat_new_id(). */
struct id_counter {
	uint32_t tag; /* 0: free */
	uint16_t next;
	bool used; /* since its set was last searched for a place */
};

/* The fields that the two passes of a hairpinned packet change, as they were. */
struct origin {
	uint32_t src, dst;
	uint16_t sport, dport;
	uint16_t id;
};

/* The ICMP error for the sender of a dropped packet. type 0: nat_answer_refused() decides. */
struct reply {
	uint8_t type, code;
	bool is_reset; /* a TCP reset instead */
	uint16_t mtu;
};

struct work;

/* The range of a search for a port. */
struct port_set {
	const struct nat *n;
	const struct work *w;
	enum nat_class proto_class;
	uint32_t address;
};

struct decision;

struct work {
	struct nat_packet *p;
	struct session *session; /* of the last pass that found one */
	uint16_t mtu;		 /* of the way out; 0: unknown */
	uint8_t dir;		 /* enum nat_dir of the next pass */
	uint8_t reason;		 /* enum nat_reason found while classifying, or why it has no session */
	bool has_key;		 /* a session may exist for it: it is not a later fragment, an ICMP error or invalid */
	bool hairpin;		 /* from inside to an outside address of natd */
	bool to_host;		 /* the verdict is NAT_TO_HOST, untouched */
	bool from_inside;	 /* direction of an answer about it */
	bool has_request;	 /* `request` was prepared by nat_open_prefetch() */
	struct pkt_view v;
	struct table_probe probe;	    /* with the key of the next pass */
	struct origin origin;		    /* of a hairpinned packet */
	struct reply reply;		    /* if it is dropped */
	const struct session_spec *pending; /* explain.c: the session that its outbound pass would open; else NULL */
	uint64_t random;		    /* drawn ahead for the choice of address and port; 0: not yet */
	struct port_request request;	    /* without callbacks */
	uint32_t ordinal;		    /* of its outside address */
	/* outbound, with deterministic ports: results of the arithmetic, see nat_find_share() */
	int32_t share_ordinal; /* of the outside address; -1: none */
	uint32_t share;	       /* block */
};

/* See tap.c. */
struct tapped {
	struct work *work; /* of the last packet; NULL: none is being processed */
	uint32_t len;	   /* of that packet, as it arrived */
	struct nat_fate came;
	nat_emit *emit; /* the caller's */
	void *emit_ctx;
};

struct nat {
	struct nat_memory memory;
	struct table *table;
	struct fragments *fragments;
	struct rules *rules;
	const struct nat_policy *policy; /* = rules_policy(rules) */
	uint64_t now_ms;
	uint32_t now_s;
	nat_emit *emit;
	void *emit_ctx;
	const struct nat_tap *tap; /* NULL: none */
	struct mirror *mirror;	   /* NULL: none */
	struct prf prf;
	uint64_t id_key[2];
	uint64_t counters[NAT_REASON_COUNT];
	bool is_allotted; /* the table has the rules' allocation */
	bool is_judged;	  /* the rules in force allow every session: none is left from another natd's rules */
	struct {
		bool runs;
		uint32_t cursor;
		struct nat_reconfigure_report report;
	} judging; /* of judge.c */
	bool (*port_in_use)(void *ctx, enum nat_class c, uint32_t address, uint16_t port);
	void *port_ctx;
	struct events *events; /* the table's */
	struct admission admission;
	struct backends backends;
	struct icmp_limit icmp_limit;
	struct icmp_pass_limit icmp_pass;
	struct id_counter ids[ID_SETS][ID_WAYS];
	struct prf id_prf;
	int32_t *slots;	   /* of the outside addresses, by ordinal */
	bool one_external; /* exactly one range: see external_ordinal() */
	bool one_inside;
	bool shares_ports; /* sessions of forwards may use ports and ids from which mappings draw */
	uint32_t external_first, external_span;
	uint32_t inside_first, inside_mask;
	uint16_t min_inside_mtu;  /* of the known ones; 0: none is known */
	uint32_t forwarded_ports; /* most forwarded ports on one address */
	struct {
		uint32_t second, visited; /* records that a sweep has seen in that second */
	} sweeping;
	struct tapped tapped;
	struct holds holds;
	struct resets resets;
	struct {
		bool runs;
		uint32_t cursor;
	} purge; /* of backend_state.c */
	struct work work[NAT_BATCH_MAX];
	struct table_probe *probes[NAT_BATCH_MAX]; /* of packets with a key */
	uint8_t scratch[FRAGMENT_MAX_LEN];
};

/* create.c */
bool nat_use_rules(struct nat *n, struct rules *r); /* uses them; false: out of memory, nothing changed */
/* The table's slot for the outside address with that ordinal, claimed now if there was no room for it before;
 * TABLE_NONE: there is still none. */
int32_t nat_claim_slot(struct nat *n, uint32_t ordinal);
void nat_claim_slots(struct nat *n);	/* the same for all of them */
void nat_use_allocation(struct nat *n); /* from now on the table allocates ports by the rules */

/* nat.c */
void nat_drop(struct nat *n, struct work *w, enum nat_reason why);
void nat_send(struct nat *n, struct work *w, enum nat_to to);
/* The host reads its ICMP itself: natd sees copies, and ignores those that are not for its sessions. */
bool nat_is_hosts_own(const struct work *w, enum nat_reason why);
enum nat_reason nat_check_addresses(const struct nat *n, const struct work *w);
int32_t nat_external_slot(const struct nat *n, uint32_t address);

bool nat_prepare(struct nat *n, struct work *w, struct nat_packet *p); /* false: it has no key to look up */
void nat_turn_round(const struct nat *n, struct work *w); /* to the key of a hairpinned packet's inbound pass */

/* pass.c: one direction */
enum nat_reason nat_pass(struct nat *n, struct work *w);
/* The checks that need no session, and the size for the way in. Sets w->mtu, and w->reply for a refusal. */
enum nat_reason nat_check_before(struct nat *n, struct work *w);
enum nat_reason nat_check_inbound_size(struct nat *n, struct work *w, uint32_t to);
enum nat_reason nat_check_icmp_kind(const struct work *w, bool by_opener);
static inline enum nat_to nat_destination(const struct nat *n, const struct work *w)
{
	(void)n;
	if (w->to_host)
		return NAT_TO_HOST;
	return w->dir == DIR_OUT ? NAT_TO_OUTSIDE : NAT_TO_INSIDE;
}
/* The first of `count` consecutive IP ids for datagrams with these addresses and protocol. */
uint16_t nat_new_id(struct nat *n, const struct pkt_view *v, uint32_t count);

/* decide.c: see decide.h */
enum nat_reason nat_check_opener(const struct nat *n, const struct work *w);
/* The opener, as a balanced forward sees it. */
struct backend_query nat_backend_query(const struct nat *n, const struct work *w, uint32_t forward);
bool nat_port_is_natds(const struct nat *n, enum nat_class c, uint32_t address, uint16_t port);

/* endpoint.c */
void nat_find_share(const struct nat *n, struct work *w);
int32_t nat_paired_address(const struct nat *n, const struct work *w,
			   const struct host *h); /* ordinal; -1: none. h may be NULL */
uint32_t nat_first_address(const struct nat *n, uint32_t host,
			   uint64_t random); /* ordinal, where a host that has none begins */
/* A request for ports of this address, without the host, its part of the reserve, and callbacks. */
void nat_port_prepare(const struct nat *n, const struct work *w, uint16_t ext, struct port_request *rq);
/* Without the callbacks. */
void nat_port_request(const struct nat *n, const struct work *w, const struct host *h, uint16_t ext,
		      struct port_request *rq);
/* May a mapping use this port, as far as forwards are concerned? */
bool nat_port_is_free_of_forwards(const struct port_set *s, uint16_t port);
/* Is each port of it a forward's? For struct port_request, whose context is a struct port_set. */
bool nat_block_is_shut(void *port_set, const struct nat_range *block);

/* open.c: opens sessions; NULL and *why, or w->to_host set and NAT_PASS */
struct session *nat_open(struct nat *n, struct work *w, enum nat_reason *why);
/* A hint for a packet that will probably open a session outbound: prefetches the memory that this will use. */
void nat_open_prefetch(struct nat *n, struct work *w);
/* Queries the port guard, if the decision depends on it. */
bool nat_host_listens(const struct nat *n, const struct work *w, const struct decision *d);

/* budget.c: limits of the inside host `address`. `h`: its record, NULL: it has none. `opening`: DIR_IN: from
 * outside. */
enum nat_reason nat_check_sessions(const struct nat *n, uint32_t address, const struct host *h, enum nat_dir opening,
				   const struct session_spec *pending);
enum nat_reason nat_check_ports(const struct nat *n, const struct host *h, const struct port_request *rq,
				uint32_t *left);
/* Number of the address's blocks that are reserved. */
uint32_t nat_kept_blocks(const struct nat *n, const struct host *h, uint16_t ext);
void nat_rate_take(const struct nat *n, struct host *h, enum nat_dir opening); /* a session was opened */
uint32_t nat_reserve(const struct nat *n, uint32_t total, uint32_t hosts);
bool nat_is_about_room(enum nat_reason why); /* a sweep may help */
bool nat_make_room(struct nat *n);	     /* removes some expired entries; false: none are left */

/* judge.c: checks sessions against a new policy */
void nat_judge_begin(struct nat *n); /* every session must be checked */
void nat_judge_end(struct nat *n);
/* While n->judging.runs: the session that a packet has found, or NULL: it is forbidden, and has usually ended. */
struct session *nat_judge_met(struct nat *n, struct session *s);
/* The same question without ending anything. */
bool nat_judge_allows(const struct nat *n, const struct session *s);
/* May this mapping have one more session? */
bool nat_mapping_is_allowed(const struct nat *n, enum nat_class c, const struct mapping *m);
/* Before an outbound session is decided: its endpoint gets another mapping if the existing one is forbidden. */
void nat_judge_mapping(struct nat *n, const struct work *w);

/* tap.c */
void nat_tap_emissions(struct nat *n);		  /* from here on the tap sees what n->emit gets */
void nat_tap_came(struct nat *n, struct work *w); /* parsed, not yet translated */
void nat_tap_done(struct nat *n);

/* mirror.c; only if n->mirror is not NULL */
void mirror_take_over(struct nat *n, struct session *s); /* before the session's own data is used */
/* `w`, which stands for that many packets, has passed: its session is shown, updated in the forwarder, or taken out. */
void mirror_follow(struct nat *n, struct session *s, const struct work *w, uint32_t packets);
bool mirror_shows(const struct nat *n, const struct session *s);
bool mirror_step(struct nat *n); /* true: there is more to do now */
void mirror_catch_up(struct nat *n);
void mirror_withdraw(struct nat *n, struct session *s); /* from now on only natd handles it */
void mirror_withdraw_all(struct nat *n);

/* icmp_error.c */
void nat_icmp_error(struct nat *n, struct work *w);
/* Restores `w` to what came in: undoes the first rewrite of a hairpinned packet (addresses, ports, id). For callers
 * before the last pass has written: a packet that is not hairpinned is unchanged then. */
void nat_restore(struct work *w);
/* Answers the sender of `w` (restored) with an ICMP error, if one may be sent. */
void nat_answer(struct nat *n, struct work *w, uint8_t type, uint8_t code, uint16_t mtu);
/* Refuses `w`, a TCP segment other than RST (restored), by a reset to its sender. */
void nat_answer_reset(struct nat *n, struct work *w);
/* Sends the error that RFC 6888 REQ-11 or RFC 5508 REQ-8 requires for `why`, if it is about resources or policy. */
void nat_answer_refused(struct nat *n, struct work *w, enum nat_reason why);

/* datagram.c */
void nat_fragment_later(struct nat *n, struct work *w);
/* False: a first fragment that conflicts with its datagram, or repeats it, was dropped without other effects. */
bool nat_fragment_admit(struct nat *n, struct work *w, uint16_t *digest);
/* A first fragment has its verdict (NAT_NOWHERE: dropped). */
void nat_fragment_first(struct nat *n, struct work *w, const struct pkt_view *came, uint16_t digest, enum nat_to to);
void nat_fragment_release(struct nat *n, const struct work *w, const struct pkt_view *came);

/* hold.c */
void nat_hold_add(struct nat *n, const struct work *w);
void nat_hold_cancel(struct nat *n, const struct session *s); /* cancels the one that `s` answers, if any */
void nat_hold_step(struct nat *n);

/* backend_state.c */
bool nat_purge_step(struct nat *n); /* ends some sessions of backends that are down; true: there may be more */

/* reset.c */
/* Notes an RST that tells the inside host of this TCP session that it is over. Without nat_reset_has_room() it
 * allocates: not while packets are translated. False: out of memory. */
bool nat_reset_later(struct nat *n, const struct session *s);
bool nat_reset_add(struct nat *n, const struct reset_later *r); /* the same for any RST */
void nat_reset_reserve(struct nat *n, uint32_t more); /* makes room for that many more, if there is memory; allocates */
bool nat_reset_has_room(const struct nat *n);	      /* the next one needs no memory */
bool nat_reset_step(struct nat *n);		      /* sends some of them; true: there are more */
void nat_reset_free(struct nat *n);

#endif
