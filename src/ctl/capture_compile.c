/* SPDX-License-Identifier: ISC */
/* pcap-filter(7) expressions, compiled by libpcap. natd checks the program before it runs it. */
#include "capture.h"

#ifdef HAVE_LIBPCAP

#include <pcap/pcap.h>

enum { DLT_OF_IPV4 = 228 };

static int copy(const struct bpf_program *from, struct cbpf_insn to[CBPF_MAX])
{
	if (from->bf_len > CBPF_MAX) {
		natctl_complain(
			"capture: the expression takes %u instructions, more than natd's limit of %d: simplify it",
			from->bf_len, CBPF_MAX);
		return -1;
	}
	for (unsigned i = 0; i < from->bf_len; i++)
		to[i] = (struct cbpf_insn){from->bf_insns[i].code, from->bf_insns[i].jt, from->bf_insns[i].jf,
					   from->bf_insns[i].k};
	return (int)from->bf_len;
}

int capture_compile(const char *expression, struct cbpf_insn program[CBPF_MAX])
{
	pcap_t *p = pcap_open_dead(DLT_OF_IPV4, UINT16_MAX);
	struct bpf_program compiled;
	int n = -1;

	if (!p) {
		natctl_complain("capture: natctl is out of memory");
		return -1;
	}
	if (pcap_compile(p, &compiled, expression, 1, PCAP_NETMASK_UNKNOWN) == 0) {
		n = copy(&compiled, program);
		pcap_freecode(&compiled);
	} else {
		natctl_complain("capture: `%s' is not an expression of pcap-filter(7): %s", expression, pcap_geterr(p));
	}
	pcap_close(p);
	return n;
}

#else

int capture_compile(const char *expression, struct cbpf_insn program[CBPF_MAX])
{
	(void)expression, (void)program;
	natctl_complain("capture: this natctl was built without libpcap and has no expressions: use -p, -s, -d...");
	return -1;
}

#endif
