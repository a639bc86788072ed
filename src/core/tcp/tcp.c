/* SPDX-License-Identifier: ISC */
/*
 * The TCP state machine of the NAT: one table, state x kind of segment, read from the sender's side, so that both
 * directions share the code. docs/tcp-states.md has the table as a drawing, with the RFC of each cell.
 *
 * Theory of operation. A cell names an action and the next state if the action accepts the segment. Actions check and
 * learn numbers through tcp_window.c; only they change the state. While a session opens, a segment is accepted if it
 * acknowledges the peer's SYN; afterwards if it lies in the window. A segment that is not accepted changes nothing. It
 * is passed on unless it could only harm its receiver.
 */
#include "tcp.h"
#include "tcp_window.h"

/* The kind of a segment, before its numbers are checked. */
enum column { COL_SYN, COL_SYNACK, COL_ACK, COL_FIN, COL_RST, COL_COUNT };

/* The states from the sender's side. For DIR_IN they are mirrored. */
enum {
	FREE = SESSION_FREE,
	SYN_MINE = SESSION_SYN_OUT,
	SYN_THEIRS = SESSION_SYN_IN,
	SYN_BOTH = SESSION_SYN_BOTH,
	SYNACK_MINE = SESSION_SYNACK_OUT,
	SYNACK_THEIRS = SESSION_SYNACK_IN,
	ESTABLISHED = SESSION_ESTABLISHED,
	FIN_MINE = SESSION_FIN_OUT,
	FIN_THEIRS = SESSION_FIN_IN,
	FIN_MINE_ACKED = SESSION_FIN_OUT_ACKED,
	FIN_THEIRS_ACKED = SESSION_FIN_IN_ACKED,
	FIN_BOTH = SESSION_FIN_BOTH,
	TIME_WAIT = SESSION_TIME_WAIT,
	RESET = SESSION_RESET,
};

static const uint8_t mirrored[SESSION_STATE_COUNT] = {
	[FREE] = FREE,
	[SYN_MINE] = SYN_THEIRS,
	[SYN_THEIRS] = SYN_MINE,
	[SYN_BOTH] = SYN_BOTH,
	[SYNACK_MINE] = SYNACK_THEIRS,
	[SYNACK_THEIRS] = SYNACK_MINE,
	[ESTABLISHED] = ESTABLISHED,
	[FIN_MINE] = FIN_THEIRS,
	[FIN_THEIRS] = FIN_MINE,
	[FIN_MINE_ACKED] = FIN_THEIRS_ACKED,
	[FIN_THEIRS_ACKED] = FIN_MINE_ACKED,
	[FIN_BOTH] = FIN_BOTH,
	[TIME_WAIT] = TIME_WAIT,
	[RESET] = RESET,
};

static uint8_t seen_from(enum nat_dir dir, uint8_t state)
{
	return dir == DIR_OUT ? state : mirrored[state];
}

static void enter(struct session *s, const struct segment *g, uint8_t state)
{
	session_set_state(s, (enum session_state)seen_from(g->me, state));
}

static struct tcp_result pass(unsigned effects)
{
	return (struct tcp_result){.effects = (uint8_t)(TCP_TRANSLATE | effects), .reason = NAT_PASS};
}

static struct tcp_result drop(enum nat_reason reason)
{
	return (struct tcp_result){.effects = 0, .reason = reason};
}

/* Is the FIN, or are both, acknowledged? */
static void settle(struct session *s)
{
	enum session_state st = session_state(s);
	bool out = distance(s->end[DIR_OUT], s->ack[DIR_IN]) == 0;
	bool in = distance(s->end[DIR_IN], s->ack[DIR_OUT]) == 0;

	if (st == SESSION_FIN_OUT && out)
		session_set_state(s, SESSION_FIN_OUT_ACKED);
	else if (st == SESSION_FIN_IN && in)
		session_set_state(s, SESSION_FIN_IN_ACKED);
	else if (st == SESSION_FIN_BOTH && out && in)
		session_set_state(s, SESSION_TIME_WAIT);
}

