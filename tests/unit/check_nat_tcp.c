/* SPDX-License-Identifier: ISC */
/*
 * Whole TCP conversations through the core (RFC 5382, 5961, 7857 2), as lists of moves: sender and segment, the next
 * state, the pause after it. Each list is played four times: opened from inside, and from outside by way of a
 * forward; with small numbers, and with numbers that wrap. After each move the timeout must be that of the state, by a
 * table of its own.
 *
 * Names tell where a scenario comes from: vpp (test_nat44_ed.py), packetdrill (the kernel's selftests), pf_state
 * (OpenBSD's regress), pf (FreeBSD's), jool (its graybox group "so"), redan (NDSS 2025).
 */
#include <check.h>
#include <string.h>

#include "natlab.h"
#include "unit.h"

enum { SPORT = 5000, WEB_PORT = 80, WEB_INSIDE = 8080, WINDOW = 1000 };

enum who { OPENER, ANSWERER };

struct move {
	uint8_t who; /* enum who */
	uint8_t flags;
	uint32_t seq, ack; /* relative to the initial numbers: a SYN has 0 */
	uint32_t len;
	uint32_t wait_s;	  /* flags 0: nothing happens for so long */
	enum session_state state; /* afterwards, as if opened from inside; SESSION_FREE: no session */
	enum nat_reason drop;	  /* NAT_PASS: it goes through, translated */
};

#define O(f, s, a, l, st)                                                             \
	{                                                                             \
		OPENER, f, (uint32_t)(s), (uint32_t)(a), l, 0, SESSION_##st, NAT_PASS \
	}
#define P(f, s, a, l, st)                                                               \
	{                                                                               \
		ANSWERER, f, (uint32_t)(s), (uint32_t)(a), l, 0, SESSION_##st, NAT_PASS \
	}
#define O_DROP(f, s, a, l, st, why)                                                     \
	{                                                                               \
		OPENER, f, (uint32_t)(s), (uint32_t)(a), l, 0, SESSION_##st, DROP_##why \
	}
#define P_DROP(f, s, a, l, st, why)                                                       \
	{                                                                                 \
		ANSWERER, f, (uint32_t)(s), (uint32_t)(a), l, 0, SESSION_##st, DROP_##why \
	}
#define WAIT(seconds, st)                                  \
	{                                                  \
		.wait_s = (seconds), .state = SESSION_##st \
	}
#define HANDSHAKE O(S, 0, 0, 0, SYN_OUT), P(SA, 0, 1, 0, SYNACK_IN), O(A, 1, 1, 0, ESTABLISHED)
#define CLOSED                                                                                      \
	HANDSHAKE, O(FA, 1, 1, 0, FIN_OUT), P(A, 1, 2, 0, FIN_OUT_ACKED), P(FA, 1, 2, 0, FIN_BOTH), \
		O(A, 2, 2, 0, TIME_WAIT)

enum flags {
	S = TCP_SYN,
	SA = TCP_SYN | TCP_ACK,
	A = TCP_ACK,
	PA = TCP_PSH | TCP_ACK,
	UA = TCP_URG | TCP_ACK,
	FA = TCP_FIN | TCP_ACK,
	R = TCP_RST,
	RA = TCP_RST | TCP_ACK,
};

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
	lab->forwards[0] = (struct nat_forward){.name = "web",
						.protocols = 1 << CLASS_TCP,
						.ports = {WEB_PORT, WEB_PORT},
						.to = LAB_WEB,
						.to_port = WEB_INSIDE};
	lab->policy.n_forwards = 1;
}

static void teardown(void)
{
	lab_free(lab);
}

/* ---- playing ---- */

struct talk {
	uint32_t base[2]; /* initial sequence numbers of opener and answerer */
	bool from_outside;
	uint16_t ext; /* external port, when opened from inside */
};

static enum session_state swapped(enum session_state st)
{
	static const enum session_state pairs[][2] = {
		{SESSION_SYN_OUT, SESSION_SYN_IN},
		{SESSION_SYNACK_OUT, SESSION_SYNACK_IN},
		{SESSION_FIN_OUT, SESSION_FIN_IN},
		{SESSION_FIN_OUT_ACKED, SESSION_FIN_IN_ACKED},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (st == pairs[i][0])
			return pairs[i][1];
		if (st == pairs[i][1])
			return pairs[i][0];
	}
	return st;
}

static struct session *only_session(void)
{
	uint32_t cursor = 0;

	ck_assert_uint_le(lab_sessions(lab), 1);
	return table_next(nat_table(lab->nat), &cursor, UINT32_MAX);
}

enum timer { TIMER_OPENING = 1, TIMER_ESTABLISHED, TIMER_CLOSING };

/* RFC 5382 REQ-5, RFC 7857 2.1: until both have answered; from the second FIN, or an RST, on; and between. */
static enum timer timer_of(enum session_state st)
{
	switch (st) {
	case SESSION_FREE:
	case SESSION_SYN_OUT:
	case SESSION_SYN_IN:
	case SESSION_SYN_BOTH:
	case SESSION_SYNACK_OUT:
	case SESSION_SYNACK_IN:
		return TIMER_OPENING;
	case SESSION_ESTABLISHED:
	case SESSION_FIN_OUT:
	case SESSION_FIN_IN:
	case SESSION_FIN_OUT_ACKED:
	case SESSION_FIN_IN_ACKED:
		return TIMER_ESTABLISHED;
	case SESSION_FIN_BOTH:
	case SESSION_TIME_WAIT:
	case SESSION_RESET:
	case SESSION_STATE_COUNT:
		break;
	}
	return TIMER_CLOSING;
}

/* By default two of the three are alike: which one it is shows with others. */
static void expect_timer(const struct session *s, enum timer want)
{
	static const struct nat_timeouts apart = {
		.tcp_opening = TIMER_OPENING, .tcp_established = TIMER_ESTABLISHED, .tcp_closing = TIMER_CLOSING};
	static const uint32_t by_default[] = {[TIMER_OPENING] = 240, [TIMER_ESTABLISHED] = 7440, [TIMER_CLOSING] = 240};
	struct table *t = nat_table(lab->nat);

	ck_assert_uint_eq(table_session_timeout(t, s), by_default[want]);
	table_set_timeouts(t, &apart, lab->policy.timeouts.port_reuse);
	ck_assert_uint_eq(table_session_timeout(t, s), want);
	table_set_timeouts(t, &lab->policy.timeouts, lab->policy.timeouts.port_reuse);
}

