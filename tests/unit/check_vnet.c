/* SPDX-License-Identifier: ISC */
/* The virtio header of a TUN packet: accepted and refused ones, and those that natd makes. */
#include <check.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "core/packet/checksum.h"
#include "core/packet/packet.h"
#include "daemon/path/vnet.h"
#include "unit.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum { SRC = 0x0a080002, DST = 0xc6336407, ROOM = 4096, CWR = 0x80 };

static uint8_t frame[ROOM];

static struct nat_packet make_frame(uint8_t proto, size_t payload, bool partial)
{
	size_t len = BUILD(frame, .src = SRC, .dst = DST, .proto = proto, .sport = 1000, .dport = 80,
			   .payload_len = payload, .csum_partial = partial);

	return (struct nat_packet){.data = frame, .len = (uint32_t)len};
}

static bool decode(struct virtio_net_hdr h, struct nat_packet *p)
{
	uint8_t bytes[VNET_HEADER_SIZE];

	memcpy(bytes, &h, sizeof(bytes));
	return vnet_decode(bytes, p);
}

/* Is the transport checksum of a whole TCP or UDP packet right? */
static bool checksum_is_right(const uint8_t *ip, uint32_t len)
{
	uint32_t ihl = (ip[0] & 15u) * 4;
	uint32_t sum = checksum_pseudo(load32(ip + 12), load32(ip + 16), ip[9], (uint16_t)(len - ihl));

	return checksum_fold(checksum_add(sum, ip + ihl, len - ihl)) == 0xffff;
}

/* ---- decode ---- */

#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TSO  VIRTIO_NET_HDR_GSO_TCPV4
#define USO  VIRTIO_NET_HDR_GSO_UDP_L4

/* On a frame with 2000 bytes of payload and no options: TCP 40 + 2000, UDP 28 + 2000. */
static const struct {
	const char *name;
	struct virtio_net_hdr header;
	uint8_t proto;
	bool is_good;
	uint16_t gso_size;
	bool partial;
} decodes[] = {
	{"nothing to do", {.flags = 0}, 6, true, 0, false},
	{"checksum seen to be valid", {.flags = VIRTIO_NET_HDR_F_DATA_VALID}, 6, true, 0, false},
	{"TCP checksum", {.flags = CSUM, .csum_start = 20, .csum_offset = 16}, 6, true, 0, true},
	{"UDP checksum", {.flags = CSUM, .csum_start = 20, .csum_offset = 6}, 17, true, 0, true},
	{"TSO", {CSUM, TSO, 40, 500, 20, 16}, 6, true, 500, true},
	{"TSO, ECN", {CSUM, TSO | VIRTIO_NET_HDR_GSO_ECN, 40, 500, 20, 16}, 6, true, 500, true},
	{"TSO, header length only a hint", {CSUM, TSO, 0, 500, 20, 16}, 6, true, 500, true},
	{"TSO, one segment", {CSUM, TSO, 40, 2000, 20, 16}, 6, true, 0, true},
	{"USO", {CSUM, USO, 28, 1000, 20, 6}, 17, true, 1000, true},
	{"unknown flag", {.flags = 8}, 6, false, 0, false},
	{"segment size 0", {CSUM, TSO, 40, 0, 20, 16}, 6, false, 0, false},
	{"TSO without checksum", {0, TSO, 40, 500, 0, 0}, 6, false, 0, false},
	{"TSO of UDP", {CSUM, TSO, 40, 500, 20, 6}, 17, false, 0, false},
	{"USO of TCP", {CSUM, USO, 40, 500, 20, 16}, 6, false, 0, false},
	{"USO with ECN", {CSUM, USO | VIRTIO_NET_HDR_GSO_ECN, 28, 500, 20, 6}, 17, false, 0, false},
	{"UFO was not asked for", {CSUM, VIRTIO_NET_HDR_GSO_UDP, 28, 500, 20, 6}, 17, false, 0, false},
	{"IPv6 TSO", {CSUM, VIRTIO_NET_HDR_GSO_TCPV6, 40, 500, 20, 16}, 6, false, 0, false},
	{"header longer than the packet", {CSUM, TSO, 2041, 500, 20, 16}, 6, false, 0, false},
	{"TSO, checksum elsewhere", {CSUM, TSO, 40, 500, 24, 16}, 6, false, 0, false},
	{"checksum within the IP header", {.flags = CSUM, .csum_start = 0, .csum_offset = 10}, 6, false, 0, false},
	{"checksum ends beyond the packet", {.flags = CSUM, .csum_start = 20, .csum_offset = 2019}, 6, false, 0, false},
	{"checksum starts beyond it", {.flags = CSUM, .csum_start = 65535, .csum_offset = 65535}, 6, false, 0, false},
	{"checksum at the very end", {.flags = CSUM, .csum_start = 20, .csum_offset = 2018}, 6, true, 0, false},
};