/* ---- actions of the table's cells; `next` is from the sender's side ---- */

typedef struct tcp_result action(struct session *s, const struct segment *g, uint8_t next);

static struct tcp_result act_liberal(struct session *s, const struct segment *g, uint8_t next)
{
	(void)s;
	(void)g;
	(void)next;
	return pass(TCP_LIBERAL);
}

static struct tcp_result act_impossible(struct session *s, const struct segment *g, uint8_t next)
{
	(void)s;
	(void)g;
	(void)next;
	return drop(DROP_TCP_STATE);
}

/* A repeated SYN after its SYN-ACK: late, or lost on the way. Changes nothing. */
static struct tcp_result act_repeat(struct session *s, const struct segment *g, uint8_t next)
{
	(void)s;
	(void)g;
	(void)next;
	return pass(0);
}

static unsigned first_answer(const struct session *s, const struct segment *g)
{
	return !heard(s, g->me) && !(s->window[g->me] & MARK_ANSWERED) ? TCP_ANSWERED : 0;
}

/* SYN in TIME_WAIT or RESET: the session starts over, from this side alone. */
static struct tcp_result act_open(struct session *s, const struct segment *g, uint8_t next)
{
	unsigned answered = first_answer(s, g);
	bool mark = !heard(s, g->me) || heard(s, g->peer) || (s->window[g->peer] & MARK_ANSWERED);

	forget_both(s);
	s->window[g->peer] = mark ? MARK_ANSWERED : 0;
	tcp_learn_syn(s, g);
	enter(s, g, next);
	return pass(TCP_REFRESH | answered);
}

/* SYN while the session opens: a repetition, or the other half of a simultaneous open (RFC 9293 3.5). A different
 * number replaces the known one, but the peer's stays: a segment that acknowledges that is accepted again. */
static struct tcp_result act_syn(struct session *s, const struct segment *g, uint8_t next)
{
	unsigned answered = first_answer(s, g);

	tcp_learn_syn(s, g);
	enter(s, g, next);
	return pass(TCP_REFRESH | answered);
}

/* SYN-ACK while the session opens. One for another SYN is passed on: its receiver's RST cleans up at the other end. */
static struct tcp_result act_synack(struct session *s, const struct segment *g, uint8_t next)
{
	unsigned answered = first_answer(s, g);
	bool again = seen_from(g->me, (uint8_t)session_state(s)) == SYNACK_MINE;

	if (!tcp_acks_syn(s, g))
		return pass(TCP_LIBERAL);
	tcp_learn_syn(s, g);
	if (!again && tcp_window_scale(g->v) < 0)
		s->scale = 0;
	s->ack[g->me] = g->ack;
	enter(s, g, next);
	return pass(TCP_REFRESH | answered);
}

/* ACK, data or FIN while the session opens: valid if it acknowledges the peer's SYN. Then its own position is
 * accepted too, whatever SYN (a forged one, another attempt) was seen last. */
static struct tcp_result act_prove(struct session *s, const struct segment *g, uint8_t next)
{
	if (!both_heard(s) || !tcp_acks_syn(s, g))
		return pass(TCP_LIBERAL);
	if (!tcp_sequence_fits(s, g)) {
		s->ack[g->peer] = g->seq;
		s->end[g->me] = g->seq;
	}
	tcp_advance(s, g);
	enter(s, g, next);
	return pass(TCP_REFRESH);
}

static struct tcp_result act_ack(struct session *s, const struct segment *g, uint8_t next)
{
	if (!both_heard(s))
		return pass(tcp_learn_midstream(s, g) ? TCP_REFRESH : TCP_LIBERAL);
	if (!tcp_segment_fits(s, g))
		return pass(TCP_LIBERAL);
	tcp_advance(s, g);
	enter(s, g, next);
	settle(s);
	return pass(TCP_REFRESH);
}

/* A FIN counts unless its position has been acknowledged already (a retransmission, or a forgery): then it is an ACK
 * like any other, which may move the numbers and be the last of the four, but refreshes nothing. */
