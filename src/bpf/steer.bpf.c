/* SPDX-License-Identifier: ISC */
/*
 * Steering by tc: these programs find natd's packets, before the kernel's routing, its early demultiplexing and its
 * sockets see them.
 *
 * Theory of operation. The programs move packets. They translate only those of flows that natd has shown them
 * (fast.bpf.h).
 *
 *   outside (ingress)   of packets to an outside address, natd's go to the TUN device; the host keeps the rest
 *   inside (ingress)    the same; and packets that the kernel's rules send to the TUN device go there at once
 *   tun (ingress)       the super-packets that natd has translated go to their next hop, as a router would send them
 *
 * The kernel's rules for inside interfaces stay in force below these programs: bpf_fib_lookup() obeys them, and without
 * the program they refuse or steer as before. So no packet leaves untranslated when a program is missing. Steering
 * needs no heartbeat: after natd has died, packets wait in the TUN device as they do with rules, if that is kept.
 * Without the device the programs leave packets to the host: a filter at clsact remains after natd.
 *
 * A packet that natd hands back to the host goes on at the interface by which it came (steer_came), as if natd had
 * never had it. So a firewall that distinguishes interfaces also applies to fragments.
 *
 * natd expects packets whose TTL the kernel has decreased, and writes super-packets with a TTL that is higher by 1,
 * since the kernel forwards them. Each program changes the TTL in the same way where it replaces the kernel. An expired
 * packet reaches natd with a TTL of 0.
 *
 * The kernel never answers a super-packet with an ICMP error of its own, which would show an inside address: natd has
 * looked up the way before. If the way has closed since then, the packet ends here. After its write natd reads that
 * (steer_refusals), looks up the way again, and answers the packet.
 */
#include "common.bpf.h"
#include "fast.bpf.h"

/* RFC 7600. It is the TUN device's address, and natd takes packets from it for the kernel's own errors. The kernel
 * refuses its own address as a source from elsewhere, and so do the programs. */
#define DUMMY_ADDRESS 0xc0000008u

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STEER_CAME_MAX);
	__type(key, struct steer_came);
	__type(value, __u32); /* index of the interface */
} steer_came SEC(".maps");

/* <linux/icmp.h> needs the C library's headers for 32 bits. */
enum { ECHO_REPLY = 0, UNREACHABLE = 3, SOURCE_QUENCH = 4, REDIRECT = 5, TIME_EXCEEDED = 11, PARAMETER_PROBLEM = 12 };

/* To natd, one hop further. */
static __always_inline int to_natd(struct __sk_buff *skb, const struct steer_view *v, const struct packet *p,
				   enum steer_counter c)
{
	if (p->ttl > 0 && !set_ttl(skb, p, p->ttl - 1))
		return TC_ACT_SHOT;
	count(c);
	return bpf_redirect(v->tun, 0);
}

static __always_inline int refuse(enum steer_counter c)
{
	count(c);
	return TC_ACT_SHOT;
}

/* ---- packets that may come back ---- */

static __always_inline bool has_class(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_ICMP;
}

/* The protocols without ports have one entry for a pair of addresses. */
static __always_inline struct steer_came came_key(const struct packet *p)
{
	return (struct steer_came){.source = p->source,
				   .destination = p->destination,
				   .id = has_class(p) ? p->id : 0,
				   .protocol = p->protocol};
}

/* A packet to a shared address whose owner only natd can find. */
static __always_inline bool may_come_back(const struct packet *p)
{
	return p->is_fragment || !has_class(p);
}

static __always_inline void remember(struct __sk_buff *skb, const struct packet *p)
{
	struct steer_came key = came_key(p);
	__u32 index = skb->ifindex;

	bpf_map_update_elem(&steer_came, &key, &index, BPF_ANY);
}

/* Has natd handed it back? Then it is the host's, at this interface. */
static __always_inline bool is_back(struct __sk_buff *skb)
{
	if (skb->mark != STEER_MARK_BACK)
		return false;
	skb->mark = 0;
	bpf_skb_change_type(skb, PACKET_HOST); /* its Ethernet header has no address */
	return true;
}

