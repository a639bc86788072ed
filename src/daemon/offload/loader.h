/* SPDX-License-Identifier: ISC */
/* Runs natd-bpf-load, which loads the tc programs and passes their descriptors (bpf/load.h). */
#ifndef NATD_DAEMON_OFFLOAD_LOADER_H
#define NATD_DAEMON_OFFLOAD_LOADER_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/load.h"

/*
 * Needs the right to load programs (CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN), which the loader inherits. 0, with every
 * descriptor in `fds`, the caller's; those of flows are -1 without `has_flows`. Or a negative errno, no descriptor, and
 * one line in `why`. Waits at most a minute, which a slow machine may need.
 */
int loader_run(int fds[LOAD_FDS], bool has_flows, char *why, size_t size);

#endif
