/* SPDX-License-Identifier: ISC */
/*
 * The mirror: busy established sessions, shown to a forwarder beside the core, which carries their plain packets
 * (flow.h). The core knows nothing of the forwarder except the memory that they share. A packet that the forwarder
 * leaves to natd is translated as usual.
 *
 * With a mirror the core gives the same results as without one: before it uses a session's own data (counters, time,
 * TCP numbers), it takes over what the forwarder has left there. nat_view_next() and nat_view_by_id() do so too;
 * nat_counters() is as of the last nat_step() a second or more after the packets, or of nat_mirror_pull().
 */
#ifndef NATD_CORE_MIRROR_H
#define NATD_CORE_MIRROR_H

#include "flow.h"
#include "nat.h"

struct flow_memory {
	struct flow *flows;	     /* FLOW_SLOTS, zero */
	struct flow_bucket *buckets; /* FLOW_BUCKETS, zero */
	uint64_t secret[2];	     /* random; shared with the forwarder */
};

/* Shows sessions of these classes (1 << enum nat_class: TCP, UDP, ICMP) from now on. `m` is borrowed. False: out of
 * memory. */
bool nat_mirror_begin(struct nat *n, const struct flow_memory *m, uint32_t classes);
/* Ends it: takes everything over. `goes_on`: the flows stay published for the next natd, which takes over what they
 * carry until then (nat_mirror_adopt()); else none is. */
void nat_mirror_end(struct nat *n, bool goes_on);
bool nat_mirror_is_on(const struct nat *n);

/* Every packet that natd had received has been sent on: sessions waiting to be shown are shown now, so that none of
 * their packets is overtaken by those that the forwarder carries. They wait for this for at most a second. */
void nat_mirror_drained(struct nat *n);

/* Takes over the data in flows of another natd, for sessions that are in the table. No forwarder carries them any
 * more. */
void nat_mirror_adopt(struct nat *n, struct flow *flows);
/* Takes over the data of all flows now: 4 ns each. */
void nat_mirror_pull(struct nat *n);
/* Routes or interfaces have changed: the forwarder looks up again where inside packets may come from. */
void nat_mirror_forget_ways(struct nat *n);

/* Since nat_mirror_begin(). */
struct nat_mirror_counts {
	uint32_t flows; /* now */
	uint64_t shown, idle, stopped,
		full;		 /* shown; taken out: idle, by SYN, FIN or RST; not shown for want of room */
	uint64_t packets, bytes; /* carried by the forwarder */
};
void nat_mirror_counts(const struct nat *n, struct nat_mirror_counts *c);

#endif
