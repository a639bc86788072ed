/* SPDX-License-Identifier: ISC */
/*
 * Programs as filters at clsact, for kernels without tcx (before Linux 6.6).
 *
 * Theory of operation. No descriptor holds such a filter: after natd's end it stays until it is removed. Its handle is
 * the index of natd's TUN device, which identifies its natd. A restart that keeps the device replaces the programs of
 * the previous natd in their places. Without that device the programs leave everything to the host (STEER_OUTLIVES).
 * The next natd of the host removes them (clsact_clean()), even if it steers by rules.
 *
 * If natd makes the clsact, the name of its filter ends in "+clsact". When natd removes the last filter of that kind,
 * it also removes the clsact if that is empty. natd leaves other clsacts and filters alone: those with a smaller
 * preference run before natd's.
 *
 * All calls need CAP_NET_ADMIN in effect, in the calling thread.
 */
#ifndef NATD_DAEMON_OFFLOAD_CLSACT_H
#define NATD_DAEMON_OFFLOAD_CLSACT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/kernel/netlink.h"

struct clsact_filter {
	int interface; /* index */
	int tun;       /* of natd's device */
};

/* Attaches the program, or replaces the present one. 0 or a negative errno, with netlink_error(). `role` is for
 * readers of `tc filter show`. */
int clsact_attach(struct netlink *nl, const struct clsact_filter *f, int program, const char *role);
/* 0 also if there is none. */
int clsact_detach(struct netlink *nl, const struct clsact_filter *f);
/* False: there is certainly none. */
bool clsact_is_attached(struct netlink *nl, const struct clsact_filter *f);

/* Removes the filters of natds whose device is gone, on every interface. Of the filters of the device `tun` it keeps
 * only those at the `n_kept` interfaces. Returns the number of removed filters. */
unsigned clsact_clean(struct netlink *nl, int tun, const int *kept, uint32_t n_kept);

#endif
