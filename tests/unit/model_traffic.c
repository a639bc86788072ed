/* SPDX-License-Identifier: ISC */
/* See model_traffic.h. */
#include "model_traffic.h"

#include <string.h>

/* ---- choices ---- */

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define ANY(t, a) ((a)[t->below(COUNT(a))])

static bool chance(const struct model_traffic *t, uint32_t percent)
{
	return t->below(100) < percent;
}

static const uint32_t hosts[] = {LAB_A, LAB_B, LAB_C, LAB_WEB};
static const uint32_t remotes[] = {LAB_S1, LAB_S2, LAB_S3};
static const uint16_t in_ports[] = {5000, 5001, 100, 101, 8080};
static const uint16_t rem_ports[] = {7, 53};
static const uint32_t odd_addresses[] = {0,
					 0x7f000001,
					 0xffffffff,
					 BUILD_IP(224, 0, 0, 1),
					 BUILD_IP(240, 0, 0, 1),
					 BUILD_IP(10, 99, 0, 1),
					 BUILD_IP(10, 8, 0, 255),
					 BUILD_IP(198, 51, 100, 77),
					 LAB_A,
					 LAB_B,
					 LAB_EXT,
					 LAB_EXT2,
					 LAB_S1,
					 LAB_S2};

static uint32_t any_external(const struct model_traffic *t)
{
	const struct nat_address_range *r;

	if (t->lab->policy.n_addresses == 0)
		return LAB_EXT;
	r = &t->lab->addresses[t->below(t->lab->policy.n_addresses)];
	return r->first + t->below(r->last - r->first + 1);
}

/* Mostly one that is mapped or forwarded. */
static uint16_t any_external_port(const struct model_traffic *t)
{
	const struct nat_range *r = &t->lab->pool_ports[0];

	if (chance(t, 60) && t->model->n_sessions > 0)
		return t->model->sessions[t->below(t->model->n_sessions)].ext_port;
	if (chance(t, 40) && t->lab->policy.n_forwards > 0)
		return (uint16_t)(t->lab->forwards[t->below(t->lab->policy.n_forwards)].ports.first + t->below(2));
	return (uint16_t)(r->first + t->below((uint32_t)(r->last - r->first + 3)));
}

static uint8_t any_class(const struct model_traffic *t)
{
	static const uint8_t classes[] = {CLASS_UDP, CLASS_UDP,	 CLASS_TCP,  CLASS_TCP,
					  CLASS_TCP, CLASS_ICMP, CLASS_OTHER};

	return ANY(t, classes);
}

/* ---- sending ---- */

static uint8_t proto_of(uint8_t proto_class)
{
	static const uint8_t protos[CLASS_COUNT] = {6, 17, 1, 47};

	return protos[proto_class];
}

static struct build to_build(const struct model_traffic *t, const struct model_packet *p)
{
	struct build b = {.src = p->src,
			  .dst = p->dst,
			  .proto = proto_of(p->proto_class),
			  .sport = p->sport,
			  .dport = p->dport,
			  .seq = p->seq,
			  .flags = p->flags,
			  .window = 65535,
			  .payload_len = p->proto_class == CLASS_TCP ? p->data : 12,
			  .icmp_type = p->kind == PKT_ICMP_QUERY ? 8 : 0};

	b.id = (uint16_t)t->below(65536);
	b.df = chance(t, 50);
	return b;
}

static const char *const kinds[] = {"tcp", "udp", "query", "reply", "other", "error", "rest", "fragment"};

static void send(const struct model_traffic *t, const struct model_packet *p, size_t len)
{
	t->note("%llu.%03llu %s %08x:%u > %08x:%u flags %02x seq %u data %u truth %d",
		(unsigned long long)t->lab->now_ms / 1000, (unsigned long long)t->lab->now_ms % 1000, kinds[p->kind],
		p->src, p->sport, p->dst, p->dport, p->flags, p->seq, p->data, p->truth);
	t->keep(t->lab->in, len);
	if (p->quote)
		t->note("   about %s %08x:%u > %08x:%u truth %d", kinds[p->quote->kind], p->quote->src, p->quote->sport,
			p->quote->dst, p->quote->dport, p->quote->truth);
	model_clock(t->model);
	lab_send(t->lab, t->lab->in, len);
	model_judge(t->model, p);
}

