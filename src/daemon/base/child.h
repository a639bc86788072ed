/* SPDX-License-Identifier: ISC */
/*
 * Work in a child process: for what a library does at the start that it may not survive, or not end, when memory is
 * short. natd then still says what is wrong. Not once there are workers or a system call filter.
 */
#ifndef NATD_DAEMON_CHILD_H
#define NATD_DAEMON_CHILD_H

#include <stddef.h>

/* Writes its result (at most what a pipe holds) to `fd`. 0: done. */
typedef int child_fn(const void *ctx, int fd);

/* Runs it, and waits: what it wrote is in `out`, at most `size` bytes, and how much that was in *len. 0; -ENOMEM: it died
 * or was not done; -EINTR: somebody ended it by SIGTERM or SIGINT, and natd gets the same; another negative errno: there
 * was no child, or nothing could be heard of it (-ECHILD where SIGCHLD is ignored). */
int child_run(child_fn *fn, const void *ctx, void *out, size_t size, size_t *len);

#endif
