/* SPDX-License-Identifier: ISC */
/*
 * The TCP tracker on segments that are not what they seem: RST, FIN, SYN and ACK from nowhere (who may guess them ends
 * other people's connections: ReDAN, NDSS 2025), what peers' suites test of it, and what RFC 5961 and 7857 2.2 want. A
 * forged segment never shortens a session's life and never moves the tracked numbers.
 */
#include <check.h>

#include "tcpscript.h"
#include "unit.h"

/* ---- RST ---- */

/* Linux packetdrill inexact_rst: one beside the mark changes nothing, an exact one closes. */
SCENARIO(test_packetdrill_inexact_rst, HANDSHAKE, OUT(PA, 1, 1, 1000, R, ESTABLISHED),
	 IN(A, 1, 1001, 0, R, ESTABLISHED), IN(RS, 2, 0, 0, T, ESTABLISHED), IN(RS, 500, 0, 0, T, ESTABLISHED),
	 IN(RS, 1, 0, 0, R, RESET))

/* Linux packetdrill rst_invalid: four from outside the window are dropped, the exact one passes. */
SCENARIO(test_packetdrill_rst_invalid, HANDSHAKE, OUT(PA, 1, 1, 1000, R, ESTABLISHED),
	 IN(A, 1, 1001, 0, R, ESTABLISHED), IN(RS, 100000, 0, 0, DROP(TCP_RST), ESTABLISHED),
	 IN(RS, 0x7fffff00, 0, 0, DROP(TCP_RST), ESTABLISHED), IN(RS, -100000, 0, 0, DROP(TCP_RST), ESTABLISHED),
	 IN(RSA, 0x40000000, 1001, 0, DROP(TCP_RST), ESTABLISHED), OUT(PA, 1001, 1, 10, R, ESTABLISHED),
	 IN(RSA, 1, 1011, 0, R, RESET))

SCENARIO(test_5961_3_rst_at_the_senders_end, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED),
	 OUT(RSA, 101, 1, 0, R, RESET))

/* OpenBSD pf_state beforegap_rst: data is missing at the receiver, which therefore expects the number before. */
SCENARIO(test_pf_state_beforegap_rst, HANDSHAKE, OUT(PA, 101, 1, 100, R, ESTABLISHED), IN(A, 1, 1, 0, R, ESTABLISHED),
	 OUT(RS, 1, 0, 0, R, RESET))

/* OpenBSD pf_state fakeack_rst: a false ACK first, to make the false RST look exact. */
SCENARIO(test_pf_state_fakeack_rst, HANDSHAKE, IN(A, 1, 501, 0, L, ESTABLISHED), OUT(RS, 501, 0, 0, T, ESTABLISHED),
	 IN(A, 1, 9001, 0, L, ESTABLISHED), OUT(RS, 9001, 0, 0, DROP(TCP_RST), ESTABLISHED),
	 OUT(PA, 1, 1, 10, R, ESTABLISHED))

/* FreeBSD pf tcp.sh, ReDAN step 2: numbers guessed. */
START_TEST(test_redan_guessed_rst_leaves_the_session_established)
{
	static const struct step open[] = {HANDSHAKE};
	static const struct step rst = IN(RS, 0, 0, 0, DROP(TCP_RST), ESTABLISHED);
	struct script sc = {.base = {1000, 5000}};
	unsigned passed = 0;

	script_steps(&sc, open, 3);
	for (unsigned i = 0; i < 65536; i++) {
		struct step s = rst;

		s.seq = (i << 16) + 0x8000;
		passed += script_send(&sc, &s) != DROP(TCP_RST);
		if (script_state(&sc) != SESSION_ESTABLISHED)
			ck_abort_msg("a guessed RST was believed");
	}
	ck_assert_uint_le(passed, 2);
}
END_TEST

/* RFC 7857 2.2: the session lingers, data that the other end takes brings it back; an ACK alone may have crossed the
 * RST. */
SCENARIO(test_7857_2_2_data_after_an_rst_revives, HANDSHAKE, OUT(RS, 1, 0, 0, R, RESET), IN(A, 1, 1, 0, T, RESET),
	 IN(PA, 1, 1, 100, R, RESET), OUT(A, 1, 1, 0, T, RESET), OUT(A, 1, 101, 0, RV, ESTABLISHED))

