/* SPDX-License-Identifier: ISC */
/*
 * The few commands of bpf() that natd itself uses, on descriptors from the loader: attaching programs to interfaces
 * (tcx, Linux 6.6) and removing them. None of them needs a capability, unlike making maps and loading programs. Every
 * call returns a negative errno when it fails.
 */
#ifndef NATD_DAEMON_OFFLOAD_BPF_H
#define NATD_DAEMON_OFFLOAD_BPF_H

#include <stdint.h>

enum bpf_hook { BPF_HOOK_INGRESS = 46, BPF_HOOK_EGRESS = 47 }; /* BPF_TCX_INGRESS, BPF_TCX_EGRESS */

/* The descriptor of a new link. -EINVAL: the kernel has no tcx; -ENODEV: no such interface. */
int bpf_link_attach(int program, int interface, enum bpf_hook hook);
/* Replaces the link's program, between two packets. -ENOLINK: its interface is gone. */
int bpf_link_replace(int link, int program);
/* Removes the program, even if another process holds the link's descriptor. */
int bpf_link_remove(int link);

struct bpf_link_state {
	int interface; /* 0: it has gone, or the program was taken away */
	enum bpf_hook hook;
};
/* -EINVAL: the descriptor is not that of a tcx link. */
int bpf_link_look(int link, struct bpf_link_state *out);

struct bpf_map_state {
	uint32_t value_size, entries;
};
/* -EINVAL: the descriptor is not that of a map that is an array. */
int bpf_map_look(int map, struct bpf_map_state *out);

#endif
