/* SPDX-License-Identifier: ISC */
/*
 * One pass through the NAT in one direction: find the session, let the protocol check the packet, check its size
 * against the way out, rewrite. This is the fast path; new sessions go to open.c.
 */
#include <string.h>

#include "nat_private.h"

/*
 * A datagram that may be fragmented somewhere needs an IP id unique per (source, destination, protocol), and several
 * inside hosts now share one source (RFC 6864 5.3.1). natd counts its own ids for each such triple, so that no
 * destination's ids reveal how much others are sent (RFC 7739 5.3). The ids of one triple are consecutive: only such
 * datagrams can be joined (merge.h). A replaced counter starts elsewhere when it is needed again; counters used since
 * the last search of their set stay.
 */
static struct id_counter *new_counter(struct nat *n, struct id_counter *set, uint32_t tag)
{
	uint64_t random = prf_next(&n->id_prf);
	uint32_t way = (uint32_t)(random >> 32) % ID_WAYS;

	for (uint32_t i = 0; i < ID_WAYS && set[way].used; i++) {
		set[way].used = false;
		way = (way + 1) % ID_WAYS;
	}
	set[way] = (struct id_counter){.tag = tag, .next = (uint16_t)random};
	return &set[way];
}

uint16_t nat_new_id(struct nat *n, const struct pkt_view *v, uint32_t count)
{
	unsigned __int128 m =
		(unsigned __int128)(((uint64_t)v->dst << 32 | v->src) ^ n->id_key[0]) * (v->proto ^ n->id_key[1]);
	uint64_t h = (uint64_t)(m >> 64) ^ (uint64_t)m;
	struct id_counter *set = n->ids[(h >> 32) % ID_SETS], *c = NULL;
	uint32_t tag = (uint32_t)h | 1;
	uint16_t id;

	for (unsigned i = 0; i < ID_WAYS && c == NULL; i++)
		if (set[i].tag == tag)
			c = &set[i];
	if (c != NULL)
		c->used = true;
	else
		c = new_counter(n, set, tag);
	id = c->next;
	c->next = (uint16_t)(c->next + count);
	return id;
}

/* ---- size for the way out ---- */

static uint32_t segment_len(const struct work *w)
{
	const struct nat_packet *p = w->p;
	uint32_t header;

	if (p->gso_size == 0)
		return w->v.len;
	header = w->v.kind == PKT_TCP ? w->v.tcp_hlen : 8;
	return w->v.ihl + header + p->gso_size;
}

static uint16_t outbound_mtu(const struct nat *n, const struct work *w)
{
	return w->hairpin ? 0 : n->policy->outside_mtu;
}

static uint16_t inbound_mtu(const struct nat *n, const struct session *s)
{
	return n->min_inside_mtu == 0 ? 0 : rules_inside_mtu(n->rules, s->int_addr);
}

/* Drops it with an ICMP error to its sender, unless the source cannot be a host. */
static enum nat_reason refuse(const struct nat *n, struct work *w, const struct icmp_error *e, enum nat_reason why)
{
	enum nat_reason wrong = nat_check_addresses(n, w);

	if (wrong != NAT_PASS)
		return wrong;
	w->reply = (struct reply){.type = e->type, .code = e->code, .mtu = e->mtu};
	return why;
}

/* RFC 4787 REQ-13, RFC 1191: too large with DF is answered; without DF it is cut when sent. The host's stack has
 * reassembled its copy of an ICMP packet, whatever its DF says. */
static __attribute__((noinline)) enum nat_reason check_large(const struct nat *n, struct work *w, uint16_t mtu)
{
	if (segment_len(w) <= mtu)
		return NAT_PASS;
	if (w->p->gso_size == 0 && (!w->v.dont_fragment || w->p->source == NAT_FROM_ICMP))
		return NAT_PASS;
	return refuse(n, w, &(struct icmp_error){.type = ICMP_UNREACH, .code = ICMP_UNREACH_NEEDFRAG, .mtu = mtu},
		      DROP_TOO_BIG);
}

static inline enum nat_reason check_size(const struct nat *n, struct work *w, uint16_t mtu)
{
	w->mtu = mtu;
	return mtu == 0 || w->v.len <= mtu ? NAT_PASS : check_large(n, w, mtu);
}

static __attribute__((noinline)) enum nat_reason check_ttl(const struct nat *n, struct work *w)
{
	if (w->v.ttl <= 1)
		return refuse(n, w, &(struct icmp_error){.type = ICMP_TIME_EXCEEDED}, DROP_TTL);
	rewrite_decrement_ttl(&w->v);
	return NAT_PASS;
}

/* ---- the packet's effect on the session ---- */

static bool opened_by(const struct session *s, enum nat_dir dir)
{
	return ((s->kind & SESSION_KIND_FROM_OUTSIDE) != 0) == (dir == DIR_IN);
}

