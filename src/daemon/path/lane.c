/* SPDX-License-Identifier: ISC */
/*
 * One way through natd.
 *
 * Theory of operation. A burst is read packet by packet into one arena, one after the other (slots of 64 KiB each would
 * all fall into the same few cache sets), translated by one nat_batch(), and sent by transmit.c. The errors that
 * sending causes are translated in a second, small batch.
 *
 * With several lanes one lock guards the translation. It is held only while translating, which is about a twentieth of
 * a packet's cost; reading and sending, the other nineteen, run without it. So packets that nat_batch() emits are only
 * noted, and sent after the lock is released. Only packets that natd made or held back (`owned`, rare) are sent at
 * once, after those noted before them.
 *
 * The tc programs carry a session's packets when natd has sent those that it got before (core/nat/mirror.h). So a lane reports
 * what it has sent of such sessions; for datagrams it looks once more whether its queue is empty.
 *
 * Polling: a wake-up costs more than a packet. While packets come closer together than poll_ns, lane_serve() polls that
 * long for the next one instead of sleeping, and yields the processor between polls; after TURN_MOST_NS it returns to
 * its caller. The distance between packets is the smoothed gap between running out of packets and the next one, so a
 * gateway with little traffic never polls.
 */
#include "lane.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "core/nat/mirror.h"
#include "transmit.h"

enum {
	PACKET_MAX = 65535,
	ALIGN = 64,
	LEAD = 12, /* with 20 bytes of IP and 32 of TCP the payload begins on a cache line, where copying is cheapest */
	/* A burst ends early when the largest possible packet no longer fits. Four super-packets: a packet is
	 * written back while it is still in the processor's own cache. */
	ARENA = 256 << 10,
	TURN_MOST_NS = 500000,
	GAP_MOST_NS = 1000000, /* a longer gap counts as this long */
	GAP_WEIGHT = 8,
};

struct lane {
	struct nat *nat;
	struct transmit *transmit;
	struct ways *ways;
	pthread_mutex_t *lock;
	const struct tun *tun;
	struct io_counters *io;
	struct inbox *inbox;
	uint8_t *arena;
	uint64_t poll_ns;  /* 0: never polls */
	uint64_t gap_ns;   /* smoothed */
	uint64_t empty_ns; /* when packets last ran out */
	uint32_t n_noted;
	const struct transit *transit;
	bool has_local;	     /* the burst may hold packets of the host's own programs */
	bool has_own_errors; /* the burst holds ICMP errors of the kernel about natd's packets */
	struct mirror_sending sending;
	struct nat_packet packets[LANE_BURST];
	const struct nat_packet *noted[LANE_BURST]; /* emitted, not yet sent */
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

/* Has it the gateway's own inside address as its source, and came by the TUN device? No rule leads such packets there,
 * but a program can bind its socket to the device (SO_BINDTODEVICE), past the host's firewall. */
static bool is_local(const struct lane *l, const struct nat_packet *p)
{
	uint32_t source, own;

	if (p->len < 20 || p->source != NAT_FROM_TUN)
		return false;
	source = load32(p->data + 12);
	for (uint32_t i = 0; i < TRANSIT_OWN; i++) {
		own = atomic_load_explicit(&l->transit->own[i], memory_order_relaxed);
		if (own == 0 || own == source)
			return own == source && own != 0;
	}
	return false;
}

/* ---- out ---- */

static void send_noted(struct lane *l)
{
	for (uint32_t i = 0; i < l->n_noted; i++)
		transmit_packet(l->transmit, l->noted[i], false);
	l->n_noted = 0;
	transmit_flush(l->transmit);
}

static void emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct lane *l = ctx;

	if (p->to == NAT_NOWHERE || p->to == NAT_KEPT)
		return;
	if (p->to == NAT_TO_INSIDE && l->inbox && l->inbox->is_open && inbox_take(l->inbox, p))
		return;
	if (!owned) {
		l->noted[l->n_noted++] = p;
		return;
	}
	send_noted(l);
	transmit_packet(l->transmit, p, true);
}

static bool is_outside(const struct nat_policy *policy, uint32_t address)
{
	for (uint32_t i = 0; i < policy->n_addresses; i++) {
		if (address >= policy->addresses[i].first && address <= policy->addresses[i].last)
			return true;
	}
	return false;
}

/* Takes the packets of the host's own programs out of the burst, except those to natd's addresses. Returns how many are
 * left. */
static uint32_t drop_local(struct lane *l, struct nat_packet *p, uint32_t n)
{
	const struct nat_policy *policy = nat_policy_get(l->nat);
	uint32_t left = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (is_local(l, &p[i]) && !is_outside(policy, load32(p[i].data + 16)))
			l->io->value[IO_TUN_READ_OWN]++;
		else
			p[left++] = p[i];
	}
	return left;
}

/* `was_empty`: the queue was, after the last nat_mirror_read(). */
static void report_sent(struct lane *l, bool was_empty)
{
	if (l->sending.n == 0)
		return;
	lock(l);
	nat_mirror_sent(l->nat, &l->sending, was_empty);
	unlock(l);
}

