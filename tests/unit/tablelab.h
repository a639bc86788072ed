/* SPDX-License-Identifier: ISC */
/*
 * A connection table in heap memory for tests, with the outside addresses 192.0.2.1 and up already there. The
 * regions are exactly as large as table_memory_need() says, so that the address sanitizer sees a step beyond.
 */
#ifndef NATD_TESTS_TABLELAB_H
#define NATD_TESTS_TABLELAB_H

#include <stdlib.h>
#include <string.h>

#include "core/table/table.h"
#include "unit.h"

enum { LAB_OUTSIDE = 0xc0000201, LAB_INSIDE = 0x0a000001, LAB_REMOTE = 0xc6336401, LAB_T0 = 1000, LAB_EVENTS = 1024 };

struct lab {
	struct table_memory memory;
	struct table_params params;
	struct table_attach_report report;
	struct table *t;
	uint32_t now_s;
};

static const struct nat_timeouts lab_timeouts = {
	.udp = 300,
	.icmp = 60,
	.other = 600,
	.tcp_opening = 240,
	.tcp_established = 7440,
	.tcp_closing = 240,
	.port_reuse = 120,
};

static inline void *lab_alloc(size_t len)
{
	void *p = aligned_alloc(4096, (len + 4095) & ~(size_t)4095);

	ck_assert_ptr_nonnull(p);
	memset(p, 0, len);
	return p;
}

static inline void lab_attach(struct lab *l)
{
	memset(l->memory.scratch, 0, l->memory.scratch_len);
	memset(l->memory.events, 0, l->memory.events_len);
	l->t = table_attach(&l->memory, &l->params, l->now_s, &l->report);
}

/* Blank memory; no table yet. */
static inline void lab_prepare(struct lab *l, uint32_t max_sessions, uint32_t max_addresses)
{
	memset(l, 0, sizeof(*l));
	l->memory.max_events = LAB_EVENTS;
	table_memory_need(max_sessions, max_addresses, &l->memory);
	l->memory.records = lab_alloc(l->memory.records_len);
	l->memory.scratch = lab_alloc(l->memory.scratch_len);
	l->memory.events = lab_alloc(l->memory.events_len);
	l->params.max_sessions = max_sessions;
	l->params.max_addresses = max_addresses;
	l->params.timeouts = lab_timeouts;
	l->params.port_reuse_s = lab_timeouts.port_reuse;
	for (int i = 0; i < 4; i++)
		l->params.secret[i] = unit_random();
	l->now_s = LAB_T0;
}

static inline void lab_open(struct lab *l, uint32_t max_sessions, uint32_t addresses)
{
	lab_prepare(l, max_sessions, addresses);
	lab_attach(l);
	ck_assert_ptr_nonnull(l->t);
	ck_assert_int_eq(l->report.result, TABLE_NEW);
	for (uint32_t i = 0; i < addresses; i++)
		ck_assert_int_eq(table_address_add(l->t, LAB_OUTSIDE + i), (int32_t)i);
}

/* As a new process would: only the records remain. */
static inline void lab_restart(struct lab *l, uint32_t addresses)
{
	table_detach(l->t);
	lab_attach(l);
	ck_assert_ptr_nonnull(l->t);
	for (uint32_t i = 0; i < addresses; i++)
		table_address_add(l->t, LAB_OUTSIDE + i);
}

static inline void lab_close(struct lab *l)
{
	table_detach(l->t);
	free(l->memory.records);
	free(l->memory.scratch);
	free(l->memory.events);
}

static inline void lab_check(const struct lab *l)
{
	const char *wrong = table_check(l->t);

	ck_assert_msg(wrong == NULL, "table_check: %s", wrong ? wrong : "");
}

/* Session of inside endpoint `host`:`port` with remote number `remote`. */
static inline struct session_spec lab_spec(uint32_t host, uint16_t port, uint32_t remote, uint16_t ext_port)
{
	return (struct session_spec){
		.int_addr = LAB_INSIDE + host,
		.rem_addr = LAB_REMOTE + remote,
		.int_port = port,
		.rem_port = 53,
		.ext_port = ext_port,
		.proto_class = CLASS_UDP,
		.state = SESSION_SYN_OUT,
	};
}

static inline struct session *lab_session(struct lab *l, const struct session_spec *spec)
{
	enum nat_reason why = NAT_PASS;
	struct session *s = table_session_open(l->t, spec, l->now_s, &why);

	ck_assert_msg(s != NULL, "session refused: %s", nat_reason_name(why));
	return s;
}

static inline struct session_key lab_key(const struct session *s, enum nat_dir dir)
{
	return (struct session_key){
		.local = dir == DIR_OUT ? s->int_addr : s->ext,
		.remote = s->rem_addr,
		.local_port = dir == DIR_OUT ? s->int_port : s->ext_port,
		.remote_port = s->rem_port,
		.proto_class = (uint8_t)session_class(s),
		.dir = (uint8_t)dir,
	};
}

static inline struct session *lab_find(struct lab *l, const struct session_key *k)
{
	struct table_probe probe = {.key = *k}, *p = &probe;

	table_probe(l->t, &p, 1);
	return table_finish_lookup(l->t, p, l->now_s);
}

static inline uint16_t lab_take(struct lab *l, enum nat_class c, const struct nat_range *r, uint32_t n)
{
	const struct port_request rq = {.proto_class = (uint8_t)c, .ranges = r, .n_ranges = n};
	bool recycled;

	return table_port_take(l->t, &rq, unit_random(), l->now_s, &recycled);
}

/* A busy table: all classes, forwards, shared mappings, resting ports. */
static inline void lab_populate(struct lab *l, uint32_t sessions)
{
	static const struct nat_range range = {20000, 29999};

	while (table_session_count(l->t) < sessions) {
		struct session_spec spec = lab_spec(unit_below(20), (uint16_t)(1 + unit_below(3)), unit_below(50), 0);
		struct mapping m;
		enum nat_reason why;
		struct session *s;

		spec.proto_class = (uint8_t)unit_below(CLASS_COUNT);
		spec.state = (uint8_t)(1 + unit_below(SESSION_STATE_COUNT - 1));
		spec.from_outside = unit_below(2);
		spec.forward = unit_below(8) == 0;
		spec.ext = (uint16_t)unit_below(l->params.max_addresses);
		if (spec.proto_class == CLASS_OTHER || spec.forward) {
			spec.ext_port = (uint16_t)(1 + unit_below(3));
		} else if (table_mapping_internal(l->t, (enum nat_class)spec.proto_class, spec.int_addr, spec.int_port,
						  spec.rem_addr, spec.rem_port, &m)) {
			spec.ext = m.ext;
			spec.ext_port = m.ext_port;
		} else {
			struct port_request rq = {
				.ext = spec.ext, .proto_class = spec.proto_class, .ranges = &range, .n_ranges = 1};
			bool recycled;

			spec.ext_port = table_port_take(l->t, &rq, unit_random(), l->now_s, &recycled);
		}
		s = table_session_open(l->t, &spec, l->now_s, &why);
		if (s == NULL) {
			if (spec.proto_class != CLASS_OTHER && !spec.forward)
				table_port_release(l->t, (enum nat_class)spec.proto_class, spec.ext, spec.ext_port);
			continue;
		}
		s->bytes[0] = unit_random();
		if (unit_below(3) == 0)
			table_session_close(l->t, s, SESSION_END_DELETED, l->now_s);
	}
	lab_check(l);
}

#endif
