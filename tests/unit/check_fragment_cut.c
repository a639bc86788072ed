/* SPDX-License-Identifier: ISC */
/*
 * Cutting packets for a smaller MTU (RFC 791): reassembling the pieces, in the slow and obvious way, gives the packet
 * that went in, and each piece is what a router may send.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "core/fragment/fragment.h"
#include "core/packet/packet.h"
#include "unit.h"

enum { PIECES_MAX = 8192 };

struct pieces {
	unsigned n;
	unsigned mtu;
	uint8_t payload[BUILD_MAX + 1];
	unsigned begin, end;   /* payload bytes, from the packet's own offset */
	uint8_t header[2][60]; /* of the first piece and of the others */
	unsigned header_len[2];
	unsigned lens[PIECES_MAX];
	unsigned offsets[PIECES_MAX];
	bool last_more;
	size_t expected; /* offset of the next piece */
};

static void take_piece(void *ctx, uint8_t *data, size_t len)
{
	struct pieces *p = ctx;
	unsigned ihl = (data[0] & 15) * 4u, which = p->n > 0;
	unsigned offset = (unsigned)(load16(data + 6) & 0x1fff) * 8;
	const char *wrong = build_verify(data, len);

	ck_assert_msg(!wrong, "%s", wrong ? wrong : "");
	ck_assert_uint_le(len, p->mtu);
	ck_assert_uint_eq(load16(data + 2), len);
	ck_assert(p->n == 0 || p->last_more);
	ck_assert(p->n == 0 || offset == p->expected); /* in order, no gap (4787-13a) */
	p->last_more = load16(data + 6) & 0x2000;
	if (p->last_more)
		ck_assert_uint_eq((len - ihl) % 8, 0);
	if (p->n == 0)
		p->begin = offset;
	if (p->n < 2) {
		p->header_len[which] = ihl;
		memcpy(p->header[which], data, ihl);
	}
	ck_assert_uint_eq(ihl, p->header_len[which]);
	memcpy(p->payload + offset, data + ihl, len - ihl);
	p->lens[p->n] = (unsigned)len;
	p->offsets[p->n++] = offset;
	p->expected = p->end = offset + (unsigned)len - ihl;
	memset(data, 0xee, len); /* whatever the receiver does with its bytes */
}

static struct pieces *cut(const uint8_t *packet, size_t len, uint16_t mtu)
{
	static struct pieces p;
	uint8_t *copy = malloc(len); /* exact: one byte too far is seen */
	struct pkt_view v;

	memset(&p, 0, sizeof(p));
	p.mtu = mtu;
	memcpy(copy, packet, len);
	ck_assert_int_eq(packet_parse(copy, len, false, &v), NAT_PASS);
	ck_assert_uint_eq(fragment_cut(&v, mtu, take_piece, &p), p.n);
	free(copy);
	return &p;
}

static void check_whole(const struct pieces *p, const uint8_t *packet, size_t len)
{
	unsigned ihl = (packet[0] & 15) * 4u;

	ck_assert_uint_gt(p->n, 1);
	ck_assert_uint_eq(p->end - p->begin, len - ihl);
	ck_assert_mem_eq(p->payload + p->begin, packet + ihl, len - ihl);
	ck_assert_uint_eq(p->header_len[0], ihl);
	ck_assert_mem_eq(p->header[0] + 20, packet + 20, ihl - 20); /* the first keeps every option */
	for (int i = 0; i < 2; i++) {
		ck_assert_mem_eq(p->header[i] + 12, packet + 12, 8); /* addresses */
		ck_assert_uint_eq(p->header[i][1], packet[1]);	     /* DSCP, ECN */
		ck_assert_mem_eq(p->header[i] + 4, packet + 4, 2);   /* id */
		ck_assert_mem_eq(p->header[i] + 8, packet + 8, 2);   /* TTL, protocol */
		ck_assert_uint_eq(p->header[i][6] & 0x40, 0);
	}
}

