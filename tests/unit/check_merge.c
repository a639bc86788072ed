/* SPDX-License-Identifier: ISC */
/*
 * Joining datagrams: cut as the kernel does it, the joined ones give exactly the original datagrams, in order within
 * each flow; some must not be joined.
 */
#include <check.h>
#include <string.h>

#include "../../src/core/packet/packet.h"
#include "../../src/daemon/path/merge.h"
#include "build.h"
#include "unit.h"

enum { PACKETS = 400, ROOM = 1600, SRC = 0x0a080002, DST = 0xc6336401 };

static struct merge *merge;
static uint8_t bytes[PACKETS][ROOM];	/* as queued: may be changed by merge */
static uint8_t original[PACKETS][ROOM]; /* as queued, untouched */
static struct nat_packet packets[PACKETS];
static uint8_t out[PACKETS][ROOM]; /* single packets that left, super-packets cut up */
static uint32_t n_in, n_out, n_super, n_single;
static enum merge_result answer; /* of the kernel, to super-packets */
static uint32_t n_again;

static void on_single(void *ctx, const struct nat_packet *p)
{
	(void)ctx;
	ck_assert_uint_lt(n_out, PACKETS);
	memcpy(out[n_out], p->data, p->len);
	if (p->csum_partial) /* as the raw socket's side does */
		build_fix(out[n_out]);
	n_out++;
	n_single++;
}

/* Writes segment `i` of a super-packet as the kernel would. */
static void cut_segment(const struct nat_packet *whole, const uint8_t *payload, uint32_t len, uint32_t i)
{
	uint8_t *p = out[n_out++];

	memcpy(p, whole->data, 28);
	memcpy(p + 28, payload, len);
	store16(p + 2, (uint16_t)(28 + len));
	store16(p + 4, (uint16_t)(load16(p + 4) + i));
	store16(p + 24, (uint16_t)(8 + len));
	build_fix(p);
}

static void on_again(void *ctx, const struct nat_packet *p)
{
	on_single(ctx, p);
	n_again++;
}

static enum merge_result on_super(void *ctx, const struct nat_packet *whole, const struct iovec *parts, int n)
{
	static uint8_t all[70000];
	uint32_t len = 0;

	(void)ctx;
	if (answer != MERGE_SENT)
		return answer;
	for (int i = 0; i < n; i++) {
		memcpy(all + len, parts[i].iov_base, parts[i].iov_len);
		len += (uint32_t)parts[i].iov_len;
	}
	ck_assert_uint_eq(len, whole->len);
	ck_assert_uint_eq(load16(all + 2), len);
	ck_assert_uint_eq(load16(all + 24), len - 20);
	ck_assert_uint_eq(build_checksum(0, all, 20), 0);
	ck_assert(whole->csum_partial);
	ck_assert_uint_gt(whole->gso_size, 0);
	ck_assert_int_le(n, MERGE_MOST);
	for (uint32_t at = 28, i = 0; at < len; at += whole->gso_size, i++)
		cut_segment(whole, all + at, len - at < whole->gso_size ? len - at : whole->gso_size, i);
	n_super++;
	return MERGE_SENT;
}

static void setup(void)
{
	const struct merge_ways ways = {on_single, on_again, on_super, NULL};

	merge = merge_create(&ways);
	ck_assert_ptr_nonnull(merge);
	n_in = n_out = n_super = n_single = n_again = 0;
	answer = MERGE_SENT;
}

static void teardown(void)
{
	merge_destroy(merge);
}

static bool add(const struct build *b)
{
	uint32_t i = n_in++;

	ck_assert_uint_lt(i, PACKETS);
	packets[i] = (struct nat_packet){
		.data = bytes[i], .to = NAT_TO_OUTSIDE, .mtu = 1500, .csum_partial = b->csum_partial};
	packets[i].len = (uint32_t)build_packet(bytes[i], b);
	memcpy(original[i], bytes[i], packets[i].len);
	if (!merge_add(merge, &packets[i])) {
		on_single(NULL, &packets[i]);
		return false;
	}
	return true;
}

static struct build datagram(uint16_t sport, size_t len)
{
	return (struct build){
		.proto = 17, .src = SRC, .dst = DST, .sport = sport, .dport = 53, .payload_len = len, .df = true};
}

