/* SPDX-License-Identifier: ISC */
/*
 * The mirror: a NAT with a forwarder beside it gives the same bytes, tables, counters and events as one without. The forwarder is
 * played here, by the rules of core/nat/flow.h that the tc programs follow too; those themselves: tests/bpf/check_fast.c.
 */
#include <check.h>
#include <string.h>

#include "core/nat/mirror.h"
#include "core/nat/view.h"
#include "core/packet/rewrite.h"
#include "core/tcp/tcp.h"
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
static struct flow *flows;
static struct flow_bucket *buckets;
static const uint64_t secret[2] = {0x1122334455667788, 0x99aabbccddeeff00};
static uint64_t carried;
static bool drains; /* natd never has packets that wait */

static struct flow_memory memory(void)
{
	struct flow_memory m = {.flows = flows, .buckets = buckets, .secret = {secret[0], secret[1]}};

	return m;
}

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

static void setup(void)
{
	struct flow_memory m;

	flows = calloc(FLOW_SLOTS, sizeof(*flows));
	buckets = calloc(FLOW_BUCKETS, sizeof(*buckets));
	plain = make_lab();
	lab = make_lab();
	m = memory();
	ck_assert(nat_mirror_begin(lab->nat, &m, ALL));
	carried = 0;
	drains = true;
}

static void teardown(void)
{
	lab_free(plain);
	lab_free(lab);
	free(flows);
	free(buckets);
}

/* ---- the forwarder ---- */

static struct flow *find_flow(const struct flow_key *k)
{
	uint64_t hash = flow_hash(secret, k);
	const struct flow_bucket *b = &buckets[flow_bucket_of(hash)];

	for (unsigned i = 0; i < FLOW_WAYS; i++) {
		uint32_t slot = b->entry[i] & (FLOW_SLOTS - 1);

		if (b->entry[i] == flow_entry(hash, slot) && slot != 0 && flows[slot].state == FLOW_LIVE &&
		    flow_matches(&flows[slot], k))
			return &flows[slot];
	}
	return NULL;
}

static bool is_carried_tcp(struct flow *f, const struct pkt_view *v, uint8_t dir)
{
	const struct flow_segment g = {.seq = v->tcp_seq,
				       .end = v->tcp_seq + v->tcp_data,
				       .ack = v->tcp_ack,
				       .window = v->tcp_window,
				       .dir = dir};

	if (v->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) {
		flow_stop(f);
		return false;
	}
	if (!(v->tcp_flags & TCP_ACK) || !flow_segment_fits(f, &g))
		return false;
	flow_advance(f, &g);
	return true;
}

static bool is_carried(struct flow *f, const struct pkt_view *v, uint8_t dir)
{
	bool by_opener = ((f->kind & FLOW_FROM_OUTSIDE) != 0) == (dir == DIR_IN);

	if (v->proto_class == CLASS_TCP)
		return is_carried_tcp(f, v, dir);
	return v->proto_class == CLASS_UDP || v->icmp_type == (by_opener ? 8 : 0);
}

/* Like bpf/fast.bpf.h. False: it is natd's. */
static bool forward(uint8_t *p, size_t len, uint32_t now_s)
{
	struct pkt_view v;
	struct flow_key k;
	struct flow *f;

	if (packet_parse(p, len, false, &v) != NAT_PASS || v.ihl != 20 || v.frag != FRAG_NONE ||
	    v.kind > PKT_ICMP_REPLY)
		return false;
	k = (struct flow_key){.proto_class = v.proto_class,
			      .dir = (v.src & 0xff000000) == 0x0a000000 ? DIR_OUT : DIR_IN};
	k.local = k.dir == DIR_OUT ? v.src : v.dst;
	k.remote = k.dir == DIR_OUT ? v.dst : v.src;
	k.local_port = k.dir == DIR_OUT ? v.sport : v.dport;
	k.remote_port = v.proto_class == CLASS_ICMP ? 0 : k.dir == DIR_OUT ? v.dport : v.sport;
	f = find_flow(&k);
	if (f == NULL || (k.dir == DIR_OUT && !v.dont_fragment) || !is_carried(f, &v, k.dir))
		return false;
	if (k.dir == DIR_OUT)
		rewrite_source(&v, f->ext_addr, f->ext_port, false);
	else
		rewrite_destination(&v, f->int_addr, f->int_port, false);
	flow_count(f, k.dir, 1, v.len, now_s);
	return true;
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

/* True if the forwarder has carried it. */
static bool send_both(const uint8_t *p, size_t len)
{
	uint8_t bytes[2048];

	ck_assert_uint_le(len, sizeof(bytes));
	lab_send(plain, p, len);
	memcpy(bytes, p, len);
	if (forward(bytes, len, (uint32_t)(lab->now_ms / 1000))) {
		ck_assert_uint_eq(plain->n_out, 1);
		ck_assert_uint_eq(plain->out[0].len, len);
		ck_assert_mem_eq(plain->out[0].bytes, bytes, len);
		carried++;
		return true;
	}
	lab_send(lab, p, len);
	if (drains || unit_below(3) > 0)
		nat_mirror_drained(lab->nat);
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
	} else if (what < 997) {
		end_one();
	} else {
		reload_both();
	}
}