/* CONFORMANCE's measured case: 1428 bytes, MTU 1300: offsets 0 and 1280, the same id. */
START_TEST(test_4787_13a_two_pieces_in_order)
{
	uint8_t packet[BUILD_MAX];
	size_t len =
		BUILD(packet, .proto = 17, .src = 1, .dst = 2, .id = 99, .sport = 5, .dport = 7, .payload_len = 1400);
	struct pieces *p = cut(packet, len, 1300);

	ck_assert_uint_eq(len, 1428);
	check_whole(p, packet, len);
	ck_assert_uint_eq(p->n, 2);
	ck_assert_uint_eq(p->offsets[0], 0);
	ck_assert_uint_eq(p->offsets[1], 1280);
	ck_assert_uint_eq(p->lens[0], 1300);
	ck_assert_uint_eq(p->lens[1], 20 + 128);
	ck_assert(!p->last_more);
}
END_TEST

/* RFC 791 3.1: options with the copied flag go into every piece, the others into the first only. */
START_TEST(test_791_options_are_copied_by_their_flag)
{
	static const struct {
		uint8_t len;
		uint8_t options[40];
		uint8_t later_len;
		uint8_t later[40];
	} cases[] = {
		{4, {148, 4, 0, 0}, 4, {148, 4, 0, 0}},				    /* router alert: copied */
		{8, {7, 7, 4, 0, 0, 0, 0, 0}, 0, {0}},				    /* record route: not */
		{12, {1, 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0}, 4, {148, 4, 0, 0}},    /* both, and a NOP */
		{8, {136, 4, 1, 2, 68, 4, 5, 0}, 4, {136, 4, 1, 2}},		    /* stream id; timestamp */
		{8, {130, 3, 1, 136, 4, 9, 9, 0}, 8, {130, 3, 1, 136, 4, 9, 9, 0}}, /* seven bytes, padded */
		{8, {0, 148, 4, 0, 0, 0, 0, 0}, 0, {0}},			    /* behind the end */
		{4, {1, 1, 1, 1}, 0, {0}},
	};
	uint8_t packet[BUILD_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = BUILD(packet, .proto = 253, .src = 1, .dst = 2, .ip_options = cases[i].options,
				   .ip_options_len = cases[i].len, .payload_len = 500);
		struct pieces *p = cut(packet, len, 100);

		check_whole(p, packet, len);
		ck_assert_uint_eq(p->header_len[1], 20 + cases[i].later_len);
		ck_assert_mem_eq(p->header[1] + 20, cases[i].later, cases[i].later_len);
	}
}
END_TEST

/* RFC 791 3.2: a piece of a piece keeps its place, and only the last of the last ends. */
START_TEST(test_791_fragment_is_cut_further)
{
	uint8_t packet[BUILD_MAX];
	struct pieces *p;
	size_t len;

	for (int more = 0; more < 2; more++) {
		len = BUILD(packet, .proto = 17, .src = 1, .dst = 2, .id = 9, .mf = more, .frag_offset = 2960,
			    .payload_len = 1480);
		p = cut(packet, len, 576);
		check_whole(p, packet, len);
		ck_assert_uint_eq(p->begin, 2960);
		ck_assert_uint_eq(p->last_more, more);
	}
}
END_TEST

START_TEST(test_mtu_without_room_emits_nothing)
{
	static const uint8_t alert[] = {148, 4, 0, 0};
	uint8_t packet[BUILD_MAX];
	size_t len = BUILD(packet, .proto = 253, .src = 1, .dst = 2, .ip_options = alert, .ip_options_len = 4,
			   .payload_len = 500);

	ck_assert_uint_eq(cut(packet, len, 31)->n, 0);
	ck_assert_uint_eq(cut(packet, len, 0)->n, 0);
	ck_assert_uint_eq(cut(packet, len, 32)->n, 63);
}
END_TEST