/* ... with an answer that is data itself, and from the side that sent the RST. */
SCENARIO(test_7857_2_2_data_answered_by_data_revives, HANDSHAKE, IN(RS, 1, 0, 0, R, RESET), IN(PA, 1, 1, 100, R, RESET),
	 IN(PA, 101, 1, 100, R, RESET), OUT(PA, 1, 101, 9, RV, ESTABLISHED), IN(A, 201, 10, 0, R, ESTABLISHED))

/* The data came before the RST, its ACK after it: proves nothing. */
SCENARIO(test_7857_2_2_ack_that_crossed_the_rst, HANDSHAKE, IN(PA, 1, 1, 100, R, ESTABLISHED),
	 IN(RS, 101, 0, 0, R, RESET), OUT(A, 1, 101, 0, T, RESET), IN(PA, 1, 1, 100, R, RESET),
	 OUT(A, 1, 101, 0, T, RESET))

/* Fault 38: after an RST, segments of one side alone, even data, do not keep the session. */
SCENARIO(test_7857_7_data_after_an_rst_that_gets_no_answer, HANDSHAKE, OUT(RS, 1, 1, 0, R, RESET),
	 IN(PA, 1, 1, 100, R, RESET), IN(PA, 101, 1, 100, R, RESET), IN(PA, 1, 1, 100, R, RESET),
	 OUT(RS, 1, 0, 0, T, RESET), IN(PA, 201, 1, 10, R, RESET))

SCENARIO(test_7857_2_2_only_data_in_the_window_revives, HANDSHAKE, OUT(RS, 1, 0, 0, R, RESET),
	 IN(PA, 900000, 1, 100, L, RESET), IN(PA, 1, 900000, 100, L, RESET),
	 IN(FA, 900000, 1, 0, DROP(TCP_WINDOW), RESET), IN(FA, 1, 1, 0, T, RESET))

/* RFC 7857 7.1 in spirit: no RST keeps a session that has been reset. */
SCENARIO(test_7857_2_2_rst_does_not_refresh, HANDSHAKE, OUT(RS, 1, 0, 0, R, RESET), OUT(RS, 1, 0, 0, T, RESET),
	 IN(RS, 1, 0, 0, T, RESET), IN(RS, 900000, 0, 0, DROP(TCP_RST), RESET))

SCENARIO(test_vpp_session_rst_timeout_syn_reopens, HANDSHAKE, OUT(RS, 1, 0, 0, R, RESET),
	 OUT(S, 9000, 0, 0, R, SYN_OUT), IN(SA, 7000, 9001, 0, R, SYNACK_IN), OUT(A, 9001, 7001, 0, R, ESTABLISHED))

SCENARIO(test_7857_2_2_rst_in_every_synchronised_state, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT),
	 IN(RS, 1, 0, 0, R, RESET), IN(PA, 1, 2, 10, R, RESET), OUT(A, 2, 11, 0, RV, ESTABLISHED),
	 IN(FA, 11, 2, 0, R, FIN_IN), OUT(RS, 2, 0, 0, R, RESET), OUT(PA, 2, 12, 10, R, RESET),
	 IN(A, 12, 12, 0, RV, ESTABLISHED))

/* RFC 1337: an RST does not cut TIME_WAIT short. */
SCENARIO(test_1337_rst_in_time_wait, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH),
	 OUT(A, 2, 2, 0, R, TIME_WAIT), IN(RS, 2, 0, 0, T, TIME_WAIT), IN(RS, 90000, 0, 0, DROP(TCP_RST), TIME_WAIT))

SCENARIO(test_9293_rst_that_refuses_a_syn_acknowledges_it, OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN(RSA, -5000, 2, 0, DROP(TCP_RST), SYN_OUT), IN(RSA, -5000, 0, 0, DROP(TCP_RST), SYN_OUT),
	 IN(RS, 1, 0, 0, DROP(TCP_RST), SYN_OUT), IN(RSA, -5000, 1, 0, RA, RESET), OUT(S, 9000, 0, 0, R, SYN_OUT),
	 IN(RSA, -5000, 9001, 0, R, RESET))

SCENARIO(test_9293_rst_that_refuses_a_syn_with_data, OUT(S, 0, 0, 500, R, SYN_OUT), IN(RSA, 77, 501, 0, RA, RESET))

