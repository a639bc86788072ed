/* SPDX-License-Identifier: ISC */
/* The work beside packets, in slices: sweeps of fragments and sessions, held SYNs, resets, purges, the mirror. See nat.h. */
#include "nat_private.h"

struct nat_stepped nat_step(struct nat *n, uint64_t now_ms, uint32_t budget, nat_emit *emit, void *ctx)
{
	uint32_t round = table_sweep_round(n->table);
	struct table_swept swept;
	bool resets_left, purges, mirrors = false;

	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	table_set_clock(n->table, n->now_s);
	n->emit = emit;
	n->emit_ctx = ctx;
	if (n->tap != NULL)
		nat_tap_emissions(n);
	n->counters[DROP_FRAGMENT_TIMEOUT] += fragment_sweep(n->fragments, now_ms, budget);
	nat_hold_step(n);
	if (n->mirror != NULL) {
		mirror_catch_up(n);
		mirrors = mirror_step(n);
	}
	purges = nat_purge_step(n);
	resets_left = nat_reset_step(n);
	swept = table_sweep(n->table, n->now_s, budget);
	n->sweeping.visited = (n->sweeping.second == n->now_s ? n->sweeping.visited : 0) + swept.visited;
	n->sweeping.second = n->now_s;
	n->counters[COUNT_PROBE_LONG] = table_long_probes(n->table);
	return (struct nat_stepped){swept.visited, swept.closed > 0 && swept.visited < round,
				    mirrors || purges || resets_left};
}

bool nat_trim(struct nat *n, void (*give_back)(void *ctx, void *start, size_t len), void *ctx)
{
	return table_trim(n->table, give_back, ctx) || fragment_trim(n->fragments, give_back, ctx);
}
