/* SPDX-License-Identifier: ISC */
/*
 * Classic BPF, see cbpf.h.
 *
 * Theory of operation. A program is a list of instructions over an accumulator A, an index register X and sixteen words
 * of scratch memory, all zero at first. Every jump leads forward, so a program of n instructions ends after at most n
 * steps; the last instruction returns, so none runs off the end. cbpf_check() checks both once, together with the
 * addresses of scratch memory and division by a constant 0. Each load checks what depends on the packet. A division by
 * an X of 0 ends the program with 0.
 */
#include "cbpf.h"

#include <stddef.h>

/* Fields of a code: the class; size and mode of a load; operation and source of the others. */
enum {
	CLASS_MASK = 0x07,
	LD = 0x00,
	LDX = 0x01,
	ST = 0x02,
	STX = 0x03,
	ALU = 0x04,
	JMP = 0x05,
	RET = 0x06,
	MISC = 0x07,

	W = 0x00,
	H = 0x08,
	B = 0x10,

	IMM = 0x00,
	ABS = 0x20,
	IND = 0x40,
	MEM = 0x60,
	LEN = 0x80,
	MSH = 0xa0,

	K = 0x00,
	X = 0x08,

	ADD = 0x00,
	SUB = 0x10,
	MUL = 0x20,
	DIV = 0x30,
	OR = 0x40,
	AND = 0x50,
	LSH = 0x60,
	RSH = 0x70,
	NEG = 0x80,
	MOD = 0x90,
	XOR = 0xa0,
	OPERATION_MASK = 0xf0,

	JA = 0x00,
	JEQ = 0x10,
	JGT = 0x20,
	JGE = 0x30,
	JSET = 0x40,

	RET_A = 0x10,
	TAX = 0x00,
	TXA = 0x80,
};

/* ---- the check ---- */

static const char *check_load(const struct cbpf_insn *i)
{
	switch (i->code) {
	case LD | W | ABS:
	case LD | H | ABS:
	case LD | B | ABS:
	case LD | W | IND:
	case LD | H | IND:
	case LD | B | IND:
	case LD | W | LEN:
	case LD | IMM:
	case LDX | IMM:
	case LDX | W | LEN:
	case LDX | B | MSH:
		return NULL;
	case LD | MEM:
	case LDX | MEM:
	case ST:
	case STX:
		return i->k < CBPF_SCRATCH ? NULL : "an address of scratch memory that does not exist";
	default:
		return "an unknown instruction";
	}
}

static const char *check_alu(const struct cbpf_insn *i)
{
	unsigned operation = i->code & OPERATION_MASK, source = i->code & X;

	if (i->code >> 8 != 0 || operation > XOR)
		return "an unknown instruction";
	if (operation == NEG && source == X)
		return "an unknown instruction";
	if ((operation == DIV || operation == MOD) && source == K && i->k == 0)
		return "a division by zero";
	return NULL;
}

/* `left`: number of instructions behind this one. */
static const char *check_jump(const struct cbpf_insn *i, uint32_t left)
{
	switch (i->code) {
	case JMP | JA:
		return i->k < left ? NULL : "a jump out of the program";
	case JMP | JEQ | K:
	case JMP | JEQ | X:
	case JMP | JGT | K:
	case JMP | JGT | X:
	case JMP | JGE | K:
	case JMP | JGE | X:
	case JMP | JSET | K:
	case JMP | JSET | X:
		return i->jt < left && i->jf < left ? NULL : "a jump out of the program";
	default:
		return "an unknown instruction";
	}
}

static const char *check_rest(const struct cbpf_insn *i)
{
	switch (i->code) {
	case RET | K:
	case RET | RET_A:
	case MISC | TAX:
	case MISC | TXA:
		return NULL;
	default:
		return "an unknown instruction";
	}
}

static const char *check_one(const struct cbpf_insn *i, uint32_t left)
{
	switch (i->code & CLASS_MASK) {
	case ALU:
		return check_alu(i);
	case JMP:
		return check_jump(i, left);
	case RET:
	case MISC:
		return check_rest(i);
	default:
		return check_load(i);
	}
}

const char *cbpf_check(const struct cbpf_insn *program, uint32_t n)
{
	if (n == 0 || n > CBPF_MAX)
		return "a program with no instructions or too many";
	for (uint32_t i = 0; i < n; i++) {
		const char *wrong = check_one(&program[i], n - 1 - i);

		if (wrong)
			return wrong;
	}
	return (program[n - 1].code & CLASS_MASK) == RET ? NULL : "a last instruction that is no return";
}

