/* SPDX-License-Identifier: ISC */
/*
 * The packet decoder: one function per layer, each of which checks bytes before it reads them.
 *
 * Theory of operation. packet_parse() goes down IP header, options, fragment form and transport; packet_parse_quote()
 * does the same below an ICMP error. Both give each transport decoder the same two facts: `v->l4_len`, the bytes that
 * are present, and the context. Nothing beyond l4_len is ever read. The contexts differ in what may be missing:
 *
 *   context          bytes certain to be present       lengths inside the transport header
 *   whole            all that the headers promise      must fit the datagram
 *   first fragment   the whole transport header        may reach beyond this fragment
 *   quote            8 bytes (RFC 792)                 not checked: the quote may be cut anywhere
 *
 * A plain TCP or UDP packet without options takes only predictable branches.
 */
#include "packet.h"

#include <string.h>

#include "checksum.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum {
	IP_HEADER_MIN = 20,
	IP_DONT_FRAGMENT = 0x4000,
	IP_MORE_FRAGMENTS = 0x2000,
	IP_OFFSET = 0x1fff, /* in units of 8 bytes */
	IP_TOTAL_MAX = 65535,

	OPTION_EOL = 0,
	OPTION_NOP = 1,
	OPTION_LSRR = 131,
	OPTION_SSRR = 137,

	TCP_HEADER_MIN = 20,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	ICMP_TIMESTAMP_LEN = 20,
	QUOTED_L4_MIN = 8,
};

/*
 * The sets of TCP flags that can occur, of 64: bit n stands for flags n. Refused are sets without any of FIN, SYN, RST
 * and ACK (RFC 9293 3.10.7: no state accepts them), and two of FIN, SYN, RST at once. That leaves exactly one of those
 * three (1, 2, 4), or, with ACK, none too (0); PSH (8) and URG (32) make no difference. Each hexadecimal digit covers
 * half of the eight sets of FIN, SYN and RST.
 */
static const uint64_t tcp_flags_possible = 0x1717161617171616;

static inline uint32_t native32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t native64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* One's-complement sum of 64-bit words: the carry is added at the low end (RFC 1071 2 (C)). */
static inline uint64_t add_around(uint64_t a, uint64_t b)
{
	bool carry = __builtin_add_overflow(a, b, &a);

	return a + carry;
}

/*
 * RFC 1812 5.2.2 (2). In the machine's byte order: a right header adds up to 0xffff, the same in both orders.
 */
static inline bool header_sum_ok(const uint8_t *p, unsigned ihl)
{
	uint64_t sum = add_around(add_around(native64(p), native64(p + 8)), native32(p + 16));

	for (unsigned i = IP_HEADER_MIN; i < ihl; i += 4)
		sum = add_around(sum, native32(p + i));
	return checksum_fold64(sum) == 0xffff;
}

/* Checks the bounds of every option; the walk always advances. RFC 791 3.1, RFC 1812 5.2.4 and 5.3.13. */
static enum nat_reason check_options(const uint8_t *option, size_t left)
{
	while (left > 0 && option[0] != OPTION_EOL) {
		size_t n = 1;

		if (option[0] != OPTION_NOP) {
			if (left < 2 || option[1] < 2 || option[1] > left)
				return DROP_IP_OPTIONS;
			/* RFC 5508 7.3, RFC 7126 4.3 and 4.4: not supported, hence not forwarded */
			if (option[0] == OPTION_LSRR || option[0] == OPTION_SSRR)
				return DROP_SOURCE_ROUTE;
			n = option[1];
		}
		option += n;
		left -= n;
	}
	return NAT_PASS;
}

static inline unsigned header_length(const uint8_t *p)
{
	return (p[0] & 0x0fu) * 4;
}

/* `p` has at least 20 bytes; `ihl` comes from the first. */
static inline bool is_ip_header(const uint8_t *p, unsigned ihl)
{
	return likely(p[0] >> 4 == 4 && ihl >= IP_HEADER_MIN && load16(p + 2) >= ihl);
}

