/* SPDX-License-Identifier: ISC */
/*
 * The TCP tracker on conversations: every valid sequence that RFC 5382 REQ-2 requires, with segments that are
 * doubled, late, crossing or lost. Every table is played in both directions and
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

/* RFC 9293 3.5: a plain ACK may take the place of the second SYN-ACK. */
SCENARIO(test_5382_2a_simultaneous_open_with_a_plain_ack, OUT(S, 0, 0, 0, R, SYN_OUT), IN(S, 0, 0, 0, RA, SYN_BOTH),
	 OUT(A, 1, 1, 0, R, SYNACK_OUT), IN(A, 1, 1, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_fast_open_data_in_the_syn, OUT(S, 0, 0, 700, R, SYN_OUT), IN(SA, 0, 701, 0, RA, SYNACK_IN),
	 IN(PA, 1, 701, 900, R, SYNACK_IN), OUT(A, 701, 901, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_fast_open_server_takes_the_syn_only, OUT(S, 0, 0, 700, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN),
	 OUT(PA, 1, 1, 700, R, ESTABLISHED), IN(A, 1, 701, 0, R, ESTABLISHED))

SCENARIO(test_5382_2_fast_open_syn_again_without_data, OUT(S, 0, 0, 700, R, SYN_OUT), OUT(S, 0, 0, 0, R, SYN_OUT),
	 IN(SA, 0, 701, 0, RA, SYNACK_IN), OUT(S, 0, 0, 0, R, SYNACK_IN), OUT(A, 701, 1, 0, R, ESTABLISHED))

/* The first SYN went without its data, or with a smaller window. */
SCENARIO(test_5382_2_fast_open_syn_again_with_data, OUT(S, 0, 0, 0, R, SYN_OUT),
	 OUT_W(9000, NO_OPTION, S, 0, 0, 700, R, SYN_OUT), IN(SA, 0, 701, 0, RA, SYNACK_IN),
	 OUT_W(0, NO_OPTION, PA, 1701, 1, 10, R, ESTABLISHED), IN(PA, 9001, 701, 10, R, ESTABLISHED),
	 IN(A, 9001, 1711, 10, R, ESTABLISHED))

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

/* The window is full to the byte; the probe, or a FIN, passes natd, or is lost before it: the next ACK starts behind
 * it. */
SCENARIO(test_9293_ack_behind_the_probe_of_a_full_window, OUT_W(8, NO_OPTION, S, 0, 0, 0, R, SYN_OUT),
	 IN_W(8, NO_OPTION, SA, 0, 1, 0, RA, SYNACK_IN), OUT_W(8, NO_OPTION, A, 1, 1, 0, R, ESTABLISHED),
	 OUT_W(8, NO_OPTION, PA, 1, 1, 8, R, ESTABLISHED), OUT_W(8, NO_OPTION, PA, 9, 1, 1, R, ESTABLISHED),
	 IN_W(8, NO_OPTION, PA, 1, 9, 3, R, ESTABLISHED), OUT_W(8, NO_OPTION, A, 10, 4, 0, R, ESTABLISHED))

SCENARIO(test_9293_ack_behind_a_lost_probe, OUT_W(8, NO_OPTION, S, 0, 0, 0, R, SYN_OUT),
	 IN_W(8, NO_OPTION, SA, 0, 1, 0, RA, SYNACK_IN), OUT_W(8, NO_OPTION, A, 1, 1, 0, R, ESTABLISHED),
	 OUT_W(8, NO_OPTION, A, 10, 1, 0, R, ESTABLISHED), OUT_W(8, NO_OPTION, PA, 10, 1, 1, L, ESTABLISHED),
	 OUT_W(8, NO_OPTION, A, 11, 1, 0, L, ESTABLISHED),
	 OUT_W(8, NO_OPTION, FA, 10, 1, 0, DROP(TCP_WINDOW), ESTABLISHED))

SCENARIO(test_9293_ack_behind_a_fin_at_a_full_window, OUT_W(8, NO_OPTION, S, 0, 0, 0, R, SYN_OUT),
	 IN_W(8, NO_OPTION, SA, 0, 1, 0, RA, SYNACK_IN), OUT_W(8, NO_OPTION, A, 1, 1, 0, R, ESTABLISHED),
	 OUT_W(8, NO_OPTION, FA, 1, 1, 8, R, FIN_OUT), IN_W(8, NO_OPTION, PA, 1, 1, 3, R, FIN_OUT),
	 OUT_W(8, NO_OPTION, A, 10, 4, 0, R, FIN_OUT))

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
	 OUT(A, (uint32_t)-66001, 1, 0, L, ESTABLISHED), OUT(PA, -66001, 1, 200, R, ESTABLISHED),
	 OUT(PA, 1001, 1, 1, R, ESTABLISHED), IN(A, 1, 1002, 0, R, ESTABLISHED))

/* A true sender sends nothing beyond the window, except the byte of a probe. */
SCENARIO(test_segment_counts_up_to_the_right_edge, HANDSHAKE, OUT(PA, 1, 1, 5000, R, ESTABLISHED),
	 IN(A, 1, 5001, 0, L, ESTABLISHED), IN(A, 1, 1127, 0, L, ESTABLISHED), IN(A, 1, 1002, 0, R, ESTABLISHED))

/* Of a first fragment the length is unknown; what it may have carried can be acknowledged. */
SCENARIO(test_5382_2_fragmented_segments, HANDSHAKE, OUT(PA, 1, 1, 0, R, ESTABLISHED, .first_fragment = true),
	 IN(A, 1, 801, 0, R, ESTABLISHED), OUT(PA, 801, 1, 0, R, ESTABLISHED, .first_fragment = true),
	 IN(A, 1, 1701, 0, R, ESTABLISHED), IN(A, 1, 4000, 0, L, ESTABLISHED), OUT(PA, 1701, 1, 10, R, ESTABLISHED))

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

/* The last of the four ACKs rides on a FIN that comes again: the ports are free for a new connection all the same. */
SCENARIO(test_9293_last_ack_on_a_repeated_fin, HANDSHAKE, OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH),
	 OUT(FA, 1, 2, 0, T, TIME_WAIT), OUT(S, 90000, 0, 0, R, SYN_OUT))

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

