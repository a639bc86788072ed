/* SPDX-License-Identifier: ISC */
/*
 * Which connections are wanted, as text: conntrack's letters and names.
 */
#ifndef NATD_CLIENT_FILTER_H
#define NATD_CLIENT_FILTER_H

#include <stdbool.h>

#include "common/ctlfilter.h"
#include "option.h"

/* Target: a struct ctl_filter, zeroed. Its options ignore the struct natctl. */
extern const struct option_set filter_options;

/* For tests and other commands: parts of it. False: not one. */
bool filter_parse_prefix(const char *text, struct ctl_prefix *p);
bool filter_parse_number(const char *text, uint64_t max, uint64_t *value);

#endif
