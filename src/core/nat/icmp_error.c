/* SPDX-License-Identifier: ISC */
/*
 * ICMP errors: those that pass through, whose quoted packet is translated as well (RFC 5508 REQ-4, 5, 7), and those
 * that natd owes as a router.
 *
 * An error quotes a packet that its sender has seen. Inbound, the quote is the packet that natd sent out, so its source
 * is the external endpoint; outbound, it is the packet that natd sent in, so its destination is the internal one.
 * Either way the quote must match a session, and the outer destination must be the quoted source (CVE-2019-5598). An
 * error never opens, refreshes or ends anything (RFC 5508 REQ-6, RFC 4787 REQ-12).
 */
#include <string.h>

#include "core/packet/reset.h"
#include "nat_private.h"

enum { MTU_LEAST = 68 /* RFC 791: every host takes it; a smaller next-hop MTU is an attack */ };

static void quote_key(const struct nat *n, const struct pkt_view *q, enum nat_dir dir, struct session_key *k)
{
	bool has_ports = q->proto_class == CLASS_TCP || q->proto_class == CLASS_UDP;
	uint16_t remote_port = dir == DIR_OUT ? q->sport : q->dport;

	k->dir = (uint8_t)dir;
	k->proto_class = q->proto_class;
	k->remote_port = has_ports ? remote_port : 0;
	if (dir == DIR_OUT) {
		k->local = q->dst;
		k->local_port = q->dport;
		k->remote = q->src;
	} else {
		k->local = (uint32_t)nat_external_slot(n, q->src);
		k->local_port = q->sport;
		k->remote = q->dst;
	}
}

/* Errors that only the host itself can send (RFC 1122 3.2.2.1). The others may come from an inside router (RFC 5508
 * REQ-5). */
static bool is_for_its_host(const struct pkt_view *v)
{
	return v->icmp_type == ICMP_UNREACH &&
	       (v->icmp_code == ICMP_UNREACH_PROTOCOL || v->icmp_code == ICMP_UNREACH_PORT);
}

static enum nat_reason check_error(const struct session *s, const struct work *w, const struct pkt_view *q)
{
	const struct pkt_view *v = &w->v;
	enum nat_dir sender = w->dir == DIR_OUT ? DIR_IN : DIR_OUT;

	if (w->dir == DIR_OUT && v->src != s->int_addr && is_for_its_host(v))
		return DROP_ICMP_SOURCE;
	if (q->proto_class == CLASS_TCP && !tcp_sequence_was_sent(s, sender, q->tcp_seq))
		return DROP_ICMP_QUOTE_SEQUENCE;
	if (v->icmp_type == ICMP_UNREACH && v->icmp_code == ICMP_UNREACH_NEEDFRAG) {
		uint16_t mtu = load16(v->l4 + 6);

		if (mtu != 0 && mtu < MTU_LEAST) /* 0: a router from before RFC 1191 */
			return DROP_ICMP_MTU;
	}
	return NAT_PASS;
}

static void translate_error(struct nat *n, struct work *w, struct pkt_view *q, const struct session *s)
{
	struct rewrite inner = {.src = q->src, .dst = q->dst, .sport = q->sport, .dport = q->dport};
	struct rewrite outer = {.src = w->v.src, .dst = w->v.dst, .sport = w->v.sport, .dport = w->v.dport};
	uint32_t external = table_address(n->table, s->ext);

	if (w->dir == DIR_OUT) {
		inner.dst = external;
		inner.dport = s->ext_port;
		outer.src = external; /* RFC 5508 REQ-5: errors of every inside sender have natd's address as source */
	} else {
		inner.src = s->int_addr;
		inner.sport = s->int_port;
		outer.dst = s->int_addr;
	}
	if (q->proto_class == CLASS_ICMP)
		inner.sport = inner.dport = w->dir == DIR_OUT ? inner.dport : inner.sport;
	rewrite_quote(&w->v, q, &inner);
	rewrite_apply(&w->v, &outer);
}

static enum nat_reason pass_error(struct nat *n, struct work *w)
{
	struct session_key k;
	struct session *s;
	struct pkt_view q;
	enum nat_reason why = packet_parse_quote(&w->v, &q);

	if (why != NAT_PASS)
		return why;
	if (w->v.dst != q.src)
		return DROP_ICMP_QUOTE_ADDRESS;
	quote_key(n, &q, (enum nat_dir)w->dir, &k);
	s = table_find(n->table, &k, table_hash(n->table, &k), n->now_s);
	if (s == NULL || (n->judging.runs && !nat_judge_allows(n, s)))
		return DROP_ICMP_NO_SESSION;
	w->session = s;
	if (n->mirror != NULL)
		mirror_take_over(n, s);
	why = check_error(s, w, &q);
	if (why == NAT_PASS && !icmp_pass_take(&n->icmp_pass, table_session_id(n->table, s), n->now_s))
		why = DROP_ICMP_RATE;
	if (why == NAT_PASS) {
		if (w->dir == DIR_IN)
			w->mtu = rules_inside_mtu(n->rules, s->int_addr);
		else
			w->mtu = n->policy->outside_mtu;
		translate_error(n, w, &q, s);
	}
	return why;
}

