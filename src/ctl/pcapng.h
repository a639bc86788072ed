/* SPDX-License-Identifier: ISC */
/*
 * pcapng files (draft-ietf-opsawg-pcapng), in the machine's byte order: one section with one interface for each side,
 * of link type 228 (raw IPv4), times in nanoseconds. Errors stay in the stream: ferror().
 */
#ifndef NATD_CTL_PCAPNG_H
#define NATD_CTL_PCAPNG_H

#include <stdint.h>
#include <stdio.h>

enum { PCAPNG_IN = 1, PCAPNG_OUT = 2 }; /* as epb_flags has them: received, sent */

struct pcapng_packet {
	uint32_t interface; /* CTL_CAPTURE_ */
	uint32_t direction; /* PCAPNG_ */
	uint64_t time_ns;   /* since the epoch */
	uint64_t number;    /* the same for all forms of one packet */
	uint32_t wire_len, len;
	const uint8_t *bytes;
	const char *comment;
};

/* The section header and both interfaces. */
void pcapng_begin(FILE *f, uint32_t longest);
void pcapng_put(FILE *f, const struct pcapng_packet *p);
/* The statistics of each interface: packets written, and packets lost between natd and natctl. */
void pcapng_end(FILE *f, uint64_t time_ns, const uint64_t written[2], uint64_t lost);

#endif