static void expect_state(const struct talk *t, const struct move *m, size_t n)
{
	const struct session *s = only_session();
	enum session_state want = t->from_outside ? swapped(m->state) : m->state;

	if (s == NULL) {
		ck_assert_msg(want == SESSION_FREE, "move %zu: no session", n);
		return;
	}
	ck_assert_msg(session_state(s) == want, "move %zu (from outside %d): state %d, expected %d", n, t->from_outside,
		      session_state(s), want);
	expect_timer(s, timer_of(want));
}

static struct build segment(const struct talk *t, const struct move *m)
{
	bool outbound = (m->who == OPENER) != t->from_outside;
	struct build b = {.proto = 6, .flags = m->flags, .window = WINDOW, .payload_len = m->len, .df = true};

	b.seq = t->base[m->who] + m->seq;
	if (m->flags & TCP_ACK)
		b.ack = t->base[!m->who] + m->ack;
	b.src = outbound ? (t->from_outside ? LAB_WEB : LAB_A) : LAB_S1;
	b.dst = outbound ? LAB_S1 : LAB_EXT;
	if (t->from_outside) {
		b.sport = outbound ? WEB_INSIDE : SPORT;
		b.dport = outbound ? SPORT : WEB_PORT;
	} else {
		b.sport = outbound ? SPORT : WEB_PORT;
		b.dport = outbound ? WEB_PORT : t->ext;
	}
	return b;
}

