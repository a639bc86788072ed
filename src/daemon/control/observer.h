/* SPDX-License-Identifier: ISC */
/*
 * Looks at the host beside the packet loop, in a thread of its own: what takes a netlink question for each forward, or reads a
 * firewall's whole ruleset. The loop takes the list of findings when it is ready; packets never wait for it.
 */
#ifndef NATD_DAEMON_OBSERVER_H
#define NATD_DAEMON_OBSERVER_H

#include "daemon/base/findings.h"
#include "daemon/sandbox/privs.h"
#include "daemon/setup/setup.h"

struct observer;

/* Opens its sockets (within privs_raise() it may read firewalls) and starts the thread, which waits for observer_set(). `privs` is
 * borrowed: the thread raises it for each reading. 0 or a negative errno. */
int observer_start(struct observer **out, const struct privs *privs);
void observer_stop(struct observer *o); /* NULL: nothing */

/* Looks at this setup from now on, and no longer at the one before, which may be destroyed when this returns. Waits for one
 * question to the kernel at most. NULL: nothing. */
void observer_set(struct observer *o, const struct setup *s, uint32_t mark);
/* Routes may have changed: looks again soon. NULL: nothing. */
void observer_kick(struct observer *o);
/* Exchanges `*into` for a newer list, if there is one. NULL: nothing. */
bool observer_take(struct observer *o, struct findings *into);

#endif
