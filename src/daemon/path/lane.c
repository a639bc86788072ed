/* SPDX-License-Identifier: ISC */
/*
 * One way through natd.
 *
 * Theory of operation. A burst is read packet by packet into one arena, one after the other (slots of
 * 64 KiB each would all fall into the same few cache sets), translated by one nat_batch(), and sent: what is
 * routed by the kernel through the raw socket, what is the host's own by way of the TUN. A super-packet
 * (GSO) is too large for a raw socket: it goes back through the TUN, and the kernel forwards it and
 * cuts it up. So does a packet that must be cut and whose checksum is not filled in yet, and so do
 * datagrams of one flow that a burst holds several of, joined into one (merge.h). The raw batch is flushed
 * before it, so that a flow's order is kept; and since forwarding takes a step of TTL again, it gets one
 * back beforehand.
 *
 * With several lanes the translation is guarded by one lock. It is held for the translation alone, about a
 * twentieth of what a packet costs; reading and sending, the other nineteen, happen outside of it. So what nat_batch()
 * emits is only noted down, and sent when the lock is released. Only packets that natd made or held back (`owned`, rare) are
 * sent at once, behind what was noted before them.
 *
 * Polling: a wake-up costs more than a packet. While packets come closer together than poll_ns,
 * lane_serve() goes on looking for the next one that long instead of going to sleep, and yields the processor
 * between looks; after TURN_MOST_NS it gives its caller a turn. How close they come is the smoothed
 * gap between running out of packets and the next one, so a gateway with little to do never polls.
 */
#include "lane.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "core/packet/checksum.h"
#include "core/packet/packet.h"
#include "daemon/base/log.h"
#include "merge.h"

enum {
	PACKET_MAX = 65535,
	ALIGN = 64,
	LEAD = 12, /* with 20 bytes of IP and 32 of TCP the payload begins on a cache line: copying it is cheapest so */
	/* A burst ends early when no largest packet fits any more. Four super-packets: what was read is written back while
	 * it is still in the processor's own cache. */
	ARENA = 256 << 10,
	TURN_MOST_NS = 500000,
	GAP_MOST_NS = 1000000, /* a longer gap counts as this long */
	GAP_WEIGHT = 8,
};

struct lane {
	struct nat *nat;
	struct rawsock *raw;
	pthread_mutex_t *lock;
	const struct tun *tun;
	struct io_counters *io;
	struct merge *merge;
	uint8_t *arena;
	uint64_t poll_ns;  /* 0: never polls */
	uint64_t gap_ns;   /* smoothed */
	uint64_t empty_ns; /* when packets ran out last */
	uint32_t n_noted;
	struct nat_packet packets[LANE_BURST];
	const struct nat_packet *noted[LANE_BURST]; /* emitted, not sent yet */
};

static void lock(struct lane *l)
{
	if (l->lock)
		pthread_mutex_lock(l->lock);
}

static void unlock(struct lane *l)
{
	if (l->lock)
		pthread_mutex_unlock(l->lock);
}

/* ---- out ---- */

/* Through the TUN the kernel forwards it, a second time for this packet: that step of TTL is given back. */
static int forward_parts(struct lane *l, const struct nat_packet *p, const struct iovec *parts, int n)
{
	uint8_t *ip = p->data;
	uint16_t before = load16(ip + 8);

	ip[8]++;
	store16(ip + 10, checksum_update(load16(ip + 10), checksum_diff16(before, load16(ip + 8))));
	return tun_write_parts(l->tun, l->io, p, parts, n);
}

static void forward_by_kernel(struct lane *l, const struct nat_packet *p)
{
	const struct iovec part = {p->data, p->len};

	if (l->tun)
		forward_parts(l, p, &part, 1);
}

static void send_single(void *ctx, const struct nat_packet *p)
{
	rawsock_queue(((struct lane *)ctx)->raw, p, false);
}

/* Joined datagrams. Not taken only where this kernel does not know such: what the device refuses otherwise is lost,
 * and counted. */
static bool send_joined(void *ctx, const struct nat_packet *p, const struct iovec *parts, int n)
{
	struct lane *l = ctx;
	int rc;

	rawsock_flush(l->raw);
	rc = forward_parts(l, p, parts, n);
	if (rc == -EINVAL) {
		log_notice(SUB_DATA, "this kernel takes no joined datagrams from %s: sending each by itself",
			   l->tun->name);
		return false;
	}
	l->io->value[IO_TUN_JOINED] += rc == 0 ? (unsigned)n : 0;
	return true;
}

static bool may_merge(const struct lane *l)
{
	return l->tun && (l->tun->features & TUN_USO);
}

/* Can the raw socket not take it? Super-packets; and what must be cut, but only once its checksum is filled in. */
static bool needs_kernel(const struct nat_packet *p)
{
	return p->gso_size != 0 || (p->csum_partial && p->mtu != 0 && p->len > p->mtu);
}

/* Larger than the way out, which natd did not know. The kernel cuts it if that is allowed. If not, it is lost:
 * the kernel's ICMP error would quote the translated packet, and tell its sender about addresses he must not see. */
static void on_too_big(void *ctx, const struct nat_packet *p)
{
	const unsigned dont_fragment = 0x40;

	if (!(p->data[6] & dont_fragment))
		forward_by_kernel(ctx, p);
}

