/* SPDX-License-Identifier: ISC */
/* Landlock: the process gives up every path but those named here. Linux 5.13; later kernels restrict more. */
#ifndef NATD_DAEMON_LANDLOCK_H
#define NATD_DAEMON_LANDLOCK_H

#include <stddef.h>

enum landlock_use {
	LANDLOCK_READ,	   /* read files below it */
	LANDLOCK_SETTINGS, /* read and write existing files */
	LANDLOCK_DEVICE,   /* open for reading and writing, ioctl */
	LANDLOCK_KEEP	   /* read, write, make, rename and remove regular files; remove a socket */
};

struct landlock_rule {
	const char *path; /* a file or a directory; a missing one grants nothing */
	enum landlock_use use;
};

/* Confines the process permanently; no-new-privileges must be set. Returns the version of the kernel's interface (1
 * or more); 0: the kernel has none, or it is disabled, and nothing was done; or a negative errno. */
int landlock_confine(const struct landlock_rule *rules, size_t n);

#endif
