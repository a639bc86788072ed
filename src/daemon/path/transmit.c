/* SPDX-License-Identifier: ISC */
/*
 * How packets in transit leave natd.
 *
 * Theory of operation. To the kernel natd is a local program, but its packets are in transit. So the kernel's rules for
 * local programs must not apply: the host's path MTU cache, silence about packets that cannot be sent, errors about
 * translated packets. Each packet's way is looked up first (ways.h). If it is closed, leads elsewhere or is too small,
 * the sender gets the error that a router owes (RFC 1812 4.3.3.1, 5.2.7); the same holds for packets that the raw
 * socket refuses.
 *
 * Such an error quotes the translated packet, as if the next router had sent it. The core translates it like any error
 * from outside or inside, so no side sees an address of the other. An error towards the inside has the source
 * TRANSMIT_DUMMY_ADDRESS until it is translated, then the gateway's inside address. Errors of the kernel about the
 * socket's packets (a dead neighbour, a firewall's reject) carry the socket's mark; a rule sends them to the TUN, with
 * the same source, and they are handled in the same way.
 *
 * Super-packets are too large for the raw socket, and carry no mark when they go back through the TUN. So the TUN gets
 * only those whose way is open, large enough and resolved; others are cut into segments, which go through the socket.
 * If the tc program behind the TUN still refuses one, because its way has just changed, it is handled once more
 * (send_again()).
 *
 * Where rules steer, the host's firewall sees a super-packet when the kernel forwards it. What it rejects on its way
 * outside is answered to the host's own address, and natd reads that. On its way inside the kernel's error would go to
 * the sender outside, and show it the inside address. So with such a firewall super-packets to inside hosts go as
 * segments (cuts_inside).
 */
#include "transmit.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/fragment/fragment.h"
#include "core/packet/checksum.h"
#include "core/packet/icmp.h"
#include "core/packet/rewrite.h"
#include "daemon/base/log.h"
#include "merge.h"
#include "vnet.h"

enum {
	IP_TCP_HEADERS = 40,
	TTL_MOST = 255,
	CODE_NET = 0,	      /* RFC 792: 3/0 */
	DONT_FRAGMENT = 0x40, /* byte 6 of the header */
	NO_ERROR = -1,
	SEGMENT_MAX = 65535,
	TCP_CWR = 0x80,
};

struct transmit {
	struct rawsock *raw;
	struct io_counters *io;
	const struct transit *transit;
	const struct tun *tun;
	struct merge *merge;
	struct ways *ways;
	uint64_t now_ms;
	uint64_t random; /* xorshift: only for the rate limit */
	uint64_t key;	 /* keeps senders from choosing whose bucket they share */
	struct icmp_limit limit;
	bool cuts_inside; /* see struct transit; not where a tc program takes what is written to the TUN */
	bool is_again; /* the current packet was refused behind the TUN: it is sent singly, or answered with an error */
	uint32_t n_errors;
	struct nat_packet error[TRANSMIT_ERRORS];
	uint8_t bytes[TRANSMIT_ERRORS][ICMP_ERROR_MAX];
	uint8_t segment[SEGMENT_MAX];
};

/* ---- errors ---- */

static uint64_t next_random(struct transmit *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random;
}

static bool may_report(struct transmit *t, const struct pkt_view *v)
{
	uint64_t hash = (v->dst ^ t->key) * 0x9e3779b97f4a7c15u;

	if (t->n_errors == TRANSMIT_ERRORS || !icmp_limit_take(&t->limit, hash >> 32, t->now_ms, next_random(t))) {
		t->io->value[IO_ERROR_LIMITED]++;
		return false;
	}
	return true;
}

/* A super-packet was never on a wire: its first segment is quoted. */
static void quote_segment(struct pkt_view *v, uint16_t gso_size, uint8_t *room, size_t room_len)
{
	size_t headers = (size_t)v->ihl + (v->kind == PKT_TCP ? v->tcp_hlen : 8u);
	uint16_t before = load16(v->ip + 2), after = (uint16_t)(headers + gso_size);

	if (gso_size == 0 || after >= before)
		return;
	memcpy(room, v->ip, v->len < room_len ? v->len : room_len);
	store16(room + 2, after);
	store16(room + 10, checksum_update(load16(room + 10), checksum_diff16(before, after)));
	v->ip = room;
	if (v->len > after)
		v->len = after;
}

