/* SPDX-License-Identifier: ISC */
/* natd gives up, for ever, every path and every system call that serving does not take. What the kernel or this
 * build does not have is said in the log, and left out. */
#ifndef NATD_DAEMON_LOCKDOWN_H
#define NATD_DAEMON_LOCKDOWN_H

struct natd;

/* After privs_drop(), before the first thread is made (Landlock confines a thread and those that it makes). 0, or a
 * negative errno. */
int lockdown_paths(const struct natd *n);

/* As the last step of the start: n->filter. 0, or a negative errno. */
int lockdown_calls(struct natd *n);

#endif