SCENARIO(test_9293_opener_gives_up, OUT(S, 0, 0, 0, R, SYN_OUT), OUT(RS, 1, 0, 0, R, RESET), IN(SA, 0, 1, 0, L, RESET),
	 IN(RS, 1, 0, 0, L, RESET), IN(S, 0, 0, 0, RA, SYN_IN), OUT(SA, 0, 1, 0, R, SYNACK_OUT))

SCENARIO(test_9293_opener_refuses_the_synack, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(RS, 1, 0, 0, R, RESET))

SCENARIO(test_9293_rst_in_a_simultaneous_open, OUT(S, 0, 0, 0, R, SYN_OUT), IN(S, 0, 0, 0, RA, SYN_BOTH),
	 IN(RS, 900000, 0, 0, L, SYN_BOTH), IN(RSA, 900000, 1, 0, R, RESET))

/* ---- challenges ---- */

/* OpenBSD pf_state challenge_ack, Linux packetdrill syn_challenge_ack: the host has lost its connection, the
 * peer has not; its challenge ACK must reach the host, and the host's RST the peer. */
SCENARIO(test_pf_state_challenge_ack, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED),
	 OUT(S, 900000, 0, 0, T, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED), OUT(RS, 101, 0, 0, R, RESET),
	 OUT(S, 900000, 0, 0, R, SYN_OUT), IN(SA, 700000, 900001, 0, R, SYNACK_IN),
	 OUT(A, 900001, 700001, 0, R, ESTABLISHED))

/* ... and when we have lost it too, and so see the SYN as the first of a new session. */
SCENARIO(test_packetdrill_syn_challenge_ack, OUT(S, 0, 0, 0, R, SYN_OUT), IN(A, 44000, 99000, 0, L, SYN_OUT),
	 OUT(RS, 99000, 0, 0, L, SYN_OUT), OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(A, 1, 1, 0, R, ESTABLISHED))

/* Linux packetdrill synack_old: a SYN-ACK of an older connection; the host's RST to it must come through. */
SCENARIO(test_packetdrill_synack_old, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 44000, 99000, 0, L, SYN_OUT),
	 OUT(RS, 99000, 0, 0, L, SYN_OUT), OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(A, 1, 1, 0, R, ESTABLISHED))

/* Linux packetdrill synack_reuse: a second attempt while the peer still answers the first. */
SCENARIO(test_packetdrill_synack_reuse, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(S, 777000, 0, 0, R, SYNACK_IN), IN(SA, 0, 1, 0, L, SYNACK_IN), OUT(RS, 1, 0, 0, L, SYNACK_IN),
	 OUT(S, 777000, 0, 0, R, SYNACK_IN), IN(SA, 88000, 777001, 0, R, SYNACK_IN),
	 OUT(A, 777001, 88001, 0, R, ESTABLISHED))

/* An unanswered SYN has no effect, and the earlier numbers hold. */
SCENARIO(test_5961_4_forged_syn_moves_nothing, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED),
	 OUT(S, 900000, 0, 0, T, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED),
	 OUT(RS, 900001, 0, 0, DROP(TCP_RST), ESTABLISHED), IN(SA, 7, 900002, 0, L, ESTABLISHED),
	 IN(RSA, 7, 900002, 0, T, ESTABLISHED), OUT(PA, 900001, 1, 10, L, ESTABLISHED),
	 OUT(PA, 101, 1, 10, R, ESTABLISHED), IN(SA, 7, 900001, 0, L, ESTABLISHED), IN(A, 1, 111, 0, R, ESTABLISHED),
	 IN(A, 1, 112, 0, L, ESTABLISHED))

/* All that a forged SYN can do to a closing session: it may keep the name LAST_ACK, whose timeout is the same. */
SCENARIO(test_5961_4_forged_syn_while_closing, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH),
	 IN(S, 900000, 0, 0, T, FIN_BOTH), OUT(A, 2, 2, 0, R, FIN_BOTH), IN(FA, 1, 2, 0, T, TIME_WAIT),
	 IN(A, 2, 2, 0, T, TIME_WAIT))

/* One inside the window is no new connection. */
SCENARIO(test_5961_4_syn_in_the_window, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED),
	 OUT(S, 500, 0, 0, T, ESTABLISHED), IN(SA, 7, 501, 0, L, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED),
	 OUT(RS, 101, 0, 0, R, RESET))

