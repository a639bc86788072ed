/* SPDX-License-Identifier: ISC */
/*
 * Kernel settings under /proc/sys that are small whole numbers: reads and writes them, and saves the original values in
 * a small file, so that a clean stop restores the true originals even after a crash in between.
 */
#ifndef NATD_DAEMON_SYSCTL_H
#define NATD_DAEMON_SYSCTL_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/steering/steering.h"

enum {
	SYSCTL_NAME_SIZE = 80, /* "net/ipv4/conf/IFNAME/accept_local", with the NUL */
	SYSCTL_SAVED_MAX = 512,
};

/* `name` is relative to /proc/sys, with slashes. Returns 0 or a negative errno (-ENOENT: no such setting). */
int sysctl_read(const char *name, int32_t *value);
int sysctl_write(const char *name, int32_t value);

/* Is it one of the settings that natd changes? No other setting is ever read from a file and written. */
bool sysctl_is_ours(const char *name);

struct sysctl_saved {
	char name[SYSCTL_NAME_SIZE];
	int32_t original; /* before natd */
	int32_t set;	  /* the value that natd wrote */
	bool closes;	  /* forwarding of an inside interface: routing_on_stop decides its value at the stop */
};

struct sysctl_state {
	bool local_rule_moved;		/* natd removed the `local` rule at preference 0 */
	uint8_t local_rule_protocol;	/* its creator, normally RTPROT_KERNEL */
	uint32_t slot;			/* the slot of this natd among those of the host */
	struct steering_ports reserved; /* which natd added to net.ipv4.ip_local_reserved_ports */
	uint32_t n_saved;
	struct sysctl_saved saved[SYSCTL_SAVED_MAX];
};

/* NULL: not saved. Borrowed; the caller may change it. */
struct sysctl_saved *sysctl_state_find(struct sysctl_state *s, const char *name);

/*
 * Loads what an earlier natd of this boot and this network namespace left in `path`. False, with *s all zero, if there
 * is no such file, or it cannot be trusted: not a regular file of our own user, root or the directory's owner; writable
 * by others; too large; from another boot, namespace or version; damaged; with a setting that is not sysctl_is_ours().
 */
bool sysctl_state_load(const char *path, struct sysctl_state *s);
/* Replaces the file atomically. Returns 0 or a negative errno. */
int sysctl_state_store(const char *path, const struct sysctl_state *s);

#endif
