/* SPDX-License-Identifier: ISC */
/*
 * Another policy under living sessions: compile it, judge each session by it, end those it forbids. What it
 * still allows goes on untouched, and nothing is evicted for lower limits. Judging takes 40 ns a session, in which
 * packets wait: so none is judged where nothing has changed that sessions are judged by.
 */
#include <string.h>

#include "nat_private.h"

static bool forward_still_leads(const struct nat *n, const struct session *s, uint32_t external)
{
	enum nat_class c = session_class(s);
	uint32_t to, address;
	uint16_t port;

	int32_t i;

	if (s->kind & SESSION_KIND_FROM_OUTSIDE) {
		i = rules_forward_of(n->rules, c, external, s->ext_port, s->rem_addr, &to, &port);
		if (i >= 0 && n->policy->forwards[i].n_backends > 0)
			return rules_backend_find(n->rules, (uint32_t)i, s->int_addr, s->int_port, s->ext_port) >= 0;
		return i >= 0 && to == s->int_addr && port == s->int_port;
	}
	return rules_forward_outbound(n->rules, c, s->int_addr, s->int_port, &address, &port) >= 0 &&
	       (address == 0 || address == external) && port == s->ext_port;
}

static uint8_t protocol_of(const struct session *s)
{
	static const uint8_t numbers[] = {[CLASS_TCP] = 6, [CLASS_UDP] = 17, [CLASS_ICMP] = 1};
	enum nat_class c = session_class(s);

	return c == CLASS_OTHER ? (uint8_t)s->int_port : numbers[c];
}

/* The opening of a session, as the filter saw it. */
static struct filter_packet opening_of(const struct nat *n, const struct session *s)
{
	enum { ECHO_REQUEST = 8 };
	enum nat_class c = session_class(s);
	bool in = s->kind & SESSION_KIND_FROM_OUTSIDE;
	struct filter_packet p = {
		.direction = in ? FILTER_IN : FILTER_OUT,
		.protocol = protocol_of(s),
		.icmp_type = c == CLASS_ICMP ? (uint8_t)s->end[DIR_IN] : 0,
		.has_ports = c == CLASS_TCP || c == CLASS_UDP,
		.port = in ? s->int_port : s->rem_port,
		.from = in ? s->rem_addr : s->int_addr,
		.to = in ? s->int_addr : s->rem_addr,
		.forward = FILTER_NONE,
	};
	uint32_t to;
	uint16_t port;

	if (c == CLASS_ICMP && p.icmp_type == 0) /* opened by a natd that did not keep it */
		p.icmp_type = ECHO_REQUEST;
	if (in && s->kind & SESSION_KIND_FORWARD)
		p.forward = rules_forward_of(n->rules, c, table_address(n->table, s->ext), s->ext_port, s->rem_addr,
					     &to, &port);
	if (p.forward < 0) /* of a static pair */
		p.forward = FILTER_NONE;
	return p;
}

static bool filter_allows(const struct nat *n, const struct session *s)
{
	struct filter_packet p;

	if (n->admission.filter == NULL)
		return true;
	p = opening_of(n, s);
	return admission_verdict(&n->admission, admission_find_session(&n->admission, &p)) == NAT_PASS;
}

/* False, and *why it ends, if the rules in force no longer lead to it. */
static bool is_led_to(const struct nat *n, const struct session *s, enum session_end *why)
{
	uint32_t external = table_address(n->table, s->ext);
	enum nat_class c = session_class(s);

	*why = SESSION_END_ADDRESS_LOST;
	if (rules_address_find(n->rules, external) < 0)
		return false;
	*why = SESSION_END_RELOAD;
	if (!rules_is_inside(n->rules, s->int_addr))
		return false;
	if ((rules_is_exempt(n->rules, s->rem_addr) && !rules_address_is_virtual(n->rules, s->rem_addr)) ||
	    rules_is_inside(n->rules, s->rem_addr) || rules_is_broadcast(n->rules, s->rem_addr))
		return false;
	if (c == CLASS_OTHER && n->policy->other_protocols != OTHER_TRANSLATE)
		return false;
	if (rules_static_inside(n->rules, external) != 0)
		return (s->kind & SESSION_KIND_FORWARD) && rules_static_inside(n->rules, external) == s->int_addr &&
		       s->ext_port == s->int_port;
	if (s->kind & SESSION_KIND_FORWARD)
		return forward_still_leads(n, s, external);
	if (c == CLASS_OTHER)
		return true;
	return rules_port_usable(n->rules, c, external, s->ext_port) && table_port_fits(n->table, s);
}

static bool is_allowed(const struct nat *n, const struct session *s, enum session_end *why)
{
	if (!is_led_to(n, s, why))
		return false;
	*why = SESSION_END_FILTERED;
	return filter_allows(n, s);
}

static void judge_sessions(struct nat *n, struct nat_reconfigure_report *report)
{
	uint32_t cursor = 0;
	enum session_end why;
	struct session *s;

	while ((s = table_next(n->table, &cursor, UINT32_MAX)) != NULL) {
		if (is_allowed(n, s, &why)) {
			report->kept++;
			continue;
		}
		report->ended++;
		if (why == SESSION_END_ADDRESS_LOST && !nat_reset_later(n, s))
			n->counters[COUNT_RESET_LEFT_OUT]++;
		nat_session_delete(n, s, why, n->now_ms);
	}
}

/* Addresses that the new policy no longer has give their slots back. */
static void retire_addresses(struct nat *n, const struct rules *old)
{
	for (uint32_t i = 0; i < rules_address_count(old); i++) {
		uint32_t address = rules_address_at(old, i);
		int32_t slot = table_address_slot(n->table, address);

		if (slot != TABLE_NONE && rules_address_find(n->rules, address) < 0)
			table_address_remove(n->table, (uint16_t)slot);
	}
}

struct rules *nat_compile(const struct nat_policy *policy)
{
	return rules_create(policy);
}

void nat_compiled_free(struct rules *r)
{
	rules_destroy(r);
}

struct rules *nat_adopt(struct nat *n, struct rules *r, uint64_t now_ms, struct nat_reconfigure_report *report)
{
	const struct nat_policy *policy = rules_policy(r);
	struct rules *old = n->rules;

	memset(report, 0, sizeof(*report));
	if (policy->limits.sessions > n->memory.max_sessions || policy->limits.fragments > n->memory.max_fragments)
		return NULL;
	if (!nat_use_rules(n, r))
		return NULL;
	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	table_set_timeouts(n->table, &n->policy->timeouts, n->policy->timeouts.port_reuse);
	nat_use_allocation(n);
	if (n->is_judged && rules_allow_the_same(old, r))
		report->kept = table_session_count(n->table);
	else
		judge_sessions(n, report);
	n->is_judged = true;
	n->sweeping.visited = 0; /* by other timeouts more may be over */
	retire_addresses(n, old);
	nat_claim_slots(n); /* what the retired ones had no room for */
	table_set_mapping(n->table, n->policy->mapping);
	return old;
}

bool nat_reconfigure(struct nat *n, const struct nat_policy *policy, uint64_t now_ms,
		     struct nat_reconfigure_report *report)
{
	struct rules *r = nat_compile(policy);
	struct rules *old = r ? nat_adopt(n, r, now_ms, report) : NULL;

	if (!r)
		memset(report, 0, sizeof(*report));
	nat_compiled_free(old ? old : r);
	return old != NULL;
}
