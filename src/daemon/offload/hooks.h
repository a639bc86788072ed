/* SPDX-License-Identifier: ISC */
/*
 * Where the tc programs are attached: by tcx links, where the kernel has them (Linux 6.6), by filters at clsact otherwise
 * (clsact.h). A place in the list is a link's name in the service manager's store, and stays.
 *
 * A tcx link outlives this process where the service manager has it, and goes on steering by the maps as they were. The next natd
 * fills maps of its own, then puts its programs in the place of the old ones: between two packets. A filter at clsact is
 * replaced likewise, and needs no store; but it stays without one, too.
 *
 * The calls that attach, remove or look need CAP_NET_ADMIN in effect where the way is HOOKS_CLSACT.
 */
#ifndef NATD_DAEMON_OFFLOAD_HOOKS_H
#define NATD_DAEMON_OFFLOAD_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf.h"
#include "daemon/kernel/netlink.h"

enum { HOOKS_MAX = 24 };

enum hooks_way { HOOKS_TCX, HOOKS_CLSACT };

/* One program on one interface. */
struct hook {
	int interface; /* 0: it has gone */
	enum bpf_hook side;
	int program; /* its number; -1: an adopted link whose program is to be replaced */
	int link;    /* HOOKS_TCX; else -1 */
	int tun;     /* HOOKS_CLSACT: marks the filter */
	bool is_used;
	bool is_wanted;
	bool is_changed; /* since hooks_take_change() */
};

struct hooks {
	enum hooks_way way;
	struct netlink *nl; /* borrowed */
	int tun;	    /* index of natd's device */
	struct hook hook[HOOKS_MAX];
};

/* `program` is one of those to attach: it shows which way the kernel has. $NATD_BPF_ATTACH = "clsact" (for tests) chooses that. */
void hooks_init(struct hooks *hs, struct netlink *nl, int program);
/* Closes the links. Programs stay attached at clsact, and where someone else has their links. */
void hooks_close(struct hooks *hs);
const char *hooks_way_name(const struct hooks *hs); /* "tcx", "clsact" */

/* A round: what is wanted between hooks_begin() and hooks_end() stays or comes, and the rest goes. Without hooks_end() all that
 * was attached stays. */
struct hooks_program {
	int fd, number;
	const char *role;
};
void hooks_begin(struct hooks *hs, int tun);
/* At the ingress of an interface; 0: which comes later. 0 or a negative errno. */
int hooks_want(struct hooks *hs, int interface, const struct hooks_program *p);
void hooks_end(struct hooks *hs);
/* One line about the error of hooks_want(). */
void hooks_explain(const struct hooks *hs, int error, char *why, size_t size);
/* The interfaces with a filter at clsact: how many. */
uint32_t hooks_filters(const struct hooks *hs, int interfaces[HOOKS_MAX]);
/* Removes every program, even if another process holds its link. */
void hooks_remove(struct hooks *hs);

/* Takes over the i-th link of the previous natd. False: it is of no use, and closed. */
bool hooks_adopt(struct hooks *hs, uint32_t i, int link);
int hooks_link(const struct hooks *hs, uint32_t i); /* borrowed; -1: none */
/* Has the i-th link come or gone since this was asked last? */
bool hooks_take_change(struct hooks *hs, uint32_t i);

#endif
