/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/spelling.h"
#include "say.h"

static const char *const types[] = {"full-cone", "restricted-cone", "port-restricted-cone", "symmetric"};
static const char *const extras[] = {"hairpin=off", "preserve", "cgnat", "no-udp"};

static const char *const help =
	"Usage: natlab [OPTION...] [--] COMMAND [ARGUMENT...]\n"
	"       natlab shell [OPTION...]\n"
	"Inside:\n"
	"       natlab in HOST COMMAND [ARGUMENT...]\n"
	"       natlab address HOST\n"
	"       natlab ctl NAT NATCTL-ARGUMENT...\n"
	"\n"
	"A laboratory of NATs: builds an internet with NATs and hosts behind them, runs COMMAND beside them and ends "
	"with\n"
	"its exit status. Root is not needed. Nothing is left behind.\n"
	"\n"
	"  -n, --nat TYPE     a NAT; may be repeated: nat1, nat2, ... TYPE is full-cone, restricted-cone,\n"
	"                     port-restricted-cone or symmetric, each with any of ,hairpin=off ,preserve ,cgnat "
	",no-udp;\n"
	"                     or file=NATD.CONF\n"
	"  -H, --hosts N      so many hosts behind each NAT (1): nat1-host1, nat1-host2, ...\n"
	"  -s, --server       a host \"server\" with two addresses on the internet\n"
	"  -p, --pcap FILE    record both sides of every NAT (pcapng)\n"
	"  -v, --verbose      print topology and addresses; twice: the log of each NAT too\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n"
	"\n"
	"HOST is nat1-host1, server, nat1, nat1-cgnat or internet. See natlab(1).\n";

static const char *const *find(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], word) == 0)
			return &words[i];
	return NULL;
}
#define FIND(words, word) find(words, sizeof(words) / sizeof((words)[0]), word)

static bool take_extra(struct nat_wish *w, const char *extra)
{
	const char *const *found = FIND(extras, extra);

	if (!found)
		return false;
	switch (found - extras) {
	case 0:
		w->hairpin_off = true;
		break;
	case 1:
		w->preserve = true;
		break;
	case 2:
		w->cgnat = true;
		break;
	default:
		w->no_udp = true;
	}
	return true;
}

const char *options_take_nat(struct nat_wish *w, const char *text, const char **about)
{
	char *words = strdup(text), *rest = words;
	const char *word;
	const char *const *type;

	*w = (struct nat_wish){.text = text};
	*about = text;
	if (!words)
		return "there is no memory for this NAT";
	if (strncmp(text, "file=", 5) == 0) {
		w->file = text + 5;
		free(words);
		return w->file[0] ? NULL : "file= needs the name of a natd.conf";
	}
	word = strsep(&rest, ",");
	type = FIND(types, word);
	if (type)
		w->type = *type;
	while (type && (word = strsep(&rest, ","))) {
		if (take_extra(w, word))
			continue;
		*about = text + (word - words);
		free(words);
		return "not an option of a NAT; there are hairpin=off, preserve, cgnat and no-udp";
	}
	free(words);
	return type ? NULL
		    : "not a type of NAT; there are full-cone, restricted-cone, port-restricted-cone, symmetric and "
		      "file=NATD.CONF";
}

/* The type or option that a misspelt one probably means. */
static const char *meant(const char *about)
{
	char word[32];
	struct spelling s = {.wanted = word};

	snprintf(word, sizeof(word), "%.*s", (int)strcspn(about, ","), about);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		spelling_try(&s, types[i]);
	for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++)
		spelling_try(&s, extras[i]);
	return spelling_found(&s);
}

static bool add_nat(struct lab_options *o, const char *text)
{
	const char *about, *wrong, *near;

	if (o->n_nats == LAB_MAX_NATS) {
		say("more than %d NATs are not possible", LAB_MAX_NATS);
		return false;
	}
	wrong = options_take_nat(&o->nats[o->n_nats], text, &about);
	if (wrong) {
		near = meant(about);
		say("\"%s\" is %s%s%s%s", about, wrong, near ? " (did you mean " : "", near ? near : "",
		    near ? "?)" : "");
		return false;
	}
	o->n_nats++;
	return true;
}

static bool take_hosts(struct lab_options *o, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || n > LAB_MAX_HOSTS) {
		say("--hosts takes a number from 0 to %d, and not \"%s\"", LAB_MAX_HOSTS, text);
		return false;
	}
	o->hosts = (unsigned)n;
	return true;
}

/* -1: continue; else the exit code. */
static int take_option(struct lab_options *o, int option, const char *argument)
{
	switch (option) {
	case 'n':
		return add_nat(o, argument) ? -1 : LAB_USAGE;
	case 'H':
		return take_hosts(o, argument) ? -1 : LAB_USAGE;
	case 's':
		o->server = true;
		return -1;
	case 'p':
		o->pcap = argument;
		return -1;
	case 'v':
		o->verbose++;
		return -1;
	case 'h':
		fputs(help, stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	case 'V':
		puts("natlab " PACKAGE_VERSION);
		return fflush(stdout) == 0 ? 0 : 1;
	default:
		return LAB_USAGE;
	}
}

bool options_take(struct lab_options *o, int argc, char **argv, int *code)
{
	static const struct option known[] = {
		{"nat", required_argument, NULL, 'n'}, {"hosts", required_argument, NULL, 'H'},
		{"server", no_argument, NULL, 's'},    {"pcap", required_argument, NULL, 'p'},
		{"verbose", no_argument, NULL, 'v'},   {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},   {NULL, 0, NULL, 0},
	};
	int option;

	*o = (struct lab_options){.hosts = 1};
	if (argc > 1 && strcmp(argv[1], "shell") == 0) {
		o->shell = true;
		argv[1] = argv[0]; /* getopt's messages begin with it */
		argc--;
		argv++;
	}
	while ((option = getopt_long(argc, argv, "+n:H:sp:vhV", known, NULL)) != -1) {
		*code = take_option(o, option, optarg);
		if (*code >= 0) {
			if (*code == LAB_USAGE && option == '?')
				fputs("Try `natlab --help'.\n", stderr);
			return false;
		}
	}
	o->command = argv + optind;
	*code = LAB_USAGE;
	if (o->shell && argv[optind])
		say("`natlab shell' takes options alone; to run %s: natlab [OPTION...] -- %s ...", argv[optind],
		    argv[optind]);
	else if (!o->shell && !argv[optind])
		say("a COMMAND is missing; try `natlab --help', or `natlab shell'");
	else
		return true;
	return false;
}
