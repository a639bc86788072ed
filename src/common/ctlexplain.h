/* SPDX-License-Identifier: ISC */
/*
 * The request "explain": a packet that need not exist, the steps that it would take, and the verdict. As in ctlproto.h,
 * each ctl_put_ writes one whole frame, each ctl_get_ reads a body.
 */
#ifndef NATD_COMMON_CTLEXPLAIN_H
#define NATD_COMMON_CTLEXPLAIN_H

#include "ctlrecord.h"

enum ctl_explain_way {
	CTL_EXPLAIN_AUTO, /* inbound, unless the source is an inside host */
	CTL_EXPLAIN_OUT,
	CTL_EXPLAIN_IN,
};

struct ctl_explain {
	uint8_t protocol; /* IP protocol; TCP means a SYN, ICMP an echo request with the source's port as query id */
	uint8_t way;	  /* enum ctl_explain_way */
	struct ctl_endpoint source, destination;
};
bool ctl_put_explain(struct ctl_writer *w, const struct ctl_explain *q);
bool ctl_get_explain(struct ctl_reader *r, struct ctl_explain *q);

struct ctl_step {
	char step[32];
	char result[CTL_TEXT_MAX + 1];
};
bool ctl_put_step(struct ctl_writer *w, const char *step, const char *result);
bool ctl_get_step(struct ctl_reader *r, struct ctl_step *s);

enum { /* which endpoints are known */
       CTL_VERDICT_INSIDE = 1,
       CTL_VERDICT_OUTSIDE = 2,
       CTL_VERDICT_OUTSIDE_PORT = 4, /* not set: the port would be drawn at random */
       CTL_VERDICT_REMOTE = 8,
};

struct ctl_verdict {
	bool is_pass;
	uint8_t known;	 /* CTL_VERDICT_ bits */
	char reason[32]; /* of a drop: the counter's name; "": none */
	char text[CTL_TEXT_MAX + 1];
	struct ctl_endpoint inside, outside, remote;
};
bool ctl_put_verdict(struct ctl_writer *w, const struct ctl_verdict *v);
bool ctl_get_verdict(struct ctl_reader *r, struct ctl_verdict *v);

#endif
