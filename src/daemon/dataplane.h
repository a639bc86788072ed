/* SPDX-License-Identifier: ISC */
/*
 * The only place where devices meet the core: reads a burst from the TUN or the ICMP socket, has it
 * translated, sends what comes out, and lets the core's time pass. Every wake-up has a budget, so that
 * packets never hold up the control socket, nor it them.
 */
#ifndef NATD_DAEMON_DATAPLANE_H
#define NATD_DAEMON_DATAPLANE_H

#include <stdint.h>

#include "icmpsock.h"
#include "iocounter.h"
#include "rawsock.h"
#include "tun.h"

struct loop;
struct nat;
struct dataplane;

enum {
	DATAPLANE_BURST = 64,	   /* packets translated together */
	DATAPLANE_BURSTS = 4,	   /* from the TUN in one turn of the loop; one from the ICMP socket */
	DATAPLANE_STEP = 4096,	   /* records that nat_step() visits in one turn */
	DATAPLANE_ROUND_MS = 8000, /* in which each record of the table is visited once: no expiry is later */
};

struct dataplane_params {
	struct loop *loop;
	struct nat *nat;
	struct rawsock *raw;
	/* The device is gone, or reading it failed for good: it is not read any more until dataplane_set_tun(). */
	void (*tun_lost)(void *ctx, int err);
	void *ctx;
};

/* All of it is borrowed as long as it lives. NULL when memory is short. Nothing is read yet. */
struct dataplane *dataplane_create(const struct dataplane_params *p);
void dataplane_destroy(struct dataplane *d); /* NULL: nothing */

/* What to read from now on; NULL: nothing (call it before closing the old one). 0 or -ENOMEM. */
int dataplane_set_tun(struct dataplane *d, struct tun *tun);
int dataplane_set_icmp(struct dataplane *d, struct icmpsock *icmp);

/* How long to look for the next packet before sleeping, in microseconds, while packets come closer together than
 * that; 0 (at first): sleep at once. */
void dataplane_set_busy_poll(struct dataplane *d, uint32_t us);

#endif
