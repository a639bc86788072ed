/* SPDX-License-Identifier: ISC */
/* One packet on its way through the naive NAT, beside the real one. See model_walk.h. */
#include "model_walk.h"

/* The session that the real table has, living. */
struct session *walk_real_session(const struct walk *w, enum nat_dir dir, uint32_t local, uint16_t local_port,
				  uint32_t remote, uint16_t remote_port)
{
	struct table *t = nat_table(w->m->lab->nat);
	struct session_key k = {local, remote, local_port, remote_port, w->p->proto_class, (uint8_t)dir};

	if (dir == DIR_IN)
		k.local = (uint32_t)table_address_slot(t, local);
	return table_find(t, &k, table_hash(t, &k), now_s(w));
}

/* ---- passing ---- */

static bool opener_is(const struct model_session *s, enum nat_dir dir)
{
	return s->from_outside == (dir == DIR_IN);
}

/* RFC 4787 REQ-6, RFC 7857 7: what refreshes. RFC 5508 REQ-1: replies go only where queries came from. */
static bool follow_datagram(struct walk *w, struct model_session *s, enum nat_dir dir)
{
	if (w->p->proto_class == CLASS_ICMP && (w->p->kind == PKT_ICMP_QUERY) != opener_is(s, dir)) {
		w->may[w->p->kind == PKT_ICMP_QUERY ? DROP_UNSOLICITED : DROP_ICMP_NO_SESSION] = true;
		return false;
	}
	if (dir == DIR_OUT || !s->from_outside)
		s->seen_s = now_s(w);
	if (!opener_is(s, dir))
		s->state = SESSION_ESTABLISHED;
	return true;
}

static bool follow_tcp(struct walk *w, struct model_session *s, enum nat_dir dir)
{
	const struct session *r = walk_real_session(w, DIR_OUT, s->in, s->in_port, s->rem, s->rem_port);
	bool passed;
	const char *wrong;

	must(w, r != NULL, "a TCP session went away by a segment");
	passed = r->packets[dir] != s->packets[dir];
	wrong = model_tcp_judge(s, dir, w->p, passed, r, now_s(w));
	must(w, wrong == NULL, wrong);
	if (!passed)
		w->may[DROP_TCP_WINDOW] = w->may[DROP_TCP_RST] = w->may[DROP_TCP_STATE] = w->may[DROP_TCP_FLAGS] = true;
	return passed;
}

static bool pass(struct walk *w, enum nat_dir dir)
{
	struct model_session *s;
	bool is_new;

	if (dir == DIR_OUT)
		s = model_find_out(w->m, w->p->proto_class, w->src, w->sport, w->dst, remote_port(w, dir));
	else
		s = model_find_in(w->m, w->p->proto_class, w->dst, w->dport, w->src, remote_port(w, dir));
	is_new = s == NULL;
	if (is_new && !(w->hairpin && dir == DIR_IN) &&
	    model_address_wrong(w->policy, w->src, w->dst, dir == DIR_OUT && !w->hairpin)) {
		for (int r = DROP_MARTIAN_SOURCE; r <= DROP_SPOOFED_EXTERNAL; r++)
			w->may[r] = true;
		w->may[DROP_EXEMPT] = true;
		return false;
	}
	if (is_new && dir == DIR_OUT && w->hairpin && walk_hosts_port(w)) {
		w->to_host = true;
		return false;
	}
	if (is_new && dir == DIR_OUT && w->hairpin && !w->policy->hairpinning) {
		w->may[DROP_HAIRPIN_OFF] = w->answer_may = true;
		return false;
	}
	if (is_new && dir == DIR_OUT && !walk_opens(w))
		return false;
	if (is_new)
		s = dir == DIR_OUT ? walk_open_out(w) : walk_open_in(w);
	if (s == NULL) {
		w->answer_may = w->answer_may || w->from_inside;
		return false;
	}
	if (!is_new && !(w->p->proto_class == CLASS_TCP ? follow_tcp(w, s, dir) : follow_datagram(w, s, dir)))
		return false;
	if (!opener_is(s, dir) && (w->p->proto_class != CLASS_TCP || w->p->truth == TRUTH_GENUINE))
		s->answered = s->answered || w->p->proto_class != CLASS_TCP || !(w->p->flags & TCP_RST);
	else if (!opener_is(s, dir))
		s->perhaps_answered = true;
	s->packets[dir]++;
	w->m->followed = s;
	w->m->followed_dir = dir;
	s->bytes[dir] += w->m->lab->in[2] * 256u + w->m->lab->in[3];
	if (dir == DIR_OUT) {
		w->src = s->ext;
		w->sport = s->ext_port;
	} else {
		w->dst = s->in;
		w->dport = s->in_port;
	}
	if (w->p->proto_class == CLASS_ICMP && dir == DIR_OUT)
		w->dport = w->sport;
	if (w->p->proto_class == CLASS_ICMP && dir == DIR_IN)
		w->sport = w->dport;
	for (uint32_t i = 0; is_new && w->p->proto_class == CLASS_TCP && i < w->m->n_holds; i++) {
		struct model_hold *h = &w->m->holds[i]; /* RFC 5382 REQ-4: they are connected after all */

		if (h->src == s->rem && h->dst == s->ext && h->sport == s->rem_port && h->dport == s->ext_port)
			*h = w->m->holds[--w->m->n_holds];
	}
	return true;
}

