/* SPDX-License-Identifier: ISC */
/*
 * From one natd to the next: what must outlive the process lies in the service manager's store, and the
 * host is left as it is, so that packets wait for the next natd instead of being answered by the host.
 * docs/restart.md has the whole story. Without a manager, everything here does nothing.
 */
#ifndef NATD_DAEMON_HANDOVER_H
#define NATD_DAEMON_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config/config.h"

struct sdnotify;

enum { HANDOVER_LINKS_MAX = 24 };

enum handover_item {
	HANDOVER_TABLE,					     /* the memfd with the table's records */
	HANDOVER_ICMP,					     /* the socket that reads ICMP, and what waits in it */
	HANDOVER_TUN,					     /* the device's first queue, likewise; the others follow */
	HANDOVER_LINK = HANDOVER_TUN + CONFIG_QUEUES_MAX,    /* the first tc program's link; the others follow */
	HANDOVER_FLOWS = HANDOVER_LINK + HANDOVER_LINKS_MAX, /* the map of the sessions that they carry */
	HANDOVER_ITEMS
};

struct handover {
	struct sdnotify *service;	     /* borrowed */
	int in_use[HANDOVER_ITEMS];	     /* borrowed descriptors; -1: none. See handover_use() */
	bool is_stored[HANDOVER_ITEMS];	     /* the manager has one, and it is usable as far as is known */
	bool is_due[HANDOVER_ITEMS];	     /* the one in use has to be sent, ... */
	bool is_removal_due[HANDOVER_ITEMS]; /* ... after the manager was told to drop the previous one */
	bool is_kept;			     /* handover_keep() was called: the store follows what is in use */
	bool has_taken;			     /* the previous natd left something: the host is as that natd left it */
	bool goes_on;			     /* another natd follows: it finds the host as this one leaves it */
};

void handover_init(struct handover *h, struct sdnotify *service);

/* At start: the descriptor that the previous natd left, now the caller's; -1: none. Queue k of the TUN device is item
 * HANDOVER_TUN + k. */
int handover_take(struct handover *h, unsigned item);
/* The descriptor taken is unusable, and closed. A manager that reads has closed its own too when this returns. */
void handover_refuse(struct handover *h, unsigned item);
/* The previous device's queues from number `from` on are unusable: those taken are closed already, the others are closed
 * here, and all of them by the manager. Returns how many had not been taken. */
uint32_t handover_refuse_queues(struct handover *h, uint32_t from);

/* `fd` is in use for `item` from now on; -1: none is. It has to be open for as long as it is named here. */
void handover_use(struct handover *h, unsigned item, int fd);

/* At the end of the start: everything in use goes into the store; what the manager passed and natd did not take is closed. */
void handover_keep(struct handover *h);
/* Sends the manager what it was not sent, or did not take, so far. False: it takes nothing now; call again later, and
 * READY has to wait for that. */
bool handover_send_due(struct handover *h);
/* The TUN was opened and its queues named by handover_use(). After handover_keep() they replace the previous ones in the store. */
void handover_keep_tun(struct handover *h);

/* Another i-th link, or none, was named by handover_use(). After handover_keep() it replaces the previous one in the store. */
void handover_keep_link(struct handover *h, uint32_t i);
/* The same of the map of flows. */
void handover_keep_flows(struct handover *h);

/* At a stop: finds out whether it is for a restart, which takes 500 ms at most. Without the table in the store
 * nothing goes on. `has_state_file`: then the table goes there (for the log). */
void handover_ask(struct handover *h, bool has_state_file);
/* Does the next natd get the table out of the store? */
bool handover_keeps_table(const struct handover *h);
/* The last step of a stop: the device and the ICMP socket leave the store. The manager itself drops the
 * table when it has stopped the unit, and keeps it if this was a restart after all. */
void handover_end(struct handover *h);

#endif