/* ---- the owner of a packet ---- */

static __always_inline bool is_icmp_error(__u8 type)
{
	return type == UNREACHABLE || type == SOURCE_QUENCH || type == REDIRECT || type == TIME_EXCEEDED ||
	       type == PARAMETER_PROBLEM;
}

static __always_inline bool class_of(__u8 protocol, enum steer_class *c)
{
	switch (protocol) {
	case IPPROTO_TCP:
		*c = STEER_TCP;
		return true;
	case IPPROTO_UDP:
		*c = STEER_UDP;
		return true;
	case IPPROTO_ICMP:
		*c = STEER_ICMP;
		return true;
	}
	return false;
}

/* An ICMP error quotes a packet that was sent from the error's destination: does natd own the port of that packet? */
static __always_inline bool owns_quoted(struct __sk_buff *skb, const struct steer_view *v, const struct steer_range *r,
					const struct packet *p)
{
	struct packet quoted;
	enum steer_class c;
	__u8 bytes[8];

	if (!read_ip(skb, p->at + p->header + ICMP_HEADER, &quoted) || quoted.source != p->destination)
		return false;
	if (!class_of(quoted.protocol, &c))
		return v->flags & STEER_OTHER_PROTOCOLS;
	if (bpf_skb_load_bytes(skb, quoted.at + quoted.header, bytes, sizeof(bytes)) < 0)
		return false;
	return is_owned(r, p->destination, c, c == STEER_ICMP ? bytes[4] << 8 | bytes[5] : bytes[0] << 8 | bytes[1]);
}

static __always_inline bool owns_icmp(struct __sk_buff *skb, const struct steer_view *v, const struct steer_range *r,
				      const struct packet *p)
{
	__u8 bytes[8];

	if (bpf_skb_load_bytes(skb, p->at + p->header, bytes, sizeof(bytes)) < 0)
		return false;
	if (is_icmp_error(bytes[0]))
		return owns_quoted(skb, v, r, p);
	return bytes[0] == ECHO_REPLY && is_owned(r, p->destination, STEER_ICMP, bytes[4] << 8 | bytes[5]);
}

/* Would a socket of the host take it? */
static __always_inline bool has_socket(struct __sk_buff *skb, const struct packet *p, enum steer_class c, __be16 source,
				       __be16 destination)
{
	struct bpf_sock_tuple t = {.ipv4 = {.saddr = bpf_htonl(p->source),
					    .daddr = bpf_htonl(p->destination),
					    .sport = source,
					    .dport = destination}};
	struct bpf_sock *s = c == STEER_TCP ? bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0)
					    : bpf_sk_lookup_udp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);

	if (!s)
		return false;
	bpf_sk_release(s);
	return true;
}

/* A packet to an outside address of natd. */
static __always_inline bool is_natds(struct __sk_buff *skb, const struct steer_view *v, const struct steer_range *r,
				     const struct packet *p)
{
	enum steer_class c;
	__be16 ports[2];

	if (r->row == STEER_POOL)
		return true;
	/* With a TTL of 1 handing it back would be one step too many. */
	if (may_come_back(p)) { /* later fragments have no port */
		if (p->ttl <= 1 || !(has_class(p) || (v->flags & STEER_OTHER_PROTOCOLS)))
			return false;
		remember(skb, p);
		return true;
	}
	if (!class_of(p->protocol, &c))
		return false;
	if (c == STEER_ICMP)
		return owns_icmp(skb, v, r, p);
	if (bpf_skb_load_bytes(skb, p->at + p->header, ports, sizeof(ports)) < 0)
		return false;
	/* Ports that natd may choose, and that have no owner, are natd's too: outside.unsolicited decides about
	 * them. */
	return is_owned(r, p->destination, c, bpf_ntohs(ports[1])) ||
	       (has_port(STEER_CHOICE, bpf_ntohs(ports[1])) && !has_socket(skb, p, c, ports[0], ports[1]));
}

/* ---- in ---- */

