/* SPDX-License-Identifier: ISC */
/*
 * The same random conversations played to two cores, one of which has a forwarder beside it: the same bytes, tables, counters and
 * events have to come out. The program sets `forward`: check_mirror.c plays the forwarder, check_fast.c has the tc programs
 * themselves. Include once per program.
 */
#ifndef NATD_TESTS_MIRRORPLAY_H
#define NATD_TESTS_MIRRORPLAY_H

#include <check.h>
#include <string.h>

#include "../../src/core/nat/mirror.h"
#include "../../src/core/nat/view.h"
#include "../../src/core/tcp/tcp.h"
#include "natlab.h"
#include "unit.h"

enum {
	SERVER_PORT = 7,
	FORWARDED = 80,
	STEPS = 6000,
	CONVERSATIONS = 6,
	ALL = 1 << CLASS_TCP | 1 << CLASS_UDP | 1 << CLASS_ICMP,
	EVENTS = 256,
};

static struct lab *plain, *lab; /* without, and with */
static uint64_t carried;
static bool drains; /* natd's queue is found empty behind each packet */
static struct mirror_sending sending;
static nat_mirror_mtu_fn *ask_mtu;

static struct lab *make_lab(void)
{
	struct lab *l = lab_new();

	l->forwards[0] = (struct nat_forward){.name = "web",
					      .protocols = 1 << CLASS_TCP | 1 << CLASS_UDP,
					      .ports = {FORWARDED, FORWARDED},
					      .to = LAB_B,
					      .to_port = FORWARDED};
	l->policy.n_forwards = 1;
	l->skip_check = true;
	lab_start(l);
	events_want(nat_events(l->nat), UINT32_MAX);
	return l;
}

/* One packet as it reaches natd, rewritten in place if the forwarder carries it. False: it is natd's. */
static bool (*forward)(uint8_t *p, size_t len, uint64_t now_ms);

/* What natd finds out about the routes of a session: more MTUs than the lists hold, now and then. */
static inline bool pick_mtu(void *ctx, const struct mirror_ends *e, uint16_t mtu[2])
{
	static const uint16_t mtus[] = {0, 0, 0, 0, 0, 68, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1400};

	(void)ctx;
	ck_assert(e->id != 0 && e->external == LAB_EXT);
	for (int dir = DIR_OUT; dir <= DIR_IN; dir++)
		mtu[dir] = mtus[unit_below(sizeof(mtus) / sizeof(mtus[0]))];
	return unit_below(20) > 0;
}

/* As after a change of routes. */
static void measure_all(void)
{
	struct mirror_ends ends;
	uint32_t at = 1;
	uint16_t mtu[2];

	while (at != 0 && nat_mirror_list(lab->nat, &at, &ends, 1) == 1) {
		if (pick_mtu(NULL, &ends, mtu))
			nat_mirror_set_mtu(lab->nat, ends.id, mtu);
	}
}

/* ---- both side by side ---- */

static void compare_sessions(void)
{
	struct session_view a, b;
	uint32_t at = 0, other = 0;
	uint64_t now = plain->now_ms;

	do {
		bool has = nat_view_next(plain->nat, &at, UINT32_MAX, now, &a);

		ck_assert(has == nat_view_next(lab->nat, &other, UINT32_MAX, now, &b));
		if (!has)
			continue;
		b.flags &= (uint8_t)~VIEW_OFFLOADED;
		if (memcmp(&a, &b, sizeof(a)) != 0)
			ck_abort_msg("session %d: state %d %d packets %d %d/%d %d bytes idle %d %d timeout %d %d end "
				     "%x %x/%x %x ack %x %x/%x %x window %d %d/%d %d flags %d %d class %d",
				     (int)a.id, a.state, b.state, (int)a.packets[0], (int)b.packets[0],
				     (int)a.packets[1], (int)b.packets[1], a.idle_s, b.idle_s, a.timeout_s, b.timeout_s,
				     a.end[0], b.end[0], a.end[1], b.end[1], a.ack[0], b.ack[0], a.ack[1], b.ack[1],
				     a.window[0], b.window[0], a.window[1], b.window[1], a.flags, b.flags,
				     a.proto_class);
	} while (at != 0);
	ck_assert_uint_eq(other, 0);
}

static void compare_events(uint64_t cursor[2])
{
	static struct event a[EVENTS], b[EVENTS];
	uint64_t lost[2];
	uint32_t n = events_read(&nat_events(plain->nat)->log, &cursor[0], a, EVENTS, &lost[0]);

	ck_assert_uint_eq(events_read(&nat_events(lab->nat)->log, &cursor[1], b, EVENTS, &lost[1]), n);
	ck_assert_mem_eq(a, b, n * sizeof(a[0]));
}

static void compare_all(uint64_t cursor[2])
{
	const char *wrong;

	nat_mirror_pull(lab->nat);
	compare_sessions();
	ck_assert_mem_eq(nat_counters(plain->nat), nat_counters(lab->nat), NAT_REASON_COUNT * sizeof(uint64_t));
	compare_events(cursor);
	wrong = nat_check(lab->nat);
	ck_assert_msg(wrong == NULL, "%s", wrong);
}

