/* SPDX-License-Identifier: ISC */
/*
 * natctl: the command line client of natd. One table of commands; everything else is in cmd_*.c.
 */
#include "natctl.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "names.h"

#ifndef NATD_DEFAULT_SOCKET
#ifdef RUNSTATEDIR
#define NATD_DEFAULT_SOCKET RUNSTATEDIR "/natd/natd.sock"
#else
#define NATD_DEFAULT_SOCKET "/run/natd/natd.sock"
#endif
#endif

struct command {
	const char *name;
	char letter; /* conntrack's; 0: it has none */
	natctl_fn *run;
	const char *arguments;
	const char *help; /* NULL: not shown */
};

static const struct command commands[] = {
	{"status", 0, command_status, "", "one screen: how natd is doing (also without a command)"},
	{"list", 'L', command_list, "[FILTER]", "the connection table, one entry a line"},
	{"count", 'C', command_count, "[FILTER]", "how many entries match"},
	{"stats", 'S', command_stats, "", "every counter by name; -o table explains them"},
	{"delete", 'D', command_delete, "FILTER", "end the entries that match, and print them"},
	{"flush", 'F', command_flush, "", "end all entries"},
	{"mappings", 0, command_mappings, "", "which inside endpoint has which outside endpoint"},
	{"forwards", 0, command_forwards, "", "what is forwarded to inside hosts"},
	{"pools", 0, command_pools, "", "outside addresses, and how many of their ports are in use"},
	{"reload", 0, command_reload, "", "read the configuration again: all of it or none of it"},
	{"doctor", 0, command_doctor, "", "check host and configuration, and say how to mend them"},
	{"monitor", 'E', command_later, "", NULL},
	{"explain", 0, command_later, "", NULL},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

void natctl_complain(const char *format, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fputs("natctl: ", stderr);
	names_print(stderr, text);
	fputc('\n', stderr);
}

static int wrong_usage(void)
{
	fputs("Try `natctl --help'.\n", stderr);
	return NATCTL_USAGE;
}

static int show_help(void)
{
	puts("natctl [-s SOCKET] [-j] [-o FORMAT] COMMAND [ARGUMENTS]\n");
	for (int i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];
		const char letter[] = {'-', c->letter, '\0'};

		if (c->help)
			printf("  %-8s %-2s %-8s  %s\n", c->name, c->letter ? letter : "", c->arguments, c->help);
	}
	puts("\nFILTER, all of which must hold:\n"
	     "  -p PROTO               tcp, udp, icmp, gre... or a number\n"
	     "  -s, --orig-src ADDR[/LEN]   -d, --orig-dst ADDR[/LEN]   as the opener sent it\n"
	     "  -r, --reply-src ADDR[/LEN]  -q, --reply-dst ADDR[/LEN]  as the reply is expected\n"
	     "  --sport PORT  --dport PORT  --state NAME  --forward NAME  -i ID\n"
	     "\nOptions:\n"
	     "  -s, --socket SOCKET    natd's control socket (default: $NATD_SOCKET, else " NATD_DEFAULT_SOCKET ")\n"
	     "  -j, --json             JSON; the same as -o json\n"
	     "  -o, --output FORMAT    table, json or line\n"
	     "  -h, --help   -V, --version\n"
	     "\nExit: 0 done, 1 refused or nothing matched, 2 wrong usage, 3 no natd answers.");
	return fflush(stdout) == 0 ? NATCTL_DONE : NATCTL_REFUSED;
}

static int show_version(void)
{
	puts("natctl " PACKAGE_VERSION);
	return fflush(stdout) == 0 ? NATCTL_DONE : NATCTL_REFUSED;
}

static const struct command *find_command(const char *word)
{
	for (int i = 0; i < COMMANDS; i++) {
		const char letter[] = {'-', commands[i].letter, '\0'};

		if (strcmp(word, commands[i].name) == 0 || (commands[i].letter && strcmp(word, letter) == 0))
			return &commands[i];
	}
	return NULL;
}

/* Stands `word` for a command by conntrack's letter? Options end there. */
static bool is_letter_command(const char *word)
{
	return word && word[0] == '-' && find_command(word);
}

/* Options before the command. -1: go on; else the exit code. */
static int take_options(struct natctl *n, int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	  {NULL, 0, NULL, 0},
	};
	int option;

	while (!is_letter_command(argv[optind])) {
		option = getopt_long(argc, argv, "+s:jo:hV", options, NULL);
		if (option == -1)
			return -1;
		if (option == 'h')
			return show_help();
		if (option == 'V')
			return show_version();
		if (option == '?' || (option == 'o' && !filter_parse_format(n, optarg)))
			return wrong_usage();
		if (option == 's')
			n->socket = optarg;
		if (option == 'j')
			n->format = FORMAT_JSON;
	}
	return -1;
}

static int run(struct natctl *n, int argc, char **argv)
{
	char status[] = "status";
	char *bare[] = {status, NULL};
	const struct command *c;
	int rc;

	if (argc == 0) {
		argc = 1;
		argv = bare;
	}
	c = find_command(argv[0]);
	if (!c) {
		natctl_complain("`%s' is not a command", argv[0]);
		return wrong_usage();
	}
	rc = c->run(n, argc, argv);
	return rc == NATCTL_USAGE ? wrong_usage() : rc;
}

int main(int argc, char **argv)
{
	struct natctl n = {.socket = getenv("NATD_SOCKET"), .format = FORMAT_LINE};
	int rc;

	signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a write error: see output_finish() */
	if (!n.socket || !n.socket[0])
		n.socket = NATD_DEFAULT_SOCKET;
	rc = take_options(&n, argc, argv);
	if (rc >= 0)
		return rc;
	return run(&n, argc - optind, argv + optind);
}