static struct tcp_result act_fin(struct session *s, const struct segment *g, uint8_t next)
{
	bool is_new;

	if (!both_heard(s))
		return pass(TCP_LIBERAL);
	if (!tcp_segment_fits(s, g))
		return drop(DROP_TCP_WINDOW);
	is_new = distance(s->ack[g->peer], g->end) > 0;
	tcp_advance(s, g);
	if (is_new)
		enter(s, g, next);
	settle(s);
	return pass(is_new ? TCP_REFRESH : 0);
}

/* SYN in a synchronised state: the receiver answers with a challenge ACK (RFC 5961 4.2), or, if it has forgotten the
 * connection, with a SYN-ACK or RST that acknowledges this SYN. */
static struct tcp_result act_challenge(struct session *s, const struct segment *g, uint8_t next)
{
	(void)next;
	if (both_heard(s) && !tcp_sequence_fits(s, g))
		s->end[g->me] = g->seq + 1;
	return pass(0);
}

/* SYN-ACK in a synchronised state: a repeated old one, or the answer to a pending SYN, whose options were not
 * stored. */
static struct tcp_result act_answer(struct session *s, const struct segment *g, uint8_t next)
{
	int shift = tcp_window_scale(g->v);

	if (!tcp_answers_pending(s, g))
		return pass(both_heard(s) && tcp_segment_fits(s, g) ? 0 : TCP_LIBERAL);
	s->scale = 0;
	if (shift >= 0) {
		tcp_set_scale(s, g->me, (unsigned)shift);
		tcp_set_scale(s, g->peer, SCALE_MAX);
	}
	s->ack[g->me] = g->ack;
	s->ack[g->peer] = g->seq + 1;
	s->end[g->me] = g->end;
	if (s->window[g->me] < tcp_window_pack(g->v->tcp_window))
		s->window[g->me] = tcp_window_pack(g->v->tcp_window);
	enter(s, g, next);
	return pass(TCP_REFRESH);
}

/* Any segment but SYN after the end: passed on, changes nothing, keeps nothing alive. */
static struct tcp_result act_late(struct session *s, const struct segment *g, uint8_t next)
{
	(void)next;
	if (!both_heard(s))
		return pass(TCP_LIBERAL);
	if (tcp_segment_fits(s, g))
		return pass(0);
	return g->v->tcp_flags & TCP_FIN ? drop(DROP_TCP_WINDOW) : pass(TCP_LIBERAL);
}

/* After an RST: once one end has acknowledged data that the other has sent since, the RST was ignored (RFC 7857
 * 2.2). Neither data alone nor a bare ACK, which may have crossed the RST, proves that both ends still have the
 * connection. */
static struct tcp_result act_revive(struct session *s, const struct segment *g, uint8_t next)
{
	bool takes_data;

	if (!both_heard(s) || !tcp_segment_fits(s, g))
		return act_late(s, g, next);
	takes_data = distance(s->ack[g->me], g->ack) > 0;
	if (!takes_data && g->end == g->seq)
		return pass(0);
	tcp_advance(s, g);
	if (!takes_data)
		return pass(TCP_REFRESH);
	enter(s, g, next);
	return pass(TCP_REFRESH | TCP_REVIVED);
}

/* RST as the first segment of the opened side: it must acknowledge the SYN (RFC 9293 3.10.7.3). */
static struct tcp_result act_refuse(struct session *s, const struct segment *g, uint8_t next)
{
	unsigned answered = first_answer(s, g);

	if (!tcp_acks_syn(s, g))
		return drop(DROP_TCP_RST);
	if (!heard(s, g->me))
		s->window[g->me] |= MARK_ANSWERED;
	enter(s, g, next);
	return pass(TCP_REFRESH | answered);
}

/* RST while the session opens, from a side that was heard. One at another position may clean up the peer's old
 * connection (an answer to its challenge ACK or old SYN-ACK), so it is passed on, and changes nothing. */
