/* SPDX-License-Identifier: ISC */
/*
 * The daemon as a whole: owns every room's context, starts them in order, and stops them in reverse order. Only main,
 * natd, start, reload, dynamic, services, steer and watch use it; each room has a context of its own (path.h,
 * persist.h, sandbox.h, control.h).
 */
#ifndef NATD_DAEMON_NATD_H
#define NATD_DAEMON_NATD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/control/control.h"
#include "daemon/control/observer.h"
#include "daemon/offload/offload.h"
#include "daemon/path/path.h"
#include "daemon/persist/persist.h"
#include "daemon/routing/routing.h"
#include "daemon/sandbox/sandbox.h"
#include "daemon/setup/setup.h"
#include "dynamic.h"
#include "services.h"
#include "watch.h"

enum natd_exit { NATD_EXIT_OK = 0, NATD_EXIT_CONFIG = 1, NATD_EXIT_USAGE = 2, NATD_EXIT_SYSTEM = 3 };

struct natd_options {
	const char *config_path;
	const char *state_path; /* NULL: the table is not saved */
	bool is_foreground;	/* log to stderr, whatever the configuration says */
	unsigned verbosity;	/* number of levels above the configured one */
};

/* Everything is owned. */
struct natd {
	struct natd_options options;
	struct loop *loop;
	struct netlink *netlink; /* of this thread, or of a thread beside it for which this one waits */
	struct netlink *guard;	 /* of the packet path: for the core's questions about the host's ports */
	int events_fd;		 /* of netlink; -1: not open */
	bool is_stopping;
	struct natd_config *config;
	struct setup *setup; /* built from `config` */
	struct nat *nat;
	struct routing *routing;
	struct observer *observer; /* NULL: it could not be started */
	struct offload offload;
	struct path path;
	struct persist persist;
	struct sandbox sandbox;
	struct control control;
	struct dynamic dynamic;
	struct services services;
	struct watch watch;
};

/* Starts everything up to READY. Returns NATD_EXIT_OK, or the exit code after one line in the log; natd_stop()
 * cleans up in either case. Takes over `config`. */
enum natd_exit natd_start(struct natd *n, const struct natd_options *o, struct natd_config *config);
/* Serves until SIGTERM or SIGINT. */
enum natd_exit natd_run(struct natd *n);
void natd_stop(struct natd *n);

/* Takes over the previous natd's TUN device, or opens one (after a loss: opens it again), and reads it. Returns 0 or
 * a negative errno; then no queue is open. */
int natd_open_tun(struct natd *n);
/* Closes the device after it was lost. */
void natd_close_tun(struct natd *n);
/* Takes over or opens the socket that reads ICMP. Returns 0 or a negative errno. */
int natd_open_icmp(struct natd *n);
/* Objects that a change retired: freeing them takes long with many forwards. */
struct natd_retired {
	struct setup *setup;
	struct natd_config *config; /* NULL: it stays */
	struct rules *rules;
};

/* Replaces the setup, and the configuration if `s` has another one; the old ones are returned in *old. */
void natd_set_setup(struct natd *n, struct setup *s, struct natd_config *config, struct natd_retired *old);
/* Sends the service manager the messages that are due, and the status. */
void natd_tell_manager(struct natd *n);
/* Applies the log's target and level. */
void natd_open_log(const struct natd *n, const struct natd_config *c);

#endif
