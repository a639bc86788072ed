/* SPDX-License-Identifier: ISC */
/*
 * Real packets of real programs (tests/replay/README.md), through the core from both sides: once the side that sends
 * first is inside, once it is outside and reaches its peers by default hosts. Inside and outside are decided packet by
 * packet: a new host is on the other side than its peer.
 *
 * Each packet gets the addresses of the bench, and what comes from outside the address and port that natd showed there.
 * What comes out must be that packet, byte for byte, but for what natd has to translate. For each capture what was sent
 * is what was delivered and what the counters name; how much was delivered is written down in tests/replay/corpus.tsv.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/reason.h"
#include "natlab.h"
#include "unit.h"

enum {
	HOSTS = 200,
	FLOWS = 512,
	FIRST_INSIDE = BUILD_IP(10, 8, 0, 2),
	FIRST_OUTSIDE = BUILD_IP(198, 51, 100, 1),
	CALM_MS = 8000 * 1000,
	ICMP = 1,
	TCP = 6,
	UDP = 17,
	DCCP = 33,
	UDPLITE = 136,
};

enum way { INSIDE_FIRST, OUTSIDE_FIRST, WAYS };

struct captured_host {
	uint32_t captured, given;
	bool is_inside;
};

/* The outside endpoint of an inside one; without ports they are 0. */
struct flow {
	uint8_t proto;
	uint32_t inside, remote;
	uint16_t port, remote_port, shown;
};

struct run {
	enum way way;
	struct lab *lab;
	struct captured_host hosts[HOSTS];
	uint32_t n_hosts, n_inside, n_outside;
	struct flow flows[FLOWS];
	uint32_t n_flows;
	uint64_t sent, passed;
	uint16_t loop_port; /* of a capture on one host: the port of the side that sends first; 0: not yet */
};

/* ---- files ---- */

