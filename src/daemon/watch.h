/* SPDX-License-Identifier: ISC */
/* What wakes natd up besides packets and control clients: signals, timers, changes told by netlink. */
#ifndef NATD_DAEMON_WATCH_H
#define NATD_DAEMON_WATCH_H

#include <stdbool.h>

struct natd;
struct loop_fd;
struct loop_signal;
struct loop_timer;

enum { WATCH_SIGNALS = 3 };

struct watch {
	struct loop_signal *signals[WATCH_SIGNALS];
	struct loop_fd *events;
	struct loop_timer *refresh; /* soon after netlink told of a change */
	struct loop_timer *look;
	struct loop_timer *status;
	struct loop_timer *trim; /* memory that no session needs any more */
	struct loop_timer *watchdog;
	struct loop_timer *tun;	       /* to recreate it */
	struct loop_timer *tell_again; /* the manager, what it did not take */
	bool is_tun_failure_told;
};

/* Catches SIGTERM, SIGINT (stop) and SIGHUP (reload); ignores SIGPIPE. 0 or a negative errno. */
int watch_signals(struct natd *n);
/* Starts the timers and listens to netlink. 0 or a negative errno. */
int watch_start(struct natd *n);
void watch_stop(struct natd *n);
/* Signals have their own effect again: only once everything is put back, or an impatient second one would
 * leave the host half restored. */
void watch_stop_signals(struct natd *n);

/* The service manager took no message: natd_tell_manager() is called in a second. */
void watch_tell_again(struct natd *n);

/* For the data path: reading the TUN failed for good. `ctx` is the struct natd. */
void watch_tun_lost(void *ctx, int err);

#endif