START_TEST(test_header_is_believed_as_far_as_the_packet_bears_it_out)
{
	struct nat_packet p = make_frame(decodes[_i].proto, 2000, true);

	p.gso_size = 77; /* whatever was there before */
	ck_assert_msg(decode(decodes[_i].header, &p) == decodes[_i].is_good, "%s", decodes[_i].name);
	if (!decodes[_i].is_good)
		return;
	ck_assert_msg(p.gso_size == decodes[_i].gso_size, "%s: %u", decodes[_i].name, p.gso_size);
	ck_assert_msg(p.csum_partial == decodes[_i].partial, "%s", decodes[_i].name);
}
END_TEST

/* A packet in IPIP whose inner TCP checksum is left to do: nothing after natd would compute it. */
START_TEST(test_checksum_of_a_tunnelled_packet_is_filled_in)
{
	uint8_t inner[200], before[20];
	size_t inner_len = BUILD(inner, .src = SRC, .dst = DST, .proto = 6, .sport = 1, .dport = 2, .payload_len = 101,
				 .csum_partial = true);
	size_t len = BUILD(frame, .src = SRC, .dst = DST, .proto = 4, .payload = inner, .payload_len = inner_len);
	struct nat_packet p = {.data = frame, .len = (uint32_t)len};

	memcpy(before, frame, sizeof(before));
	ck_assert(decode((struct virtio_net_hdr){.flags = CSUM, .csum_start = 40, .csum_offset = 16}, &p));
	ck_assert(!p.csum_partial);
	ck_assert(checksum_is_right(frame + 20, (uint32_t)inner_len));
	ck_assert_mem_eq(before, frame, sizeof(before));
}
END_TEST

START_TEST(test_short_frames_are_refused)
{
	const struct virtio_net_hdr headers[] = {{.flags = CSUM, .csum_start = 20, .csum_offset = 16},
						 {CSUM, TSO, 40, 500, 20, 16}};
	struct nat_packet whole = make_frame(6, 0, true);
	uint32_t len;

	for (len = 0; len < whole.len; len++) {
		uint8_t *exact = malloc(len + 1); /* so that the address sanitizer sees one byte too far */
		struct nat_packet p = {.data = exact + 1, .len = len};

		ck_assert_ptr_nonnull(exact);
		memcpy(exact + 1, frame, len);
		ck_assert(!decode(headers[1], &p));
		(void)decode(headers[0], &p);
		ck_assert(!p.csum_partial);
		free(exact);
	}
}
END_TEST

/* ---- finish ---- */

START_TEST(test_finished_checksum_is_right)
{
	uint8_t proto = _i % 2 ? 6 : 17;
	struct nat_packet p = make_frame(proto, (size_t)_i, true);

	if (_i >= 8) /* bytes behind the IP packet do not count */
		memset(frame + p.len, 0x5a, 7);
	ck_assert(vnet_finish_checksum(p.data, p.len + (_i >= 8 ? 7 : 0)));
	ck_assert(checksum_is_right(p.data, p.len));
}
END_TEST

/* RFC 768: a sum that comes out as zero is sent as all ones. */
START_TEST(test_0768_zero_is_sent_as_ones)
{
	struct nat_packet p = make_frame(17, 2, true);

	store16(frame + 28, 0);
	ck_assert(vnet_finish_checksum(p.data, p.len));
	store16(frame + 28, load16(frame + 26)); /* the payload now makes up for the rest: the sum is 0xffff */
	make_frame(17, 0, true);		 /* a new header over it, the payload stays */
	store16(frame + 2, 30);
	store16(frame + 24, 10);
	store16(frame + 26, checksum_fold(checksum_pseudo(SRC, DST, 17, 10)));
	ck_assert(vnet_finish_checksum(frame, 30));
	ck_assert_uint_eq(load16(frame + 26), 0xffff);
}
END_TEST

START_TEST(test_what_has_no_checksum_is_left_alone)
{
	uint8_t before[ROOM];
	size_t len = BUILD(frame, .src = SRC, .dst = DST, .proto = 1, .icmp_type = 8, .payload_len = 30);

	memcpy(before, frame, sizeof(before));
	ck_assert(!vnet_finish_checksum(frame, (uint32_t)len));
	len = BUILD(frame, .src = SRC, .dst = DST, .proto = 17, .mf = true, .payload_len = 64);
	memcpy(before, frame, sizeof(before));
	ck_assert(!vnet_finish_checksum(frame, (uint32_t)len));
	ck_assert_mem_eq(before, frame, len);
}
END_TEST

