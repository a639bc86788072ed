/* SPDX-License-Identifier: ISC */
/* The common part of all tc programs: the maps, searches in them, a packet's header. */
#ifndef NATD_BPF_COMMON_BPF_H
#define NATD_BPF_COMMON_BPF_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

enum { L3 = 0, L2 = ETH_HLEN, FAMILY_IPV4 = 2, FRAGMENT = 0x3fff, DONT_FRAGMENT = 0x40, ICMP_HEADER = 8 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_config);
} steer_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, STEER_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} steer_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, STEER_CPUS_MAX);
	__type(key, __u32);
	__type(value, struct steer_counters);
} steer_counts SEC(".maps");

/* ---- reading the maps ---- */

static __always_inline void count(enum steer_counter c)
{
	__u32 cpu = bpf_get_smp_processor_id() % STEER_CPUS_MAX;
	struct steer_counters *counters = bpf_map_lookup_elem(&steer_counts, &cpu);

	if (counters)
		__sync_fetch_and_add(&counters->value[c], 1);
}

static __always_inline const struct steer_config *get_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&steer_config, &zero);
}

static __always_inline const struct steer_view *view_of(const struct steer_config *config)
{
	return config ? &config->view[*(const volatile __u32 *)&config->current & 1] : NULL;
}

/* A search in a list of the view, as a function for bpf_loop(): the verifier reads its body once, not once for each
 * round as with a loop. */
struct search {
	const struct steer_view *view;
	__u32 key;
	__u32 found; /* index; NOT_FOUND */
};

enum { NOT_FOUND = 0xffff };

static long look_at_range(__u32 i, struct search *s)
{
	const struct steer_range *r = &s->view->range[i % STEER_RANGES_MAX];

	if (s->key < r->first || s->key > r->last)
		return 0;
	s->found = i;
	return 1;
}

static long look_at_prefix(__u32 i, struct search *s)
{
	const struct steer_prefix *p = &s->view->inside[i % STEER_INSIDE_MAX];

	if ((s->key & p->mask) != p->address)
		return 0;
	s->found = i;
	return 1;
}

static long look_at_device(__u32 i, struct search *s)
{
	if (s->view->device[i % STEER_DEVICES_MAX].index != s->key)
		return 0;
	s->found = i;
	return 1;
}

/* An index below `size`, a power of two, in a way that the compiler cannot optimise and the verifier understands. */
static __always_inline __u32 bound(__u32 i, __u32 size)
{
	asm volatile("" : "+r"(i));
	return i & (size - 1);
}

/* The run of outside addresses that holds `address`; NULL: it is none of natd's. */
static __always_inline const struct steer_range *find_range(const struct steer_view *v, __u32 address)
{
	struct search s = {.view = v, .key = address, .found = NOT_FOUND};

	bpf_loop(v->n_ranges, look_at_range, &s, 0);
	return s.found == NOT_FOUND ? NULL : &v->range[bound(s.found, STEER_RANGES_MAX)];
}

static __always_inline bool is_inside(const struct steer_view *v, __u32 address)
{
	struct search s = {.view = v, .key = address, .found = NOT_FOUND};

	bpf_loop(v->n_inside, look_at_prefix, &s, 0);
	return s.found < STEER_INSIDE_MAX;
}

static __always_inline const struct steer_device *find_device(const struct steer_view *v, __u32 index)
{
	struct search s = {.view = v, .key = index, .found = NOT_FOUND};

	/* Most hosts have two, and a search costs more than these comparisons. */
	if (v->n_devices > 0 && v->device[0].index == index)
		return &v->device[0];
	if (v->n_devices > 1 && v->device[1].index == index)
		return &v->device[1];
	bpf_loop(v->n_devices, look_at_device, &s, 0);
	return s.found == NOT_FOUND ? NULL : &v->device[bound(s.found, STEER_DEVICES_MAX)];
}

static __always_inline bool has_port(__u32 first_word, __u16 port)
{
	__u32 word = first_word + port / 64;
	__u64 *bits = bpf_map_lookup_elem(&steer_ports, &word);

	return bits && (*bits >> port % 64 & 1);
}

static __always_inline bool is_owned(const struct steer_range *r, __u32 address, enum steer_class c, __u16 port)
{
	__u32 row = r->row + (address - r->first);

	return has_port((row * STEER_CLASSES + c) * STEER_PORT_WORDS, port);
}

/* ---- a packet ---- */

enum { FLOW_OUTBOUND = 0, FLOW_INBOUND = 1 };

struct packet {
	__u32 dir;    /* FLOW_*; read_ip() leaves it */
	__u32 at;     /* of the IP header in the packet */
	__u32 header; /* its length */
	__u32 source, destination;
	__u16 length, id;
	__u8 protocol, ttl, tos;
	bool is_fragment;
};

static __always_inline bool read_ip(struct __sk_buff *skb, __u32 at, struct packet *p)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5)
		return false;
	p->at = at;
	p->header = ip.ihl * 4;
	p->source = bpf_ntohl(ip.saddr);
	p->destination = bpf_ntohl(ip.daddr);
	p->length = bpf_ntohs(ip.tot_len);
	p->id = bpf_ntohs(ip.id);
	p->protocol = ip.protocol;
	p->ttl = ip.ttl;
	p->tos = ip.tos;
	p->is_fragment = (bpf_ntohs(ip.frag_off) & FRAGMENT) != 0;
	return true;
}

/* Would the host take it: is it IPv4, without a VLAN's tag, sent to this host? */
static __always_inline bool is_plain(const struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IP) && !skb->vlan_present && skb->pkt_type == PACKET_HOST;
}

static __always_inline bool set_ttl(struct __sk_buff *skb, const struct packet *p, __u8 ttl)
{
	__u16 before = bpf_htons((__u16)(p->ttl << 8 | p->protocol));
	__u16 after = bpf_htons((__u16)(ttl << 8 | p->protocol));

	return bpf_l3_csum_replace(skb, p->at + __builtin_offsetof(struct iphdr, check), before, after, 2) == 0 &&
	       bpf_skb_store_bytes(skb, p->at + __builtin_offsetof(struct iphdr, ttl), &ttl, 1, 0) == 0;
}

/* Would the kernel forward it to natd's device? */
static __always_inline bool is_routed_to_natd(struct __sk_buff *skb, const struct steer_view *v, const struct packet *p)
{
	struct bpf_fib_lookup fib = {
		.family = FAMILY_IPV4,
		.l4_protocol = p->protocol,
		.tos = p->tos,
		.ipv4_src = bpf_htonl(p->source),
		.ipv4_dst = bpf_htonl(p->destination),
		.ifindex = skb->ifindex,
	};
	long found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);

	return (found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH) && fib.ifindex == v->tun;
}

/* The length that must fit the MTU: that of one segment. */
static __always_inline __u16 length_to_fit(struct __sk_buff *skb, const struct packet *p)
{
	__u8 offset = 0;

	if (skb->gso_size == 0)
		return p->length;
	if (p->protocol == IPPROTO_UDP)
		return p->header + 8 + skb->gso_size;
	if (bpf_skb_load_bytes(skb, p->at + p->header + 12, &offset, 1) < 0)
		return p->length;
	return p->header + (offset >> 4) * 4 + skb->gso_size;
}

#endif
