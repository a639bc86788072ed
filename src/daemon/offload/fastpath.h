/* SPDX-License-Identifier: ISC */
/*
 * The fast path: sessions that the tc programs carry (bpf/fast.bpf.h, core/nat/mirror.h). It needs the doorman, whose
 * programs find the flows at its interfaces. All calls from the loop's thread.
 */
#ifndef NATD_DAEMON_OFFLOAD_FASTPATH_H
#define NATD_DAEMON_OFFLOAD_FASTPATH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/nat/mirror.h"
#include "core/nat/nat.h"
#include "daemon/config/config.h"
#include "doorman.h"

/* Shows sessions to the programs from now on, or again after routes or interfaces have changed. False: no memory. */
bool fastpath_begin(struct doorman *d, struct nat *nat, enum config_fast_path mode);
/* Each second; otherwise the programs carry nothing after STEER_BEAT_MOST_S. */
void fastpath_beat(struct doorman *d, struct nat *nat);
/* The programs carry no session any more. With `goes_on` they do until the last beat ends, and the next natd takes
 * over their flows (fastpath_adopt()). */
void fastpath_end(struct doorman *d, struct nat *nat, bool goes_on);

/* The flows of the previous natd, whose programs are not attached any more. Closes `fd`. */
void fastpath_adopt(struct nat *nat, int fd);

#endif