/* ---- encode ---- */

START_TEST(test_encode_then_decode_gives_the_same)
{
	uint8_t bytes[VNET_HEADER_SIZE];
	uint8_t proto = _i % 2 ? 6 : 17;
	struct nat_packet p = make_frame(proto, 100 + (size_t)_i * 50, true), q = p;

	p.csum_partial = true;
	p.gso_size = _i % 3 ? (uint16_t)(60 + _i) : 0;
	ck_assert(vnet_encode(&p, bytes));
	ck_assert(vnet_decode(bytes, &q));
	ck_assert_uint_eq(p.gso_size, q.gso_size);
	ck_assert(q.csum_partial);
}
END_TEST

START_TEST(test_an_ordinary_packet_gets_an_empty_header)
{
	static const uint8_t zero[VNET_HEADER_SIZE];
	uint8_t bytes[VNET_HEADER_SIZE];
	struct nat_packet p = make_frame(6, 100, false);

	memset(bytes, 0xff, sizeof(bytes));
	ck_assert(vnet_encode(&p, bytes));
	ck_assert_mem_eq(bytes, zero, sizeof(zero));
}
END_TEST

START_TEST(test_3168_congestion_flag_is_told)
{
	struct virtio_net_hdr h;
	uint8_t bytes[VNET_HEADER_SIZE];
	struct nat_packet p = make_frame(6, 1000, true);

	p.csum_partial = true;
	p.gso_size = 500;
	frame[20 + 13] |= CWR;
	ck_assert(vnet_encode(&p, bytes));
	memcpy(&h, bytes, sizeof(h));
	ck_assert_uint_eq(h.gso_type, TSO | VIRTIO_NET_HDR_GSO_ECN);
	ck_assert_uint_eq(h.hdr_len, 40);
}
END_TEST

START_TEST(test_encode_refuses_what_does_not_fit)
{
	uint8_t bytes[VNET_HEADER_SIZE];
	struct nat_packet p = make_frame(6, 1000, false);

	p.gso_size = 500; /* a super-packet always leaves its checksum open */
	ck_assert(!vnet_encode(&p, bytes));
	p.csum_partial = true;
	p.len = 39;
	ck_assert(!vnet_encode(&p, bytes));
	p.len = (uint32_t)BUILD(frame, .src = SRC, .dst = DST, .proto = 47, .payload_len = 100);
	ck_assert(!vnet_encode(&p, bytes));
}
END_TEST

/* ---- anything ---- */

START_TEST(test_random_headers_never_reach_beyond_the_packet)
{
	uint32_t i, k;

	for (i = 0; i < 20000; i++) {
		uint32_t len = unit_below(120);
		uint8_t *exact = malloc(len + 1);
		struct nat_packet p = {.data = exact, .len = len};
		uint8_t header[VNET_HEADER_SIZE], again[VNET_HEADER_SIZE];

		ck_assert_ptr_nonnull(exact);
		make_frame(unit_below(2) ? 6 : 17, 80, true);
		memcpy(exact, frame, len);
		for (k = 0; k < VNET_HEADER_SIZE; k++)
			header[k] = (uint8_t)(unit_below(4) ? unit_below(48) : unit_random());
		if (len && unit_below(4) == 0)
			exact[unit_below(len)] = (uint8_t)unit_random();
		if (vnet_decode(header, &p)) {
			ck_assert(p.gso_size == 0 || p.csum_partial);
			ck_assert(vnet_encode(&p, again));
		}
		free(exact);
	}
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("vnet");
	TCase *t = tcase_create("vnet");

	tcase_add_loop_test(t, test_header_is_believed_as_far_as_the_packet_bears_it_out, 0,
			    (int)(sizeof(decodes) / sizeof(decodes[0])));
	tcase_add_test(t, test_checksum_of_a_tunnelled_packet_is_filled_in);
	tcase_add_test(t, test_short_frames_are_refused);
	tcase_add_loop_test(t, test_finished_checksum_is_right, 0, 20);
	tcase_add_test(t, test_0768_zero_is_sent_as_ones);
	tcase_add_test(t, test_what_has_no_checksum_is_left_alone);
	tcase_add_loop_test(t, test_encode_then_decode_gives_the_same, 0, 30);
	tcase_add_test(t, test_an_ordinary_packet_gets_an_empty_header);
	tcase_add_test(t, test_3168_congestion_flag_is_told);
	tcase_add_test(t, test_encode_refuses_what_does_not_fit);
	tcase_add_test(t, test_random_headers_never_reach_beyond_the_packet);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