/* It came out translated, and nothing but its addresses and ports has changed. */
static void expect_translated(struct talk *t, const struct move *m, const struct build *b)
{
	bool outbound = b->dst == LAB_S1;
	const struct lab_out *o = lab_one(lab, outbound ? NAT_TO_OUTSIDE : NAT_TO_INSIDE);

	if (outbound && !t->from_outside && (t->ext == 0 || (m->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN))
		t->ext = o->v.sport;
	if (outbound) {
		ck_assert_uint_eq(o->v.src, LAB_EXT);
		ck_assert_uint_eq(o->v.sport, t->from_outside ? WEB_PORT : t->ext);
	} else {
		ck_assert_uint_eq(o->v.dst, t->from_outside ? LAB_WEB : LAB_A);
		ck_assert_uint_eq(o->v.dport, t->from_outside ? WEB_INSIDE : SPORT);
	}
	ck_assert_uint_eq(o->len, lab->in_len);
	ck_assert_mem_eq(o->bytes + 24, lab->in + 24, 12);		 /* numbers, flags, window */
	ck_assert_mem_eq(o->bytes + 38, lab->in + 38, lab->in_len - 38); /* urgent pointer, payload */
}

static void play_move(struct talk *t, const struct move *m, size_t n)
{
	if (m->flags == 0) {
		lab_advance(lab, m->wait_s * 1000ull);
		ck_assert_msg(lab->n_out == 0, "move %zu: something was sent", n);
	} else {
		struct build b = segment(t, m);

		lab->in_len = build_packet(lab->in, &b);
		lab_send(lab, lab->in, lab->in_len);
		if (m->drop != NAT_PASS)
			lab_dropped(lab, m->drop);
		else
			expect_translated(t, m, &b);
	}
	expect_state(t, m, n);
}

static void play(const struct move *moves, size_t n, int variant)
{
	struct talk t = {.from_outside = variant & 1, .base = {1000, 5000}};

	if (variant & 2) {
		t.base[OPENER] = 0xffffffff;
		t.base[ANSWERER] = 0xffffff80;
	}
	lab_start(lab);
	for (size_t i = 0; i < n; i++)
		play_move(&t, &moves[i], i + 1);
}

#define SCENARIO(name, ...)                                        \
	START_TEST(name)                                           \
	{                                                          \
		static const struct move moves[] = {__VA_ARGS__};  \
                                                                   \
		play(moves, sizeof(moves) / sizeof(moves[0]), _i); \
	}                                                          \
	END_TEST

/* ---- valid sequences (RFC 5382 REQ-2) ---- */

SCENARIO(test_5382_2_whole_conversation, HANDSHAKE, O(PA, 1, 1, 100, ESTABLISHED), P(A, 1, 101, 0, ESTABLISHED),
	 P(PA, 1, 101, 500, ESTABLISHED), O(A, 101, 501, 0, ESTABLISHED), O(FA, 101, 501, 0, FIN_OUT),
	 P(A, 501, 102, 0, FIN_OUT_ACKED), P(FA, 501, 102, 0, FIN_BOTH), O(A, 102, 502, 0, TIME_WAIT),
	 P(FA, 501, 102, 0, TIME_WAIT), O(A, 102, 502, 0, TIME_WAIT))

SCENARIO(test_5382_2_syn_retransmitted, O(S, 0, 0, 0, SYN_OUT), WAIT(1, SYN_OUT), O(S, 0, 0, 0, SYN_OUT),
	 WAIT(3, SYN_OUT), O(S, 0, 0, 0, SYN_OUT), P(SA, 0, 1, 0, SYNACK_IN), O(A, 1, 1, 0, ESTABLISHED))

/* VPP tcp_session_open_retransmit1: the ACK is lost, the SYN-ACK comes again; the session must still reach the long
 * timer. */
SCENARIO(test_vpp_tcp_session_open_retransmit1_5382_2, O(S, 0, 0, 0, SYN_OUT), P(SA, 0, 1, 0, SYNACK_IN),
	 P(SA, 0, 1, 0, SYNACK_IN), O(A, 1, 1, 0, ESTABLISHED), P(SA, 0, 1, 0, ESTABLISHED), O(A, 1, 1, 0, ESTABLISHED),
	 WAIT(241, ESTABLISHED), P(PA, 1, 1, 100, ESTABLISHED), O(PA, 1, 101, 100, ESTABLISHED))

/* VPP tcp_session_open_retransmit2: the same, with data before it. */
SCENARIO(test_vpp_tcp_session_open_retransmit2_5382_2, HANDSHAKE, O(PA, 1, 1, 100, ESTABLISHED),
	 P(SA, 0, 1, 0, ESTABLISHED), O(PA, 1, 1, 100, ESTABLISHED), WAIT(7440, ESTABLISHED),
	 P(A, 1, 101, 0, ESTABLISHED))

SCENARIO(test_5382_2_data_in_the_syn, O(S, 0, 0, 300, SYN_OUT), P(SA, 0, 301, 0, SYNACK_IN),
	 P(PA, 1, 301, 100, SYNACK_IN), O(A, 301, 101, 0, ESTABLISHED))

SCENARIO(test_5382_2_half_close_then_data, HANDSHAKE, O(FA, 1, 1, 0, FIN_OUT), P(A, 1, 2, 0, FIN_OUT_ACKED),
	 P(PA, 1, 2, 800, FIN_OUT_ACKED), O(A, 2, 801, 0, FIN_OUT_ACKED), WAIT(7440, FIN_OUT_ACKED),
	 P(PA, 801, 2, 800, FIN_OUT_ACKED), O(A, 2, 1601, 0, FIN_OUT_ACKED), P(FA, 1601, 2, 0, FIN_BOTH),
	 O(A, 2, 1602, 0, TIME_WAIT))

SCENARIO(test_5382_2_keep_alive_zero_window_probe_urgent, HANDSHAKE, O(PA, 1, 1, 1000, ESTABLISHED),
	 P(A, 1, 1001, 0, ESTABLISHED), WAIT(7200, ESTABLISHED), O(A, 1000, 1, 0, ESTABLISHED),
	 P(A, 1, 1001, 0, ESTABLISHED), WAIT(7200, ESTABLISHED), O(A, 1000, 1, 1, ESTABLISHED),
	 P(A, 1, 1001, 0, ESTABLISHED), O(UA, 1001, 1, 1, ESTABLISHED), P(A, 1, 1002, 0, ESTABLISHED))

SCENARIO(test_5382_2_out_of_order_and_again, HANDSHAKE, O(PA, 501, 1, 100, ESTABLISHED), P(A, 1, 1, 0, ESTABLISHED),
	 O(PA, 1, 1, 500, ESTABLISHED), P(A, 1, 601, 0, ESTABLISHED), O(PA, 1, 1, 500, ESTABLISHED),
	 P(A, 1, 601, 0, ESTABLISHED))

/* ---- closing: VPP tcp_close, tcp_session_close_in / _out / _simultaneous ---- */

SCENARIO(test_vpp_tcp_session_close_by_the_opener, CLOSED, WAIT(240, TIME_WAIT), P(A, 2, 2, 0, TIME_WAIT),
	 WAIT(1, FREE), O_DROP(A, 2, 2, 0, FREE, TCP_NO_SESSION))

SCENARIO(test_vpp_tcp_session_close_by_the_answerer, HANDSHAKE, P(FA, 1, 1, 0, FIN_IN), O(A, 1, 2, 0, FIN_IN_ACKED),
	 O(FA, 1, 2, 0, FIN_BOTH), P(A, 2, 2, 0, TIME_WAIT), WAIT(240, TIME_WAIT), WAIT(1, FREE),
	 P_DROP(PA, 2, 2, 10, FREE, TCP_NO_SESSION))

SCENARIO(test_vpp_tcp_session_close_simultaneous, HANDSHAKE, O(FA, 1, 1, 0, FIN_OUT), P(FA, 1, 1, 0, FIN_BOTH),
	 O(A, 2, 2, 0, FIN_BOTH), P(A, 2, 2, 0, TIME_WAIT), WAIT(240, TIME_WAIT), WAIT(1, FREE))

/* The last ACK is lost: the FIN comes again as long as it likes, and a late ACK passes. */
SCENARIO(test_vpp_tcp_close_late_ack_passes, HANDSHAKE, O(FA, 1, 1, 0, FIN_OUT), P(FA, 1, 2, 0, FIN_BOTH),
	 WAIT(200, FIN_BOTH), P(FA, 1, 2, 0, FIN_BOTH), O(A, 2, 2, 0, TIME_WAIT), WAIT(100, TIME_WAIT),
	 O(A, 2, 2, 0, TIME_WAIT))

/* ---- opening again: VPP tcp_session_reopen, tcp_session_half_reopen_inside / _outside ---- */

SCENARIO(test_vpp_tcp_session_reopen_5382_2, CLOSED, WAIT(30, TIME_WAIT), O(S, 90000, 0, 0, SYN_OUT),
	 P(SA, 70000, 90001, 0, SYNACK_IN), O(A, 90001, 70001, 0, ESTABLISHED), WAIT(7440, ESTABLISHED),
	 O(PA, 90001, 70001, 10, ESTABLISHED))

/* Both FINs were seen; a SYN of one side alone brings back no established session. */
SCENARIO(test_vpp_tcp_session_half_reopen_by_the_opener, CLOSED, O(S, 90000, 0, 0, SYN_OUT), O(A, 90001, 1, 0, SYN_OUT),
	 P(A, 2, 2, 0, SYN_OUT), WAIT(241, FREE))

SCENARIO(test_vpp_tcp_session_half_reopen_by_the_answerer, CLOSED, P(S, 90000, 0, 0, SYN_IN), O(A, 2, 2, 0, SYN_IN),
	 WAIT(241, FREE))

SCENARIO(test_vpp_tcp_session_reopen_from_both_sides, CLOSED, O(S, 90000, 0, 0, SYN_OUT), P(S, 80000, 0, 0, SYN_BOTH),
	 O(SA, 90000, 80001, 0, SYNACK_OUT), P(SA, 80000, 90001, 0, ESTABLISHED), WAIT(7440, ESTABLISHED))

/* ---- simultaneous open (RFC 5382 REQ-2a), both orders of the SYN-ACKs ---- */

SCENARIO(test_5382_2a_simultaneous_open, O(S, 0, 0, 0, SYN_OUT), P(S, 0, 0, 0, SYN_BOTH), P(SA, 0, 1, 0, SYNACK_IN),
	 O(SA, 0, 1, 0, ESTABLISHED), O(PA, 1, 1, 10, ESTABLISHED), P(A, 1, 11, 0, ESTABLISHED))

SCENARIO(test_5382_2a_simultaneous_open_other_order, O(S, 0, 0, 0, SYN_OUT), P(S, 0, 0, 0, SYN_BOTH),
	 O(SA, 0, 1, 0, SYNACK_OUT), P(SA, 0, 1, 0, ESTABLISHED), P(PA, 1, 1, 10, ESTABLISHED),
	 O(A, 1, 11, 0, ESTABLISHED))

/* ---- timers at their defaults (RFC 5382 REQ-5, RFC 7857 2.1), to the second ---- */

SCENARIO(test_5382_5_7857_2_1_opening_four_minutes, O(S, 0, 0, 0, SYN_OUT), WAIT(240, SYN_OUT),
	 P(SA, 0, 1, 0, SYNACK_IN), WAIT(240, SYNACK_IN), O(A, 1, 1, 0, ESTABLISHED))

SCENARIO(test_5382_5_7857_2_1_opening_ends, O(S, 0, 0, 0, SYN_OUT), WAIT(241, FREE))

SCENARIO(test_5382_5_7857_2_1_opening_ends_unless_acknowledged, O(S, 0, 0, 0, SYN_OUT), P(SA, 0, 1, 0, SYNACK_IN),
	 WAIT(241, FREE), O_DROP(A, 1, 1, 0, FREE, TCP_NO_SESSION))

SCENARIO(test_5382_5_established_two_hours_four_minutes, HANDSHAKE, WAIT(7440, ESTABLISHED),
	 P(PA, 1, 1, 10, ESTABLISHED), WAIT(7440, ESTABLISHED), O(A, 1, 11, 0, ESTABLISHED), WAIT(7441, FREE))

SCENARIO(test_5382_5_7857_2_1_closing_begins_with_the_second_fin, HANDSHAKE, P(FA, 1, 1, 0, FIN_IN), WAIT(7440, FIN_IN),
	 O(FA, 1, 2, 0, FIN_BOTH), WAIT(240, FIN_BOTH), P(A, 2, 2, 0, TIME_WAIT), WAIT(240, TIME_WAIT), WAIT(1, FREE))

/* ---- RST (RFC 7857 2.2, RFC 5961 3) ---- */

SCENARIO(test_7857_2_2_rst_lingers_four_minutes, HANDSHAKE, P(R, 1, 0, 0, RESET), WAIT(240, RESET), WAIT(1, FREE))

SCENARIO(test_7857_2_2_data_revives_after_rst, HANDSHAKE, P(R, 1, 0, 0, RESET), WAIT(240, RESET),
	 O(PA, 1, 1, 10, RESET), P(A, 1, 11, 0, ESTABLISHED), WAIT(7440, ESTABLISHED), P(A, 1, 11, 0, ESTABLISHED))

SCENARIO(test_7857_2_2_data_of_the_sender_of_the_rst_revives_too, HANDSHAKE, O(RA, 1, 1, 0, RESET), WAIT(100, RESET),
	 O(PA, 1, 1, 10, RESET), P(A, 1, 11, 0, ESTABLISHED))

SCENARIO(test_7857_2_2_a_bare_ack_revives_nothing, HANDSHAKE, P(R, 1, 0, 0, RESET), WAIT(200, RESET),
	 O(A, 1, 1, 0, RESET), WAIT(41, FREE))

/* VPP session_rst_timeout: after the time is up data is dropped, a SYN opens. */
SCENARIO(test_vpp_session_rst_timeout_7857_2_2, HANDSHAKE, O(PA, 1, 1, 10, ESTABLISHED), P(RA, 1, 11, 0, RESET),
	 WAIT(241, FREE), O_DROP(PA, 11, 1, 10, FREE, TCP_NO_SESSION), O(S, 9000, 0, 0, SYN_OUT),
	 P(SA, 9000, 9001, 0, SYNACK_IN))

/* VPP session_rst_established_timeout: RST long after the last packet; data within four minutes goes on. */
SCENARIO(test_vpp_session_rst_established_timeout_7857_2_2, HANDSHAKE, WAIT(7000, ESTABLISHED), P(R, 1, 0, 0, RESET),
	 WAIT(239, RESET), O(PA, 1, 1, 10, RESET), P(PA, 1, 11, 10, ESTABLISHED), WAIT(7440, ESTABLISHED),
	 WAIT(1, FREE))

SCENARIO(test_5961_3_refused_connection, O(S, 0, 0, 0, SYN_OUT), P_DROP(RA, 0, 7, 0, SYN_OUT, TCP_RST),
	 P_DROP(R, 1, 0, 0, SYN_OUT, TCP_RST), P(RA, 0, 1, 0, RESET), WAIT(240, RESET), WAIT(1, FREE))

/* ReDAN, FreeBSD pf tcp.sh: guessed RSTs. Outside the window: dropped; inside: passed on, without effect on the
 * state. */
SCENARIO(test_redan_pf_tcp_forged_rst_5961_3, HANDSHAKE, O(PA, 1, 1, 100, ESTABLISHED), P(A, 1, 101, 0, ESTABLISHED),
	 P_DROP(R, 100000, 0, 0, ESTABLISHED, TCP_RST), P_DROP(R, -100000, 0, 0, ESTABLISHED, TCP_RST),
	 P_DROP(RA, 0x80000000, 101, 0, ESTABLISHED, TCP_RST), P(R, 500, 0, 0, ESTABLISHED), WAIT(7440, ESTABLISHED),
	 O(PA, 101, 1, 10, ESTABLISHED))

/* ---- the kernel's packetdrill six (nf_conntrack_packetdrill.sh) ---- */

SCENARIO(test_packetdrill_inexact_rst_5961_3, HANDSHAKE, O(PA, 1, 1, 100, ESTABLISHED), P(A, 1, 101, 0, ESTABLISHED),
	 P(R, 2, 0, 0, ESTABLISHED), O(A, 101, 1, 0, ESTABLISHED), P(R, 1, 0, 0, RESET))

SCENARIO(test_packetdrill_rst_invalid_5961_3, HANDSHAKE, P_DROP(R, 70000, 0, 0, ESTABLISHED, TCP_RST),
	 P_DROP(RA, -70000, 1, 0, ESTABLISHED, TCP_RST), P(R, 10, 0, 0, ESTABLISHED), P(RA, 999, 1, 0, ESTABLISHED),
	 O(PA, 1, 1, 10, ESTABLISHED), P(R, 1, 0, 0, RESET))

SCENARIO(test_packetdrill_syn_challenge_ack_5961_4, HANDSHAKE, O(S, 50000, 0, 0, ESTABLISHED),
	 P(A, 1, 1, 0, ESTABLISHED), O(R, 1, 0, 0, RESET), O(S, 50000, 0, 0, SYN_OUT),
	 P(SA, 80000, 50001, 0, SYNACK_IN), O(A, 50001, 80001, 0, ESTABLISHED))

SCENARIO(test_packetdrill_synack_old_5961_4, O(S, 0, 0, 0, SYN_OUT), P(SA, 7000, 400000, 0, SYN_OUT),
	 O(R, 400000, 0, 0, SYN_OUT), O(S, 0, 0, 0, SYN_OUT), P(SA, 0, 1, 0, SYNACK_IN), O(A, 1, 1, 0, ESTABLISHED))

SCENARIO(test_packetdrill_synack_reuse, CLOSED, O(S, 40000, 0, 0, SYN_OUT), P(A, 2, 2, 0, SYN_OUT),
	 O(S, 40000, 0, 0, SYN_OUT), P(SA, 60000, 40001, 0, SYNACK_IN), O(A, 40001, 60001, 0, ESTABLISHED))

SCENARIO(test_packetdrill_ack_loss_stall, HANDSHAKE, O(PA, 1, 1, 1000, ESTABLISHED), P(A, 1, 1001, 0, ESTABLISHED),
	 O(PA, 1001, 1, 1000, ESTABLISHED), P(A, 1, 2001, 0, ESTABLISHED), O(PA, 1001, 1, 1000, ESTABLISHED),
	 P(A, 1, 2001, 0, ESTABLISHED))

/* ---- OpenBSD's pf_state six ---- */

SCENARIO(test_pf_state_challenge_ack_5961_4, HANDSHAKE, P(S, 60000, 0, 0, ESTABLISHED), O(A, 1, 1, 0, ESTABLISHED),
	 P(R, 1, 0, 0, RESET))

SCENARIO(test_pf_state_beforegap_rst_5961_3, HANDSHAKE, O(PA, 101, 1, 100, ESTABLISHED), P(A, 1, 1, 0, ESTABLISHED),
	 O(R, 1, 0, 0, RESET))

SCENARIO(test_pf_state_fakeack_rst_5961_3, HANDSHAKE, O(A, 1, 500000, 0, ESTABLISHED),
	 P_DROP(R, 500000, 0, 0, ESTABLISHED, TCP_RST), O(PA, 1, 1, 10, ESTABLISHED))

SCENARIO(test_pf_state_lessseq_fin, HANDSHAKE, O(PA, 1, 1, 100, ESTABLISHED), P(A, 1, 101, 0, ESTABLISHED),
	 O_DROP(FA, -70000, 1, 0, ESTABLISHED, TCP_WINDOW), O(FA, 101, 1, 0, FIN_OUT))

SCENARIO(test_pf_state_negack_fin, HANDSHAKE, O_DROP(FA, 1, -70000, 0, ESTABLISHED, TCP_WINDOW),
	 O(FA, 1, 1, 0, FIN_OUT))

SCENARIO(test_pf_state_posack_fin, HANDSHAKE, O_DROP(FA, 1, 70000, 0, ESTABLISHED, TCP_WINDOW), O(FA, 1, 1, 0, FIN_OUT))

/* ---- what cannot be ---- */

/* RELIABILITY C2-3 iii: an answer that acknowledges another SYN opens nothing; nor does its sender's own. */
SCENARIO(test_synack_of_the_opener_is_impossible, O(S, 0, 0, 0, SYN_OUT), O_DROP(SA, 0, 1, 0, SYN_OUT, TCP_STATE),
	 P(SA, 0, 9, 0, SYN_OUT), P(SA, 0, 1, 0, SYNACK_IN))

SCENARIO(test_stray_segments_make_no_session, O_DROP(A, 1, 1, 0, FREE, TCP_NO_SESSION),
	 O_DROP(FA, 1, 1, 0, FREE, TCP_NO_SESSION), O_DROP(R, 1, 1, 0, FREE, TCP_NO_SESSION),
	 O_DROP(SA, 1, 1, 0, FREE, TCP_NO_SESSION), O_DROP(PA, 1, 1, 900, FREE, TCP_NO_SESSION))

/* Sixty-four thousand guesses (RELIABILITY C2-3 i): none costs the session a second. */
START_TEST(test_redan_64k_guessed_rsts_shorten_nothing)
{
	uint64_t dropped = 0;

	lab->skip_check = true;
	lab_start(lab);
	uint16_t e = lab_tcp_established(lab, LAB_A, SPORT, LAB_S1, WEB_PORT);

	for (uint32_t i = 0; i < 65536; i++) {
		uint32_t seq = 5001 + 65536 * i; /* all around the circle, in steps of a window */

		if (seq == 5001)
			continue;
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = WEB_PORT, .dport = e,
			 .flags = TCP_RST, .seq = seq);
		dropped += lab_delta(lab, DROP_TCP_RST);
	}
	ck_assert_uint_ge(dropped, 65530);
	ck_assert_int_eq(session_state(only_session()), SESSION_ESTABLISHED);
	lab_advance(lab, 7440000);
	ck_assert_uint_eq(lab_sessions(lab), 1);
}
END_TEST

