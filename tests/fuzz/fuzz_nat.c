/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: the whole NAT, stateful. The input is a program: 8 bytes choose the policy, then come steps, each an
 * operation byte and its operands: packets (structured: a few bytes choose hosts, ports, protocol, flags; raw bytes
 * changed in them; wholly from the input), fragments, time, reload, restart, delete. Sessions can be named, so that an
 * input reaches deep states in a few bytes. Tables are tiny.
 *
 * After each step:
 *   - nat_check() (every fourth step); each session is found by both of its keys, and by no other record
 *   - a packet was emitted, kept, or counted under exactly one reason
 *   - nothing outside with an inside source; nothing inside but to an inside host; what the host gets is untouched
 *   - IP checksums are right; a transport checksum is wrong by as much as it was before
 *   - no counter goes back
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "core/nat/nat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                     \
	do {                                                                        \
		if (!(x)) {                                                         \
			fprintf(stderr, "fuzz_nat:%d: not so: %s\n", __LINE__, #x); \
			abort();                                                    \
		}                                                                   \
	} while (0)

enum { SESSIONS = 24, ADDRESSES = 4, FRAGMENTS = 8, STEPS = 64, PACKET_MAX = 2048, INPUT_MAX = 4096 };

#define IN(n)	 BUILD_IP(10, 8, 0, (n))
#define EXT(n)	 BUILD_IP(203, 0, 113, (n))
#define REM(n)	 BUILD_IP(198, 51, 100, (n))
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct input {
	const uint8_t *at;
	const uint8_t *end;
};

struct world {
	struct input in;
	struct nat *nat;
	struct nat_memory memory;
	struct nat_policy policy;
	struct nat_prefix inside, exempt, broadcast, from;
	struct nat_address_range addresses[3];
	struct nat_range pool_ports, shared_ports;
	struct nat_forward forwards[5];
	struct nat_host_class gold;
	struct nat_prefix gold_prefix;
	uint64_t seed[4];
	uint64_t now_ms;
	uint64_t before[NAT_REASON_COUNT];
	uint8_t *packet; /* exactly as long as it must be, for the sanitizer */
	uint8_t came[PACKET_MAX];
	uint32_t len;
	uint32_t emitted;
	int step;
	bool judge_checksum;
	bool judges; /* a reload whose sessions are not all judged */
};

/* ---- the input ---- */

static uint8_t byte(struct world *w)
{
	return w->in.at < w->in.end ? *w->in.at++ : 0;
}

static uint16_t word(struct world *w)
{
	unsigned high = byte(w);

	return (uint16_t)(high << 8 | byte(w));
}

static bool more(const struct world *w)
{
	return w->in.at < w->in.end;
}

/* ---- policy ---- */

/* Blocks, deterministic ports, a static pair, a class, a reserve, forwards without ports. */
static void read_carrier_policy(struct world *w)
{
	static const int reserves[] = {RESERVE_AUTO, 0, 25, RESERVE_MAX};
	struct nat_policy *p = &w->policy;
	uint8_t a = byte(w);

	p->allocation = (enum nat_allocation)(a % 3);
	p->blocks = (struct nat_blocks){.size = 32, .per_host = 2, .overflow = a & 64 ? 1 : 0};
	if (p->allocation != ALLOCATION_PORT) /* a deterministic one has 256 hosts */
		w->pool_ports.last =
			(uint16_t)(w->pool_ports.first + (p->allocation == ALLOCATION_BLOCK ? 4 : 288) * 32 - 1);
	w->shared_ports = w->pool_ports;
	p->limits.reserve = reserves[a / 16 % 4];
	w->gold_prefix = (struct nat_prefix){.address = IN(2), .length = 31};
	w->gold = (struct nat_host_class){.name = "gold",
					  .prefixes = &w->gold_prefix,
					  .n_prefixes = 1,
					  .limits = {6, HOST_LIMIT_AS_ALL, HOST_LIMIT_AS_ALL, 1}};
	p->classes = &w->gold;
	p->n_classes = a & 4 ? 1 : 0;
	if (a & 8) {
		w->addresses[1].last = EXT(2);
		w->addresses[2] = (struct nat_address_range){.first = EXT(3), .last = EXT(3), .inside = IN(9)};
		p->n_addresses = 3;
	}
	w->forwards[3] = (struct nat_forward){
		.name = "gre", .protocols = 1 << CLASS_OTHER, .ports = {47, 47}, .to = IN(3), .to_port = 47};
	w->forwards[4] = (struct nat_forward){
		.name = "rest", .protocols = 15, .is_default = true, .ports = {0, 65535}, .to = IN(4)};
	if (p->n_forwards == 3)
		p->n_forwards += a & 128 ? 2 : 1;
}

