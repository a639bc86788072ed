/* SPDX-License-Identifier: ISC */
/*
 * The service manager: readiness, status, watchdog, the store in which it keeps descriptors for the next process, and
 * whether there will be a next one. Without a manager every function does nothing and its return value says so. natd
 * waits for a slow manager at most 100 ms in all, counted from the start or from sdnotify_begin(). Only
 * sdnotify_barrier() and sdnotify_restarting() wait longer, by their argument.
 */
#ifndef NATD_DAEMON_SDNOTIFY_H
#define NATD_DAEMON_SDNOTIFY_H

#include <stdbool.h>
#include <stdint.h>

enum { SDNOTIFY_FDS_MAX = 96, SDNOTIFY_NAME_MAX = 63 };

struct sdbus;

/* What the manager passed at start. Treat it as opaque. */
struct sdnotify {
	const struct sdbus *bus; /* NULL: no manager, or no libsystemd */
	bool is_managed;	 /* NOTIFY_SOCKET names a manager */
	bool is_stuck;		 /* it did not accept the last message */
	bool is_ready_due;	 /* READY=1 was not sent yet: goes with the next status */
	uint32_t patience_us;	 /* remaining time that messages may wait */
	unsigned n_fds;
	struct {
		char name[SDNOTIFY_NAME_MAX + 1];
		int fd;		     /* -1: taken */
		bool is_removal_due; /* unused, and the manager has not removed it yet */
	} fds[SDNOTIFY_FDS_MAX];
};

/* Reads natd's variables from the environment and removes them. Call it once, before descriptors are opened. */
void sdnotify_init(struct sdnotify *n);
/* Begins a new round of messages: they may wait again. */
void sdnotify_begin(struct sdnotify *n);

/* READY=1, which also ends a reload, is sent with the next status that the manager accepts. */
void sdnotify_ready(struct sdnotify *n);
void sdnotify_reloading(struct sdnotify *n);
void sdnotify_stopping(struct sdnotify *n);
/* At a stop: is it for a restart? Queries the manager's job for this unit, and waits at most `ms` for the answer.
 * False if it cannot be found out. */
bool sdnotify_restarting(const struct sdnotify *n, uint32_t ms);
/* One line for `systemctl status`. */
void sdnotify_status(struct sdnotify *n, const char *status);
/* Was the last message refused because the socket is full? */
bool sdnotify_is_stuck(const struct sdnotify *n);

/* Milliseconds between two signs of life: half of the manager's limit. 0: it does not watch natd. */
uint32_t sdnotify_watchdog_ms(const struct sdnotify *n);
void sdnotify_alive(struct sdnotify *n);

/* The store. The manager keeps a duplicate under that name, and `fd` stays the caller's; the same descriptor is not
 * kept twice. Each function returns whether the message was accepted: if not, the store is unchanged. */
bool sdnotify_store(struct sdnotify *n, const char *name, int fd);
bool sdnotify_unstore(struct sdnotify *n, const char *name);
/* Waits, at most `ms`, until the manager has processed all messages: its duplicates are closed by then. */
void sdnotify_barrier(struct sdnotify *n, uint32_t ms);
/* A descriptor that the manager passed under `name`, now the caller's. -1: none. */
int sdnotify_take(struct sdnotify *n, const char *name);
/* Closes the descriptors that were not taken, with a line in the log for each. */
void sdnotify_close_rest(struct sdnotify *n);
/* Removes them, and everything else under the same names, from the store. False: not all messages were accepted,
 * call again. */
bool sdnotify_unstore_rest(struct sdnotify *n);

#endif
