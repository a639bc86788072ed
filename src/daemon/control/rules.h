/* SPDX-License-Identifier: ISC */
/* The filter's rules for control clients, and their decisions for the log. */
#ifndef NATD_DAEMON_RULES_H
#define NATD_DAEMON_RULES_H

#include "core/nat/nat.h"
#include "request.h"

void ctl_begin_rules(struct ctl_job *j, const struct ctl_env *env);
void ctl_slice_rules(struct ctl_job *j, const struct ctl_turn *t);

/* Logs the rules' decisions since the last call: once a second, with the core's lock held. `lost`: the caller's
 * count of losses that were reported before. */
void rules_log(struct nat *n, uint64_t *lost);

#endif
