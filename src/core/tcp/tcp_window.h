/* SPDX-License-Identifier: ISC */
/*
 * The numbers of a TCP session: the numbers that a segment may carry, seen from the middle. Only for tcp.c.
 *
 * Theory of operation
 *
 * For each direction d: end[d] is the highest sequence number sent plus one (SYN and FIN count), ack[d] the highest
 * acknowledgement sent, window[d] the largest window offered. Everything that the sender of direction d may send lies
 * around ack[!d], which its peer has acknowledged: at most a window above (the peer's right edge) and a window below (a
 * retransmission that crossed the acknowledgement). It may acknowledge at most end[!d]. Only segments that fit both
 * ways move the numbers, so a blind sender cannot move them away from the truth.
 *
 * Heard. A side is heard once its scale nibble is not 15: then end and window of that side, and ack of its peer, are
 * valid. Before, its window byte holds MARK_ bits about the session.
 *
 * A pending SYN. A SYN in a synchronised state is passed on but not accepted (RFC 5961 4). It may nevertheless open a
 * new connection if both hosts have forgotten the old one. So its end is stored in end[d], where it is recognisable:
 * end[d] is otherwise at most a window and a byte above ack[!d]. Only an answer that acknowledges exactly this SYN
 * makes it count; the next segment of that side that fits the old numbers removes it. Until then the right edge stands
 * in for end[d]. So a forged SYN costs nothing (except that a FIN may count as unacknowledged: FIN_BOTH instead of
 * TIME_WAIT, which time out alike).
 *
 * Invariants (both sides heard): ack[!d] <= end[d] <= ack[!d] + window[!d] + 1, or a SYN is pending in d; ack and
 * window only shrink by a SYN that opens, or by a segment that proves its position.
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

/* The length of a first fragment is unknown: the largest possible one is used. */
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

/* ---- checking; nothing changes ---- */

/* Is a SYN of direction d, not yet accepted, stored in end[d]? */
bool tcp_syn_pending(const struct session *s, enum nat_dir d);

/* Does the data lie in what the peer accepts or has recently accepted? Both sides heard. */
bool tcp_sequence_fits(const struct session *s, const struct segment *g);

/* ... and does it acknowledge nothing unsent, and nothing older than a window (RFC 5961 5.2)? */
bool tcp_segment_fits(const struct session *s, const struct segment *g);

/* While the session opens: does the ACK cover the peer's SYN, so that its sender has seen that? */
bool tcp_acks_syn(const struct session *s, const struct segment *g);

/* Does it acknowledge exactly the peer's pending SYN? */
bool tcp_answers_pending(const struct session *s, const struct segment *g);

/* Shift count of the window scale option, at most SCALE_MAX; -1 without one. Stays within the header. */
int tcp_window_scale(const struct pkt_view *v);

/* ---- learning ---- */

/* Takes the sender's position in sequence space, window and scale from its SYN. */
void tcp_learn_syn(struct session *s, const struct segment *g);

/* Moves the numbers by a segment that fits; both sides heard. */
void tcp_advance(struct session *s, const struct segment *g);

/* Data or ACK of a session whose numbers are unknown (not both sides heard): accepted as it is, unless it
 * contradicts known numbers; then false. */
bool tcp_learn_midstream(struct session *s, const struct segment *g);

#endif