START_TEST(test_a_forwarder_changes_no_result)
{
	uint64_t cursor[2] = {1, 1};

	drains = false;
	for (int i = 0; i <= _i; i++) /* each has a seed of its own */
		unit_seed_ = unit_random();
	for (int i = 0; i < CONVERSATIONS; i++)
		open_talk(&talks[i]);
	for (int i = 0; i < STEPS; i++) {
		happen();
		if (i % 16 == 0)
			compare_all(cursor);
	}
	compare_all(cursor);
	ck_assert_uint_gt(carried, STEPS / 10);
}
END_TEST

/* ---- one at a time ---- */

static struct talk make_tcp(void)
{
	struct talk t = {.proto = 6,
			 .in = {.address = LAB_A, .port = 5000, .next = 1000, .window = 60000},
			 .out = {.address = LAB_S1, .port = SERVER_PORT, .next = 9000, .window = 60000}};

	say_tcp(&t, true, TCP_SYN, 0);
	t.ext = external_port();
	say_tcp(&t, false, TCP_SYN | TCP_ACK, 0);
	say_tcp(&t, true, TCP_ACK, 0);
	return t;
}

static struct talk make_busy(void)
{
	struct talk t = make_tcp();

	for (int i = 0; i < 6; i++)
		say_tcp(&t, i % 2, TCP_ACK, 100);
	return t;
}

static uint32_t shown(void)
{
	struct nat_mirror_counts c;

	nat_mirror_counts(lab->nat, &c);
	return c.flows;
}

START_TEST(test_a_session_is_shown_with_its_eighth_packet)
{
	struct talk t = make_tcp();

	for (int i = 3; i < 8; i++) {
		ck_assert_uint_eq(shown(), 0);
		ck_assert(!say_tcp(&t, true, TCP_ACK, 10));
	}
	ck_assert_uint_eq(shown(), 1);
	ck_assert(say_tcp(&t, true, TCP_ACK, 10));
	ck_assert(say_tcp(&t, false, TCP_ACK, 10));
}
END_TEST

START_TEST(test_a_session_is_shown_when_no_packet_waits)
{
	struct talk t;

	drains = false;
	t = make_tcp();
	for (int i = 0; i < 5; i++)
		say_tcp(&t, true, TCP_ACK, 10);
	nat_mirror_drained(lab->nat);
	ck_assert_uint_eq(shown(), 1);
	end_one();
	advance_both(3000);
	t = make_busy();
	advance_both(1000); /* or after a second */
	ck_assert_uint_eq(shown(), 1);
}
END_TEST

START_TEST(test_fin_syn_and_rst_stop_it_for_what_comes_after)
{
	static const uint8_t flags[] = {TCP_FIN | TCP_ACK, TCP_SYN, TCP_RST};

	for (size_t i = 0; i < sizeof(flags); i++) {
		struct talk t = make_busy();

		ck_assert(say_tcp(&t, true, TCP_ACK, 1));
		ck_assert(!say_tcp(&t, false, flags[i], 0));
		ck_assert_uint_eq(shown(), 0);
		ck_assert(!say_tcp(&t, true, TCP_ACK, 1));
		end_one();
		advance_both(200000);
	}
}
END_TEST

START_TEST(test_what_the_forwarder_learns_late_is_known_before_its_answer)
{
	struct talk t = make_busy();
	struct flow_key k = {
		.local = LAB_A, .remote = LAB_S1, .local_port = 5000, .remote_port = SERVER_PORT, .dir = DIR_OUT};
	struct flow *f = find_flow(&k);

	ck_assert_ptr_nonnull(f);
	/* The peer's FIN takes it out of the index, while another processor carries a segment of the inside host. */
	say_tcp(&t, false, TCP_FIN | TCP_ACK, 0);
	lab_send(plain, plain->in,
		 build_packet(plain->in, &(const struct build){.proto = 6,
							       .src = LAB_A,
							       .dst = LAB_S1,
							       .sport = 5000,
							       .dport = SERVER_PORT,
							       .seq = t.in.next,
							       .ack = t.out.next - 1,
							       .flags = TCP_ACK,
							       .window = 60000,
							       .payload_len = 500,
							       .df = true}));
	flow_advance(f, &(struct flow_segment){
				.seq = t.in.next, .end = t.in.next + 500, .ack = t.out.next - 1, .window = 60000});
	flow_count(f, DIR_OUT, 1, 540, (uint32_t)(lab->now_ms / 1000));
	t.in.next += 500;
	say_tcp(&t, false, TCP_ACK, 0);
	say_tcp(&t, true, TCP_FIN | TCP_ACK, 0);
	say_tcp(&t, false, TCP_ACK, 0);
	compare_sessions();
}
END_TEST

