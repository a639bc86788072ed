/* SPDX-License-Identifier: ISC */
/*
 * The TCP tracker on conversations: every valid sequence that RFC 5382 REQ-2 asks for, and the ways in
 * which segments come twice, late, crossing or not at all. Every table is played in both directions and
 * at many places of the circle of sequence numbers. Forgeries are in check_tcp_forged.c.
 */
#include <check.h>

#include "tcpscript.h"
#include "unit.h"

/* ---- opening ---- */

SCENARIO(test_5382_2_handshake, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED),
	 IN(PA, 1, 101, 500, R, ESTABLISHED), OUT(A, 101, 501, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_syn_is_retransmitted, OUT(S, 0, 0, 0, R, SYN_OUT), OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN(SA, 0, 1, 0, RA, SYNACK_IN), OUT(S, 0, 0, 0, R, SYNACK_IN), IN(SA, 0, 1, 0, R, SYNACK_IN),
	 OUT(A, 1, 1, 0, R, ESTABLISHED), OUT(S, 0, 0, 0, T, ESTABLISHED), OUT(A, 1, 1, 10, R, ESTABLISHED))

SCENARIO(test_5382_2_synack_is_retransmitted_before_the_ack, OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN(SA, 0, 1, 0, RA, SYNACK_IN), IN(SA, 0, 1, 0, R, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_synack_is_retransmitted_after_the_ack, HANDSHAKE, IN(SA, 0, 1, 0, T, ESTABLISHED),
	 OUT(A, 1, 1, 0, R, ESTABLISHED), IN(PA, 1, 1, 10, R, ESTABLISHED))

/* The ACK was lost before it came here; the SYN-ACK comes again, and the next ACK opens. */
SCENARIO(test_vpp_session_open_retransmit1_ack_lost, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 IN(SA, 0, 1, 0, R, SYNACK_IN), IN(SA, 0, 1, 0, R, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED))

/* The ACK was lost; data carries the next one; the SYN-ACK still comes again. */
SCENARIO(test_vpp_session_open_retransmit2_after_data, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(PA, 1, 1, 100, R, ESTABLISHED), IN(SA, 0, 1, 0, T, ESTABLISHED), OUT(PA, 1, 1, 100, R, ESTABLISHED),
	 IN(A, 1, 101, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_opener_tries_again_with_another_number, OUT(S, 0, 0, 0, R, SYN_OUT),
	 OUT(S, 777000, 0, 0, R, SYN_OUT), IN(SA, 0, 777001, 0, RA, SYNACK_IN), OUT(A, 777001, 1, 0, R, ESTABLISHED))

/* SYN cookies: each SYN is answered on its own. */
SCENARIO(test_5382_2_server_without_memory_answers_the_second_attempt, OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN(SA, 0, 1, 0, RA, SYNACK_IN), OUT(S, 777000, 0, 0, R, SYNACK_IN), IN(SA, 999000, 777001, 0, R, SYNACK_IN),
	 OUT(A, 777001, 999001, 0, R, ESTABLISHED), IN(PA, 999001, 777001, 10, R, ESTABLISHED))

/* The client took the first of two SYN-ACKs with different numbers; the server's data tells. */
SCENARIO(test_5382_2_two_synacks_with_different_numbers, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 IN(SA, 999000, 1, 0, R, SYNACK_IN), OUT(A, 1, 1, 0, L, SYNACK_IN), IN(PA, 1, 1, 10, R, SYNACK_IN),
	 OUT(A, 1, 11, 0, R, ESTABLISHED), IN(PA, 11, 1, 10, R, ESTABLISHED))

SCENARIO(test_5382_2a_simultaneous_open_syn_syn_synack_synack, IN(S, 0, 0, 0, R, SYN_IN), OUT(S, 0, 0, 0, RA, SYN_BOTH),
	 IN(SA, 0, 1, 0, R, SYNACK_IN), OUT(SA, 0, 1, 0, R, ESTABLISHED), IN(PA, 1, 1, 10, R, ESTABLISHED),
	 OUT(PA, 1, 11, 10, R, ESTABLISHED))

SCENARIO(test_5382_2a_simultaneous_open_other_order, OUT(S, 0, 0, 0, R, SYN_OUT), IN(S, 0, 0, 0, RA, SYN_BOTH),
	 IN(SA, 0, 1, 0, R, SYNACK_IN), OUT(SA, 0, 1, 0, R, ESTABLISHED))

/* Jool "so": the SYN that came too early is sent again. */
SCENARIO(test_jool_so_outside_syn_comes_again, OUT(S, 0, 0, 0, R, SYN_OUT), IN(S, 0, 0, 0, RA, SYN_BOTH),
	 IN(S, 0, 0, 0, R, SYN_BOTH), OUT(SA, 0, 1, 0, R, SYNACK_OUT), OUT(S, 0, 0, 0, T, SYNACK_OUT),
	 IN(A, 1, 1, 0, R, ESTABLISHED))

/* RFC 9293 figure 8: a plain ACK may take the place of the second SYN-ACK. */
SCENARIO(test_5382_2a_simultaneous_open_with_a_plain_ack, OUT(S, 0, 0, 0, R, SYN_OUT), IN(S, 0, 0, 0, RA, SYN_BOTH),
	 OUT(A, 1, 1, 0, R, SYNACK_OUT), IN(A, 1, 1, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_fast_open_data_in_the_syn, OUT(S, 0, 0, 700, R, SYN_OUT), IN(SA, 0, 701, 0, RA, SYNACK_IN),
	 IN(PA, 1, 701, 900, R, SYNACK_IN), OUT(A, 701, 901, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_fast_open_server_takes_the_syn_only, OUT(S, 0, 0, 700, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(PA, 1, 1, 700, R, ESTABLISHED), IN(A, 1, 701, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_fast_open_syn_again_without_data, OUT(S, 0, 0, 700, R, SYN_OUT), OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN(SA, 0, 701, 0, RA, SYNACK_IN), OUT(S, 0, 0, 0, R, SYNACK_IN), OUT(A, 701, 1, 0, R, ESTABLISHED))

SCENARIO(test_6146_syn_alone_never_opens, OUT(S, 0, 0, 0, R, SYN_OUT), OUT(A, 1, 1, 0, L, SYN_OUT),
	 OUT(PA, 1, 1, 10, L, SYN_OUT), OUT(FA, 1, 1, 0, L, SYN_OUT), OUT(SA, 0, 1, 0, DROP(TCP_STATE), SYN_OUT))

/* ECN-setup SYN: the flags ECE and CWR are none of the tracker's business. */
SCENARIO(test_5382_2_ecn_setup_syn, OUT(S | 0xc0, 0, 0, 0, R, SYN_OUT), IN(SA | 0x40, 0, 1, 0, RA, SYNACK_IN),
	 OUT(A, 1, 1, 0, R, ESTABLISHED))

/* ---- data ---- */

SCENARIO(test_5382_2_keep_alives_of_no_and_one_byte, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED),
	 IN(A, 1, 101, 0, R, ESTABLISHED), OUT(A, 100, 1, 0, R, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED),
	 OUT(A, 100, 1, 1, R, ESTABLISHED), IN(A, 0, 101, 0, R, ESTABLISHED), IN(A, 0, 101, 1, R, ESTABLISHED))

SCENARIO(test_5382_2_zero_window_probe, HANDSHAKE, OUT(PA, 1, 1, 1000, R, ESTABLISHED),
	 IN_W(0, NO_OPTION, A, 1, 1001, 0, R, ESTABLISHED), OUT(A, 1001, 1, 1, R, ESTABLISHED),
	 IN_W(0, NO_OPTION, A, 1, 1001, 0, R, ESTABLISHED), OUT(A, 1001, 1, 1, R, ESTABLISHED),
	 IN(A, 1, 1002, 0, R, ESTABLISHED))

/* A side that has never offered a window at all. */
SCENARIO(test_5382_2_zero_window_from_the_start, OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN_W(0, NO_OPTION, SA, 0, 1, 0, RA, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED),
	 OUT(A, 1, 1, 1, R, ESTABLISHED), IN(A, 1, 2, 0, R, ESTABLISHED), OUT(PA, 2, 1, 1000, R, ESTABLISHED))

SCENARIO(test_5382_2_urgent_data, HANDSHAKE, OUT(UA, 1, 1, 1, R, ESTABLISHED), IN(A, 1, 2, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_segments_out_of_order, HANDSHAKE, OUT(PA, 401, 1, 100, R, ESTABLISHED),
	 OUT(PA, 201, 1, 100, R, ESTABLISHED), OUT(PA, 1, 1, 100, R, ESTABLISHED), IN(A, 1, 101, 0, R, ESTABLISHED),
	 OUT(PA, 101, 1, 100, R, ESTABLISHED), OUT(PA, 301, 1, 100, R, ESTABLISHED), IN(A, 1, 501, 0, R, ESTABLISHED))

/* Linux packetdrill ack_loss_stall: the ACK was lost behind this place, what it acknowledged comes again. */
SCENARIO(test_packetdrill_ack_loss_stall, HANDSHAKE, OUT(PA, 1, 1, 1000, R, ESTABLISHED),
	 IN(A, 1, 1001, 0, R, ESTABLISHED), OUT(PA, 1, 1, 1000, R, ESTABLISHED), IN(A, 1, 1001, 0, R, ESTABLISHED),
	 OUT(PA, 1, 1, 1000, R, ESTABLISHED), OUT(PA, 1001, 1, 1000, R, ESTABLISHED))

/* A super-packet of 64 KiB, in a window as large. */
SCENARIO(test_gso_super_packet, OUT_W(65535, WSCALE + 7, S, 0, 0, 0, R, SYN_OUT),
	 IN_W(65535, WSCALE + 7, SA, 0, 1, 0, RA, SYNACK_IN), OUT_W(65535, 0, A, 1, 1, 0, R, ESTABLISHED),
	 OUT_W(1000, 0, PA, 1, 1, 65483, R, ESTABLISHED), IN_W(1000, 0, A, 1, 65484, 0, R, ESTABLISHED),
	 OUT_W(1000, 0, PA, 65484, 1, 65483, R, ESTABLISHED), IN_W(1000, 0, A, 1, 130967, 0, R, ESTABLISHED))

/* Data and ACK beyond the window go through, but count for nothing. */
SCENARIO(test_outside_the_window_is_passed_but_not_trusted, HANDSHAKE, OUT(PA, 1127, 1, 100, L, ESTABLISHED),
	 IN(A, 1, 1227, 0, L, ESTABLISHED), IN(A, 1, (uint32_t)-66001, 0, L, ESTABLISHED),
	 OUT(A, (uint32_t)-66001, 1, 0, L, ESTABLISHED), OUT(PA, 1001, 1, 1, R, ESTABLISHED),
	 IN(A, 1, 1002, 0, R, ESTABLISHED))

/* Of a first fragment the length is unknown; what it may have carried can be acknowledged. */
SCENARIO(test_5382_2_fragmented_segments, HANDSHAKE, OUT(PA, 1, 1, 0, R, ESTABLISHED, .first_fragment = true),
	 IN(A, 1, 801, 0, R, ESTABLISHED), OUT(PA, 801, 1, 0, R, ESTABLISHED, .first_fragment = true),
	 IN(A, 1, 1701, 0, R, ESTABLISHED), IN(A, 1, 4000, 0, L, ESTABLISHED), OUT(PA, 1701, 1, 10, R, ESTABLISHED))

/* ---- window scale ---- */

START_TEST(test_7323_window_scale)
{
	const struct step steps[] = {
		OUT_W(1000, WSCALE + 3, S, 0, 0, 0, R, SYN_OUT),
		IN_W(1000, WSCALE + _i, SA, 0, 1, 0, RA, SYNACK_IN),
		OUT_W(1000, 0, A, 1, 1, 0, R, ESTABLISHED),
		IN_W(1000, 0, A, 1, 1, 0, R, ESTABLISHED),
		OUT(PA, 1 + (1000u << _i), 1, 1, R, ESTABLISHED),     /* right to the edge */
		OUT(PA, 2 + (1125u << _i) + 1, 1, 1, L, ESTABLISHED), /* the packed window is an eighth wider at most */
	};

	script_play(steps, sizeof(steps) / sizeof(steps[0]));
}
END_TEST

/* Shift counts above 14 count as 14 (RFC 7323 2.3). */
SCENARIO(test_7323_shift_is_at_most_14, OUT_W(1000, WSCALE + 15, S, 0, 0, 0, R, SYN_OUT),
	 IN_W(1000, WSCALE + 60, SA, 0, 1, 0, RA, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED),
	 IN(A, 1, 1, 0, R, ESTABLISHED), OUT(PA, 1 + (1000 << 14), 1, 1, R, ESTABLISHED),
	 OUT(PA, 1 + (1126 << 14) + 1, 1, 1, L, ESTABLISHED))

SCENARIO(test_7323_no_scaling_when_the_answer_has_no_option, OUT_W(1000, WSCALE + 7, S, 0, 0, 0, R, SYN_OUT),
	 IN(SA, 0, 1, 0, RA, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED), IN(PA, 1002, 1, 1, R, ESTABLISHED),
	 IN(PA, 1127, 1, 1, L, ESTABLISHED), OUT(PA, 1127, 1, 1, L, ESTABLISHED))

SCENARIO(test_7323_no_scaling_when_the_syn_has_no_option, OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN_W(1000, WSCALE + 7, SA, 0, 1, 0, RA, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED),
	 IN(A, 1, 1, 0, R, ESTABLISHED), OUT(PA, 1127, 1, 1, L, ESTABLISHED))

/* Some stacks leave options out of a SYN's later copies; the first copy may have been the one that counted. */
SCENARIO(test_7323_syn_again_without_its_options, OUT_W(1000, WSCALE + 7, S, 0, 0, 0, R, SYN_OUT),
	 OUT(S, 0, 0, 0, R, SYN_OUT), IN_W(1000, WSCALE + 7, SA, 0, 1, 0, RA, SYNACK_IN), IN(SA, 0, 1, 0, R, SYNACK_IN),
	 OUT(A, 1, 1, 0, R, ESTABLISHED), IN(A, 1, 1, 0, R, ESTABLISHED),
	 OUT(PA, 1 + (1000 << 7), 1, 1, R, ESTABLISHED), IN(PA, 1 + (1000 << 7), 1, 1, R, ESTABLISHED))

/* The window in a SYN is never scaled (RFC 7323 2.2). */
SCENARIO(test_7323_window_of_a_syn_is_not_scaled, OUT_W(1000, WSCALE + 7, S, 0, 0, 0, R, SYN_OUT),
	 IN_W(1000, WSCALE + 7, SA, 0, 1, 0, RA, SYNACK_IN), OUT_W(0, 0, PA, 1, 1, 10, R, ESTABLISHED),
	 IN(PA, 1127, 1, 1, L, ESTABLISHED), OUT(PA, 1127, 1, 1, L, ESTABLISHED))

START_TEST(test_5382_2_window_scale_behind_any_options)
{
	static const struct {
		uint8_t len;
		uint8_t bytes[16];
		bool found; /* a shift of 7 */
	} options[] = {
		{3, {3, 3, 7}, true},
		{8, {2, 4, 5, 180, 1, 3, 3, 7}, true},
		{13, {4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 3, 3, 7}, false}, /* the timestamp is cut short by two */
		{15, {4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 3, 3, 7}, true},
		{4, {0, 3, 3, 7}, false},	/* behind the end */
		{5, {99, 0, 3, 3, 7}, false},	/* length 0 */
		{5, {99, 1, 3, 3, 7}, false},	/* length 1 */
		{5, {99, 200, 3, 3, 7}, false}, /* beyond the header */
		{2, {3, 3}, false},
		{1, {3}, false},
		{4, {3, 4, 7, 7}, false}, /* wrong length */
	};
	struct step s = OUT(S, 0, 0, 0, R, SYN_OUT);
	struct session session = {0};
	struct script_segment g;
	uint8_t *l4;

	script_segment(&g, &s, 1, 0);
	l4 = malloc(20 + options[_i].len); /* one byte too far is seen by the sanitizer */
	memset(l4, 0, 20);
	memcpy(l4 + 20, options[_i].bytes, options[_i].len);
	g.v.l4 = l4;
	g.v.tcp_hlen = 60;
	g.v.l4_len = (uint16_t)(20 + options[_i].len);
	tcp_open(&session, DIR_OUT, &g.v);
	ck_assert_uint_eq(session.scale & 15, options[_i].found ? 7 : 0);
	ck_assert_uint_eq(session.scale >> 4, 15);
	free(l4);
}
END_TEST

/* ---- closing ---- */

SCENARIO(test_7857_2_close, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(A, 1, 2, 0, R, FIN_OUT_ACKED),
	 IN(FA, 1, 2, 0, R, FIN_BOTH), OUT(A, 2, 2, 0, R, TIME_WAIT))

SCENARIO(test_7857_2_close_in_three_segments, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH),
	 OUT(A, 2, 2, 0, R, TIME_WAIT))

SCENARIO(test_vpp_tcp_session_close_simultaneous, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 1, 0, R, FIN_BOTH),
	 OUT(A, 2, 2, 0, R, FIN_BOTH), IN(A, 2, 2, 0, R, TIME_WAIT))

/* The session ends a closing timeout after the last of the four; a late ACK passes and delays nothing. */
SCENARIO(test_vpp_tcp_close_late_ack_passes, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH),
	 OUT(A, 2, 2, 0, R, TIME_WAIT), IN(FA, 1, 2, 0, T, TIME_WAIT), OUT(A, 2, 2, 0, T, TIME_WAIT),
	 IN(A, 2, 2, 0, T, TIME_WAIT))

SCENARIO(test_5382_2_half_close_data_goes_on, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(A, 1, 2, 0, R, FIN_OUT_ACKED),
	 IN(PA, 1, 2, 900, R, FIN_OUT_ACKED), OUT(A, 2, 901, 0, R, FIN_OUT_ACKED),
	 IN(PA, 901, 2, 900, R, FIN_OUT_ACKED), OUT(A, 2, 1801, 0, R, FIN_OUT_ACKED), IN(FA, 1801, 2, 0, R, FIN_BOTH),
	 OUT(A, 2, 1802, 0, R, TIME_WAIT))

SCENARIO(test_5382_2_fin_with_data_and_retransmitted, HANDSHAKE, OUT(FA, 1, 1, 500, R, FIN_OUT),
	 OUT(FA, 1, 1, 500, R, FIN_OUT), IN(A, 1, 502, 0, R, FIN_OUT_ACKED), OUT(FA, 1, 1, 500, T, FIN_OUT_ACKED),
	 IN(FA, 1, 502, 0, R, FIN_BOTH), IN(FA, 1, 502, 0, R, FIN_BOTH), OUT(A, 502, 2, 0, R, TIME_WAIT))

/* The FIN overtakes the data before it. */
SCENARIO(test_5382_2_fin_before_its_data, HANDSHAKE, OUT(FA, 501, 1, 0, R, FIN_OUT), IN(A, 1, 1, 0, R, FIN_OUT),
	 OUT(PA, 1, 1, 500, R, FIN_OUT), IN(A, 1, 502, 0, R, FIN_OUT_ACKED))

SCENARIO(test_5382_2_fin_at_the_right_edge, HANDSHAKE, OUT(FA, 1, 1, 1000, R, FIN_OUT),
	 IN(A, 1, 1002, 0, R, FIN_OUT_ACKED))

/* The opener closes with what would have been its ACK. */
SCENARIO(test_5382_2_fin_completes_the_handshake, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH), OUT(A, 2, 2, 0, R, TIME_WAIT))

SCENARIO(test_5382_2_answerer_closes_before_the_ack, OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 IN(FA, 1, 1, 0, R, FIN_IN), OUT(A, 1, 2, 0, R, FIN_IN_ACKED))

/* ---- again from the same ports ---- */

#define CLOSED HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH), OUT(A, 2, 2, 0, R, TIME_WAIT)

SCENARIO(test_5382_2_time_wait_is_reused, CLOSED, OUT(S, 90000, 0, 0, R, SYN_OUT),
	 IN(SA, 70000, 90001, 0, R, SYNACK_IN), OUT(A, 90001, 70001, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_time_wait_is_reused_by_the_other_side, CLOSED, IN(S, 90000, 0, 0, R, SYN_IN),
	 OUT(SA, 70000, 90001, 0, R, SYNACK_OUT), IN(A, 90001, 70001, 0, R, ESTABLISHED))

/* One side alone gets no further than opening, whatever it sends. */
SCENARIO(test_vpp_tcp_session_half_reopen, CLOSED, OUT(S, 90000, 0, 0, R, SYN_OUT), OUT(A, 90001, 1, 0, L, SYN_OUT),
	 OUT(PA, 90001, 1, 10, L, SYN_OUT), IN(A, 2, 2, 0, L, SYN_OUT), IN(FA, 1, 2, 0, L, SYN_OUT),
	 OUT(S, 90000, 0, 0, R, SYN_OUT))

SCENARIO(test_vpp_tcp_session_half_reopen_while_closing, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT),
	 IN(FA, 1, 2, 0, R, FIN_BOTH), OUT(S, 90000, 0, 0, T, FIN_BOTH), IN(S, 90000, 0, 0, T, FIN_BOTH))

SCENARIO(test_vpp_tcp_session_reopen, CLOSED, OUT(S, 90000, 0, 0, R, SYN_OUT), IN(S, 90000, 0, 0, R, SYN_BOTH),
	 OUT(SA, 90000, 90001, 0, R, SYNACK_OUT), IN(SA, 90000, 90001, 0, R, ESTABLISHED))

/* Both hosts have forgotten the connection, only we have not: RFC 9293 3.5.1, from the middle. */
SCENARIO(test_5961_4_new_connection_over_a_forgotten_one, HANDSHAKE, OUT(PA, 1, 1, 100, R, ESTABLISHED),
	 OUT(S, 900000, 0, 0, T, ESTABLISHED), IN(SA, 700000, 900001, 0, R, SYNACK_IN),
	 OUT(A, 900001, 700001, 0, R, ESTABLISHED), OUT(PA, 900001, 700001, 900, R, ESTABLISHED),
	 IN(A, 700001, 900901, 0, R, ESTABLISHED))

SCENARIO(test_5961_4_new_connection_over_a_half_closed_one, HANDSHAKE, IN(FA, 1, 1, 0, R, FIN_IN),
	 OUT(S, 900000, 0, 0, T, FIN_IN), IN_W(1000, WSCALE + 7, SA, 700000, 900001, 0, R, SYNACK_IN),
	 OUT(A, 900001, 700001, 0, R, ESTABLISHED), IN(A, 700001, 900001, 0, R, ESTABLISHED),
	 OUT(PA, 900001 + (1000 << 7), 700001, 10, R, ESTABLISHED))

/* ... or the port is closed now. */
SCENARIO(test_5961_4_new_connection_over_a_forgotten_one_is_refused, HANDSHAKE, OUT(S, 900000, 0, 0, T, ESTABLISHED),
	 IN(RSA, 500000, 900001, 0, R, RESET), OUT(S, 900000, 0, 0, R, SYN_OUT), IN(SA, 7, 900001, 0, R, SYNACK_IN))

/* ---- sessions whose numbers are not known ---- */

static void unknown_steps(const struct step *steps, size_t n)
{
	for (int swapped = 0; swapped < 2; swapped++) {
		struct script sc = {.base = {1000, 0xffffff00}, .swapped = swapped};

		sc.session.scale = 0xff;
		session_set_state(&sc.session, SESSION_ESTABLISHED);
		script_steps(&sc, steps, n);
	}
}

START_TEST(test_unknown_numbers_are_learned_from_data)
{
	static const struct step steps[] = {
		OUT(A, 1, 1, 10, R, ESTABLISHED),
		OUT(A, 11, 1, 10, R, ESTABLISHED),
		IN(A, 1, 70000, 10, L, ESTABLISHED), /* what was never sent */
		IN(A, 1, 21, 10, R, ESTABLISHED),
		OUT(A, 21, 11, 0, R, ESTABLISHED),
		OUT(RS, 500000000, 0, 0, DROP(TCP_RST), ESTABLISHED),
		OUT(FA, 21, 11, 0, R, FIN_OUT),
		IN(A, 11, 22, 0, R, FIN_OUT_ACKED),
	};

	unknown_steps(steps, sizeof(steps) / sizeof(steps[0]));
}
END_TEST

START_TEST(test_unknown_numbers_trust_no_rst_and_no_fin)
{
	static const struct step steps[] = {
		OUT(RS, 1, 1, 0, L, ESTABLISHED),  IN(RSA, 1, 1, 0, L, ESTABLISHED), OUT(FA, 1, 1, 0, L, ESTABLISHED),
		OUT(S, 1, 0, 0, T, ESTABLISHED),   OUT(A, 1, 1, 0, R, ESTABLISHED),  OUT(RS, 1, 1, 0, L, ESTABLISHED),
		IN(RS, 1, 1, 0, L, ESTABLISHED),   IN(FA, 1, 1, 0, L, ESTABLISHED),  IN(SA, 1, 1, 0, L, ESTABLISHED),
		OUT(A, 900, 1, 0, R, ESTABLISHED),
	};

	unknown_steps(steps, sizeof(steps) / sizeof(steps[0]));
}
END_TEST

/* ---- a conversation of two real ends over a bad network ---- */

enum { WIRE = 32 };

struct end {
	uint32_t una, nxt, rcv; /* relative to the base; nxt counts SYN and FIN */
	uint32_t window;	/* what it accepts beyond rcv */
	uint32_t to_send;	/* data in all */
	uint32_t peer_edge;	/* highest number that the peer accepts */
	uint32_t peer_fin;	/* where the peer's FIN is; 0: not known */
	bool syn_seen, fin_sent, closed;
};

struct net {
	struct script sc;
	struct end end[2];
	struct step wire[WIRE]; /* behind the tracker, on their way */
	unsigned n_wire;
	unsigned shift;
};

static void receive(struct net *n, const struct step *s)
{
	struct end *e = &n->end[!s->dir];
	uint32_t end = s->seq + s->len;

	if (s->flags & TCP_SYN && !e->syn_seen) {
		e->syn_seen = true;
		e->rcv = 1;
	} else if (s->seq <= e->rcv && end > e->rcv) {
		e->rcv = end;
	}
	if (s->flags & TCP_FIN)
		e->peer_fin = end;
	if (e->peer_fin && e->rcv == e->peer_fin)
		e->rcv++;
	if (s->flags & TCP_ACK) {
		uint32_t window = (uint32_t)s->window << (s->flags & TCP_SYN ? 0 : n->shift);

		if (s->ack > e->una)
			e->una = s->ack;
		if (s->ack + window > e->peer_edge)
			e->peer_edge = s->ack + window;
	}
	e->closed = e->fin_sent && e->una == e->to_send + 2 && e->peer_fin && e->rcv == e->peer_fin + 1;
}

/* What this side would send now: a handshake segment, new data, old data, FIN or ACK. */
static bool compose(struct net *n, enum nat_dir d, struct step *s)
{
	struct end *e = &n->end[d];
	uint32_t limit = e->to_send + 1; /* first number after the data */
	uint32_t room;

	*s = (struct step){.dir = d, .flags = TCP_ACK, .ack = e->rcv};
	s->window = (uint16_t)(e->window >> n->shift);
	if (e->una == 0) {
		if (d == DIR_IN && !e->syn_seen)
			return false;
		s->flags = d == DIR_OUT ? TCP_SYN : TCP_SYN | TCP_ACK;
		s->window = (uint16_t)(e->window > 65535 ? 65535 : e->window);
		s->wscale = (uint8_t)(WSCALE + n->shift);
		e->nxt = e->nxt ? e->nxt : 1;
		return true;
	}
	s->seq = unit_below(3) == 0 ? e->una : e->nxt; /* sometimes again */
	if (s->seq < limit) {
		room = e->peer_edge > s->seq ? e->peer_edge - s->seq : 0;
		s->len = room < limit - s->seq ? room : limit - s->seq;
		s->len = unit_below((s->len < 3000 ? s->len : 3000) + 1);
	}
	if (s->seq + s->len == limit && unit_below(4) == 0) {
		s->flags |= TCP_FIN;
		e->fin_sent = true;
	}
	if (s->seq + s->len + (s->flags & TCP_FIN ? 1 : 0) > e->nxt)
		e->nxt = s->seq + s->len + (s->flags & TCP_FIN ? 1 : 0);
	return true;
}

static void turn(struct net *n)
{
	struct step s;
	unsigned got;

	if (n->n_wire > 0 && unit_below(2) == 0) {
		unsigned i = unit_below(n->n_wire);

		receive(n, &n->wire[i]);
		if (unit_below(8) != 0) /* else it will come once more */
			n->wire[i] = n->wire[--n->n_wire];
		return;
	}
	if (!compose(n, (enum nat_dir)unit_below(2), &s) || unit_below(5) == 0) /* lost before us */
		return;
	got = script_send(&n->sc, &s);
	ck_assert_msg(got & TCP_TRANSLATE && got < 0x100 && !(got & (TCP_LIBERAL | TCP_REVIVED)),
		      "dir %d flags %#x seq %u ack %u len %u: got %#x in state %d", s.dir, s.flags, s.seq, s.ack, s.len,
		      got, session_state(&n->sc.session));
	if (unit_below(5) != 0) { /* else lost behind us */
		if (n->n_wire == WIRE)
			n->n_wire--;
		n->wire[n->n_wire++] = s;
	}
}

static void converse(void)
{
	struct net n = {.sc.base = {(uint32_t)unit_random(), (uint32_t)unit_random()}, .shift = unit_below(9)};
	unsigned turns = 0;

	n.sc.swapped = unit_below(2);
	for (int d = 0; d < 2; d++) {
		n.end[d].window = (1 + unit_below(8000)) << n.shift;
		n.end[d].to_send = unit_below(100000);
	}
	while (!(n.end[0].closed && n.end[1].closed) && turns++ < 100000)
		turn(&n);
	if (turns < 100000)
		ck_assert_int_eq(session_state(&n.sc.session), SESSION_TIME_WAIT);
	else /* a slow one: at least it is open */
		ck_assert_int_ge(script_state(&n.sc), SESSION_ESTABLISHED);
}

/* However segments are lost, doubled and reordered on both sides of us: none of an honest conversation is
 * dropped or distrusted, and it ends in TIME_WAIT. */
START_TEST(test_5382_2_honest_conversation_is_always_believed)
{
	for (int i = 0; i < 300; i++)
		converse();
}
END_TEST

/* ---- small things ---- */

static void check_pack(uint32_t bytes)
{
	uint64_t back = tcp_window_unpack(tcp_window_pack(bytes));

	ck_assert_uint_ge(back, bytes);
	ck_assert_uint_le(back, bytes + (uint64_t)bytes / 8);
	if (bytes > 0)
		ck_assert_uint_le(tcp_window_pack(bytes - 1), tcp_window_pack(bytes));
}

START_TEST(test_window_pack_rounds_up_by_an_eighth_at_most)
{
	for (uint32_t bytes = 0; bytes < 70000; bytes++)
		check_pack(bytes);
	for (int i = 0; i < 100000; i++)
		check_pack((uint32_t)unit_random() >> unit_below(32));
	for (int bit = 0; bit < 32; bit++)
		for (int d = -1; d <= 1; d++)
			check_pack((1u << bit) + (uint32_t)d);
	check_pack(65535u << 14);
	check_pack(UINT32_MAX);
}
END_TEST

START_TEST(test_window_unpack_is_monotonic)
{
	for (unsigned i = 1; i < 256; i++)
		ck_assert_uint_ge(tcp_window_unpack((uint8_t)i), tcp_window_unpack((uint8_t)(i - 1)));
	ck_assert_uint_eq(tcp_window_unpack(0), 0);
}
END_TEST

/* conntrack's words: what a listing prints, and what its readers look for. */
START_TEST(test_state_names_are_conntracks)
{
	static const char *const names[SESSION_STATE_COUNT] = {
		"NONE",	    "SYN_SENT", "SYN_SENT",   "SYN_SENT2",  "SYN_RECV", "SYN_RECV",  "ESTABLISHED",
		"FIN_WAIT", "FIN_WAIT", "CLOSE_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
	};

	for (int st = 0; st < SESSION_STATE_COUNT; st++)
		ck_assert_str_eq(tcp_state_name((enum session_state)st), names[st]);
	ck_assert_str_eq(tcp_state_name((enum session_state)15), "NONE");
}
END_TEST

static Suite *tcp_suite(void)
{
	Suite *s = suite_create("tcp");
	TCase *opening = tcase_create("opening");
	TCase *data = tcase_create("data");
	TCase *closing = tcase_create("closing");
	TCase *again = tcase_create("again");
	TCase *rest = tcase_create("rest");

	tcase_add_test(opening, test_5382_2_handshake);
	tcase_add_test(opening, test_5382_2_syn_is_retransmitted);
	tcase_add_test(opening, test_5382_2_synack_is_retransmitted_before_the_ack);
	tcase_add_test(opening, test_5382_2_synack_is_retransmitted_after_the_ack);
	tcase_add_test(opening, test_vpp_session_open_retransmit1_ack_lost);
	tcase_add_test(opening, test_vpp_session_open_retransmit2_after_data);
	tcase_add_test(opening, test_5382_2_opener_tries_again_with_another_number);
	tcase_add_test(opening, test_5382_2_server_without_memory_answers_the_second_attempt);
	tcase_add_test(opening, test_5382_2_two_synacks_with_different_numbers);
	tcase_add_test(opening, test_5382_2a_simultaneous_open_syn_syn_synack_synack);
	tcase_add_test(opening, test_5382_2a_simultaneous_open_other_order);
	tcase_add_test(opening, test_jool_so_outside_syn_comes_again);
	tcase_add_test(opening, test_5382_2a_simultaneous_open_with_a_plain_ack);
	tcase_add_test(opening, test_5382_2_fast_open_data_in_the_syn);
	tcase_add_test(opening, test_5382_2_fast_open_server_takes_the_syn_only);
	tcase_add_test(opening, test_5382_2_fast_open_syn_again_without_data);
	tcase_add_test(opening, test_6146_syn_alone_never_opens);
	tcase_add_test(opening, test_5382_2_ecn_setup_syn);

	tcase_add_test(data, test_5382_2_keep_alives_of_no_and_one_byte);
	tcase_add_test(data, test_5382_2_zero_window_probe);
	tcase_add_test(data, test_5382_2_zero_window_from_the_start);
	tcase_add_test(data, test_5382_2_urgent_data);
	tcase_add_test(data, test_5382_2_segments_out_of_order);
	tcase_add_test(data, test_packetdrill_ack_loss_stall);
	tcase_add_test(data, test_gso_super_packet);
	tcase_add_test(data, test_outside_the_window_is_passed_but_not_trusted);
	tcase_add_test(data, test_5382_2_fragmented_segments);
	tcase_add_loop_test(data, test_7323_window_scale, 0, 15);
	tcase_add_test(data, test_7323_shift_is_at_most_14);
	tcase_add_test(data, test_7323_no_scaling_when_the_answer_has_no_option);
	tcase_add_test(data, test_7323_no_scaling_when_the_syn_has_no_option);
	tcase_add_test(data, test_7323_syn_again_without_its_options);
	tcase_add_test(data, test_7323_window_of_a_syn_is_not_scaled);
	tcase_add_loop_test(data, test_5382_2_window_scale_behind_any_options, 0, 11);

	tcase_add_test(closing, test_7857_2_close);
	tcase_add_test(closing, test_7857_2_close_in_three_segments);
	tcase_add_test(closing, test_vpp_tcp_session_close_simultaneous);
	tcase_add_test(closing, test_vpp_tcp_close_late_ack_passes);
	tcase_add_test(closing, test_5382_2_half_close_data_goes_on);
	tcase_add_test(closing, test_5382_2_fin_with_data_and_retransmitted);
	tcase_add_test(closing, test_5382_2_fin_before_its_data);
	tcase_add_test(closing, test_5382_2_fin_at_the_right_edge);
	tcase_add_test(closing, test_5382_2_fin_completes_the_handshake);
	tcase_add_test(closing, test_5382_2_answerer_closes_before_the_ack);

	tcase_add_test(again, test_5382_2_time_wait_is_reused);
	tcase_add_test(again, test_5382_2_time_wait_is_reused_by_the_other_side);
	tcase_add_test(again, test_vpp_tcp_session_half_reopen);
	tcase_add_test(again, test_vpp_tcp_session_half_reopen_while_closing);
	tcase_add_test(again, test_vpp_tcp_session_reopen);
	tcase_add_test(again, test_5961_4_new_connection_over_a_forgotten_one);
	tcase_add_test(again, test_5961_4_new_connection_over_a_half_closed_one);
	tcase_add_test(again, test_5961_4_new_connection_over_a_forgotten_one_is_refused);

	tcase_add_test(rest, test_unknown_numbers_are_learned_from_data);
	tcase_add_test(rest, test_unknown_numbers_trust_no_rst_and_no_fin);
	tcase_add_test(rest, test_5382_2_honest_conversation_is_always_believed);
	tcase_add_test(rest, test_window_pack_rounds_up_by_an_eighth_at_most);
	tcase_add_test(rest, test_window_unpack_is_monotonic);
	tcase_add_test(rest, test_state_names_are_conntracks);

	suite_add_tcase(s, opening);
	suite_add_tcase(s, data);
	suite_add_tcase(s, closing);
	suite_add_tcase(s, again);
	suite_add_tcase(s, rest);
	return s;
}

int main(void)
{
	return unit_main(tcp_suite);
}