/* In a session that opens a forged SYN cannot keep the true ACK from opening it. */
SCENARIO(test_forged_syn_cannot_stop_an_opening, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(S, 900000, 0, 0, R, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED), OUT(PA, 1, 1, 100, R, ESTABLISHED),
	 IN(A, 1, 101, 0, R, ESTABLISHED), OUT(RS, 900001, 0, 0, DROP(TCP_RST), ESTABLISHED),
	 IN(A, 1, 102, 0, L, ESTABLISHED), IN(PA, 1, 101, 10, R, ESTABLISHED), OUT(RS, 101, 0, 0, R, RESET))

SCENARIO(test_forged_answering_syn_cannot_stop_an_opening, OUT_W(1000, WSCALE + 7, S, 0, 0, 0, R, SYN_OUT),
	 IN(S, 900000, 0, 0, RA, SYN_BOTH), IN_W(1000, WSCALE + 7, SA, 0, 1, 0, R, SYNACK_IN),
	 OUT(A, 1, 1, 0, R, ESTABLISHED), IN(PA, 1 + (1000 << 7), 1, 1, R, ESTABLISHED))

/* The answer to a SYN must acknowledge it (RELIABILITY C2-3 iii). */
SCENARIO(test_forged_synack_opens_nothing, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 0, 0, L, SYN_OUT),
	 IN(SA, 0, 2, 0, L, SYN_OUT), IN(SA, 0, 0x80000000, 0, L, SYN_OUT), IN(A, 1, 1, 0, L, SYN_OUT),
	 IN(PA, 1, 1, 10, L, SYN_OUT), OUT(A, 1, 1, 0, L, SYN_OUT))

SCENARIO(test_forged_ack_completes_no_handshake, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(A, 1, 2, 0, L, SYNACK_IN), OUT(A, 1, 0, 0, L, SYNACK_IN), OUT(FA, 1, 90000, 0, L, SYNACK_IN),
	 OUT(A, 1, 1, 0, R, ESTABLISHED))

/* ---- FIN ---- */

/* OpenBSD pf_state lessseq_fin, negack_fin, posack_fin. */
SCENARIO(test_pf_state_lessseq_fin, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED),
	 OUT(FA, 50, 1, 0, T, ESTABLISHED), OUT(FA, -70000, 1, 0, DROP(TCP_WINDOW), ESTABLISHED),
	 OUT(FA, 101, 1, 0, R, FIN_OUT))

SCENARIO(test_pf_state_negack_fin, HANDSHAKE, IN(PA, 1, 1, 100, R, ESTABLISHED), OUT(A, 1, 101, 0, R, ESTABLISHED),
	 OUT(FA, 1, -70000, 0, DROP(TCP_WINDOW), ESTABLISHED))

SCENARIO(test_pf_state_posack_fin, HANDSHAKE, IN(PA, 1, 1, 100, R, ESTABLISHED),
	 OUT(FA, 1, 102, 0, DROP(TCP_WINDOW), ESTABLISHED), OUT(FA, 1, 500, 0, DROP(TCP_WINDOW), ESTABLISHED),
	 OUT(FA, 1, 101, 0, R, FIN_OUT))

SCENARIO(test_fin_beyond_the_window, HANDSHAKE, OUT(FA, 1127, 1, 0, DROP(TCP_WINDOW), ESTABLISHED),
	 OUT(PA, 1, 1, 10, R, ESTABLISHED))

/* ---- flags that no TCP sends ---- */

START_TEST(test_impossible_flags_are_dropped_in_every_state)
{
	static const uint8_t flags[] = {
		0,
		TCP_FIN,
		TCP_PSH,
		TCP_URG | TCP_PSH | TCP_FIN,
		TCP_SYN | TCP_FIN,
		TCP_SYN | TCP_RST,
		TCP_SYN | TCP_FIN | TCP_ACK,
		TCP_SYN | TCP_RST | TCP_ACK,
		0x3f,
	};
	static const struct step open[] = {HANDSHAKE};
	struct script sc = {.base = {1000, 5000}};

	script_steps(&sc, open, 3);
	for (int st = SESSION_SYN_OUT; st < SESSION_STATE_COUNT; st++)
		for (size_t i = 0; i < sizeof(flags); i++) {
			struct step s = OUT(flags[i], 1, 1, 0, DROP(TCP_FLAGS), FREE);

			session_set_state(&sc.session, (enum session_state)st);
			ck_assert_uint_eq(script_send(&sc, &s), DROP(TCP_FLAGS));
			ck_assert_int_eq(session_state(&sc.session), st);
		}
}
END_TEST

