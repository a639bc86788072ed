/* SPDX-License-Identifier: ISC */
/*
 * From one natd to the next: what must outlive the process is in the service manager's store, and the host is left as
 * it is, so that packets wait for the next natd instead of being answered by the host. docs/restart.md has the details.
 * Without a manager every function does nothing.
 */
#ifndef NATD_DAEMON_HANDOVER_H
#define NATD_DAEMON_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config/config.h"

struct sdnotify;

enum { HANDOVER_LINKS_MAX = 24 };

enum handover_item {
	HANDOVER_TABLE, /* the memfd with the table's records */
	/* the socket that reads ICMP, and the packets waiting in it */
	HANDOVER_ICMP,
	HANDOVER_TUN,					     /* the device's first queue, likewise; the others follow */
	HANDOVER_LINK = HANDOVER_TUN + CONFIG_QUEUES_MAX,    /* the first tc program's link; the others follow */
	HANDOVER_FLOWS = HANDOVER_LINK + HANDOVER_LINKS_MAX, /* the map of the sessions that these carry */
	HANDOVER_ITEMS
};

struct handover {
	struct sdnotify *service;	     /* borrowed */
	int in_use[HANDOVER_ITEMS];	     /* borrowed descriptors; -1: none. See handover_use() */
	bool is_stored[HANDOVER_ITEMS];	     /* the manager has one, and as far as known it is usable */
	bool is_due[HANDOVER_ITEMS];	     /* the one in use must be sent, ... */
	bool is_removal_due[HANDOVER_ITEMS]; /* ... after the manager was told to drop the previous one */
	bool is_kept;			     /* handover_keep() was called: the store follows the descriptors in use */
	bool has_taken;			     /* the previous natd left something: the host is as that natd left it */
	bool goes_on;			     /* another natd follows: it finds the host as this one leaves it */
};

void handover_init(struct handover *h, struct sdnotify *service);

/* During start: the descriptor that the previous natd left, now the caller's; -1: none. Queue k of the TUN device is
 * item HANDOVER_TUN + k. */
int handover_take(struct handover *h, unsigned item);
/* The taken descriptor is unusable, and was closed. A manager that reads has closed its own too when this returns. */
void handover_refuse(struct handover *h, unsigned item);
/* The previous device's queues from number `from` on are unusable: the caller has closed those it took, this closes
 * the others, and the manager closes all of them. Returns how many had not been taken. */
uint32_t handover_refuse_queues(struct handover *h, uint32_t from);

/* From now on `fd` is in use for `item`; -1: none is. It must stay open until another one is named here. */
void handover_use(struct handover *h, unsigned item, int fd);

/* At the end of the start: puts everything in use into the store, and closes descriptors from the manager that natd
 * did not take. */
void handover_keep(struct handover *h);
/* Sends messages that are due. False: the manager accepts none now; call again later, and delay READY until then. */
bool handover_send_due(struct handover *h);
/* The TUN was opened and handover_use() named its queues. After handover_keep() they replace the previous ones in
 * the store. */
void handover_keep_tun(struct handover *h);

/* handover_use() named another i-th link, or none. After handover_keep() it replaces the previous one in the store. */
void handover_keep_link(struct handover *h, uint32_t i);
/* The same for the map of flows. */
void handover_keep_flows(struct handover *h);

/* At a stop: finds out whether it is a restart, which takes at most 500 ms. Without the table in the store it counts
 * as a stop. `has_state_file`: the table then goes there (for the log). */
void handover_ask(struct handover *h, bool has_state_file);
/* Does the next natd get the table from the store? */
bool handover_keeps_table(const struct handover *h);
/* The last step of a stop: the device and the ICMP socket leave the store. The manager itself drops the table after
 * it has stopped the unit, and keeps it if this was a restart after all. */
void handover_end(struct handover *h);

#endif