static struct tcp_result act_abort(struct session *s, const struct segment *g, uint8_t next)
{
	bool exact = heard(s, g->me) && (g->seq == s->end[g->me] || g->seq == s->ack[g->peer]);

	if (!exact && !(both_heard(s) && tcp_acks_syn(s, g)))
		return pass(TCP_LIBERAL);
	enter(s, g, next);
	return pass(TCP_REFRESH);
}

static struct tcp_result act_late_rst(struct session *s, const struct segment *g, uint8_t next)
{
	(void)next;
	if (!both_heard(s))
		return pass(TCP_LIBERAL);
	return tcp_sequence_fits(s, g) ? pass(0) : drop(DROP_TCP_RST);
}

/* Data sent before the RST counts as acknowledged: a later ACK of it has crossed the RST. */
static void take_as_acknowledged(struct session *s)
{
	if (!tcp_syn_pending(s, DIR_OUT))
		s->ack[DIR_IN] = s->end[DIR_OUT];
	if (!tcp_syn_pending(s, DIR_IN))
		s->ack[DIR_OUT] = s->end[DIR_IN];
}

/* RFC 5961 3.2, seen from the middle: the receiver's next expected number lies between its last acknowledgement and
 * the sender's end. */
static struct tcp_result act_rst(struct session *s, const struct segment *g, uint8_t next)
{
	bool at_end = g->seq == s->end[g->me] && !tcp_syn_pending(s, g->me);

	if (!both_heard(s) || !(g->seq == s->ack[g->peer] || at_end || tcp_answers_pending(s, g)))
		return act_late_rst(s, g, next);
	take_as_acknowledged(s);
	enter(s, g, next);
	return pass(TCP_REFRESH);
}

/* ---- the table ---- */

struct cell {
	action *act;
	uint8_t next;
};

/* clang-format off */
#define NO         {act_impossible, FREE}
#define LIBERAL    {act_liberal, FREE}
#define REPEAT     {act_repeat, FREE}
#define LATE       {act_late, FREE}
#define CHALLENGE  {act_challenge, FREE}
#define ANSWER     {act_answer, SYNACK_MINE}
#define ABORT      {act_abort, RESET}
#define RST        {act_rst, RESET}
#define LATE_RST   {act_late_rst, FREE}

static const struct cell table[SESSION_STATE_COUNT][COL_COUNT] = {
/* SYN SYN-ACK ACK or data FIN RST */
[FREE]             = {  NO,                       NO,                        NO,                           NO,                          NO  },
[SYN_MINE]         = { {act_syn, SYN_MINE},       NO,                        LIBERAL,                      LIBERAL,                     ABORT },
[SYN_THEIRS]       = { {act_syn, SYN_BOTH},      {act_synack, SYNACK_MINE},  LIBERAL,                      LIBERAL,                    {act_refuse, RESET} },
[SYN_BOTH]         = { {act_syn, SYN_BOTH},      {act_synack, SYNACK_MINE}, {act_prove, SYNACK_MINE},      LIBERAL,                     ABORT },
[SYNACK_MINE]      = {  REPEAT,                  {act_synack, SYNACK_MINE}, {act_prove, SYNACK_MINE},     {act_prove, FIN_MINE},        ABORT },
[SYNACK_THEIRS]    = { {act_syn, SYNACK_THEIRS}, {act_synack, ESTABLISHED}, {act_prove, ESTABLISHED},     {act_prove, FIN_MINE},        ABORT },
[ESTABLISHED]      = {  CHALLENGE,                ANSWER,                   {act_ack, ESTABLISHED},       {act_fin, FIN_MINE},          RST },
[FIN_MINE]         = {  CHALLENGE,                ANSWER,                   {act_ack, FIN_MINE},          {act_fin, FIN_MINE},          RST },
[FIN_THEIRS]       = {  CHALLENGE,                ANSWER,                   {act_ack, FIN_THEIRS},        {act_fin, FIN_BOTH},          RST },
[FIN_MINE_ACKED]   = {  CHALLENGE,                ANSWER,                   {act_ack, FIN_MINE_ACKED},    {act_fin, FIN_MINE_ACKED},    RST },
[FIN_THEIRS_ACKED] = {  CHALLENGE,                ANSWER,                   {act_ack, FIN_THEIRS_ACKED},  {act_fin, FIN_BOTH},          RST },
[FIN_BOTH]         = {  CHALLENGE,                ANSWER,                   {act_ack, FIN_BOTH},          {act_fin, FIN_BOTH},          RST },
[TIME_WAIT]        = { {act_open, SYN_MINE},      LATE,                      LATE,                         LATE,                        LATE_RST },
[RESET]            = { {act_open, SYN_MINE},      LATE,                     {act_revive, ESTABLISHED},     LATE,                        LATE_RST },
};
/* clang-format on */

