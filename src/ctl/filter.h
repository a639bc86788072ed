/* SPDX-License-Identifier: ISC */
/*
 * The arguments of a command that chooses among connections: conntrack's letters and names.
 */
#ifndef NATD_CTL_FILTER_H
#define NATD_CTL_FILTER_H

#include <stdbool.h>

#include "client/filter.h"
#include "natctl.h"
#include "options.h"

/*
 * Reads everything behind the command's name. `f` NULL: a command without a filter. conntrack's table name
 * (`-L conntrack`) is accepted. False: wrong usage, which has been said.
 */
bool filter_parse(struct natctl *n, struct ctl_filter *f, int argc, char **argv);

#endif
