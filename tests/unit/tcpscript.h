/* SPDX-License-Identifier: ISC */
/*
 * TCP conversations as tables, for check_tcp*.c. A scenario is a list of steps; each has a sender, a segment, and
 * the expected answer of the tracker. Numbers are relative to the initial numbers of both sides (a SYN
 * has seq 0), so one table is played with many of them, and with the directions swapped.
 *
 *	SCENARIO(test_handshake,
 *		 OUT(S, 0, 0, 0, R, SYN_OUT),	   what opens the session comes first
 *		 IN(SA, 0, 1, 0, RA, SYNACK_IN),   flags, seq, ack, data, effects, state afterwards
 *		 OUT(A, 1, 1, 0, R, ESTABLISHED))
 */
#ifndef NATD_TESTS_TCPSCRIPT_H
#define NATD_TESTS_TCPSCRIPT_H

#include <check.h>
#include <string.h>

#include "core/tcp/tcp.h"

enum script_flags {
	S = TCP_SYN,
	SA = TCP_SYN | TCP_ACK,
	A = TCP_ACK,
	PA = TCP_PSH | TCP_ACK,
	UA = TCP_URG | TCP_ACK,
	FA = TCP_FIN | TCP_ACK,
	RS = TCP_RST,
	RSA = TCP_RST | TCP_ACK,
};

/* Expected effects; DROP(reason) for a drop. */
enum script_effects {
	T = TCP_TRANSLATE,
	R = TCP_TRANSLATE | TCP_REFRESH,
	L = TCP_TRANSLATE | TCP_LIBERAL,
	RA = TCP_TRANSLATE | TCP_REFRESH | TCP_ANSWERED,
	RV = TCP_TRANSLATE | TCP_REFRESH | TCP_REVIVED,
};

#define DROP(reason) (0x100 + DROP_##reason)

enum { NO_OPTION = 0, WSCALE = 100, DEFAULT_WINDOW = 1000 }; /* wscale: WSCALE + shift, or NO_OPTION */

struct step {
	enum nat_dir dir;
	uint8_t flags;
	uint32_t seq;
	uint32_t ack;
	uint32_t len;
	unsigned expect;
	enum session_state state;
	uint16_t window;
	uint8_t wscale;
	bool first_fragment;
};

#define STEP(d, f, s, a, l, e, st, ...)                                                                          \
	{                                                                                                        \
		.dir = (d), .flags = (f), .seq = (uint32_t)(s), .ack = (uint32_t)(a), .len = (l), .expect = (e), \
		.state = SESSION_##st, __VA_ARGS__                                                               \
	}
#define OUT(...) STEP(DIR_OUT, __VA_ARGS__, .window = DEFAULT_WINDOW)
#define IN(...)	 STEP(DIR_IN, __VA_ARGS__, .window = DEFAULT_WINDOW)
/* ... with a window and a window scale option. */
#define OUT_W(w, scale, ...) STEP(DIR_OUT, __VA_ARGS__, .window = (w), .wscale = (scale))
#define IN_W(w, scale, ...)  STEP(DIR_IN, __VA_ARGS__, .window = (w), .wscale = (scale))
#define HANDSHAKE	     OUT(S, 0, 0, 0, R, SYN_OUT), IN(SA, 0, 1, 0, RA, SYNACK_IN), OUT(A, 1, 1, 0, R, ESTABLISHED)

#define SCENARIO(name, ...)                                           \
	START_TEST(name)                                              \
	{                                                             \
		static const struct step steps[] = {__VA_ARGS__};     \
                                                                      \
		script_play(steps, sizeof(steps) / sizeof(steps[0])); \
	}                                                             \
	END_TEST

struct script_segment {
	struct pkt_view v;
	uint8_t header[60];
};

struct script {
	struct session session;
	uint32_t base[2]; /* initial sequence numbers */
	bool swapped;
};

static inline void script_segment(struct script_segment *g, const struct step *s, uint32_t seq, uint32_t ack)
{
	memset(g, 0, sizeof(*g));
	g->v.kind = PKT_TCP;
	g->v.ihl = 20;
	g->v.tcp_flags = s->flags;
	g->v.tcp_seq = seq;
	g->v.tcp_ack = ack;
	g->v.tcp_window = s->window;
	g->v.tcp_data = s->first_fragment ? 0 : s->len;
	g->v.frag = s->first_fragment ? FRAG_FIRST : FRAG_NONE;
	g->v.tcp_hlen = s->wscale ? 24 : 20;
	g->v.l4 = g->header;
	g->v.l4_len = g->v.tcp_hlen;
	if (s->wscale)
		memcpy(g->header + 20, (uint8_t[]){1, 3, 3, (uint8_t)(s->wscale - WSCALE)}, 4);
}

static inline enum session_state script_swap(enum session_state st)
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

/* One segment through the tracker: TCP_ effects, or 0x100 + reason. */
static inline unsigned script_send(struct script *sc, const struct step *s)
{
	uint32_t ack = s->flags & TCP_ACK ? sc->base[!s->dir] + s->ack : s->ack;
	enum nat_dir dir = sc->swapped ? (enum nat_dir) !s->dir : s->dir;
	struct script_segment g;
	struct tcp_result r;

	script_segment(&g, s, sc->base[s->dir] + s->seq, ack);
	if (session_state(&sc->session) == SESSION_FREE) {
		tcp_open(&sc->session, dir, &g.v);
		return R;
	}
	r = tcp_track(&sc->session, dir, &g.v);
	return r.effects & TCP_TRANSLATE ? r.effects : 0x100u + r.reason;
}

static inline enum session_state script_state(const struct script *sc)
{
	enum session_state st = session_state(&sc->session);

	return sc->swapped ? script_swap(st) : st;
}

static inline void script_steps(struct script *sc, const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned got = script_send(sc, &steps[i]);

		ck_assert_msg(got == steps[i].expect && script_state(sc) == steps[i].state,
			      "step %zu (swapped %d, base %u/%u): got %#x in state %d, expected %#x in state %d", i + 1,
			      sc->swapped, sc->base[0], sc->base[1], got, script_state(sc), steps[i].expect,
			      steps[i].state);
	}
}

/* Everywhere on the circle: also so that each of the first numbers of either side wraps. */
static inline void script_play(const struct step *steps, size_t n)
{
	static const uint32_t bases[][2] = {
		{1000, 5000},
		{0, 0},
		{0xffffffff, 0x80000000},
		{0xfffffffe, 0xffffffff},
		{0xfffffc00, 0xffffff00},
		{0x7fffffff, 0x80000001},
		{0xffff0000, 0x7fff0000},
		{0x80000000, 0xfffffff0},
	};

	for (size_t i = 0; i < 2 * sizeof(bases) / sizeof(bases[0]); i++) {
		struct script sc = {.base = {bases[i / 2][0], bases[i / 2][1]}, .swapped = i % 2};

		script_steps(&sc, steps, n);
	}
}

#endif
