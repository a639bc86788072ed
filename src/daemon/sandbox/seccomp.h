/* SPDX-License-Identifier: ISC */
/*
 * The system call filter: a permanent allow-list, and death by SIGSYS on anything else. Only this file uses libseccomp.
 * A change that makes natd need another system call after its start adds it in seccomp.c, beside the reason.
 */
#ifndef NATD_DAEMON_SECCOMP_H
#define NATD_DAEMON_SECCOMP_H

/* Why this build has no filter; NULL: it has. */
const char *seccomp_missing(void);

struct seccomp_filter;

enum seccomp_process {
	SECCOMP_NATD,
	/* the process that restarts the next one: it forks and waits; its filter must include its children's calls */
	SECCOMP_KEEPER,
	SECCOMP_HEALTH, /* the process that checks backends: it connects, and reports to natd */
};

/* Generates it, before the host is touched: *out, or NULL if seccomp_missing(). Returns 0 or a negative errno. */
int seccomp_prepare(struct seccomp_filter **out, enum seccomp_process process);

/* Installs it in all threads; no-new-privileges must be set. Returns 0 (also for NULL) or a negative errno; -EINVAL:
 * the kernel has no filters. */
int seccomp_confine(struct seccomp_filter *f);

void seccomp_free(struct seccomp_filter *f);

#endif
