/* SPDX-License-Identifier: ISC */
#include "ctlrule.h"

bool ctl_put_rule(struct ctl_writer *w, const struct ctl_rule *r)
{
	size_t begin = ctl_frame_begin(w, CTL_R_RULE);

	ctl_put_u32(w, r->number);
	ctl_put_text_max(w, r->name, CTL_NAME_MAX);
	ctl_put_u8(w, r->action);
	ctl_put_u8(w, r->directions);
	ctl_put_u8(w, r->log);
	ctl_put_u64(w, r->sessions);
	ctl_put_u64(w, r->refused);
	ctl_put_u64(w, r->packets);
	ctl_put_u64(w, r->bytes);
	return ctl_frame_end(w, begin);
}

bool ctl_get_rule(struct ctl_reader *r, struct ctl_rule *rule)
{
	rule->number = ctl_get_u32(r);
	ctl_get_text(r, rule->name, sizeof(rule->name));
	rule->action = ctl_get_u8(r);
	rule->directions = ctl_get_u8(r) & (CTL_RULE_OUT | CTL_RULE_IN);
	rule->log = ctl_get_u8(r) & 1;
	rule->sessions = ctl_get_u64(r);
	rule->refused = ctl_get_u64(r);
	rule->packets = ctl_get_u64(r);
	rule->bytes = ctl_get_u64(r);
	return !r->bad && rule->action < CTL_RULE_ACTIONS;
}
