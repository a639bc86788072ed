/* SPDX-License-Identifier: ISC */
/*
 * Classic BPF: the filter programs that libpcap compiles from pcap-filter(7) expressions. natctl compiles, natd checks
 * and runs: a program that cbpf_check() lets through ends after at most its own length in steps and reads nothing but
 * the packet and its own scratch memory. Pure: no I/O, no allocation.
 *
 * The language is McCanne and Jacobson's, with libpcap's MOD and XOR, and without the kernel's extensions (loads at
 * negative offsets read beyond the packet, so they end the program with 0, like every load beyond its end).
 */
#ifndef NATD_COMMON_CBPF_H
#define NATD_COMMON_CBPF_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CBPF_MAX = 4096,  /* instructions of a program */
	CBPF_SCRATCH = 16 /* words of scratch memory */
};

/* As in struct bpf_insn and the kernel's struct sock_filter. */
struct cbpf_insn {
	uint16_t code;
	uint8_t jt, jf; /* instructions to be skipped: true, false */
	uint32_t k;
};

/* Why the program may not be run; NULL: it may. */
const char *cbpf_check(const struct cbpf_insn *program, uint32_t n);

/* Runs a checked program over the first `len` bytes of a packet that is `wire_len` long. 0: it does not want the packet. */
uint32_t cbpf_run(const struct cbpf_insn *program, const uint8_t *packet, uint32_t wire_len, uint32_t len);

#endif