static void send_packet(const struct model_traffic *t, const struct model_packet *p, uint32_t ack)
{
	struct build b = to_build(t, p);
	size_t len;

	b.ack = ack;
	b.no_checksum = chance(t, 10);
	len = build_packet(t->lab->in, &b);
	if (chance(t, 5)) /* a wrong one stays wrong by the same */
		t->lab->in[len - 1] ^= (uint8_t)(1 + t->below(255));
	if (chance(t, 5))
		len += t->below(9); /* padding of a link */
	t->lab->in_len = len;
	send(t, p, len);
}

/* ---- kinds of packets ---- */

static void finish(const struct model_traffic *t, struct model_packet *p)
{
	static const uint8_t flags[] = {TCP_SYN,	   TCP_SYN, TCP_SYN,	       TCP_ACK,
					TCP_SYN | TCP_ACK, TCP_RST, TCP_FIN | TCP_ACK, TCP_RST | TCP_ACK};

	if (p->proto_class == CLASS_TCP) {
		p->kind = PKT_TCP;
		p->flags = ANY(t, flags);
		p->seq = t->below(UINT32_MAX);
		p->truth = p->flags == TCP_SYN ? TRUTH_GENUINE : TRUTH_UNKNOWN;
	} else if (p->proto_class == CLASS_UDP) {
		p->kind = PKT_UDP;
	} else if (p->proto_class == CLASS_ICMP) {
		p->kind = chance(t, 80) ? PKT_ICMP_QUERY : PKT_ICMP_REPLY;
		p->dport = p->sport;
	} else {
		p->kind = PKT_OTHER;
		p->sport = p->dport = 47;
	}
}

/* TCP to a session that may be there already is nothing that its endpoint would send. */
static void doubt(const struct model_traffic *t, struct model_packet *p)
{
	if (model_is_inside(&t->lab->policy, p->src) && model_is_external(&t->lab->policy, p->dst))
		p->truth = TRUTH_UNKNOWN; /* it meets two */
	if (p->proto_class == CLASS_TCP &&
	    (model_find_out(t->model, p->proto_class, p->src, p->sport, p->dst, p->dport) ||
	     model_find_in(t->model, p->proto_class, p->dst, p->dport, p->src, p->sport)))
		p->truth = TRUTH_UNKNOWN;
}

void traffic_new_out(const struct model_traffic *t)
{
	struct model_packet p = {.src = ANY(t, hosts),
				 .sport = ANY(t, in_ports),
				 .dport = ANY(t, rem_ports),
				 .proto_class = any_class(t)};

	p.dst = ANY(t, remotes);
	if (chance(t, 15)) { /* hairpin */
		p.dst = any_external(t);
		p.dport = any_external_port(t);
	}
	finish(t, &p);
	doubt(t, &p);
	send_packet(t, &p, t->below(UINT32_MAX));
}

void traffic_new_in(const struct model_traffic *t)
{
	struct model_packet p = {.src = ANY(t, remotes), .sport = ANY(t, rem_ports), .proto_class = any_class(t)};

	p.dst = any_external(t);
	p.dport = any_external_port(t);
	if (p.proto_class == CLASS_ICMP)
		p.sport = p.dport;
	finish(t, &p);
	doubt(t, &p);
	send_packet(t, &p, t->below(UINT32_MAX));
}

void traffic_odd(const struct model_traffic *t)
{
	struct model_packet p = {
		.src = ANY(t, odd_addresses), .dst = ANY(t, odd_addresses), .proto_class = any_class(t)};

	p.sport = chance(t, 50) ? any_external_port(t) : ANY(t, in_ports);
	p.dport = chance(t, 50) ? any_external_port(t) : ANY(t, rem_ports);
	finish(t, &p);
	doubt(t, &p);
	send_packet(t, &p, t->below(UINT32_MAX));
}

/* ---- packets of sessions ---- */

static void towards(const struct model_session *s, enum nat_dir dir, struct model_packet *p)
{
	p->proto_class = s->proto_class;
	if (dir == DIR_OUT) {
		p->src = s->in;
		p->sport = s->in_port;
		p->dst = s->rem;
		p->dport = s->rem_port;
	} else {
		p->src = s->rem;
		p->sport = s->rem_port;
		p->dst = s->ext;
		p->dport = s->ext_port;
	}
	if (s->proto_class == CLASS_ICMP)
		p->sport = p->dport = dir == DIR_OUT ? s->in_port : s->ext_port;
	if (s->proto_class == CLASS_OTHER)
		p->sport = p->dport = 47;
}

