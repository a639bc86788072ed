/* SPDX-License-Identifier: ISC */
/*
 * The numbers of a TCP session: see tcp_window.h.
 */
#include "tcp_window.h"

#include "tcp.h"

/* Three bits of mantissa below a hidden one, five of exponent; below 8 the byte is the value. */
uint8_t tcp_window_pack(uint32_t bytes)
{
	unsigned shift, mantissa;

	if (bytes < 8)
		return (uint8_t)bytes;
	shift = 28 - (unsigned)__builtin_clz(bytes); /* leaves 8 to 15, rounded up: 8 to 16 */
	mantissa = (unsigned)(((uint64_t)bytes + (1ull << shift) - 1) >> shift);
	return (uint8_t)(((shift + 1) << 3) + mantissa - 8);
}

uint32_t tcp_window_unpack(uint8_t packed)
{
	uint64_t bytes;

	if (packed < 8)
		return packed;
	bytes = (8ull + (packed & 7)) << ((packed >> 3) - 1);
	return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

struct segment tcp_segment_of(enum nat_dir dir, const struct pkt_view *v)
{
	uint32_t data = v->frag == FRAG_FIRST ? 65535u - v->ihl - v->tcp_hlen : v->tcp_data;
	struct segment g = {
		.v = v,
		.seq = v->tcp_seq,
		.ack = v->tcp_ack,
		.me = dir,
		.peer = dir == DIR_OUT ? DIR_IN : DIR_OUT,
	};

	g.end = g.seq + data + (v->tcp_flags & TCP_SYN ? 1 : 0) + (v->tcp_flags & TCP_FIN ? 1 : 0);
	return g;
}

void tcp_set_scale(struct session *s, enum nat_dir d, unsigned scale)
{
	s->scale = (uint8_t)((s->scale & ~(15u << (4 * d))) | scale << (4 * d));
}

static enum nat_dir other(enum nat_dir d)
{
	return d == DIR_OUT ? DIR_IN : DIR_OUT;
}

/* The largest window that the sender of direction d has offered. */
static uint32_t window_of(const struct session *s, enum nat_dir d)
{
	return tcp_window_unpack(s->window[d]);
}

static int64_t slack(uint32_t window)
{
	return window > WINDOW_FLOOR ? window : WINDOW_FLOOR;
}

/* ---- checking ---- */

bool tcp_syn_pending(const struct session *s, enum nat_dir d)
{
	enum nat_dir peer = other(d);

	return heard(s, peer) && s->end[d] - s->ack[peer] > (uint64_t)window_of(s, peer) + 1;
}

/* The highest number that direction d can have reached: its end, or the right edge if a pending SYN is stored there. */
static uint32_t sent_end(const struct session *s, enum nat_dir d)
{
	enum nat_dir peer = other(d);

	return tcp_syn_pending(s, d) ? s->ack[peer] + window_of(s, peer) : s->end[d];
}

/* The right edge limits only the first byte: a probe of a full window, or a FIN, ends one beyond it (RFC 9293
 * 3.8.6.1), and its sender's next segment without data starts there, even if the probe itself was lost before natd. */
bool tcp_sequence_fits(const struct session *s, const struct segment *g)
{
	uint32_t acked = s->ack[g->peer];
	uint32_t window = window_of(s, g->peer);
	int64_t edge = (int64_t)window + (g->seq == g->end ? 1 : 0);

	return distance(acked, g->seq) <= edge && distance(acked, g->end) >= -slack(window);
}

bool tcp_segment_fits(const struct session *s, const struct segment *g)
{
	uint32_t acked = s->ack[g->me];
	int32_t d = distance(acked, g->ack);

	return tcp_sequence_fits(s, g) && d >= -slack(window_of(s, g->me)) &&
	       d <= distance(acked, sent_end(s, g->peer));
}

bool tcp_acks_syn(const struct session *s, const struct segment *g)
{
	uint32_t base = s->ack[g->me];

	return heard(s, g->peer) && (g->v->tcp_flags & TCP_ACK) && g->ack - base <= s->end[g->peer] - base;
}

bool tcp_answers_pending(const struct session *s, const struct segment *g)
{
	return both_heard(s) && (g->v->tcp_flags & TCP_ACK) && tcp_syn_pending(s, g->peer) && g->ack == s->end[g->peer];
}

bool tcp_sequence_was_sent(const struct session *s, enum nat_dir dir, uint32_t seq)
{
	enum nat_dir peer = other(dir);
	bool opens = session_state(s) <= SESSION_SYN_BOTH; /* nothing was acknowledged: everything sent is in flight */
	uint32_t below = opens ? 1 : (uint32_t)slack(window_of(s, peer)) + 1; /* the SYN itself; a keep-alive's byte */
	uint32_t oldest = s->ack[peer] - below;

	if (!heard(s, dir) || seq - oldest <= sent_end(s, dir) - oldest)
		return true;
	return tcp_syn_pending(s, dir) && seq == s->end[dir] - 1;
}

int tcp_window_scale(const struct pkt_view *v)
{
	unsigned end = v->tcp_hlen < v->l4_len ? v->tcp_hlen : v->l4_len;
	unsigned at = 20;

	while (at < end && v->l4[at] != 0) {
		unsigned len = at + 1 < end ? v->l4[at + 1] : 0;

		if (v->l4[at] == 1) {
			at++;
			continue;
		}
		if (len < 2 || at + len > end)
			break;
		if (v->l4[at] == 3 && len == 3)
			return v->l4[at + 2] > SCALE_MAX ? SCALE_MAX : v->l4[at + 2]; /* RFC 7323 2.3 */
		at += len;
	}
	return -1;
}

/* ---- learning ---- */

static void widen(struct session *s, const struct segment *g)
{
	uint8_t window = tcp_window_pack((uint32_t)g->v->tcp_window << scale_of(s, g->me));

	if (window > s->window[g->me])
		s->window[g->me] = window;
}

/* The end never exceeds the right edge by more than a probe's byte. */
void tcp_advance(struct session *s, const struct segment *g)
{
	uint32_t limit = s->ack[g->peer] + window_of(s, g->peer) + 1;
	uint32_t end = distance(limit, g->end) > 0 ? limit : g->end;

	if (tcp_syn_pending(s, g->me) || distance(s->end[g->me], end) > 0)
		s->end[g->me] = end;
	if (distance(s->ack[g->me], g->ack) > 0)
		s->ack[g->me] = g->ack;
	widen(s, g);
}

/* A retransmission of the known SYN, not another attempt from the same port. */
static bool same_syn(const struct session *s, const struct segment *g)
{
	return s->ack[g->peer] == g->seq + 1 || s->end[g->me] == g->end;
}

/* Scaling is on only if both SYNs carry the option (RFC 7323 2.2). If one copy of a SYN lacks it, another copy may
 * have had it: the larger scale is kept, because a window taken too large does no harm. */
static void learn_scale(struct session *s, const struct segment *g)
{
	bool known = heard(s, g->me);
	unsigned scale = known ? scale_of(s, g->me) : 0;
	int shift = tcp_window_scale(g->v);

	if (!heard(s, g->peer)) {
		if (shift >= 0)
			s->window[g->peer] |= MARK_SCALES;
	} else if (!known && !(s->window[g->me] & MARK_SCALES)) {
		shift = 0;
	}
	tcp_set_scale(s, g->me, shift > (int)scale ? (unsigned)shift : scale);
}

void tcp_learn_syn(struct session *s, const struct segment *g)
{
	bool known = heard(s, g->me);
	uint8_t window = tcp_window_pack(g->v->tcp_window); /* never scaled in a SYN (RFC 7323 2.2) */

	if (!known || !same_syn(s, g)) {
		s->end[g->me] = g->end;
		s->ack[g->peer] = g->seq + 1; /* the least that an answer acknowledges */
	} else if (distance(s->end[g->me], g->end) > 0) {
		s->end[g->me] = g->end;
	}
	learn_scale(s, g);
	if (!known || window > s->window[g->me])
		s->window[g->me] = window;
}

bool tcp_learn_midstream(struct session *s, const struct segment *g)
{
	if (heard(s, g->me)) {
		if (distance(s->end[g->me], g->end) > 0)
			s->end[g->me] = g->end;
		widen(s, g);
		return true;
	}
	if (heard(s, g->peer)) {
		int32_t d = distance(s->end[g->peer], g->ack);

		if (d > 0 || d < -slack(0))
			return false;
		s->ack[g->me] = g->ack;
	}
	tcp_set_scale(s, g->me, SCALE_MAX);
	s->window[g->me] = 0;
	widen(s, g);
	s->end[g->me] = g->end;
	s->ack[g->peer] = g->seq;
	return true;
}
