/* SPDX-License-Identifier: ISC */
/*
 * The attachment of the tc programs: by tcx links, if the kernel has them (Linux 6.6), otherwise by filters at clsact
 * (clsact.h). The index in the list is a link's name in the service manager's store, and does not change.
 *
 * A tcx link survives this process if the service manager holds it, and goes on steering by the old maps. The next natd
 * fills its own maps, then replaces the old programs by its own, between two packets. It replaces a filter at clsact
 * likewise; this needs no store, but the filter also stays without a next natd.
 *
 * The calls that attach, remove or look need CAP_NET_ADMIN in effect if the way is HOOKS_CLSACT.
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

/* `program` is one of those to attach: it shows the kernel's way. $NATD_BPF_ATTACH = "clsact" (for tests) overrides
 * it. */
void hooks_init(struct hooks *hs, struct netlink *nl, int program);
/* Closes the links. Programs stay attached at clsact, and where another process holds their links. */
void hooks_close(struct hooks *hs);
const char *hooks_way_name(const struct hooks *hs); /* "tcx", "clsact" */

/* A round: programs wanted between hooks_begin() and hooks_end() stay or are attached, and hooks_end() removes the
 * others. Without hooks_end() all attached programs stay. */
struct hooks_program {
	int fd, number;
	const char *role;
};
void hooks_begin(struct hooks *hs, int tun);
/* At the ingress of an interface; 0: one that does not exist yet. 0 or a negative errno. */
int hooks_want(struct hooks *hs, int interface, const struct hooks_program *p);
void hooks_end(struct hooks *hs);
/* One line about the error of hooks_want(). */
void hooks_explain(const struct hooks *hs, int error, char *why, size_t size);
/* Stores the interfaces with a filter at clsact. Returns their number. */
uint32_t hooks_filters(const struct hooks *hs, int interfaces[HOOKS_MAX]);
/* Removes every program, even if another process holds its link. */
void hooks_remove(struct hooks *hs);

/* Takes over the i-th link of the previous natd. False: it is useless, and closed. */
bool hooks_adopt(struct hooks *hs, uint32_t i, int link);
int hooks_link(const struct hooks *hs, uint32_t i); /* borrowed; -1: none */
/* Was the i-th link added or removed since the last call? */
bool hooks_take_change(struct hooks *hs, uint32_t i);

#endif
