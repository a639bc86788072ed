/* SPDX-License-Identifier: ISC */
/*
 * Soak of the core in the virtual clock: a year of timers while PACKETS packets pass.
 *
 *	soak_core [PACKETS [YEARS]]        default 300000, and the same pace: 1000000000 are a year
 *
 * A few thousand conversations (UDP, TCP from SYN to the last ACK, echo) are visited at random, so that most go on and
 * some have run out; others are begun in their place. Between them: fragments in either order, ICMP errors,
 * hairpinning, strangers who try ports, reloads with another filtering, restarts over the same records.
 *
 * What natd does is compared with what little anybody needs to know: what comes out has right checksums and came from
 * where its conversation sits as long as that lives; what is sent back reaches who began it; nobody else's port is
 * given out; a stranger reaches nobody unless the filter says so; each packet is emitted or counted under one reason.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "soak_packet.h"

#include "core/nat/nat.h"

enum {
	FLOWS = 4096, /* a power of two */
	VISITS = 64,  /* conversations a round */
	SLOT = 128,   /* bytes for a packet */
	ADDRESSES = 2,
	EXT = 0xcb007101,    /* 203.0.113.1 */
	INSIDE = 0x0a000000, /* 10.0.0.0/16 */
	SERVERS = 0xc6336400,
	STRANGERS = 0x64400000, /* 100.64.0.0 */
	SESSIONS = 32768,
	FRAGMENTS = 64,
	UNSURE_S = 3, /* no check is finer than a second */
};
static const double year_s = 31536000;
static const uint64_t packets_a_year = 1000000000;

enum stage { FRESH, GOING, CLOSING };

struct flow {
	uint32_t int_addr, rem_addr, ext_addr;
	uint16_t int_port, rem_port, ext_port;
	uint8_t proto_class, stage;
	uint32_t seq[2]; /* TCP: next of the client and of the server */
	uint64_t last_ms;
};

/* The expected fate of a packet of a batch. */
struct expectation {
	uint32_t flow;
	struct ends ends; /* src 0: the conversation's outside endpoint, as known or to be learned */
	uint8_t to;
	bool optional, seen;
};

struct soak {
	struct nat *nat;
	struct nat_memory memory;
	struct nat_policy policy;
	uint64_t now_us, random, batches;
	uint64_t sent, emitted, reloads, restarts, fragments, errors, hairpins, opened, strangers;
	uint64_t counters[NAT_REASON_COUNT]; /* of cores before the last restart */
	uint32_t n;
	struct nat_packet packets[NAT_BATCH_MAX];
	struct expectation expected[NAT_BATCH_MAX];
	uint8_t bytes[NAT_BATCH_MAX][SLOT];
	uint8_t quoted[SLOT]; /* as it left */
	uint32_t quoted_flow;
	bool has_quoted;
	uint8_t whole[SLOT]; /* of a datagram in fragments */
	uint32_t whole_len;
	struct flow flows[FLOWS];
	uint16_t owner[3][ADDRESSES][65536]; /* flow + 1 */
};

static const struct nat_prefix inside = {.address = INSIDE, .length = 16};
static const struct nat_address_range pool = {.first = EXT, .last = EXT + ADDRESSES - 1, .shared = false};
static const struct nat_range ports = {1024, 65535};

static void fail(const struct soak *s, const char *what, uint32_t flow)
{
	const struct flow *f = &s->flows[flow];

	fprintf(stderr,
		"soak_core: %s: after %" PRIu64 " packets, flow %" PRIu32
		" class %u stage %u, %08x:%u at %08x:%u with %08x:%u\n",
		what, s->sent, flow, f->proto_class, f->stage, f->int_addr, f->int_port, f->ext_addr, f->ext_port,
		f->rem_addr, f->rem_port);
	exit(1);
}

static uint32_t draw(struct soak *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (uint32_t)(s->random >> 32);
}

static uint64_t now_ms(const struct soak *s)
{
	return s->now_us / 1000;
}