/* Perhaps: the table knows. An RST answers nothing (RFC 7857 7.1), nor does a packet that may be forged; a later one
 * may. */
static bool may_answer(const struct session *s, const struct work *w, enum session_state before)
{
	bool was_open = before > SESSION_SYN_BOTH && before != SESSION_RESET;

	return !opened_by(s, (enum nat_dir)w->dir) && !(w->v.tcp_flags & TCP_RST) &&
	       (s->packets[w->dir] == 0 || !was_open);
}

static enum nat_reason track_tcp(struct nat *n, struct session *s, struct work *w)
{
	enum session_state before = session_state(s);
	struct tcp_result r = tcp_track(s, (enum nat_dir)w->dir, &w->v);

	if (!(r.effects & TCP_TRANSLATE))
		return r.reason;
	if ((r.effects & TCP_REFRESH) && tcp_keeps_alive((enum nat_dir)w->dir, before, session_state(s)))
		s->seen_s = n->now_s;
	if (!(r.effects & TCP_LIBERAL) && may_answer(s, w, before))
		table_session_answered(n->table, s);
	if (r.effects & TCP_REVIVED)
		n->counters[COUNT_TCP_REVIVED]++;
	if (r.effects & TCP_LIBERAL)
		n->counters[COUNT_TCP_LIBERAL]++;
	if (session_state(s) != before)
		table_session_changed(n->table, s, before);
	return NAT_PASS;
}

/* A reply must go where a query came from, and the reverse (RFC 5508 REQ-1). */
static inline enum nat_reason check_icmp_kind(const struct work *w, bool by_opener)
{
	if ((w->v.kind == PKT_ICMP_QUERY) == by_opener)
		return NAT_PASS;
	return w->v.kind == PKT_ICMP_QUERY ? DROP_UNSOLICITED : DROP_ICMP_NO_SESSION;
}

enum nat_reason nat_check_icmp_kind(const struct work *w, bool by_opener)
{
	return check_icmp_kind(w, by_opener);
}

/* The first answer makes the session ESTABLISHED. */
static __attribute__((noinline)) void answer_datagram(struct nat *n, struct session *s, const struct work *w)
{
	enum session_state before = session_state(s);

	if (s->packets[w->dir] == 0) {
		table_session_answered(n->table, s);
		s->end[0] = s->packets[!w->dir];
	}
	if (before == SESSION_ESTABLISHED)
		return;
	session_set_state(s, SESSION_ESTABLISHED);
	table_session_changed(n->table, s, before);
}

/*
 * Outbound packets refresh (RFC 4787 REQ-6). Inbound ones refresh only sessions opened from inside, so that no outside
 * host keeps a mapping alive by itself (RFC 7857 7).
 */
static inline enum nat_reason track_datagram(struct nat *n, struct session *s, const struct work *w)
{
	bool from_outside = (s->kind & SESSION_KIND_FROM_OUTSIDE) != 0;
	bool by_opener = from_outside == (w->dir == DIR_IN);
	enum nat_reason why = w->v.proto_class == CLASS_ICMP ? check_icmp_kind(w, by_opener) : NAT_PASS;

	if (why != NAT_PASS)
		return why;
	if (w->dir == DIR_OUT || !from_outside)
		s->seen_s = n->now_s;
	if (!by_opener && (s->packets[w->dir] == 0 || session_state(s) != SESSION_ESTABLISHED))
		answer_datagram(n, s, w);
	return NAT_PASS;
}

static inline enum nat_reason track(struct nat *n, struct session *s, struct work *w)
{
	return w->v.kind == PKT_TCP ? track_tcp(n, s, w) : track_datagram(n, s, w);
}

/* A super-packet counts as its segments. */
static uint32_t segments_in(const struct work *w)
{
	uint32_t header;

	if (w->p->gso_size == 0)
		return 1;
	header = (uint32_t)w->v.ihl + (w->v.kind == PKT_TCP ? w->v.tcp_hlen : 8u);
	if (w->v.len <= header)
		return 1;
	return (w->v.len - header + w->p->gso_size - 1u) / w->p->gso_size;
}

static inline void account(struct session *s, const struct work *w, uint32_t packets)
{
	uint32_t dir = w->dir;

	s->packets[dir] += packets;
	s->bytes[dir] += w->v.len;
}

/* ---- rewriting ---- */

