/* SPDX-License-Identifier: ISC */
/*
 * TCP as a NAT sees it: the state to which a segment leads, and whether the segment can be trusted (RFC 5382, 5961,
 * 7857 2; drawn in docs/tcp-states.md). Table-driven; touches only the (rw) fields of the given session, except seen_s
 * and the counters, which are the caller's.
 *
 * While a side's nibble of session.scale is 15, that side has not been heard: its end and window, and the other side's
 * ack, are meaningless (the opened side before its answer; both sides of a session restored without numbers). Of such a
 * side's segments only the position is used.
 */
#ifndef NATD_CORE_TCP_H
#define NATD_CORE_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/packet/packet.h"
#include "core/table/table.h"

enum tcp_effect {
	TCP_TRANSLATE = 1, /* send it on */
	TCP_REFRESH = 2,   /* it counts as activity: seen_s := now */
	TCP_ANSWERED = 4,  /* first trusted packet of the answering side; once in a session's life */
	TCP_REVIVED = 8,   /* data after an RST, and its ACK, brought the session back */
	TCP_LIBERAL = 16,  /* outside the tracked window: translated, but not trusted */
};

struct tcp_result {
	uint8_t effects;	/* enum tcp_effect bits */
	enum nat_reason reason; /* if TCP_TRANSLATE is not set */
};

/*
 * Checks one segment (whole or first fragment) of direction `dir` against session `s`, updates state and window. Never
 * trusts a SYN, FIN or RST at a position other than the sender's: a forged one never shortens a session's life.
 *  - RST: exact (at the sender's end or at the receiver's acknowledgement): SESSION_RESET; inside the
 *    window: translated, state and timer kept; outside: DROP_TCP_RST. The answer to a SYN is exact
 *    if it acknowledges that SYN. While the session opens, the opener's RSTs are never dropped.
 *  - FIN outside the window: DROP_TCP_WINDOW. Data or ACK outside the window: translated, not trusted,
 *    no refresh (TCP_LIBERAL).
 *  - SYN in ESTABLISHED: translated as RFC 5961 4 requires (the receiver sends a challenge ACK), state
 *    kept; only a SYN-ACK that acknowledges exactly this SYN opens the session again.
 *  - SYN in TIME_WAIT or RESET: the session opens again from that side.
 * Impossible flags: DROP_TCP_FLAGS. A segment that its sender cannot send in this state: DROP_TCP_STATE.
 */
struct tcp_result tcp_track(struct session *s, enum nat_dir dir, const struct pkt_view *v);

/*
 * Does a segment of direction `dir` that counts as activity (TCP_REFRESH), and led from state `before` to `after`, keep
 * its session alive? One from inside always does. One from outside does not, if it would keep alive a session that no
 * inside host has answered, or that its inside host has closed (RFC 7857 7): there only the first step of a state
 * change counts.
 */
static inline bool tcp_keeps_alive(enum nat_dir dir, enum session_state before, enum session_state after)
{
	const unsigned never = 1u << SESSION_SYN_IN | 1u << SESSION_TIME_WAIT;
	const unsigned once = 1u << SESSION_SYN_BOTH | 1u << SESSION_SYNACK_OUT | 1u << SESSION_FIN_OUT |
			      1u << SESSION_FIN_OUT_ACKED | 1u << SESSION_FIN_BOTH;

	if (dir == DIR_OUT || before == SESSION_ESTABLISHED)
		return true;
	if (before == SESSION_RESET)
		return after == SESSION_ESTABLISHED; /* it acknowledges data that inside has sent since */
	return !(never >> before & 1) && (after != before || !(once >> before & 1));
}

/* Sets state and window of a new session, for the segment that opens it: a SYN without ACK and RST. */
void tcp_open(struct session *s, enum nat_dir dir, const struct pkt_view *v);

/* May a host that sent in direction `dir` still act on an error that quotes `seq`? Yes from a window (at least
 * WINDOW_FLOOR) below the peer's last acknowledgement to the highest number sent: if the acknowledgement is lost
 * behind natd, the host still has the segment in flight and checks against its own SND.UNA (RFC 5508 REQ-4, RFC 5927
 * 4.1). While no SYN is acknowledged: exactly the numbers sent. A pending SYN's number counts as well. True for a
 * side that has not been heard. */
bool tcp_sequence_was_sent(const struct session *s, enum nat_dir dir, uint32_t seq);

/* May an RST end this session for the end that sends in direction `sender`? Not if it is over for that end, or its
 * numbers are unknown. */
bool tcp_can_reset(const struct session *s, enum nat_dir sender);

/* Established, with the numbers of both sides known, and no pending SYN: only SYN, FIN and RST need the state table. */
bool tcp_is_settled(const struct session *s);

/* Stores a window in bytes in one byte: rounded up, at most 12.5 % too large. Monotonic. */
uint8_t tcp_window_pack(uint32_t bytes);
uint32_t tcp_window_unpack(uint8_t packed);

/* Name of the state as conntrack prints it ("ESTABLISHED"); classes without states are up to the caller. Never NULL. */
const char *tcp_state_name(enum session_state st);

#endif