/* What natd has passed has been sent, and its queue found empty after that. */
static void report_sent(bool was_empty)
{
	nat_mirror_take_sending(lab->nat, &sending);
	nat_mirror_read(&sending);
	nat_mirror_sent(lab->nat, &sending, was_empty);
}

/* True if the forwarder has carried it. */
static bool send_both(const uint8_t *p, size_t len)
{
	uint8_t bytes[2048];

	ck_assert_uint_le(len, sizeof(bytes));
	lab_send(plain, p, len);
	memcpy(bytes, p, len);
	if (forward(bytes, len, lab->now_ms)) {
		ck_assert_uint_eq(plain->n_out, 1);
		ck_assert_uint_eq(plain->out[0].len, len);
		ck_assert_mem_eq(plain->out[0].bytes, bytes, len);
		carried++;
		return true;
	}
	lab_send(lab, p, len);
	report_sent(drains || unit_below(3) > 0);
	nat_mirror_show(lab->nat, true, ask_mtu, NULL);
	ck_assert_uint_eq(plain->n_out, lab->n_out);
	for (uint32_t i = 0; i < lab->n_out; i++) {
		ck_assert_uint_eq(plain->out[i].to, lab->out[i].to);
		ck_assert_uint_eq(plain->out[i].len, lab->out[i].len);
		ck_assert_mem_eq(plain->out[i].bytes, lab->out[i].bytes, lab->out[i].len);
	}
	return false;
}

static void advance_both(uint64_t ms)
{
	lab_advance(plain, ms);
	lab_advance(lab, ms);
}

/* ---- conversations ---- */

struct end {
	uint32_t address, next, acked; /* TCP: what it sends next, what it has acknowledged */
	uint16_t port;
	uint32_t window;
};

struct talk {
	uint8_t proto;
	bool is_forwarded; /* opened from outside */
	struct end in, out;
	uint16_t ext; /* inside host's port or id, as seen outside; 0: not open */
};

static struct talk talks[CONVERSATIONS];

/* One packet of the conversation, from its inside or outside end, as natd gets it. */
static bool say(const struct talk *t, bool from_inside, const struct build *what)
{
	struct build b = *what;

	b.proto = t->proto;
	b.src = from_inside ? t->in.address : t->out.address;
	b.dst = from_inside ? t->out.address : LAB_EXT;
	b.sport = from_inside ? t->in.port : t->out.port;
	b.dport = from_inside ? t->out.port : t->ext;
	if (t->proto == 1) {
		b.sport = from_inside ? t->in.port : t->ext;
		b.icmp_type = from_inside ? 8 : 0;
	}
	{
		uint8_t p[2048];

		return send_both(p, build_packet(p, &b));
	}
}

static bool say_tcp(struct talk *t, bool from_inside, uint8_t flags, uint32_t len)
{
	struct end *me = from_inside ? &t->in : &t->out, *peer = from_inside ? &t->out : &t->in;
	bool carried_it = say(t, from_inside,
			      &(struct build){.seq = me->next,
					      .ack = flags & TCP_ACK ? peer->next : 0,
					      .flags = flags,
					      .window = (uint16_t)me->window,
					      .payload_len = len,
					      .df = true});

	me->next += len + (flags & (TCP_SYN | TCP_FIN) ? 1 : 0);
	me->acked = peer->next;
	return carried_it;
}

static uint16_t external_port(void)
{
	return plain->n_out == 1 ? plain->out[0].v.sport : 0;
}

static void open_talk(struct talk *t)
{
	static const uint8_t protocols[] = {6, 6, 6, 17, 17, 1};
	bool swap;

	memset(t, 0, sizeof(*t));
	t->proto = protocols[unit_below(sizeof(protocols))];
	t->is_forwarded = t->proto != 1 && unit_below(3) == 0;
	t->in = (struct end){.address = t->is_forwarded ? LAB_B : LAB_A + unit_below(2),
			     .port = t->is_forwarded ? FORWARDED : (uint16_t)(1024 + unit_below(60000)),
			     .next = (uint32_t)unit_random(),
			     .window = 1 + unit_below(65535)};
	t->out = (struct end){.address = LAB_S1 + unit_below(3),
			      .port = t->is_forwarded ? (uint16_t)(1024 + unit_below(60000)) : SERVER_PORT,
			      .next = (uint32_t)unit_random(),
			      .window = 1 + unit_below(65535)};
	t->ext = t->is_forwarded ? FORWARDED : 0;
	swap = t->is_forwarded;
	if (t->proto == 6) {
		say_tcp(t, !swap, TCP_SYN, 0);
		if (!t->is_forwarded)
			t->ext = external_port();
		say_tcp(t, swap, TCP_SYN | TCP_ACK, 0);
		say_tcp(t, !swap, TCP_ACK, 0);
		return;
	}
	say(t, !swap, &(struct build){.payload_len = 9, .df = true, .seq = 1});
	if (!t->is_forwarded)
		t->ext = external_port();
	say(t, swap, &(struct build){.payload_len = 9, .df = true, .seq = 1});
}

