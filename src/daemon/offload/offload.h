/* SPDX-License-Identifier: ISC */
/*
 * The choice of the way to steer packets to natd: tc programs (the doorman) or the kernel's rules; and its reason. It
 * follows from fast_path.steering and from the host, the kernel and the build.
 *
 * The calls that attach or remove programs (offload_show(), offload_attach(), offload_begin(), offload_give_up(),
 * offload_clean(), offload_close()) need CAP_NET_ADMIN in effect, in the calling thread.
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
	/* the reason against the programs; "": they steer, or nothing has been decided */
	char why_rules[OFFLOAD_WHY_SIZE];
	struct filter filter;	/* the host's filter that packets of the programs do not pass */
	struct measure measure; /* of a doorman */
};

/* Decides, and loads the programs if they are to steer, while natd still has every right. False: fast_path.steering
 * is "bpf", and why_rules has the reason why that is impossible. */
bool offload_load(struct offload *o, const struct natd_config *c, struct netlink *nl);

/* The i-th link of the previous natd. offload_attach() takes it over; if rules steer, it is closed. */
void offload_adopt(struct offload *o, uint32_t i, int link);

/* Looks for filters of the host, and stores the name in `filter`. True: packets of the programs would not pass one,
 * and fast_path.steering does not allow that. Then the caller must let the rules steer (offload_give_up(), with the
 * reason in `why`). Needs CAP_NET_ADMIN. */
bool offload_has_to_end(struct offload *o, struct netlink *nl, char why[OFFLOAD_WHY_SIZE]);

/*
 * Steers by `s` from now on, in three steps; the device is `tun`. After nat_reconfigure(). `is_same`: `s` and the
 * policy are those of the last time, and only missing programs are restored. The second step waits for the kernel;
 * another thread may call it, for which the loop's thread waits. Its result and `why` are arguments of the third. The
 * first and the third return false as above. Otherwise, if the programs cannot steer, the kernel's rules must
 * (offload_is_on() is false, and the next steps do nothing).
 */
bool offload_show(struct offload *o, const struct steering *s, struct nat *nat, const char *tun, bool is_same);
int offload_attach(struct offload *o, const struct steering *s, char why[OFFLOAD_WHY_SIZE]);
bool offload_begin(struct offload *o, int attached, char why[OFFLOAD_WHY_SIZE]);
/* At the start, when packets are steered: removes from clsact the programs of natds that have crashed, and those of
 * the own device `tun` that this natd does not use. Returns their number. */
unsigned offload_clean(const struct offload *o, struct netlink *nl, const char *tun);
/* Do the programs steer? Then the kernel's rules for shared addresses are not used. */
bool offload_is_on(const struct offload *o);
/* The way in which they are attached: "tcx", "clsact"; NULL: they are not. */
const char *offload_way(const struct offload *o);
/* The rules steer from now on, for the reason in why_rules. */
void offload_give_up(struct offload *o, const char *why);

/* Each second. */
void offload_beat(struct offload *o);
/* Rules, addresses or links have changed: carried sessions may have other routes now. */
void offload_ways_changed(struct offload *o);
/* Do the programs carry sessions? NULL: yes; else the reason. */
const char *offload_why_slow(const struct offload *o);

/* The end. `goes_on`: the programs stay for the next natd, by the links that the service manager keeps. */
void offload_close(struct offload *o, bool goes_on);

#endif
