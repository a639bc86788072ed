/* SPDX-License-Identifier: ISC */
/*
 * Asks natd: connects, sends one request, hands each record of the answer to a function.
 */
#ifndef NATD_CTL_CLIENT_H
#define NATD_CTL_CLIENT_H

#include "common/ctlrecord.h"
#include "exchange.h"
#include "natctl.h"

enum { CLIENT_PATIENCE_S = 60 }; /* natd silent for longer than that counts as no daemon */

/*
 * `filter` NULL for requests without one. NATCTL_DONE and *end (may be NULL), or what went wrong, which has
 * been said on stderr.
 */
int client_ask(const struct natctl *n, enum ctl_type type, const struct ctl_filter *filter, exchange_fn *on_record,
	       void *ctx, struct ctl_end *end);

#endif