static void report(struct transmit *t, const struct nat_packet *p, uint8_t code, uint16_t mtu)
{
	struct icmp_error e = {.src = TRANSMIT_DUMMY_ADDRESS, .type = ICMP_UNREACH, .code = code, .mtu = mtu};
	uint8_t segment[ICMP_ERROR_MAX];
	struct nat_packet *out;
	struct pkt_view v;

	if (packet_parse(p->data, p->len, p->csum_partial, &v) != NAT_PASS || !icmp_may_answer(&v) ||
	    !may_report(t, &v))
		return;
	if (p->to == NAT_TO_INSIDE)
		e.src = v.dst;
	quote_segment(&v, p->gso_size, segment, sizeof(segment));
	out = &t->error[t->n_errors];
	*out = (struct nat_packet){.data = t->bytes[t->n_errors], .source = NAT_FROM_TUN};
	out->len = (uint32_t)icmp_build(out->data, &v, &e);
	t->n_errors++;
	t->io->value[IO_ERROR_REPORTED]++;
}

static void refuse(struct transmit *t, const struct nat_packet *p, enum io_counter why, int code)
{
	t->io->value[why]++;
	if (code != NO_ERROR)
		report(t, p, (uint8_t)code, 0);
}

static int forward_by_kernel(struct transmit *t, const struct nat_packet *p);

/* Would the kernel be silent about it, or its error be translated? */
static bool may_forward(const struct transmit *t, const struct nat_packet *p)
{
	return p->to != NAT_TO_INSIDE || !t->cuts_inside;
}

/* The raw socket refused it, and has counted it. */
static void on_refused(void *ctx, const struct nat_packet *p, int err)
{
	struct transmit *t = ctx;

	switch (err) {
	case ENETUNREACH:
	case ENETDOWN:
	case ENODEV:
	case ENXIO:
		report(t, p, CODE_NET, 0);
		break;
	case EHOSTUNREACH:
		report(t, p, ICMP_UNREACH_HOST, 0);
		break;
	case EACCES:
		report(t, p, ICMP_UNREACH_ADMIN, 0);
		break;
	case EMSGSIZE: /* the interface's MTU has just shrunk; with DF the next packet is refused by its size */
		if (!(p->data[6] & DONT_FRAGMENT) && may_forward(t, p))
			(void)forward_by_kernel(t, p);
		break;
	default: /* buffer full, forbidden by a firewall, a blackhole: routers are silent, too */
		break;
	}
}

uint32_t transmit_take_errors(struct transmit *t, struct nat_packet *out)
{
	uint32_t n = t->n_errors;

	memcpy(out, t->error, n * sizeof(*out));
	t->n_errors = 0;
	return n;
}

static void set_source(uint8_t *ip, uint32_t source)
{
	uint32_t sum = checksum_diff16(load16(ip + 12), (uint16_t)(source >> 16));

	store16(ip + 10, checksum_update(load16(ip + 10), sum));
	sum = checksum_diff16(load16(ip + 14), (uint16_t)source);
	store16(ip + 10, checksum_update(load16(ip + 10), sum));
	store32(ip + 12, source);
}

void transmit_readdress(const struct nat_policy *policy, struct nat_packet *p)
{
	size_t ihl = (p->data[0] & 15) * 4u;
	uint32_t about;

	if (p->len < ihl + 8 + 20)
		return;
	about = load32(p->data + ihl + 8 + 16);
	for (uint32_t i = 0; i < policy->n_inside; i++) {
		const struct nat_prefix *inside = &policy->inside[i];
		uint32_t mask = inside->length ? UINT32_MAX << (32 - inside->length) : 0;

		if (((about ^ inside->address) & mask) == 0) {
			set_source(p->data, about);
			return;
		}
	}
}

/* ---- the TUN ---- */

enum { REFUSED_BEHIND_TUN = 1 };

