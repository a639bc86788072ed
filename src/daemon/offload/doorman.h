/* SPDX-License-Identifier: ISC */
/*
 * The doorman: steering by tc programs (bpf/steer.bpf.c) in place of the kernel's rules for shared addresses. It keeps
 * a list of natd's ports: those that have a mapping, a quarantine or a forward now. Every other port is the host's.
 *
 * The programs and this process share the memory of the maps. Changes of ports take effect at once. Any thread that
 * holds the translation may call doorman_port(); a thread for which the loop's thread waits may call doorman_attach();
 * the loop's thread alone calls the others.
 */
#ifndef NATD_DAEMON_DOORMAN_H
#define NATD_DAEMON_DOORMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/nat/flow.h"
#include "core/nat/mirror.h"
#include "core/table/table.h"
#include "daemon/steering/steering.h"
#include "hooks.h"

struct doorman;

enum { DOORMAN_LINKS_MAX = HOOKS_MAX };

/* Loads programs and maps (needs the rights of loader.h); with `has_flows`, also those of flows. 0, and *out for
 * doorman_destroy(); or a negative errno and one line in `why`. Attaches nothing yet. `nl` (borrowed) attaches where
 * there is no tcx; then the calls that attach and detach need CAP_NET_ADMIN in effect. */
int doorman_create(struct doorman **out, struct netlink *nl, bool has_flows, char *why, size_t size);
/* Closes everything. Programs stay attached at clsact, and where another process holds their links. NULL: nothing. */
void doorman_destroy(struct doorman *d);

/* Can the maps hold this table? False: one line in `why`. */
bool doorman_fits(const struct steering *s, char *why, size_t size);

/* The part of the view that is not in the steering table. */
struct doorman_host {
	const struct table *table;
	int tun;		  /* index of natd's device */
	bool translates_others;	  /* protocols without ports */
	bool is_same_table;	  /* `s` is the table of the last call, unchanged */
	uint16_t mtu_out, mtu_in; /* largest packets that the fast path may carry; 0: limited by their ways alone */
};

/* Shows the programs natd's present addresses and ports; no system call. `s` has to fit. */
void doorman_show(struct doorman *d, const struct steering *s, const struct doorman_host *host);
/* After doorman_show(): attaches the programs to the interfaces and to natd's device `tun` as they are now. Waits
 * for the kernel's lock of interfaces, which other programs may hold for seconds. Touches nothing that packets or
 * doorman_port() read. 0, or a negative errno and one line in `why`: then the attached programs stay as before. 0
 * also after netlink_cancel(). */
int doorman_attach(struct doorman *d, const struct steering *s, int tun, char *why, size_t size);
/* The memory that the programs share with the core's mirror; borrowed. Only for a doorman with flows. */
struct flow_memory doorman_flows(const struct doorman *d);
int doorman_flows_fd(const struct doorman *d); /* its first map, for the service manager; borrowed; -1: none */
/* Lets the programs carry flows until STEER_BEAT_MOST_S after `now_ns` (CLOCK_MONOTONIC; 0: none from now on).
 * `ahead_ns`: natd's clock minus CLOCK_MONOTONIC. */
void doorman_beat(struct doorman *d, uint64_t now_ns, uint64_t ahead_ns);
/* May the programs have stopped carrying flows for want of a beat? */
bool doorman_beat_ended(const struct doorman *d, uint64_t now_ns);
/* Super-packets that the tun program has refused (bpf/steer.h); this memory stays until the process ends. */
struct steer_refusals *doorman_refusals(struct doorman *d);
/* Removes every program, even if another process holds its link. */
void doorman_detach(struct doorman *d);
/* The way in which they are attached: "tcx", "clsact". */
const char *doorman_way(const struct doorman *d);
/* Stores the interfaces with a filter at clsact. Returns their number. */
uint32_t doorman_filters(const struct doorman *d, int interfaces[DOORMAN_LINKS_MAX]);

/* The table uses this port of an outside address now, or has freed it. */
void doorman_port(struct doorman *d, enum nat_class c, uint32_t address, uint16_t port, bool used);

/* Takes over the i-th link of the previous natd, before doorman_attach(), which replaces its program. False: it is
 * useless, and closed. */
bool doorman_adopt(struct doorman *d, uint32_t i, int link);
/* The links in use, for the service manager: descriptor of the i-th, i < DOORMAN_LINKS_MAX; -1: none. Borrowed. A link
 * keeps its number. */
int doorman_link(const struct doorman *d, uint32_t i);
/* Was the i-th link added or removed since the last call? */
bool doorman_take_change(struct doorman *d, uint32_t i);

/* ---- counters ---- */

/* clang-format off */
#define DOORMAN_COUNTER_LIST(X)                                                                                        \
	X(DOORMAN_IN,        "steer_in",        "packets from the outside that the tc programs gave to natd")            \
	X(DOORMAN_OUT,       "steer_out",       "packets of inside hosts that the tc programs gave to natd")             \
	X(DOORMAN_FORGED,    "steer_forged",    "dropped by the tc programs: from the TUN device's own address")         \
	X(DOORMAN_SENT,      "steer_sent",      "super-packets that the tc programs sent to their next hop")             \
	X(DOORMAN_NEIGHBOUR, "steer_neighbour", "super-packets sent to a next hop whose link address was not known")     \
	X(DOORMAN_ROUTE,     "steer_route",     "super-packets refused: their route has gone")                           \
	X(DOORMAN_SIZE,      "steer_size",      "super-packets larger than the way out: cut, or refused")                \
	X(DOORMAN_DEVICE,    "steer_device",    "super-packets refused: their route has moved to another interface")     \
	X(DOORMAN_FLAGS,     "fast_flags",      "left to natd by the fast path: SYN, FIN or RST of a carried session")   \
	X(DOORMAN_WINDOW,    "fast_window",     "left to natd by the fast path: TCP numbers that need a judgement")      \
	X(DOORMAN_FORM,      "fast_form",       "left to natd by the fast path: TTL, IP id, lengths or checksum")        \
	X(DOORMAN_LARGE,     "fast_large",      "left to natd by the fast path: larger than the way out")                \
	X(DOORMAN_WAY,       "fast_way",        "left to natd by the fast path: no route or next hop known")             \
	X(DOORMAN_ORDER,     "fast_order",      "left to natd by the fast path: packets before them are still in natd")  \
	X(DOORMAN_LOST,      "fast_lost",       "dropped by the fast path: no memory to rewrite them")                   \
	X(DOORMAN_BACK,      "steer_back",      "handed back to the host at the interface by which they had come")       \
	X(DOORMAN_STRAY,     "steer_stray",     "dropped: to be handed back, but their interface is not known any more")
/* clang-format on */

/* In the order of enum steer_counter. */
enum doorman_counter {
#define X(id, name, help) id,
	DOORMAN_COUNTER_LIST(X)
#undef X
		DOORMAN_COUNTERS
};
uint64_t doorman_count(const struct doorman *d, enum doorman_counter c);
const char *doorman_counter_name(enum doorman_counter c);
const char *doorman_counter_help(enum doorman_counter c);

#endif