static void read_policy(struct world *w)
{
	struct nat_policy *p = &w->policy;
	uint8_t a = byte(w), b = byte(w), c = byte(w), d = byte(w);

	w->inside = (struct nat_prefix){.address = IN(0), .length = 24, .mtu = d & 1 ? 600 : 0};
	w->exempt = (struct nat_prefix){.address = REM(3), .length = 32};
	w->broadcast = (struct nat_prefix){.address = IN(255), .length = 32};
	w->from = (struct nat_prefix){.address = REM(1), .length = 32};
	w->addresses[0] = (struct nat_address_range){.first = EXT(1), .last = EXT(1), .shared = (b & 1) != 0};
	w->addresses[1] = (struct nat_address_range){.first = EXT(2), .last = EXT(3), .shared = false};
	w->pool_ports = (struct nat_range){(uint16_t)(c & 1 ? 1022 : 2000), (uint16_t)(2000 + c % 8)};
	w->shared_ports = w->pool_ports;
	w->forwards[0] =
		(struct nat_forward){.name = "web", .protocols = 1, .ports = {80, 81}, .to = IN(4), .to_port = 8080};
	w->forwards[1] = (struct nat_forward){
		.name = "udp", .protocols = 3, .ports = {2001, 2001}, .to = IN(2), .to_port = 5000};
	w->forwards[2] = (struct nat_forward){.name = "from",
					      .protocols = 3,
					      .address = EXT(2),
					      .ports = {2002, 2003},
					      .to = IN(3),
					      .to_port = 5000,
					      .from = &w->from,
					      .n_from = 1};
	*p = (struct nat_policy){
		.mapping = (enum nat_mapping_mode)(a % 3),
		.filtering = (enum nat_filtering)(a / 3 % 3),
		.unsolicited = (enum nat_unsolicited)(a / 9 % 3),
		.port_selection = (enum nat_port_selection)(a / 27 % 2),
		.pooling = (enum nat_pooling)(a / 54 % 2),
		.other_protocols = b & 2 ? OTHER_DROP : OTHER_TRANSLATE,
		.exhausted_icmp = (enum nat_exhausted_icmp)(b / 4 % 3),
		.hairpinning = !(b & 16),
		.port_parity = b & 32,
		.mss_clamp = b & 64 ? 536 : MSS_CLAMP_AUTO,
		.outside_mtu = d & 2 ? 576 : 0,
		.inside = &w->inside,
		.n_inside = 1,
		.exempt = &w->exempt,
		.n_exempt = d & 4 ? 1 : 0,
		.broadcast = &w->broadcast,
		.n_broadcast = 1,
		.addresses = w->addresses,
		.n_addresses = d / 8 % 3,
		.pool_ports = &w->pool_ports,
		.n_pool_ports = 1,
		.shared_ports = &w->shared_ports,
		.n_shared_ports = 1,
		.forwards = w->forwards,
		.n_forwards = c / 8 % 4,
		.icmp_source = d & 32 ? 0 : IN(1),
		.timeouts = {300, 60, 300, 240, 7440, 240, 6, 5, c & 128 ? 120 : 10},
		.limits = {.sessions = SESSIONS - (c & 64 ? 16 : 0),
			   .sessions_per_host = d & 64 ? 5 : 0,
			   .ports_per_host = d & 128 ? 3 : 0,
			   .new_sessions_per_host = b & 128 ? 2 : 0,
			   .fragments = FRAGMENTS},
	};
	if (p->n_addresses == 0 && !(a & 128))
		p->n_addresses = 1;
	if (a >= 216) /* what lies above 107 says the same again */
		read_carrier_policy(w);
}

/* ---- what must hold ---- */

static bool is_inside(uint32_t a)
{
	return a >> 8 == IN(0) >> 8;
}

static bool is_drop(int r)
{
	return r > NAT_PASS && r < COUNT_OUT_PACKETS;
}

static void begin(struct world *w)
{
	memcpy(w->before, nat_counters(w->nat), sizeof(w->before));
	w->emitted = 0;
}

static uint64_t drops(const struct world *w)
{
	uint64_t n = 0;

	for (int r = 0; r < NAT_REASON_COUNT; r++) {
		MUST(nat_counters(w->nat)[r] >= w->before[r]);
		n += is_drop(r) ? nat_counters(w->nat)[r] - w->before[r] : 0;
	}
	return n;
}

