/* SPDX-License-Identifier: ISC */
/*
 * Shared by the commands of natctl: the table of commands, the options given before them, and the exit codes.
 *
 * A new command is a row of commands[] (commands.c) and a file cmd_NAME.c with its function. Its own options are a
 * table in that file (options.h).
 */
#ifndef NATD_CTL_NATCTL_H
#define NATD_CTL_NATCTL_H

#include <stddef.h>
#include <stdio.h>

#ifndef NATD_DEFAULT_SOCKET
#ifdef RUNSTATEDIR
#define NATD_DEFAULT_SOCKET RUNSTATEDIR "/natd/natd.sock"
#else
#define NATD_DEFAULT_SOCKET "/run/natd/natd.sock"
#endif
#endif

/* Exit codes, see natctl(8). */
enum natctl_exit {
	NATCTL_DONE = 0,
	NATCTL_REFUSED = 1, /* by natd; also: nothing matched, or the answer could not be written */
	NATCTL_USAGE = 2,
	NATCTL_NO_DAEMON = 3,
};

/* FORMAT_SAVE: the arguments of `conntrack -A`, as `conntrack -L -o save` prints them. */
enum natctl_format { FORMAT_LINE, FORMAT_TABLE, FORMAT_JSON, FORMAT_SAVE };

/* Parts of a line that -o adds, and parts that some lines omit. */
enum {
	LINE_EXTENDED = 1,   /* "ipv4     2 " in front */
	LINE_MARK = 2,	     /* "mark=0 use=1" before the id */
	LINE_TIMESTAMP = 4,  /* the time before an event; listings have none */
	LINE_NO_TIMEOUT = 8, /* of a session that has ended */
	LINE_NO_COUNTS = 16, /* as conntrack shows events */
};

struct natctl {
	const char *socket;
	enum natctl_format format;
	unsigned line;		  /* LINE_ bits */
	void (*heading)(FILE *f); /* prints a table's heading once natd has answered; NULL: none */
	int write_error;	  /* errno of the first failed write to stdout; 0: none */
};

/* A command: `argv[0]` is its name, the arguments follow. Returns an enum natctl_exit. */
typedef int natctl_fn(struct natctl *n, int argc, char **argv);

struct option_set;

struct natctl_command {
	const char *name;
	char letter;	       /* conntrack's; 0: none */
	const char *long_name; /* conntrack's, without dashes; NULL: `name`, or none without a letter */
	const char *usage;     /* its arguments, for the help */
	const char *summary;   /* one line of `natctl help` */
	const char *details;   /* paragraphs of `natctl help COMMAND`, each ending in a newline; NULL: none */
	const struct option_set *const *options; /* ends with NULL; NULL: only the output options */
	natctl_fn *run;
};

const struct natctl_command *natctl_commands(size_t *n);
/* By name, by letter ("-L") or by conntrack's long name ("--dump"); NULL: no such command. */
const struct natctl_command *natctl_find_command(const char *word);
/* Reports that `word` is not a command, and suggests a near one. */
void natctl_complain_command(const char *word);

/* `natctl help [COMMAND]` on stdout. Both return an enum natctl_exit. */
int help_all(void);
int help_command(const struct natctl_command *c);

natctl_fn command_list, command_count, command_delete, command_flush;
natctl_fn command_status, command_stats, command_mappings, command_forwards, command_pools;
natctl_fn command_monitor, command_history, command_who, command_explain, command_blocks, command_hosts, command_top;
natctl_fn command_rules, command_capture, command_public_address;
natctl_fn command_backend, command_forward, command_confirm, command_reload, command_doctor, command_help;

/* Prints "natctl: TEXT" to stderr, escaped. */
void natctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