/* ---- answered: told once in a session's life ---- */

SCENARIO(test_answered_is_told_once, OUT(S, 0, 0, 0, R, SYN_OUT), OUT(RS, 1, 0, 0, R, RESET),
	 OUT(S, 9000, 0, 0, R, SYN_OUT), IN(RSA, 0, 9001, 0, RA, RESET), OUT(S, 8000, 0, 0, R, SYN_OUT),
	 IN(SA, 0, 8001, 0, R, SYNACK_IN), OUT(RS, 8001, 0, 0, R, RESET), IN(S, 3000, 0, 0, R, SYN_IN),
	 OUT(RSA, 0, 3001, 0, R, RESET), OUT(S, 9000, 0, 0, R, SYN_OUT), IN(S, 0, 0, 0, R, SYN_BOTH))

/* The record's earlier contents do not matter. */
START_TEST(test_open_starts_afresh)
{
	struct step syn = OUT(S, 0, 0, 0, R, SYN_OUT);
	struct step synack = IN(SA, 0, 1, 0, RA, SYNACK_IN);
	struct script sc = {.base = {1000, 5000}};

	memset(&sc.session, 0xff, sizeof(sc.session));
	session_set_state(&sc.session, SESSION_FREE);
	ck_assert_uint_eq(script_send(&sc, &syn), R);
	ck_assert_int_eq(script_state(&sc), SESSION_SYN_OUT);
	ck_assert_uint_eq(script_send(&sc, &synack), RA);
}
END_TEST

/* ---- quoted sequence numbers (RFC 5927 4.1) ---- */

static bool was_sent(const struct script *sc, enum nat_dir dir, uint32_t seq)
{
	return tcp_sequence_was_sent(&sc->session, sc->swapped ? (enum nat_dir) !dir : dir, sc->base[dir] + seq);
}

START_TEST(test_5927_quoted_number_must_be_in_flight)
{
	static const struct step open[] = {HANDSHAKE, OUT(PA, 1, 1, 900, R, ESTABLISHED),
					   IN(A, 1, 301, 0, R, ESTABLISHED)};
	static const struct step challenge = OUT(S, 900000, 0, 0, T, ESTABLISHED);
	struct script sc = {.base = {0xfffffff0, 5000}, .swapped = _i};

	ck_assert_uint_eq(script_send(&sc, &open[0]), R);
	ck_assert(was_sent(&sc, DIR_OUT, 0));
	ck_assert(was_sent(&sc, DIR_OUT, 1));
	ck_assert(!was_sent(&sc, DIR_OUT, 2));
	ck_assert(!was_sent(&sc, DIR_OUT, (uint32_t)-1));
	ck_assert(was_sent(&sc, DIR_IN, 12345)); /* not heard */
	script_steps(&sc, open + 1, sizeof(open) / sizeof(open[0]) - 1);
	ck_assert(was_sent(&sc, DIR_OUT, 301));
	ck_assert(was_sent(&sc, DIR_OUT, 900));
	ck_assert(!was_sent(&sc, DIR_OUT, 902));
	ck_assert(was_sent(&sc, DIR_OUT, 299)); /* acknowledged, but the ACK may be lost behind natd */
	ck_assert(was_sent(&sc, DIR_OUT, 301 - 66001));
	ck_assert(!was_sent(&sc, DIR_OUT, 301 - 66002));
	ck_assert(!was_sent(&sc, DIR_IN, 12345));
	ck_assert(was_sent(&sc, DIR_IN, 1));
	script_send(&sc, &challenge);
	ck_assert(was_sent(&sc, DIR_OUT, 900));
	ck_assert(was_sent(&sc, DIR_OUT, 900000)); /* a host that forgot the connection: its SYN is in flight */
	ck_assert(!was_sent(&sc, DIR_OUT, 900001));
}
END_TEST