START_TEST(test_an_ended_session_is_out_at_once)
{
	struct talk t = make_busy();

	ck_assert_uint_eq(shown(), 1);
	end_one();
	ck_assert_uint_eq(shown(), 0);
	ck_assert(!say_tcp(&t, false, TCP_ACK, 10));
	for (uint32_t i = 0; i < FLOW_BUCKETS; i++)
		for (uint32_t w = 0; w < FLOW_WAYS; w++)
			ck_assert_uint_eq(buckets[i].entry[w], 0);
}
END_TEST

START_TEST(test_idle_sessions_make_room)
{
	make_busy();
	advance_both(14000);
	ck_assert_uint_eq(shown(), 1);
	advance_both(3000);
	ck_assert_uint_eq(shown(), 0);
	ck_assert_uint_eq(lab_sessions(lab), 1);
}
END_TEST

START_TEST(test_a_slot_rests_before_it_is_used_again)
{
	make_busy();
	end_one();
	make_busy();
	ck_assert(flows[1].state == FLOW_OUT && flows[2].state == FLOW_LIVE);
	end_one();
	advance_both(4000);
	make_busy();
	ck_assert(flows[1].state == FLOW_LIVE || flows[2].state == FLOW_LIVE);
	ck_assert(flows[3].state == FLOW_OUT);
}
END_TEST

START_TEST(test_after_a_pause_no_carried_session_seems_idle)
{
	struct talk t = make_busy();

	/* natd stands still for longer than the timeout; the forwarder goes on. */
	for (int i = 0; i < 80; i++) {
		plain->now_ms = lab->now_ms += 100000;
		ck_assert(say_tcp(&t, i % 2, TCP_ACK, 100));
	}
	ck_assert(!say_tcp(&t, true, TCP_SYN, 0));
	ck_assert_uint_eq(lab_sessions(lab), 1);
	compare_sessions();
}
END_TEST

START_TEST(test_the_next_natd_takes_over_what_was_carried)
{
	struct talk t = make_busy();
	struct flow *before = flows;
	struct flow_memory m;

	nat_mirror_end(lab->nat, true);
	ck_assert(say_tcp(&t, true, TCP_ACK, 100)); /* while none is there */
	ck_assert(say_tcp(&t, false, TCP_ACK, 100));
	lab_restart(plain);
	lab_restart(lab);
	nat_mirror_adopt(lab->nat, before);
	flows = calloc(FLOW_SLOTS, sizeof(*flows));
	memset(buckets, 0, FLOW_BUCKETS * sizeof(*buckets));
	m = memory();
	ck_assert(nat_mirror_begin(lab->nat, &m, ALL));
	compare_sessions();
	ck_assert(!say_tcp(&t, true, TCP_FIN | TCP_ACK, 0));
	ck_assert_uint_eq(lab->n_out, 1);
	free(before);
}
END_TEST

START_TEST(test_a_full_bucket_leaves_sessions_to_natd)
{
	struct nat_mirror_counts c;
	struct talk t;

	for (uint32_t i = 0; i < FLOW_BUCKETS; i++)
		memset(&buckets[i], 0xff, sizeof(buckets[i]));
	t = make_busy();
	ck_assert(!say_tcp(&t, true, TCP_ACK, 10));
	nat_mirror_counts(lab->nat, &c);
	ck_assert_uint_eq(c.flows, 0);
	ck_assert_uint_eq(c.full, 1);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("mirror");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 300);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_a_session_is_shown_with_its_eighth_packet);
	tcase_add_test(c, test_a_session_is_shown_when_no_packet_waits);
	tcase_add_test(c, test_fin_syn_and_rst_stop_it_for_what_comes_after);
	tcase_add_test(c, test_what_the_forwarder_learns_late_is_known_before_its_answer);
	tcase_add_test(c, test_an_ended_session_is_out_at_once);
	tcase_add_test(c, test_idle_sessions_make_room);
	tcase_add_test(c, test_a_slot_rests_before_it_is_used_again);
	tcase_add_test(c, test_after_a_pause_no_carried_session_seems_idle);
	tcase_add_test(c, test_the_next_natd_takes_over_what_was_carried);
	tcase_add_test(c, test_a_full_bucket_leaves_sessions_to_natd);
	tcase_add_loop_test(c, test_a_forwarder_changes_no_result, 0, 8);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
