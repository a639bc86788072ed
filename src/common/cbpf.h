/* SPDX-License-Identifier: ISC */
/*
 * Classic BPF: the filter programs that libpcap compiles from pcap-filter(7) expressions. natctl compiles them; natd
 * checks and runs them. A program that passes cbpf_check() ends after at most as many steps as it has instructions, and
 * reads only the packet and its own scratch memory. Pure: no I/O, no allocation.
 *
 * The language is McCanne and Jacobson's, with libpcap's MOD and XOR, and without the kernel's extensions: their loads
 * at negative offsets lie beyond the packet, so they end the program with 0, like every load beyond its end.
 */
#ifndef NATD_COMMON_CBPF_H
#define NATD_COMMON_CBPF_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CBPF_MAX = 4096,  /* instructions of a program */
	CBPF_SCRATCH = 16 /* words of scratch memory */
};

/* Laid out as struct bpf_insn and the kernel's struct sock_filter. */
struct cbpf_insn {
	uint16_t code;
	uint8_t jt, jf; /* instructions to skip: if true, if false */
	uint32_t k;
};

/* Why the program must not be run; NULL: it may. */
const char *cbpf_check(const struct cbpf_insn *program, uint32_t n);

/* Runs a checked program over the first `len` bytes of a packet that is `wire_len` long. 0: the packet does not
 * match. */
uint32_t cbpf_run(const struct cbpf_insn *program, const uint8_t *packet, uint32_t wire_len, uint32_t len);

#endif
