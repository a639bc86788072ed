/* SPDX-License-Identifier: ISC */
/* The filter's rules with what only the host knows: the inside prefixes behind each interface that a rule names. */
#ifndef NATD_DAEMON_BUILD_FILTER_H
#define NATD_DAEMON_BUILD_FILTER_H

#include <stdbool.h>

#include "build_policy.h"

/* Fills s->filter, which borrows from `c` and from `s`. False: memory short. */
bool filter_build(const struct natd_config *c, const struct host_facts *facts, struct policy_storage *s);
/* Frees what filter_build() allocated. */
void filter_build_fini(struct policy_storage *s);

#endif
