/* SPDX-License-Identifier: ISC */
/*
 * The fast path: translates packets of flows that natd has shown (core/nat/flow.h), and sends them to their next hop.
 *
 * Theory of operation. A packet is carried if all of this holds: it belongs to a live flow; natd would pass it and
 * change nothing in the session but counters, time and TCP numbers; its TTL allows another hop; and route, size and
 * next hop are known. The program checks all of it before it writes the first byte; otherwise the packet goes on as
 * without a fast path. If a packet cannot be sent after that, it is dropped and counted.
 *
 * A packet that is left to natd is not overtaken: what comes behind it follows it to natd until that has been sent (flow.h,
 * "Order"). SYN, FIN and RST stop their flow: they and all later packets go to natd. The TCP numbers move before the packet
 * leaves, so they have moved when natd sees the packet's consequences.
 *
 * For a packet outbound, the kernel's rules must lead from its source and its interface to natd. The program looks this
 * up once for each flow and interface, and again after natd has announced a change of routes.
 *
 * Without natd's heartbeat the program carries nothing: sessions may have ended while their flows remain.
 */
#ifndef NATD_BPF_FAST_BPF_H
#define NATD_BPF_FAST_BPF_H

#include "common.bpf.h"
#include "core/nat/flow.h"

enum { NOT_CARRIED = 100 }; /* no verdict of tc */
enum { SECOND_NS = 1000000000, IP_HEADER = 20, ICMP_ECHO = 8, ICMP_ECHO_REPLY = 0 };
enum { FLAG_FIN = 1, FLAG_SYN = 2, FLAG_RST = 4, FLAG_ACK = 16 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_SLOTS);
	__type(key, __u32);
	__type(value, struct flow);
} fast_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_BUCKETS);
	__type(key, __u32);
	__type(value, struct flow_bucket);
} fast_index SEC(".maps");

/* False: there are no maps of flows (load.h). Set before the programs are loaded, so the verifier removes the code
 * that needs them. */
const volatile bool has_flows = true;

/* The first bytes of a packet without IP options. */
struct headers {
	struct iphdr ip;
	union {
		__u8 bytes[20];
		__be16 half[10];
		__be32 word[5];
	} l4; /* of UDP and ICMP the first eight bytes */
};

static __always_inline bool read_headers(struct __sk_buff *skb, const struct packet *p, struct headers *h)
{
	__builtin_memset(h, 0, sizeof(*h));
	if (p->protocol == IPPROTO_TCP)
		return bpf_skb_load_bytes(skb, p->at, h, IP_HEADER + 20) == 0;
	return bpf_skb_load_bytes(skb, p->at, h, IP_HEADER + 8) == 0;
}

