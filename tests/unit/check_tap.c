/* SPDX-License-Identifier: ISC */
/* The tap sees each packet come and leave with what became of it, and changes nothing. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/nat/tap.h"

#include "natlab.h"
#include "unit.h"

enum { SIGHTS_MAX = 64 };

struct sight {
	char what; /* c: came, f: a form leaves, m: something else leaves, d: done */
	bool from_outside;
	bool has_fate;
	uint8_t to;
	uint32_t src, dst;
	struct nat_fate fate;
};

static struct lab *lab;
static struct sight sights[SIGHTS_MAX];
static uint32_t n_sights;

static struct sight *add(char what, const struct nat_packet *p, const struct nat_fate *f)
{
	struct sight *s = &sights[n_sights++];

	ck_assert_uint_lt(n_sights, SIGHTS_MAX);
	*s = (struct sight){.what = what, .has_fate = f != NULL};
	if (p) {
		s->to = p->to;
		s->src = load32(p->data + 12);
		s->dst = load32(p->data + 16);
	}
	if (f)
		s->fate = *f;
	return s;
}

static void on_came(void *ctx, const struct nat_packet *p, bool from_outside)
{
	(void)ctx;
	add('c', p, NULL)->from_outside = from_outside;
}

static void on_leaves(void *ctx, const struct nat_packet *p, bool is_form, const struct nat_fate *f)
{
	(void)ctx;
	add(is_form ? 'f' : 'm', p, f);
}

static void on_done(void *ctx, const struct nat_fate *f)
{
	(void)ctx;
	add('d', NULL, f);
}

static const struct nat_tap tap = {.came = on_came, .leaves = on_leaves, .done = on_done};

static void setup(void)
{
	lab = lab_new();
	lab->policy.outside_mtu = 1400;
	lab_start(lab);
	nat_set_tap(lab->nat, &tap);
	n_sights = 0;
}

static void teardown(void)
{
	lab_free(lab);
}

/* The sights since the last time were of these kinds. */
static void saw(const char *kinds)
{
	char had[SIGHTS_MAX + 1] = "";

	for (uint32_t i = 0; i < n_sights; i++)
		had[i] = sights[i].what;
	ck_assert_str_eq(had, kinds);
	n_sights = 0;
}

START_TEST(test_outbound_and_its_answer)
{
	uint16_t port = lab_udp_out(lab, LAB_A, 5000, LAB_S1, 53);
	uint64_t session = sights[2].fate.session;

	saw("cfd");
	ck_assert(!sights[0].from_outside && sights[0].src == LAB_A);
	ck_assert(sights[1].to == NAT_TO_OUTSIDE && sights[1].src == LAB_EXT);
	ck_assert_uint_ne(session, 0);
	ck_assert(sights[2].fate.inside.address == LAB_A && sights[2].fate.inside.port == 5000);
	ck_assert(sights[2].fate.outside.address == LAB_EXT && sights[2].fate.outside.port == port);
	ck_assert(sights[2].fate.remote.address == LAB_S1 && sights[2].fate.protocol == 17);
	ck_assert_mem_eq(&sights[1].fate, &sights[2].fate, sizeof(struct nat_fate));
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = port);
	saw("cfd");
	ck_assert(sights[0].from_outside && sights[1].to == NAT_TO_INSIDE && sights[1].dst == LAB_A);
	ck_assert_uint_eq(sights[2].fate.session, session);
}
END_TEST

START_TEST(test_drop_names_its_reason_and_what_the_packet_says)
{
	LAB_SEND(lab, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = 40000);
	saw("cd");
	ck_assert(sights[0].from_outside && sights[1].fate.to == NAT_NOWHERE && sights[1].fate.session == 0);
	ck_assert_uint_eq(sights[1].fate.reason, DROP_UNSOLICITED);
	ck_assert(sights[1].fate.outside.port == 40000 && sights[1].fate.remote.address == LAB_S1);
}
END_TEST

START_TEST(test_drop_within_a_session_names_the_session)
{
	uint16_t port = lab_tcp_established(lab, LAB_A, 5000, LAB_S1, 80);

	n_sights = 0;
	LAB_SEND(lab, .proto = 6, .src = LAB_S1, .dst = LAB_EXT, .sport = 80, .dport = port, .flags = TCP_RST,
		 .seq = 0x70000000);
	saw("cd");
	ck_assert_uint_eq(sights[1].fate.reason, DROP_TCP_RST);
	ck_assert_uint_ne(sights[1].fate.session, 0);
}
END_TEST

START_TEST(test_natds_answer_comes_with_the_fate_of_what_it_answers)
{
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 53, .df = true,
		 .payload_len = 1450);
	saw("cmd");
	ck_assert(sights[1].to == NAT_TO_INSIDE && sights[1].dst == LAB_A);
	ck_assert(sights[1].fate.to == NAT_NOWHERE && sights[1].fate.reason == DROP_TOO_BIG);
}
END_TEST

START_TEST(test_pieces_are_forms_of_their_packet)
{
	LAB_SEND(lab, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 53, .payload_len = 1450);
	saw("cffd");
	ck_assert(sights[1].to == NAT_TO_OUTSIDE && sights[2].to == NAT_TO_OUTSIDE);
}
END_TEST

