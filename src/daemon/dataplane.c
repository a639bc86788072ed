/* SPDX-License-Identifier: ISC */
/*
 * The data path.
 *
 * Theory of operation. A burst is read packet by packet into one arena, one after the other (slots of
 * 64 KiB each would all fall into the same few cache sets), translated by one nat_batch(), and sent: what
 * the kernel routes through the raw socket, what is the host's own by way of the TUN. A super-packet (GSO)
 * is too large for a raw socket: it goes back through the TUN, and the kernel forwards it and cuts it up.
 * So does a packet that must be cut and whose checksum is not filled in yet. The raw batch is flushed
 * first, so that a flow's order is kept; and since forwarding takes a step of TTL again, such a packet
 * gets one back beforehand.
 *
 * Polling: a wake-up costs more than a packet. While packets come closer together than poll_ns, on_tun() goes on
 * looking for the next one that long instead of sleeping, and yields the processor between looks; after
 * TURN_MOST_NS it lets the loop serve everything else and comes back. How close they come is the smoothed gap between
 * running out of packets and the next one, so a gateway with little to do never polls.
 *
 * Time: nat_step() visits records at a pace that brings it round the table in DATAPLANE_ROUND_MS, in
 * slices of DATAPLANE_STEP, one a turn of the loop.
 */
#include "dataplane.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/checksum.h"
#include "core/nat.h"
#include "core/packet.h"
#include "core/table.h"
#include "log.h"
#include "loop.h"
#include "merge.h"

enum {
	PACKET_MAX = 65535,
	ARENA = 1 << 20, /* a burst ends early when less than PACKET_MAX is left: 15 super-packets fit */
	ALIGN = 64,
	STEP_FAST_MS = 100,
	STEP_LEAST = 64,     /* records a step: more than rounding down loses */
	STEP_SLOW_MS = 1000, /* for a table that one slice gets round */
	TURN_MOST_NS = 500000,
	GAP_MOST_NS = 1000000, /* a longer gap counts as this long */
	GAP_WEIGHT = 8,
};

struct dataplane {
	struct loop *loop;
	struct nat *nat;
	struct rawsock *raw;
	struct tun *tun;
	struct icmpsock *icmp;
	struct merge *merge;
	struct loop_fd *tun_event;
	struct loop_fd *icmp_event;
	struct loop_timer *step_timer;
	struct loop_soon *step_soon;
	uint64_t step_at_ms; /* up to when `step_due` counts */
	uint64_t step_due;   /* records still to be visited */
	struct loop_soon *poll_soon;
	uint64_t poll_ns;  /* 0: never polls */
	uint64_t gap_ns;   /* smoothed */
	uint64_t empty_ns; /* when packets ran out last */
	void (*tun_lost)(void *ctx, int err);
	void *ctx;
	uint8_t *arena;
	struct nat_packet packets[DATAPLANE_BURST];
};

/* ---- out ---- */

/* Through the TUN the kernel forwards it, a second time for this packet: that step of TTL is given back. */
static int forward_parts(struct dataplane *d, const struct nat_packet *p, const struct iovec *parts, int n)
{
	uint8_t *ip = p->data;
	uint16_t before = load16(ip + 8);

	ip[8]++;
	store16(ip + 10, checksum_update(load16(ip + 10), checksum_diff16(before, load16(ip + 8))));
	return tun_write_parts(d->tun, p, parts, n);
}

static void forward_by_kernel(struct dataplane *d, const struct nat_packet *p)
{
	const struct iovec part = {p->data, p->len};

	if (d->tun)
		forward_parts(d, p, &part, 1);
}

static void send_single(void *ctx, const struct nat_packet *p)
{
	rawsock_queue(((struct dataplane *)ctx)->raw, p, false);
}

/* Joined datagrams. Not taken only where this kernel does not know such: what the device refuses otherwise is lost,
 * and counted. */
static bool send_joined(void *ctx, const struct nat_packet *p, const struct iovec *parts, int n)
{
	struct dataplane *d = ctx;
	int rc;

	rawsock_flush(d->raw);
	rc = forward_parts(d, p, parts, n);
	if (rc == -EINVAL) {
		log_write(LEVEL_NOTICE, SUB_DATA, 0,
			  "this kernel takes no joined datagrams from %s: sending each by itself", d->tun->name);
		return false;
	}
	d->tun->counters->value[IO_TUN_JOINED] += rc == 0 ? (unsigned)n : 0;
	return true;
}

