/* SPDX-License-Identifier: ISC */
/*
 * `natctl help`, generated from the tables of commands and options.
 */
#include <string.h>

#include "natctl.h"
#include "options.h"
#include "term.h"

static const char exit_codes[] = "Exit: 0 done, 1 refused or nothing matched, 2 wrong usage, 3 no natd answers.\n";

static int finish(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? NATCTL_DONE : NATCTL_REFUSED;
}

static void heading(const char *text)
{
	printf("\n%s%s%s\n", term_style(stdout, TERM_BOLD), text, term_style(stdout, TERM_PLAIN));
}

/* One row; rows that follow without a help text are other names of the same option. */
static void show_option(const struct natctl_option *o, const struct natctl_option *end)
{
	enum { COLUMN = 34 };
	char left[128];
	size_t len;

	if (o->letter && o->name)
		len = (size_t)snprintf(left, sizeof(left), "  -%c, --%s", o->letter, o->name);
	else if (o->letter)
		len = (size_t)snprintf(left, sizeof(left), "  -%c", o->letter);
	else
		len = (size_t)snprintf(left, sizeof(left), "      --%s", o->name);
	for (const struct natctl_option *alias = o + 1; alias < end && !alias->help && len < sizeof(left); alias++)
		len += (size_t)snprintf(left + len, sizeof(left) - len, ", --%s", alias->name);
	if (o->placeholder && len < sizeof(left))
		snprintf(left + len, sizeof(left) - len, " %s", o->placeholder);
	printf("%-*s  %s\n", COLUMN, left, o->help);
}

static void show_set(const struct option_set *set)
{
	const struct natctl_option *end = set->options + set->n;

	heading(set->title);
	for (const struct natctl_option *o = set->options; o < end; o++) {
		if (o->help)
			show_option(o, end);
	}
}

static bool has_letter(const struct natctl_command *c, char letter)
{
	for (const struct option_set *const *set = c->options; set && *set; set++) {
		for (size_t i = 0; i < (*set)->n; i++) {
			if ((*set)->options[i].letter == letter)
				return true;
		}
	}
	return false;
}

int help_command(const struct natctl_command *c)
{
	printf("natctl %s%s%s\n", c->name, c->usage[0] ? " " : "", c->usage);
	if (c->letter)
		printf("natctl -%c%s%s, natctl --%s%s%s: the same, as conntrack has it\n", c->letter,
		       c->usage[0] ? " " : "", c->usage, c->long_name ? c->long_name : c->name, c->usage[0] ? " " : "",
		       c->usage);
	printf("\n%s\n", c->summary);
	if (c->details)
		printf("\n%s", c->details);
	for (const struct option_set *const *set = c->options; set && *set; set++)
		show_set(*set);
	if (!has_letter(c, 'o'))
		show_set(&output_options);
	printf("\n%sMore: man natctl\n", exit_codes);
	return finish();
}

static void show_commands(void)
{
	size_t n;
	const struct natctl_command *c = natctl_commands(&n);

	for (size_t i = 0; i < n; i++) {
		const char letter[] = {'-', c[i].letter, '\0'};
		char left[64];

		snprintf(left, sizeof(left), "%s %s", c[i].name, c[i].usage);
		printf("  %-2s  %-18s  %s\n", c[i].letter ? letter : "", left, c[i].summary);
	}
}

int help_all(void)
{
	puts("natctl [-s SOCKET] [-j] [-o LIST] COMMAND [ARGUMENTS]");
	heading("Commands:");
	show_commands();
	heading("Options before the command:");
	puts("  -s, --socket SOCKET               natd's control socket (default: $NATD_SOCKET, else\n"
	     "                                    " NATD_DEFAULT_SOCKET ")\n"
	     "  -h, --help   -V, --version");
	show_set(&output_options);
	printf("\n`natctl help COMMAND' lists the options of a command, FILTER among them.\n%s", exit_codes);
	return finish();
}

int command_help(struct natctl *n, int argc, char **argv)
{
	const struct natctl_command *c;
	int first = options_parse(n, argc, argv, NULL);

	if (first < 0)
		return NATCTL_USAGE;
	if (first == argc)
		return help_all();
	if (argc - first > 1) {
		natctl_complain("%s: `%s' is one argument too many", argv[0], argv[first + 1]);
		return NATCTL_USAGE;
	}
	c = natctl_find_command(argv[first]);
	if (c)
		return help_command(c);
	natctl_complain_command(argv[first]);
	return NATCTL_USAGE;
}
