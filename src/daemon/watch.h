/* SPDX-License-Identifier: ISC */
/* Wake-ups besides packets and control clients: signals, timers, changes reported by netlink. */
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
	struct loop_timer *refresh; /* soon after netlink reported a change */
	struct loop_timer *look;
	struct loop_timer *status;
	struct loop_timer *trim; /* releases memory that no session needs any more */
	struct loop_timer *watchdog;
	struct loop_timer *tun;	       /* recreates it */
	struct loop_timer *tell_again; /* repeats messages that the manager did not accept */
	bool is_tun_failure_told;
};

/* Catches SIGTERM, SIGINT (stop) and SIGHUP (reload); ignores SIGPIPE. Returns 0 or a negative errno. */
int watch_signals(struct natd *n);
/* Starts the timers and listens to netlink. Returns 0 or a negative errno. */
int watch_start(struct natd *n);
void watch_stop(struct natd *n);
/* Restores the signals' default effect: only after everything is restored, or an impatient second signal would leave
 * the host half restored. */
void watch_stop_signals(struct natd *n);

/* The service manager accepted no message: natd_tell_manager() is called again in a second. */
void watch_tell_again(struct natd *n);

/* For the data path: reading the TUN failed permanently. `ctx` is the struct natd. */
void watch_tun_lost(void *ctx, int err);

#endif
