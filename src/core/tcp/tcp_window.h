/* SPDX-License-Identifier: ISC */
/*
 * The numbers of a TCP session: what a segment may carry, seen from the middle. For tcp.c alone.
 *
 * Theory of operation
 *
 * For each direction d: end[d] is the highest sequence number sent plus one (SYN and FIN count), ack[d] the
 * highest acknowledgement sent, window[d] the largest window offered. Everything that the sender of
 * direction d may send lies around ack[!d], what its peer has acknowledged: at most a window above
 * (the peer's right edge) and a window below (a retransmission that crossed the acknowledgement).
 * What it may acknowledge ends at end[!d]. Only segments that fit both ways move the numbers, so that a
 * blind sender cannot walk them away from the truth.
 *
 * Heard. A side is heard once its scale nibble is not 15: then end and window of that side, and ack of its
 * peer, hold. While it is not, its window byte holds MARK_ bits about the session.
 *
 * A pending SYN. A SYN in a synchronised state is passed on but not accepted (RFC 5961 4). Where it may
 * nevertheless open a new connection (both hosts forgot the old one), its end is put into end[d], which it
 * leaves recognisable: end[d] is otherwise at most a window and a byte above ack[!d]. Only an answer that
 * acknowledges exactly this SYN makes it count; the next segment of that side that fits the old numbers
 * wipes it out. Until then the right edge stands in for end[d]. So a forged SYN costs nothing (but that
 * a FIN may pass for unacknowledged: FIN_BOTH instead of TIME_WAIT, which time out alike).
 *
 * Invariants (both sides heard): ack[!d] <= end[d] <= ack[!d] + window[!d] + 1, or a SYN is pending in d;
 * ack and window never shrink but by a SYN that opens, or a segment that proves its place.
 */
#ifndef NATD_CORE_TCP_WINDOW_H
#define NATD_CORE_TCP_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/packet/packet.h"
#include "core/table/table.h"

enum {
	SCALE_UNKNOWN = 15,  /* this side has not been heard */
	SCALE_MAX = 14,	     /* RFC 7323 2.3 */
	MARK_SCALES = 1,     /* the SYN of the other side carries a window scale */
	MARK_ANSWERED = 2,   /* this side was heard in an earlier life of the session */
	WINDOW_FLOOR = 66000 /* slack below, as if the window were at least that: 64 KiB and a segment */
};

struct segment {
	const struct pkt_view *v;
	uint32_t seq;
	uint32_t end; /* after data, SYN and FIN */
	uint32_t ack;
	enum nat_dir me;   /* its sender */
	enum nat_dir peer; /* its receiver */
};

/* Of a first fragment the length is not known: taken as the most that it can be. */
struct segment tcp_segment_of(enum nat_dir dir, const struct pkt_view *v);

/* How far `to` lies after `from` on the circle of sequence numbers; negative: before. */
static inline int32_t distance(uint32_t from, uint32_t to)
{
	return (int32_t)(to - from);
}

static inline unsigned scale_of(const struct session *s, enum nat_dir d)
{
	return (unsigned)(s->scale >> (4 * d)) & 15;
}

void tcp_set_scale(struct session *s, enum nat_dir d, unsigned scale);

static inline bool heard(const struct session *s, enum nat_dir d)
{
	return scale_of(s, d) != SCALE_UNKNOWN;
}

static inline bool both_heard(const struct session *s)
{
	return heard(s, DIR_OUT) && heard(s, DIR_IN);
}

static inline void forget_both(struct session *s)
{
	s->scale = SCALE_UNKNOWN << 4 | SCALE_UNKNOWN;
}

/* ---- judging; nothing changes ---- */

/* A SYN of direction d, unbelieved so far, stands in end[d]. */
bool tcp_syn_pending(const struct session *s, enum nat_dir d);

/* The data lies in what the peer accepts or has lately accepted. Both sides heard. */
bool tcp_sequence_fits(const struct session *s, const struct segment *g);

/* ... and it acknowledges nothing unsent, and nothing older than a window (RFC 5961 5.2). */
bool tcp_segment_fits(const struct session *s, const struct segment *g);

/* While the session opens: the ACK covers the peer's SYN, so its sender has seen that. */
bool tcp_acks_syn(const struct session *s, const struct segment *g);

/* It acknowledges the peer's pending SYN, and that alone. */
bool tcp_answers_pending(const struct session *s, const struct segment *g);

/* Shift count of the window scale option, at most SCALE_MAX; -1 without one. Stays within the header. */
int tcp_window_scale(const struct pkt_view *v);

/* ---- learning ---- */

/* Takes the sender's place in sequence space, window and scale from its SYN. */
void tcp_learn_syn(struct session *s, const struct segment *g);

/* A segment that fits moves the numbers; both sides heard. */
void tcp_advance(struct session *s, const struct segment *g);

/* Data or ACK of a session whose numbers are not known (not both sides heard): taken as it is, unless it
 * contradicts what is known; then false. */
bool tcp_learn_midstream(struct session *s, const struct segment *g);

#endif