/* Through the TUN the kernel forwards the packet a second time: the TTL is raised by one to make up for it. A TTL of
 * 255, which only a neighbour sends, cannot be raised. Returns 0, a negative errno, or REFUSED_BEHIND_TUN: then the
 * packet is unchanged. */
static int forward_parts(struct transmit *t, const struct nat_packet *p, const struct iovec *parts, int n)
{
	uint8_t *ip = p->data;
	uint16_t ttl = load16(ip + 8), sum = load16(ip + 10);
	int rc;

	if (ip[8] < TTL_MOST)
		ip[8]++;
	store16(ip + 10, checksum_update(sum, checksum_diff16(ttl, load16(ip + 8))));
	rc = tun_write_parts(t->tun, t->io, p, parts, n);
	if (rc < 0 || !ways_was_refused(t->ways, p))
		return rc;
	store16(ip + 8, ttl);
	store16(ip + 10, sum);
	return REFUSED_BEHIND_TUN;
}

static int forward_by_kernel(struct transmit *t, const struct nat_packet *p)
{
	const struct iovec part = {p->data, p->len};

	return t->tun ? forward_parts(t, p, &part, 1) : 0;
}

static void send_single(void *ctx, const struct nat_packet *p)
{
	rawsock_queue(((struct transmit *)ctx)->raw, p, false);
}

static void send_in_transit(struct transmit *t, const struct nat_packet *p, bool owned);

/* Its way has changed since it was looked up. Only once: a packet refused again is lost, and the program has counted
 * it. */
static void send_again(void *ctx, const struct nat_packet *p)
{
	struct transmit *t = ctx;

	t->is_again = true;
	send_in_transit(t, p, false);
	t->is_again = false;
}

/* Joined datagrams. If the device refuses them for another reason, they are lost and counted. */
static enum merge_result send_joined(void *ctx, const struct nat_packet *p, const struct iovec *parts, int n)
{
	struct transmit *t = ctx;
	int rc;

	rawsock_flush(t->raw);
	rc = forward_parts(t, p, parts, n);
	if (rc == REFUSED_BEHIND_TUN)
		return MERGE_AGAIN;
	if (rc == -EINVAL) {
		log_notice(SUB_DATA, "this kernel accepts no joined datagrams from %s: sending each one singly",
			   t->tun->name);
		return MERGE_NEVER;
	}
	t->io->value[IO_TUN_JOINED] += rc == 0 ? (unsigned)n : 0;
	return MERGE_SENT;
}

/* ---- one packet ---- */

static bool may_merge(const struct transmit *t, const struct nat_packet *p, const struct way *way)
{
	return t->tun && may_forward(t, p) && (t->tun->features & TUN_USO) && way->state == WAY_OPEN &&
	       (way->next_hop == 0 || way->neighbour == NEIGHBOUR_RESOLVED);
}

/* Turns the super-packet's headers at p->data into those of segment number `i`, with the payload from `at` on. */
static void write_segment(struct nat_packet *p, uint32_t ihl, uint32_t i, uint32_t at, bool is_last)
{
	uint8_t *ip = p->data, *l4 = ip + ihl;
	uint16_t l4_len = (uint16_t)(p->len - ihl);
	uint16_t pseudo = (uint16_t)~checksum_finish(checksum_pseudo(load32(ip + 12), load32(ip + 16), ip[9], l4_len));

	store16(ip + 2, (uint16_t)p->len);
	store16(ip + 4, (uint16_t)(load16(ip + 4) + i));
	store16(ip + 10, 0);
	store16(ip + 10, checksum_finish(checksum_add(0, ip, ihl)));
	if (ip[9] == IPPROTO_UDP) {
		store16(l4 + 4, l4_len);
		store16(l4 + 6, pseudo);
		return;
	}
	store32(l4 + 4, load32(l4 + 4) + at);
	if (i > 0)
		l4[13] &= (uint8_t)~TCP_CWR;
	if (!is_last)
		l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	store16(l4 + 16, pseudo);
}