/* Numbers near and far, sizes, and flags as a careless or hostile sender has them. */
static void say_something_odd(struct talk *t, bool from_inside)
{
	static const uint8_t flags[] = {
		TCP_ACK,	   TCP_ACK,	      TCP_ACK | TCP_PSH, TCP_ACK | TCP_URG, TCP_SYN,
		TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST,		 TCP_RST | TCP_ACK, 0,
		TCP_FIN,	   TCP_SYN | TCP_FIN};
	static const int32_t steps[] = {0, 1, -1, 100, -100, 65535, -65535, 66000, -66000, -66001, 1 << 20, -(1 << 20)};
	struct end *me = from_inside ? &t->in : &t->out, *peer = from_inside ? &t->out : &t->in;
	uint32_t base = unit_below(2) ? me->next : peer->acked;

	say(t, from_inside,
	    &(struct build){.seq = base + (uint32_t)steps[unit_below(12)] + unit_below(2) * unit_below(70000),
			    .ack = peer->next + (uint32_t)steps[unit_below(12)],
			    .flags = flags[unit_below(sizeof(flags))],
			    .window = (uint16_t)unit_below(65536),
			    .payload_len = unit_below(3) * unit_below(700),
			    .df = unit_below(4) != 0,
			    .mf = unit_below(30) == 0,
			    .ttl = unit_below(20) == 0 ? 1 : 0,
			    .no_checksum = t->proto == 17 && unit_below(4) == 0});
}

static void report_error(const struct talk *t, bool from_inside)
{
	uint8_t quoted[2048], p[2048];
	struct build q = {
		.proto = t->proto, .src = from_inside ? t->out.address : LAB_EXT, .df = true, .payload_len = 20};
	size_t len;

	q.dst = from_inside ? t->in.address : t->out.address;
	q.sport = from_inside ? t->out.port : t->ext;
	q.dport = from_inside ? t->in.port : t->out.port;
	q.seq = from_inside ? t->out.next - unit_below(300) : t->in.next - unit_below(300);
	q.flags = TCP_ACK;
	len = build_packet(quoted, &q);
	len = build_icmp_error(p,
			       &(struct build){.src = from_inside ? t->in.address : LAB_R,
					       .dst = from_inside ? t->out.address : LAB_EXT,
					       .icmp_type = 3,
					       .icmp_code = 1},
			       quoted, len);
	send_both(p, len);
}

static void end_one(void)
{
	struct session_view v;
	uint32_t at = 0;

	if (!nat_view_next(plain->nat, &at, UINT32_MAX, plain->now_ms, &v))
		return;
	ck_assert(nat_session_end(plain->nat, v.id, SESSION_END_DELETED, plain->now_ms));
	ck_assert(nat_session_end(lab->nat, v.id, SESSION_END_DELETED, lab->now_ms));
}

static void reload_both(void)
{
	static const uint32_t timeouts[] = {300, 20, 5};
	uint32_t udp = timeouts[unit_below(3)];
	bool has_forward = unit_below(3) > 0;
	struct lab *labs[] = {plain, lab};

	for (int i = 0; i < 2; i++) {
		labs[i]->policy.timeouts.udp = udp;
		labs[i]->policy.n_forwards = has_forward;
		(void)lab_reload(labs[i]);
	}
}

static void happen(void)
{
	uint32_t what = unit_below(1000);
	struct talk *t = &talks[unit_below(CONVERSATIONS)];
	bool from_inside = unit_below(2);

	if (what < 850) {
		if (t->proto == 6)
			say_tcp(t, from_inside, TCP_ACK | TCP_PSH, unit_below(2) * unit_below(1000));
		else
			say(t, from_inside, &(struct build){.payload_len = unit_below(600), .df = true, .seq = 2});
	} else if (what < 890) {
		say_something_odd(t, from_inside);
	} else if (what < 920) {
		report_error(t, from_inside);
	} else if (what < 945) {
		open_talk(t);
	} else if (what < 955 && t->proto == 6) {
		say_tcp(t, from_inside, unit_below(2) ? TCP_FIN | TCP_ACK : TCP_RST | TCP_ACK, 0);
	} else if (what < 990) {
		advance_both(unit_below(4) == 0 ? 1 + unit_below(9000) : 1 + unit_below(700));
	} else if (what < 993) {
		advance_both(1 + unit_below(400000));
	} else if (what < 996) {
		end_one();
	} else if (what < 997 && ask_mtu) {
		measure_all();
	} else {
		reload_both();
	}
}

static inline void play_random(int steps)
{
	uint64_t cursor[2] = {1, 1};

	for (int i = 0; i < CONVERSATIONS; i++)
		open_talk(&talks[i]);
	for (int i = 0; i < steps; i++) {
		happen();
		if (i % 16 == 0)
			compare_all(cursor);
	}
	compare_all(cursor);
	ck_assert_uint_gt(carried, (uint64_t)steps / 10);
}

#endif