static bool may_merge(const struct dataplane *d)
{
	return d->tun && (d->tun->features & TUN_USO);
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

static void emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct dataplane *d = ctx;

	switch ((enum nat_to)p->to) {
	case NAT_TO_OUTSIDE:
	case NAT_TO_INSIDE:
		if (owned)
			merge_flush(d->merge);
		else if (may_merge(d) && merge_add(d->merge, p))
			break;
		if (!needs_kernel(p)) {
			rawsock_queue(d->raw, p, owned);
		} else {
			rawsock_flush(d->raw);
			forward_by_kernel(d, p);
		}
		break;
	case NAT_TO_HOST:
		if (d->tun)
			tun_write(d->tun, p);
		break;
	case NAT_NOWHERE:
	case NAT_KEPT:
		break;
	}
}

static void translate(struct dataplane *d, uint32_t n)
{
	if (n == 0)
		return;
	nat_batch(d->nat, loop_now_ms(d->loop), d->packets, n, emit, d);
	merge_flush(d->merge);
	rawsock_flush(d->raw);
}

/* ---- in ---- */

typedef int read_fn(struct dataplane *d, uint8_t *buffer, size_t room, struct nat_packet *p);

static int read_tun(struct dataplane *d, uint8_t *buffer, size_t room, struct nat_packet *p)
{
	return tun_read(d->tun, buffer, room, p);
}

static int read_icmp(struct dataplane *d, uint8_t *buffer, size_t room, struct nat_packet *p)
{
	return icmpsock_read(d->icmp, nat_policy_get(d->nat), buffer, room, p);
}

