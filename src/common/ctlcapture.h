/* SPDX-License-Identifier: ISC */
/*
 * The control protocol's capture: the request with its filters, and the packets. As in ctlproto.h, each ctl_put_ writes
 * one whole frame (false: no room, nothing written), each ctl_get_ reads a body (false: malformed).
 */
#ifndef NATD_COMMON_CTLCAPTURE_H
#define NATD_COMMON_CTLCAPTURE_H

#include "cbpf.h"
#include "ctlfilter.h"
#include "ctlrecord.h"

enum {
	CTL_CAPTURE_INSN = 8,				       /* bytes of an instruction in a request */
	CTL_CAPTURE_MAX = 512 + CBPF_MAX * CTL_CAPTURE_INSN,   /* longest request frame, head included */
	CTL_PACKET_BYTES_MAX = CTL_REPLY_MAX - 256,	       /* bytes of one packet in a record */
	CTL_PACKET_FRAME_MAX = CTL_PACKET_BYTES_MAX + 256 - 64 /* longest record of a packet, head included */
};

enum { CTL_CAPTURE_INSIDE = 0, CTL_CAPTURE_OUTSIDE = 1, CTL_CAPTURE_BOTH = 3 /* 1 << side of both */ };

struct ctl_capture {
	uint8_t sides;	  /* bits 1 << CTL_CAPTURE_INSIDE and 1 << CTL_CAPTURE_OUTSIDE */
	uint32_t count;	  /* packets to capture; 0: no limit */
	uint32_t seconds; /* time to capture; 0: no limit */
	struct ctl_filter filter;
	uint32_t n_insns;     /* 0: no program */
	const uint8_t *insns; /* wire form, unchecked; after get it points into the body */
};
/* `program` replaces c->insns; the writer needs at most CTL_CAPTURE_MAX bytes. */
bool ctl_put_capture(struct ctl_writer *w, const struct ctl_capture *c, const struct cbpf_insn *program);
bool ctl_get_capture(struct ctl_reader *r, struct ctl_capture *c);
/* Instruction number `i` of c->insns. */
struct cbpf_insn ctl_capture_insn(const struct ctl_capture *c, uint32_t i);

enum {
	CTL_PACKET_LEFT = 1, /* as it leaves natd; without it: as it arrived */
	CTL_PACKET_MADE = 2, /* natd's own: an answer to another packet, or about a session that has ended */
};

/* What happened to the packet. */
enum ctl_fate { CTL_FATE_DROPPED, CTL_FATE_OUTSIDE, CTL_FATE_INSIDE, CTL_FATE_HOST, CTL_FATE_HELD, CTL_FATE_COUNT };

struct ctl_packet {
	uint64_t time_ns; /* since the epoch */
	uint64_t number;  /* the same for all forms of one packet */
	uint8_t side;	  /* CTL_CAPTURE_ */
	uint8_t flags;	  /* CTL_PACKET_ */
	uint8_t fate;	  /* enum ctl_fate */
	uint8_t protocol;
	uint64_t session;			     /* 0: none */
	struct ctl_endpoint inside, outside, remote; /* of the session; 0.0.0.0: unknown */
	char reason[CTL_NAME_MAX + 1];		     /* name of the drop counter; "": not dropped */
	uint32_t wire_len;
	uint16_t len;	      /* captured bytes, the first of wire_len */
	const uint8_t *bytes; /* after get it points into the body */
};
bool ctl_put_packet(struct ctl_writer *w, const struct ctl_packet *p);
bool ctl_get_packet(struct ctl_reader *r, struct ctl_packet *p);

#endif
