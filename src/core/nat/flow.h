/* SPDX-License-Identifier: ISC */
/*
 * A flow: what a forwarder beside natd (the tc programs, bpf/fast.bpf.h) needs of an established session to carry its
 * packets, and where it leaves what the session has to learn of them. Memory that natd and the forwarder share. Both
 * sides include this file, and a test that plays the forwarder; so it has fixed-width types, and no pointers.
 *
 * Addresses and ports are in host byte order. Arrays [2] go by enum nat_dir: 0 outbound, 1 inbound.
 *
 * Who writes what. natd writes everything before it publishes a flow in the index, and afterwards only `state`, the
 * TCP numbers, the way, `join`, and in `kind` the numbers of its MTUs. The forwarder adds to `carried`, which natd
 * takes out by exchanging it for 0; it raises the TCP numbers, as natd does, and both only ever raise them
 * (flow_raise()); it sets `seen`, `from` and `join`, and `state` to FLOW_STOPPED or JOINING. Each of these is one
 * aligned word.
 *
 * Order. Packets of a direction may be on their way through natd when the forwarder begins to carry it, or after it
 * has left one to natd. Those that come behind must not overtake them. So a direction is JOINING then: a packet is
 * carried if all that natd got before it has been sent, and goes to natd too otherwise. `join` says how far natd has
 * come. Of TCP it is the sequence number behind the last byte that was sent in this direction: a segment that begins
 * there, or before, overtakes no data, whatever queue the rest waits in. Of datagrams, which have no numbers, the
 * forwarder counts those that it leaves to natd (above), and natd writes the count that it had read (below) when its
 * queue was empty after that, and everything sent. Datagrams end this state when both halves agree. natd ends it in
 * any case after two passes over the flows, a second or more: by then only a queue that is never empty can hold such a
 * packet.
 *
 * A flow that is taken out keeps its place for FLOW_REST_S: whatever the forwarder was doing with it has ended by
 * then, and what it has counted and learned so late is taken over too. So a flow's addresses never change while the
 * forwarder can read them.
 */
#ifndef NATD_CORE_FLOW_H
#define NATD_CORE_FLOW_H

#include <stdbool.h>
#include <stdint.h>

enum {
	FLOW_SLOTS = 1 << 16, /* slot 0 is never used: in the index 0 is a free place */
	FLOW_BUCKETS = 1 << 14,
	FLOW_WAYS = 16,
	FLOW_REST_S = 1,    /* at least */
	FLOW_LAYOUT = 3,    /* of this file, in `seen` of slot 0: for a natd that finds the flows of another */
	FLOW_SLACK = 66000, /* WINDOW_FLOOR of tcp_window.h */
};

enum flow_state {
	FLOW_OUT,     /* not published */
	FLOW_LIVE,    /* the forwarder carries it */
	FLOW_STOPPED, /* the forwarder has seen a SYN, FIN or RST: the rest is natd's */
	FLOW_STATE = 3,
	/* beside FLOW_LIVE, shifted by the direction */
	FLOW_JOINING = 4,
	FLOW_AGED = 16, /* JOINING since an earlier pass */
};

/* `kind`. An MTU of a route that the forwarder does not find out by itself is an entry of a list (struct flow_memory), which is
 * known here by its number; 0: there is none. */
enum {
	FLOW_CLASS = 3, /* enum nat_class */
	FLOW_FROM_OUTSIDE = 4,
	FLOW_MTU_OUT_SHIFT = 3, /* three bits */
	FLOW_MTU_IN_SHIFT = 6,	/* two bits */
	FLOW_MTUS_OUT = 8,
	FLOW_MTUS_IN = 4,
	FLOW_MTUS = 8, /* a power of two: length of either list */
};

struct flow {
	uint32_t int_addr, rem_addr, ext_addr;
	uint16_t int_port, rem_port, ext_port; /* of ICMP the query's id inside, 0, the id outside */
	uint8_t kind;
	uint8_t scale;	/* as in struct session */
	uint32_t state; /* enum flow_state: flow_state_of() */
	uint32_t from;	/* the interface from which inside packets were found to be routed to natd; 0: none yet */
	uint32_t end[2], ack[2]; /* TCP, as in struct session */
	uint32_t window[2];	 /* in bytes */
	uint32_t join[2];	 /* while it is JOINING, how far natd has come */
	uint32_t seen;		 /* seconds of natd's clock: the last packet that refreshed it */
	uint64_t carried[2];	 /* not taken out yet: flow_carried() */
};
_Static_assert(sizeof(struct flow) == 80, "with its share of the index 96 bytes");

/* The tag of the hash above, the slot below; 0: free. */
struct flow_bucket {
	uint32_t entry[FLOW_WAYS];
};

/* The two keys of a flow: as its packets outbound show it, and inbound. */
struct flow_key {
	uint32_t local, remote; /* outbound the internal address, inbound the external one */
	uint16_t local_port, remote_port;
	uint8_t proto_class, dir;
};