/* Nothing of the old connection holds for the new one: neither numbers nor scaling. */
SCENARIO(test_5382_2_reused_session_starts_afresh, OUT_W(1000, WSCALE + 7, S, 0, 0, 0, R, SYN_OUT),
	 IN_W(1000, WSCALE + 7, SA, 0, 1, 0, RA, SYNACK_IN), OUT(FA, 1, 1, 0, R, FIN_OUT), IN(FA, 1, 2, 0, R, FIN_BOTH),
	 OUT(A, 2, 2, 0, R, TIME_WAIT), OUT(S, 90000, 0, 0, R, SYN_OUT), IN(RS, 2, 0, 0, DROP(TCP_RST), SYN_OUT),
	 IN(SA, 70000, 90001, 0, R, SYNACK_IN), OUT(A, 90001, 70001, 0, R, ESTABLISHED),
	 IN(A, 70001, 90001, 0, R, ESTABLISHED), OUT(PA, 91127, 70001, 1, L, ESTABLISHED),
	 IN(PA, 71127, 90001, 1, L, ESTABLISHED))

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

/* ... whose numbers then hold as exactly as any other's. */
SCENARIO(test_5961_4_numbers_of_the_new_connection, HANDSHAKE, OUT(S, 900000, 0, 0, T, ESTABLISHED),
	 IN_W(5000, NO_OPTION, SA, 700000, 900001, 0, R, SYNACK_IN), OUT(A, 900001, 700002, 0, L, SYNACK_IN),
	 OUT(A, 900001, 1, 0, L, SYNACK_IN), IN(PA, 700001, 900001, 10, R, SYNACK_IN),
	 OUT(PA, 904901, 700011, 10, R, ESTABLISHED), IN(A, 700011, 904912, 0, L, ESTABLISHED),
	 IN(RS, 700012, 0, 0, T, ESTABLISHED), IN(RS, 700011, 0, 0, R, RESET))

SCENARIO(test_5961_4_scale_of_the_new_connection, HANDSHAKE, OUT(S, 900000, 0, 0, T, ESTABLISHED),
	 IN_W(1000, WSCALE + 2, SA, 700000, 900001, 0, R, SYNACK_IN), OUT_W(1, 0, A, 900001, 700001, 0, R, ESTABLISHED),
	 IN(PA, 700001 + 16000, 900001, 1, R, ESTABLISHED), OUT(PA, 904001, 700001, 1, R, ESTABLISHED),
	 OUT(PA, 904700, 700001, 1, L, ESTABLISHED))

