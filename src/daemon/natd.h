/* SPDX-License-Identifier: ISC */
/*
 * The daemon as a whole: owns every module, starts them in order, stops them in the reverse order. What
 * happens in between: reload.h (a new configuration, a changed host), status.h, doctor.h.
 */
#ifndef NATD_DAEMON_NATD_H
#define NATD_DAEMON_NATD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"
#include "daemon/control/ctlserver.h"
#include "daemon/path/dataplane.h"
#include "daemon/persist/handover.h"
#include "daemon/base/log.h"
#include "daemon/persist/memory.h"
#include "daemon/sandbox/privs.h"
#include "daemon/path/queues.h"
#include "daemon/routing/routing.h"
#include "daemon/persist/sdnotify.h"
#include "daemon/setup/setup.h"
#include "daemon/control/status.h"
#include "watch.h"

enum natd_exit { NATD_EXIT_OK = 0, NATD_EXIT_CONFIG = 1, NATD_EXIT_USAGE = 2, NATD_EXIT_SYSTEM = 3 };

#define NATD_TUN_PATH "/dev/net/tun"

struct natd_options {
	const char *config_path;
	const char *state_path; /* NULL: the table is not kept */
	bool is_foreground;	/* log to stderr, whatever the configuration says */
	unsigned verbosity;	/* how many levels above the configured one */
};

/* The fields are for the daemon's own files; a module's header says what may be done with it. */
struct natd {
	struct natd_options options;
	struct sdnotify service;
	struct handover handover;
	struct privs privs;
	struct seccomp_filter *filter; /* from its making, early, until it is in force */
	struct loop *loop;
	struct netlink *netlink;
	struct natd_config *config; /* until start_setup() takes it */
	struct setup *setup;
	uint64_t config_loaded_s; /* CLOCK_REALTIME */
	struct memory memory;
	struct nat *nat;
	struct io_counters io;
	struct tun tun; /* the first queue; fd -1: not there */
	struct queues queues;
	struct rawsock *raw;
	struct icmpsock icmp; /* fd -1: not there */
	struct routing *routing;
	struct ctl_backend backend;
	struct ctl_server *control;
	struct dataplane *dataplane;
	struct status status;
	uint64_t started_ms;
	unsigned icmp_from[ICMPSOCK_INTERFACES]; /* what `icmp` listens to: see natd_follow_interface() */
	uint32_t n_icmp_from;
	bool is_routed; /* routing is in place, as far as the last try could tell */

	int events_fd; /* of netlink */
	struct watch watch;
};

/* Starts everything up to READY. NATD_EXIT_OK, or the exit code after one line in the log; then, as always,
 * natd_stop() cleans up what was done. Takes `config`. */
enum natd_exit natd_start(struct natd *n, const struct natd_options *o, struct natd_config *config);
/* Serves until SIGTERM or SIGINT. */
enum natd_exit natd_run(struct natd *n);
void natd_stop(struct natd *n);

/* Takes over the TUN device of the former natd, or opens one (after it was lost: opens it again), and reads it. 0
 * or a negative errno. */
int natd_open_tun(struct natd *n);
/* The socket that reads ICMP likewise. */
int natd_open_icmp(struct natd *n);
/* Follows the outside interface of `s`: its ICMP is read where the interface is now. */
void natd_follow_interface(struct natd *n, const struct setup *s);
/* Tells the service manager what is due, and the status. */
void natd_tell_manager(struct natd *n);
/* Puts the log's target and level into effect. */
void natd_open_log(const struct natd *n, const struct natd_config *c);

#endif