/* Options that natd does not know pass as they are: MD5 (RFC 2385), AO (RFC 5925), fast open (RFC 7413), SACK. */
START_TEST(test_5382_2_options_pass_untouched)
{
	static const uint8_t options[][20] = {
		{19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 1},
		{29, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1, 1, 1, 1},
		{34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6},
		{1, 1, 5, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	};

	lab_start(lab);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = SPORT, .dport = WEB_PORT, .flags = TCP_SYN,
		 .tcp_options = options[_i], .tcp_options_len = 20);
	ck_assert_mem_eq(lab_one(lab, NAT_TO_OUTSIDE)->bytes + 40, options[_i], 20);
}
END_TEST

/* ---- unsolicited SYNs (RFC 5382 REQ-4; Jool's group "so") ---- */

static void outside_syn(uint16_t dport)
{
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = WEB_PORT, .dport = dport, .flags = TCP_SYN,
		 .seq = 700, .window = 1000, .df = true);
}

/* Not before six seconds, not after 8.1; one, about that SYN. */
START_TEST(test_jool_so_answer_between_6_and_8_1_seconds_5382_4)
{
	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab_start(lab);
	outside_syn(4000);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	lab_advance(lab, 5999);
	ck_assert_uint_eq(lab->n_out, 0);
	lab_advance(lab, 2101);
	const struct lab_out *o = lab_one(lab, NAT_TO_OUTSIDE);

	ck_assert_uint_eq(o->v.src, LAB_EXT);
	ck_assert_uint_eq(o->v.dst, LAB_S1);
	ck_assert_uint_eq(o->v.icmp_type, 3);
	ck_assert_uint_eq(o->v.icmp_code, 3);
	ck_assert_mem_eq(o->bytes + 28, lab->in, lab->in_len);
	lab_advance(lab, 60000);
	ck_assert_uint_eq(lab->n_out, 0);
}
END_TEST