static inline bool is_fragment(const uint8_t *p)
{
	return unlikely(load16(p + 6) & (IP_OFFSET | IP_MORE_FRAGMENTS));
}

/* Fills the IP part of the view of a whole datagram. `there`: bytes of it that are present, at least the whole header. */
static inline void read_ip(uint8_t *p, size_t there, unsigned ihl, struct pkt_view *v)
{
	*v = (struct pkt_view){
		.ip = p,
		.l4 = p + ihl,
		.src = load32(p + 12),
		.dst = load32(p + 16),
		.len = load16(p + 2),
		.l4_len = (uint16_t)(there - ihl),
		.id = load16(p + 4),
		.ihl = (uint8_t)ihl,
		.proto = p[9],
		.ttl = p[8],
		.dont_fragment = load16(p + 6) & IP_DONT_FRAGMENT,
	};
}

/* The rest of a fragment's view. */
static void read_fragment(const uint8_t *p, struct pkt_view *v)
{
	unsigned word = load16(p + 6);

	v->frag_offset = (uint16_t)((word & IP_OFFSET) * 8);
	v->more_fragments = word & IP_MORE_FRAGMENTS;
	v->frag = word & IP_OFFSET ? FRAG_LATER : FRAG_FIRST;
}

static enum nat_class class_of(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_NR_TCP:
		return CLASS_TCP;
	case IPPROTO_NR_UDP:
		return CLASS_UDP;
	case IPPROTO_NR_ICMP:
		return CLASS_ICMP;
	default:
		return CLASS_OTHER;
	}
}

/* Checks for any fragment. RFC 791 3.2; RFC 1858 3.2.2 and RFC 3128 for TCP at offset 8. */
static enum nat_reason check_fragment(const struct pkt_view *v)
{
	if (v->l4_len == 0)
		return DROP_FRAGMENT_TINY;
	if (v->more_fragments && v->l4_len % 8 != 0)
		return DROP_FRAGMENT_ALIGN;
	if (v->frag_offset == 8 && v->proto == IPPROTO_NR_TCP)
		return DROP_FRAGMENT_TINY;
	if ((unsigned)v->ihl + v->frag_offset + v->l4_len > IP_TOTAL_MAX)
		return DROP_FRAGMENT_OVERSIZE;
	return NAT_PASS;
}

/* A transport header that does not fit: in a first fragment this is the attack of RFC 1858 3. */
static enum nat_reason truncated(const struct pkt_view *v)
{
	return v->frag == FRAG_FIRST ? DROP_FRAGMENT_TINY : DROP_L4_HEADER;
}

static inline enum nat_reason parse_tcp(struct pkt_view *v)
{
	const uint8_t *h = v->l4;
	unsigned hlen;

	v->kind = PKT_TCP;
	v->proto_class = CLASS_TCP;
	if (unlikely(v->l4_len < TCP_HEADER_MIN))
		return truncated(v);
	hlen = (h[12] >> 4) * 4u;
	if (unlikely(hlen < TCP_HEADER_MIN))
		return DROP_L4_HEADER;
	if (unlikely(hlen > v->l4_len))
		return truncated(v);
	v->sport = load16(h);
	v->dport = load16(h + 2);
	v->tcp_seq = load32(h + 4);
	v->tcp_ack = load32(h + 8);
	v->tcp_hlen = (uint8_t)hlen;
	v->tcp_flags = h[13] & 0x3f;
	v->tcp_window = load16(h + 14);
	v->tcp_data = likely(v->frag == FRAG_NONE) ? v->l4_len - hlen : 0;
	return likely(tcp_flags_possible >> v->tcp_flags & 1) ? NAT_PASS : DROP_TCP_FLAGS;
}

static inline enum nat_reason parse_udp(struct pkt_view *v)
{
	unsigned length;

	v->kind = PKT_UDP;
	v->proto_class = CLASS_UDP;
	if (unlikely(v->l4_len < UDP_HEADER))
		return truncated(v);
	v->sport = load16(v->l4);
	v->dport = load16(v->l4 + 2);
	length = load16(v->l4 + 4);
	/* a first fragment's length is that of the whole datagram (FreeBSD EN-22:06); bytes between a shorter UDP
	 * length and the end of the datagram are no error (RFC 9868) */
	if (unlikely(length < UDP_HEADER || (length > v->l4_len && v->frag == FRAG_NONE)))
		return DROP_L4_HEADER;
	return NAT_PASS;
}