/* A window larger than the floor: all that may have been in flight when the acknowledgement was sent. */
START_TEST(test_5927_quoted_number_may_be_a_window_below_the_acknowledgement)
{
	static const struct step open[] = {
		OUT_W(1000, WSCALE + 7, S, 0, 0, 0, R, SYN_OUT),
		IN_W(1000, WSCALE + 7, SA, 0, 1, 0, RA, SYNACK_IN),
		OUT(A, 1, 1, 0, R, ESTABLISHED),
		IN_W(8192, NO_OPTION, A, 1, 1, 0, R, ESTABLISHED),
		OUT(PA, 1, 1, 1000000, R, ESTABLISHED),
		IN(A, 1, 1000001, 0, R, ESTABLISHED),
	};
	struct script sc = {.base = {0xfffffff0, 5000}, .swapped = _i};

	script_steps(&sc, open, sizeof(open) / sizeof(open[0]));
	ck_assert(was_sent(&sc, DIR_OUT, 1));
	ck_assert(was_sent(&sc, DIR_OUT, 1000001 - (8192u << 7)));
	ck_assert(!was_sent(&sc, DIR_OUT, 1000001 - 2 * (8192u << 7)));
	ck_assert(!was_sent(&sc, DIR_OUT, 1000002));
}
END_TEST

/* ---- anything at all ---- */

static struct step any_segment(void)
{
	static const uint8_t flags[] = {S, SA, A, PA, FA, RS, RSA, 0, 0x3f, UA};
	struct step s = {
		.dir = unit_below(2),
		.flags = flags[unit_below(sizeof(flags))],
		.seq = (uint32_t)unit_random(),
		.ack = (uint32_t)unit_random(),
		.len = unit_below(3) ? unit_below(1500) : 0,
		.window = (uint16_t)unit_random(),
		.wscale = (uint8_t)(unit_below(2) ? WSCALE + unit_below(16) : 0),
		.first_fragment = unit_below(10) == 0,
	};

	return s;
}

/* Blind senders: after their segments, those of the true ends are accepted as before. A guess hits both
 * windows with a chance of about 2^-30. */
START_TEST(test_blind_segments_change_nothing)
{
	static const struct step open[] = {HANDSHAKE, OUT(PA, 1, 1, 500, R, ESTABLISHED),
					   IN(A, 1, 501, 0, R, ESTABLISHED)};
	static const struct step more[] = {
		OUT(PA, 501, 1, 400, R, ESTABLISHED), IN(PA, 1, 901, 400, R, ESTABLISHED),
		OUT(A, 901, 401, 0, R, ESTABLISHED),  OUT(FA, 901, 401, 0, R, FIN_OUT),
		IN(FA, 401, 902, 0, R, FIN_BOTH),
	};

	for (int i = 0; i < 100; i++) {
		struct script sc = {.base = {(uint32_t)unit_random(), (uint32_t)unit_random()}, .swapped = i % 2};

		script_steps(&sc, open, sizeof(open) / sizeof(open[0]));
		for (size_t step = 0; step < sizeof(more) / sizeof(more[0]); step++) {
			for (int n = 0; n < 50; n++) {
				struct step s = any_segment();
				enum session_state before = script_state(&sc);
				unsigned got = script_send(&sc, &s);

				if (script_state(&sc) != before || (got < 0x100 && (got & TCP_REFRESH)))
					ck_abort_msg("a blind segment was believed");
			}
			script_steps(&sc, &more[step], 1);
		}
	}
}
END_TEST

/* Records come from a file: any content, any segment. No undefined step (sanitizer), and no state from nowhere. */
START_TEST(test_any_record_survives_any_segment)
{
	for (int i = 0; i < 50000; i++) {
		struct script sc = {.swapped = false};
		struct step s = any_segment();
		uint8_t *bytes = (uint8_t *)&sc.session;
		enum session_state before;

		for (size_t at = 0; at < sizeof(sc.session); at++)
			bytes[at] = (uint8_t)unit_random();
		if (session_state(&sc.session) == SESSION_FREE)
			continue;
		if (unit_below(2) == 0)
			sc.session.scale = (uint8_t)(unit_below(2) ? 0xf0 : 0xff);
		before = session_state(&sc.session);
		script_send(&sc, &s);
		if (session_state(&sc.session) >= SESSION_STATE_COUNT && session_state(&sc.session) != before)
			ck_abort_msg("from %d to %d", before, session_state(&sc.session));
		script_send(&sc, &s);
		tcp_sequence_was_sent(&sc.session, s.dir, s.seq);
	}
}
END_TEST