/* Sends a super-packet through the raw socket, segment by segment. */
static void send_segments(struct transmit *t, const struct nat_packet *p)
{
	uint32_t ihl = (p->data[0] & 15) * 4u;
	uint32_t headers = ihl + (p->data[9] == IPPROTO_TCP ? (p->data[ihl + 12] >> 4) * 4u : 8);
	uint32_t i = 0;

	for (uint32_t at = 0; headers + at < p->len; at += p->gso_size, i++) {
		struct nat_packet segment = *p;
		uint32_t left = p->len - headers - at;
		uint32_t n = left < p->gso_size ? left : p->gso_size;

		segment.data = t->segment;
		segment.len = headers + n;
		segment.gso_size = 0;
		segment.csum_partial = true;
		memcpy(t->segment, p->data, headers);
		memcpy(t->segment + headers, p->data + headers + at, n);
		write_segment(&segment, ihl, i, at, n == left);
		rawsock_queue(t->raw, &segment, true);
	}
}

static void send_on(struct transmit *t, const struct nat_packet *p, enum way_admission admission, bool owned)
{
	if (p->gso_size == 0) {
		rawsock_queue(t->raw, p, owned);
	} else if (admission == ADMIT && may_forward(t, p)) {
		rawsock_flush(t->raw);
		if (forward_by_kernel(t, p) == REFUSED_BEHIND_TUN && !t->is_again)
			send_again(t, p);
	} else {
		send_segments(t, p);
	}
}

struct cutting {
	struct transmit *t;
	struct nat_packet piece;
};

static void send_piece(void *ctx, uint8_t *data, size_t len)
{
	struct cutting *c = ctx;

	c->piece.data = data;
	c->piece.len = (uint32_t)len;
	rawsock_queue(c->t->raw, &c->piece, true);
}

static void cut(struct transmit *t, const struct nat_packet *p, uint16_t mtu)
{
	struct cutting c = {.t = t, .piece = *p};
	struct pkt_view v;

	if ((p->csum_partial && !vnet_finish_checksum(p->data, p->len)) ||
	    packet_parse(p->data, p->len, false, &v) != NAT_PASS) {
		t->io->value[IO_SEND_INVALID]++;
		return;
	}
	c.piece.csum_partial = false;
	fragment_cut(&v, mtu, send_piece, &c);
}

/* RFC 791, RFC 1191: a packet larger than the route's MTU is fragmented, or refused with 3/4. True: it was handled. */
static bool is_too_big(struct transmit *t, const struct nat_packet *p, uint16_t mtu)
{
	const uint8_t *ip = p->data;
	uint32_t ihl = (ip[0] & 15) * 4u;
	uint32_t len = p->len;

	if (p->gso_size != 0)
		len = p->gso_size + ihl + (ip[9] == IPPROTO_TCP ? (ip[ihl + 12] >> 4) * 4u : 8);
	if (len <= mtu)
		return false;
	if (ip[6] & DONT_FRAGMENT) {
		t->io->value[IO_SEND_TOO_BIG]++;
		report(t, p, ICMP_UNREACH_NEEDFRAG, mtu);
		return true;
	}
	if (p->gso_size != 0) /* the kernel cuts its segments */
		return false;
	cut(t, p, mtu);
	return true;
}

/* Clamps the MSS of a connection whose way out is smaller than the interface. */
static void clamp_mss(const struct nat_packet *p, uint16_t mtu)
{
	struct pkt_view v;

	if (p->data[9] == IPPROTO_TCP && packet_parse(p->data, p->len, p->csum_partial, &v) == NAT_PASS &&
	    v.kind == PKT_TCP && (v.tcp_flags & TCP_SYN) && mtu > IP_TCP_HEADERS)
		rewrite_clamp_mss(&v, (uint16_t)(mtu - IP_TCP_HEADERS), p->csum_partial);
}

static uint16_t smaller_mtu(uint16_t a, uint16_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return a < b ? a : b;
}

/* Does the way have an MTU of its own? True: the packet was handled. */
static bool obey_mtu(struct transmit *t, const struct nat_packet *p, const struct way *way)
{
	uint16_t back = p->to == NAT_TO_INSIDE ? ways_mtu(t->ways, load32(p->data + 12)) : 0;
	uint16_t mtu = smaller_mtu(way->mtu, back);

	if (mtu != 0)
		clamp_mss(p, mtu);
	if (way->mtu != 0 && is_too_big(t, p, way->mtu))
		return true;
	if (p->gso_size != 0 || !p->csum_partial || p->mtu == 0 || p->len <= p->mtu)
		return false;
	cut(t, p, p->mtu); /* the core leaves it uncut until the checksum is filled in */
	return true;
}