/* ---- the run ---- */

struct machine {
	const uint8_t *packet;
	uint32_t len, wire_len;
	uint32_t a, x;
	uint32_t memory[CBPF_SCRATCH];
};

/* `size` bytes at `at`, as a number in network byte order. False: they are not all in the packet. */
static bool load(const struct machine *m, uint64_t at, uint32_t size, uint32_t *value)
{
	if (at + size > m->len)
		return false;
	*value = 0;
	for (uint32_t i = 0; i < size; i++)
		*value = *value << 8 | m->packet[at + i];
	return true;
}

static uint32_t size_of(uint16_t code)
{
	return (code & 0x18) == W ? 4 : (code & 0x18) == H ? 2 : 1;
}

/* False: the packet is too short. */
static bool run_load(struct machine *m, const struct cbpf_insn *i)
{
	uint32_t *to = (i->code & CLASS_MASK) == LD ? &m->a : &m->x;
	uint32_t value = 0;

	switch (i->code & 0xe0) {
	case IMM:
		*to = i->k;
		return true;
	case MEM:
		*to = m->memory[i->k];
		return true;
	case LEN:
		*to = m->wire_len;
		return true;
	case MSH:
		if (!load(m, i->k, 1, &value))
			return false;
		*to = (value & 0xf) << 2;
		return true;
	case ABS:
		return load(m, i->k, size_of(i->code), to);
	default: /* IND: the sum of two 32-bit values is computed in 64 bits */
		return load(m, (uint64_t)m->x + i->k, size_of(i->code), to);
	}
}

/* False: a division by zero. A shift by the width of a word or more leaves 0. */
static bool run_alu(struct machine *m, const struct cbpf_insn *i)
{
	uint32_t operand = i->code & X ? m->x : i->k;
	unsigned operation = i->code & OPERATION_MASK;

	if ((operation == DIV || operation == MOD) && operand == 0)
		return false;
	switch (operation) {
	case ADD:
		m->a += operand;
		break;
	case SUB:
		m->a -= operand;
		break;
	case MUL:
		m->a *= operand;
		break;
	case DIV:
		m->a /= operand;
		break;
	case MOD:
		m->a %= operand;
		break;
	case OR:
		m->a |= operand;
		break;
	case AND:
		m->a &= operand;
		break;
	case XOR:
		m->a ^= operand;
		break;
	case LSH:
		m->a = operand < 32 ? m->a << operand : 0;
		break;
	case RSH:
		m->a = operand < 32 ? m->a >> operand : 0;
		break;
	default:
		m->a = 0u - m->a;
		break;
	}
	return true;
}

/* How many instructions are skipped. */
static uint32_t run_jump(const struct machine *m, const struct cbpf_insn *i)
{
	uint32_t operand = i->code & X ? m->x : i->k;
	bool is_true;

	switch (i->code & OPERATION_MASK) {
	case JA:
		return i->k;
	case JEQ:
		is_true = m->a == operand;
		break;
	case JGT:
		is_true = m->a > operand;
		break;
	case JGE:
		is_true = m->a >= operand;
		break;
	default:
		is_true = (m->a & operand) != 0;
		break;
	}
	return is_true ? i->jt : i->jf;
}

static void run_move(struct machine *m, const struct cbpf_insn *i)
{
	if (i->code == (MISC | TAX))
		m->x = m->a;
	else
		m->a = m->x;
}

uint32_t cbpf_run(const struct cbpf_insn *program, const uint8_t *packet, uint32_t wire_len, uint32_t len)
{
	struct machine m = {.packet = packet, .len = len, .wire_len = wire_len};

	for (const struct cbpf_insn *i = program;; i++) {
		switch (i->code & CLASS_MASK) {
		case LD:
		case LDX:
			if (!run_load(&m, i))
				return 0;
			break;
		case ST:
			m.memory[i->k] = m.a;
			break;
		case STX:
			m.memory[i->k] = m.x;
			break;
		case ALU:
			if (!run_alu(&m, i))
				return 0;
			break;
		case JMP:
			i += run_jump(&m, i);
			break;
		case RET:
			return i->code == (RET | RET_A) ? m.a : i->k;
		default:
			run_move(&m, i);
			break;
		}
	}
}