/* ---- conversations ---- */

static uint32_t timeout_s(const struct soak *s, const struct flow *f)
{
	if (f->proto_class == CLASS_UDP)
		return s->policy.timeouts.udp;
	return f->proto_class == CLASS_ICMP ? s->policy.timeouts.icmp : s->policy.timeouts.tcp_established;
}

static bool surely_lives(const struct soak *s, const struct flow *f)
{
	return f->stage == GOING && now_ms(s) - f->last_ms <= (uint64_t)(timeout_s(s, f) - UNSURE_S) * 1000;
}

/* Another conversation of the same host takes the place of this one. */
static void renew(struct soak *s, struct flow *f)
{
	f->int_port = (uint16_t)(f->int_port < 65000 ? f->int_port + 1 : 1024 + (f - s->flows) % 64 * 900);
	f->rem_addr = SERVERS + draw(s) % 200;
	f->rem_port = (uint16_t)(1 + draw(s) % 60000);
	f->seq[0] = draw(s);
	f->seq[1] = draw(s);
	f->stage = FRESH;
	f->ext_port = 0;
}

static void make_flows(struct soak *s)
{
	static const uint8_t classes[8] = {CLASS_UDP, CLASS_UDP, CLASS_UDP, CLASS_UDP,
					   CLASS_TCP, CLASS_TCP, CLASS_TCP, CLASS_ICMP};

	for (uint32_t i = 0; i < FLOWS; i++) {
		struct flow *f = &s->flows[i];

		f->int_addr = INSIDE + 2 + i / 64;
		f->int_port = (uint16_t)(1024 + i % 64 * 900); /* 900 conversations before the numbers come again */
		f->proto_class = classes[i % 8];
		renew(s, f);
	}
}

/* ---- emitted packets ---- */

static void learn(struct soak *s, uint32_t i, uint32_t address, uint16_t port)
{
	struct flow *f = &s->flows[i];
	uint32_t slot = address - EXT;
	uint16_t before;

	if (slot >= ADDRESSES || port < ports.first)
		fail(s, "an outside endpoint that is not natd's", i);
	before = s->owner[f->proto_class][slot][port];
	if (before != 0 && before - 1u != i) {
		const struct flow *o = &s->flows[before - 1];

		if (o->ext_port == port && o->ext_addr == address && surely_lives(s, o))
			fail(s, "an outside endpoint with two owners", i);
	}
	s->owner[f->proto_class][slot][port] = (uint16_t)(i + 1);
	f->ext_addr = address;
	f->ext_port = port;
	s->opened++;
}

static void check_source(struct soak *s, const struct expectation *e, const struct ends *got)
{
	const struct flow *f = &s->flows[e->flow];

	if (f->ext_port != 0 && (f->ext_addr != got->src || f->ext_port != got->sport))
		fail(s, "another outside endpoint than before", e->flow);
	if (f->ext_port == 0)
		learn(s, e->flow, got->src, got->sport);
}

static void emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct soak *s = ctx;
	size_t i = (size_t)(p->data - s->bytes[0]) / SLOT;
	struct expectation *e = &s->expected[i];
	struct ends got;

	if (owned || p->data < s->bytes[0] || i >= s->n)
		fail(s, "a packet that nobody sent", 0);
	if (!soak_packet_read(p->data, p->len, &got))
		fail(s, "wrong lengths or checksums", e->flow);
	if (e->seen || p->to != e->to)
		fail(s, e->seen ? "a packet twice" : "to the wrong side", e->flow);
	if (got.dst != e->ends.dst || got.dport != e->ends.dport)
		fail(s, "to the wrong host or port", e->flow);
	if (e->ends.src == 0)
		check_source(s, e, &got);
	else if (got.src != e->ends.src || got.sport != e->ends.sport)
		fail(s, "from the wrong host or port", e->flow);
	e->seen = true;
	s->emitted++;
	if (!s->has_quoted && p->to == NAT_TO_OUTSIDE) {
		memcpy(s->quoted, p->data, SLOT);
		s->quoted_flow = e->flow;
		s->has_quoted = true;
	}
}