static void send_open(struct transmit *t, const struct nat_packet *p, struct way *way, bool owned)
{
	enum way_admission admission;

	if (obey_mtu(t, p, way))
		return;
	admission = ways_admit(t->ways, way, p);
	if (admission == ADMIT_NOT) /* the kernel reports 3/1 about the waiting ones */
		t->io->value[IO_SEND_UNRESOLVED]++;
	else if (owned || t->is_again || !may_merge(t, p, way) || !merge_add(t->merge, p))
		send_on(t, p, admission, owned);
}

static void send_in_transit(struct transmit *t, const struct nat_packet *p, bool owned)
{
	struct way *way = ways_find(t->ways, p);

	switch ((enum way_state)way->state) {
	case WAY_NO_NET:
		refuse(t, p, IO_SEND_NET_UNREACH, CODE_NET);
		break;
	case WAY_NO_HOST:
		refuse(t, p, IO_SEND_HOST_UNREACH, ICMP_UNREACH_HOST);
		break;
	case WAY_PROHIBITED:
		refuse(t, p, IO_SEND_DENIED, ICMP_UNREACH_ADMIN);
		break;
	case WAY_BLACKHOLE:
		refuse(t, p, IO_SEND_INVALID, NO_ERROR);
		break;
	case WAY_ELSEWHERE:
		refuse(t, p, IO_SEND_ELSEWHERE, p->to == NAT_TO_INSIDE ? ICMP_UNREACH_HOST : ICMP_UNREACH_ADMIN);
		break;
	case WAY_UNKNOWN:
	case WAY_OPEN:
		send_open(t, p, way, owned);
		break;
	}
}

void transmit_packet(struct transmit *t, const struct nat_packet *p, bool owned)
{
	uint32_t gateway;

	if (p->to == NAT_TO_HOST) {
		if (t->tun)
			tun_write(t->tun, t->io, p);
		return;
	}
	if (p->to == NAT_TO_INSIDE && transmit_is_own_error(p)) {
		gateway = atomic_load_explicit(&t->transit->icmp_source, memory_order_relaxed);
		if (gateway)
			set_source(p->data, gateway);
	}
	send_in_transit(t, p, owned);
}

void transmit_begin(struct transmit *t, uint64_t now_ms)
{
	t->now_ms = now_ms;
	ways_begin(t->ways, now_ms);
	t->cuts_inside = atomic_load_explicit(&t->transit->cuts_inside, memory_order_relaxed) &&
			 !atomic_load_explicit(&t->transit->refusals, memory_order_relaxed);
	rawsock_set_outside(t->raw, atomic_load_explicit(&t->transit->outside, memory_order_relaxed));
}

void transmit_flush(struct transmit *t)
{
	merge_flush(t->merge);
	rawsock_flush(t->raw);
}

/* ---- create and destroy ---- */

int transmit_create(struct transmit **out, const struct transmit_params *p)
{
	struct transmit *t = calloc(1, sizeof(*t));
	const struct merge_ways ways = {send_single, send_again, send_joined, t};
	uint64_t seed[2];
	int r;

	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->raw = p->raw;
	t->io = p->io;
	t->transit = p->transit;
	t->merge = merge_create(&ways);
	t->ways = p->ways;
	r = t->merge ? 0 : -ENOMEM;
	if (r == 0 && getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		r = -EAGAIN;
	if (r < 0) {
		transmit_destroy(t);
		return r;
	}
	t->random = seed[0] | 1;
	t->key = seed[1];
	rawsock_set_refused(t->raw, on_refused, t);
	*out = t;
	return 0;
}

void transmit_destroy(struct transmit *t)
{
	if (!t)
		return;
	rawsock_set_refused(t->raw, NULL, NULL);
	merge_destroy(t->merge);
	free(t);
}

void transmit_set_tun(struct transmit *t, const struct tun *tun)
{
	t->tun = tun;
}
