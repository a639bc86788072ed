/* SPDX-License-Identifier: ISC */
/*
 * Filters for connections, as text: conntrack's letters and names.
 */
#ifndef NATD_CLIENT_FILTER_H
#define NATD_CLIENT_FILTER_H

#include <stdbool.h>

#include "common/ctlfilter.h"
#include "option.h"

/* Target: a zeroed struct ctl_filter. The options ignore the struct natctl. */
extern const struct option_set filter_options;

/* Parsers of parts of a filter, for tests and other commands. False: the text is not one. */
bool filter_parse_prefix(const char *text, struct ctl_prefix *p);
bool filter_parse_number(const char *text, uint64_t max, uint64_t *value);

#endif
