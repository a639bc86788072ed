/* SPDX-License-Identifier: ISC */
/*
 * Fragments through the whole core (RFC 4787 REQ-14, RFC 6864): a datagram in pieces leaves as the same datagram in
 * pieces, put together here by plain copying and checked by its transport checksum.
 *
 * Names tell where a scenario comes from: vpp (frag_in_order, frag_out_of_order, reass_hairpinning), pf
 * (fragmentation_compat.sh, OpenBSD's pf_fragment), nft_nat (the kernel's selftest).
 */
#include <check.h>
#include <string.h>

#include "natlab.h"
#include "unit.h"

enum { PORT = 5000, SERVER_PORT = 7, DATA = 4096, PIECE = 1480, PIECES_MAX = 64 };

static struct lab *lab;

static void setup(void)
{
	lab = lab_new();
}

static void teardown(void)
{
	lab_free(lab);
}

/* ---- a datagram in pieces ---- */

struct pieces {
	uint8_t whole[BUILD_MAX + 1];
	size_t len;
	uint8_t piece[PIECES_MAX][BUILD_MAX + 1];
	size_t piece_len[PIECES_MAX];
	unsigned n;
};

static struct pieces *sent, *sent_too; /* too large for the stack */

static void setup_pieces(void)
{
	setup();
	sent = calloc(1, sizeof(*sent));
	sent_too = calloc(1, sizeof(*sent_too));
	ck_assert(sent && sent_too);
}

static void teardown_pieces(void)
{
	free(sent);
	free(sent_too);
	teardown();
}

static void cut(struct pieces *p, const struct build *b, size_t piece)
{
	size_t payload;

	p->len = build_packet(p->whole, b);
	payload = p->len - 20;
	p->n = 0;
	for (size_t at = 0; at < payload; at += piece) {
		size_t n = payload - at < piece ? payload - at : piece;

		ck_assert_uint_lt(p->n, PIECES_MAX);
		p->piece_len[p->n] = build_fragment(p->piece[p->n], p->whole, at, n);
		p->n++;
	}
}

/* The emitted pieces, put together. */
struct glued {
	uint8_t whole[BUILD_MAX + 1];
	size_t got;   /* payload bytes */
	size_t total; /* payload bytes of the datagram; 0: last piece not seen */
	unsigned pieces;
	uint16_t id;
	uint8_t to;
};

static void glue(struct glued *g, const struct lab_out *o)
{
	const struct pkt_view *v = &o->v;
	size_t n = v->len - v->ihl;

	if (g->pieces++ == 0) {
		g->id = v->id;
		g->to = o->to;
	}
	ck_assert_uint_eq(v->id, g->id);
	ck_assert_uint_eq(o->to, g->to);
	ck_assert_uint_eq(v->ihl, 20);
	if (v->frag_offset == 0)
		memcpy(g->whole, o->bytes, 20);
	memcpy(g->whole + 20 + v->frag_offset, o->bytes + 20, n);
	g->got += n;
	if (!v->more_fragments)
		g->total = v->frag_offset + n;
}

static void glue_all(struct glued *g)
{
	for (uint32_t i = 0; i < lab->n_out; i++)
		glue(g, &lab->out[i]);
}

/* It is all there, every checksum is right, and behind the transport header nothing has changed. */
static void expect_whole(struct glued *g, const struct pieces *p, struct pkt_view *v)
{
	size_t header = 20 + (p->whole[9] == 6 ? 20 : 8);

	ck_assert_uint_ne(g->total, 0);
	ck_assert_uint_eq(g->got, g->total);
	ck_assert_uint_eq(g->total + 20, p->len);
	ck_assert_mem_eq(g->whole + header, p->whole + header, p->len - header);
	store16(g->whole + 2, (uint16_t)p->len);
	store16(g->whole + 6, 0);
	build_fix_ip(g->whole);
	build_ck_verify(g->whole, p->len);
	ck_assert_int_eq(packet_parse(g->whole, p->len, false, v), NAT_PASS);
}

static void send_piece(const struct pieces *p, unsigned i)
{
	lab_send(lab, p->piece[i], p->piece_len[i]);
}