static enum column column_of(uint8_t flags)
{
	if (flags & TCP_RST)
		return flags & TCP_SYN ? COL_COUNT : COL_RST;
	if (flags & TCP_SYN)
		return flags & TCP_FIN ? COL_COUNT : flags & TCP_ACK ? COL_SYNACK : COL_SYN;
	if (!(flags & TCP_ACK)) /* RFC 9293 3.10.7.4, fifth: every receiver drops it */
		return COL_COUNT;
	return flags & TCP_FIN ? COL_FIN : COL_ACK;
}

struct tcp_result tcp_track(struct session *s, enum nat_dir dir, const struct pkt_view *v)
{
	enum column column = column_of(v->tcp_flags);
	enum session_state state = session_state(s);
	struct segment g = tcp_segment_of(dir, v);
	const struct cell *c;

	if (column == COL_COUNT)
		return drop(DROP_TCP_FLAGS);
	if (state >= SESSION_STATE_COUNT) /* the record came from a file */
		return drop(DROP_TCP_STATE);
	c = &table[seen_from(dir, (uint8_t)state)][column];
	/* cppcheck-suppress returnDanglingLifetime; the result holds no pointer */
	return c->act(s, &g, c->next);
}

void tcp_open(struct session *s, enum nat_dir dir, const struct pkt_view *v)
{
	struct segment g = tcp_segment_of(dir, v);

	forget_both(s);
	s->window[g.peer] = 0;
	tcp_learn_syn(s, &g);
	enter(s, &g, SYN_MINE);
}

bool tcp_can_reset(const struct session *s, enum nat_dir sender)
{
	enum session_state st = session_state(s);

	if (st == (sender == DIR_OUT ? SESSION_SYN_OUT : SESSION_SYN_IN))
		return heard(s, sender);
	return both_heard(s) && st != SESSION_TIME_WAIT && st != SESSION_RESET;
}

bool tcp_is_settled(const struct session *s)
{
	return session_state(s) == SESSION_ESTABLISHED && both_heard(s) && !tcp_syn_pending(s, DIR_OUT) &&
	       !tcp_syn_pending(s, DIR_IN);
}

const char *tcp_state_name(enum session_state st)
{
	static const char *const names[SESSION_STATE_COUNT] = {
		[SESSION_FREE] = "NONE",
		[SESSION_SYN_OUT] = "SYN_SENT",
		[SESSION_SYN_IN] = "SYN_SENT",
		[SESSION_SYN_BOTH] = "SYN_SENT2",
		[SESSION_SYNACK_OUT] = "SYN_RECV",
		[SESSION_SYNACK_IN] = "SYN_RECV",
		[SESSION_ESTABLISHED] = "ESTABLISHED",
		[SESSION_FIN_OUT] = "FIN_WAIT",
		[SESSION_FIN_IN] = "FIN_WAIT",
		[SESSION_FIN_OUT_ACKED] = "CLOSE_WAIT",
		[SESSION_FIN_IN_ACKED] = "CLOSE_WAIT",
		[SESSION_FIN_BOTH] = "LAST_ACK",
		[SESSION_TIME_WAIT] = "TIME_WAIT",
		[SESSION_RESET] = "CLOSE",
	};

	return st < SESSION_STATE_COUNT ? names[st] : "NONE";
}