static enum pkt_kind icmp_kind(uint8_t type)
{
	switch (type) {
	case 8:
	case 13:
		return PKT_ICMP_QUERY;
	case 0:
	case 14:
		return PKT_ICMP_REPLY;
	case 3:
	case 11:
	case 12:
		return PKT_ICMP_ERROR;
	default:
		return PKT_ICMP_REST;
	}
}

/* The part of an ICMP header that is present in every context. At least 8 bytes must be there. */
static void read_icmp(struct pkt_view *v)
{
	v->proto_class = CLASS_ICMP;
	v->icmp_type = v->l4[0];
	v->icmp_code = v->l4[1];
	v->kind = (uint8_t)icmp_kind(v->icmp_type);
	if (v->kind == PKT_ICMP_QUERY || v->kind == PKT_ICMP_REPLY)
		v->sport = v->dport = load16(v->l4 + 4);
}

static enum nat_reason parse_icmp(struct pkt_view *v, bool csum_partial)
{
	if (v->l4_len < ICMP_HEADER)
		return truncated(v);
	read_icmp(v);
	if ((v->icmp_type == 13 || v->icmp_type == 14) && v->l4_len < ICMP_TIMESTAMP_LEN)
		return truncated(v); /* RFC 792: three timestamps */
	/* RFC 5508 REQ-3: an error with a wrong checksum is dropped; a fragment's checksum cannot be checked */
	if (v->kind == PKT_ICMP_ERROR && v->frag == FRAG_NONE && !csum_partial &&
	    checksum_finish(checksum_add(0, v->l4, v->l4_len)) != 0)
		return DROP_ICMP_CHECKSUM;
	return NAT_PASS;
}

static void parse_other(struct pkt_view *v)
{
	v->kind = PKT_OTHER;
	v->proto_class = CLASS_OTHER;
	v->sport = v->dport = v->proto;
}

enum { PLAIN_HEADER = 0x45 }; /* version 4, five words */

/* `ihl` is constant where this is compiled for a header without options, which saves nearly every packet the
 * arithmetic. */
static inline __attribute__((always_inline)) enum nat_reason parse(uint8_t *data, size_t len, unsigned ihl,
								   bool csum_partial, struct pkt_view *v)
{
	size_t total = load16(data + 2);
	enum nat_reason why;

	if (unlikely(!is_ip_header(data, ihl)))
		return DROP_IP_HEADER;
	if (unlikely(total > len))
		return DROP_SHORT;
	read_ip(data, total, ihl, v);
	if (unlikely(!header_sum_ok(data, ihl)))
		return DROP_IP_CHECKSUM;
	if (ihl > IP_HEADER_MIN) {
		why = check_options(data + IP_HEADER_MIN, ihl - IP_HEADER_MIN);
		if (why != NAT_PASS)
			return why;
	}
	if (is_fragment(data)) {
		read_fragment(data, v);
		why = check_fragment(v);
		if (why != NAT_PASS)
			return why;
		if (v->frag == FRAG_LATER) {
			v->kind = PKT_LATER_FRAGMENT;
			v->proto_class = (uint8_t)class_of(v->proto);
			return NAT_PASS;
		}
	}
	if (likely(v->proto == IPPROTO_NR_TCP))
		return parse_tcp(v);
	if (likely(v->proto == IPPROTO_NR_UDP))
		return parse_udp(v);
	if (v->proto == IPPROTO_NR_ICMP)
		return parse_icmp(v, csum_partial);
	parse_other(v);
	return NAT_PASS;
}

static __attribute__((noinline)) enum nat_reason parse_with_options(uint8_t *data, size_t len, bool csum_partial,
								    struct pkt_view *v)
{
	return parse(data, len, header_length(data), csum_partial, v);
}