/* Is natd's device there? A redirect to one that has gone would drop the packet. */
static __always_inline bool has_natd(struct __sk_buff *skb, const struct steer_view *v)
{
	__u32 mtu = 0;

	return v->tun != 0 && (!(v->flags & STEER_OUTLIVES) || bpf_check_mtu(skb, v->tun, &mtu, 0, 0) >= 0);
}

static __always_inline int from_outside(struct __sk_buff *skb, __u32 at)
{
	const struct steer_config *config = get_config();
	const struct steer_view *v = view_of(config);
	const struct steer_range *r;
	struct packet p = {.dir = FLOW_INBOUND};
	int verdict;

	if (is_back(skb) || !v || !is_plain(skb) || !has_natd(skb, v) || !read_ip(skb, at, &p))
		return TC_ACT_UNSPEC;
	if (p.source == DUMMY_ADDRESS)
		return refuse(STEER_COUNT_FORGED);
	verdict = carry(skb, config, v, &p);
	if (verdict != NOT_CARRIED)
		return verdict;
	r = find_range(v, p.destination);
	if (!r || is_inside(v, p.source) || !is_natds(skb, v, r, &p)) /* a forged source is the rules' to refuse */
		return TC_ACT_UNSPEC;
	return to_natd(skb, v, &p, STEER_COUNT_IN);
}

static __always_inline int from_inside(struct __sk_buff *skb, __u32 at)
{
	const struct steer_config *config = get_config();
	const struct steer_view *v = view_of(config);
	const struct steer_range *r;
	struct packet p = {.dir = FLOW_OUTBOUND};
	int verdict;

	if (is_back(skb) || !v || !is_plain(skb) || !has_natd(skb, v) || !read_ip(skb, at, &p))
		return TC_ACT_UNSPEC;
	if (p.source == DUMMY_ADDRESS)
		return refuse(STEER_COUNT_FORGED);
	verdict = carry(skb, config, v, &p);
	if (verdict != NOT_CARRIED)
		return verdict;
	if (!is_inside(v, p.source))
		return TC_ACT_UNSPEC;
	r = find_range(v, p.destination);
	if (r)
		return is_natds(skb, v, r, &p) ? to_natd(skb, v, &p, STEER_COUNT_OUT) : TC_ACT_UNSPEC;
	if (p.ttl <= 1 || !is_routed_to_natd(skb, v, &p)) /* the kernel answers what has expired */
		return TC_ACT_UNSPEC;
	return to_natd(skb, v, &p, STEER_COUNT_OUT);
}

SEC("tc")
int steer_outside(struct __sk_buff *skb)
{
	return from_outside(skb, L2);
}

SEC("tc")
int steer_outside_l3(struct __sk_buff *skb)
{
	return from_outside(skb, L3);
}

SEC("tc")
int steer_inside(struct __sk_buff *skb)
{
	return from_inside(skb, L2);
}

SEC("tc")
int steer_inside_l3(struct __sk_buff *skb)
{
	return from_inside(skb, L3);
}

/* ---- out ---- */

static __always_inline int by_kernel(enum steer_counter c)
{
	count(c);
	return TC_ACT_UNSPEC;
}

static __always_inline int to_next_hop(struct __sk_buff *skb, const struct steer_device *d, const struct packet *p,
				       const struct bpf_fib_lookup *fib)
{
	struct ethhdr eth = {.h_proto = bpf_htons(ETH_P_IP)};

	if (!set_ttl(skb, p, p->ttl - 1))
		return TC_ACT_SHOT;
	count(STEER_COUNT_SENT);
	if (!d->is_l3) {
		__builtin_memcpy(eth.h_dest, fib->dmac, ETH_ALEN);
		__builtin_memcpy(eth.h_source, fib->smac, ETH_ALEN);
		if (bpf_skb_change_head(skb, ETH_HLEN, 0) < 0 || bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) < 0)
			return TC_ACT_SHOT;
	}
	return bpf_redirect(fib->ifindex, 0);
}

