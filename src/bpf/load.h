/* SPDX-License-Identifier: ISC */
/*
 * Between natd and natd-bpf-load, over a SOCK_SEQPACKET socket that is the loader's standard input. The loader sends
 * one message and ends: an empty text with the descriptors below in this order (SCM_RIGHTS), or the text of an error
 * without any. With LOAD_NO_FLOWS as its argument it makes no maps of flows, sends LOAD_FDS_STEERING descriptors, and
 * the programs only steer.
 */
#ifndef NATD_BPF_LOAD_H
#define NATD_BPF_LOAD_H

enum load_fd {
	LOAD_CONFIG, /* maps: struct steer_config, words of ports, struct steer_counters */
	LOAD_PORTS,
	LOAD_COUNTS,
	LOAD_OUTSIDE, /* programs of steer.bpf.c: for packets with an Ethernet header, then without */
	LOAD_OUTSIDE_L3,
	LOAD_INSIDE,
	LOAD_INSIDE_L3,
	LOAD_TUN,
	LOAD_FLOWS, /* maps: struct flow, struct flow_bucket */
	LOAD_INDEX,
	LOAD_FDS,
	LOAD_FDS_STEERING = LOAD_FLOWS
};

#define LOAD_NO_FLOWS "no-flows"

enum { LOAD_TEXT_MAX = 512 };

#endif
