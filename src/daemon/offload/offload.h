/* SPDX-License-Identifier: ISC */
/*
 * Which way packets are steered to natd: by tc programs (the doorman) or by the kernel's rules; and why. fast_path.steering
 * decides, and what this host, kernel and build allow.
 *
 * What attaches or removes programs (offload_show(), offload_attach(), offload_begin(), offload_give_up(), offload_clean(),
 * offload_close()) needs CAP_NET_ADMIN in effect, in the calling thread.
 */
#ifndef NATD_DAEMON_OFFLOAD_H
#define NATD_DAEMON_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/nat/nat.h"
#include "daemon/config/config.h"
#include "daemon/kernel/netlink.h"
#include "daemon/steering/steering.h"
#include "doorman.h"
#include "fastpath.h"
#include "filter.h"
#include "measure.h"

enum { OFFLOAD_WHY_SIZE = 640 };

struct offload {
	struct doorman *doorman; /* NULL: the kernel's rules steer */
	struct nat *nat;	 /* whose ports it follows */
	int tun;		 /* index of natd's device, at the last offload_show() */
	bool is_required;	 /* fast_path.steering = "bpf", or mode = "required" */
	enum config_fast_path mode;
	char why_rules[OFFLOAD_WHY_SIZE]; /* why not the programs; "": they steer, or nothing has been decided */
	struct filter filter;		  /* what the host filters, and the programs pass by */
	struct measure measure;		  /* of a doorman */
};

/* Decides, and loads the programs where they are to steer: while natd still has every right. False: fast_path.steering
 * is "bpf", and why_rules says why that cannot be. */
bool offload_load(struct offload *o, const struct natd_config *c, struct netlink *nl);

/* The i-th link that the previous natd left: the programs take it over at offload_attach(); where rules steer, it goes. */
void offload_adopt(struct offload *o, uint32_t i, int link);

/* Looks for filters of the host, whose name is in `filter` then. True: the programs would pass one by, and are not to: then the
 * caller has the rules steer (offload_give_up(), with the reason in `why`). Needs CAP_NET_ADMIN. */
bool offload_has_to_end(struct offload *o, struct netlink *nl, char why[OFFLOAD_WHY_SIZE]);

/*
 * Steers by `s` from now on, in three steps; the device is `tun`. After nat_reconfigure(). `is_same`: `s` and the policy are those
 * of the last time, and what is missing is put back. The second step waits for the kernel, and may be another thread's, for which
 * the loop's waits; its result and `why` are for the third. The first and the third give false as above; else, if the programs
 * cannot, the kernel's rules have to (offload_is_on() is false, and the steps that follow do nothing).
 */
bool offload_show(struct offload *o, const struct steering *s, struct nat *nat, const char *tun, bool is_same);
int offload_attach(struct offload *o, const struct steering *s, char why[OFFLOAD_WHY_SIZE]);
bool offload_begin(struct offload *o, int attached, char why[OFFLOAD_WHY_SIZE]);
/* At the start, when packets are steered: removes from clsact what natds left that have crashed, and of this one's device `tun`
 * what it does not use itself. How many programs. */
unsigned offload_clean(const struct offload *o, struct netlink *nl, const char *tun);
/* Do the programs steer? Then the kernel's rules for shared addresses are not used. */
bool offload_is_on(const struct offload *o);
/* How they are attached: "tcx", "clsact"; NULL: they are not. */
const char *offload_way(const struct offload *o);
/* The rules steer from now on, for the reason in why_rules. */
void offload_give_up(struct offload *o, const char *why);

/* Each second. */
void offload_beat(struct offload *o);
/* Rules, addresses or links have changed: other routes may lead to what is carried. */
void offload_ways_changed(struct offload *o);
/* Are sessions carried by the programs? NULL: yes; else why not. */
const char *offload_why_slow(const struct offload *o);

/* The end. `goes_on`: the programs stay for the next natd, by the links that the service manager keeps. */
void offload_close(struct offload *o, bool goes_on);

#endif
