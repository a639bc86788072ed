/* SPDX-License-Identifier: ISC */
/*
 * From one natd to the next: what must outlive the process lies in the service manager's store, and the
 * host is left as it is, so that packets wait for the next natd instead of being answered by the host.
 * What is told in full in docs/restart.md. Without a manager, everything here does nothing.
 */
#ifndef NATD_DAEMON_HANDOVER_H
#define NATD_DAEMON_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config/config.h"

struct natd;

enum handover_item {
	HANDOVER_TABLE, /* the memfd with the table's records */
	HANDOVER_ICMP,	/* the socket that reads ICMP, and what waits in it */
	HANDOVER_TUN,	/* the device's first queue, likewise; the others follow */
	HANDOVER_ITEMS = HANDOVER_TUN + CONFIG_QUEUES_MAX
};

struct handover {
	bool is_stored[HANDOVER_ITEMS];	     /* the manager has one, and nobody found fault with it */
	bool is_due[HANDOVER_ITEMS];	     /* the one that is in use now has to be sent, ... */
	bool is_removal_due[HANDOVER_ITEMS]; /* ... after the manager was told to drop a former one */
	bool is_kept;			     /* handover_keep() was called: the store follows what is in use */
	bool has_taken;			     /* a former natd left something: its host is as it left it */
	bool goes_on;			     /* a next natd comes: it finds the host as this one leaves it */
};

/* At start: what the former natd left, the caller's from now on; -1: nothing. Queue k of the TUN device is item
 * HANDOVER_TUN + k. */
int handover_take(struct natd *n, unsigned item);
/* What was taken is of no use, and closed: the manager, if it reads, closes its own too before this returns. */
void handover_refuse(struct natd *n, unsigned item);
/* None of the former device's queues from number `from` on is of use: those taken are closed, the others are closed
 * now, and by the manager likewise. How many had not been taken. */
uint32_t handover_refuse_queues(struct natd *n, uint32_t from);

/* At the end of the start: everything is to go into the store, what came and was not taken out of it. */
void handover_keep(struct natd *n);
/* Tells the manager what it was not told, or did not take, so far. False: it takes nothing now; call again later, and
 * READY has to wait for that. */
bool handover_send_due(struct natd *n);
/* The TUN was opened. If that is after handover_keep(), it takes the place of the former in the store. */
void handover_keep_tun(struct natd *n);

/* Told to stop: finds out whether that is for a restart, which takes 500 ms at most. Without the table in the store
 * nothing goes on. */
void handover_ask(struct natd *n);
/* Does the next natd get the table out of the store? */
bool handover_keeps_table(const struct natd *n);
/* The last of a stop: nothing of what makes a gateway of the host stays in the store. The manager itself drops the
 * table when it has stopped the unit, and keeps it if this was a restart after all. */
void handover_end(struct natd *n);

#endif