/* The smaller of the known MTUs. */
static uint16_t smaller_mtu(uint16_t a, uint16_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint16_t clamp_to(const struct nat *n, uint16_t way_out)
{
	const struct nat_policy *policy = n->policy;
	uint16_t mtu;

	if (policy->mss_clamp != MSS_CLAMP_AUTO)
		return (uint16_t)policy->mss_clamp;
	mtu = smaller_mtu(policy->outside_mtu, way_out);
	mtu = smaller_mtu(mtu, n->min_inside_mtu);
	mtu = smaller_mtu(mtu, policy->tun_mtu);
	return mtu > 40 + 88 ? (uint16_t)(mtu - 40) : 0; /* IP and TCP header, RFC 879 */
}

static __attribute__((noinline)) void clamp_mss(struct nat *n, struct work *w)
{
	uint16_t mss;

	if (n->policy->mss_clamp == MSS_CLAMP_OFF)
		return;
	if (w->hairpin && w->dir == DIR_OUT) /* the second half knows the way, or that it goes to the host unchanged */
		return;
	mss = clamp_to(n, w->mtu);
	if (mss != 0 && rewrite_clamp_mss(&w->v, mss, w->p->csum_partial))
		n->counters[COUNT_MSS_CLAMPED]++;
}

static void rewrite_pass(struct nat *n, struct work *w, const struct session *s)
{
	struct pkt_view *v = &w->v;

	if (w->dir == DIR_IN) {
		rewrite_destination(v, s->int_addr, s->int_port, w->p->csum_partial);
		return;
	}
	rewrite_source(v, table_address(n->table, s->ext), s->ext_port, w->p->csum_partial);
	if (!v->dont_fragment || v->frag != FRAG_NONE)
		rewrite_ip_id(v, nat_new_id(n, v, segments_in(w)));
}

/* Checks that need no session. */
static inline enum nat_reason check_before(const struct nat *n, struct work *w)
{
	enum nat_reason why = NAT_PASS;

	/* The kernel, or a tc program in its place, decremented the TTL before the TUN; the program leaves 0 of 1. */
	if (w->p->source == NAT_FROM_ICMP || w->v.ttl == 0)
		why = check_ttl(n, w);
	if (why == NAT_PASS && w->dir == DIR_OUT)
		why = check_size(n, w, outbound_mtu(n, w));
	return why;
}

enum nat_reason nat_check_before(struct nat *n, struct work *w)
{
	return check_before(n, w);
}

enum nat_reason nat_check_inbound_size(struct nat *n, struct work *w, uint32_t to)
{
	return check_size(n, w, n->min_inside_mtu == 0 ? 0 : rules_inside_mtu(n->rules, to));
}

/* For readers of refusals: the packet's tuple, with its outside endpoint if it has one. */
static void record_refusal(struct nat *n, const struct work *w, enum nat_reason why)
{
	struct event *e;

	if (w->to_host || why == NAT_PASS || !event_is_wanted(n->events, EVENT_REFUSED))
		return;
	e = event_claim(n->events, EVENT_REFUSED);
	if (e == NULL)
		return;
	e->reason = (uint8_t)why;
	e->kind = w->v.proto_class;
	if (w->dir == DIR_OUT) {
		e->int_addr = w->v.src;
		e->int_port = w->v.sport;
		e->rem_addr = w->v.dst;
		e->rem_port = w->v.dport;
	} else {
		e->kind |= SESSION_KIND_FROM_OUTSIDE;
		e->ext_addr = w->v.dst;
		e->ext_port = w->v.dport;
		e->rem_addr = w->v.src;
		e->rem_port = w->v.sport;
	}
}

/* Opens a session if policy allows it. NULL: w->reason says why, or w->to_host is set. */
static __attribute__((noinline)) struct session *open_new(struct nat *n, struct work *w)
{
	enum nat_reason why = nat_check_addresses(n, w);
	struct session *s = why == NAT_PASS ? nat_open(n, w, &why) : NULL;

	if (s == NULL) {
		w->reason = (uint8_t)why;
		record_refusal(n, w, why);
	}
	return s;
}

enum nat_reason nat_pass(struct nat *n, struct work *w)
{
	enum nat_reason why = check_before(n, w);
	struct session *s;
	uint32_t packets;
	bool is_new = false, is_mirrored;

	if (why != NAT_PASS)
		return why;
	s = table_finish_lookup(n->table, &w->probe, n->now_s);
	if (n->judging.runs && s != NULL)
		s = nat_judge_met(n, s);
	if (s == NULL) {
		is_new = true;
		s = open_new(n, w);
	}
	if (s == NULL)
		return (enum nat_reason)w->reason;
	w->session = s;
	is_mirrored = n->mirror != NULL && !is_new;
	if (is_mirrored)
		mirror_take_over(n, s);
	why = w->dir == DIR_IN ? check_size(n, w, inbound_mtu(n, s)) : NAT_PASS;
	if (why == NAT_PASS && !is_new)
		why = track(n, s, w);
	if (why != NAT_PASS)
		return why;
	packets = segments_in(w);
	account(s, w, packets);
	if (is_mirrored)
		mirror_follow(n, s, w, packets);
	if (w->v.tcp_flags & TCP_SYN)
		clamp_mss(n, w);
	rewrite_pass(n, w, s);
	return NAT_PASS;
}
