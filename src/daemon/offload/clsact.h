/* SPDX-License-Identifier: ISC */
/*
 * Programs as filters at clsact, for kernels without tcx (before Linux 6.6).
 *
 * Theory of operation. No descriptor holds such a filter: it stays when natd has died, until somebody removes it. Its handle
 * is the index of natd's TUN device, so it is known whose it is. A restart that keeps the device replaces the programs of the
 * previous natd in their places. Without that device the programs leave everything to the host (STEER_OUTLIVES), and the next
 * natd of the host removes them (clsact_clean()), whatever it steers by itself.
 *
 * Where natd makes the clsact, the name of its filter says so ("+clsact"), and the last filter of that kind takes an empty
 * one with it. A clsact of others is left, and so are their filters: those of a smaller preference come before natd's.
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

/* Attaches the program, or puts it in the place of the one that is there. 0 or a negative errno, with netlink_error(). `role` is
 * for readers of `tc filter show`. */
int clsact_attach(struct netlink *nl, const struct clsact_filter *f, int program, const char *role);
/* 0 also when it is not there. */
int clsact_detach(struct netlink *nl, const struct clsact_filter *f);
/* False: it is not there for certain. */
bool clsact_is_attached(struct netlink *nl, const struct clsact_filter *f);

/* Removes what a natd left whose device is gone, on every interface, and the filters of the device `tun` but for those in use, at
 * `n_kept` interfaces. How many. */
unsigned clsact_clean(struct netlink *nl, int tun, const int *kept, uint32_t n_kept);

#endif
