/* SPDX-License-Identifier: ISC */
/* The packets of the real NAT, byte by byte. See model_walk.h. */
#include "model_walk.h"

#include <string.h>

static bool is_drop(int r)
{
	return r > NAT_PASS && r < COUNT_OUT_PACKETS;
}

/* ---- emitted packets ---- */

static unsigned get16(const uint8_t *p)
{
	return p[0] * 256u + p[1];
}

enum nat_reason walk_reason_seen(const struct walk *w)
{
	enum nat_reason seen = NAT_PASS;

	for (int r = 0; r < NAT_REASON_COUNT; r++)
		if (is_drop(r) && lab_delta(w->m->lab, (enum nat_reason)r) > 0) {
			if (r == DROP_FRAGMENT_REFUSED && w->m->held > 0)
				continue;
			must(w, seen == NAT_PASS && lab_delta(w->m->lab, (enum nat_reason)r) == 1,
			     "counted under more than one reason");
			seen = (enum nat_reason)r;
		}
	return seen;
}

/* An ICMP error of natd's own quotes the packet as its sender sent it, and comes to that sender. */
void walk_check_own_error(const struct walk *w)
{
	const struct lab *l = w->m->lab;
	const struct lab_out *o = &l->out[0];
	uint64_t sent = lab_delta(l, COUNT_ICMP_SENT), limited = lab_delta(l, COUNT_ICMP_LIMITED);

	must(w, sent + limited <= 1 && l->n_out == sent, "more came out than one ICMP error");
	must(w, sent + limited == 0 || w->answer_may, "an ICMP error that is not owed");
	must(w, sent + limited == 1 || !w->answer_due, "an ICMP error is owed and was not sent");
	if (sent == 0)
		return;
	must(w, o->v.kind == PKT_ICMP_ERROR && o->v.icmp_type == 3, "an answer that is no ICMP error");
	must(w, o->v.dst == w->p->src, "an ICMP error to another than the sender");
	must(w, o->to == (w->from_inside ? NAT_TO_INSIDE : NAT_TO_OUTSIDE), "an ICMP error to the wrong side");
	must(w, memcmp(o->bytes + 28, l->in, o->len - 28) == 0, "the quote differs from what its sender sent");
}

/* Everything but what translation changes is as it was; a wrong checksum is wrong by the same. */
static void check_bytes(const struct walk *w, const struct lab_out *o)
{
	const struct lab *l = w->m->lab;
	size_t ihl = (l->in[0] & 15) * 4u, total = get16(l->in + 2);
	size_t check = w->p->proto_class == CLASS_TCP ? 16 : w->p->proto_class == CLASS_UDP ? 6 : 2;
	bool df = l->in[6] & 0x40;

	must(w, o->len == total, "another length");
	for (size_t i = 0; i < total; i++) {
		bool is_id = (i == 4 || i == 5) && !df && o->to != NAT_TO_HOST && (w->hairpin || w->from_inside);
		bool is_ip = (i >= 10 && i < 20) || is_id;
		size_t k = i - ihl;
		bool is_l4 =
			i >= ihl && w->p->proto_class != CLASS_OTHER &&
			((has_ports(w->p->proto_class) ? k < 4 : k == 4 || k == 5) || k == check || k == check + 1);

		if (o->to == NAT_TO_HOST || !(is_ip || is_l4))
			must(w, o->bytes[i] == l->in[i], "a byte that no translation changes");
	}
	must(w, build_checksum(0, o->bytes, ihl) == 0, "IP checksum");
	if (w->p->proto_class == CLASS_OTHER)
		return;
	if (w->p->proto_class == CLASS_UDP && get16(l->in + ihl + 6) == 0)
		must(w, get16(o->bytes + ihl + 6) == 0, "a UDP checksum where there was none");
	else
		must(w, build_transport_checksum(o->bytes) % 65535 == build_transport_checksum(l->in) % 65535,
		     "transport checksum wrong by something else than before");
}

void walk_check_sent(const struct walk *w, enum nat_to to)
{
	const struct lab_out *o = &w->m->lab->out[0];

	must(w, walk_reason_seen(w) == NAT_PASS, "dropped although it must pass");
	must(w, w->m->lab->n_out == 1 + w->m->held, "not exactly one packet came out, and those held for it");
	must(w, o->to == to, "sent to the wrong side");
	must(w, o->v.src == w->src && o->v.dst == w->dst, "translated to other addresses");
	if (w->p->quote == NULL) {
		must(w, o->v.sport == w->sport && o->v.dport == w->dport, "translated to other ports");
		check_bytes(w, o);
	}
}

void walk_check_quote(const struct walk *w, const struct model_packet *q)
{
	struct pkt_view outer = w->m->lab->out[0].v, v;

	must(w, packet_parse_quote(&outer, &v) == NAT_PASS, "the translated quote cannot be read");
	must(w, v.src == q->src && v.dst == q->dst, "quoted addresses");
	must(w, v.sport == q->sport && v.dport == q->dport, "quoted ports");
	must(w, build_verify(w->m->lab->out[0].bytes, w->m->lab->out[0].len) == NULL, "a checksum in the ICMP error");
}

void model_follow(struct model *m, enum nat_to to, const struct lab_out *first, const struct lab_out *out,
		  const uint8_t *came)
{
	struct walk w = {.m = m};
	size_t len = get16(came + 2), ihl = (came[0] & 15) * 4u;

	must(&w, out->to == to, "a later fragment went elsewhere than its first one");
	must(&w, out->len == len && build_checksum(0, out->bytes, ihl) == 0, "length or checksum of a later fragment");
	must(&w, memcmp(out->bytes + 12, first->bytes + 12, 8) == 0, "addresses of a later fragment");
	must(&w, memcmp(out->bytes + 4, first->bytes + 4, 2) == 0, "IP id of a later fragment");
	must(&w, memcmp(out->bytes + 6, came + 6, 4) == 0 && memcmp(out->bytes + 20, came + 20, len - 20) == 0,
	     "content of a later fragment");
	if (to == NAT_TO_HOST)
		return;
	m->followed->packets[m->followed_dir]++;
	m->followed->bytes[m->followed_dir] += len;
}
