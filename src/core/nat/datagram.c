/* SPDX-License-Identifier: ISC */
/*
 * Fragments in the façade: the first one's verdict is stored (fragment.c), and the others follow it, whether they
 * arrive later or were held because they arrived earlier.
 */
#include "nat_private.h"

static void account(struct nat *n, struct work *w, const struct fragment_fate *fate)
{
	struct session *s = fate->session_id == 0 ? NULL : table_session_by_id(n->table, fate->session_id);

	w->session = s;
	if (s == NULL)
		return;
	s->packets[fate->dir]++;
	s->bytes[fate->dir] += w->v.len;
}

static void follow(struct nat *n, struct work *w, const struct fragment_fate *fate)
{
	struct rewrite rw = {.src = fate->src, .dst = fate->dst, .sport = w->v.sport, .dport = w->v.dport};

	if (fate->action == FRAGMENT_FATE_DROPPED) {
		nat_drop(n, w, DROP_FRAGMENT_REFUSED);
		return;
	}
	if (fate->mtu != 0 && w->v.len > fate->mtu && w->v.dont_fragment) {
		nat_drop(n, w, DROP_TOO_BIG);
		return;
	}
	rewrite_apply(&w->v, &rw);
	rewrite_ip_id(&w->v, fate->id);
	w->mtu = fate->mtu;
	w->dir = fate->dir;
	account(n, w, fate);
	nat_send(n, w, (enum nat_to)fate->action);
}

void nat_fragment_later(struct nat *n, struct work *w)
{
	struct fragment_fate fate;
	enum nat_reason why = NAT_PASS;

	switch (fragment_later(n->fragments, &w->v, n->now_ms, &fate, &why)) {
	case FRAGMENT_FOLLOW:
		follow(n, w, &fate);
		break;
	case FRAGMENT_HELD:
		w->p->to = NAT_KEPT;
		w->p->reason = NAT_PASS;
		w->p->mtu = 0;
		n->counters[COUNT_FRAGMENT_HELD]++;
		break;
	case FRAGMENT_DROP:
		nat_drop(n, w, why);
		break;
	}
}

static struct fragment_fate fate_of(const struct nat *n, const struct work *w, enum nat_to to)
{
	return (struct fragment_fate){
		.src = w->v.src,
		.dst = w->v.dst,
		.id = w->v.id,
		.mtu = w->mtu,
		.action = to == NAT_NOWHERE ? FRAGMENT_FATE_DROPPED : (uint8_t)to,
		.dir = w->dir,
		.session_id = w->session == NULL ? 0 : table_session_id(n->table, w->session),
	};
}

bool nat_fragment_admit(struct nat *n, struct work *w, uint16_t *digest)
{
	enum nat_reason why = NAT_PASS;

	if (fragment_admit(n->fragments, &w->v, n->now_ms, digest, &why))
		return true;
	nat_drop(n, w, why);
	return false;
}

void nat_fragment_first(struct nat *n, struct work *w, const struct pkt_view *came, uint16_t digest, enum nat_to to)
{
	struct fragment_fate fate = fate_of(n, w, to);

	fate.digest = digest;
	fragment_first(n->fragments, came, &fate, n->now_ms);
}

/* Fragments that arrived before the first one are sent after it. */
void nat_fragment_release(struct nat *n, const struct work *w, const struct pkt_view *came)
{
	struct fragment_fate fate = fate_of(n, w, (enum nat_to)w->p->to);
	struct nat_packet p = {.data = n->scratch, .source = w->p->source};
	struct work held = {.p = &p, .hairpin = w->hairpin, .from_inside = w->from_inside};
	size_t len;

	while ((len = fragment_release(n->fragments, came, n->scratch)) > 0) {
		p.len = (uint32_t)len;
		if (packet_parse(p.data, p.len, false, &held.v) == NAT_PASS)
			follow(n, &held, &fate);
	}
}