static void translate_batch(struct lane *l, struct nat_packet *p, uint32_t n, uint64_t now_ms)
{
	lock(l);
	for (uint32_t i = 0; i < n && l->has_own_errors; i++) {
		if (transmit_is_own_error(&p[i]))
			transmit_readdress(nat_policy_get(l->nat), &p[i]);
	}
	if (l->has_local)
		n = drop_local(l, p, n);
	if (n > 0)
		nat_batch(l->nat, now_ms, p, n, emit, l);
	nat_mirror_take_sending(l->nat, &l->sending);
	unlock(l);
	send_noted(l);
	report_sent(l, false);
}

/* Errors that sending caused are translated like any others. They cause no further errors. */
static void report_errors(struct lane *l, uint64_t now_ms)
{
	struct nat_packet errors[TRANSMIT_ERRORS];
	uint32_t n = transmit_take_errors(l->transmit, errors);

	if (n > 0)
		translate_batch(l, errors, n, now_ms);
}

static void translate(struct lane *l, uint32_t n, uint64_t now_ms)
{
	if (n == 0)
		return;
	transmit_begin(l->transmit, now_ms);
	translate_batch(l, l->packets, n, now_ms);
	l->has_own_errors = l->has_local = false;
	report_errors(l, now_ms);
}

void lane_send(struct lane *l, uint8_t *packet, uint32_t len, uint64_t now_ms)
{
	struct nat_packet p = {.data = packet, .len = len, .source = NAT_FROM_TUN};

	transmit_begin(l->transmit, now_ms);
	translate_batch(l, &p, 1, now_ms);
	report_errors(l, now_ms);
}

/* ---- in ---- */

static int read_tun(void *ctx, uint8_t *buffer, size_t room, struct nat_packet *p)
{
	struct lane *l = ctx;

	return tun_read(l->tun, l->io, buffer, room, p);
}

/* Through either device, only the kernel's own errors have that source. */
static void note_own_error(struct lane *l, const struct nat_packet *p)
{
	if (!transmit_is_own_error(p))
		return;
	l->io->value[IO_ERROR_KERNEL]++;
	l->has_own_errors = true;
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
		note_own_error(l, p);
		l->has_local |= is_local(l, p);
		used += (LEAD + (size_t)p->len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
		n++;
	}
	translate(l, n, now_ms);
	return r == -EBADMSG ? 1 : r;
}

/* What the tc programs do not know of the ways of a session that they are to carry. */
static bool ask_mtu(void *ctx, const struct mirror_ends *e, uint16_t mtu[2])
{
	struct lane *l = ctx;

	return ways_hidden_mtu(l->ways, NAT_TO_OUTSIDE, e->external, e->remote, &mtu[DIR_OUT]) &&
	       ways_hidden_mtu(l->ways, NAT_TO_INSIDE, 0, e->internal, &mtu[DIR_IN]);
}

static int drain(struct lane *l, uint64_t now_ms)
{
	int r = 1;

	for (int i = 0; i < LANE_BURSTS && (r > 0 || (r == 0 && l->sending.n > 0)); i++) {
		nat_mirror_read(&l->sending);
		r = lane_burst(l, read_tun, l, now_ms);
		if (r == 0)
			report_sent(l, true);
	}
	if (nat_mirror_is_on(l->nat)) {
		ways_begin(l->ways, now_ms);
		lock(l);
		nat_mirror_show(l->nat, l->lock == NULL, ask_mtu, l); /* other lanes may be sending */
		unlock(l);
	}
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

/* Polls until no packet has come for poll_ns, or the turn is over. */
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

	transmit_begin(l->transmit, now_ms);
	lock(l);
	done = nat_step(l->nat, now_ms, budget, emit, l);
	nat_mirror_take_sending(l->nat, &l->sending);
	unlock(l);
	send_noted(l);
	report_sent(l, false);
	report_errors(l, now_ms);
	return done;
}

/* ---- create and destroy ---- */

struct lane *lane_create(const struct lane_params *p)
{
	const struct transmit_params out = {.raw = p->raw, .ways = p->ways, .io = p->io, .transit = p->transit};
	struct lane *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (l->arena == MAP_FAILED || transmit_create(&l->transmit, &out) < 0) {
		if (l->arena != MAP_FAILED)
			munmap(l->arena, ARENA);
		free(l);
		return NULL;
	}
	l->nat = p->nat;
	l->ways = p->ways;
	l->transit = p->transit;
	l->io = p->io;
	l->lock = p->lock;
	l->inbox = p->inbox;
	l->gap_ns = GAP_MOST_NS;
	return l;
}

void lane_destroy(struct lane *l)
{
	if (!l)
		return;
	transmit_destroy(l->transmit);
	munmap(l->arena, ARENA);
	free(l);
}

void lane_set_tun(struct lane *l, const struct tun *tun)
{
	l->tun = tun;
	transmit_set_tun(l->transmit, tun);
}

void lane_set_busy_poll(struct lane *l, uint32_t us)
{
	l->poll_ns = us * 1000ull;
}