/* Sends the pieces in an order: 0 as they are, 1 reversed, 2 the middle first. */
static void send_all(const struct pieces *p, int order, struct glued *g)
{
	for (unsigned i = 0; i < p->n; i++) {
		unsigned k = order == 1 ? p->n - 1 - i : order == 2 ? (i + p->n / 2) % p->n : i;

		send_piece(p, k);
		for (int r = DROP_SHORT; r < COUNT_OUT_PACKETS; r++)
			ck_assert_uint_eq(lab_delta(lab, (enum nat_reason)r), 0);
		glue_all(g);
	}
}

static struct build datagram(uint8_t proto, uint32_t src, uint32_t dst)
{
	return (struct build){
		.proto = proto,
		.src = src,
		.dst = dst,
		.sport = PORT,
		.dport = SERVER_PORT,
		.icmp_type = 8,
		.flags = TCP_SYN,
		.seq = 1000,
		.window = 60000,
		.id = 77,
		.payload_len = DATA,
	};
}

static const uint8_t protos[] = {17, 6, 1};
enum { PROTOS = 3, ORDERS = 3 };

/* ---- both directions, any order ---- */

START_TEST(test_vpp_frag_both_directions_4787_14)
{
	uint8_t proto = protos[_i / ORDERS];
	struct build b = datagram(proto, LAB_A, LAB_S1);
	struct glued *g = calloc(1, sizeof(*g));
	struct pkt_view v;

	lab_start(lab);
	cut(sent, &b, PIECE);
	ck_assert_uint_eq(sent->n, 3);
	send_all(sent, _i % ORDERS, g);
	expect_whole(g, sent, &v);
	ck_assert_uint_eq(g->to, NAT_TO_OUTSIDE);
	ck_assert_uint_eq(v.src, LAB_EXT);
	ck_assert_uint_eq(v.dst, LAB_S1);
	ck_assert_uint_eq(lab_sessions(lab), 1);

	b = datagram(proto, LAB_S1, LAB_EXT);
	b.sport = proto == 1 ? v.sport : SERVER_PORT;
	b.dport = v.sport;
	b.icmp_type = 0;
	b.flags = TCP_SYN | TCP_ACK;
	b.ack = 1001 + DATA;
	memset(g, 0, sizeof(*g));
	cut(sent, &b, PIECE);
	send_all(sent, _i % ORDERS, g);
	expect_whole(g, sent, &v);
	ck_assert_uint_eq(g->to, NAT_TO_INSIDE);
	ck_assert_uint_eq(v.dst, LAB_A);
	ck_assert_uint_eq(v.dport, PORT);
	free(g);
}
END_TEST

/* Fragments whose first one was seen count for their session. */
START_TEST(test_fragments_are_counted_with_their_session)
{
	struct build b = datagram(17, LAB_A, LAB_S1);
	struct glued *g = calloc(1, sizeof(*g));
	uint32_t cursor = 0;

	lab_start(lab);
	cut(sent, &b, PIECE);
	send_all(sent, _i, g);
	const struct session *s = table_next(nat_table(lab->nat), &cursor, UINT32_MAX);

	ck_assert_uint_eq(s->packets[DIR_OUT], 3);
	ck_assert_uint_eq(s->bytes[DIR_OUT], DATA + 8 + 3 * 20);
	free(g);
}
END_TEST

/* VPP reass_hairpinning. */
START_TEST(test_vpp_reass_hairpinning_4787_14_9)
{
	uint8_t proto = _i / ORDERS == 0 ? 17 : 6;
	struct glued *g = calloc(1, sizeof(*g));
	struct build b = datagram(proto, LAB_A, LAB_EXT);
	struct pkt_view v;

	lab->policy.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	lab_start(lab);
	b.dport = proto == 17 ? lab_udp_out(lab, LAB_B, 6000, LAB_S1, 7) : lab_syn_out(lab, LAB_B, 6000, LAB_S1, 7);
	cut(sent, &b, PIECE);
	send_all(sent, _i % ORDERS, g);
	expect_whole(g, sent, &v);
	ck_assert_uint_eq(g->to, NAT_TO_INSIDE);
	ck_assert_uint_eq(v.src, LAB_EXT);
	ck_assert_uint_ne(v.sport, 0);
	ck_assert_uint_eq(v.dst, LAB_B);
	ck_assert_uint_eq(v.dport, 6000);
	free(g);
}
END_TEST

