/* SPDX-License-Identifier: ISC */
/*
 * Sends natd one request on a new connection, and passes each record of the answer to a function.
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

/* seconds of silence after which natd counts as not running */
enum { CLIENT_PATIENCE_S = 60, CLIENT_QUIET_PATIENCE_S = 2 };

struct client_query {
	enum ctl_type type;
	const struct ctl_filter *filter;       /* NULL: a request without one */
	const struct ctl_subscribe *subscribe; /* of CTL_MONITOR */
	const struct ctl_who *who;	       /* of CTL_WHO */
	const struct ctl_hosts *hosts;	       /* of CTL_HOSTS */
	bool is_quiet;			   /* prints nothing if natd does not answer, and waits two seconds for it */
	const struct ctl_explain *explain; /* of CTL_EXPLAIN */
	const struct ctl_backend_order *backend; /* of CTL_BACKEND_ORDER */
	const struct ctl_capture *capture;	 /* `program` is its filter program */
	const struct cbpf_insn *program;
	const struct ctl_forward_order *forward; /* of CTL_FORWARD_ORDER */
	uint32_t confirm_s;			 /* of CTL_RELOAD */
	const struct ctl_stun *stun;		 /* of CTL_STUN */
	bool is_endless;  /* runs until SIGINT, regardless of natd's silence; output is flushed at once */
	const bool *stop; /* set by on_record() when it wants no more (and returns false); NULL: it never does */
};
int client_run(const struct natctl *n, const struct client_query *q, exchange_fn *on_record, void *ctx,
	       struct ctl_end *end);

/*
 * `filter` NULL: a request without one. Returns NATCTL_DONE, with *end filled in unless `end` is NULL; or another code,
 * after printing what went wrong.
 */
int client_ask(const struct natctl *n, enum ctl_type type, const struct ctl_filter *filter, exchange_fn *on_record,
	       void *ctx, struct ctl_end *end);

#endif
