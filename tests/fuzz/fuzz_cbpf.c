/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: filter programs of natctl capture, as a client may send them. Input: two bytes, the number of
 * instructions; the instructions, as in the control protocol; the rest is the packet. An accepted program ends, and
 * reads only the packet, which is in memory of exactly its length.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/ctlcapture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct cbpf_insn *program, const uint8_t *data, size_t size)
{
	uint8_t *packet = malloc(size ? size : 1);

	if (!packet)
		return;
	memcpy(packet, data, size);
	for (uint32_t len = (uint32_t)size;; len /= 2) {
		cbpf_run(program, packet, (uint32_t)size, len);
		if (len == 0)
			break;
	}
	free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cbpf_insn program[CBPF_MAX];
	struct ctl_capture c = {0};
	size_t used;

	if (size < 2 || size > 1 << 16)
		return 0;
	c.n_insns = (uint32_t)(data[0] << 8 | data[1]) % (CBPF_MAX + 1);
	c.insns = data + 2;
	used = 2 + (size_t)c.n_insns * CTL_CAPTURE_INSN;
	if (used > size)
		return 0;
	for (uint32_t i = 0; i < c.n_insns; i++)
		program[i] = ctl_capture_insn(&c, i);
	if (cbpf_check(program, c.n_insns) == NULL)
		run(program, data + used, size - used);
	return 0;
}