static inline uint64_t flow_hash(const uint64_t secret[2], const struct flow_key *k)
{
	uint64_t h = ((uint64_t)k->local << 32 | k->remote) ^ secret[0];
	uint64_t ports = (uint64_t)k->local_port << 32 | (uint32_t)(k->remote_port << 8) |
			 (uint32_t)(k->proto_class << 1) | k->dir;

	h *= 0x9e3779b97f4a7c15ull;
	h ^= h >> 32;
	h = (h + (ports ^ secret[1])) * 0xd6e8feb86659fd93ull;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

static inline uint32_t flow_bucket_of(uint64_t hash)
{
	return (uint32_t)hash & (FLOW_BUCKETS - 1);
}

static inline uint32_t flow_entry(uint64_t hash, uint32_t slot)
{
	return (uint32_t)(hash >> 32) << 16 | slot;
}

static inline bool flow_matches(const struct flow *f, const struct flow_key *k)
{
	if (f->rem_addr != k->remote || f->rem_port != k->remote_port || (f->kind & FLOW_CLASS) != k->proto_class)
		return false;
	return k->dir == 0 ? f->int_addr == k->local && f->int_port == k->local_port
			   : f->ext_addr == k->local && f->ext_port == k->local_port;
}

/* The number of its MTU in that direction. */
static inline uint32_t flow_mtu_number(uint8_t kind, uint32_t dir)
{
	return dir == 0 ? kind >> FLOW_MTU_OUT_SHIFT & (FLOW_MTUS_OUT - 1) : kind >> FLOW_MTU_IN_SHIFT;
}

/* ---- its state ---- */

enum { FLOW_TRIES = 8 };

static inline uint32_t flow_word(const uint32_t *at)
{
	return *(const volatile uint32_t *)at;
}

static inline uint32_t flow_state_of(const struct flow *f)
{
	return flow_word(&f->state) & FLOW_STATE;
}

/* Changes the state of a live flow: `drop` and `add` are bits of it. If natd takes it out meanwhile, it stays out. */
static inline void flow_turn(struct flow *f, uint32_t drop, uint32_t add)
{
	for (int i = 0; i < FLOW_TRIES; i++) {
		uint32_t now = flow_word(&f->state), then = (now & ~drop) | add;

		if ((now & FLOW_STATE) != FLOW_LIVE || then == now ||
		    __sync_val_compare_and_swap(&f->state, now, then) == now)
			return;
	}
}

/* The forwarder carries no more of it. */
static inline void flow_stop(struct flow *f)
{
	flow_turn(f, UINT32_MAX, FLOW_STOPPED);
}

static inline bool flow_is_joining(const struct flow *f, uint32_t dir)
{
	return flow_word(&f->state) & (uint32_t)FLOW_JOINING << dir;
}

static inline bool flow_is_tcp(const struct flow *f)
{
	return (f->kind & FLOW_CLASS) == 0;
}

/* ---- TCP ---- */

struct flow_segment {
	uint32_t seq, end, ack; /* end: behind its data */
	uint32_t window;	/* as it stands in the header */
	uint8_t dir;
};

static inline int32_t flow_distance(uint32_t from, uint32_t to)
{
	return (int32_t)(to - from);
}

static inline int64_t flow_slack(uint32_t window)
{
	return window > FLOW_SLACK ? window : FLOW_SLACK;
}

/* tcp_syn_pending(), which no flow has when it is published. */
static inline bool flow_is_odd(uint32_t end, uint32_t peer_ack, uint32_t peer_window)
{
	return end - peer_ack > (uint64_t)peer_window + 1;
}

/*
 * Is this segment without SYN, FIN and RST one that tcp_track() would take as it is (act_ack(), both sides heard),
 * whatever rounding of windows it does? The rest is natd's to judge. The numbers are read once each, as the other side
 * may raise them.
 */
static inline bool flow_segment_fits(const struct flow *f, const struct flow_segment *g)
{
	uint32_t me = g->dir & 1, peer = !me;
	uint32_t my_end = flow_word(&f->end[me]), peer_end = flow_word(&f->end[peer]);
	uint32_t my_ack = flow_word(&f->ack[me]), peer_ack = flow_word(&f->ack[peer]);
	uint32_t my_window = flow_word(&f->window[me]), peer_window = flow_word(&f->window[peer]);
	int64_t edge = (int64_t)peer_window + (g->seq == g->end ? 1 : 0);
	int32_t step = flow_distance(my_ack, g->ack);

	if (flow_is_odd(my_end, peer_ack, peer_window) || flow_is_odd(peer_end, my_ack, my_window))
		return false;
	if (flow_distance(peer_ack, g->seq) > edge || flow_distance(peer_ack, g->end) < -flow_slack(peer_window))
		return false;
	if (flow_distance(peer_ack + peer_window + 1, g->end) > 0)
		return false; /* tcp_advance() would cut it */
	return step >= -flow_slack(my_window) && step <= flow_distance(my_ack, peer_end);
}

/* Raises *at to `to`, on the circle of sequence numbers. */
static inline void flow_raise(uint32_t *at, uint32_t to)
{
	for (int i = 0; i < FLOW_TRIES; i++) {
		uint32_t now = flow_word(at);

		if (flow_distance(now, to) <= 0 || __sync_val_compare_and_swap(at, now, to) == now)
			return;
	}
}

/* A window has no circle. */
static inline void flow_widen(uint32_t *at, uint32_t to)
{
	for (int i = 0; i < FLOW_TRIES; i++) {
		uint32_t now = flow_word(at);

		if (to <= now || __sync_val_compare_and_swap(at, now, to) == now)
			return;
	}
}

/* A segment that fits moves the numbers, as tcp_advance() does. Before the packet leaves: what it causes finds them moved. */
static inline void flow_advance(struct flow *f, const struct flow_segment *g)
{
	uint32_t me = g->dir & 1;

	flow_widen(&f->window[me], g->window << (f->scale >> 4 * me & 15));
	flow_raise(&f->end[me], g->end);
	flow_raise(&f->ack[me], g->ack);
	if (flow_is_joining(f, me))
		flow_raise(&f->join[me], g->end);
}

/* ---- order ---- */

enum { FLOW_COUNT_SHIFT = 16, FLOW_COUNT = 0xffff, FLOW_FAR = 1 << 30 };

/* What to write into `join` of a direction whose packets may be anywhere. `end`: TCP, as in the session. */
static inline uint32_t flow_join_unknown(bool is_tcp, uint32_t end)
{
	return is_tcp ? end - FLOW_FAR : FLOW_COUNT; /* the halves differ until natd writes */
}

/* The forwarder leaves a packet of this direction to natd, or has left some. */
static inline void flow_leave(struct flow *f, uint32_t dir)
{
	dir &= 1;
	if (flow_state_of(f) != FLOW_LIVE)
		return;
	if (!flow_is_tcp(f))
		__sync_fetch_and_add(&f->join[dir], UINT32_C(1) << FLOW_COUNT_SHIFT);
	if (flow_is_joining(f, dir))
		return;
	if (flow_is_tcp(f))
		*(volatile uint32_t *)&f->join[dir] = flow_word(&f->end[dir]);
	flow_turn(f, 0, (uint32_t)FLOW_JOINING << dir);
}

/* May the forwarder carry it: has all been sent that natd got before? `seq`: of TCP. */
static inline bool flow_is_next(struct flow *f, uint32_t dir, uint32_t seq)
{
	uint32_t join = flow_word(&f->join[dir & 1]);

	dir &= 1;
	if (!flow_is_joining(f, dir))
		return true;
	if (flow_is_tcp(f))
		return flow_distance(join, seq) <= 0;
	if (join >> FLOW_COUNT_SHIFT != (join & FLOW_COUNT))
		return false;
	flow_turn(f, ((uint32_t)FLOW_JOINING | FLOW_AGED) << dir, 0);
	return true;
}

/* natd has sent everything up to `value`: the end of a segment, or the forwarder's count. */
static inline void flow_sent(struct flow *f, uint32_t dir, uint32_t value)
{
	uint32_t *at = &f->join[dir & 1];

	if (flow_is_tcp(f)) {
		flow_raise(at, value);
		return;
	}
	for (int i = 0; i < FLOW_TRIES; i++) {
		uint32_t now = flow_word(at), then = (now & ~(uint32_t)FLOW_COUNT) | (value & FLOW_COUNT);

		if (__sync_val_compare_and_swap(at, now, then) == now)
			return;
	}
}

/* natd passes by: a direction that was JOINING the last time is so no more. */
static inline void flow_age(struct flow *f)
{
	uint32_t joining = flow_word(&f->state) & 3u * FLOW_JOINING, aged = flow_word(&f->state) & 3u * FLOW_AGED;
	uint32_t over = aged / FLOW_AGED * FLOW_JOINING & joining;

	if (joining != 0)
		flow_turn(f, over | aged, (joining & ~over) / FLOW_JOINING * FLOW_AGED);
}

/* ---- every class ---- */

static inline bool flow_is_refreshed(const struct flow *f, uint32_t dir)
{
	return flow_is_tcp(f) || dir == 0 || !(f->kind & FLOW_FROM_OUTSIDE);
}

/*
 * Packets and bytes in one word, so that they move together: bytes below, packets above; a super-packet counts as its
 * segments. natd takes them out each second, and the forwarder stops ten seconds after natd's last beat: there is room
 * for ten seconds of one direction of one session with 13 million packets and 110 Gbit/s.
 */
enum { FLOW_BYTE_BITS = 37 };

static inline uint64_t flow_carried(uint32_t packets, uint32_t bytes)
{
	return (uint64_t)packets << FLOW_BYTE_BITS | bytes;
}

static inline uint32_t flow_packets(uint64_t carried)
{
	return (uint32_t)(carried >> FLOW_BYTE_BITS);
}

static inline uint64_t flow_bytes(uint64_t carried)
{
	return carried & ((UINT64_C(1) << FLOW_BYTE_BITS) - 1);
}

static inline void flow_count(struct flow *f, uint32_t dir, uint32_t packets, uint32_t bytes, uint32_t now_s)
{
	if (flow_is_refreshed(f, dir))
		*(volatile uint32_t *)&f->seen = now_s;
	__sync_fetch_and_add(&f->carried[dir & 1], flow_carried(packets, bytes));
}

#endif