/* Reads up to a burst. *r is 1 when there may be more, 0 when there is none, else what ended it. */
static uint32_t read_burst(struct dataplane *d, read_fn *read, int *r)
{
	size_t used = 0;
	uint32_t n = 0;

	*r = 1;
	for (int tries = 0; tries < DATAPLANE_BURST && ARENA - used >= PACKET_MAX; tries++) {
		struct nat_packet *p = &d->packets[n];

		memset(p, 0, sizeof(*p));
		*r = read(d, d->arena + used, PACKET_MAX, p);
		if (*r == -EBADMSG)
			continue;
		if (*r <= 0)
			break;
		used += ((size_t)p->len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
		n++;
	}
	if (*r == -EBADMSG)
		*r = 1;
	return n;
}

/* Some bursts. 1: there may be more; 0: all read; -1: the device is lost. */
static int drain(struct dataplane *d)
{
	int r = 1;

	for (int i = 0; i < DATAPLANE_BURSTS && r > 0; i++)
		translate(d, read_burst(d, read_tun, &r));
	if (r >= 0)
		return r;
	dataplane_set_tun(d, NULL);
	d->tun_lost(d->ctx, -r);
	return -1;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void note_gap(struct dataplane *d, uint64_t now)
{
	uint64_t gap = now - d->empty_ns < GAP_MOST_NS ? now - d->empty_ns : GAP_MOST_NS;

	d->gap_ns += gap / GAP_WEIGHT;
	d->gap_ns -= d->gap_ns / GAP_WEIGHT;
}

/* Looks for packets until none has come for poll_ns, or the turn is over. */
static void poll_tun(void *ctx)
{
	struct dataplane *d = ctx;
	uint64_t start = clock_ns(), now = start;

	while (d->tun && d->gap_ns < d->poll_ns && now - d->empty_ns < d->poll_ns) {
		uint64_t before = d->tun->counters->value[IO_TUN_READ];
		int r = drain(d);

		if (r < 0)
			return;
		now = clock_ns();
		if (d->tun->counters->value[IO_TUN_READ] != before) {
			note_gap(d, now);
			d->empty_ns = now;
		} else {
			sched_yield();
		}
		if (r > 0 || now - start > TURN_MOST_NS) {
			loop_soon_ask(d->poll_soon);
			return;
		}
	}
}

static void on_tun(void *ctx, int fd, unsigned ready)
{
	struct dataplane *d = ctx;

	(void)fd;
	(void)ready;
	if (d->poll_ns == 0) {
		drain(d);
		return;
	}
	note_gap(d, clock_ns());
	if (drain(d) != 0)
		return;
	d->empty_ns = clock_ns();
	poll_tun(d);
}

static void on_icmp(void *ctx, int fd, unsigned ready)
{
	struct dataplane *d = ctx;
	int r;

	(void)fd;
	(void)ready;
	translate(d, read_burst(d, read_icmp, &r));
	/* What a raw socket reports is an event (the device went down, an error came in), and read by that. */
	if (r < 0)
		log_write(LEVEL_DEBUG, SUB_DATA, -r, "reading ICMP");
}

/* ---- time ---- */

static void step(void *ctx)
{
	struct dataplane *d = ctx;
	uint64_t now_ms = loop_now_ms(d->loop);
	uint64_t round = table_sweep_round(nat_table(d->nat));
	uint64_t elapsed_ms = now_ms - d->step_at_ms;
	uint32_t budget;
	bool more;

	/* After a long sleep one round is enough. */
	if (elapsed_ms > DATAPLANE_ROUND_MS)
		elapsed_ms = DATAPLANE_ROUND_MS;
	d->step_due += round * elapsed_ms / DATAPLANE_ROUND_MS;
	if (d->step_due > round)
		d->step_due = round;
	d->step_at_ms = now_ms;
	budget = d->step_due > DATAPLANE_STEP ? DATAPLANE_STEP : (uint32_t)d->step_due;
	d->step_due -= budget;
	if (budget < STEP_LEAST)
		budget = STEP_LEAST;
	more = nat_step(d->nat, now_ms, budget, emit, d);
	rawsock_flush(d->raw);
	if (more || d->step_due > 0)
		loop_soon_ask(d->step_soon);
	loop_timer_once(d->step_timer, round > DATAPLANE_STEP ? STEP_FAST_MS : STEP_SLOW_MS);
}

/* ---- life ---- */

struct dataplane *dataplane_create(const struct dataplane_params *p)
{
	struct dataplane *d = calloc(1, sizeof(*d));
	const struct merge_ways ways = {send_single, send_joined, d};
	void *arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!d || arena == MAP_FAILED) {
		free(d);
		return NULL;
	}
	d->loop = p->loop;
	d->nat = p->nat;
	d->raw = p->raw;
	d->tun_lost = p->tun_lost;
	d->ctx = p->ctx;
	d->arena = arena;
	d->step_at_ms = loop_clock_ms();
	d->merge = merge_create(&ways);
	d->step_timer = loop_timer_add(p->loop, step, d);
	d->step_soon = loop_soon_add(p->loop, step, d);
	d->poll_soon = loop_soon_add(p->loop, poll_tun, d);
	d->gap_ns = GAP_MOST_NS;
	if (!d->merge || !d->step_timer || !d->step_soon || !d->poll_soon) {
		dataplane_destroy(d);
		return NULL;
	}
	rawsock_set_too_big(p->raw, on_too_big, d);
	loop_timer_once(d->step_timer, STEP_FAST_MS);
	return d;
}

void dataplane_destroy(struct dataplane *d)
{
	if (!d)
		return;
	rawsock_set_too_big(d->raw, NULL, NULL);
	loop_fd_remove(d->tun_event);
	loop_fd_remove(d->icmp_event);
	loop_timer_remove(d->step_timer);
	loop_soon_remove(d->step_soon);
	loop_soon_remove(d->poll_soon);
	merge_destroy(d->merge);
	munmap(d->arena, ARENA);
	free(d);
}

int dataplane_set_tun(struct dataplane *d, struct tun *tun)
{
	loop_fd_remove(d->tun_event);
	d->tun_event = NULL;
	d->tun = tun;
	if (!tun)
		return 0;
	d->tun_event = loop_fd_add(d->loop, tun->fd, LOOP_READ, on_tun, d);
	return d->tun_event ? 0 : -ENOMEM;
}

int dataplane_set_icmp(struct dataplane *d, struct icmpsock *icmp)
{
	loop_fd_remove(d->icmp_event);
	d->icmp_event = NULL;
	d->icmp = icmp;
	if (!icmp)
		return 0;
	d->icmp_event = loop_fd_add(d->loop, icmp->fd, LOOP_READ, on_icmp, d);
	return d->icmp_event ? 0 : -ENOMEM;
}

void dataplane_set_busy_poll(struct dataplane *d, uint32_t us)
{
	d->poll_ns = us * 1000ull;
}
