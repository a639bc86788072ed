/* SPDX-License-Identifier: ISC */
/* The end of the start: natd gives up, for ever, every system call and every path that serving does not take. */
#ifndef NATD_DAEMON_LOCKDOWN_H
#define NATD_DAEMON_LOCKDOWN_H

struct natd;

/* After privs_drop(), as the last step. 0, or a negative errno and what failed in *what (static text). What the
 * kernel or this build does not have is said in the log, and left out. */
int lockdown(const struct natd *n, const char **what);

#endif
