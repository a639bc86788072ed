/* SPDX-License-Identifier: ISC */
/*
 * Changes the policy under existing sessions: compiles it, puts it in force, and ends sessions that it forbids
 * (judge.c). Allowed sessions continue unchanged, and lower limits evict none. If no relevant setting changed, the
 * check is skipped.
 */
#include <string.h>

#include "nat_private.h"

enum { RESETS_AT_ONCE = 4096 };

/* Addresses that the new policy no longer has release their slots. */
static void retire_addresses(struct nat *n, const struct rules *old)
{
	bool is_any = false;

	for (uint32_t i = 0; i < rules_address_count(old); i++) {
		uint32_t address = rules_address_at(old, i);
		int32_t slot = table_address_slot(n->table, address);

		if (slot != TABLE_NONE && rules_address_find(n->rules, address) < 0) {
			table_address_remove(n->table, (uint16_t)slot);
			is_any = true;
		}
	}
	if (is_any) /* for hosts whose packets come before their sessions' turn */
		nat_reset_reserve(n, RESETS_AT_ONCE);
}

struct rules *nat_compile(const struct nat_policy *policy)
{
	return rules_create(policy);
}

void nat_compiled_free(struct rules *r)
{
	rules_destroy(r);
}

struct rules *nat_adopt(struct nat *n, struct rules *r, uint64_t now_ms)
{
	const struct nat_policy *policy = rules_policy(r);
	bool is_other_mode = policy->mapping != n->policy->mapping, was_judged = n->is_judged;
	struct rules *old = n->rules;

	if (policy->limits.sessions > n->memory.max_sessions || policy->limits.fragments > n->memory.max_fragments)
		return NULL;
	if (!nat_use_rules(n, r))
		return NULL;
	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	nat_mirror_pull(n);
	table_set_timeouts(n->table, &n->policy->timeouts, n->policy->timeouts.port_reuse);
	nat_use_allocation(n);
	if (is_other_mode)
		table_set_mapping(n->table, n->policy->mapping);
	nat_judge_begin(n);
	if (was_judged && rules_allow_the_same(old, r)) {
		n->judging.report.kept = table_session_count(n->table);
		nat_judge_end(n);
	}
	if (n->mirror != NULL) /* a forwarder knows neither rules nor timeouts */
		mirror_withdraw_all(n);
	n->sweeping.visited = 0; /* with other timeouts more may have expired */
	retire_addresses(n, old);
	nat_claim_slots(n); /* those for which the retired ones left no room */
	return old;
}

bool nat_reconfigure(struct nat *n, const struct nat_policy *policy, uint64_t now_ms,
		     struct nat_reconfigure_report *report)
{
	struct rules *r = nat_compile(policy);
	struct rules *old = r ? nat_adopt(n, r, now_ms) : NULL;

	memset(report, 0, sizeof(*report));
	nat_compiled_free(old ? old : r);
	while (old && nat_judge(n, now_ms, UINT32_MAX, report))
		;
	return old != NULL;
}
