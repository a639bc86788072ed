/* SPDX-License-Identifier: ISC */
/* The record of a filter rule on the wire: docs/control-protocol.md. */
#ifndef NATD_COMMON_CTLRULE_H
#define NATD_COMMON_CTLRULE_H

#include "ctlproto.h"

enum { CTL_RULE_OUT = 1, CTL_RULE_IN = 2 };
enum { CTL_RULE_ACCEPT, CTL_RULE_DROP, CTL_RULE_REJECT, CTL_RULE_ACTIONS };

struct ctl_rule {
	uint32_t number; /* place in the file, from 1 */
	char name[CTL_NAME_MAX + 1];
	uint8_t action;	    /* CTL_RULE_ACCEPT... */
	uint8_t directions; /* bits CTL_RULE_OUT, CTL_RULE_IN */
	bool log;
	uint64_t sessions; /* that it let in */
	uint64_t refused;  /* openings that it dropped or rejected */
	uint64_t packets, bytes;
};
bool ctl_put_rule(struct ctl_writer *w, const struct ctl_rule *r);
bool ctl_get_rule(struct ctl_reader *r, struct ctl_rule *rule);

#endif