/* The kernel looks up the neighbour, and sends no error if there is none. */
static __always_inline int to_unknown_neighbour(struct __sk_buff *skb, const struct packet *p,
						const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh neighbour = {.nh_family = FAMILY_IPV4, .ipv4_nh = fib->ipv4_dst};

	if (!set_ttl(skb, p, p->ttl - 1) || bpf_skb_change_head(skb, ETH_HLEN, 0) < 0)
		return TC_ACT_SHOT;
	count(STEER_COUNT_NEIGHBOUR);
	return bpf_redirect_neigh(fib->ifindex, &neighbour, sizeof(neighbour), 0);
}

/* May packets larger than its way's MTU go there in fragments? */
static __always_inline bool may_be_cut(struct __sk_buff *skb, const struct packet *p)
{
	__u8 flags;

	return bpf_skb_load_bytes(skb, p->at + __builtin_offsetof(struct iphdr, frag_off), &flags, 1) == 0 &&
	       !(flags & DONT_FRAGMENT);
}

/* Drops the packet here, and lets natd handle it again. */
static __always_inline int give_back(struct __sk_buff *skb, const struct packet *p, enum steer_counter why)
{
	__u32 zero = 0;
	struct steer_config *config = bpf_map_lookup_elem(&steer_config, &zero);
	struct steer_refused *e;
	__u64 begin;

	if (config && bpf_skb_load_bytes(skb, p->at + p->header, &begin, sizeof(begin)) == 0) {
		e = &config->refusals.entry[bound(__sync_fetch_and_add(&config->refusals.taken, 1), STEER_REFUSED)];
		e->source = p->source;
		e->destination = p->destination;
		__builtin_memcpy(e->begin, &begin, sizeof(begin));
		__sync_fetch_and_add(&config->refusals.filled, 1);
	}
	return refuse(why);
}

/* To the host, at the interface by which it came. If that interface is not known any more, the packet is dropped: at
 * the TUN device it would not pass the host's firewall. */
static __always_inline int to_host(struct __sk_buff *skb, const struct steer_view *v, const struct packet *p)
{
	struct ethhdr eth = {.h_proto = bpf_htons(ETH_P_IP)};
	struct steer_came key = came_key(p);
	const struct steer_device *d;
	const __u32 *index;

	if (!may_come_back(p))
		return TC_ACT_UNSPEC;
	index = bpf_map_lookup_elem(&steer_came, &key);
	d = index ? find_device(v, *index) : NULL;
	if (!d)
		return refuse(STEER_COUNT_STRAY);
	if (!d->is_l3 &&
	    (bpf_skb_change_head(skb, ETH_HLEN, 0) < 0 || bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) < 0))
		return TC_ACT_SHOT;
	count(STEER_COUNT_BACK);
	skb->mark = STEER_MARK_BACK;
	return bpf_redirect(d->index, BPF_F_INGRESS);
}

SEC("tc")
int steer_tun(struct __sk_buff *skb)
{
	const struct steer_view *v = view_of(get_config());
	struct bpf_fib_lookup fib = {.family = FAMILY_IPV4, .ifindex = skb->ifindex};
	const struct steer_device *d;
	const struct steer_range *r;
	struct packet p;
	long found;

	if (!v || skb->protocol != bpf_htons(ETH_P_IP) || !read_ip(skb, L3, &p))
		return TC_ACT_UNSPEC;
	r = find_range(v, p.destination);
	if (r && r->row != STEER_POOL)
		return to_host(skb, v, &p);
	if (r || p.ttl < 2)
		return TC_ACT_UNSPEC;
	fib.l4_protocol = p.protocol;
	fib.tot_len = length_to_fit(skb, &p);
	fib.tos = p.tos;
	fib.ipv4_src = bpf_htonl(p.source);
	fib.ipv4_dst = bpf_htonl(p.destination);
	found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return may_be_cut(skb, &p) ? by_kernel(STEER_COUNT_SIZE) : give_back(skb, &p, STEER_COUNT_SIZE);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return give_back(skb, &p, STEER_COUNT_ROUTE);
	d = find_device(v, fib.ifindex);
	if (!d)
		return give_back(skb, &p, STEER_COUNT_DEVICE);
	if (found == BPF_FIB_LKUP_RET_NO_NEIGH && !d->is_l3)
		return to_unknown_neighbour(skb, &p, &fib);
	return to_next_hop(skb, d, &p, &fib);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
