/* SPDX-License-Identifier: ISC */
/* Wake-ups besides packets and control clients: signals, timers, changes reported by netlink. */
#include "watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/control/rules.h"
#include "natd.h"
#include "daemon/kernel/netlink.h"
#include "reload.h"
#include "steer.h"

enum {
	STATUS_MS = 10000,
	TRIM_MORE_MS = 200,
	LOOK_MS = 1000,
	REFRESH_MS = 50,
	TUN_RETRY_MS = 1000,
	TELL_AGAIN_MS = 1000
};

static void on_reload_signal(void *ctx, int signo)
{
	struct nat_reconfigure_report report;

	(void)signo;
	natd_reload(ctx, reload_log_line, NULL, &report);
}

/* An urgent signal: also called while this thread waits for another one, which may wait for the kernel. The work in
 * progress need not be finished then. */
static void on_stop_signal(void *ctx, int signo)
{
	struct natd *n = ctx;

	log_known(LOG_ID_STOPPING, LEVEL_NOTICE, SUB_MAIN, 0, "stopping on %s",
		  signo == SIGTERM ? "SIGTERM" : "SIGINT");
	n->is_stopping = true;
	if (n->netlink)
		netlink_cancel(n->netlink, true);
	loop_stop(n->loop);
}

/* Changes come in bursts (an interface going up is six messages): they are handled together. */
static void on_netlink(void *ctx, int fd, unsigned ready)
{
	struct natd *n = ctx;
	int r = netlink_events_read(fd);

	(void)ready;
	if (r < 0)
		log_write(LEVEL_WARNING, SUB_NETLINK, -r,
			  "cannot read the kernel's messages about interfaces and addresses; natd checks the host once "
			  "a second anyway");
	if (r != 0) {
		path_host_changed(&n->path);
		offload_ways_changed(&n->offload);
		observer_kick(n->observer);
	}
	if (r != 0 && !loop_timer_armed(n->watch.refresh))
		loop_timer_once(n->watch.refresh, REFRESH_MS);
}

static void on_refresh(void *ctx)
{
	natd_refresh(ctx);
}

/* Checks without an event: an emptied table, sockets of the host, changes while events were lost. */
static void on_look(void *ctx)
{
	struct natd *n = ctx;

	steer_beat(n);
	natd_look(n);
	dynamic_look(n);
	observer_take(n->observer, &n->control.observed);
	status_note_drops(&n->control);
	rules_log(n->nat, &n->control.rule_log_lost);
	doctor_report_changes(&n->control);
}

static void on_status(void *ctx)
{
	struct natd *n = ctx;

	status_sample(&n->control);
	sdnotify_begin(&n->persist.service);
	natd_tell_manager(n);
	if (!loop_timer_armed(n->watch.trim))
		loop_timer_once(n->watch.trim, TRIM_MORE_MS);
}

/* In small pieces: 5 MiB a second, so that a varying load does not cause only page faults. */
static void on_trim(void *ctx)
{
	struct natd *n = ctx;

	if (nat_trim(n->nat, memory_give_back, &n->persist.memory))
		loop_timer_once(n->watch.trim, TRIM_MORE_MS);
}

/* Without sdnotify_begin(): this does not wait for a manager that accepted nothing a second ago. */
static void on_tell_again(void *ctx)
{
	natd_tell_manager(ctx);
}

void watch_tell_again(struct natd *n)
{
	loop_timer_once(n->watch.tell_again, TELL_AGAIN_MS);
}

static void on_watchdog(void *ctx)
{
	struct natd *n = ctx;

	sdnotify_alive(&n->persist.service);
}

static void on_tun_retry(void *ctx)
{
	struct natd *n = ctx;
	int r;

	privs_raise(&n->sandbox.privs);
	r = natd_open_tun(n);
	privs_lower(&n->sandbox.privs);
	if (r == 0) {
		natd_refresh(n);
		natd_tell_manager(n);
		log_known(LOG_ID_DEVICE_BACK, LEVEL_NOTICE, SUB_TUN, 0, "%s: recreated", n->setup->config->tun.name);
		return;
	}
	if (!n->watch.is_tun_failure_told)
		log_error(SUB_TUN,
			  "%s: cannot be recreated: %s; natd tries again every second (uid %u needs read and write "
			  "access to " TUN_PATH ")",
			  n->setup->config->tun.name, strerror(-r), (unsigned)getuid());
	n->watch.is_tun_failure_told = true;
	loop_timer_once(n->watch.tun, TUN_RETRY_MS);
}

void watch_tun_lost(void *ctx, int err)
{
	struct natd *n = ctx;

	log_known(LOG_ID_DEVICE_LOST, LEVEL_ERROR, SUB_TUN, err,
		  "%s: the device is gone, no packet passes until natd has recreated it", n->setup->config->tun.name);
	n->control.is_routed = false;
	n->watch.is_tun_failure_told = false;
	natd_close_tun(n);
	loop_timer_once(n->watch.tun, 1);
}

/* ---- start and stop ---- */

int watch_signals(struct natd *n)
{
	static const struct {
		int signo;
		loop_signal_fn *fn;
	} signals[] = {{SIGTERM, on_stop_signal}, {SIGINT, on_stop_signal}, {SIGHUP, on_reload_signal}};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		n->watch.signals[i] = loop_signal_add(n->loop, signals[i].signo, signals[i].fn, n);
		if (!n->watch.signals[i])
			return -ENOMEM;
		if (signals[i].fn == on_stop_signal)
			loop_signal_set_urgent(n->watch.signals[i]);
	}
	return 0;
}

static bool make_timers(struct natd *n)
{
	n->watch.refresh = loop_timer_add(n->loop, on_refresh, n);
	n->watch.look = loop_timer_add(n->loop, on_look, n);
	n->watch.status = loop_timer_add(n->loop, on_status, n);
	n->watch.trim = loop_timer_add(n->loop, on_trim, n);
	n->watch.watchdog = loop_timer_add(n->loop, on_watchdog, n);
	n->watch.tun = loop_timer_add(n->loop, on_tun_retry, n);
	n->watch.tell_again = loop_timer_add(n->loop, on_tell_again, n);
	n->watch.events = loop_fd_add(n->loop, n->events_fd, LOOP_READ, on_netlink, n);
	return n->watch.refresh && n->watch.look && n->watch.status && n->watch.trim && n->watch.watchdog &&
	       n->watch.tun && n->watch.tell_again && n->watch.events;
}

int watch_start(struct natd *n)
{
	uint32_t watchdog_ms = sdnotify_watchdog_ms(&n->persist.service);

	if (!make_timers(n))
		return -ENOMEM;
	loop_timer_every(n->watch.look, LOOK_MS);
	loop_timer_every(n->watch.status, STATUS_MS);
	if (watchdog_ms)
		loop_timer_every(n->watch.watchdog, watchdog_ms);
	return 0;
}

void watch_stop(struct natd *n)
{
	loop_fd_remove(n->watch.events);
	loop_timer_remove(n->watch.refresh);
	loop_timer_remove(n->watch.look);
	loop_timer_remove(n->watch.status);
	loop_timer_remove(n->watch.trim);
	loop_timer_remove(n->watch.watchdog);
	loop_timer_remove(n->watch.tun);
	loop_timer_remove(n->watch.tell_again);
}

void watch_stop_signals(struct natd *n)
{
	for (int i = 0; i < WATCH_SIGNALS; i++)
		loop_signal_remove(n->watch.signals[i]);
}
