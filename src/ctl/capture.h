/* SPDX-License-Identifier: ISC */
/* Parts of natctl capture: its options, its expression, and a packet as text. */
#ifndef NATD_CTL_CAPTURE_H
#define NATD_CTL_CAPTURE_H

#include <stdio.h>

#include "common/ctlcapture.h"
#include "options.h"

struct capture_choice {
	const char *path; /* "-": stdout; NULL: print text */
	uint8_t sides;
	uint32_t count, seconds; /* 0: no limit */
};

/* Target: a struct capture_choice. */
extern const struct option_set capture_options;

enum { CAPTURE_COMMENT_MAX = 256 };

/* What happened to the packet: "session=17 inside=10.8.0.2:40000 ..." or "drop_unsolicited ...". Returns `buf`. */
char *capture_comment(char buf[CAPTURE_COMMENT_MAX], const struct ctl_packet *p);
void capture_print_line(FILE *f, const struct ctl_packet *p);
void capture_print_json(FILE *f, const struct ctl_packet *p);

/*
 * Compiles a pcap-filter(7) expression for packets that begin with their IPv4 header. Returns the number of
 * instructions. -1: it is invalid, or this natctl has no libpcap; that was printed.
 */
int capture_compile(const char *expression, struct cbpf_insn program[CBPF_MAX]);

#endif