/* The inside host opens within six seconds: the outside SYN comes again and passes; the first gets no answer. */
START_TEST(test_jool_so_simultaneous_open_from_outside_5382_2a_4)
{
	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab_start(lab);
	uint16_t e = lab_syn_out(lab, LAB_A, SPORT, LAB_S2, WEB_PORT);

	outside_syn(e);
	lab_dropped(lab, DROP_FILTERED);
	lab_advance(lab, 3000);
	ck_assert_uint_eq(lab_syn_out(lab, LAB_A, SPORT, LAB_S1, WEB_PORT), e);
	outside_syn(e);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dport, SPORT);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = SPORT, .dport = WEB_PORT, .seq = 1000,
		 .ack = 701, .flags = TCP_SYN | TCP_ACK, .window = 1000);
	lab_one(lab, NAT_TO_OUTSIDE);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = WEB_PORT, .dport = e, .seq = 700, .ack = 1001,
		 .flags = TCP_SYN | TCP_ACK, .window = 1000);
	lab_one(lab, NAT_TO_INSIDE);
	lab_advance(lab, 30000);
	ck_assert_uint_eq(lab->n_out, 0);
	ck_assert_uint_eq(lab_sessions(lab), 2);
}
END_TEST

/* Fault 40: with the ring full, and wrapped round, each held SYN is still found: no second answer, none for a SYN that
 * the inside host has answered by its own. */