static void batch(struct soak *s)
{
	nat_batch(s->nat, now_ms(s), s->packets, s->n, emit, s);
	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->expected[i].seen && !s->expected[i].optional)
			fail(s, nat_reason_name(s->packets[i].reason), s->expected[i].flow);
	}
	s->sent += s->n;
	s->batches++;
	s->n = 0;
}

/* ---- packets to the core ---- */

static struct expectation *put(struct soak *s, const struct soak_packet *p, uint8_t to, uint32_t flow)
{
	uint32_t i = s->n++;
	uint32_t len = soak_packet_write(s->bytes[i], p);

	s->packets[i] = (struct nat_packet){.data = s->bytes[i], .len = len, .source = NAT_FROM_TUN};
	s->expected[i] = (struct expectation){.flow = flow, .ends = p->ends, .to = to};
	return &s->expected[i];
}

/* One of the client's packets. */
static void say(struct soak *s, uint32_t i, uint8_t flags, uint32_t payload)
{
	struct flow *f = &s->flows[i];
	struct expectation *e = put(s,
				    &(struct soak_packet){.proto_class = f->proto_class,
							  .ends = {f->int_addr, f->rem_addr, f->int_port,
								   f->proto_class == CLASS_ICMP ? 0 : f->rem_port},
							  .flags = flags,
							  .seq = f->seq[0],
							  .ack = flags & SOAK_ACK ? f->seq[1] : 0,
							  .payload = payload},
				    NAT_TO_OUTSIDE, i);

	e->ends.src = 0;
	f->seq[0] += payload + ((flags & (SOAK_SYN | SOAK_FIN)) != 0);
	f->last_ms = now_ms(s);
}

/* One of the server's. */
static void answer(struct soak *s, uint32_t i, uint8_t flags, uint32_t payload)
{
	struct flow *f = &s->flows[i];
	bool is_echo = f->proto_class == CLASS_ICMP;
	struct expectation *e = put(s,
				    &(struct soak_packet){.proto_class = f->proto_class,
							  .is_reply = true,
							  .ends = {f->rem_addr, f->ext_addr, f->rem_port, f->ext_port},
							  .flags = flags,
							  .seq = f->seq[1],
							  .ack = f->seq[0],
							  .payload = payload},
				    NAT_TO_INSIDE, i);

	e->ends = (struct ends){f->rem_addr, f->int_addr, is_echo ? 0 : f->rem_port, f->int_port};
	f->seq[1] += payload + ((flags & (SOAK_SYN | SOAK_FIN)) != 0);
}

/* What each conversation does at this visit: a request, its answer, and TCP's third packet where it needs one. */
static void visit(struct soak *s, uint32_t first, uint32_t stride)
{
	uint8_t flags[VISITS];

	for (uint32_t v = 0; v < VISITS; v++) {
		uint32_t i = (first + v * stride) % FLOWS;
		struct flow *f = &s->flows[i];

		if (f->stage == CLOSING || (f->proto_class != CLASS_TCP && draw(s) % 64 == 0))
			renew(s, f);
		else if (f->stage == GOING && !surely_lives(s, f))
			f->ext_port = 0, f->stage = f->proto_class == CLASS_TCP ? CLOSING : GOING;
		if (f->stage == CLOSING)
			renew(s, f);
		flags[v] = f->stage == FRESH ? SOAK_SYN : draw(s) % 32 == 0 ? SOAK_FIN | SOAK_ACK : SOAK_ACK;
		say(s, i, flags[v], flags[v] == SOAK_ACK ? 16 : 0);
		f->stage = GOING;
	}
	batch(s);
	for (uint32_t v = 0; v < VISITS; v++)
		answer(s, (first + v * stride) % FLOWS, flags[v] | SOAK_ACK, flags[v] == SOAK_ACK ? 16 : 0);
	batch(s);
	for (uint32_t v = 0; v < VISITS; v++) {
		uint32_t i = (first + v * stride) % FLOWS;

		if (s->flows[i].proto_class != CLASS_TCP || flags[v] == SOAK_ACK)
			continue;
		say(s, i, SOAK_ACK, 0);
		if (flags[v] & SOAK_FIN)
			s->flows[i].stage = CLOSING;
	}
	if (s->n > 0)
		batch(s);
}

