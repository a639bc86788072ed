/* SPDX-License-Identifier: ISC */
/*
 * Between natd and natd-bpf-load, over a SOCK_SEQPACKET socket that is the loader's standard input. The loader sends one
 * message and ends: an empty text with the descriptors below in this order (SCM_RIGHTS), or the text of an error without any.
 */
#ifndef NATD_BPF_LOAD_H
#define NATD_BPF_LOAD_H

enum load_fd {
	LOAD_CONFIG, /* maps: struct steer_config, words of ports, struct steer_counters, struct flow, struct flow_bucket */
	LOAD_PORTS,
	LOAD_COUNTS,
	LOAD_FLOWS,
	LOAD_INDEX,
	LOAD_OUTSIDE, /* programs of steer.bpf.c: for packets with an Ethernet header, then without */
	LOAD_OUTSIDE_L3,
	LOAD_INSIDE,
	LOAD_INSIDE_L3,
	LOAD_TUN,
	LOAD_FDS
};

enum { LOAD_TEXT_MAX = 512 };

#endif