START_TEST(test_fragment_that_was_held_leaves_with_its_first)
{
	static uint8_t whole[2000], piece[2000];
	size_t len = BUILD(whole, .proto = 17, .src = LAB_A, .dst = LAB_S1, .sport = 5000, .dport = 53, .id = 7,
			   .payload_len = 1000);

	ck_assert_uint_gt(len, 1000);
	lab_send(lab, piece, build_fragment(piece, whole, 504, 504));
	saw("cd");
	ck_assert_uint_eq(sights[1].fate.to, NAT_KEPT);
	lab_send(lab, piece, build_fragment(piece, whole, 0, 504));
	saw("cfmd");
	ck_assert(sights[2].to == NAT_TO_OUTSIDE && sights[2].fate.to == NAT_TO_OUTSIDE);
	ck_assert(sights[2].fate.session != 0 && sights[2].fate.session == sights[3].fate.session);
	lab_send(lab, piece, build_fragment(piece, whole, 0, 504)); /* a copy of the first */
	n_sights = 0;
}
END_TEST

START_TEST(test_what_cannot_be_parsed_has_a_side_all_the_same)
{
	static uint8_t p[100];
	size_t len = BUILD(p, .proto = 17, .src = LAB_S1, .dst = LAB_EXT, .sport = 53, .dport = 40000);

	p[10] ^= 1;
	lab_send(lab, p, len);
	saw("cd");
	ck_assert(sights[0].from_outside && sights[1].fate.reason == DROP_IP_CHECKSUM);
	ck_assert_uint_eq(sights[1].fate.proto_class, CLASS_COUNT);
	lab_send(lab, p, 3);
	saw("cd");
	ck_assert_uint_eq(sights[1].fate.reason, DROP_SHORT);
}
END_TEST

START_TEST(test_what_the_host_reads_itself_is_none_of_its_business)
{
	lab->source = NAT_FROM_ICMP;
	LAB_SEND(lab, .proto = 1, .src = LAB_S1, .dst = LAB_EXT, .icmp_type = 0, .sport = 7);
	saw("c");
}
END_TEST

/* One packet of any kind, most of them of a few tuples, so that sessions, answers and drops come about. */
static void send_random(struct lab *l, uint64_t random)
{
	static const uint32_t addresses[] = {LAB_A, LAB_B, LAB_S1, LAB_EXT};
	static const uint8_t protocols[] = {17, 6, 1, 47};

	LAB_SEND(l, .proto = protocols[random & 3], .src = addresses[random >> 2 & 3],
		 .dst = addresses[random >> 4 & 3], .sport = (uint16_t)(1024 + (random >> 8 & 3)),
		 .dport = (uint16_t)(1024 + (random >> 10 & 3)), .flags = (uint8_t)(random >> 16 & 0x17),
		 .icmp_type = random >> 12 & 1 ? 8 : 0, .payload_len = random >> 20 & 1 ? 1430 : 10,
		 .df = random >> 21 & 1, .mf = (random >> 22 & 15) == 0, .id = (uint16_t)(random >> 26 & 3));
}

START_TEST(test_tap_changes_nothing)
{
	struct lab *plain = lab_new();
	uint64_t before[NAT_REASON_COUNT];

	plain->policy.outside_mtu = 1400;
	lab_start(plain);
	plain->purity_every = lab->purity_every = 0;
	for (int i = 0; i < 4000; i++) {
		uint64_t random = unit_random();

		n_sights = 0;
		send_random(plain, random);
		send_random(lab, random);
		ck_assert_uint_eq(plain->n_out, lab->n_out);
		for (uint32_t k = 0; k < lab->n_out; k++) {
			ck_assert_uint_eq(plain->out[k].len, lab->out[k].len);
			ck_assert_mem_eq(plain->out[k].bytes, lab->out[k].bytes, lab->out[k].len);
		}
		ck_assert(n_sights >= 2 && sights[0].what == 'c' && sights[n_sights - 1].what == 'd');
	}
	memcpy(before, nat_counters(plain->nat), sizeof(before));
	ck_assert_mem_eq(before, nat_counters(lab->nat), sizeof(before));
	lab_free(plain);
}
END_TEST

static Suite *make(void)
{
	Suite *s = suite_create("tap");
	TCase *t = tcase_create("tap");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_outbound_and_its_answer);
	tcase_add_test(t, test_drop_names_its_reason_and_what_the_packet_says);
	tcase_add_test(t, test_drop_within_a_session_names_the_session);
	tcase_add_test(t, test_natds_answer_comes_with_the_fate_of_what_it_answers);
	tcase_add_test(t, test_pieces_are_forms_of_their_packet);
	tcase_add_test(t, test_fragment_that_was_held_leaves_with_its_first);
	tcase_add_test(t, test_what_cannot_be_parsed_has_a_side_all_the_same);
	tcase_add_test(t, test_what_the_host_reads_itself_is_none_of_its_business);
	tcase_add_test(t, test_tap_changes_nothing);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make);
}
