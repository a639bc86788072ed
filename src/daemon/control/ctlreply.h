/* SPDX-License-Identifier: ISC */
/*
 * Requests with a short answer, made in one go: status, stats, reload, doctor.
 */
#ifndef NATD_DAEMON_CTLREPLY_H
#define NATD_DAEMON_CTLREPLY_H

#include "ctlclient.h"
#include "common/ctlproto.h"

enum { CTL_REPLY_ROOM = 49152 }; /* a writer must have that much left */

/* True: `type` is one of them, and `w` now holds the whole answer, its end included. */
bool ctl_reply(const struct ctl_env *env, enum ctl_type type, struct ctl_writer *w);

#endif