START_TEST(test_unknown_state_drops_and_stays)
{
	struct script sc = {.base = {1, 2}};
	struct step s = OUT(S, 0, 0, 0, R, SYN_OUT);

	session_set_state(&sc.session, (enum session_state)15);
	ck_assert_uint_eq(script_send(&sc, &s), DROP(TCP_STATE));
	ck_assert_int_eq(session_state(&sc.session), 15);
}
END_TEST

static Suite *forged_suite(void)
{
	Suite *s = suite_create("tcp forged");
	TCase *rst = tcase_create("rst");
	TCase *syn = tcase_create("syn");
	TCase *rest = tcase_create("rest");

	tcase_add_test(rst, test_packetdrill_inexact_rst);
	tcase_add_test(rst, test_packetdrill_rst_invalid);
	tcase_add_test(rst, test_5961_3_rst_at_the_senders_end);
	tcase_add_test(rst, test_pf_state_beforegap_rst);
	tcase_add_test(rst, test_pf_state_fakeack_rst);
	tcase_add_test(rst, test_redan_guessed_rst_leaves_the_session_established);
	tcase_add_test(rst, test_7857_2_2_data_after_an_rst_revives);
	tcase_add_test(rst, test_7857_2_2_data_answered_by_data_revives);
	tcase_add_test(rst, test_7857_2_2_ack_that_crossed_the_rst);
	tcase_add_test(rst, test_7857_7_data_after_an_rst_that_gets_no_answer);
	tcase_add_test(rst, test_7857_2_2_only_data_in_the_window_revives);
	tcase_add_test(rst, test_7857_2_2_rst_does_not_refresh);
	tcase_add_test(rst, test_vpp_session_rst_timeout_syn_reopens);
	tcase_add_test(rst, test_7857_2_2_rst_in_every_synchronised_state);
	tcase_add_test(rst, test_1337_rst_in_time_wait);
	tcase_add_test(rst, test_9293_rst_that_refuses_a_syn_acknowledges_it);
	tcase_add_test(rst, test_9293_rst_that_refuses_a_syn_with_data);
	tcase_add_test(rst, test_9293_opener_gives_up);
	tcase_add_test(rst, test_9293_opener_refuses_the_synack);
	tcase_add_test(rst, test_9293_rst_in_a_simultaneous_open);

	tcase_add_test(syn, test_pf_state_challenge_ack);
	tcase_add_test(syn, test_packetdrill_syn_challenge_ack);
	tcase_add_test(syn, test_packetdrill_synack_old);
	tcase_add_test(syn, test_packetdrill_synack_reuse);
	tcase_add_test(syn, test_5961_4_forged_syn_moves_nothing);
	tcase_add_test(syn, test_5961_4_forged_syn_while_closing);
	tcase_add_test(syn, test_5961_4_syn_in_the_window);
	tcase_add_test(syn, test_forged_syn_cannot_stop_an_opening);
	tcase_add_test(syn, test_forged_answering_syn_cannot_stop_an_opening);
	tcase_add_test(syn, test_forged_synack_opens_nothing);
	tcase_add_test(syn, test_forged_ack_completes_no_handshake);

	tcase_add_test(rest, test_pf_state_lessseq_fin);
	tcase_add_test(rest, test_pf_state_negack_fin);
	tcase_add_test(rest, test_pf_state_posack_fin);
	tcase_add_test(rest, test_fin_beyond_the_window);
	tcase_add_test(rest, test_impossible_flags_are_dropped_in_every_state);
	tcase_add_test(rest, test_answered_is_told_once);
	tcase_add_test(rest, test_open_starts_afresh);
	tcase_add_loop_test(rest, test_5927_quoted_number_must_be_in_flight, 0, 2);
	tcase_add_loop_test(rest, test_5927_quoted_number_may_be_a_window_below_the_acknowledgement, 0, 2);
	tcase_add_test(rest, test_blind_segments_change_nothing);
	tcase_add_test(rest, test_any_record_survives_any_segment);
	tcase_add_test(rest, test_unknown_state_drops_and_stays);

	suite_add_tcase(s, rst);
	suite_add_tcase(s, syn);
	suite_add_tcase(s, rest);
	return s;
}

int main(void)
{
	return unit_main(forged_suite);
}
