/* SPDX-License-Identifier: ISC */
/*
 * The arguments of a command: conntrack's letters for a filter, and the output options.
 */
#ifndef NATD_CTL_FILTER_H
#define NATD_CTL_FILTER_H

#include <stdbool.h>

#include "common/ctlrecord.h"
#include "natctl.h"

/*
 * Reads everything behind the command's name. `f` NULL: a command without a filter. False: wrong usage, which
 * has been said.
 */
bool filter_parse(struct natctl *n, struct ctl_filter *f, int argc, char **argv);

/* "table", "json" or "line"; false (and said) for anything else. */
bool filter_parse_format(struct natctl *n, const char *name);

/* For tests: parts of it. False: not one. */
bool filter_parse_prefix(const char *text, struct ctl_prefix *p);
bool filter_parse_number(const char *text, uint64_t max, uint64_t *value);

#endif
