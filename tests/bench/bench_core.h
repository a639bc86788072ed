/* SPDX-License-Identifier: ISC */
/*
 * The core as a benchmark creates it: hosts of one prefix, outside addresses that follow each other, ports from 1024
 * on, natd's default timeouts. With BENCH_BEFORE it compiles against the core of before events and budgets.
 */
#ifndef NATD_TESTS_BENCH_CORE_H
#define NATD_TESTS_BENCH_CORE_H

#include "bench.h"
#ifdef BENCH_BEFORE
#include "core/nat.h"
#else
#include "core/nat/nat.h"
#endif

struct bench_site {
	struct nat_prefix inside;
	struct nat_address_range outside;
	struct nat_range ports; /* set by bench_policy() */
};

/* A policy that refers to `s`. */
static inline struct nat_policy bench_policy(struct bench_site *s, uint32_t sessions, uint32_t fragments)
{
	s->ports = (struct nat_range){1024, 65535};
	return (struct nat_policy){
		.inside = &s->inside,
		.n_inside = 1,
		.addresses = &s->outside,
		.n_addresses = 1,
		.pool_ports = &s->ports,
		.n_pool_ports = 1,
		.shared_ports = &s->ports,
		.n_shared_ports = 1,
		.outside_mtu = 1500,
		.timeouts = BENCH_TIMEOUTS,
		.limits = {.sessions = sessions, .fragments = fragments},
	};
}

/* The sizes in `m` for that many, and memory by `get`. Events are kept if the caller has set their number. */
static inline void bench_memory(struct nat_memory *m, uint32_t sessions, uint32_t addresses, uint32_t fragments,
				void *(*get)(size_t len))
{
	m->max_sessions = sessions;
	m->max_addresses = addresses;
	m->max_fragments = fragments;
	nat_memory_need(m);
	m->table.records = get(m->table.records_len);
	m->table.scratch = get(m->table.scratch_len);
	m->fragments = get(m->fragments_len);
#ifndef BENCH_BEFORE
	if (m->table.events_len > 0)
		m->table.events = get(m->table.events_len);
#endif
}

/* Creates it over `m`, or ends the program. */
static inline struct nat *bench_create(const struct nat_memory *m, const struct nat_policy *p, uint64_t now_ms,
				       struct table_attach_report *report)
{
	static const uint64_t seed[4] = {1, 2, 3, 4};
	struct nat *n = nat_create(m, p, seed, now_ms, report);

	if (n == NULL) {
		fprintf(stderr, "the core cannot be created\n");
		exit(1);
	}
	return n;
}

#endif
