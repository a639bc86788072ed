/* SPDX-License-Identifier: ISC */
/* Completes the filter's rules with facts of the host: the inside prefixes behind each interface that a rule names. */
#ifndef NATD_DAEMON_BUILD_FILTER_H
#define NATD_DAEMON_BUILD_FILTER_H

#include <stdbool.h>

#include "build_policy.h"

/* Fills s->filter, which borrows from `c` and from `s`. False: out of memory. */
bool filter_build(const struct natd_config *c, const struct host_facts *facts, struct policy_storage *s);
/* Frees what filter_build() allocated. */
void filter_build_fini(struct policy_storage *s);

#endif