/* ---- what happens besides ---- */

/* Some router says that the packet which left first in this round did not arrive. */
static void send_error(struct soak *s)
{
	const struct flow *f = &s->flows[s->quoted_flow];
	uint32_t router = STRANGERS + draw(s) % 1000;
	struct expectation *e = &s->expected[0];
	uint32_t len;

	if (!s->has_quoted || f->stage != GOING)
		return;
	len = soak_packet_error(s->bytes[0], router, s->quoted);
	s->packets[0] = (struct nat_packet){.data = s->bytes[0], .len = len, .source = NAT_FROM_TUN};
	*e = (struct expectation){.flow = s->quoted_flow,
				  .ends = {router, f->int_addr, 0, f->int_port},
				  .to = NAT_TO_INSIDE,
				  .optional =
					  f->proto_class == CLASS_TCP /* what is acknowledged cannot have been lost */};
	s->n = 1;
	batch(s);
	s->errors++;
}

/* A conversation's client speaks to another's, by way of the outside endpoint of that one, which the filter may
 * forbid. */
static void hairpin(struct soak *s)
{
	uint32_t i = draw(s) % FLOWS, j = draw(s) % FLOWS;
	const struct flow *a = &s->flows[i], *b = &s->flows[j];
	struct expectation *e;

	if (i == j || a->proto_class != CLASS_UDP || b->proto_class != CLASS_UDP || !surely_lives(s, a) ||
	    !surely_lives(s, b))
		return;
	e = put(s,
		&(struct soak_packet){.proto_class = CLASS_UDP,
				      .ends = {a->int_addr, b->ext_addr, a->int_port, b->ext_port},
				      .payload = 8},
		NAT_TO_INSIDE, i);
	e->ends = (struct ends){a->ext_addr, b->int_addr, a->ext_port, b->int_port};
	e->optional = s->policy.filtering != FILTERING_ENDPOINT_INDEPENDENT;
	batch(s);
	s->hairpins += e->seen;
}

/* An unsolicited packet. If the filter passes it, it reaches the owner of the endpoint, if that still exists. */
static void knock(struct soak *s)
{
	uint32_t slot = draw(s) % ADDRESSES;
	uint16_t port = (uint16_t)(1024 + draw(s) % 64512), owner = s->owner[CLASS_UDP][slot][port];
	uint32_t stranger = STRANGERS + s->strangers++ % (1 << 22);
	const struct flow *f = &s->flows[owner ? owner - 1 : 0];
	bool is_open = owner && s->policy.filtering == FILTERING_ENDPOINT_INDEPENDENT;
	bool is_known = is_open && f->ext_port == port && f->ext_addr == EXT + slot;
	struct expectation *e;

	if (is_open && !is_known) /* an earlier conversation's: it may still be open */
		return;
	e = put(s,
		&(struct soak_packet){.proto_class = CLASS_UDP, .ends = {stranger, EXT + slot, 9, port}, .payload = 8},
		is_known ? NAT_TO_INSIDE : NAT_NOWHERE, owner ? owner - 1u : 0);
	e->optional = !is_known || !surely_lives(s, f);
	e->ends = (struct ends){stranger, f->int_addr, 9, f->int_port};
	batch(s);
}

static void emit_fragment(void *ctx, const struct nat_packet *p, bool owned)
{
	struct soak *s = ctx;

	(void)owned;
	s->emitted++;
	if (p->to != NAT_TO_OUTSIDE || !soak_packet_collect(s->whole, &s->whole_len, SLOT, p->data, p->len))
		fail(s, "a wrong fragment", s->quoted_flow);
}