/* Two datagrams of one host, their pieces in turns, one of them backwards. */
START_TEST(test_4787_14_two_datagrams_interleaved)
{
	struct build b = datagram(17, LAB_A, LAB_S1);
	struct glued *one = calloc(2, sizeof(*one)), *two = one + 1;
	struct pkt_view v;

	lab_start(lab);
	cut(sent, &b, PIECE);
	b.id = 78;
	b.payload_len = DATA + 100;
	cut(sent_too, &b, PIECE);
	for (unsigned i = 0; i < 3; i++) {
		send_piece(sent, i);
		glue_all(one);
		send_piece(sent_too, 2 - i);
		glue_all(two);
	}
	expect_whole(one, sent, &v);
	expect_whole(two, sent_too, &v);
	ck_assert_uint_ne(one->id, two->id);
	free(one);
}
END_TEST

/* Two hosts, one server, the same IP id, at the same time: outside they must not mix (RFC 6864 5.3.1, RFC 7857 10). */
START_TEST(test_4787_14_6864_5_3_1_7857_10_same_id_from_two_hosts)
{
	struct build b = datagram(17, LAB_A, LAB_S1);
	struct glued *one = calloc(2, sizeof(*one)), *two = one + 1;
	struct pkt_view v;

	lab_start(lab);
	cut(sent, &b, PIECE);
	b.src = LAB_B;
	cut(sent_too, &b, PIECE);
	for (unsigned i = 0; i < 3; i++) {
		unsigned k = _i ? 2 - i : i;

		send_piece(sent, k);
		glue_all(one);
		send_piece(sent_too, k);
		glue_all(two);
	}
	expect_whole(one, sent, &v);
	expect_whole(two, sent_too, &v);
	ck_assert_uint_ne(one->id, two->id);
	free(one);
}
END_TEST

/* ---- IP ids ---- */

/* A packet that may be cut on its way has an id of natd's own: no two of the last thirty thousand to one destination
 * are equal. */
START_TEST(test_6864_5_3_1_ids_of_non_atomic_datagrams_are_unique)
{
	static uint8_t seen[65536];

	lab->skip_check = true;
	lab_start(lab);
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 30000; i++) {
		LAB_SEND(lab, .proto = 17, .src = i & 1 ? LAB_A : LAB_B, .dst = LAB_S1, .sport = PORT,
			 .dport = SERVER_PORT, .id = (uint16_t)(i / 2), .payload_len = 8);
		uint16_t id = lab_one(lab, NAT_TO_OUTSIDE)->v.id;

		ck_assert_msg(!seen[id], "id %u again after %d packets", id, i);
		seen[id] = 1;
	}
}
END_TEST

/* ... and each destination begins elsewhere, so that no host can count others' packets by its own. */
START_TEST(test_7857_10_ids_of_one_destination_tell_nothing_about_another)
{
	unsigned near = 0;

	lab_start(lab);
	for (uint32_t i = 0; i < 64; i++) {
		uint16_t ids[2];

		for (uint32_t k = 0; k < 2; k++) {
			LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1 + 2 * i + k, .sport = PORT,
				 .dport = SERVER_PORT, .payload_len = 8);
			ids[k] = lab_one(lab, NAT_TO_OUTSIDE)->v.id;
		}
		near += (uint16_t)(ids[1] - ids[0] + 50) <= 100;
	}
	ck_assert_uint_le(near, 4);
}
END_TEST

static uint16_t id_of(uint32_t from, uint32_t to)
{
	LAB_SEND(lab, .proto = 17, .src = from, .dst = to, .sport = PORT, .dport = SERVER_PORT, .payload_len = 8);
	return lab_one(lab, NAT_TO_OUTSIDE)->v.id;
}

