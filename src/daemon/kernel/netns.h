/* SPDX-License-Identifier: ISC */
/*
 * Which network namespace: told by the name that the kernel gives it, "net:[NUMBER]".
 *
 * Read as the target of a link: AppArmor refuses stat() on a namespace, even in complain mode (seen with Linux 6.1), since it finds no
 * path for it.
 */
#ifndef NATD_DAEMON_NETNS_H
#define NATD_DAEMON_NETNS_H

#include <stdbool.h>
#include <stdint.h>

/* The number of natd's own network namespace, or of that behind an open descriptor of one. 0 or a negative errno. */
int netns_own(uint64_t *number);
int netns_of(int fd, uint64_t *number);

#endif