/* A datagram in two parts, the second first as often as not. */
static void send_fragments(struct soak *s)
{
	uint32_t i = draw(s) % FLOWS, swapped = draw(s) % 2;
	const struct flow *f = &s->flows[i];
	uint32_t lens[2];
	struct ends got;

	if (f->proto_class != CLASS_UDP || !surely_lives(s, f))
		return;
	soak_packet_write(s->quoted, &(struct soak_packet){.proto_class = CLASS_UDP,
							   .ends = {f->int_addr, f->rem_addr, f->int_port, f->rem_port},
							   .payload = 24,
							   .id = (uint16_t)draw(s)});
	soak_packet_cut(s->quoted, s->bytes[swapped], s->bytes[!swapped], &lens[swapped], &lens[!swapped]);
	for (uint32_t k = 0; k < 2; k++)
		s->packets[k] = (struct nat_packet){.data = s->bytes[k], .len = lens[k], .source = NAT_FROM_TUN};
	s->whole_len = 0;
	s->quoted_flow = i;
	nat_batch(s->nat, now_ms(s), s->packets, 2, emit_fragment, s);
	s->sent += 2;
	if (s->whole_len != 52 || !soak_packet_read(s->whole, 52, &got))
		fail(s, "fragments that make no datagram", i);
	if (got.src != f->ext_addr || got.sport != f->ext_port || got.dst != f->rem_addr || got.dport != f->rem_port)
		fail(s, "fragments from or to somebody else", i);
	s->fragments += 2;
}

static void reload(struct soak *s)
{
	struct nat_reconfigure_report report;

	s->policy.filtering = (enum nat_filtering)((s->policy.filtering + 1) % 3);
	s->policy.port_parity = draw(s) % 2;
	if (!nat_reconfigure(s->nat, &s->policy, now_ms(s), &report) || report.ended != 0)
		fail(s, "a reload that failed, or ended sessions", 0);
	s->reloads++;
}

static void create(struct soak *s, uint32_t expected)
{
	static const uint64_t seed[4] = {1, 2, 3, 4};
	struct table_attach_report report;

	memset(s->memory.table.scratch, 0, s->memory.table.scratch_len);
	memset(s->memory.fragments, 0, s->memory.fragments_len);
	s->nat = nat_create(&s->memory, &s->policy, seed, now_ms(s), &report);
	if (s->nat == NULL || report.restored != expected || report.dropped != 0)
		fail(s, "a start that found other sessions", 0);
}

static void restart(struct soak *s)
{
	uint32_t sessions = table_session_count(nat_table(s->nat));

	for (int r = 0; r < NAT_REASON_COUNT; r++)
		s->counters[r] += nat_counters(s->nat)[r];
	nat_destroy(s->nat);
	create(s, sessions);
	s->restarts++;
}

/* ---- the sum of it ---- */

static uint64_t counted(const struct soak *s, int first, int last)
{
	uint64_t n = 0;

	for (int r = first; r <= last; r++)
		n += s->counters[r] + nat_counters(s->nat)[r];
	return n;
}

static void check(struct soak *s)
{
	const char *wrong = nat_check(s->nat);
	uint64_t dropped = counted(s, NAT_PASS + 1, COUNT_OUT_PACKETS - 1);
	uint64_t passed =
		counted(s, COUNT_OUT_PACKETS, COUNT_OUT_PACKETS) + counted(s, COUNT_IN_PACKETS, COUNT_IN_PACKETS);

	if (wrong)
		fail(s, wrong, 0);
	if (passed != s->emitted || dropped + passed != s->sent ||
	    counted(s, COUNT_HAIRPIN, COUNT_HAIRPIN) != s->hairpins)
		fail(s, "counters that do not add up", 0);
}

