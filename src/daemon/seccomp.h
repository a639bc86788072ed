/* SPDX-License-Identifier: ISC */
/*
 * The system call filter: an allow-list, for ever, and death by SIGSYS on anything else. The only file that
 * knows libseccomp. A change that makes natd need another system call after its start adds it in seccomp.c, beside
 * the reason.
 */
#ifndef NATD_DAEMON_SECCOMP_H
#define NATD_DAEMON_SECCOMP_H

/* Why there is no filter in this build; NULL: there is. */
const char *seccomp_missing(void);

/* Installs it; no-new-privileges must be set. 0 (too where seccomp_missing()), or a negative errno; -EINVAL: this
 * kernel has no filters. */
int seccomp_confine(void);

#endif