/* The decoder refuses such; the cut stays within the header all the same, and drops what it cannot read. */
START_TEST(test_malformed_options_are_not_copied)
{
	static const uint8_t options[][4] = {{148, 5, 1, 1}, {148, 0, 1, 1}, {148, 1, 1, 1}, {1, 1, 1, 148}};
	static struct pieces p;
	uint8_t packet[BUILD_MAX], *copy;
	struct pkt_view v;
	size_t len;

	for (int i = 0; i < 4; i++) {
		len = BUILD(packet, .proto = 253, .src = 1, .dst = 2, .payload_len = 500);
		ck_assert_int_eq(packet_parse(packet, len, false, &v), NAT_PASS);
		memcpy(packet + 20, options[i], 4);
		copy = malloc(len);
		memcpy(copy, packet, len);
		copy[0] = 0x46;
		v.ip = copy;
		v.l4 = copy + 24;
		v.ihl = 24;
		memset(&p, 0, sizeof(p));
		p.mtu = 100;
		fragment_cut(&v, 100, take_piece, &p);
		ck_assert_uint_gt(p.n, 1);
		ck_assert_uint_eq(p.header_len[1], 20);
		free(copy);
	}
}
END_TEST

START_TEST(test_packet_that_fits_stays_whole)
{
	uint8_t packet[BUILD_MAX];
	size_t len = BUILD(packet, .proto = 17, .src = 1, .dst = 2, .sport = 1, .dport = 2, .payload_len = 1001);
	struct pieces *p = cut(packet, len, (uint16_t)len);

	ck_assert_uint_eq(p->n, 1);
	ck_assert(!p->last_more);
	ck_assert_mem_eq(p->payload, packet + 20, len - 20);
}
END_TEST

/* Options as a sender may put them: well-formed, in any order. */
static size_t random_options(uint8_t *o)
{
	size_t n = 0, room = unit_below(11) * 4;

	while (n < room) {
		size_t len = 2 + unit_below(9);

		if (n + len > room || unit_below(4) == 0) {
			o[n++] = 1;
			continue;
		}
		o[n] = (uint8_t)(unit_below(2) ? 148 : 30); /* copied, not copied */
		o[n + 1] = (uint8_t)len;
		memset(o + n + 2, (int)n, len - 2);
		n += len;
	}
	return n;
}

START_TEST(test_reassembled_pieces_are_the_packet)
{
	static uint8_t packet[BUILD_MAX], payload[BUILD_MAX], options[40];

	for (int i = 0; i < 1500; i++) {
		size_t options_len = random_options(options);
		size_t payload_len = 100 + unit_below(i % 10 ? 4000 : 65535 - 60 - 100);
		uint16_t mtu = (uint16_t)(68 + unit_below((uint32_t)(payload_len < 65000 ? payload_len : 65000)));
		size_t len;

		for (size_t at = 0; at < payload_len; at++)
			payload[at] = (uint8_t)unit_random();
		len = BUILD(packet, .proto = 253, .src = 1, .dst = 2, .id = (uint16_t)i, .tos = 0xb9,
			    .ip_options = options, .ip_options_len = options_len, .payload = payload,
			    .payload_len = payload_len);
		if (len > mtu)
			check_whole(cut(packet, len, mtu), packet, len);
	}
}
END_TEST

static Suite *cut_suite(void)
{
	Suite *s = suite_create("fragment cut");
	TCase *t = tcase_create("cut");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, test_4787_13a_two_pieces_in_order);
	tcase_add_test(t, test_791_options_are_copied_by_their_flag);
	tcase_add_test(t, test_791_fragment_is_cut_further);
	tcase_add_test(t, test_mtu_without_room_emits_nothing);
	tcase_add_test(t, test_malformed_options_are_not_copied);
	tcase_add_test(t, test_packet_that_fits_stays_whole);
	tcase_add_test(t, test_reassembled_pieces_are_the_packet);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(cut_suite);
}