enum nat_reason packet_parse(uint8_t *data, size_t len, bool csum_partial, struct pkt_view *v)
{
	if (unlikely(len < IP_HEADER_MIN))
		return DROP_SHORT;
	if (likely(data[0] == PLAIN_HEADER))
		return parse(data, len, IP_HEADER_MIN, csum_partial, v);
	return parse_with_options(data, len, csum_partial, v);
}

/*
 * The number of bytes of the ICMP error's data that are the quoted packet. RFC 4884 4 puts the length, in words of 32
 * bits, into the second of the formerly unused bytes, in all three types; extensions follow. A length beyond the data
 * cannot be one: an old sender left other bytes there.
 */
static size_t quote_length(const struct pkt_view *outer)
{
	size_t there = outer->l4_len - ICMP_HEADER, said = (size_t)outer->l4[5] * 4;

	return said == 0 || said > there ? there : said;
}

/* Reads as many fields as the quote has. */
static void quoted_tcp(struct pkt_view *q)
{
	const uint8_t *h = q->l4;

	q->kind = PKT_TCP;
	q->proto_class = CLASS_TCP;
	q->sport = load16(h);
	q->dport = load16(h + 2);
	q->tcp_seq = load32(h + 4);
	if (q->l4_len >= 12)
		q->tcp_ack = load32(h + 8);
	if (q->l4_len >= 13)
		q->tcp_hlen = (uint8_t)((h[12] >> 4) * 4);
	if (q->l4_len >= 14)
		q->tcp_flags = h[13] & 0x3f;
	if (q->l4_len >= 16)
		q->tcp_window = load16(h + 14);
}

static enum nat_reason quoted_transport(struct pkt_view *q)
{
	unsigned promised = (unsigned)q->len - q->ihl;

	if (class_of(q->proto) == CLASS_OTHER) { /* found by address alone, so even an empty datagram will do */
		parse_other(q);
		return q->l4_len < QUOTED_L4_MIN && q->l4_len < promised ? DROP_ICMP_QUOTE : NAT_PASS;
	}
	if (q->l4_len < QUOTED_L4_MIN)
		return DROP_ICMP_QUOTE;
	if (q->proto == IPPROTO_NR_TCP) {
		quoted_tcp(q);
		return NAT_PASS;
	}
	if (q->proto == IPPROTO_NR_UDP) {
		q->kind = PKT_UDP;
		q->proto_class = CLASS_UDP;
		q->sport = load16(q->l4);
		q->dport = load16(q->l4 + 2);
		return NAT_PASS;
	}
	read_icmp(q);
	/* RFC 1122 3.2.2: an error is never about an error; other ICMP is never translated, so it cannot have caused
	 * one */
	return q->kind == PKT_ICMP_QUERY || q->kind == PKT_ICMP_REPLY ? NAT_PASS : DROP_ICMP_QUOTE;
}

enum nat_reason packet_parse_quote(const struct pkt_view *outer, struct pkt_view *quote)
{
	size_t avail = quote_length(outer), total;
	uint8_t *p = outer->l4 + ICMP_HEADER;

	if (avail < IP_HEADER_MIN || !is_ip_header(p, header_length(p)) || avail < header_length(p))
		return DROP_ICMP_QUOTE;
	total = load16(p + 2);
	read_ip(p, total < avail ? total : avail, header_length(p), quote);
	if (is_fragment(p))
		read_fragment(p, quote);
	quote->is_quote = true;
	if (!header_sum_ok(p, quote->ihl)) /* RFC 5508 REQ-3a */
		return DROP_ICMP_QUOTE_CHECKSUM;
	/* RFC 5508 REQ-3b: options are skipped. But a source route proves a forgery (RFC 5508 7.3): natd forwards no
	 * packet with one */
	if (check_options(p + IP_HEADER_MIN, quote->ihl - IP_HEADER_MIN) == DROP_SOURCE_ROUTE)
		return DROP_ICMP_QUOTE;
	if (quote->frag == FRAG_LATER)
		return DROP_ICMP_QUOTE;
	return quoted_transport(quote);
}