/* Fault 39: what B sends to V shows in the ids of none of A's destinations. */
START_TEST(test_7857_10_fault_39_ids_do_not_count_others_datagrams)
{
	enum { DESTINATIONS = 6000, DATAGRAMS = 5 };
	unsigned told = 0;

	lab->skip_check = true;
	lab_start(lab);
	for (uint32_t i = 0; i < DESTINATIONS; i++) {
		uint32_t probe = BUILD_IP(192, 0, 0, 0) + i;
		uint16_t before = id_of(LAB_A, probe);

		for (unsigned k = 0; k < DATAGRAMS; k++)
			id_of(LAB_B, LAB_S1);
		told += (uint16_t)(id_of(LAB_A, probe) - before) == DATAGRAMS + 1;
	}
	ck_assert_uint_eq(told, 0);
}
END_TEST

/* ... and a scan of many destinations does not make a busy one begin again. */
START_TEST(test_6864_5_3_1_scan_leaves_a_busy_destination_its_ids)
{
	uint16_t last;

	lab->skip_check = true;
	lab_start(lab);
	last = id_of(LAB_A, LAB_S1);
	for (uint32_t i = 0; i < 20000; i++) {
		uint16_t id;

		id_of(LAB_B, BUILD_IP(192, 0, 0, 0) + i);
		if (i % 256 != 0)
			continue;
		id = id_of(LAB_A, LAB_S1);
		ck_assert_uint_eq(id, (uint16_t)(last + 1));
		last = id;
	}
}
END_TEST

/* A super-packet of datagrams stands for as many ids as the kernel makes of it. */
START_TEST(test_6864_5_3_1_super_packet_takes_an_id_for_each_datagram)
{
	uint16_t id;

	lab_start(lab);
	id = id_of(LAB_A, LAB_S1);
	lab->gso_size = 1000;
	lab->csum_partial = true;
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT,
		 .payload_len = 4500);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.id, (uint16_t)(id + 1));
	lab->gso_size = 0;
	lab->csum_partial = false;
	ck_assert_uint_eq(id_of(LAB_A, LAB_S1), (uint16_t)(id + 6));
}
END_TEST

START_TEST(test_6864_5_3_1_atomic_datagrams_keep_theirs)
{
	lab_start(lab);
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = PORT, .dport = SERVER_PORT, .id = 4711,
		 .df = true);
	ck_assert_uint_eq(lab_one(lab, NAT_TO_OUTSIDE)->v.id, 4711);
}
END_TEST

/* ---- fragments that the way out is too small for ---- */

/* Fragments are cut further (RFC 791): everything arrives, nothing is longer than the MTU. */
START_TEST(test_pf_fragment_cut_further_4787_13a_14)
{
	struct build b = datagram(17, LAB_A, LAB_S1);
	struct glued *g = calloc(1, sizeof(*g));
	struct pkt_view v;

	lab->policy.outside_mtu = 600;
	lab_start(lab);
	cut(sent, &b, PIECE);
	send_all(sent, _i, g);
	expect_whole(g, sent, &v);
	ck_assert_uint_eq(g->pieces, 3 + 3 + 2);
	free(g);
}
END_TEST

/* With DF: the first one is answered, the others follow its fate. */
START_TEST(test_4787_13_fragments_with_df_are_answered_once)
{
	struct build b = datagram(17, LAB_A, LAB_S1);

	lab->policy.outside_mtu = 1300;
	lab_start(lab);
	cut(sent, &b, PIECE);
	for (unsigned i = 0; i < sent->n; i++) {
		sent->piece[i][6] |= 0x40;
		build_fix_ip(sent->piece[i]);
	}
	send_piece(sent, 0);
	ck_assert_uint_eq(load16(lab_dropped_with_icmp(lab, DROP_TOO_BIG, 3, 4)->v.l4 + 6), 1300);
	send_piece(sent, 1);
	lab_dropped(lab, DROP_FRAGMENT_REFUSED);
	send_piece(sent, 2);
	lab_dropped(lab, DROP_FRAGMENT_REFUSED);
}
END_TEST

