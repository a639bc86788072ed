/* SPDX-License-Identifier: ISC */
#include "rules.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "ctlclient.h"
#include "common/ctlrule.h"
#include "common/protocol.h"
#include "core/nat/rule_view.h"
#include "daemon/base/log.h"

void ctl_begin_rules(struct ctl_job *j, const struct ctl_env *env)
{
	(void)j;
	nat_rule_survey_begin(env->nat);
}

static void put_rule(struct ctl_writer *w, const struct nat *n, uint32_t i)
{
	struct ctl_rule wire = {.number = i + 1};
	struct rule_view v;

	nat_rule_view(n, i, &v);
	memcpy(wire.name, v.rule->name, sizeof(wire.name));
	wire.action = v.rule->action;
	wire.directions = v.rule->directions;
	wire.log = v.rule->log;
	wire.sessions = v.sessions;
	wire.refused = v.refused;
	wire.packets = v.traffic.packets;
	wire.bytes = v.traffic.bytes;
	ctl_put_rule(w, &wire);
}

/* A job whose survey was ended by a reload shows the previous sums, which are 0 then. */
void ctl_slice_rules(struct ctl_job *j, const struct ctl_turn *t)
{
	struct nat *n = t->env->nat;

	if (j->cursor == 0 && nat_rule_survey_step(n, t->visits))
		return;
	for (uint32_t i = 0; i < t->visits && ctl_has_room(t->w) && j->cursor < nat_rule_count(n); i++) {
		put_rule(t->w, n, j->cursor++);
		j->count++;
	}
	j->is_done = j->cursor >= nat_rule_count(n);
}

/* ---- the log ---- */

/* The core limits the rate of these: FILTER_LOG_MAX between two calls of rules_log(). */
static void log_decision(const struct filter_log *e, const char *rule, const char *action)
{
	char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN], number[4];
	struct in_addr source = {htonl(e->packet.from)}, destination = {htonl(e->packet.to)};
	const char *protocol = protocol_name(e->packet.protocol);

	snprintf(number, sizeof(number), "%u", e->packet.protocol);
	inet_ntop(AF_INET, &source, from, sizeof(from));
	inet_ntop(AF_INET, &destination, to, sizeof(to));
	if (e->packet.has_ports)
		log_unlimited(LEVEL_INFO, SUB_DATA, "rule %s: %s %s %s %s:%u to %s:%u", rule, action,
			      e->packet.direction == FILTER_IN ? "in" : "out", protocol, from, e->sport, to,
			      e->packet.port);
	else
		log_unlimited(LEVEL_INFO, SUB_DATA, "rule %s: %s %s %s %s to %s", rule, action,
			      e->packet.direction == FILTER_IN ? "in" : "out", protocol != NULL ? protocol : number,
			      from, to);
}

void rules_log(struct nat *n, uint64_t *lost)
{
	static const char *const actions[] = {
		[FILTER_ACCEPT] = "accept", [FILTER_DROP] = "drop", [FILTER_REJECT] = "reject"};
	struct filter_log e;
	struct rule_view v;
	const char *name;
	uint64_t now;

	while (nat_rule_log_next(n, &e, &name)) {
		nat_rule_view(n, e.rule, &v);
		log_decision(&e, name, actions[v.rule->action]);
	}
	now = nat_rule_log_lost(n);
	if (now > *lost)
		log_info(
			SUB_DATA,
			"%" PRIu64
			" more decisions of rules were not logged: at most %d are in a second; natctl rules counts all",
			now - *lost, FILTER_LOG_MAX);
	*lost = now;
}
