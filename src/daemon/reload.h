/* SPDX-License-Identifier: ISC */
/*
 * Changes while natd runs: a new configuration (SIGHUP, natctl reload), or a host that changed under the current one.
 * All or nothing in both cases: a failure changes nothing.
 */
#ifndef NATD_DAEMON_RELOAD_H
#define NATD_DAEMON_RELOAD_H

#include <stdbool.h>

struct natd;
struct nat_reconfigure_report;
struct setup;

/* Reports one line of the outcome: an error, or a warning ("FILE:LINE: warning: ..."). */
typedef void reload_say_fn(void *ctx, const char *line);
/* Such a function: writes to the log, at the level of the line's mark. */
void reload_log_line(void *ctx, const char *line);

/* Reads the configuration again and applies it. True and *report; false after at least one line of error. Notifies
 * the service manager before and after. */
bool natd_reload(struct natd *n, reload_say_fn *say, void *ctx, struct nat_reconfigure_report *report);

/* The same with a configuration that is more than the file. */
struct config_source;
bool natd_apply_source(struct natd *n, const struct config_source *src, reload_say_fn *say, void *ctx,
		       struct nat_reconfigure_report *report);

/* Applies the current configuration to the host as it is now, after netlink reported a change. */
void natd_refresh(struct natd *n);

/* Runs fn(ctx), which waits for the kernel or for a disk, in another thread while packets are served; returns after
 * it. */
void natd_aside(struct natd *n, void (*fn)(void *ctx), void *ctx);

/* Makes the host's routing that of `s`, and marks packets that natd sends. Returns 0 or a negative errno: see
 * routing_error(). */
int natd_apply_routing(struct natd *n, const struct setup *s);

/* Once a second: detects changes without events (an emptied table, the host's sockets) and repairs what natd owns. */
void natd_look(struct natd *n);

#endif