SCENARIO(test_5961_4_scale_of_the_new_connection_is_zero, HANDSHAKE, OUT(S, 900000, 0, 0, T, ESTABLISHED),
	 IN_W(1000, WSCALE, SA, 700000, 900001, 0, R, SYNACK_IN), OUT_W(1, 0, A, 900001, 700001, 0, R, ESTABLISHED),
	 IN(PA, 700001 + 16000, 900001, 1, R, ESTABLISHED))

/* ... or the port is closed now. */
SCENARIO(test_5961_4_new_connection_over_a_forgotten_one_is_refused, HANDSHAKE, OUT(S, 900000, 0, 0, T, ESTABLISHED),
	 IN(RSA, 500000, 900001, 0, R, RESET), OUT(S, 900000, 0, 0, R, SYN_OUT), IN(SA, 7, 900001, 0, R, SYNACK_IN))

static Suite *tcp_suite(void)
{
	Suite *s = suite_create("tcp");
	TCase *opening = tcase_create("opening");
	TCase *data = tcase_create("data");
	TCase *closing = tcase_create("closing");
	TCase *again = tcase_create("again");

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
	tcase_add_test(opening, test_5382_2_fast_open_syn_again_with_data);
	tcase_add_test(opening, test_6146_syn_alone_never_opens);
	tcase_add_test(opening, test_5382_2_ecn_setup_syn);

	tcase_add_test(data, test_5382_2_keep_alives_of_no_and_one_byte);
	tcase_add_test(data, test_5382_2_zero_window_probe);
	tcase_add_test(data, test_5382_2_zero_window_from_the_start);
	tcase_add_test(data, test_9293_ack_behind_the_probe_of_a_full_window);
	tcase_add_test(data, test_9293_ack_behind_a_lost_probe);
	tcase_add_test(data, test_9293_ack_behind_a_fin_at_a_full_window);
	tcase_add_test(data, test_5382_2_urgent_data);
	tcase_add_test(data, test_5382_2_segments_out_of_order);
	tcase_add_test(data, test_packetdrill_ack_loss_stall);
	tcase_add_test(data, test_gso_super_packet);
	tcase_add_test(data, test_outside_the_window_is_passed_but_not_trusted);
	tcase_add_test(data, test_segment_counts_up_to_the_right_edge);
	tcase_add_test(data, test_5382_2_fragmented_segments);

	tcase_add_test(closing, test_7857_2_close);
	tcase_add_test(closing, test_7857_2_close_in_three_segments);
	tcase_add_test(closing, test_vpp_tcp_session_close_simultaneous);
	tcase_add_test(closing, test_vpp_tcp_close_late_ack_passes);
	tcase_add_test(closing, test_5382_2_half_close_data_goes_on);
	tcase_add_test(closing, test_5382_2_fin_with_data_and_retransmitted);
	tcase_add_test(closing, test_9293_last_ack_on_a_repeated_fin);
	tcase_add_test(closing, test_5382_2_fin_before_its_data);
	tcase_add_test(closing, test_5382_2_fin_at_the_right_edge);
	tcase_add_test(closing, test_5382_2_fin_completes_the_handshake);
	tcase_add_test(closing, test_5382_2_answerer_closes_before_the_ack);

	tcase_add_test(again, test_5382_2_time_wait_is_reused);
	tcase_add_test(again, test_5382_2_time_wait_is_reused_by_the_other_side);
	tcase_add_test(again, test_5382_2_reused_session_starts_afresh);
	tcase_add_test(again, test_vpp_tcp_session_half_reopen);
	tcase_add_test(again, test_vpp_tcp_session_half_reopen_while_closing);
	tcase_add_test(again, test_vpp_tcp_session_reopen);
	tcase_add_test(again, test_5961_4_new_connection_over_a_forgotten_one);
	tcase_add_test(again, test_5961_4_new_connection_over_a_half_closed_one);
	tcase_add_test(again, test_5961_4_numbers_of_the_new_connection);
	tcase_add_test(again, test_5961_4_scale_of_the_new_connection);
	tcase_add_test(again, test_5961_4_scale_of_the_new_connection_is_zero);
	tcase_add_test(again, test_5961_4_new_connection_over_a_forgotten_one_is_refused);

	suite_add_tcase(s, opening);
	suite_add_tcase(s, data);
	suite_add_tcase(s, closing);
	suite_add_tcase(s, again);
	return s;
}

int main(void)
{
	return unit_main(tcp_suite);
}
