/* SPDX-License-Identifier: ISC */
/*
 * The arguments of a command that chooses among connections: conntrack's letters and names.
 */
#ifndef NATD_CTL_FILTER_H
#define NATD_CTL_FILTER_H

#include <stdbool.h>

#include "common/ctlrecord.h"
#include "natctl.h"
#include "options.h"

/* Target: a struct ctl_filter, zeroed. */
extern const struct option_set filter_options;

/*
 * Reads everything behind the command's name. `f` NULL: a command without a filter. conntrack's table name
 * (`-L conntrack`) is accepted. False: wrong usage, which has been said.
 */
bool filter_parse(struct natctl *n, struct ctl_filter *f, int argc, char **argv);

/* For tests and other commands: parts of it. False: not one. */
bool filter_parse_prefix(const char *text, struct ctl_prefix *p);
bool filter_parse_number(const char *text, uint64_t max, uint64_t *value);

#endif
