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
	uint16_t (*mtus)[FLOW_MTUS]; /* [2], zero: lists of MTUs by enum nat_dir. A larger packet of a flow is natd's */
};

/* The ends of a session, on which its ways depend. */
struct mirror_ends {
	uint64_t id;
	uint32_t internal, external, remote;
};

/* Into mtu[], by enum nat_dir: the MTU of the route of its packets that the forwarder does not find out by itself; 0: there is
 * none. False: not known now, and the session is not shown yet. */
typedef bool nat_mirror_mtu_fn(void *ctx, const struct mirror_ends *e, uint16_t mtu[2]);

/* Shows sessions of these classes (1 << enum nat_class: TCP, UDP, ICMP) from now on. `m` is borrowed. False: out of
 * memory. */
bool nat_mirror_begin(struct nat *n, const struct flow_memory *m, uint32_t classes);
/* Ends it: takes everything over. `goes_on`: the flows stay published for the next natd, which takes over what they
 * carry until then (nat_mirror_adopt()); else none is. */
void nat_mirror_end(struct nat *n, bool goes_on);
bool nat_mirror_is_on(const struct nat *n);

/* Shows the sessions that wait to be shown. `all_sent`: every packet that nat_batch() has passed has been sent. `ask` is called
 * for each; NULL: the forwarder knows every MTU. */
void nat_mirror_show(struct nat *n, bool all_sent, nat_mirror_mtu_fn *ask, void *ctx);

/*
 * Packets that natd passes while the forwarder waits for them to be sent (flow.h, "Order"). The caller of nat_batch()
 * takes them behind each call, and reports them when it has sent them; with several threads each has a list of its
 * own.
 */
enum { MIRROR_SENDING = 64 };

struct mirror_sending {
	uint32_t n;
	struct {
		uint32_t value; /* for flow_sent() */
		uint16_t slot;
		uint8_t dir;
		bool is_counted; /* not TCP: waits for an empty queue too */
		bool is_older;	 /* than the last nat_mirror_read() */
	} at[MIRROR_SENDING];
};

/* Adds what the last nat_batch() or nat_step() has passed; what finds no room is forgotten, and the forwarder waits longer. */
void nat_mirror_take_sending(struct nat *n, struct mirror_sending *to);
/* All of them have been sent. `was_empty`: and the queue that they came from was found empty after the last nat_mirror_read().
 * Reports those of TCP, or all that are older than that; what is left stays in the list. */
void nat_mirror_sent(struct nat *n, struct mirror_sending *s, bool was_empty);
/* The queue is about to be read. */
void nat_mirror_read(struct mirror_sending *s);
/* The forwarder has left packets to natd without looking at their flows, and goes on now. */
void nat_mirror_join_all(struct nat *n);

/* Takes over the data in flows of another natd, for sessions that are in the table. No forwarder carries them any
 * more. */
void nat_mirror_adopt(struct nat *n, struct flow *flows);
/* Takes over the data of all flows now: 4 ns each. */
void nat_mirror_pull(struct nat *n);
/* Routes may have other MTUs: the sessions that are shown, from slot *from on (1 at first), at most `most` of them in `out`;
 * returns their number. *from is where to continue then; 0: these were the last. */
uint32_t nat_mirror_list(struct nat *n, uint32_t *from, struct mirror_ends *out, uint32_t most);
/* Sets the MTUs of one of them, as nat_mirror_mtu_fn gives them; nothing if it is no longer shown. */
void nat_mirror_set_mtu(struct nat *n, uint64_t id, const uint16_t mtu[2]);
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
