/* SPDX-License-Identifier: ISC */
/* Rights that natd drops during start, step by step: privileges (privs.h), paths and system calls (lockdown.h). */
#ifndef NATD_DAEMON_SANDBOX_H
#define NATD_DAEMON_SANDBOX_H

#include "privs.h"
#include "seccomp.h"

struct sandbox {
	struct privs privs;
	struct seccomp_filter *filter; /* owned from seccomp_prepare() until it is in force */
};

#endif