START_TEST(test_5382_4_fault_40_each_of_very_many_held_syns_is_found)
{
	enum { SYNS = 3000, HELD = 1024, OPENED_EVERY = 50 };
	const uint32_t first = BUILD_IP(192, 0, 8, 0);
	uint64_t answers = 0, opened = 0;

	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab->skip_check = true;
	lab_start(lab);
	uint16_t e = lab_syn_out(lab, LAB_A, SPORT, LAB_S2, WEB_PORT);

	for (uint32_t i = 0; i < 2 * SYNS; i++) { /* each again after a while: a retransmission */
		uint32_t from = i < SYNS ? i : SYNS - HELD + i % HELD;

		LAB_SEND(lab, .proto = 6, .src = first + from, .dst = LAB_EXT, .sport = WEB_PORT, .dport = e,
			 .flags = TCP_SYN, .seq = i, .window = 1000);
		lab_dropped(lab, DROP_FILTERED);
	}
	for (uint32_t i = 0; i < SYNS; i += OPENED_EVERY, opened += i >= SYNS - HELD && i < SYNS)
		ck_assert_uint_eq(lab_syn_out(lab, LAB_A, SPORT, first + i, WEB_PORT), e);
	for (unsigned i = 0; i < 10; i++) {
		lab_advance(lab, 1000);
		for (uint32_t k = 0; k < lab->n_out; k++)
			ck_assert_uint_ne((lab->out[k].v.dst - first) % OPENED_EVERY, 0);
		answers += lab_delta(lab, COUNT_ICMP_SENT) + lab_delta(lab, COUNT_ICMP_LIMITED);
	}
	ck_assert_uint_ge(opened, 20);
	ck_assert_uint_eq(answers, HELD - opened);
}
END_TEST

/* conntrack_tcp_unreplied: a forward loaded while the outside host still tries takes the next try, and the answer that
 * was due about the first is not sent any more. */
START_TEST(test_conntrack_tcp_unreplied_forward_takes_the_next_try_5382_4)
{
	lab->policy.unsolicited = UNSOLICITED_REJECT;
	lab->policy.n_forwards = 0;
	lab->pool_ports[0].first = 1;
	lab_start(lab);
	outside_syn(WEB_PORT);
	lab_dropped(lab, DROP_UNSOLICITED_SYN);
	lab_advance(lab, 1000);
	lab->policy.n_forwards = 1;
	lab_reload(lab);
	outside_syn(WEB_PORT);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_INSIDE)->v.dst, LAB_WEB);
	lab_advance(lab, 10000);
	ck_assert_uint_eq(lab->n_out, 0);
	ck_assert_uint_eq(lab_sessions(lab), 1);
}
END_TEST

/* The answer to a SYN that never was sent for, and to one that was: always the same, whatever came before (RFC 5382
 * 5). */
