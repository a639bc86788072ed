/* SPDX-License-Identifier: ISC */
/*
 * natctl: the command line client of natd. Parses the options before the command and finds its row in the table
 * (commands.c).
 */
#include "natctl.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static int wrong_usage(void)
{
	fputs("Try `natctl help'.\n", stderr);
	return NATCTL_USAGE;
}

static int show_version(void)
{
	puts("natctl " PACKAGE_VERSION);
#ifndef HAVE_JANSSON
	puts("built without jansson: no JSON");
#endif
#ifndef HAVE_LIBPCAP
	puts("built without libpcap: no expressions of pcap-filter(7)");
#endif
#ifndef HAVE_NCURSES
	puts("built without ncurses: natctl top prints plain screens only");
#endif
#ifndef HAVE_ZLIB
	puts("built without zlib: no compressed logs");
#endif
	return fflush(stdout) == 0 ? NATCTL_DONE : NATCTL_REFUSED;
}

/* Is `word` a command in conntrack's form, a letter or a long option? The options before the command end there. */
static bool is_dashed_command(const char *word)
{
	return word && word[0] == '-' && natctl_find_command(word);
}

/* Parses the options before the command. -1: continue; else the exit code. */
static int take_options(struct natctl *n, int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	  {NULL, 0, NULL, 0},
	};
	const char *wrong;
	int option;

	while (!is_dashed_command(argv[optind])) {
		option = getopt_long(argc, argv, "+s:jo:hV", options, NULL);
		if (option == -1)
			return -1;
		if (option == 'h')
			return help_all();
		if (option == 'V')
			return show_version();
		if (option == '?')
			return wrong_usage();
		if (option == 's')
			n->socket = optarg;
		if (option == 'j')
			n->format = FORMAT_JSON;
		wrong = option == 'o' ? options_set_format(n, optarg) : NULL;
		if (wrong) {
			natctl_complain("--output: `%s' %s", optarg, wrong);
			return wrong_usage();
		}
	}
	return -1;
}

/* Is there `--help` among the arguments of the command? */
static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

static int run(struct natctl *n, int argc, char **argv)
{
	char status[] = "status";
	char *bare[] = {status, NULL};
	const struct natctl_command *c;
	int rc;

	if (argc == 0) {
		argc = 1;
		argv = bare;
	}
	c = natctl_find_command(argv[0]);
	if (!c) {
		natctl_complain_command(argv[0]);
		return wrong_usage();
	}
	if (wants_help(argc, argv))
		return help_command(c);
	rc = c->run(n, argc, argv);
	return rc == NATCTL_USAGE ? wrong_usage() : rc;
}

int main(int argc, char **argv)
{
	struct natctl n = {.socket = getenv("NATD_SOCKET"), .format = FORMAT_LINE};
	int rc;

	signal(SIGPIPE, SIG_IGN); /* a closed pipe shows as a write error: see output_finish() */
	if (!n.socket || !n.socket[0])
		n.socket = NATD_DEFAULT_SOCKET;
	rc = take_options(&n, argc, argv);
	if (rc >= 0)
		return rc;
	return run(&n, argc - optind, argv + optind);
}
