/* SPDX-License-Identifier: ISC */
/*
 * natlab --pcap: records the packets on both sides of every NAT as pcapng, one interface for each side, named nat1-in0,
 * nat1-out0 and so on. In a process of its own.
 */
#ifndef NATD_NATLAB_RECORD_H
#define NATD_NATLAB_RECORD_H

#include <stdint.h>
#include <sys/types.h>

#include "plan.h"

struct recorder {
	pid_t pid; /* 0: none */
	int stop;  /* closing it ends the recording */
};

/* Records into `file` from now on. Ends this process if that is impossible. */
void record_start(struct recorder *r, const struct plan *p, int file);
/* Ends the recording: all packets captured so far are in the file when this returns. */
void record_stop(struct recorder *r);

/* pcapng blocks (draft-ietf-opsawg-pcapng), in host byte order. Each writes the whole block at `to` and returns its
 * length; at most RECORD_OVERHEAD more than `name` or the packet, which is cut to RECORD_SNAP. */
enum { RECORD_SNAP = 262144, RECORD_OVERHEAD = 128 };
size_t record_section(uint8_t *to);
size_t record_interface(uint8_t *to, const char *name);
size_t record_packet(uint8_t *to, uint32_t interface, uint64_t time_ns, const uint8_t *packet, uint32_t length);

#endif