/* DF and fragments that fit: nothing wrong with that (RFC 6864 4.1 calls them non-atomic). */
START_TEST(test_6864_5_3_1_fragments_with_df_pass)
{
	struct build b = datagram(17, LAB_A, LAB_S1);
	struct glued *g = calloc(1, sizeof(*g));
	struct pkt_view v;

	lab_start(lab);
	cut(sent, &b, PIECE);
	for (unsigned i = 0; i < sent->n; i++) {
		sent->piece[i][6] |= 0x40;
		build_fix_ip(sent->piece[i]);
	}
	send_all(sent, _i, g);
	expect_whole(g, sent, &v);
	free(g);
}
END_TEST

/* ---- the host's own ---- */

/* A shared address, a port of the host's: handed back untouched, whatever the order. */
START_TEST(test_fragments_of_the_hosts_own_are_handed_back)
{
	struct build b = datagram(17, LAB_S1, LAB_EXT);
	unsigned order[3] = {0, 1, 2}, seen = 0;

	if (_i)
		memcpy(order, (unsigned[]){2, 1, 0}, sizeof(order));
	lab->addresses[0].shared = true;
	lab_start(lab);
	b.dport = 53;
	cut(sent, &b, PIECE);
	for (unsigned i = 0; i < 3; i++) {
		send_piece(sent, order[i]);
		for (uint32_t k = 0; k < lab->n_out; k++) {
			const struct lab_out *o = &lab->out[k];
			unsigned at = o->v.frag_offset / PIECE;

			ck_assert_int_eq(o->to, NAT_TO_HOST);
			ck_assert_uint_eq(o->len, sent->piece_len[at]);
			ck_assert_mem_eq(o->bytes, sent->piece[at], o->len);
			seen |= 1u << at;
		}
	}
	ck_assert_uint_eq(seen, 7);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* ---- refused ---- */

START_TEST(test_fragments_that_nothing_asked_for)
{
	struct build b = datagram(17, LAB_S1, LAB_EXT);

	b.dport = 4000;
	lab_start(lab);
	cut(sent, &b, PIECE);
	send_piece(sent, 1);
	ck_assert_uint_eq(lab_delta(lab, COUNT_FRAGMENT_HELD), 1);
	ck_assert_uint_eq(lab->n_out, 0);
	send_piece(sent, 0);
	ck_assert_uint_eq(lab->n_out, 0);
	ck_assert_uint_eq(lab_delta(lab, DROP_UNSOLICITED), 1);
	ck_assert_uint_eq(lab_delta(lab, DROP_FRAGMENT_REFUSED), 1);
	send_piece(sent, 2);
	lab_dropped(lab, DROP_FRAGMENT_REFUSED);
}
END_TEST

START_TEST(test_held_fragment_times_out)
{
	struct build b = datagram(17, LAB_A, LAB_S1);

	lab_start(lab);
	cut(sent, &b, PIECE);
	send_piece(sent, 1);
	lab_advance(lab, 4000);
	ck_assert_uint_eq(lab_delta(lab, DROP_FRAGMENT_TIMEOUT), 0);
	lab_advance(lab, 3000);
	ck_assert_uint_eq(lab_delta(lab, DROP_FRAGMENT_TIMEOUT), 1);
	send_piece(sent, 0);
	ck_assert_uint_eq(lab->n_out, 1);
}
END_TEST

/* FreeBSD pf: overlaps kill the datagram, whichever way they lie. */
START_TEST(test_pf_fragmentation_overlap)
{
	static const struct {
		unsigned offset, len;
	} overlaps[] = {{8, 800}, {792, 16}, {0, 1600}, {400, 2000}};
	struct build b = datagram(17, LAB_A, LAB_S1);
	uint8_t p[BUILD_MAX];

	lab_start(lab);
	cut(sent, &b, 800);
	send_piece(sent, 0);
	ck_assert_uint_eq(lab->n_out, 1);
	send_piece(sent, 1);
	ck_assert_uint_eq(lab->n_out, 1);
	lab_send(lab, p, build_fragment(p, sent->whole, overlaps[_i].offset, overlaps[_i].len));
	lab_dropped(lab, DROP_FRAGMENT_OVERLAP);
	send_piece(sent, 2);
	ck_assert_uint_eq(lab->n_out, 0);
}
END_TEST

static const struct {
	const char *what;
	uint16_t field; /* flags and offset in units of 8 */
	uint8_t proto;
	size_t payload; /* bytes behind the IP header */
	enum nat_reason why;
} bad_forms[] = {
	{"first one without ports", 0x2000, 17, 0, DROP_FRAGMENT_TINY},
	{"first one with ports only", 0x2000, 6, 8, DROP_FRAGMENT_TINY},
	{"first one without its TCP options", 0x2000, 6, 16, DROP_FRAGMENT_TINY},
	{"TCP at offset 8 (RFC 3128)", 0x2001, 6, 16, DROP_FRAGMENT_TINY},
	{"empty last one", 0x0010, 17, 0, DROP_FRAGMENT_TINY},
	{"not a multiple of 8", 0x2010, 17, 27, DROP_FRAGMENT_ALIGN},
	{"beyond 65535 (ping of death)", 0x1fff, 17, 40, DROP_FRAGMENT_OVERSIZE},
	{"beyond 65535, more to follow", 0x3ffe, 1, 48, DROP_FRAGMENT_OVERSIZE},
};

START_TEST(test_c2_11_malformed_fragments)
{
	struct build b = {.proto = 253, .src = LAB_A, .dst = LAB_S1, .payload_len = bad_forms[_i].payload};
	uint8_t p[200];
	size_t len = build_packet(p, &b);

	lab_start(lab);
	p[9] = bad_forms[_i].proto;
	store16(p + 6, bad_forms[_i].field);
	build_fix_ip(p);
	lab_send(lab, p, len);
	ck_assert_msg(lab_delta(lab, bad_forms[_i].why) == 1, "%s", bad_forms[_i].what);
	lab_dropped(lab, bad_forms[_i].why);
	ck_assert_uint_eq(lab_sessions(lab), 0);
}
END_TEST

/* ---- ICMP errors about them ---- */

/* The quote is a first fragment: more to follow, a UDP length and a checksum beyond what is there. */
START_TEST(test_5508_4_error_about_a_first_fragment)
{
	struct build b = datagram(17, LAB_A, LAB_S1);
	struct build e = {.src = LAB_R, .dst = LAB_EXT, .icmp_type = 11, .icmp_code = 1};
	uint8_t p[2000], seen[2000];
	struct pkt_view q;
	size_t len;

	lab_start(lab);
	cut(sent, &b, PIECE);
	send_piece(sent, 0);
	memcpy(seen, lab->out[0].bytes, len = lab->out[0].len);
	lab_send(lab, p, build_icmp_error(p, &e, seen, _i ? 28 : 548));
	const struct lab_out *o = lab_one(lab, NAT_TO_INSIDE);

	ck_assert_uint_eq(o->v.dst, LAB_A);
	ck_assert_int_eq(packet_parse_quote(&o->v, &q), NAT_PASS);
	ck_assert_uint_eq(q.src, LAB_A);
	ck_assert_uint_eq(q.sport, PORT);
	ck_assert(q.more_fragments);
	send_piece(sent, 1);
	memcpy(seen, lab->out[0].bytes, len = lab->out[0].len);
	lab_send(lab, p, build_icmp_error(p, &e, seen, 548));
	lab_dropped(lab, DROP_ICMP_QUOTE);
}
END_TEST

/* ---- floods ---- */

static void flood(uint32_t from, uint16_t id)
{
	uint8_t whole[2000], p[2000];

	BUILD(whole, .proto = 17, .src = from, .dst = LAB_EXT, .sport = 1, .dport = 2, .id = id, .payload_len = 200);
	lab_send(lab, p, build_fragment(p, whole, 64, 80));
}

/* Twenty thousand halves of datagrams: memory bounded, whole packets untouched, fragments in order bounded in loss
 * (here: none), fair between sources. */
START_TEST(test_4787_14a_flood_of_halves)
{
	struct build b = datagram(17, LAB_S1, LAB_EXT);
	struct glued *g = calloc(1, sizeof(*g));
	uint64_t held = 0, full = 0, quota = 0;
	struct pkt_view v;

	lab->skip_check = true;
	lab_start(lab);
	b.sport = SERVER_PORT;
	b.dport = lab_udp_out(lab, LAB_A, PORT, LAB_S1, SERVER_PORT);
	for (uint32_t i = 0; i < 20000; i++) {
		/* one source for half of it, then one each */
		flood(i < 10000 ? LAB_S2 : BUILD_IP(100, 64, 0, 0) + i, (uint16_t)i);
		held += lab_delta(lab, COUNT_FRAGMENT_HELD);
		full += lab_delta(lab, DROP_FRAGMENT_FULL);
		quota += lab_delta(lab, DROP_FRAGMENT_QUOTA);
		if (i % 500 != 0)
			continue;
		LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = SERVER_PORT, .dport = b.dport,
			 .payload_len = 100);
		lab_one(lab, NAT_TO_INSIDE);
		b.id++;
		memset(g, 0, sizeof(*g));
		cut(sent, &b, PIECE);
		send_all(sent, 0, g);
		expect_whole(g, sent, &v);
		lab_advance(lab, 50);
		ck_assert_ptr_null(nat_check(lab->nat));
	}
	ck_assert_uint_gt(quota, 0);
	ck_assert_uint_gt(full, 0);
	ck_assert_uint_gt(held, 100);
	free(g);
}
END_TEST