static void check_sessions(struct world *w)
{
	struct table *t = nat_table(w->nat);
	uint32_t cursor = 0, now_s = (uint32_t)(w->now_ms / 1000);
	struct session *s;

	while ((s = table_next(t, &cursor, UINT32_MAX)) != NULL) {
		struct session_key k = {s->int_addr, s->rem_addr, s->int_port, s->rem_port, (uint8_t)session_class(s),
					DIR_OUT};

		MUST(is_inside(s->int_addr));
		if (table_session_expired(t, s, now_s))
			continue;
		MUST(table_find(t, &k, table_hash(t, &k), now_s) == s);
		k = (struct session_key){s->ext, s->rem_addr, s->ext_port, s->rem_port, (uint8_t)session_class(s),
					 DIR_IN};
		MUST(table_find(t, &k, table_hash(t, &k), now_s) == s);
		MUST(table_session_by_id(t, table_session_id(t, s)) == s);
	}
}

/* The core's own check takes as long as several steps: it is made at each fourth, and at the end. */
static void check_all(struct world *w)
{
	const char *wrong = w->step % 4 == 0 || !more(w) ? nat_check(w->nat) : NULL;

	if (wrong != NULL) {
		fprintf(stderr, "fuzz_nat: %s\n", wrong);
		abort();
	}
	check_sessions(w);
}

/* Wrong by how much? Modulo 65535, in which 0 and 0xffff are one. */
static unsigned residue(const uint8_t *p)
{
	return build_transport_checksum(p) % 65535u;
}

static bool has_checksum(const struct pkt_view *v)
{
	if (v->frag != FRAG_NONE || v->kind == PKT_OTHER || v->kind == PKT_ICMP_REST)
		return false;
	return v->kind != PKT_UDP || load16(v->l4 + 6) != 0;
}

static void check_out(struct world *w, const struct nat_packet *p, bool owned)
{
	struct pkt_view v, came;

	MUST(packet_parse(p->data, p->len, true, &v) == NAT_PASS);
	MUST(v.len == p->len && build_checksum(0, v.ip, v.ihl) == 0);
	if (p->to == NAT_TO_OUTSIDE)
		MUST(!is_inside(v.src) && (owned || !is_inside(v.dst)));
	if (p->to == NAT_TO_INSIDE)
		MUST(is_inside(v.dst));
	if (p->to == NAT_TO_HOST && !owned)
		MUST(memcmp(p->data, w->came, p->len) == 0);
	if (owned || !w->judge_checksum)
		return;
	MUST(packet_parse(w->came, w->len, true, &came) == NAT_PASS);
	if (has_checksum(&came) && came.frag == FRAG_NONE)
		MUST(has_checksum(&v) && residue(v.ip) == residue(w->came));
}

static void on_emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct world *w = ctx;

	w->emitted++;
	MUST(p->to == NAT_TO_OUTSIDE || p->to == NAT_TO_INSIDE || p->to == NAT_TO_HOST);
	if (!p->csum_partial)
		check_out(w, p, owned);
	else
		MUST(p->len <= PACKET_MAX);
}

/* ---- packets ---- */

static void give(struct world *w, uint8_t source, uint16_t gso, bool partial)
{
	struct nat_packet p = {.len = w->len, .source = source, .gso_size = gso, .csum_partial = partial};
	uint8_t *exact = malloc(w->len ? w->len : 1);
	bool is_first;

	MUST(exact);
	memcpy(exact, w->packet, w->len);
	memcpy(w->came, w->packet, w->len);
	p.data = exact;
	w->judge_checksum = !partial && gso == 0;
	begin(w);
	nat_batch(w->nat, w->now_ms, &p, 1, on_emit, w);
	is_first = w->len >= 20 && (w->came[6] & 0x20) && (w->came[6] & 0x1f) == 0 && w->came[7] == 0;
	if (p.to == NAT_NOWHERE && source != NAT_FROM_ICMP)
		MUST(drops(w) >= 1);
	if (p.to != NAT_NOWHERE && p.to != NAT_KEPT)
		MUST(w->emitted >= 1);
	MUST(drops(w) <= (p.to == NAT_NOWHERE) + (is_first ? FRAGMENTS : 0u)); /* those that were held for it */
	free(exact);
	check_all(w);
}

