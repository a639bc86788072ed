/* SPDX-License-Identifier: ISC */
/*
 * What the commands of natctl share: the options given before them, and how a command ends.
 */
#ifndef NATD_CTL_NATCTL_H
#define NATD_CTL_NATCTL_H

#include <stdio.h>

/* Exit codes, see natctl(8). */
enum natctl_exit {
	NATCTL_DONE = 0,
	NATCTL_REFUSED = 1, /* by natd; also: nothing matched, or the answer could not be written */
	NATCTL_USAGE = 2,
	NATCTL_NO_DAEMON = 3,
};

enum natctl_format { FORMAT_LINE, FORMAT_TABLE, FORMAT_JSON };

struct natctl {
	const char *socket;
	enum natctl_format format;
	void (*heading)(FILE *f); /* of a table, printed once natd is there; NULL: none */
	int write_error;	  /* errno of the first write to stdout that failed; 0: none */
};

/* A command: `argv[0]` is its own name, the arguments follow. Returns an enum natctl_exit. */
typedef int natctl_fn(struct natctl *n, int argc, char **argv);

natctl_fn command_list, command_count, command_delete, command_flush;
natctl_fn command_status, command_stats, command_mappings, command_forwards, command_pools;
natctl_fn command_reload, command_doctor, command_later;

/* "natctl: TEXT" to stderr, escaped. */
void natctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
