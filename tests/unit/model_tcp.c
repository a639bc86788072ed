/* SPDX-License-Identifier: ISC */
/* The TCP of the model: conversations seen whole, and forgeries far away from them. See model.h. */
#include "model.h"

static bool closes(uint8_t state)
{
	return state == SESSION_FIN_BOTH || state == SESSION_TIME_WAIT || state == SESSION_RESET;
}

void model_tcp_open(struct model_session *s, enum nat_dir dir, const struct model_packet *p)
{
	s->tcp = (struct model_tcp){.genuine = p->truth == TRUTH_GENUINE && p->data == 0, .opener = (uint8_t)dir};
	s->tcp.next[dir] = p->seq + 1;
}

/* The state of a conversation in which everybody acknowledges all he has seen (RFC 9293 3.3.2 from the middle). */
static uint8_t state_of(const struct model_tcp *t)
{
	if (!t->answered)
		return t->opener == DIR_OUT ? SESSION_SYN_OUT : SESSION_SYN_IN;
	if (!t->synced)
		return t->opener == DIR_OUT ? SESSION_SYNACK_IN : SESSION_SYNACK_OUT;
	if (t->fin[DIR_OUT] && t->fin[DIR_IN])
		return t->fin_acked[DIR_OUT] && t->fin_acked[DIR_IN] ? SESSION_TIME_WAIT : SESSION_FIN_BOTH;
	if (t->fin[DIR_OUT])
		return t->fin_acked[DIR_OUT] ? SESSION_FIN_OUT_ACKED : SESSION_FIN_OUT;
	if (t->fin[DIR_IN])
		return t->fin_acked[DIR_IN] ? SESSION_FIN_IN_ACKED : SESSION_FIN_IN;
	return SESSION_ESTABLISHED;
}

static const char *genuine(struct model_session *s, enum nat_dir dir, const struct model_packet *p, bool passed,
			   const struct session *real, uint32_t now_s)
{
	struct model_tcp *t = &s->tcp;
	enum nat_dir peer = dir == DIR_OUT ? DIR_IN : DIR_OUT;
	uint8_t want, had = s->state;
	bool again = p->seq != t->next[dir] && !(p->flags & TCP_SYN);
	/* RFC 7857 7 */
	bool is_alone = dir == DIR_IN && (t->fin[DIR_OUT] || (t->opener == DIR_IN && !t->synced));

	if (!passed)
		return "a genuine segment was dropped";
	t->unacked[dir] += p->data;
	t->unacked[peer] = 0;
	if (p->flags & TCP_SYN)
		t->next[dir] = p->seq + 1;
	else if (!again)
		t->next[dir] += p->data + ((p->flags & TCP_FIN) != 0);
	t->answered = t->answered || ((p->flags & TCP_SYN) && (p->flags & TCP_ACK));
	t->synced = t->synced || (t->answered && !(p->flags & TCP_SYN) && dir == t->opener);
	if (p->flags & TCP_FIN)
		t->fin[dir] = true;
	if ((p->flags & TCP_ACK) && t->fin[peer])
		t->fin_acked[peer] = true;
	t->tainted[dir] = false;
	want = p->flags & TCP_RST ? SESSION_RESET : state_of(t);
	if (want == SESSION_RESET)
		t->genuine = false;
	s->state = (uint8_t)session_state(real);
	if (s->state != want)
		return "state after a genuine segment";
	if (had != SESSION_TIME_WAIT && !again && !(is_alone && want == had) && real->seen_s != now_s)
		return "a genuine segment did not refresh its session";
	if (is_alone && want == had && real->seen_s != s->seen_s)
		return "the outside alone refreshed what inside has closed, or not answered";
	return NULL;
}

static const char *forged(const struct model_session *s, const struct model_packet *p, bool passed,
			  const struct session *real)
{
	if (session_state(real) != s->state)
		return "a forged segment changed the state";
	if (real->seen_s != s->seen_s)
		return "a forged segment refreshed the session";
	if (passed && (p->flags & (TCP_RST | TCP_FIN)))
		return "a forged RST or FIN was passed on";
	return NULL;
}

/* Which kind of segment can lead to that state at all. */
static const char *possible(uint8_t from, uint8_t to, const struct model_packet *p)
{
	if (from == to)
		return NULL;
	if (to == SESSION_RESET && !(p->flags & TCP_RST))
		return "RESET without an RST";
	if (to != SESSION_RESET && (p->flags & TCP_RST))
		return "an RST led elsewhere than to RESET";
	if ((to == SESSION_SYN_OUT || to == SESSION_SYN_IN || to == SESSION_SYN_BOTH) && !(p->flags & TCP_SYN))
		return "opening without a SYN";
	if (to < SESSION_ESTABLISHED && from >= SESSION_ESTABLISHED && !(p->flags & TCP_SYN))
		return "open again without a SYN";
	if ((to == SESSION_FIN_OUT || to == SESSION_FIN_IN) && !(p->flags & TCP_FIN))
		return "FIN state without a FIN";
	if (closes(from) && !closes(to) && !(p->flags & TCP_SYN) && !(p->flags & TCP_ACK))
		return "came back to life by less than a SYN or an ACK";
	return NULL;
}

const char *model_tcp_judge(struct model_session *s, enum nat_dir dir, const struct model_packet *p, bool passed,
			    const struct session *real, uint32_t now_s)
{
	uint8_t had = s->state;
	const char *wrong;

	if (p->truth == TRUTH_GENUINE && s->tcp.genuine && !(s->state == SESSION_TIME_WAIT && p->flags == TCP_SYN))
		wrong = genuine(s, dir, p, passed, real, now_s);
	else if (p->truth == TRUTH_FORGED && s->tcp.genuine && s->tcp.synced)
		wrong = forged(s, p, passed, real);
	else
		wrong = possible(had, (uint8_t)session_state(real), p);
	if (wrong == NULL && !passed && (session_state(real) != had || real->seen_s != s->seen_s))
		wrong = "a dropped segment changed its session";
	if (p->truth == TRUTH_FORGED && (p->flags & TCP_SYN))
		s->tcp.tainted[dir] = true;
	if (real->seen_s != s->seen_s && real->seen_s != now_s)
		wrong = "seen at a time that is neither then nor now";
	if (!(p->truth == TRUTH_GENUINE || (p->truth == TRUTH_FORGED && s->tcp.synced)))
		s->tcp.genuine = false;
	s->state = (uint8_t)session_state(real);
	s->seen_s = real->seen_s;
	/* a new beginning, seen whole */
	if (closes(had) && s->state < SESSION_SYN_BOTH && p->truth == TRUTH_GENUINE && p->flags == TCP_SYN)
		model_tcp_open(s, dir, p);
	return wrong;
}