/* Packet i of the input, with its checksum filled in, left unchanged (but for the id of segments with DF). */
static bool left_as(const uint8_t *o, uint32_t i)
{
	uint8_t want[ROOM];
	size_t len = packets[i].len;

	memcpy(want, original[i], len);
	if (packets[i].csum_partial)
		build_fix(want);
	if (want[6] & 0x40)
		store16(want + 4, load16(o + 4));
	build_fix_ip(want);
	return load16(o + 2) == len && memcmp(want + 12, o + 12, len - 12) == 0 && want[8] == o[8] && want[1] == o[1] &&
	       load16(want + 4) == load16(o + 4);
}

/* Everything left, in order within each flow. */
static void check_all_left(void)
{
	static bool used[PACKETS];

	memset(used, 0, sizeof(used));
	ck_assert_uint_eq(n_out, n_in);
	for (uint32_t o = 0; o < n_out; o++) {
		uint32_t i = 0;

		while (i < n_in && (used[i] || memcmp(original[i] + 12, out[o] + 12, 12) != 0))
			i++;
		ck_assert_uint_lt(i, n_in);
		ck_assert_msg(left_as(out[o], i), "packet %u left as %u, changed", i, o);
		used[i] = true;
	}
}

START_TEST(test_datagrams_of_one_flow_leave_as_one)
{
	struct build b = datagram(5000, 18);

	b.csum_partial = _i & 1;
	b.df = _i & 2;
	for (int i = 0; i < 10; i++) {
		b.id = (uint16_t)i;
		ck_assert(add(&b));
	}
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 1);
	check_all_left();
}
END_TEST

START_TEST(test_two_datagrams_are_not_worth_it)
{
	struct build b = datagram(5000, 18);

	for (int i = 0; i < MERGE_LEAST - 1; i++)
		add(&b);
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 0);
	check_all_left();
}
END_TEST

START_TEST(test_a_shorter_one_closes_the_group)
{
	struct build b = datagram(5000, 100), last = datagram(5000, 40);

	for (int i = 0; i < 5; i++)
		add(&b);
	add(&last);
	for (int i = 0; i < 5; i++)
		add(&b);
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 2);
	check_all_left();
}
END_TEST

START_TEST(test_a_longer_one_begins_a_new_group)
{
	struct build b = datagram(5000, 100), longer = datagram(5000, 101);

	for (int i = 0; i < 5; i++)
		add(&b);
	for (int i = 0; i < 5; i++)
		add(&longer);
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 2);
	check_all_left();
}
END_TEST

START_TEST(test_no_more_than_the_kernel_takes)
{
	struct build b = datagram(5000, 1400);

	for (int i = 0; i < 200; i++)
		add(&b);
	merge_flush(merge);
	ck_assert_uint_ge(n_super, 200 / MERGE_MOST);
	check_all_left();
}
END_TEST

/* A wrong checksum must stay wrong: the kernel would fill in a right one. */
START_TEST(test_3022_4_1_wrong_checksum_is_never_repaired_by_joining)
{
	struct build b = datagram(5000, 50);

	for (int i = 0; i < 8; i++) {
		uint32_t at = n_in++;

		packets[at] = (struct nat_packet){.data = bytes[at], .to = NAT_TO_OUTSIDE, .mtu = 1500};
		packets[at].len = (uint32_t)build_packet(bytes[at], &b);
		if (i == 4)
			bytes[at][40] ^= 1;
		memcpy(original[at], bytes[at], packets[at].len);
		ck_assert(merge_add(merge, &packets[at]));
	}
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 0);
	check_all_left();
}
END_TEST

static const struct {
	const char *what;
	struct build b;
} unjoinable[] = {
	{"no checksum", {.proto = 17, .no_checksum = true, .payload_len = 20}},
	{"fragment", {.proto = 17, .mf = true, .payload_len = 24}},
	{"options", {.proto = 17, .ip_options = (const uint8_t *)"\1\1\1\1", .ip_options_len = 4, .payload_len = 20}},
	{"no payload", {.proto = 17}},
	{"TCP", {.proto = 6, .flags = TCP_ACK, .payload_len = 20}},
	{"ICMP", {.proto = 1, .icmp_type = 8, .payload_len = 20}},
	{"larger than the way out", {.proto = 17, .payload_len = 1480}},
};

START_TEST(test_what_cannot_be_joined_goes_its_own_way_in_order)
{
	struct build b = datagram(5000, 20), other = unjoinable[_i].b;

	other.src = SRC;
	other.dst = DST;
	other.sport = 5000;
	other.dport = 53;
	for (int i = 0; i < 4; i++)
		add(&b);
	ck_assert_msg(!add(&other), "%s", unjoinable[_i].what);
	for (int i = 0; i < 4; i++)
		add(&b);
	merge_flush(merge);
	ck_assert_uint_eq(n_super, other.proto == 17 ? 2 : 1);
	ck_assert_uint_eq(n_out, 9);
	if (other.proto == 17) /* earlier ones of its flow left before it */
		ck_assert(memcmp(out[4] + 20, original[4] + 20, packets[4].len - 20) == 0);
}
END_TEST

