/* SPDX-License-Identifier: ISC */
/* An option: its name, its help, and the function that parses its value. */
#ifndef NATD_CLIENT_OPTION_H
#define NATD_CLIENT_OPTION_H

#include <stddef.h>

struct natctl;

enum option_value { VALUE_NONE, VALUE_NEEDED, VALUE_OPTIONAL /* the next argument, unless that is an option */ };

struct natctl_option {
	const char *name; /* long, without dashes; NULL: a letter alone */
	char letter;	  /* 0: none */
	enum option_value takes;
	const char *placeholder; /* of its value, for the help */
	const char *help;	 /* NULL: an alias of an option above, not shown */
	/* Parses the value into `target` (that of the set). NULL, or what is wrong with the value ("is not a port"). */
	const char *(*set)(struct natctl *n, void *target, const char *value);
};

struct option_set {
	const char *title; /* for the help, with a colon */
	const struct natctl_option *options;
	size_t n;
};

#endif
