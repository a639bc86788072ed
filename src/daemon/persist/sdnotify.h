/* SPDX-License-Identifier: ISC */
/*
 * The service manager: readiness, status, watchdog, the store in which it keeps descriptors for the next
 * process, and whether there will be a next one. Where natd was started by something else every function does nothing and
 * says so by its return value. A manager that does not read, or slowly, is waited
 * for 100 ms in all from the start, or from sdnotify_begin(), on; only sdnotify_barrier() and sdnotify_restarting() wait
 * as long as their argument says, on top of it.
 */
#ifndef NATD_DAEMON_SDNOTIFY_H
#define NATD_DAEMON_SDNOTIFY_H

#include <stdbool.h>
#include <stdint.h>

enum { SDNOTIFY_FDS_MAX = 96, SDNOTIFY_NAME_MAX = 63 };

struct sdbus;

/* What the manager passed at start. Opaque by agreement. */
struct sdnotify {
	const struct sdbus *bus; /* NULL: no manager, or no libsystemd */
	bool is_managed;	 /* somebody listens at NOTIFY_SOCKET */
	bool is_stuck;		 /* it did not take the last message */
	bool is_ready_due;	 /* READY=1 did not go out yet: goes with the next status */
	uint32_t patience_us;	 /* for how long messages may still wait */
	unsigned n_fds;
	struct {
		char name[SDNOTIFY_NAME_MAX + 1];
		int fd;		     /* -1: taken */
		bool is_removal_due; /* unused, and the manager has not removed it yet */
	} fds[SDNOTIFY_FDS_MAX];
};

/* Reads the environment and takes what belongs to natd out of it. Call once, before descriptors are opened. */
void sdnotify_init(struct sdnotify *n);
/* A new round of messages begins: they may wait again. */
void sdnotify_begin(struct sdnotify *n);

/* READY=1, which also ends a reload, goes out with the next status that the manager takes. */
void sdnotify_ready(struct sdnotify *n);
void sdnotify_reloading(struct sdnotify *n);
void sdnotify_stopping(struct sdnotify *n);
/* Told to stop: is it for a restart? Asks the manager what job is queued for this unit, and waits `ms` for the
 * answer at most. False when it cannot be known. */
bool sdnotify_restarting(const struct sdnotify *n, uint32_t ms);
/* One line for `systemctl status`. */
void sdnotify_status(struct sdnotify *n, const char *status);
/* The last message was not taken: its socket is full. */
bool sdnotify_is_stuck(const struct sdnotify *n);

/* Milliseconds between two signs of life: half of what the manager allows. 0: it does not watch. */
uint32_t sdnotify_watchdog_ms(const struct sdnotify *n);
void sdnotify_alive(struct sdnotify *n);

/* The store. The manager keeps a duplicate under that name, `fd` stays the caller's; one that it has already is
 * not kept twice. Each returns whether the message was taken: if not, what was in the store before still is. */
bool sdnotify_store(struct sdnotify *n, const char *name, int fd);
bool sdnotify_unstore(struct sdnotify *n, const char *name);
/* Waits, `ms` at most, until the manager has done what it was told: its duplicates are closed by then. */
void sdnotify_barrier(struct sdnotify *n, uint32_t ms);
/* A descriptor that came back under `name`: the caller's from now on. -1: none. */
int sdnotify_take(struct sdnotify *n, const char *name);
/* Closes the descriptors that were not taken, with a line in the log for each. */
void sdnotify_close_rest(struct sdnotify *n);
/* Removes that, and whatever else has the same name, from the store. False: not all messages were taken, call again. */
bool sdnotify_unstore_rest(struct sdnotify *n);

#endif