START_TEST(test_5382_4_stray_segments_are_treated_alike_always)
{
	static const uint8_t flags[] = {TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST, TCP_SYN | TCP_ACK};

	lab->policy.unsolicited = (enum nat_unsolicited)(_i & 1 ? UNSOLICITED_REJECT : UNSOLICITED_DROP);
	lab_start(lab);
	uint16_t e = lab_syn_out(lab, LAB_A, SPORT, LAB_S1, WEB_PORT);

	for (size_t i = 0; i < 4 * sizeof(flags); i++) {
		uint16_t port = i % 2 ? e : 4000;

		LAB_SEND(lab, .proto = 6, .src = LAB_S2, .dst = LAB_EXT, .sport = 99, .dport = port,
			 .flags = flags[i / 4], .ack = 1);
		lab_dropped(lab, DROP_TCP_NO_SESSION);
		lab_advance(lab, 9000);
		ck_assert_uint_eq(lab->n_out, 0);
	}
}
END_TEST

/* ---- fault 30: the outside address is lost ---- */

static void lose_the_address(void)
{
	lab->addresses[0].first = lab->addresses[0].last = LAB_EXT2;
	lab_reload(lab);
	ck_assert_uint_eq(lab->n_out, 0);
	lab_advance(lab, 1000);
}

/* The inside host learns it by an RST where it expects the next byte. */
START_TEST(test_fault_30_open_connection_is_reset_when_its_address_is_lost)
{
	lab_start(lab);
	uint16_t e = lab_tcp_established(lab, LAB_A, SPORT, LAB_S1, WEB_PORT);

	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = WEB_PORT, .dport = e, .flags = TCP_ACK,
		 .seq = 5001, .ack = 1001, .window = 1000, .payload_len = 500);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = SPORT, .dport = WEB_PORT, .flags = TCP_ACK,
		 .seq = 1001, .ack = 5301, .window = 1000, .payload_len = 7);
	lose_the_address();
	ck_assert_uint_eq(lab_delta(lab, COUNT_RESET_SENT), 1);
	ck_assert_uint_eq(lab->n_out, 1);
	const struct lab_out *o = &lab->out[0];

	ck_assert_int_eq(o->to, NAT_TO_INSIDE);
	ck_assert(o->v.src == LAB_S1 && o->v.dst == LAB_A && o->v.sport == WEB_PORT && o->v.dport == SPORT);
	ck_assert_uint_eq(o->v.tcp_flags, TCP_RST | TCP_ACK);
	ck_assert_uint_eq(o->v.tcp_seq, 5301); /* what A said last that it expects */
	ck_assert_uint_eq(o->v.tcp_ack, 1008);
	lab_advance(lab, 5000);
	ck_assert_uint_eq(lab->n_out, 0);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

START_TEST(test_fault_30_opening_connection_is_reset_by_the_ack_of_its_syn)
{
	lab_start(lab);
	lab_syn_out(lab, LAB_A, SPORT, LAB_S1, WEB_PORT);
	lose_the_address();
	ck_assert_uint_eq(lab->n_out, 1);
	ck_assert_uint_eq(lab->out[0].v.tcp_flags, TCP_RST | TCP_ACK);
	ck_assert_uint_eq(lab->out[0].v.tcp_ack, 1001);
}
END_TEST

/* One that is over, UDP, and what a reload ends for another reason get none. */
START_TEST(test_fault_30_only_open_connections_without_their_address)
{
	lab_start(lab);
	uint16_t e = lab_tcp_established(lab, LAB_A, SPORT, LAB_S1, WEB_PORT);

	lab_udp_out(lab, LAB_A, 5000, LAB_S1, 7);
	if (_i == 0) {
		LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = WEB_PORT, .dport = e,
			 .flags = TCP_RST, .seq = 5001);
		lose_the_address();
	} else {
		lab->policy.inside = &(struct nat_prefix){.address = BUILD_IP(10, 99, 0, 0), .length = 16};
		lab->policy.n_inside = 1;
		lab_reload(lab);
		lab_advance(lab, 1000);
	}
	ck_assert_uint_eq(lab->n_out, 0);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* Very many, which takes several steps: each exactly once. */
START_TEST(test_fault_30_each_of_very_many_is_reset_once)
{
	enum { MANY = 1000 };
	static uint8_t seen[MANY];

	memset(seen, 0, sizeof(seen));
	lab->skip_check = true;
	lab_start(lab);
	for (uint16_t i = 0; i < MANY; i++)
		lab_syn_out(lab, LAB_A, (uint16_t)(2000 + i), LAB_S1, WEB_PORT);
	lose_the_address();
	ck_assert_uint_eq(lab->n_out, MANY);
	for (uint32_t i = 0; i < lab->n_out; i++)
		ck_assert_uint_eq(seen[lab->out[i].v.dport - 2000]++, 0);
	lab_advance(lab, 5000);
	ck_assert_uint_eq(lab->n_out, 0);
}
END_TEST

/* ---- counted exactly ---- */

