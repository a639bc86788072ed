/* SPDX-License-Identifier: ISC */
/*
 * Work in a child process: for library calls during start that may crash or loop when memory is short. natd can then
 * still report the failure. Not to be used once there are workers or a system call filter.
 */
#ifndef NATD_DAEMON_CHILD_H
#define NATD_DAEMON_CHILD_H

#include <stddef.h>

/* Writes its result to `fd`, at most what a pipe holds. Returns 0 on success. */
typedef int child_fn(const void *ctx, int fd);

/* Runs it and waits. Its output is in `out`, at most `size` bytes, its length in *len. Returns 0; -ENOMEM: the child
 * crashed or failed; -EINTR: SIGTERM or SIGINT ended it, and natd gets the same signal; another negative errno:
 * there was no child, or its result was lost (-ECHILD if SIGCHLD is ignored). */
int child_run(child_fn *fn, const void *ctx, void *out, size_t size, size_t *len);

#endif
