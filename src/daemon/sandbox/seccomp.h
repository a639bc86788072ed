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

struct seccomp_filter;

enum seccomp_process {
	SECCOMP_NATD,
	SECCOMP_KEEPER, /* the process that keeps the next one: it forks and waits, and its children may do what they may */
	SECCOMP_HEALTH, /* the process that checks backends: it connects, and speaks to natd */
};

/* Makes it, before the host is touched: *out, or NULL where seccomp_missing(). 0 or a negative errno. */
int seccomp_prepare(struct seccomp_filter **out, enum seccomp_process process);

/* Puts it in force for all threads; no-new-privileges must be set. 0 (too for NULL), or a negative errno; -EINVAL:
 * this kernel has no filters. */
int seccomp_confine(struct seccomp_filter *f);

void seccomp_free(struct seccomp_filter *f);

#endif
