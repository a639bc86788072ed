/* SPDX-License-Identifier: ISC */
/*
 * Classic BPF: accepted and refused programs, each instruction, and the same results as libpcap's bpf_filter() over
 * random valid programs and packets.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cbpf.h"
#include "unit.h"

#ifdef HAVE_LIBPCAP
#include <pcap/pcap.h>
#endif

enum { RET_K = 0x06, RET_A = 0x16, LD_IMM = 0x00, LD_W_ABS = 0x20, LDX_IMM = 0x01, LD_W_IND = 0x40, JA = 0x05 };

static uint32_t run(const struct cbpf_insn *p, uint32_t n, const char *packet, uint32_t len)
{
	ck_assert_ptr_null(cbpf_check(p, n));
	return cbpf_run(p, (const uint8_t *)packet, len, len);
}

static const struct {
	struct cbpf_insn program[3];
	uint32_t n;
	const char *why; /* NULL: it may run */
} checked[] = {
	{{{RET_K, 0, 0, 1}}, 1, NULL},
	{{{RET_A, 0, 0, 1}}, 1, NULL},
	{{{RET_K, 0, 0, 1}}, 0, "no instructions or too many"},
	{{{LD_IMM, 0, 0, 1}}, 1, "no return"},
	{{{JA, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, NULL},
	{{{JA, 0, 0, 1}, {RET_K, 0, 0, 0}}, 2, "out of the program"},
	{{{JA, 0, 0, UINT32_MAX}, {RET_K, 0, 0, 0}}, 2, "out of the program"}, /* back by one, if it wrapped round */
	{{{0x15, 1, 0, 0}, {RET_K, 0, 0, 0}, {RET_K, 0, 0, 0}}, 3, NULL},
	{{{0x15, 2, 0, 0}, {RET_K, 0, 0, 0}, {RET_K, 0, 0, 0}}, 3, "out of the program"},
	{{{0x15, 0, 255, 0}, {RET_K, 0, 0, 0}, {RET_K, 0, 0, 0}}, 3, "out of the program"},
	{{{0x60, 0, 0, 15}, {RET_K, 0, 0, 0}}, 2, NULL},
	{{{0x60, 0, 0, 16}, {RET_K, 0, 0, 0}}, 2, "scratch memory"},
	{{{0x61, 0, 0, 16}, {RET_K, 0, 0, 0}}, 2, "scratch memory"},
	{{{0x02, 0, 0, 16}, {RET_K, 0, 0, 0}}, 2, "scratch memory"},
	{{{0x03, 0, 0, UINT32_MAX}, {RET_K, 0, 0, 0}}, 2, "scratch memory"},
	{{{0x34, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, "division by zero"},
	{{{0x94, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, "division by zero"},
	{{{0x3c, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, NULL}, /* by X: judged when it runs */
	{{{0xb4, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, "unknown"},
	{{{0x0126, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, "unknown"},
	{{{0xa0, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, "unknown"},
	{{{0x0e, 0, 0, 0}}, 1, "unknown"},
	{{{0xffff, 0, 0, 0}, {RET_K, 0, 0, 0}}, 2, "unknown"},
};

START_TEST(test_program_is_checked_before_it_runs)
{
	const char *why = cbpf_check(checked[_i].program, checked[_i].n);

	if (checked[_i].why == NULL)
		ck_assert_ptr_null(why);
	else
		ck_assert_msg(why && strstr(why, checked[_i].why), "%s", why ? why : "let through");
}
END_TEST

START_TEST(test_a_program_of_more_than_4096_instructions_is_refused)
{
	struct cbpf_insn *p = calloc(CBPF_MAX + 1, sizeof(*p));

	for (uint32_t i = 0; i <= CBPF_MAX; i++)
		p[i].code = RET_K;
	ck_assert_ptr_null(cbpf_check(p, CBPF_MAX));
	ck_assert_ptr_nonnull(cbpf_check(p, CBPF_MAX + 1));
	free(p);
}
END_TEST

START_TEST(test_what_lies_beyond_the_packet_ends_the_program)
{
	const struct cbpf_insn at_end[] = {{LD_W_ABS, 0, 0, 4}, {RET_K, 0, 0, 7}};
	const struct cbpf_insn beyond[] = {{LD_W_ABS, 0, 0, 5}, {RET_K, 0, 0, 7}};
	const struct cbpf_insn wrapped[] = {{LDX_IMM, 0, 0, UINT32_MAX}, {LD_W_IND, 0, 0, 5}, {RET_K, 0, 0, 7}};
	const struct cbpf_insn header[] = {{0xb1, 0, 0, 8}, {RET_K, 0, 0, 7}};

	ck_assert_uint_eq(run(at_end, 2, "01234567", 8), 7);
	ck_assert_uint_eq(run(beyond, 2, "01234567", 8), 0);
	ck_assert_uint_eq(run(wrapped, 3, "01234567", 8), 0);
	ck_assert_uint_eq(run(header, 2, "01234567", 8), 0);
	ck_assert_uint_eq(run(at_end, 2, "", 0), 0);
}
END_TEST

START_TEST(test_division_by_an_x_of_zero_ends_the_program)
{
	const struct cbpf_insn divide[] = {{LD_IMM, 0, 0, 5}, {0x3c, 0, 0, 0}, {RET_K, 0, 0, 7}};
	const struct cbpf_insn modulo[] = {{LD_IMM, 0, 0, 5}, {0x9c, 0, 0, 0}, {RET_K, 0, 0, 7}};

	ck_assert_uint_eq(run(divide, 3, "", 0), 0);
	ck_assert_uint_eq(run(modulo, 3, "", 0), 0);
}
END_TEST

START_TEST(test_shift_by_a_word_or_more_leaves_nothing)
{
	const struct cbpf_insn left[] = {{LD_IMM, 0, 0, 5}, {0x64, 0, 0, 32}, {RET_A, 0, 0, 0}};
	const struct cbpf_insn right[] = {{LD_IMM, 0, 0, 5}, {0x74, 0, 0, UINT32_MAX}, {RET_A, 0, 0, 0}};

	ck_assert_uint_eq(run(left, 3, "", 0), 0);
	ck_assert_uint_eq(run(right, 3, "", 0), 0);
}
END_TEST

#ifdef HAVE_LIBPCAP

enum { PROGRAM_MAX = 64, PACKET_MAX = 96, ROUNDS = 20000 };

static const uint16_t codes[] = {
	0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x80, 0x00, 0x01, 0x81, 0xb1, 0x60, 0x61, 0x02, 0x03, /* loads, stores */
	0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74,
	0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac,				  /* arithmetic */
	0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x07, 0x87, /* jumps, moves */
	0x06, 0x16,
};

/* Memory is written before the rest, as libpcap leaves it as it finds it. */
static uint32_t random_program(struct cbpf_insn *p)
{
	uint32_t n = CBPF_SCRATCH + 2 + unit_below(PROGRAM_MAX - CBPF_SCRATCH - 2);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t left = n - 1 - i;

		p[i].code = i < CBPF_SCRATCH ? 0x02 : codes[unit_below(sizeof(codes) / sizeof(codes[0]))];
		if (i >= CBPF_SCRATCH && (p[i].code & 7) == RET_K && unit_below(4) != 0)
			p[i].code = 0x20;
		if (left == 0)
			p[i].code = unit_below(2) ? RET_K : RET_A;
		p[i].jt = left > 0 ? (uint8_t)unit_below(left < 256 ? left : 256) : 0;
		p[i].jf = left > 0 ? (uint8_t)unit_below(left < 256 ? left : 256) : 0;
		p[i].k = unit_below(8) ? unit_below(PACKET_MAX) : (uint32_t)unit_random();
		if (i < CBPF_SCRATCH)
			p[i].k = i;
		else if (p[i].code == JA)
			p[i].k = left > 0 ? unit_below(left) : 0;
		else if ((p[i].code & 7) == 2 || (p[i].code & 7) == 3 || p[i].code == 0x60 || p[i].code == 0x61)
			p[i].k %= CBPF_SCRATCH;
		else if (p[i].code == 0x64 || p[i].code == 0x74) /* libpcap shifts as the processor does */
			p[i].k %= 32;
		else if ((p[i].code == 0x34 || p[i].code == 0x94) && p[i].k == 0)
			p[i].k = 1;
	}
	return n;
}

static void copy(struct bpf_insn *to, const struct cbpf_insn *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = (struct bpf_insn){from[i].code, from[i].jt, from[i].jf, from[i].k};
}

START_TEST(test_random_programs_answer_as_in_libpcap)
{
	struct cbpf_insn program[PROGRAM_MAX];
	struct bpf_insn theirs[PROGRAM_MAX];
	uint32_t wanted = 0;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t n = random_program(program), len = unit_below(PACKET_MAX), ours;
		uint8_t *packet = malloc(len ? len : 1);

		for (uint32_t i = 0; i < len; i++)
			packet[i] = (uint8_t)unit_random();
		copy(theirs, program, n);
		ck_assert_ptr_null(cbpf_check(program, n));
		ck_assert(bpf_validate(theirs, (int)n));
		ours = cbpf_run(program, packet, len + 100, len);
		ck_assert_uint_eq(ours, bpf_filter(theirs, packet, len + 100, len));
		wanted += ours != 0;
		free(packet);
	}
	ck_assert_uint_gt(wanted, ROUNDS / 50);
}
END_TEST

START_TEST(test_what_is_let_through_libpcap_lets_through)
{
	struct cbpf_insn program[4];
	struct bpf_insn theirs[4];
	uint32_t let_through = 0;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t n = 1 + unit_below(4);

		for (uint32_t i = 0; i < n; i++)
			program[i] = (struct cbpf_insn){(uint16_t)(unit_below(4) ? unit_below(256) : unit_random()),
							(uint8_t)unit_below(3), (uint8_t)unit_below(3), unit_below(18)};
		program[n - 1].code = unit_below(2) ? RET_K : program[n - 1].code;
		copy(theirs, program, n);
		if (cbpf_check(program, n) == NULL) {
			ck_assert(bpf_validate(theirs, (int)n));
			let_through++;
		}
	}
	ck_assert_uint_gt(let_through, ROUNDS / 100);
}
END_TEST

static const char *const expressions[] = {
	"tcp port 80",
	"udp and host 10.8.0.2",
	"icmp[icmptype] == 8",
	"tcp[tcpflags] & tcp-syn != 0",
	"ip[8] - 1 > 3 and len > 40 and not net 192.0.2.0/24",
	"portrange 1000-2000 or ip proto 47",
	"udp[(ip[9] % 3) * 2 : 2] ^ 5 != 7",
};

START_TEST(test_expressions_of_libpcap_answer_the_same)
{
	pcap_t *p = pcap_open_dead(228, 65535);
	struct cbpf_insn program[CBPF_MAX];
	struct bpf_program compiled;

	ck_assert_int_eq(pcap_compile(p, &compiled, expressions[_i], 1, PCAP_NETMASK_UNKNOWN), 0);
	for (uint32_t i = 0; i < compiled.bf_len; i++)
		program[i] = (struct cbpf_insn){compiled.bf_insns[i].code, compiled.bf_insns[i].jt,
						compiled.bf_insns[i].jf, compiled.bf_insns[i].k};
	ck_assert_ptr_null(cbpf_check(program, compiled.bf_len));
	for (int round = 0; round < 2000; round++) {
		uint8_t packet[PACKET_MAX] = {0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 10, 8, 0, 2};

		for (uint32_t i = 16; i < PACKET_MAX; i++)
			packet[i] = (uint8_t)(unit_below(3) ? unit_below(128) : 0);
		packet[9] = (uint8_t)(unit_below(2) ? 6 : unit_below(2) ? 17 : 1);
		ck_assert_uint_eq(cbpf_run(program, packet, PACKET_MAX, PACKET_MAX),
				  bpf_filter(compiled.bf_insns, packet, PACKET_MAX, PACKET_MAX));
	}
	pcap_freecode(&compiled);
	pcap_close(p);
}
END_TEST

static void add_comparisons(TCase *t)
{
	tcase_add_test(t, test_random_programs_answer_as_in_libpcap);
	tcase_add_test(t, test_what_is_let_through_libpcap_lets_through);
	tcase_add_loop_test(t, test_expressions_of_libpcap_answer_the_same, 0,
			    sizeof(expressions) / sizeof(expressions[0]));
}

#else

static void add_comparisons(TCase *t)
{
	(void)t;
}

#endif

static Suite *make(void)
{
	Suite *s = suite_create("cbpf");
	TCase *t = tcase_create("cbpf");

	tcase_add_loop_test(t, test_program_is_checked_before_it_runs, 0, sizeof(checked) / sizeof(checked[0]));
	tcase_add_test(t, test_a_program_of_more_than_4096_instructions_is_refused);
	tcase_add_test(t, test_what_lies_beyond_the_packet_ends_the_program);
	tcase_add_test(t, test_division_by_an_x_of_zero_ends_the_program);
	tcase_add_test(t, test_shift_by_a_word_or_more_leaves_nothing);
	add_comparisons(t);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make);
}
