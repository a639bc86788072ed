/* SPDX-License-Identifier: ISC */
/*
 * Checks the host in a thread of its own, beside the packet loop: checks that take a netlink query for each forward, or
 * read a firewall's whole ruleset. The loop fetches the list of findings when it is ready; packets never wait for it.
 */
#ifndef NATD_DAEMON_OBSERVER_H
#define NATD_DAEMON_OBSERVER_H

#include <stdatomic.h>

#include "daemon/base/findings.h"
#include "daemon/sandbox/privs.h"
#include "daemon/setup/setup.h"

struct observer;

/* Opens its sockets (within privs_raise() it may read firewalls) and starts the thread, which waits for
 * observer_set(). `privs` is borrowed: the thread raises it for each reading. So is `refuses_inside`, which the thread
 * writes after each reading: the host's firewall may refuse super-packets that natd writes to its device for inside
 * hosts. It is true until the firewall was read, and where it cannot be. Returns 0, or a negative errno and
 * *refuses_inside false. */
int observer_start(struct observer **out, const struct privs *privs, atomic_bool *refuses_inside);
void observer_stop(struct observer *o); /* NULL is allowed */

/* Checks this setup from now on; the previous one may be destroyed when this returns. Waits for at most one query to
 * the kernel. A NULL observer is allowed, here and below. */
void observer_set(struct observer *o, const struct setup *s, uint32_t mark);
/* Routes may have changed: checks again soon. */
void observer_kick(struct observer *o);
/* Exchanges `*into` for a newer list, if there is one. */
bool observer_take(struct observer *o, struct findings *into);

#endif
