/* SPDX-License-Identifier: ISC */
/*
 * Asks natd: connects, sends one request, hands each record of the answer to a function.
 */
#ifndef NATD_CTL_CLIENT_H
#define NATD_CTL_CLIENT_H

#include "client/exchange.h"
#include "common/ctlcapture.h"
#include "common/ctlevent.h"
#include "common/ctlexplain.h"
#include "common/ctlforward.h"
#include "common/ctlhost.h"
#include "common/ctlstun.h"
#include "natctl.h"

/* natd silent for longer than that counts as no daemon */
enum { CLIENT_PATIENCE_S = 60, CLIENT_QUIET_PATIENCE_S = 2 };

struct client_query {
	enum ctl_type type;
	const struct ctl_filter *filter;       /* NULL: a request without one */
	const struct ctl_subscribe *subscribe; /* of CTL_MONITOR */
	const struct ctl_who *who;	       /* of CTL_WHO */
	const struct ctl_hosts *hosts;	       /* of CTL_HOSTS */
	bool is_quiet; /* says nothing about a natd that does not answer, and waits two seconds for it */
	const struct ctl_explain *explain;	 /* of CTL_EXPLAIN */
	const struct ctl_backend_order *backend; /* of CTL_BACKEND_ORDER */
	const struct ctl_capture *capture;	 /* of CTL_CAPTURE; `program` is its filter's */
	const struct cbpf_insn *program;
	const struct ctl_forward_order *forward; /* of CTL_FORWARD_ORDER */
	uint32_t confirm_s;			 /* of CTL_RELOAD */
	const struct ctl_stun *stun;		 /* of CTL_STUN */
	bool is_endless;  /* goes on until SIGINT, however long natd is silent; all output is flushed as it comes */
	const bool *stop; /* set by the record function that wants no more (and returns false); NULL: none does */
};
int client_run(const struct natctl *n, const struct client_query *q, exchange_fn *on_record, void *ctx,
	       struct ctl_end *end);

/*
 * `filter` NULL for requests without one. NATCTL_DONE and *end (may be NULL), or what went wrong, which has
 * been said on stderr.
 */
int client_ask(const struct natctl *n, enum ctl_type type, const struct ctl_filter *filter, exchange_fn *on_record,
	       void *ctx, struct ctl_end *end);

#endif
