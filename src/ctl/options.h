/* SPDX-License-Identifier: ISC */
/*
 * Options of commands: tables, which both the parser and the help use. Options may stand before and after other
 * arguments, long ones may be abbreviated, and a misspelt one gets a suggestion.
 */
#ifndef NATD_CTL_OPTIONS_H
#define NATD_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "client/option.h"
#include "natctl.h"

struct option_use {
	const struct option_set *set; /* NULL: the end */
	void *target;
};

/* -j and -o, which every command accepts: not to be listed in uses. No target. */
extern const struct option_set output_options;
/* Of commands in files of their own. */
extern const struct option_set doctor_options, reload_options;

/*
 * Parses the options after a command's name. Returns the index of the first argument that is not an option (argc: none;
 * they are moved to the end of argv). -1: wrong usage, which was printed.
 */
int options_parse(struct natctl *n, int argc, char **argv, const struct option_use *uses);

/* Sets n->format and n->line from a list such as "extended,id". Returns NULL, or what is wrong with it. */
const char *options_set_format(struct natctl *n, const char *list);

#endif