/* ---- ICMP errors ---- */

/* Checks one pass of an error about `q`; rewrites q and the outer addresses. */
static bool pass_error(struct walk *w, struct model_packet *q, enum nat_dir dir)
{
	uint16_t rem_port = !has_ports(q->proto_class) ? 0 : dir == DIR_OUT ? q->sport : q->dport;
	struct model_session *s;

	if (q->src != w->dst) {
		w->may[DROP_ICMP_QUOTE_ADDRESS] = true;
		return false;
	}
	if (dir == DIR_OUT)
		s = model_find_out(w->m, q->proto_class, q->dst, q->dport, q->src, rem_port);
	else
		s = model_find_in(w->m, q->proto_class, q->src, q->sport, q->dst, rem_port);
	if (s == NULL) {
		w->may[DROP_ICMP_NO_SESSION] = true;
		return false;
	}
	if (dir == DIR_OUT && w->p->icmp_type == 3 && w->p->icmp_code == 3 &&
	    w->src != s->in) { /* only a host knows its ports */
		w->may[DROP_ICMP_SOURCE] = true;
		return false;
	}
	if (q->proto_class == CLASS_TCP && q->truth != TRUTH_GENUINE) {
		w->may[DROP_ICMP_QUOTE_SEQUENCE] = true;
		if (q->truth == TRUTH_FORGED && s->tcp.genuine && s->tcp.synced && s->state == SESSION_ESTABLISHED &&
		    !s->tcp.tainted[0] && !s->tcp.tainted[1])
			return false;
		if (lab_delta(w->m->lab, DROP_ICMP_QUOTE_SEQUENCE) > 0)
			return false;
	}
	if (dir == DIR_OUT) {
		q->dst = s->ext;
		q->dport = s->ext_port;
		w->src = s->ext; /* RFC 5508 REQ-5 */
	} else {
		q->src = s->in;
		q->sport = s->in_port;
		w->dst = s->in;
	}
	if (q->proto_class == CLASS_ICMP)
		q->sport = q->dport = dir == DIR_OUT ? q->dport : q->sport;
	return true;
}

static bool walk_error(struct walk *w, struct model_packet *q)
{
	bool external = model_is_external(w->policy, w->dst);

	if (model_address_wrong(w->policy, w->src, w->dst, !external)) {
		for (int r = DROP_MARTIAN_SOURCE; r <= DROP_SPOOFED_EXTERNAL; r++)
			w->may[r] = true;
		w->may[DROP_EXEMPT] = true;
		return false;
	}
	if (external && !w->from_inside)
		return pass_error(w, q, DIR_IN);
	return pass_error(w, q, DIR_OUT) && (!w->hairpin || pass_error(w, q, DIR_IN));
}

enum nat_to model_judge(struct model *m, const struct model_packet *p)
{
	struct model_packet q = p->quote ? *p->quote : *p;
	struct walk w = {.m = m,
			 .p = p,
			 .policy = &m->lab->policy,
			 .src = p->src,
			 .dst = p->dst,
			 .sport = p->sport,
			 .dport = p->dport};
	bool external = model_is_external(w.policy, p->dst), ok;
	enum nat_to to;

	if (lab_delta(m->lab, COUNT_EARLY_SWEEP) > 0)
		model_early_sweep(m);
	w.from_inside = !external || model_is_inside(w.policy, p->src);
	w.hairpin = external && model_is_inside(w.policy, p->src);
	to = external ? NAT_TO_INSIDE : NAT_TO_OUTSIDE;
	if (external && !w.from_inside && model_is_external(w.policy, p->src)) { /* CONFORMANCE L: spoofed */
		w.may[DROP_SPOOFED_EXTERNAL] = w.may[DROP_LAND] = true;
		ok = false;
	} else if (p->quote) {
		ok = walk_error(&w, &q);
	} else if (w.hairpin) {
		ok = pass(&w, DIR_OUT) && pass(&w, DIR_IN);
	} else {
		ok = pass(&w, external ? DIR_IN : DIR_OUT);
	}
	if (w.to_host) {
		w.src = p->src;
		w.dst = p->dst;
		w.sport = p->sport;
		w.dport = p->dport;
		to = NAT_TO_HOST;
		m->to_host++;
	}
	if (ok || w.to_host) {
		walk_check_sent(&w, to);
		m->passed++;
		m->hairpins += w.hairpin;
		if (p->quote) {
			walk_check_quote(&w, &q);
			m->errors++;
		}
		return to;
	}
	must(&w, lab_delta(m->lab, DROP_FRAGMENT_REFUSED) == m->held,
	     "fragments held for a first one that was dropped");
	must(&w, walk_reason_seen(&w) != NAT_PASS, "not dropped although it must be");
	must(&w, w.may[walk_reason_seen(&w)], "dropped for a reason that does not hold");
	walk_check_own_error(&w);
	m->dropped++;
	return NAT_NOWHERE;
}
