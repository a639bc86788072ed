/* SPDX-License-Identifier: ISC */
/* The request "who": the inside endpoints behind an outside endpoint. */
#ifndef NATD_DAEMON_WHO_H
#define NATD_DAEMON_WHO_H

#include "request.h"

struct nat;
struct block_view;
/* Writes one block in terms of the protocol. */
void ctl_put_block_view(struct ctl_writer *w, struct nat *nat, const struct block_view *v, uint64_t now_ms);

/* Mappings and forwards that hold the endpoint now, and the block in use that contains it. The second count of the
 * end frame is the time (microseconds since the epoch) at which the history of ended sessions begins. Costs two
 * look-ups a protocol, and one pass over the forwards. */
void ctl_answer_who(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);

#endif
