/* SPDX-License-Identifier: ISC */
/*
 * The numbers behind the TCP tracker: window scale, windows in one byte, numbers that have to be learned, and
 * two real ends over a bad network.
 */
#include <check.h>
#include <stdlib.h>

#include "tcpscript.h"
#include "unit.h"

/* ---- window scale ---- */

START_TEST(test_7323_window_scale)
{
	const struct step steps[] = {
		OUT_W(1000, WSCALE + 3, S, 0, 0, 0, R, SYN_OUT),
		IN_W(1000, WSCALE + _i, SA, 0, 1, 0, RA, SYNACK_IN),
		OUT_W(1000, 0, A, 1, 1, 0, R, ESTABLISHED),
		IN_W(1000, 0, A, 1, 1, 0, R, ESTABLISHED),
		IN(PA, 1 + (1000u << 3), 1, 1, R, ESTABLISHED),
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
		IN(A, 1, 70000, 10, L, ESTABLISHED), /* never sent */
		IN(A, 1, 21, 10, R, ESTABLISHED),
		OUT(A, 21, 11, 0, R, ESTABLISHED),
		OUT(RS, 500000000, 0, 0, DROP(TCP_RST), ESTABLISHED),
		OUT(FA, 21, 11, 0, R, FIN_OUT),
		IN(A, 11, 22, 0, R, FIN_OUT_ACKED),
	};

	unknown_steps(steps, sizeof(steps) / sizeof(steps[0]));
}
END_TEST

START_TEST(test_unknown_numbers_are_learned_exactly)
{
	static const struct step steps[] = {
		OUT_W(1, NO_OPTION, A, 1, 1, 10, R, ESTABLISHED),   /* a window of 1, or of 16384: not known */
		OUT_W(2, NO_OPTION, A, 500, 1, 10, R, ESTABLISHED), /* one side only: accepted */
		OUT_W(1, NO_OPTION, A, 20, 1, 10, R, ESTABLISHED),
		IN_W(1, NO_OPTION, A, 1, 511, 10, L, ESTABLISHED),
		IN_W(1, NO_OPTION, A, 1, 510, 10, R, ESTABLISHED),
		OUT(A, 510, 12, 0, L, ESTABLISHED),
		OUT(RS, 511, 12, 0, T, ESTABLISHED),
		OUT(RS, 510 + 20000, 12, 0, DROP(TCP_RST), ESTABLISHED),
		IN(RS, 1 + 32768, 0, 0, T, ESTABLISHED),
		IN(RS, 1 + 40000, 0, 0, DROP(TCP_RST), ESTABLISHED),
		IN(RS, 12, 510, 0, T, ESTABLISHED),
		IN(RS, 11, 510, 0, R, RESET),
	};
	static const struct step more[] = {
		OUT(A, 1, 1, 10, R, ESTABLISHED),
		IN(A, 1, 11, 0, R, ESTABLISHED),
		IN(RS, 1, 0, 0, R, RESET),
	};

	unknown_steps(steps, sizeof(steps) / sizeof(steps[0]));
	unknown_steps(more, sizeof(more) / sizeof(more[0]));
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

/* The next segment of this side: of the handshake, new data, old data, FIN or ACK. */
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
	if (!(got & TCP_TRANSLATE) || got >= 0x100 || (got & (TCP_LIBERAL | TCP_REVIVED)))
		ck_abort_msg("dir %d flags %#x seq %u ack %u len %u: got %#x in state %d", s.dir, s.flags, s.seq, s.ack,
			     s.len, got, session_state(&n->sc.session));
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

	if (back < bytes || back > bytes + (uint64_t)bytes / 8)
		ck_abort_msg("%u became %llu", bytes, (unsigned long long)back);
	if (bytes > 0 && tcp_window_pack(bytes - 1) > tcp_window_pack(bytes))
		ck_abort_msg("not monotonic at %u", bytes);
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

static Suite *window_suite(void)
{
	Suite *s = suite_create("tcp window");
	TCase *scale = tcase_create("scale");
	TCase *rest = tcase_create("rest");

	tcase_set_timeout(rest, 60);
	tcase_add_loop_test(scale, test_7323_window_scale, 0, 15);
	tcase_add_test(scale, test_7323_shift_is_at_most_14);
	tcase_add_test(scale, test_7323_no_scaling_when_the_answer_has_no_option);
	tcase_add_test(scale, test_7323_no_scaling_when_the_syn_has_no_option);
	tcase_add_test(scale, test_7323_syn_again_without_its_options);
	tcase_add_test(scale, test_7323_window_of_a_syn_is_not_scaled);
	tcase_add_loop_test(scale, test_5382_2_window_scale_behind_any_options, 0, 11);
	tcase_add_test(rest, test_unknown_numbers_are_learned_from_data);
	tcase_add_test(rest, test_unknown_numbers_are_learned_exactly);
	tcase_add_test(rest, test_unknown_numbers_trust_no_rst_and_no_fin);
	tcase_add_test(rest, test_5382_2_honest_conversation_is_always_believed);
	tcase_add_test(rest, test_window_pack_rounds_up_by_an_eighth_at_most);
	tcase_add_test(rest, test_window_unpack_is_monotonic);
	tcase_add_test(rest, test_state_names_are_conntracks);
	suite_add_tcase(s, scale);
	suite_add_tcase(s, rest);
	return s;
}

int main(void)
{
	return unit_main(window_suite);
}