static __always_inline __u16 sum_of(const struct iphdr *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < IP_HEADER / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* ---- which flow? ---- */

static __always_inline bool make_key(const struct packet *p, const struct headers *h, struct flow_key *k)
{
	bool is_out = p->dir == FLOW_OUTBOUND;
	__u16 source = bpf_ntohs(h->l4.half[0]), destination = bpf_ntohs(h->l4.half[1]);

	*k = (struct flow_key){.dir = p->dir};
	k->local = is_out ? p->source : p->destination;
	k->remote = is_out ? p->destination : p->source;
	k->local_port = is_out ? source : destination;
	k->remote_port = is_out ? destination : source;
	switch (p->protocol) {
	case IPPROTO_TCP:
		k->proto_class = STEER_TCP;
		return true;
	case IPPROTO_UDP:
		k->proto_class = STEER_UDP;
		return true;
	case IPPROTO_ICMP:
		k->proto_class = STEER_ICMP;
		k->local_port = bpf_ntohs(h->l4.half[2]);
		k->remote_port = 0;
		return h->l4.bytes[0] == ICMP_ECHO || h->l4.bytes[0] == ICMP_ECHO_REPLY;
	}
	return false;
}

static __always_inline struct flow *find_flow(const struct steer_fast *fast, const struct flow_key *k)
{
	__u64 hash = flow_hash((const uint64_t *)fast->secret, k);
	__u32 at = flow_bucket_of(hash);
	const struct flow_bucket *b = bpf_map_lookup_elem(&fast_index, &at);

	if (!b)
		return NULL;
	for (int i = 0; i < FLOW_WAYS; i++) {
		__u32 entry = *(const volatile __u32 *)&b->entry[i], slot = entry & (FLOW_SLOTS - 1);
		struct flow *f;

		if (slot == 0 || entry != flow_entry(hash, slot))
			continue;
		f = bpf_map_lookup_elem(&fast_flows, &slot);
		if (f && flow_state_of(f) == FLOW_LIVE && flow_matches(f, k))
			return f;
	}
	return NULL;
}

/* ---- is it plain? ---- */

static __always_inline bool leave(enum steer_counter why)
{
	count(why);
	return false;
}

/* Right in its lengths, header checksum and TTL; and natd need not give it an IP id. */
static __always_inline bool has_plain_form(struct __sk_buff *skb, const struct packet *p, const struct headers *h)
{
	__u16 fragment = bpf_ntohs(h->ip.frag_off);
	__u32 end = p->at + p->length;

	if (p->ttl < 2 || sum_of(&h->ip) != 0xffff)
		return false;
	if (fragment != 0x4000 && (fragment != 0 || p->dir == FLOW_OUTBOUND))
		return false;
	return skb->len == end || (skb->len > end && skb->gso_size == 0); /* short frames are padded */
}

static __always_inline bool is_plain_tcp(struct flow *f, const struct packet *p, const struct headers *h,
					 struct flow_segment *g)
{
	__u32 header = (h->l4.bytes[12] >> 4) * 4;
	__u8 flags = h->l4.bytes[13];

	if (flags & (FLAG_SYN | FLAG_FIN | FLAG_RST)) {
		flow_stop(f);
		return leave(STEER_COUNT_FLAGS);
	}
	if (!(flags & FLAG_ACK) || header < 20 || p->length < IP_HEADER + header)
		return leave(STEER_COUNT_FORM);
	g->seq = bpf_ntohl(h->l4.word[1]);
	g->end = g->seq + p->length - IP_HEADER - header;
	g->ack = bpf_ntohl(h->l4.word[2]);
	g->window = bpf_ntohs(h->l4.half[7]);
	return flow_segment_fits(f, g) || leave(STEER_COUNT_WINDOW);
}

static __always_inline bool is_plain_datagram(const struct flow *f, const struct packet *p, const struct headers *h)
{
	bool by_opener = ((f->kind & FLOW_FROM_OUTSIDE) != 0) == (p->dir == FLOW_INBOUND);
	__u16 length = bpf_ntohs(h->l4.half[2]);

	if (p->length < IP_HEADER + 8)
		return leave(STEER_COUNT_FORM);
	if (p->protocol == IPPROTO_ICMP)
		return h->l4.bytes[0] == (by_opener ? ICMP_ECHO : ICMP_ECHO_REPLY) || leave(STEER_COUNT_FORM);
	return (length >= 8 && length <= p->length - IP_HEADER) || leave(STEER_COUNT_FORM);
}

/* ---- where to? ---- */

static __always_inline bool comes_from_inside(struct __sk_buff *skb, const struct steer_view *v, const struct packet *p,
					      struct flow *f)
{
	__u32 from = *(volatile __u32 *)&f->from;

	if (from == skb->ifindex)
		return true;
	if (!is_routed_to_natd(skb, v, p))
		return false;
	*(volatile __u32 *)&f->from = skb->ifindex;
	return true;
}

/* The kernel's look-up knows no MTU of a route that is not locked; natd tells those. */
static __always_inline bool is_too_large(const struct steer_config *config, const struct steer_view *v,
					 const struct flow *f, __u32 dir, __u16 length)
{
	__u8 kind = *(const volatile __u8 *)&f->kind;
	__u32 number = bound(flow_mtu_number(kind, dir), STEER_MTUS);
	__u16 route = *(const volatile __u16 *)&config->fast.mtu[dir & 1][number];
	__u16 way = dir == FLOW_OUTBOUND ? v->mtu_out : v->mtu_in;

	return (way != 0 && length > way) || (number != 0 && route != 0 && length > route);
}

static __always_inline const struct steer_device *find_way(struct __sk_buff *skb, const struct steer_view *v,
							   const struct packet *p, struct bpf_fib_lookup *fib)
{
	const struct steer_device *d;
	long found;

	fib->family = FAMILY_IPV4;
	fib->ifindex = v->tun;
	fib->l4_protocol = p->protocol;
	fib->tos = p->tos;
	found = bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
	d = found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH ? find_device(v, fib->ifindex)
										    : NULL;
	if (!d || (p->dir == FLOW_OUTBOUND) != (fib->ifindex == v->outside) ||
	    (found == BPF_FIB_LKUP_RET_NO_NEIGH && !d->is_l3)) {
		count(found == BPF_FIB_LKUP_RET_FRAG_NEEDED ? STEER_COUNT_LARGE : STEER_COUNT_WAY);
		return NULL;
	}
	return d;
}

/* ---- away ---- */

/* The checksum behind the IP header; of ICMP the id too. */
static __always_inline bool rewrite_l4(struct __sk_buff *skb, const struct packet *p, const struct headers *h,
				       __be32 before, __be32 address, __be16 port)
{
	__u32 l4 = p->at + IP_HEADER;
	__u64 keep_zero = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 sum = l4 + (p->protocol == IPPROTO_TCP ? 16 : 6);

	if (p->protocol == IPPROTO_ICMP)
		return bpf_l4_csum_replace(skb, l4 + 2, h->l4.half[2], port, 2) == 0 &&
		       bpf_skb_store_bytes(skb, l4 + 4, &port, 2, 0) == 0;
	return bpf_l4_csum_replace(skb, sum, before, address, BPF_F_PSEUDO_HDR | keep_zero | 4) == 0 &&
	       bpf_l4_csum_replace(skb, sum, p->dir == FLOW_OUTBOUND ? h->l4.half[0] : h->l4.half[1], port,
				   keep_zero | 2) == 0;
}

/* What the packet begins with when it leaves: one write costs less than one for each header. */
struct beginning {
	struct ethhdr eth;
	struct iphdr ip;
	__be16 ports[2];
} __attribute__((packed));

enum { PORTS = 4 };

static __always_inline void begin_with(struct beginning *b, const struct packet *p, const struct headers *h,
				       __be32 address, __be16 port)
{
	struct iphdr ip = h->ip;

	b->ports[0] = h->l4.half[0];
	b->ports[1] = h->l4.half[1];
	if (p->dir == FLOW_OUTBOUND) {
		ip.saddr = address;
		b->ports[0] = port;
	} else {
		ip.daddr = address;
		b->ports[1] = port;
	}
	ip.ttl--;
	ip.check = 0;
	ip.check = ~sum_of(&ip);
	b->ip = ip;
}

static __always_inline bool rewrite(struct __sk_buff *skb, const struct packet *p, const struct headers *h,
				    __be32 address, __be16 port, const struct bpf_fib_lookup *fib, bool is_to_l3)
{
	struct beginning b = {.eth = {.h_proto = bpf_htons(ETH_P_IP)}};
	__u32 ports = p->protocol == IPPROTO_ICMP ? 0 : PORTS;

	if (!rewrite_l4(skb, p, h, p->dir == FLOW_OUTBOUND ? h->ip.saddr : h->ip.daddr, address, port))
		return false;
	begin_with(&b, p, h, address, port);
	if (is_to_l3)
		return bpf_skb_store_bytes(skb, p->at, &b.ip, IP_HEADER + ports, 0) == 0;
	__builtin_memcpy(b.eth.h_dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(b.eth.h_source, fib->smac, ETH_ALEN);
	if (p->at == L3 && bpf_skb_change_head(skb, ETH_HLEN, 0) < 0)
		return false;
	return bpf_skb_store_bytes(skb, 0, &b, ETH_HLEN + IP_HEADER + ports, 0) == 0;
}

static __always_inline __u32 segments_of(const struct __sk_buff *skb, const struct packet *p, __u16 segment)
{
	__u32 header, data;

	if (skb->gso_size == 0 || segment <= skb->gso_size)
		return 1;
	header = segment - skb->gso_size;
	data = p->length > header ? p->length - header : 0;
	return data == 0 ? 1 : (data + skb->gso_size - 1) / skb->gso_size;
}

static __always_inline int carry_flow(struct __sk_buff *skb, const struct steer_config *config,
				      const struct steer_view *v, const struct packet *p, struct headers *h,
				      struct flow *f, __u32 now_s)
{
	bool is_out = p->dir == FLOW_OUTBOUND;
	__be32 address = bpf_htonl(is_out ? f->ext_addr : f->int_addr);
	__be16 port = bpf_htons(is_out ? f->ext_port : f->int_port);
	struct bpf_fib_lookup fib = {.ipv4_src = is_out ? address : h->ip.saddr,
				     .ipv4_dst = is_out ? h->ip.daddr : address};
	struct flow_segment g = {.dir = p->dir};
	const struct steer_device *d;
	__u16 segment = length_to_fit(skb, p);

	if (!has_plain_form(skb, p, h)) {
		count(STEER_COUNT_FORM);
		return NOT_CARRIED;
	}
	if (p->protocol == IPPROTO_TCP ? !is_plain_tcp(f, p, h, &g) : !is_plain_datagram(f, p, h))
		return NOT_CARRIED;
	if (!flow_is_next(f, p->dir, g.seq)) {
		count(STEER_COUNT_ORDER);
		return NOT_CARRIED;
	}
	if (is_out && !comes_from_inside(skb, v, p, f))
		return NOT_CARRIED;
	if (is_too_large(config, v, f, p->dir, segment)) {
		count(STEER_COUNT_LARGE);
		return NOT_CARRIED;
	}
	fib.tot_len = segment;
	d = find_way(skb, v, p, &fib);
	if (!d)
		return NOT_CARRIED;
	if (skb->len > p->at + p->length && bpf_skb_change_tail(skb, p->at + p->length, 0) < 0)
		return NOT_CARRIED;
	if (p->protocol == IPPROTO_TCP)
		flow_advance(f, &g);
	flow_count(f, p->dir, segments_of(skb, p, segment), p->length, now_s);
	if (!rewrite(skb, p, h, address, port, &fib, d->is_l3)) {
		count(STEER_COUNT_LOST);
		return TC_ACT_SHOT;
	}
	return bpf_redirect(fib.ifindex, 0);
}

/* A verdict; or NOT_CARRIED, and the packet is unchanged. */
static __always_inline int carry(struct __sk_buff *skb, const struct steer_config *config, const struct steer_view *v,
				 const struct packet *p)
{
	const struct steer_fast *fast = &config->fast;
	__u64 beat_ns = *(const volatile __u64 *)&fast->beat_ns, now_ns;
	struct flow_key k;
	struct headers h;
	struct flow *f;
	int verdict;

	if (!has_flows || beat_ns == 0 || v->outside == 0 || p->header != IP_HEADER || p->is_fragment)
		return NOT_CARRIED;
	now_ns = bpf_ktime_get_coarse_ns();
	if ((__s64)(now_ns - beat_ns) > (__s64)STEER_BEAT_MOST_S * SECOND_NS)
		return NOT_CARRIED;
	if (!read_headers(skb, p, &h) || !make_key(p, &h, &k))
		return NOT_CARRIED;
	f = find_flow(fast, &k);
	if (!f)
		return NOT_CARRIED;
	verdict = carry_flow(skb, config, v, p, &h, f, (now_ns + fast->ahead_ns) / SECOND_NS);
	if (verdict == NOT_CARRIED)
		flow_leave(f, p->dir);
	return verdict;
}

#endif
