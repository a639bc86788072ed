/* SPDX-License-Identifier: ISC */
/*
 * The arguments of a command that selects connections, with conntrack's letters and names.
 */
#ifndef NATD_CTL_FILTER_H
#define NATD_CTL_FILTER_H

#include <stdbool.h>

#include "client/filter.h"
#include "natctl.h"
#include "options.h"
#include "common/ctlfilter.h"

/*
 * Parses everything after the command's name. `f` NULL: a command without a filter. conntrack's table name (`-L
 * conntrack`) is accepted. False: wrong usage, which was printed.
 */
bool filter_parse(struct natctl *n, struct ctl_filter *f, int argc, char **argv);
/* The same with one more set of options; NULL: none. */
bool filter_parse_with(struct natctl *n, struct ctl_filter *f, const struct option_use *more, int argc, char **argv);

/* Options of natctl list. */
extern const struct option_set list_options;

#endif
