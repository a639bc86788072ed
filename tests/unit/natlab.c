/* SPDX-License-Identifier: ISC */
/* See natlab.h. */
#include "natlab.h"

#include "foretell.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LAB_SESSIONS = 200000, LAB_MAX_ADDRESSES = 64, LAB_FRAGMENTS = 256, LAB_EVENTS = 4096, LAB_PAGE = 4096 };

/* A passed ck_assert() is written to a file, which counts when packets are sent by the hundred thousand. */
#define EXPECT(condition, ...)                     \
	do {                                       \
		if (!(condition))                  \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* Zero pages that cost nothing until they are touched, with a guard page right behind the last byte. */
static size_t pages(size_t len)
{
	return (len + LAB_PAGE - 1) / LAB_PAGE * LAB_PAGE;
}

static void *zeroed(size_t len)
{
	size_t used = (len + 63) / 64 * 64;
	uint8_t *p = mmap(NULL, pages(used) + LAB_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert(p != MAP_FAILED);
	ck_assert_int_eq(mprotect(p + pages(used), LAB_PAGE, PROT_NONE), 0);
	return p + pages(used) - used;
}

static void unmap(void *p, size_t len)
{
	size_t used = (len + 63) / 64 * 64;

	if (p != NULL)
		munmap((uint8_t *)p - (pages(used) - used), pages(used) + LAB_PAGE);
}

static void default_policy(struct lab *l)
{
	struct nat_policy *p = &l->policy;

	l->inside[0] = (struct nat_prefix){.address = BUILD_IP(10, 8, 0, 0), .length = 24};
	l->addresses[0] = (struct nat_address_range){.first = LAB_EXT, .last = LAB_EXT};
	l->pool_ports[0] = (struct nat_range){1024, 65535};
	l->shared_ports[0] = (struct nat_range){16384, 32767};
	l->shared_ports[1] = (struct nat_range){61000, 65534};
	*p = (struct nat_policy){
		.filtering = FILTERING_ADDRESS_DEPENDENT,
		.hairpinning = true,
		.mss_clamp = MSS_CLAMP_AUTO,
		.inside = l->inside,
		.n_inside = 1,
		.exempt = l->exempt,
		.broadcast = l->broadcast,
		.addresses = l->addresses,
		.n_addresses = 1,
		.pool_ports = l->pool_ports,
		.n_pool_ports = 1,
		.shared_ports = l->shared_ports,
		.n_shared_ports = 2,
		.forwards = l->forwards,
		.icmp_source = LAB_GW,
		.timeouts = {.udp = 300,
			     .icmp = 60,
			     .other = 300,
			     .tcp_opening = 240,
			     .tcp_established = 7440,
			     .tcp_closing = 240,
			     .unsolicited_syn = 6,
			     .fragment = 5,
			     .port_reuse = 120},
		.limits = {.sessions = LAB_SESSIONS, .fragments = LAB_FRAGMENTS, .reserve = RESERVE_AUTO},
	};
}

struct lab *lab_new(void)
{
	struct lab *l = calloc(1, sizeof(*l));

	ck_assert_ptr_nonnull(l);
	l->out = calloc(LAB_OUT_MAX, sizeof(*l->out));
	ck_assert_ptr_nonnull(l->out);
	l->now_ms = 1000000;
	l->seed[0] = 0x0123456789abcdefull;
	l->seed[1] = 0xfedcba9876543210ull;
	l->memory.max_sessions = LAB_SESSIONS;
	l->memory.table.max_events = LAB_EVENTS;
	l->memory.max_addresses = LAB_MAX_ADDRESSES;
	l->memory.max_fragments = LAB_FRAGMENTS;
	default_policy(l);
	return l;
}

static void make_memory(struct lab *l)
{
	nat_memory_need(&l->memory);
	l->memory.table.records = zeroed(l->memory.table.records_len);
	l->memory.table.scratch = zeroed(l->memory.table.scratch_len);
	l->memory.table.events = zeroed(l->memory.table.events_len);
	l->memory.fragments = zeroed(l->memory.fragments_len);
}

void lab_start(struct lab *l)
{
	struct table_attach_report report;

	make_memory(l);
	l->nat = nat_create(&l->memory, &l->policy, l->seed, l->now_ms, &report);
	ck_assert_ptr_nonnull(l->nat);
	ck_assert_int_eq(report.result, TABLE_NEW);
}

void lab_free(struct lab *l)
{
	nat_destroy(l->nat);
	unmap(l->memory.table.records, l->memory.table.records_len);
	unmap(l->memory.table.scratch, l->memory.table.scratch_len);
	unmap(l->memory.table.events, l->memory.table.events_len);
	unmap(l->memory.fragments, l->memory.fragments_len);
	free(l->out);
	free(l);
}

static void check_leak(const struct lab *l, const struct lab_out *o)
{
	for (uint32_t i = 0; i < l->policy.n_inside; i++) {
		const struct nat_prefix *p = &l->policy.inside[i];
		uint32_t mask = p->length == 0 ? 0 : 0xffffffffu << (32 - p->length);

		if (o->to == NAT_TO_OUTSIDE)
			EXPECT((o->v.src & mask) != p->address, "an inside source left for outside");
		if (o->to == NAT_TO_INSIDE && (o->v.dst & mask) == p->address)
			return;
	}
	EXPECT(o->to != NAT_TO_INSIDE, "sent inside, but not to an inside address");
}

static void verify(const struct lab_out *o)
{
	const char *wrong = build_verify(o->bytes, o->len);

	if (wrong != NULL)
		build_show(__func__, o->bytes, o->len);
	EXPECT(wrong == NULL, "%s", wrong);
}

static void on_emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct lab *l = ctx;
	struct lab_out *o;

	if (!owned) /* the contract of nat_emit: bytes that stay are the caller's */
		ck_assert_ptr_eq(p->data, l->wire);
	EXPECT(l->n_out < LAB_OUT_MAX && p->len <= BUILD_MAX, "too many packets, or too long");
	o = &l->out[l->n_out++];
	memcpy(o->bytes, p->data, p->len);
	o->len = p->len;
	o->to = p->to;
	o->gso_size = p->gso_size;
	o->csum_partial = p->csum_partial;
	if (p->to != NAT_TO_HOST && !l->bad_checksums_expected && !p->csum_partial)
		verify(o);
	if (packet_parse(o->bytes, o->len, true, &o->v) != NAT_PASS || o->v.len != o->len) {
		build_show("malformed", o->bytes, o->len);
		ck_abort_msg("a malformed packet came out: %s",
			     nat_reason_name(packet_parse(o->bytes, o->len, true, &o->v)));
	}
	check_leak(l, o);
}

static void begin(struct lab *l)
{
	memcpy(l->before, nat_counters(l->nat), sizeof(l->before));
	l->n_out = 0;
}

static bool is_drop(enum nat_reason r)
{
	return r > NAT_PASS && r < COUNT_OUT_PACKETS;
}

static uint64_t drops(const struct lab *l)
{
	uint64_t sum = 0;

	for (int r = 0; r < NAT_REASON_COUNT; r++)
		if (is_drop((enum nat_reason)r))
			sum += lab_delta(l, (enum nat_reason)r);
	return sum;
}

static void check_all(struct lab *l)
{
	const char *wrong = l->skip_check ? NULL : nat_check(l->nat);

	EXPECT(wrong == NULL, "%s", wrong);
}

/* Its verdict is that of the fragments held for it, too. */
static bool is_first_fragment(const uint8_t *p, size_t len)
{
	return len >= 20 && (load16(p + 6) & 0x3fff) == 0x2000;
}

void lab_send(struct lab *l, const uint8_t *p, size_t len)
{
	struct nat_packet np = {.data = l->wire,
				.len = (uint32_t)len,
				.source = l->source,
				.gso_size = l->gso_size,
				.csum_partial = l->csum_partial};

	struct foretold foretold;

	EXPECT(len <= sizeof(l->wire), "too long");
	memmove(l->wire, p, len);
	begin(l);
	if (!l->judges)
		foretell(l, p, len, &foretold);
	nat_batch(l->nat, l->now_ms, &np, 1, on_emit, l);
	if (np.to == NAT_NOWHERE && l->source != NAT_FROM_ICMP && !is_first_fragment(p, len))
		EXPECT(drops(l) == 1, "a packet dropped, %llu counted", (unsigned long long)drops(l));
	if (!l->judges)
		foretold_check(l, &foretold, &np);
	check_all(l);
}

static void step(struct lab *l)
{
	struct nat_stepped done;

	do
		done = nat_step(l->nat, l->now_ms, 1u << 20, on_emit, l);
	while (done.more || done.ended);
}

void lab_advance(struct lab *l, uint64_t ms)
{
	uint64_t end = l->now_ms + ms;

	begin(l);
	while (l->now_ms < end) {
		uint64_t next = (l->now_ms / 1000 + 1) * 1000;

		if (end - l->now_ms > 20000) /* nothing below 20 s needs every second */
			next = end - 20000 > l->now_ms + 10000 ? l->now_ms + 10000 : next;
		l->now_ms = next < end ? next : end;
		step(l);
	}
	check_all(l);
}

struct nat_reconfigure_report lab_reload(struct lab *l)
{
	struct nat_reconfigure_report r;

	begin(l);
	ck_assert(nat_reconfigure(l->nat, &l->policy, l->now_ms, &r));
	check_all(l);
	return r;
}

void lab_reload_begin(struct lab *l)
{
	struct rules *r = nat_compile(&l->policy), *old;

	begin(l);
	ck_assert_ptr_nonnull(r);
	old = nat_adopt(l->nat, r, l->now_ms);
	ck_assert_ptr_nonnull(old);
	nat_compiled_free(old);
	l->judges = true;
	check_all(l);
}

bool lab_judge(struct lab *l, uint32_t budget, struct nat_reconfigure_report *r)
{
	bool more;

	begin(l);
	more = l->judges = nat_judge(l->nat, l->now_ms, budget, r);
	check_all(l);
	return more;
}

struct table_attach_report lab_restart(struct lab *l)
{
	struct table_attach_report report;

	nat_destroy(l->nat);
	memset(l->memory.table.scratch, 0, l->memory.table.scratch_len);
	memset(l->memory.fragments, 0, l->memory.fragments_len);
	l->seed[0]++;
	l->nat = nat_create(&l->memory, &l->policy, l->seed, l->now_ms, &report);
	ck_assert_ptr_nonnull(l->nat);
	begin(l);
	check_all(l);
	return report;
}

uint64_t lab_delta(const struct lab *l, enum nat_reason r)
{
	return nat_counters(l->nat)[r] - l->before[r];
}

const struct lab_out *lab_one(struct lab *l, enum nat_to to)
{
	for (int r = 0; r < NAT_REASON_COUNT; r++)
		if (is_drop((enum nat_reason)r) && lab_delta(l, (enum nat_reason)r) != 0)
			ck_abort_msg("dropped: %s", nat_reason_name((enum nat_reason)r));
	EXPECT(l->n_out == 1 && l->out[0].to == to, "%u packets came out, the first to %d, expected one to %d",
	       l->n_out, l->out[0].to, to);
	return &l->out[0];
}

static void check_reason(const struct lab *l, enum nat_reason why)
{
	for (int r = 0; r < NAT_REASON_COUNT; r++) {
		uint64_t want = r == (int)why ? 1 : 0;

		if (is_drop((enum nat_reason)r) && lab_delta(l, (enum nat_reason)r) != want)
			ck_abort_msg("%s changed by %llu, expected %s", nat_reason_name((enum nat_reason)r),
				     (unsigned long long)lab_delta(l, (enum nat_reason)r), nat_reason_name(why));
	}
}

void lab_dropped(struct lab *l, enum nat_reason why)
{
	check_reason(l, why);
	EXPECT(l->n_out == 0, "%u packets came out", l->n_out);
}

const struct lab_out *lab_dropped_with_icmp(struct lab *l, enum nat_reason why, uint8_t type, uint8_t code)
{
	check_reason(l, why);
	ck_assert_uint_eq(l->n_out, 1);
	ck_assert_int_eq(l->out[0].v.kind, PKT_ICMP_ERROR);
	ck_assert_uint_eq(l->out[0].v.icmp_type, type);
	ck_assert_uint_eq(l->out[0].v.icmp_code, code);
	return &l->out[0];
}

uint16_t lab_udp_out(struct lab *l, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	LAB_SEND(l, .proto = 17, .src = src, .dst = dst, .sport = sport, .dport = dport, .payload_len = 8);
	return lab_one(l, NAT_TO_OUTSIDE)->v.sport;
}

uint16_t lab_syn_out(struct lab *l, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	LAB_SEND(l, .proto = 6, .src = src, .dst = dst, .sport = sport, .dport = dport, .seq = 1000, .flags = TCP_SYN,
		 .window = 65535);
	return lab_one(l, NAT_TO_OUTSIDE)->v.sport;
}

uint16_t lab_echo_out(struct lab *l, uint32_t src, uint16_t id, uint32_t dst)
{
	LAB_SEND(l, .proto = 1, .src = src, .dst = dst, .sport = id, .icmp_type = 8, .seq = 1, .payload_len = 16);
	return lab_one(l, NAT_TO_OUTSIDE)->v.sport;
}

uint16_t lab_tcp_established(struct lab *l, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	uint16_t ext = lab_syn_out(l, src, sport, dst, dport);
	uint32_t external = l->out[0].v.src;

	LAB_SEND(l, .proto = 6, .src = dst, .dst = external, .sport = dport, .dport = ext, .seq = 5000, .ack = 1001,
		 .flags = TCP_SYN | TCP_ACK, .window = 65535);
	lab_one(l, NAT_TO_INSIDE);
	LAB_SEND(l, .proto = 6, .src = src, .dst = dst, .sport = sport, .dport = dport, .seq = 1001, .ack = 5001,
		 .flags = TCP_ACK, .window = 65535);
	lab_one(l, NAT_TO_OUTSIDE);
	return ext;
}

uint32_t lab_sessions(struct lab *l)
{
	return table_session_count(nat_table(l->nat));
}
