/* SPDX-License-Identifier: ISC */
/*
 * Identifies a network namespace by the kernel's name for it, "net:[NUMBER]".
 *
 * It is read as the target of a link. AppArmor refuses stat() on a namespace, even in complain mode (seen with Linux
 * 6.1), since it finds no path for it.
 */
#ifndef NATD_DAEMON_NETNS_H
#define NATD_DAEMON_NETNS_H

#include <stdbool.h>
#include <stdint.h>

/* The number of natd's own network namespace, or of the namespace behind an open descriptor. Returns 0 or a negative
 * errno. */
int netns_own(uint64_t *number);
int netns_of(int fd, uint64_t *number);

#endif
