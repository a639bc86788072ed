/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: decoder, rewriting and ICMP builder on one packet.
 *
 * Input: 16 bytes of choices (see struct choices), then the packet. Since random bytes seldom have a
 * right checksum, a choice has them made right first. What must hold afterwards:
 *   - nothing outside the bytes of the packet is read (sanitizer), nor changed;
 *   - a view lies within the packet, a quote within the ICMP error;
 *   - every checksum is off by exactly what it was off before.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/packet/checksum.h"
#include "core/packet/icmp.h"
#include "core/packet/packet.h"
#include "core/packet/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                           \
	do {                                                              \
		if (!(x)) {                                               \
			fprintf(stderr, "fuzz_packet: not so: %s\n", #x); \
			abort();                                          \
		}                                                         \
	} while (0)

enum {
	CHOICES = 16,
	FIX_IP = 1,
	FIX_QUOTE = 2,
	FIX_ICMP = 4,
	PARTIAL = 8,
	INPUT_MAX = 65600, /* the longest packet, and bytes behind it */
};

struct choices {
	uint8_t what;
	uint16_t mss;
	struct rewrite rw;
};

static struct choices read_choices(const uint8_t *data)
{
	struct choices c = {.what = data[0], .mss = load16(data + 2)};

	c.rw.src = load32(data + 4);
	c.rw.dst = load32(data + 8);
	c.rw.sport = load16(data + 12);
	c.rw.dport = load16(data + 14);
	c.rw.csum_partial = (c.what & PARTIAL) != 0;
	return c;
}

/* The sum of the bytes, modulo 65535: 0 over data with a right checksum in it. */
static unsigned residue(uint32_t sum, const uint8_t *p, size_t len)
{
	uint64_t total = sum;

	for (size_t i = 0; i < len; i++)
		total += i % 2 ? p[i] : (unsigned)p[i] << 8;
	return (unsigned)(total % 65535);
}

static unsigned ip_residue(const struct pkt_view *v)
{
	return residue(0, v->ip, v->ihl);
}

static unsigned transport_residue(const struct pkt_view *v)
{
	uint32_t pseudo = 0;

	if (v->kind == PKT_TCP || v->kind == PKT_UDP)
		pseudo = (v->src >> 16) + (v->src & 0xffff) + (v->dst >> 16) + (v->dst & 0xffff);
	return residue(pseudo, v->l4, v->l4_len);
}

/* A checksum that is there and is meant: its place, else NULL. */
static uint8_t *check_field(const struct pkt_view *v)
{
	if (v->kind == PKT_TCP)
		return v->l4_len >= 18 ? v->l4 + 16 : NULL;
	if (v->kind == PKT_UDP)
		return load16(v->l4 + 6) != 0 ? v->l4 + 6 : NULL;
	if (v->kind == PKT_ICMP_QUERY || v->kind == PKT_ICMP_REPLY || v->kind == PKT_ICMP_ERROR)
		return v->l4 + 2;
	return NULL;
}

static void fix_field(uint8_t *field, const uint8_t *p, size_t len)
{
	store16(field, 0);
	store16(field, checksum_finish(checksum_add(0, p, len)));
}

static void fix_header(uint8_t *p, size_t len)
{
	size_t ihl = len ? (p[0] & 15) * 4u : 0;

	if (ihl >= 20 && ihl <= len)
		fix_field(p + 10, p, ihl);
}

static void fix_checksums(uint8_t *p, size_t len, uint8_t what)
{
	size_t ihl = len >= 20 ? (p[0] & 15) * 4u : 0;
	size_t total = len >= 20 ? load16(p + 2) : 0;

	if (ihl >= 20 && ihl + 8 <= total && total <= len && p[9] == IPPROTO_NR_ICMP) {
		if (what & FIX_QUOTE)
			fix_header(p + ihl + 8, total - ihl - 8);
		if (what & FIX_ICMP)
			fix_field(p + ihl + 2, p + ihl, total - ihl);
	}
	if (what & FIX_IP)
		fix_header(p, len);
}

static void check_view(const struct pkt_view *v, const uint8_t *start, const uint8_t *end)
{
	MUST(v->ip >= start && v->ihl >= 20 && v->ihl <= 60 && v->l4 == v->ip + v->ihl);
	MUST(v->l4 + v->l4_len <= end && (unsigned)v->ihl + v->l4_len <= v->len);
	MUST(v->src == load32(v->ip + 12) && v->dst == load32(v->ip + 16));
	MUST(v->proto_class < CLASS_COUNT && v->kind <= PKT_LATER_FRAGMENT);
	MUST((v->frag == FRAG_LATER) == (v->kind == PKT_LATER_FRAGMENT));
	if (v->kind != PKT_OTHER && v->kind != PKT_LATER_FRAGMENT)
		MUST(v->l4_len >= 8);
	if (v->kind == PKT_TCP && !v->is_quote)
		MUST(v->tcp_hlen >= 20 && v->tcp_hlen <= v->l4_len);
	if (v->kind == PKT_ICMP_QUERY || v->kind == PKT_ICMP_REPLY)
		MUST(v->sport == v->dport);
}

static void check_icmp(const struct pkt_view *v, const struct choices *c)
{
	struct icmp_error e = {c->rw.src, ICMP_UNREACH, ICMP_UNREACH_NEEDFRAG, c->mss};
	uint8_t *out = malloc(ICMP_ERROR_MAX);
	struct pkt_view built;
	size_t len;

	MUST(out);
	len = icmp_build(out, v, &e);
	MUST(len >= 48 && len <= ICMP_ERROR_MAX && len <= v->len + 28u);
	MUST(packet_parse(out, len, false, &built) == NAT_PASS && built.kind == PKT_ICMP_ERROR);
	MUST(memcmp(out + 28, v->ip, len - 28) == 0);
	free(out);
}

static void check_quote(struct pkt_view *v, const struct choices *c)
{
	struct pkt_view q, again;
	unsigned ip, transport, outer = transport_residue(v);
	bool has_check;

	if (packet_parse_quote(v, &q) != NAT_PASS)
		return;
	check_view(&q, v->l4 + 8, v->l4 + v->l4_len);
	ip = ip_residue(&q);
	transport = transport_residue(&q);
	has_check = check_field(&q) != NULL;
	rewrite_quote(v, &q, &c->rw);
	MUST(ip_residue(&q) == ip);
	if (has_check)
		MUST(transport_residue(&q) == transport);
	if (!c->rw.csum_partial)
		MUST(transport_residue(v) == outer);
	MUST(packet_parse_quote(v, &again) == NAT_PASS);
	MUST(again.src == c->rw.src && again.dst == c->rw.dst && again.sport == q.sport && again.kind == q.kind);
}

/* `before`: residue of the transport. A partial checksum has none that could be told from the bytes. */
static void check_transport(const struct pkt_view *v, const struct choices *c, unsigned before, bool had_check)
{
	if (!c->rw.csum_partial && had_check && v->frag == FRAG_NONE)
		MUST(transport_residue(v) == before);
	if (v->kind == PKT_UDP && !had_check && !c->rw.csum_partial)
		MUST(load16(v->l4 + 6) == 0);
	if (v->kind == PKT_UDP && had_check && !c->rw.csum_partial)
		MUST(load16(v->l4 + 6) != 0);
}

static void check_rewrite(struct pkt_view *v, struct choices *c)
{
	unsigned ip = ip_residue(v), transport = transport_residue(v);
	bool has_check = check_field(v) != NULL;
	uint16_t sport;

	if (v->kind == PKT_ICMP_QUERY || v->kind == PKT_ICMP_REPLY)
		c->rw.dport = c->rw.sport;
	rewrite_apply(v, &c->rw);
	sport = v->kind == PKT_OTHER ? v->proto : check_field(v) || v->kind == PKT_UDP ? c->rw.sport : 0;
	MUST(v->sport == (v->kind == PKT_ICMP_ERROR ? 0 : sport));
	check_transport(v, c, transport, has_check);
	rewrite_clamp_mss(v, c->mss, c->rw.csum_partial);
	check_transport(v, c, transport, has_check);
	rewrite_ip_id(v, c->mss);
	if (v->ttl > 1)
		rewrite_decrement_ttl(v);
	MUST(ip_residue(v) == ip);
}

static void check_packet(uint8_t *p, size_t len, struct choices *c)
{
	struct pkt_view v, again;
	enum nat_reason why;

	if (packet_parse(p, len, c->rw.csum_partial, &v) != NAT_PASS)
		return;
	MUST(v.ip == p && v.len <= len && v.ihl + v.l4_len == v.len);
	check_view(&v, p, p + len);
	check_icmp(&v, c);
	icmp_may_answer(&v);
	if (v.kind == PKT_ICMP_ERROR)
		check_quote(&v, c);
	check_rewrite(&v, c);
	why = packet_parse(p, len, c->rw.csum_partial, &again);
	MUST(why == NAT_PASS && again.kind == v.kind && again.sport == v.sport && again.dport == v.dport);
	MUST(again.src == v.src && again.dst == v.dst && again.ttl == v.ttl && again.id == v.id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices c;
	size_t len, total;
	uint8_t *exact;

	if (size < CHOICES || size - CHOICES > INPUT_MAX)
		return 0;
	len = size - CHOICES;
	c = read_choices(data);
	exact = malloc(len ? len : 1);
	MUST(exact);
	memcpy(exact, data + CHOICES, len);
	fix_checksums(exact, len, c.what);
	total = len >= 4 && load16(exact + 2) < len ? load16(exact + 2) : len;
	check_packet(exact, len, &c);
	MUST(memcmp(exact + total, data + CHOICES + total, len - total) == 0 || total < 20);
	free(exact);
	return 0;
}