static uint32_t far_from(const struct model_traffic *t, uint32_t seq)
{
	return seq + 0x40000000 + (uint32_t)t->below(0x40000000);
}

static uint32_t forge(const struct model_traffic *t, const struct model_session *s, enum nat_dir dir,
		      struct model_packet *p)
{
	static const uint8_t flags[] = {TCP_RST, TCP_RST | TCP_ACK, TCP_FIN | TCP_ACK, TCP_ACK, TCP_SYN};

	p->flags = ANY(t, flags);
	if (p->flags == TCP_SYN && s->state != SESSION_ESTABLISHED)
		p->flags = TCP_RST;
	p->seq = far_from(t, s->tcp.next[dir]);
	p->data = p->flags == TCP_ACK ? t->below(3) : 0;
	p->truth = TRUTH_FORGED;
	return t->below(UINT32_MAX);
}

/* The next segment of a conversation in which everybody acknowledges all he has seen. Its acknowledgement. */
static uint32_t converse(const struct model_traffic *t, const struct model_session *s, enum nat_dir *dir,
			 struct model_packet *p)
{
	const struct model_tcp *c = &s->tcp;
	enum nat_dir peer;

	if (c->answered && !c->synced && chance(t, 70))
		*dir = (enum nat_dir)c->opener;
	if (c->unacked[*dir] > 50000)
		*dir = *dir == DIR_OUT ? DIR_IN : DIR_OUT;
	peer = *dir == DIR_OUT ? DIR_IN : DIR_OUT;
	p->truth = TRUTH_GENUINE;
	p->flags = TCP_ACK;
	p->seq = c->next[*dir];
	if (!c->answered && *dir == c->opener) {
		p->flags = TCP_SYN;
		p->seq--;
	} else if (!c->answered) {
		p->flags = TCP_SYN | TCP_ACK;
		p->seq = t->below(UINT32_MAX);
	} else if (!c->synced && *dir != c->opener) {
		p->flags = TCP_SYN | TCP_ACK;
		p->seq--;
	} else if (!c->fin[*dir]) {
		p->data = chance(t, 60) ? t->below(100) : 0;
		if (chance(t, 12))
			p->flags |= TCP_FIN;
		else if (chance(t, 4) && c->synced && !c->tainted[*dir])
			p->flags = TCP_RST;
	}
	if (p->flags == TCP_RST)
		p->data = 0;
	return c->next[peer];
}

static void send_known_tcp(const struct model_traffic *t, const struct model_session *s, enum nat_dir dir)
{
	static const uint8_t flags[] = {TCP_SYN, TCP_ACK,	    TCP_SYN | TCP_ACK,
					TCP_RST, TCP_FIN | TCP_ACK, TCP_RST | TCP_ACK};
	struct model_packet p = {.kind = PKT_TCP};
	uint32_t ack = t->below(UINT32_MAX);

	if (s->tcp.genuine && s->tcp.synced && chance(t, 15)) {
		ack = forge(t, s, dir, &p);
	} else if (s->tcp.genuine && chance(t, 95)) {
		ack = converse(t, s, &dir, &p);
	} else {
		p.flags = ANY(t, flags);
		p.seq = chance(t, 50) ? s->tcp.next[dir] + t->below(5) - 2 : t->below(UINT32_MAX);
		p.data = p.flags & TCP_SYN ? 0 : t->below(20);
	}
	if ((s->state == SESSION_TIME_WAIT || s->state == SESSION_RESET) && chance(t, 30)) { /* again */
		p.flags = TCP_SYN;
		p.data = 0;
		p.seq = t->below(UINT32_MAX);
		p.truth = TRUTH_GENUINE;
	}
	towards(s, dir, &p);
	/* Between two of natd's own hosts one segment meets two sessions, and they see different things. */
	if (model_is_external(&t->lab->policy, s->rem))
		p.truth = TRUTH_UNKNOWN;
	send_packet(t, &p, ack);
}