void nat_icmp_error(struct nat *n, struct work *w)
{
	uint8_t least_ttl = w->p->source == NAT_FROM_ICMP ? 2 : 1; /* see check_before() in pass.c */
	enum nat_reason why;

	if (w->v.frag != FRAG_NONE) { /* the checksum cannot be verified, and no router sends such errors */
		nat_drop(n, w, DROP_ICMP_QUOTE);
		return;
	}
	if (w->v.ttl < least_ttl) {
		nat_drop(n, w, DROP_TTL);
		return;
	}
	if (w->p->source == NAT_FROM_ICMP)
		rewrite_decrement_ttl(&w->v);
	why = pass_error(n, w);
	if (why == NAT_PASS && w->hairpin) { /* RFC 5508 REQ-7 */
		w->dir = DIR_IN;
		why = pass_error(n, w);
	}
	if (why != NAT_PASS) {
		nat_drop(n, w, why);
		return;
	}
	if (w->dir == DIR_OUT)
		rewrite_ip_id(&w->v, nat_new_id(n, &w->v, 1));
	n->counters[COUNT_ICMP_TRANSLATED]++;
	nat_send(n, w, nat_destination(n, w));
}

/* ---- errors of natd's own ---- */

/* Restores the bytes as the sender sent them: a quote must not show one side's addresses to the other. */
void nat_restore(struct work *w)
{
	struct rewrite rw = {
		.src = w->origin.src,
		.dst = w->origin.dst,
		.sport = w->origin.sport,
		.dport = w->origin.dport,
		.csum_partial = w->p->csum_partial,
	};

	if (!w->hairpin) /* a pass writes last, and there is only one */
		return;
	rewrite_apply(&w->v, &rw);
	rewrite_ip_id(&w->v, w->origin.id);
}

static uint32_t answer_source(const struct nat *n, const struct work *w)
{
	if (!w->from_inside)
		return w->v.dst;
	if (n->policy->icmp_source != 0)
		return n->policy->icmp_source;
	return rules_address_count(n->rules) > 0 ? rules_address_at(n->rules, 0) : 0;
}

void nat_answer(struct nat *n, struct work *w, uint8_t type, uint8_t code, uint16_t mtu)
{
	struct icmp_error e = {.src = answer_source(n, w), .type = type, .code = code, .mtu = mtu};
	struct nat_packet out = {.to = w->from_inside ? NAT_TO_INSIDE : NAT_TO_OUTSIDE};
	uint8_t bytes[ICMP_ERROR_MAX];

	nat_restore(w);
	if (e.src == 0 || !icmp_may_answer(&w->v))
		return;
	if (!icmp_limit_take(&n->icmp_limit, prf_hash(n->id_key, w->v.src), n->now_ms, prf_next(&n->prf))) {
		n->counters[COUNT_ICMP_LIMITED]++;
		return;
	}
	out.data = bytes;
	out.len = (uint32_t)icmp_build(bytes, &w->v, &e);
	n->counters[COUNT_ICMP_SENT]++;
	n->emit(n->emit_ctx, &out, true);
}

/* Under the same limit as ICMP errors: both answer a packet that may be forged. */
void nat_answer_reset(struct nat *n, struct work *w)
{
	struct nat_packet out = {.to = w->from_inside ? NAT_TO_INSIDE : NAT_TO_OUTSIDE};
	uint8_t bytes[TCP_RESET_LEN];
	struct tcp_reset r;

	nat_restore(w);
	if (!icmp_limit_take(&n->icmp_limit, prf_hash(n->id_key, w->v.src), n->now_ms, prf_next(&n->prf))) {
		n->counters[COUNT_ICMP_LIMITED]++;
		return;
	}
	out.data = bytes;
	r = tcp_reset_of(&w->v);
	out.len = (uint32_t)tcp_reset_build(bytes, &r);
	n->counters[COUNT_RESET_SENT]++;
	n->emit(n->emit_ctx, &out, true);
}

/* RFC 6888 REQ-11B, RFC 5508 REQ-8: lack of resources. */
static bool is_about_resources(enum nat_reason why)
{
	return why == DROP_NO_ADDRESS || why == DROP_NO_PORT || why == DROP_SESSIONS_FULL ||
	       why == DROP_HOST_SESSIONS || why == DROP_HOST_PORTS || why == DROP_HOST_BLOCKS ||
	       why == DROP_HOST_SHARE || why == DROP_HOST_RATE || why == DROP_UNANSWERED_BUDGET || why == DROP_TABLE ||
	       why == DROP_OTHER_BUSY;
}

void nat_answer_refused(struct nat *n, struct work *w, enum nat_reason why)
{
	enum nat_exhausted_icmp how = n->policy->exhausted_icmp;
	uint8_t code = ICMP_UNREACH_ADMIN;

	if (!w->from_inside || how == EXHAUSTED_NONE)
		return;
	if (why == DROP_OTHER_PROTOCOL)
		code = ICMP_UNREACH_PROTOCOL; /* RFC 1812 5.2.7.1: its sender can try another one */
	else if (is_about_resources(why) && how == EXHAUSTED_HOST_UNREACHABLE)
		code = ICMP_UNREACH_HOST;
	else if (!is_about_resources(why) && why != DROP_HAIRPIN_OFF)
		return;
	nat_answer(n, w, ICMP_UNREACH, code, 0);
}
