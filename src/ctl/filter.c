/* SPDX-License-Identifier: ISC */
/* The arguments of a command that selects connections. */
#include "filter.h"

#include <string.h>

bool filter_parse(struct natctl *n, struct ctl_filter *f, int argc, char **argv)
{
	return filter_parse_with(n, f, NULL, argc, argv);
}

bool filter_parse_with(struct natctl *n, struct ctl_filter *f, const struct option_use *more, int argc, char **argv)
{
	const struct option_use uses[] = {
		{f ? &filter_options : NULL, f}, more ? *more : (struct option_use){NULL, NULL}, {NULL, NULL}};
	int first;

	if (f)
		*f = (struct ctl_filter){0};
	first = options_parse(n, argc, argv, uses);
	if (first >= 0 && first < argc && strcmp(argv[first], "conntrack") == 0)
		first++;
	if (first < 0 || first == argc)
		return first >= 0;
	natctl_complain("%s: `%s' is one argument too many", argv[0], argv[first]);
	return false;
}