static const uint32_t hosts[] = {IN(2), IN(3), IN(4), IN(9)};
static const uint32_t remotes[] = {REM(1), REM(2), REM(3), EXT(1)};
static const uint32_t externals[] = {EXT(1), EXT(1), EXT(2), EXT(3)};
static const uint32_t anything[] = {0,	   0x7f000001, 0xffffffff, 0xe0000001, 0xf0000001, IN(255),
				    IN(1), EXT(1),     EXT(2),	   REM(1),     IN(2),	   BUILD_IP(10, 9, 0, 1)};
static const uint16_t in_ports[] = {5000, 5001, 100, 8080};
static const uint16_t rem_ports[] = {7, 53};
static const uint8_t protos[] = {17, 6, 6, 1, 17, 47, 6, 132};
static const uint8_t flags[] = {2, 16, 18, 17, 4, 20, 24, 2, 0, 3, 6, 1};

static struct session *named_session(struct world *w, uint8_t which)
{
	struct table *t = nat_table(w->nat);
	uint32_t cursor = 0;
	struct session *s, *last = NULL;

	for (int i = which % SESSIONS; (s = table_next(t, &cursor, UINT32_MAX)) != NULL && i >= 0; i--)
		last = s;
	return last;
}

/* Numbers where the session stands, a little off, or anywhere. */
static void tcp_numbers(struct world *w, struct build *b, const struct session *s, int dir)
{
	uint8_t how = byte(w);

	b->flags = flags[byte(w) % COUNT(flags)];
	b->window = how & 64 ? 65535 : 1000;
	b->seq = s ? s->end[dir] : 1000;
	b->ack = s ? s->end[!dir] : 0;
	if (how & 1)
		b->seq += (uint32_t)(int32_t)(int8_t)byte(w);
	if (how & 2)
		b->ack += (uint32_t)(int32_t)(int8_t)byte(w);
	if (how & 4)
		b->seq += (uint32_t)word(w) << 16;
	if (how & 8)
		b->ack += (uint32_t)word(w) << 16;
}

static void about_session(struct world *w, struct build *b, const struct session *s, int dir)
{
	static const uint8_t numbers[CLASS_COUNT] = {6, 17, 1, 47};
	uint32_t external = table_address(nat_table(w->nat), s->ext);

	b->proto = numbers[session_class(s)];
	b->src = dir == DIR_OUT ? s->int_addr : s->rem_addr;
	b->dst = dir == DIR_OUT ? s->rem_addr : external;
	b->sport = dir == DIR_OUT ? s->int_port : s->rem_port;
	b->dport = dir == DIR_OUT ? s->rem_port : s->ext_port;
	if (session_class(s) == CLASS_ICMP) {
		b->sport = dir == DIR_OUT ? s->int_port : s->ext_port;
		b->icmp_type = dir == DIR_OUT ? 8 : 0;
	}
	if (session_class(s) == CLASS_OTHER)
		b->proto = (uint8_t)s->int_port;
}

static void fresh(struct world *w, struct build *b, int dir)
{
	uint8_t who = byte(w), what = byte(w);

	b->proto = protos[what % COUNT(protos)];
	if (dir == DIR_OUT) {
		b->src = hosts[who % 4];
		b->dst = who & 0x80 ? externals[who / 4 % 4] : remotes[who / 4 % 4];
		b->sport = in_ports[who / 16 % 4];
		b->dport = who & 0x80 ? (uint16_t)(2000 + what / 8 % 8) : rem_ports[what / 8 % 2];
	} else {
		b->src = remotes[who % 4];
		b->dst = externals[who / 4 % 4];
		b->sport = rem_ports[who / 16 % 2];
		b->dport = what & 0x80 ? (uint16_t)(80 + what / 8 % 2) : (uint16_t)(2000 + what / 8 % 8);
	}
	if (what == 0xff) {
		b->src = anything[who % COUNT(anything)];
		b->dst = anything[who / 12 % COUNT(anything)];
	}
	if (b->proto == 1)
		b->icmp_type = (uint8_t)(dir == DIR_OUT ? 8 : 0);
}

static const uint8_t mss_options[] = {2, 4, 0x23, 0, 1, 3, 3, 7};