static char *read_whole(const char *name, size_t *len)
{
	const char *dir = getenv("srcdir");
	char path[512];
	char *data;
	FILE *f;
	long end;

	snprintf(path, sizeof(path), "%s/tests/replay/%s", dir ? dir : ".", name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s: cannot be opened", path);
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	end = ftell(f);
	ck_assert_int_ge(end, 0);
	rewind(f);
	data = malloc((size_t)end + 1);
	ck_assert_ptr_nonnull(data);
	ck_assert_uint_eq(fread(data, 1, (size_t)end, f), (size_t)end);
	data[end] = '\0';
	*len = (size_t)end;
	fclose(f);
	return data;
}

static uint32_t little(const char *p)
{
	const uint8_t *u = (const uint8_t *)p;

	return (uint32_t)u[3] << 24 | (uint32_t)u[2] << 16 | (uint32_t)u[1] << 8 | u[0];
}

/* ---- hosts ---- */

static struct captured_host *find_host(struct run *r, uint32_t captured)
{
	for (uint32_t i = 0; i < r->n_hosts; i++) {
		if (r->hosts[i].captured == captured)
			return &r->hosts[i];
	}
	return NULL;
}

static struct captured_host *add_host(struct run *r, uint32_t captured, bool is_inside)
{
	struct captured_host *h = &r->hosts[r->n_hosts++];

	ck_assert_msg(r->n_hosts <= HOSTS, "more than %d hosts in one capture", HOSTS);
	*h = (struct captured_host){.captured = captured, .is_inside = is_inside};
	h->given = is_inside ? FIRST_INSIDE + r->n_inside++ : FIRST_OUTSIDE + r->n_outside++;
	return h;
}

static bool is_group(uint32_t a)
{
	return a >> 28 >= 0xe || a == 0;
}

/* A capture on one host has both ends at one address: the second one counts as another. */
static void part_ends(struct run *r, uint16_t src_port, uint32_t *src, uint32_t *dst)
{
	if (*src != *dst)
		return;
	if (r->loop_port == 0)
		r->loop_port = src_port;
	if (src_port == r->loop_port)
		*dst ^= 1u << 16;
	else
		*src ^= 1u << 16;
}

/* The two ends of a packet; one of a group of hosts stays as it is, and NULL. */
static void find_ends(struct run *r, uint32_t src, uint32_t dst, struct captured_host **from, struct captured_host **to)
{
	*from = is_group(src) ? NULL : find_host(r, src);
	*to = is_group(dst) ? NULL : find_host(r, dst);
	if (!*from && !is_group(src))
		*from = add_host(r, src, *to ? !(*to)->is_inside : r->way == INSIDE_FIRST);
	if (!*to && !is_group(dst))
		*to = add_host(r, dst, *from ? !(*from)->is_inside : r->way != INSIDE_FIRST);
}

/* ---- changing packets, with checksums as wrong or right as they were ---- */

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* RFC 1624 by the book, in arithmetic of its own. */
static void adjust(uint8_t *field, uint16_t before, uint16_t after)
{
	uint32_t sum = (uint16_t)~get16(field) + (uint32_t)(uint16_t)~before + after;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(field, (uint16_t)~sum);
}

/* An IP packet, perhaps a quoted one that is cut off. */
struct shape {
	uint8_t *ip, *l4;
	size_t len, l4_len;
	bool has_ports; /* and they are there */
	uint8_t *sum;	/* of the transport over the addresses; NULL: none, or not there */
	uint8_t *query; /* the id of an ICMP query */
	uint8_t *query_sum;
};

static bool shape_of(uint8_t *p, size_t len, struct shape *s)
{
	size_t ihl = len >= 20 ? (size_t)(p[0] & 15) * 4 : 0;
	size_t at = 0;

	if (ihl < 20 || ihl > len)
		return false;
	*s = (struct shape){.ip = p, .l4 = p + ihl, .len = len, .l4_len = len - ihl};
	if ((get16(p + 6) & 0x1fff) != 0)
		return true;
	s->has_ports = (p[9] == TCP || p[9] == UDP || p[9] == UDPLITE || p[9] == DCCP) && s->l4_len >= 4;
	at = p[9] == TCP ? 16 : p[9] == DCCP || p[9] == UDP || p[9] == UDPLITE ? 6 : 0;
	if (at != 0 && s->l4_len >= at + 2 && !(p[9] == UDP && get16(s->l4 + at) == 0))
		s->sum = s->l4 + at;
	if (p[9] == ICMP && s->l4_len >= 8 && (s->l4[0] == 0 || s->l4[0] == 8 || s->l4[0] == 13 || s->l4[0] == 14)) {
		s->query = s->l4 + 4;
		s->query_sum = s->l4 + 2;
	}
	return true;
}

static void change16(uint8_t *at, uint16_t to, uint8_t *sum, uint8_t *outer)
{
	uint16_t before = get16(at);

	put16(at, to);
	if (sum) {
		uint16_t old_sum = get16(sum);

		adjust(sum, before, to);
		if (outer)
			adjust(outer, old_sum, get16(sum));
	}
	if (outer)
		adjust(outer, before, to);
}

/* `outer`: the checksum of the ICMP error that quotes it. */
static void set_address(struct shape *s, size_t at, uint32_t to, uint8_t *outer)
{
	for (size_t k = 0; k < 4; k += 2) {
		uint16_t before = get16(s->ip + at + k), part = (uint16_t)(k == 0 ? to >> 16 : to);

		change16(s->ip + at + k, part, s->ip + 10, outer);
		if (s->sum) {
			uint16_t old_sum = get16(s->sum);

			adjust(s->sum, before, part);
			if (outer)
				adjust(outer, old_sum, get16(s->sum));
		}
	}
}

static void set_port(struct shape *s, size_t at, uint16_t to, uint8_t *outer)
{
	if (s->query)
		change16(s->query, to, s->query_sum, outer);
	else if (s->has_ports)
		change16(s->l4 + at, to, s->sum, outer);
}

static uint16_t port_of(const struct shape *s, size_t at)
{
	return s->query ? get16(s->query) : s->has_ports ? get16(s->l4 + at) : 0;
}

/* ---- flows ---- */

static struct flow *find_flow(struct run *r, uint8_t proto, uint32_t inside, uint16_t port)
{
	for (uint32_t i = r->n_flows; i > 0; i--) { /* the last one: mappings do not depend on the remote */
		struct flow *f = &r->flows[i - 1];

		if (f->proto == proto && f->inside == inside && f->port == port)
			return f;
	}
	return NULL;
}

static void learn(struct run *r, uint8_t proto, uint32_t inside, uint16_t port, uint16_t shown)
{
	struct flow *f = find_flow(r, proto, inside, port);

	if (!f) {
		ck_assert_uint_lt(r->n_flows, FLOWS);
		f = &r->flows[r->n_flows++];
	}
	*f = (struct flow){.proto = proto, .inside = inside, .port = port, .shown = shown};
}

/* ---- one packet ---- */

/* An error quotes a packet of the side that it goes to: with its addresses. */
static bool is_icmp_error(const struct shape *s)
{
	return s->ip[9] == ICMP && s->l4_len >= 28 && (get16(s->ip + 6) & 0x1fff) == 0 &&
	       (s->l4[0] == 3 || s->l4[0] == 11 || s->l4[0] == 12 || s->l4[0] == 4);
}

static void readdress_quote(struct run *r, struct shape *error, bool to_inside)
{
	struct captured_host *from, *to;
	struct flow *f;
	struct shape q;

	if (!shape_of(error->l4 + 8, error->l4_len - 8, &q))
		return;
	find_ends(r, get32(q.ip + 12), get32(q.ip + 16), &from, &to);
	if (!from || !to)
		return;
	f = to_inside ? find_flow(r, q.ip[9], from->given, port_of(&q, 0)) : NULL;
	set_address(&q, 12, to_inside ? (uint32_t)LAB_EXT : from->given, error->l4 + 2);
	set_address(&q, 16, to->given, error->l4 + 2);
	if (f)
		set_port(&q, 0, f->shown, error->l4 + 2);
}

/* As natd gets it. */
static void readdress(struct run *r, struct shape *s, const struct captured_host *from, const struct captured_host *to)
{
	bool to_inside = to && to->is_inside && from && !from->is_inside;
	struct flow *f = to_inside ? find_flow(r, s->ip[9], to->given, port_of(s, 2)) : NULL;

	if (is_icmp_error(s))
		readdress_quote(r, s, to_inside);
	if (from)
		set_address(s, 12, from->given, NULL);
	if (to)
		set_address(s, 16, to_inside ? (uint32_t)LAB_EXT : to->given, NULL);
	if (f)
		set_port(s, 2, f->shown, NULL);
}

/* natd may change the addresses, the port of the inside side, checksums, and an MSS that it clamps. */
static void compare(const struct run *r, struct shape *was, struct shape *is, const struct captured_host *from,
		    const struct captured_host *to)
{
	bool out = from->is_inside && !to->is_inside;
	size_t own = out ? 0 : 2, skip = was->ip[9] == TCP ? 60 : 28;

	ck_assert_uint_eq(is->len, was->len);
	ck_assert_uint_eq(get32(is->ip + 12), out ? (uint32_t)LAB_EXT : from->given);
	if (!out && r->way == OUTSIDE_FIRST && get32(is->ip + 16) == FIRST_INSIDE)
		ck_assert(to->is_inside); /* the default host also gets packets for others */
	else
		ck_assert_uint_eq(get32(is->ip + 16), to->given);
	ck_assert_uint_eq(is->ip[9], was->ip[9]);
	ck_assert_mem_eq(is->ip + 6, was->ip + 6, 2); /* flags and offset; the id is natd's */
	if (was->has_ports)
		ck_assert_uint_eq(get16(is->l4 + 2 - own), get16(was->l4 + 2 - own));
	if (is_icmp_error(was))
		return;
	if (get16(was->ip + 6) & 0x1fff || (!was->has_ports && !was->query))
		skip = 0;
	if (was->l4_len > skip)
		ck_assert_mem_eq(is->l4 + skip, was->l4 + skip, was->l4_len - skip);
}

static void send_one(struct run *r, const uint8_t *bytes, size_t len)
{
	static uint8_t given[BUILD_MAX + 1], wire[BUILD_MAX + 1];
	const struct lab_out *o;
	struct captured_host *from, *to;
	struct shape s, out;
	uint32_t src, dst;
	uint16_t port;

	memcpy(given, bytes, len);
	if (!shape_of(given, len, &s)) {
		lab_send(r->lab, given, len);
		r->sent++;
		return;
	}
	src = get32(given + 12);
	dst = get32(given + 16);
	port = port_of(&s, 0);
	part_ends(r, port, &src, &dst);
	find_ends(r, src, dst, &from, &to);
	readdress(r, &s, from, to);
	memcpy(wire, given, len);
	lab_send(r->lab, wire, len);
	r->sent++;
	if (!from || !to || from->is_inside == to->is_inside || r->lab->n_out != 1 || r->lab->out[0].to == NAT_TO_HOST)
		return;
	o = &r->lab->out[0];
	if (o->to != (from->is_inside ? NAT_TO_OUTSIDE : NAT_TO_INSIDE)) /* natd's own answer to the sender */
		return;
	memcpy(wire, o->bytes, o->len);
	ck_assert(shape_of(wire, o->len, &out));
	compare(r, &s, &out, from, to);
	if (from->is_inside)
		learn(r, s.ip[9], from->given, port, port_of(&out, 0));
	r->passed++;
}

/* ---- one capture ---- */

static void add_default_host(struct lab *l)
{
	l->forwards[0] = (struct nat_forward){.name = "all",
					      .protocols = (1 << CLASS_COUNT) - 1,
					      .is_default = true,
					      .ports = {0, UINT16_MAX},
					      .to = FIRST_INSIDE};
	l->policy.n_forwards = 1;
}

static uint64_t named(const struct lab *l)
{
	const uint64_t *c = nat_counters(l->nat);
	uint64_t sum = c[COUNT_OUT_PACKETS] + c[COUNT_IN_PACKETS] + c[COUNT_HAIRPIN] + c[COUNT_TO_HOST];

	for (int i = NAT_PASS + 1; i < COUNT_OUT_PACKETS; i++)
		sum += c[i];
	return sum;
}

static void print_drops(const struct lab *l)
{
	const char *space = "\t";

	for (int i = NAT_PASS + 1; i < COUNT_OUT_PACKETS; i++) {
		if (nat_counters(l->nat)[i] > 0) {
			printf("%s%s=%llu", space, nat_reason_name((enum nat_reason)i),
			       (unsigned long long)nat_counters(l->nat)[i]);
			space = " ";
		}
	}
}

/* Packets that passed. */
static uint32_t replay(const char *name, const char *data, size_t len, enum way way, bool wants_drops)
{
	struct run *r = calloc(1, sizeof(*r));
	uint32_t first_s = 0, passed;
	size_t at = 24;

	ck_assert_ptr_nonnull(r);
	r->way = way;
	r->lab = lab_new();
	r->lab->bad_checksums_expected = true; /* some captures have them, or were made before offloading */
	if (way == OUTSIDE_FIRST)
		add_default_host(r->lab);
	lab_start(r->lab);
	ck_assert_uint_eq(little(data + 20), 228);
	while (at + 16 <= len) {
		uint32_t s = little(data + at), size = little(data + at + 8);
		uint64_t ms;

		first_s = first_s == 0 ? s : first_s;
		ms = s < first_s ? 0 : (uint64_t)(s - first_s) * 1000 + little(data + at + 4) / 1000;
		if (1000000 + ms > r->lab->now_ms && ms < CALM_MS)
			r->lab->now_ms = 1000000 + ms;
		ck_assert(at + 16 + size <= len && size <= BUILD_MAX);
		send_one(r, (const uint8_t *)data + at + 16, size);
		at += 16 + size;
	}
	lab_advance(r->lab, CALM_MS); /* fragments that waited have died, too */
	ck_assert_msg(named(r->lab) == r->sent, "%s: %llu sent, %llu delivered or named", name,
		      (unsigned long long)r->sent, (unsigned long long)named(r->lab));
	ck_assert_uint_eq(lab_sessions(r->lab), 0);
	passed = (uint32_t)r->passed;
	if (wants_drops)
		print_drops(r->lab);
	lab_free(r->lab);
	free(r);
	return passed;
}

START_TEST(test_captures_pass_as_written_down)
{
	const char *wants_new = getenv("NATD_REPLAY_RECORD");
	size_t len, size;
	char *list = read_whole("corpus.tsv", &len), *save = NULL;
	unsigned seen = 0;

	for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned packets, want[WAYS], got[WAYS];
		char name[64], path[96];
		char *data;

		if (line[0] == '#')
			continue;
		ck_assert_msg(sscanf(line, "%63s %u %u %u", name, &packets, &want[0], &want[1]) == 4, "%s", line);
		snprintf(path, sizeof(path), "corpus/%s.pcap", name);
		data = read_whole(path, &size);
		for (int way = 0; way < WAYS; way++)
			got[way] = replay(name, data, size, (enum way)way, false);
		if (wants_new) {
			printf("%s\t%u\t%u\t%u", name, packets, got[0], got[1]);
			replay(name, data, size, INSIDE_FIRST, true);
			printf("\n");
			fflush(stdout);
		}
		free(data);
		if (!wants_new)
			ck_assert_msg(got[0] == want[0] && got[1] == want[1],
				      "%s: %u and %u passed, expected %u and %u", name, got[0], got[1], want[0],
				      want[1]);
		seen++;
	}
	ck_assert_uint_ge(seen, 40);
	free(list);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("replay");
	TCase *t = tcase_create("captures");

	tcase_add_test(t, test_captures_pass_as_written_down);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