START_TEST(test_counters_are_exact)
{
	lab_start(lab);
	lab_syn_out(lab, LAB_A, SPORT, LAB_S1, WEB_PORT);
	ck_assert_uint_eq(lab_delta(lab, COUNT_OUT_PACKETS), 1);
	ck_assert_uint_eq(lab_delta(lab, COUNT_OUT_BYTES), 40);
	ck_assert_uint_eq(lab_delta(lab, COUNT_SESSION_NEW), 1);
	ck_assert_uint_eq(lab_delta(lab, COUNT_MAPPING_NEW), 1);
	ck_assert_uint_eq(lab_delta(lab, COUNT_IN_PACKETS), 0);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = WEB_PORT, .dport = lab->out[0].v.sport,
		 .flags = TCP_SYN | TCP_ACK, .seq = 5000, .ack = 1001, .window = 1000);
	lab_one(lab, NAT_TO_INSIDE);
	ck_assert_uint_eq(lab_delta(lab, COUNT_IN_PACKETS), 1);
	ck_assert_uint_eq(lab_delta(lab, COUNT_IN_BYTES), 40);
	ck_assert_uint_eq(lab_delta(lab, COUNT_SESSION_NEW), 0);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = SPORT, .dport = WEB_PORT, .flags = TCP_ACK,
		 .seq = 1001, .ack = 5001, .window = 1000);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = SPORT, .dport = WEB_PORT, .flags = TCP_ACK,
		 .seq = 900000, .ack = 5001, .window = 1000, .payload_len = 5);
	ck_assert_uint_eq(lab_delta(lab, COUNT_TCP_LIBERAL), 1);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = SPORT, .dport = WEB_PORT, .flags = TCP_RST,
		 .seq = 1001);
	LAB_SEND(lab, .proto = 6, .src = LAB_A, .dst = LAB_S1, .sport = SPORT, .dport = WEB_PORT, .flags = TCP_ACK,
		 .seq = 1001, .ack = 5001, .window = 1000, .payload_len = 5);
	ck_assert_uint_eq(lab_delta(lab, COUNT_TCP_REVIVED), 0);
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = WEB_PORT, .dport = only_session()->ext_port,
		 .flags = TCP_ACK, .seq = 5001, .ack = 1006, .window = 1000);
	ck_assert_uint_eq(lab_delta(lab, COUNT_TCP_REVIVED), 1);
	ck_assert_uint_eq(only_session()->packets[DIR_OUT], 5);
	ck_assert_uint_eq(only_session()->bytes[DIR_OUT], 40 + 40 + 45 + 40 + 45);
	lab_advance(lab, 7441000);
	ck_assert_uint_eq(lab_delta(lab, COUNT_SESSION_EXPIRED), 1);
	ck_assert_uint_eq(lab_delta(lab, COUNT_MAPPING_FREED), 1);
}
END_TEST

static Suite *suite(void)
{
	enum { VARIANTS = 4 };
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_5382_2_whole_conversation, VARIANTS},
		{test_5382_2_syn_retransmitted, VARIANTS},
		{test_vpp_tcp_session_open_retransmit1_5382_2, VARIANTS},
		{test_vpp_tcp_session_open_retransmit2_5382_2, VARIANTS},
		{test_5382_2_data_in_the_syn, VARIANTS},
		{test_5382_2_half_close_then_data, VARIANTS},
		{test_5382_2_keep_alive_zero_window_probe_urgent, VARIANTS},
		{test_5382_2_out_of_order_and_again, VARIANTS},
		{test_vpp_tcp_session_close_by_the_opener, VARIANTS},
		{test_vpp_tcp_session_close_by_the_answerer, VARIANTS},
		{test_vpp_tcp_session_close_simultaneous, VARIANTS},
		{test_vpp_tcp_close_late_ack_passes, VARIANTS},
		{test_vpp_tcp_session_reopen_5382_2, VARIANTS},
		{test_vpp_tcp_session_half_reopen_by_the_opener, VARIANTS},
		{test_vpp_tcp_session_half_reopen_by_the_answerer, VARIANTS},
		{test_vpp_tcp_session_reopen_from_both_sides, VARIANTS},
		{test_5382_2a_simultaneous_open, VARIANTS},
		{test_5382_2a_simultaneous_open_other_order, VARIANTS},
		{test_5382_5_7857_2_1_opening_four_minutes, VARIANTS},
		{test_5382_5_7857_2_1_opening_ends, VARIANTS},
		{test_5382_5_7857_2_1_opening_ends_unless_acknowledged, VARIANTS},
		{test_5382_5_established_two_hours_four_minutes, VARIANTS},
		{test_5382_5_7857_2_1_closing_begins_with_the_second_fin, VARIANTS},
		{test_7857_2_2_rst_lingers_four_minutes, VARIANTS},
		{test_7857_2_2_data_revives_after_rst, VARIANTS},
		{test_7857_2_2_data_of_the_sender_of_the_rst_revives_too, VARIANTS},
		{test_7857_2_2_a_bare_ack_revives_nothing, VARIANTS},
		{test_vpp_session_rst_timeout_7857_2_2, VARIANTS},
		{test_vpp_session_rst_established_timeout_7857_2_2, VARIANTS},
		{test_5961_3_refused_connection, VARIANTS},
		{test_redan_pf_tcp_forged_rst_5961_3, VARIANTS},
		{test_packetdrill_inexact_rst_5961_3, VARIANTS},
		{test_packetdrill_rst_invalid_5961_3, VARIANTS},
		{test_packetdrill_syn_challenge_ack_5961_4, VARIANTS},
		{test_packetdrill_synack_old_5961_4, VARIANTS},
		{test_packetdrill_synack_reuse, VARIANTS},
		{test_packetdrill_ack_loss_stall, VARIANTS},
		{test_pf_state_challenge_ack_5961_4, VARIANTS},
		{test_pf_state_beforegap_rst_5961_3, VARIANTS},
		{test_pf_state_fakeack_rst_5961_3, VARIANTS},
		{test_pf_state_lessseq_fin, VARIANTS},
		{test_pf_state_negack_fin, VARIANTS},
		{test_pf_state_posack_fin, VARIANTS},
		{test_synack_of_the_opener_is_impossible, VARIANTS},
		{test_stray_segments_make_no_session, VARIANTS},
		{test_redan_64k_guessed_rsts_shorten_nothing, 1},
		{test_5382_2_options_pass_untouched, 4},
		{test_jool_so_answer_between_6_and_8_1_seconds_5382_4, 1},
		{test_jool_so_simultaneous_open_from_outside_5382_2a_4, 1},
		{test_5382_4_fault_40_each_of_very_many_held_syns_is_found, 1},
		{test_conntrack_tcp_unreplied_forward_takes_the_next_try_5382_4, 1},
		{test_5382_4_stray_segments_are_treated_alike_always, 2},
		{test_fault_30_open_connection_is_reset_when_its_address_is_lost, 1},
		{test_fault_30_opening_connection_is_reset_by_the_ack_of_its_syn, 1},
		{test_fault_30_only_open_connections_without_their_address, 2},
		{test_fault_30_each_of_very_many_is_reset_once, 1},
		{test_counters_are_exact, 1},
	};
	Suite *s = suite_create("nat_tcp");
	TCase *tc = tcase_create("tcp");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(tc, tests[i].test, 0, tests[i].loops);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
