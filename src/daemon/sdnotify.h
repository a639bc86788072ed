/* SPDX-License-Identifier: ISC */
/*
 * The service manager: readiness, status, watchdog, and the store in which it keeps descriptors for
 * the next process. Built without libsystemd, or started by something else, every function does
 * nothing and says so by its return value. The only file that knows libsystemd.
 */
#ifndef NATD_DAEMON_SDNOTIFY_H
#define NATD_DAEMON_SDNOTIFY_H

#include <stdbool.h>
#include <stdint.h>

enum { SDNOTIFY_FDS_MAX = 16, SDNOTIFY_NAME_MAX = 63 };

/* What the manager passed at start. Opaque by agreement. */
struct sdnotify {
	bool is_managed; /* somebody listens at NOTIFY_SOCKET */
	unsigned n_fds;
	struct {
		char name[SDNOTIFY_NAME_MAX + 1];
		int fd; /* -1: taken */
	} fds[SDNOTIFY_FDS_MAX];
};

/* Reads the environment and takes what belongs to natd out of it. Call once, before descriptors are opened. */
void sdnotify_init(struct sdnotify *n);

/* READY=1 also ends a reload. `status`: one line for `systemctl status`. */
void sdnotify_ready(const struct sdnotify *n, const char *status);
void sdnotify_reloading(const struct sdnotify *n);
void sdnotify_stopping(const struct sdnotify *n);
void sdnotify_status(const struct sdnotify *n, const char *status);

/* Milliseconds between two signs of life: half of what the manager allows. 0: it does not watch. */
uint32_t sdnotify_watchdog_ms(const struct sdnotify *n);
void sdnotify_alive(const struct sdnotify *n);

/* The store. A name may be stored once; the manager keeps a duplicate, `fd` stays the caller's. False: there is
 * no store. */
bool sdnotify_store(const struct sdnotify *n, const char *name, int fd);
void sdnotify_unstore(const struct sdnotify *n, const char *name);
/* A descriptor that came back under `name`: the caller's from now on. -1: none. */
int sdnotify_take(struct sdnotify *n, const char *name);
/* Closes what nobody took and removes it from the store. */
void sdnotify_close_rest(struct sdnotify *n);

#endif