static void send_on(struct lane *l, const struct nat_packet *p, bool owned)
{
	if (!needs_kernel(p)) {
		rawsock_queue(l->raw, p, owned);
		return;
	}
	rawsock_flush(l->raw);
	forward_by_kernel(l, p);
}

static void send_packet(struct lane *l, const struct nat_packet *p, bool owned)
{
	if (p->to == NAT_TO_HOST) {
		if (l->tun)
			tun_write(l->tun, l->io, p);
	} else if (owned || !may_merge(l) || !merge_add(l->merge, p)) {
		send_on(l, p, owned);
	}
}

static void send_noted(struct lane *l)
{
	for (uint32_t i = 0; i < l->n_noted; i++)
		send_packet(l, l->noted[i], false);
	l->n_noted = 0;
	merge_flush(l->merge);
}

static void emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct lane *l = ctx;

	if (p->to == NAT_NOWHERE || p->to == NAT_KEPT)
		return;
	if (!owned) {
		l->noted[l->n_noted++] = p;
		return;
	}
	send_noted(l);
	send_packet(l, p, true);
}

static void translate(struct lane *l, uint32_t n, uint64_t now_ms)
{
	if (n == 0)
		return;
	lock(l);
	nat_batch(l->nat, now_ms, l->packets, n, emit, l);
	unlock(l);
	send_noted(l);
	rawsock_flush(l->raw);
}

/* ---- in ---- */

static int read_tun(void *ctx, uint8_t *buffer, size_t room, struct nat_packet *p)
{
	struct lane *l = ctx;

	return tun_read(l->tun, l->io, buffer, room, p);
}

int lane_burst(struct lane *l, lane_read_fn *read, void *ctx, uint64_t now_ms)
{
	size_t used = 0;
	uint32_t n = 0;
	int r = 1;

	for (int tries = 0; tries < LANE_BURST && ARENA - used >= LEAD + PACKET_MAX; tries++) {
		struct nat_packet *p = &l->packets[n];

		r = read(ctx, l->arena + used + LEAD, PACKET_MAX, p);
		if (r == -EBADMSG)
			continue;
		if (r <= 0)
			break;
		used += (LEAD + (size_t)p->len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
		n++;
	}
	translate(l, n, now_ms);
	return r == -EBADMSG ? 1 : r;
}

static int drain(struct lane *l, uint64_t now_ms)
{
	int r = 1;

	for (int i = 0; i < LANE_BURSTS && r > 0; i++)
		r = lane_burst(l, read_tun, l, now_ms);
	return r;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void note_gap(struct lane *l, uint64_t now)
{
	uint64_t gap = now - l->empty_ns < GAP_MOST_NS ? now - l->empty_ns : GAP_MOST_NS;

	l->gap_ns += gap / GAP_WEIGHT;
	l->gap_ns -= l->gap_ns / GAP_WEIGHT;
}

/* Looks for packets until none has come for poll_ns, or the turn is over. */
static int look_for_more(struct lane *l, uint64_t now_ms)
{
	uint64_t start = clock_ns(), now = start;
	int r = 0;

	while (r == 0 && l->gap_ns < l->poll_ns && now - l->empty_ns < l->poll_ns) {
		uint64_t before = l->io->value[IO_TUN_READ];

		if (now - start > TURN_MOST_NS)
			return 1;
		r = drain(l, now_ms);
		now = clock_ns();
		if (l->io->value[IO_TUN_READ] != before) {
			note_gap(l, now);
			l->empty_ns = now;
		} else {
			sched_yield();
		}
	}
	return r;
}

int lane_serve(struct lane *l, uint64_t now_ms)
{
	int r;

	if (!l->tun)
		return 0;
	if (l->poll_ns == 0)
		return drain(l, now_ms);
	note_gap(l, clock_ns());
	r = drain(l, now_ms);
	if (r != 0)
		return r;
	l->empty_ns = clock_ns();
	return look_for_more(l, now_ms);
}

struct nat_stepped lane_step(struct lane *l, uint64_t now_ms, uint32_t budget)
{
	struct nat_stepped done;

	lock(l);
	done = nat_step(l->nat, now_ms, budget, emit, l);
	unlock(l);
	send_noted(l);
	rawsock_flush(l->raw);
	return done;
}

/* ---- life ---- */

struct lane *lane_create(const struct lane_params *p)
{
	struct lane *l = calloc(1, sizeof(*l));
	const struct merge_ways ways = {send_single, send_joined, l};

	if (!l)
		return NULL;
	l->arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	l->merge = merge_create(&ways);
	if (l->arena == MAP_FAILED || !l->merge) {
		if (l->arena != MAP_FAILED)
			munmap(l->arena, ARENA);
		merge_destroy(l->merge);
		free(l);
		return NULL;
	}
	l->nat = p->nat;
	l->raw = p->raw;
	l->io = p->io;
	l->lock = p->lock;
	l->gap_ns = GAP_MOST_NS;
	rawsock_set_too_big(l->raw, on_too_big, l);
	return l;
}

void lane_destroy(struct lane *l)
{
	if (!l)
		return;
	rawsock_set_too_big(l->raw, NULL, NULL);
	merge_destroy(l->merge);
	munmap(l->arena, ARENA);
	free(l);
}

void lane_set_tun(struct lane *l, const struct tun *tun)
{
	l->tun = tun;
}

void lane_set_busy_poll(struct lane *l, uint32_t us)
{
	l->poll_ns = us * 1000ull;
}