void traffic_known(const struct model_traffic *t)
{
	const struct model_session *s;
	enum nat_dir dir = chance(t, 50) ? DIR_OUT : DIR_IN;
	struct model_packet p = {0};

	model_clock(t->model);
	if (t->model->n_sessions == 0)
		return;
	s = &t->model->sessions[t->below(t->model->n_sessions)];
	if (s->proto_class == CLASS_TCP) {
		send_known_tcp(t, s, dir);
		return;
	}
	towards(s, dir, &p);
	p.kind = s->proto_class == CLASS_UDP ? PKT_UDP : PKT_OTHER;
	if (s->proto_class == CLASS_ICMP)
		p.kind = s->from_outside == (dir == DIR_IN) || chance(t, 5) ? PKT_ICMP_QUERY : PKT_ICMP_REPLY;
	if (chance(t, 10) && s->proto_class != CLASS_ICMP &&
	    s->proto_class != CLASS_OTHER) { /* a stranger, as filtering sees him */
		if (dir == DIR_IN)
			p.src = ANY(t, remotes), p.sport = ANY(t, rem_ports);
		else
			p.dst = ANY(t, remotes), p.dport = ANY(t, rem_ports);
	}
	send_packet(t, &p, 0);
}

/* ---- ICMP errors ---- */

/* The packet of session `s` that an error of direction `dir` is about, as the error's sender saw it: translated. */
static void quote_of(const struct model_traffic *t, const struct model_session *s, enum nat_dir dir,
		     struct model_packet *q)
{
	static const uint8_t kind[CLASS_COUNT] = {PKT_TCP, PKT_UDP, PKT_ICMP_QUERY, PKT_OTHER};

	towards(s, dir == DIR_OUT ? DIR_IN : DIR_OUT, q);
	if (dir == DIR_OUT) {
		q->dst = s->in;
		q->dport = s->in_port;
	} else {
		q->src = s->ext;
		q->sport = s->ext_port;
	}
	if (s->proto_class == CLASS_ICMP || s->proto_class == CLASS_OTHER)
		q->sport = q->dport = dir == DIR_OUT ? s->in_port : s->ext_port;
	q->kind = kind[s->proto_class];
	q->flags = TCP_ACK;
	if (s->proto_class != CLASS_TCP || !s->tcp.genuine || !s->tcp.synced || s->tcp.tainted[0] ||
	    s->tcp.tainted[1] || model_is_external(&t->lab->policy, s->rem))
		return;
	q->truth = chance(t, 80) ? TRUTH_GENUINE : TRUTH_FORGED;
	q->seq = s->tcp.next[dir == DIR_OUT ? DIR_IN : DIR_OUT] - 1;
	if (q->truth == TRUTH_FORGED)
		q->seq = far_from(t, q->seq);
}

/* Builds the error about `q` into the lab. RFC 792: sometimes it quotes the header and 8 bytes alone. */
static void build_error(const struct model_traffic *t, struct model_packet *p, const struct model_packet *q)
{
	static const uint8_t types[][2] = {{3, 0}, {3, 1}, {3, 3}, {3, 4}, {11, 0}, {12, 0}};
	const uint8_t *type = types[t->below(COUNT(types))];
	struct build b = to_build(t, q);
	uint8_t quoted[256];
	size_t len;

	p->icmp_type = type[0];
	p->icmp_code = type[1];
	b.payload_len = 12;
	b.df = true;
	len = build_packet(quoted, &b);
	if (q->proto_class != CLASS_OTHER && chance(t, 50))
		len = 28;
	b = (struct build){.src = p->src, .dst = p->dst, .icmp_type = type[0], .icmp_code = type[1], .icmp_rest = 1400};
	t->lab->in_len = build_icmp_error(t->lab->in, &b, quoted, len);
}

void traffic_error(const struct model_traffic *t)
{
	enum nat_dir dir = chance(t, 50) ? DIR_OUT : DIR_IN;
	const struct model_session *s;
	struct model_packet q = {.truth = TRUTH_UNKNOWN};
	struct model_packet p = {.kind = PKT_ICMP_ERROR, .proto_class = CLASS_ICMP, .quote = &q};

	model_clock(t->model);
	if (t->model->n_sessions == 0)
		return;
	s = &t->model->sessions[t->below(t->model->n_sessions)];
	quote_of(t, s, dir, &q);
	if (dir == DIR_OUT)
		p.src = chance(t, 70) ? s->in : LAB_C;
	else
		p.src = chance(t, 50) ? s->rem : LAB_R;
	p.dst = chance(t, 92) ? q.src : ANY(t, odd_addresses);
	if (chance(t, 8) && s->proto_class != CLASS_OTHER) { /* about another port, maybe another session's */
		q.sport ^= 1;
		q.truth = TRUTH_UNKNOWN;
		if (s->proto_class == CLASS_ICMP)
			q.dport = q.sport;
	}
	build_error(t, &p, &q);
	send(t, &p, t->lab->in_len);
}

