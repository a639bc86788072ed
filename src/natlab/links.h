/* SPDX-License-Identifier: ISC */
/*
 * Whether the cables of a laboratory carry: a device that is set up does so a little later, when the kernel has looked at
 * its other end, and a bridge drops what its ports do not forward yet. COMMAND's first packet shall not wait for ARP's
 * second try, a second later.
 */
#ifndef NATD_NATLAB_LINKS_H
#define NATD_NATLAB_LINKS_H

#include "plan.h"

/* Returns once every cable and bridge of all nodes carries packets; ends this process (LAB_CANNOT) if that does not come within
 * `seconds`. The caller's network namespace stays what it is. */
void links_await(const struct plan *p, int seconds);

#endif