START_TEST(test_different_dscp_ttl_or_df_are_not_joined)
{
	struct build b = datagram(5000, 20);

	for (int i = 0; i < 12; i++) {
		b.tos = _i == 0 ? (uint8_t)(i & 1 ? 184 : 0) : 0;
		b.ttl = _i == 1 ? (uint8_t)(64 - (i & 1)) : 64;
		b.df = _i == 2 && (i & 1);
		add(&b);
	}
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 0);
	check_all_left();
}
END_TEST

/* Without DF: ids that count up, across 65,535 as well, or ids of two flows of one host that take turns. */
START_TEST(test_6864_5_3_1_7857_10_ids_without_df_arrive_as_they_were)
{
	struct build b = datagram(5000, 20);

	b.df = false;
	for (int i = 0; i < 12; i++) {
		b.id = (uint16_t)(65530 + (_i == 0 ? i : 2 * i));
		add(&b);
	}
	merge_flush(merge);
	ck_assert_uint_eq(n_super, _i == 0);
	check_all_left();
}
END_TEST

START_TEST(test_ttl_255_has_no_room_for_a_step)
{
	struct build b = datagram(5000, 20);

	b.ttl = 255;
	for (int i = 0; i < 6; i++)
		add(&b);
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 0);
	check_all_left();
}
END_TEST

START_TEST(test_a_kernel_that_takes_none_is_not_asked_again)
{
	struct build b = datagram(5000, 20);

	answer = MERGE_NEVER;
	for (int i = 0; i < 6; i++)
		add(&b);
	merge_flush(merge);
	ck_assert_uint_eq(n_single, 6);
	check_all_left();
	ck_assert(!add(&b));
}
END_TEST

START_TEST(test_what_is_refused_once_is_sent_again_by_the_caller)
{
	struct build b = datagram(5000, 20);

	answer = MERGE_AGAIN;
	for (int i = 0; i < 6; i++)
		ck_assert(add(&b));
	merge_flush(merge);
	ck_assert_uint_eq(n_again, 6);
	check_all_left();
	answer = MERGE_SENT;
	for (int i = 0; i < 6; i++)
		ck_assert(add(&b));
	merge_flush(merge);
	ck_assert_uint_eq(n_super, 1);
}
END_TEST

START_TEST(test_random_flows_and_lengths)
{
	for (int round = 0; round < 200; round++) {
		teardown();
		setup();
		for (int i = 0; i < 64; i++) {
			struct build b = datagram((uint16_t)(1000 + unit_below(4)), 10 + unit_below(3));

			b.csum_partial = unit_below(8) == 0;
			b.no_checksum = !b.csum_partial && unit_below(16) == 0;
			for (uint32_t k = unit_below(6); k > 0 && n_in < PACKETS; k--)
				add(&b);
		}
		merge_flush(merge);
		ck_assert_uint_gt(n_super, 0);
		check_all_left();
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("merge");
	TCase *tc = tcase_create("merge");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_datagrams_of_one_flow_leave_as_one, 0, 4);
	tcase_add_test(tc, test_two_datagrams_are_not_worth_it);
	tcase_add_test(tc, test_a_shorter_one_closes_the_group);
	tcase_add_test(tc, test_a_longer_one_begins_a_new_group);
	tcase_add_test(tc, test_no_more_than_the_kernel_takes);
	tcase_add_test(tc, test_3022_4_1_wrong_checksum_is_never_repaired_by_joining);
	tcase_add_loop_test(tc, test_what_cannot_be_joined_goes_its_own_way_in_order, 0,
			    sizeof(unjoinable) / sizeof(unjoinable[0]));
	tcase_add_loop_test(tc, test_different_dscp_ttl_or_df_are_not_joined, 0, 3);
	tcase_add_loop_test(tc, test_6864_5_3_1_7857_10_ids_without_df_arrive_as_they_were, 0, 2);
	tcase_add_test(tc, test_ttl_255_has_no_room_for_a_step);
	tcase_add_test(tc, test_a_kernel_that_takes_none_is_not_asked_again);
	tcase_add_test(tc, test_what_is_refused_once_is_sent_again_by_the_caller);
	tcase_add_test(tc, test_random_flows_and_lengths);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