/* A packet into w->packet. What it is about may be a session. */
static void compose(struct world *w)
{
	uint8_t how = byte(w);
	int dir = how & 1;
	struct session *s = how & 2 ? named_session(w, byte(w)) : NULL;
	struct build b = {.payload_len = how & 4 ? byte(w) * 4u : 8, .df = (how & 8) != 0, .id = (uint16_t)(how >> 6)};

	if (s != NULL)
		about_session(w, &b, s, dir);
	else
		fresh(w, &b, dir);
	if (b.proto == 6) {
		tcp_numbers(w, &b, s, dir);
		b.payload_len = b.flags & 2 ? 0 : b.payload_len;
		b.tcp_options = mss_options;
		b.tcp_options_len = b.flags & 2 ? sizeof(mss_options) : 0;
	}
	b.no_checksum = how & 16;
	w->len = (uint32_t)build_packet(w->packet, &b);
}

/* Some bytes changed as the input says, then checksums right again unless it says otherwise. */
static void mutate(struct world *w)
{
	uint8_t n = byte(w);

	for (int i = 0; i < n % 8 && w->len > 0; i++) {
		uint32_t at = byte(w) % w->len;

		w->packet[at] = byte(w);
	}
	if (n & 8)
		w->len = w->len > n / 16u ? w->len - n / 16u : 0;
	if (w->len >= 20 && (w->packet[0] & 15) >= 5 && (w->packet[0] & 15) * 4u <= w->len && !(n & 64))
		build_fix_ip(w->packet);
}

/* An ICMP error about what `w->packet` holds, as the other side of the session saw it. */
static void wrap_error(struct world *w)
{
	static const uint8_t types[][2] = {{3, 3}, {3, 4}, {11, 0}, {12, 0}, {3, 1}, {5, 0}};
	uint8_t how = byte(w), quoted[PACKET_MAX];
	struct session *s = named_session(w, byte(w));
	int dir = how & 1; /* of the error */
	struct build b = {.icmp_type = types[how / 2 % 6][0], .icmp_code = types[how / 2 % 6][1]};
	struct build q = {.payload_len = 12, .df = true, .flags = 16};
	size_t len;

	if (s == NULL)
		return;
	about_session(w, &q, s, !dir);
	if (dir == DIR_OUT) { /* it came in, translated */
		q.dst = s->int_addr;
		q.dport = s->int_port;
	} else {
		q.src = table_address(nat_table(w->nat), s->ext);
		q.sport = s->ext_port;
	}
	if (session_class(s) == CLASS_ICMP) {
		q.sport = dir == DIR_OUT ? s->int_port : s->ext_port;
		q.icmp_type = 8;
	}
	q.seq = s->end[!dir] - (how & 64 ? 100000u : 1u);
	len = build_packet(quoted, &q);
	b.src = how & 128 ? REM(9) : q.dst;
	b.dst = q.src;
	b.icmp_rest = how & 64 ? word(w) : 1400;
	w->len = (uint32_t)build_icmp_error(w->packet, &b, quoted, how & 32 ? 28 : len);
}

static void raw(struct world *w)
{
	size_t n = byte(w), left = (size_t)(w->in.end - w->in.at);

	n = n < left ? n : left;
	memcpy(w->packet, w->in.at, n);
	w->in.at += n;
	w->len = (uint32_t)n;
	if (n >= 20 && (w->packet[0] & 15) >= 5 && (w->packet[0] & 15) * 4u <= n)
		build_fix_ip(w->packet);
}

/* One piece of a datagram; the same choices with another piece are of the same datagram. */
static void fragment(struct world *w)
{
	uint8_t which = byte(w), whole[PACKET_MAX];
	size_t len, payload, at, n;

	compose(w);
	if (w->len < 68)
		return;
	len = w->len;
	memcpy(whole, w->packet, len);
	whole[6] = 0; /* may be cut */
	build_fix_ip(whole);
	payload = len - (whole[0] & 15) * 4u;
	at = which % 4 * 24u;
	n = which & 16 ? 32 : 24; /* overlapping, sometimes */
	if (which & 32)
		n = payload;
	if (at >= payload)
		return;
	w->len = (uint32_t)build_fragment(w->packet, whole, at, at + n < payload ? n : payload - at);
}

/* ---- everything else ---- */

/* A reload that judges sessions while other things happen. */
static void begin_reload(struct world *w)
{
	struct rules *r, *old;

	read_policy(w);
	begin(w);
	r = nat_compile(&w->policy);
	MUST(r != NULL);
	old = nat_adopt(w->nat, r, w->now_ms);
	MUST(old != NULL);
	nat_compiled_free(old);
	w->judges = true;
	check_all(w);
}

static void judge(struct world *w, uint32_t budget)
{
	struct nat_reconfigure_report r;

	begin(w);
	w->judges = nat_judge(w->nat, w->now_ms, budget, &r);
	check_all(w);
}

