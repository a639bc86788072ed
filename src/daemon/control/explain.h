/* SPDX-License-Identifier: ISC */
/* The request "explain": what would happen to a packet, in terms of the configuration. */
#ifndef NATD_DAEMON_EXPLAIN_H
#define NATD_DAEMON_EXPLAIN_H

#include "request.h"

/* The first steps come from the steering table, the next from the core's own decision, the last from the kernel's
 * routes. */
void ctl_answer_explain(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
/* Why this packet cannot be explained; NULL: it can. */
const char *ctl_object_to_explain(const union ctl_args *args);

#endif