/* While one source floods, another's datagram that comes in the wrong order is still put right. */
START_TEST(test_4787_14a_flood_by_one_source_leaves_room_for_others)
{
	struct build b = datagram(17, LAB_S1, LAB_EXT);
	struct glued *g = calloc(1, sizeof(*g));
	struct pkt_view v;

	lab->skip_check = true;
	lab_start(lab);
	b.sport = SERVER_PORT;
	b.dport = lab_udp_out(lab, LAB_A, PORT, LAB_S1, SERVER_PORT);
	for (uint32_t i = 0; i < 5000; i++)
		flood(LAB_S2, (uint16_t)i);
	ck_assert_uint_eq(lab_delta(lab, DROP_FRAGMENT_QUOTA), 1);
	cut(sent, &b, PIECE);
	send_all(sent, 1, g);
	expect_whole(g, sent, &v);
	free(g);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const TTest *test;
		int loops;
	} tests[] = {
		{test_vpp_frag_both_directions_4787_14, PROTOS * ORDERS},
		{test_fragments_are_counted_with_their_session, ORDERS},
		{test_vpp_reass_hairpinning_4787_14_9, 2 * ORDERS},
		{test_4787_14_two_datagrams_interleaved, 1},
		{test_4787_14_6864_5_3_1_7857_10_same_id_from_two_hosts, 2},
		{test_6864_5_3_1_ids_of_non_atomic_datagrams_are_unique, 1},
		{test_7857_10_ids_of_one_destination_tell_nothing_about_another, 1},
		{test_7857_10_fault_39_ids_do_not_count_others_datagrams, 1},
		{test_6864_5_3_1_scan_leaves_a_busy_destination_its_ids, 1},
		{test_6864_5_3_1_super_packet_takes_an_id_for_each_datagram, 1},
		{test_6864_5_3_1_atomic_datagrams_keep_theirs, 1},
		{test_pf_fragment_cut_further_4787_13a_14, ORDERS},
		{test_4787_13_fragments_with_df_are_answered_once, 1},
		{test_6864_5_3_1_fragments_with_df_pass, ORDERS},
		{test_fragments_of_the_hosts_own_are_handed_back, 2},
		{test_fragments_that_nothing_asked_for, 1},
		{test_held_fragment_times_out, 1},
		{test_pf_fragmentation_overlap, 4},
		{test_c2_11_malformed_fragments, sizeof(bad_forms) / sizeof(bad_forms[0])},
		{test_5508_4_error_about_a_first_fragment, 2},
		{test_4787_14a_flood_of_halves, 1},
		{test_4787_14a_flood_by_one_source_leaves_room_for_others, 1},
	};
	Suite *s = suite_create("nat_fragment");
	TCase *tc = tcase_create("fragment");

	tcase_add_checked_fixture(tc, setup_pieces, teardown_pieces);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(tc, tests[i].test, 0, tests[i].loops);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