static void pass_time(struct world *w)
{
	static const uint32_t ms[] = {1, 500, 1000, 5001, 6001, 60000, 121000, 241000, 301000, 7441000};
	uint8_t how = byte(w);

	w->now_ms += ms[how % 10];
	begin(w);
	w->judge_checksum = false;
	if (!(how & 128))
		nat_step(w->nat, w->now_ms, how & 64 ? 3 : 1000, on_emit, w);
	drops(w);
	check_all(w);
	if (w->judges)
		judge(w, how & 64 ? 3 : 1000);
}

static void reload(struct world *w)
{
	struct nat_reconfigure_report r;
	uint32_t had = table_session_count(nat_table(w->nat));

	read_policy(w);
	begin(w);
	w->judges = false;
	MUST(nat_reconfigure(w->nat, &w->policy, w->now_ms, &r));
	MUST(r.kept + r.ended == had && table_session_count(nat_table(w->nat)) == r.kept);
	check_all(w);
}

static void restart(struct world *w)
{
	struct table_attach_report report;
	struct nat_reconfigure_report r;
	uint32_t had = table_session_count(nat_table(w->nat));

	nat_destroy(w->nat);
	memset(w->memory.table.scratch, 0, w->memory.table.scratch_len);
	memset(w->memory.fragments, 0, w->memory.fragments_len);
	w->seed[0]++;
	w->nat = nat_create(&w->memory, &w->policy, w->seed, w->now_ms, &report);
	MUST(w->nat != NULL);
	MUST(report.restored + report.dropped == had || report.result == TABLE_NEW);
	MUST(report.dropped == 0);
	check_all(w);
	if (w->judges) /* as the daemon does */
		MUST(nat_reconfigure(w->nat, &w->policy, w->now_ms, &r));
	w->judges = false;
}

static void delete (struct world *w)
{
	struct session *s = named_session(w, byte(w));

	if (s != NULL)
		nat_session_delete(w->nat, s, SESSION_END_DELETED, w->now_ms);
	check_all(w);
}

static void one_step(struct world *w)
{
	uint8_t op = byte(w);

	switch (op % 16) {
	case 8:
		pass_time(w);
		return;
	case 9:
		if (op & 16)
			begin_reload(w);
		else
			reload(w);
		return;
	case 10:
		restart(w);
		return;
	case 11:
		delete (w);
		return;
	case 12:
		raw(w);
		break;
	case 13:
		w->len = 0;
		wrap_error(w);
		break;
	case 14:
		w->len = 0;
		fragment(w);
		break;
	default:
		compose(w);
		break;
	}
	if (op & 16)
		mutate(w);
	if (w->len > 0)
		give(w, op & 32 ? NAT_FROM_ICMP : NAT_FROM_TUN, op & 64 ? 100 : 0, op & 128);
}

/* ---- the world, made once: its memory is wiped for each input ---- */

static void *aligned(size_t len)
{
	void *p = aligned_alloc(64, (len + 63) / 64 * 64);

	MUST(p);
	return p;
}

static void make(struct world *w)
{
	w->memory.max_sessions = SESSIONS;
	w->memory.max_addresses = ADDRESSES;
	w->memory.max_fragments = FRAGMENTS;
	nat_memory_need(&w->memory);
	w->memory.table.records = aligned(w->memory.table.records_len);
	w->memory.table.scratch = aligned(w->memory.table.scratch_len);
	w->memory.fragments = aligned(w->memory.fragments_len);
	w->packet = malloc(PACKET_MAX);
	MUST(w->packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct table_attach_report report;

	if (size < 4 || size > INPUT_MAX)
		return 0;
	if (w.packet == NULL)
		make(&w);
	w.judges = false;
	memset(w.memory.table.records, 0, w.memory.table.records_len);
	memset(w.memory.table.scratch, 0, w.memory.table.scratch_len);
	memset(w.memory.fragments, 0, w.memory.fragments_len);
	w.in = (struct input){data, data + size};
	w.now_ms = 1000000;
	w.seed[0] = 1;
	w.seed[1] = 2;
	w.len = 0;
	read_policy(&w);
	w.nat = nat_create(&w.memory, &w.policy, w.seed, w.now_ms, &report);
	MUST(w.nat != NULL && report.result == TABLE_NEW);
	for (w.step = 0; w.step < STEPS && more(&w); w.step++)
		one_step(&w);
	nat_destroy(w.nat);
	return 0;
}
