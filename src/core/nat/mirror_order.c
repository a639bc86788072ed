/* SPDX-License-Identifier: ISC */
/*
 * The order of a flow's packets, of which some pass through natd and some do not.
 *
 * Theory of operation. flow.h has the rule that the forwarder follows. natd's part: whenever it passes a packet of a
 * direction that is JOINING, it notes how far that direction will have come when the packet has been sent; the caller
 * reports that after sending. So no queue between the forwarder and natd has to be known, nor which of several queues
 * a packet came by: what has not been sent has not been reported, and what comes behind it waits.
 *
 * Datagrams need one more step, as their number says nothing about what is before them: what natd reports is the
 * forwarder's count, read after it had the packet; that many have been sent when the queue is found empty after that.
 * (A packet that was counted, and on its way into the queue for as long as natd took to send a packet and to look
 * again, would be overtaken: a processor that stands still between two instructions of the kernel.)
 */
#include "mirror_private.h"

void mirror_begin_joining(const struct session *s, struct flow *f, bool all_sent)
{
	bool is_tcp = session_class(s) == CLASS_TCP;

	for (unsigned dir = DIR_OUT; dir <= DIR_IN; dir++)
		__atomic_store_n(&f->join[dir],
				 is_tcp && all_sent ? s->end[dir] : flow_join_unknown(is_tcp, s->end[dir]),
				 __ATOMIC_RELAXED);
}

void mirror_note_sending(struct nat *n, uint32_t slot, const struct work *w)
{
	struct mirror_sending *list = &n->mirror->sending;
	const struct flow *f = &n->mirror->shared.flows[slot];
	bool is_tcp = flow_is_tcp(f);

	if (!flow_is_joining(f, w->dir) || w->v.frag != FRAG_NONE || list->n == MIRROR_SENDING)
		return;
	list->at[list->n].slot = (uint16_t)slot;
	list->at[list->n].dir = w->dir;
	list->at[list->n].is_counted = !is_tcp;
	list->at[list->n].is_older = false;
	list->at[list->n].value =
		is_tcp ? w->v.tcp_seq + w->v.tcp_data : flow_word(&f->join[w->dir]) >> FLOW_COUNT_SHIFT;
	list->n++;
}

void nat_mirror_take_sending(struct nat *n, struct mirror_sending *to)
{
	struct mirror *m = n->mirror;

	for (uint32_t i = 0; m != NULL && i < m->sending.n && to->n < MIRROR_SENDING; i++)
		to->at[to->n++] = m->sending.at[i];
	if (m != NULL)
		m->sending.n = 0;
}

/* Meanwhile the flow may have been taken out: its slot rests and has its addresses, so that the number does no harm there. */
void nat_mirror_sent(struct nat *n, struct mirror_sending *s, bool was_empty)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < s->n && n->mirror != NULL; i++) {
		if (s->at[i].is_counted && !(was_empty && s->at[i].is_older))
			s->at[left++] = s->at[i];
		else
			flow_sent(&n->mirror->shared.flows[s->at[i].slot], s->at[i].dir, s->at[i].value);
	}
	s->n = left;
}

void nat_mirror_read(struct mirror_sending *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		s->at[i].is_older = true;
}

void nat_mirror_join_all(struct nat *n)
{
	struct mirror *m = n->mirror;

	for (uint32_t slot = 1; m != NULL && slot < m->top; slot++) {
		flow_leave(&m->shared.flows[slot], DIR_OUT);
		flow_leave(&m->shared.flows[slot], DIR_IN);
	}
}