/* ---- fragments ---- */

enum { PIECES = 3, PIECE = 24 };

static void send_later(const struct model_traffic *t, const uint8_t *piece, enum nat_to to, const struct lab_out *first)
{
	t->lab->in_len = (size_t)piece[2] * 256 + piece[3];
	memcpy(t->lab->in, piece, t->lab->in_len);
	t->note("   later fragment of it");
	lab_send(t->lab, t->lab->in, t->lab->in_len);
	if (to == NAT_NOWHERE && (t->lab->n_out != 0 || lab_delta(t->lab, DROP_FRAGMENT_REFUSED) != 1))
		t->model->fail("a later fragment of a datagram that was dropped");
	if (to != NAT_NOWHERE && t->lab->n_out != 1)
		t->model->fail("not one fragment came out");
	if (to != NAT_NOWHERE)
		model_follow(t->model, to, first, &t->lab->out[0], piece);
}

/* Gives the fragments that come before the first one: they are held. How many. */
static uint32_t send_early(const struct model_traffic *t, uint8_t pieces[PIECES][128], const int *order)
{
	uint32_t n = 0;

	for (; order[n] != 0; n++) {
		const uint8_t *piece = pieces[order[n]];

		t->lab->in_len = (size_t)piece[2] * 256 + piece[3];
		memcpy(t->lab->in, piece, t->lab->in_len);
		t->note("   early fragment");
		lab_send(t->lab, t->lab->in, t->lab->in_len);
		if (t->lab->n_out != 0 || lab_delta(t->lab, COUNT_FRAGMENT_HELD) != 1)
			t->model->fail("an early fragment was not held");
	}
	return n;
}

/* One datagram in three fragments, in any order (RFC 4787 REQ-14). */
void traffic_fragments(const struct model_traffic *t)
{
	static const int orders[][PIECES] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {2, 0, 1}, {1, 2, 0}, {2, 1, 0}};
	static uint16_t id;
	const int *order = ANY(t, orders);
	struct model_packet p = {
		.kind = PKT_UDP, .proto_class = CLASS_UDP, .src = ANY(t, hosts), .sport = ANY(t, in_ports)};
	uint8_t whole[128], pieces[PIECES][128];
	static struct lab_out outs[PIECES];
	struct build b;
	enum nat_to to;
	uint32_t n_out;

	p.dst = chance(t, 85) ? ANY(t, remotes) : any_external(t);
	p.dport = chance(t, 85) ? ANY(t, rem_ports) : any_external_port(t);
	if (chance(t, 40)) {
		p.src = ANY(t, remotes);
		p.sport = ANY(t, rem_ports);
		p.dst = any_external(t);
		p.dport = any_external_port(t);
	}
	/* each fragment's addresses are checked */
	if (model_address_wrong(&t->lab->policy, p.src, p.dst, !model_is_external(&t->lab->policy, p.dst)))
		return;
	b = to_build(t, &p);
	b.df = false;
	b.id = ++id;
	b.payload_len = PIECES * PIECE - 8;
	build_packet(whole, &b);
	for (size_t i = 0; i < PIECES; i++)
		build_fragment(pieces[i], whole, i * PIECE, PIECE);
	model_clock(t->model);
	t->model->held = send_early(t, pieces, order);
	t->lab->in_len = 20 + PIECE;
	memcpy(t->lab->in, pieces[0], t->lab->in_len);
	t->note("first fragment %08x:%u > %08x:%u", p.src, p.sport, p.dst, p.dport);
	lab_send(t->lab, t->lab->in, t->lab->in_len);
	to = model_judge(t->model, &p);
	n_out = t->lab->n_out < PIECES ? t->lab->n_out : PIECES;
	memcpy(outs, t->lab->out, n_out * sizeof(outs[0]));
	for (uint32_t i = 1; to != NAT_NOWHERE && i <= t->model->held; i++) /* in order of their offsets */
		model_follow(t->model, to, &outs[0], &outs[i], pieces[t->model->held == 1 ? order[0] : (int)i]);
	for (uint32_t i = t->model->held + 1; i < PIECES; i++)
		send_later(t, pieces[order[i]], to, &outs[0]);
	t->model->held = 0;
}