static void pass_time(struct soak *s, uint64_t us)
{
	s->now_us += us;
	nat_step(s->nat, now_ms(s), 2048, emit, s);
}

static void run(struct soak *s, uint64_t packets, double us_a_packet)
{
	for (uint64_t round = 1; s->sent < packets; round++) {
		uint64_t before = s->sent;

		s->has_quoted = false;
		visit(s, draw(s), draw(s) | 1);
		if (round % 4 == 0)
			send_error(s);
		if (round % 4 == 1)
			hairpin(s);
		if (round % 4 == 2)
			knock(s);
		if (round % 4 == 3)
			send_fragments(s);
		pass_time(s, (uint64_t)((double)(s->sent - before) * us_a_packet));
		if (round % 1000 == 0)
			reload(s);
		if (round % 7001 == 0)
			check(s);
		if (round % 50021 == 0)
			restart(s);
	}
	check(s);
}

static void *reserve(size_t len)
{
	void *p = aligned_alloc(4096, (len + 4095) / 4096 * 4096);

	if (p == NULL)
		exit(1);
	return memset(p, 0, len);
}

static void begin(struct soak *s)
{
	s->policy = (struct nat_policy){
		.hairpinning = true,
		.inside = &inside,
		.n_inside = 1,
		.addresses = &pool,
		.n_addresses = 1,
		.pool_ports = &ports,
		.n_pool_ports = 1,
		.timeouts = {.udp = 1200,
			     .icmp = 60,
			     .other = 300,
			     .tcp_opening = 240,
			     .tcp_established = 7440,
			     .tcp_closing = 240,
			     .unsolicited_syn = 6,
			     .fragment = 5,
			     .port_reuse = 120},
		.limits = {.sessions = SESSIONS, .fragments = FRAGMENTS},
	};
	s->memory = (struct nat_memory){.max_sessions = SESSIONS, .max_addresses = 4, .max_fragments = FRAGMENTS};
	nat_memory_need(&s->memory);
	s->memory.table.records = reserve(s->memory.table.records_len);
	s->memory.table.scratch = reserve(s->memory.table.scratch_len);
	s->memory.fragments = reserve(s->memory.fragments_len);
	s->now_us = 1000000000;
	s->random = 0x9e3779b97f4a7c15u;
	make_flows(s);
	create(s, 0);
}

int main(int argc, char **argv)
{
	static struct soak soak;
	uint64_t packets = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	double years = argc > 2 ? strtod(argv[2], NULL) : (double)packets / (double)packets_a_year;
	clock_t start = clock();
	double cpu_s;

	if (packets == 0) {
		fprintf(stderr, "usage: soak_core [PACKETS [YEARS]]\n");
		return 2;
	}
	begin(&soak);
	run(&soak, packets, years * year_s * 1e6 / (double)packets);
	cpu_s = (double)(clock() - start) / CLOCKS_PER_SEC;
	printf("soak_core: %" PRIu64 " packets, %.4f years, %.1f s of CPU (%.2f million a second)\n", soak.sent,
	       (double)(soak.now_us - 1000000000) / 1e6 / year_s, cpu_s, (double)soak.sent / cpu_s / 1e6);
	printf("soak_core: %" PRIu64 " emitted; %" PRIu64 " outside endpoints learned, %" PRIu64
	       " sessions opened, %" PRIu64 " ran out, %" PRIu32 " left\n",
	       soak.emitted, soak.opened, counted(&soak, COUNT_SESSION_NEW, COUNT_SESSION_NEW),
	       counted(&soak, COUNT_SESSION_EXPIRED, COUNT_SESSION_EXPIRED), table_session_count(nat_table(soak.nat)));
	printf("soak_core: %" PRIu64 " fragments, %" PRIu64 " ICMP errors, %" PRIu64 " hairpinned, %" PRIu64
	       " reloads, %" PRIu64 " restarts; no difference\n",
	       soak.fragments, soak.errors, soak.hairpins, soak.reloads, soak.restarts);
	return 0;
}
