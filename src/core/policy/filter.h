/* SPDX-License-Identifier: ISC */
/*
 * The filter: rules on openings of sessions, in file order; the first that matches decides. The compiled filter is
 * immutable, and its cost does not grow linearly with the number of rules: see filter.c.
 *
 * Addresses and ports are in host byte order, ranges inclusive.
 */
#ifndef NATD_CORE_FILTER_H
#define NATD_CORE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "policy.h"

enum filter_action { FILTER_ACCEPT, FILTER_DROP, FILTER_REJECT };

/* Bits: a rule may apply to both. */
enum filter_direction { FILTER_OUT = 1, FILTER_IN = 2 };

enum {

	FILTER_ANY = UINT16_MAX, /* as a list: every address */
	FILTER_NONE = -1,	 /* as a rule or a forward: none */
};

struct filter_span {
	uint32_t first;
	uint32_t last;
};

/* A set, or the prefixes of one rule, which may overlap and be in any order. */
struct filter_list {
	const struct filter_span *spans;
	uint32_t n;
};

/* A token bucket for each source address; per_second 0: no limit. */
struct filter_limit {
	uint32_t per_second;
	uint32_t burst;
};

struct filter_rule {
	char name[NAT_FORWARD_NAME_MAX + 1]; /* "" if the file gives none */
	uint8_t directions;		     /* of enum filter_direction */
	uint8_t action;			     /* of enum filter_action */
	bool log;
	uint32_t protocols[8];	       /* one bit for each protocol number; all zero: any */
	uint32_t icmp_types[8];	       /* one bit for each type, only for ICMP; all zero: any */
	const struct nat_range *ports; /* of the destination; only TCP and UDP match */
	uint32_t n_ports;	       /* 0: any, and protocols without ports match too */
	uint16_t from, to;	       /* numbers of lists, or FILTER_ANY */
	uint16_t via;	 /* list that holds the inside host (an inside interface's prefixes), or FILTER_ANY */
	int32_t forward; /* number of the forward by which the packet came in, or FILTER_NONE: any or none */
	struct filter_limit limit;
};

struct filter_config {
	const struct filter_list *lists;
	uint32_t n_lists; /* below FILTER_ANY */
	const struct filter_rule *rules;
	uint32_t n_rules;
};

/* An opening as the rules see it: inbound after translation, so `to` and `port` are the inside host's. */
struct filter_packet {
	uint8_t direction; /* one of enum filter_direction */
	uint8_t protocol;
	uint8_t icmp_type; /* only for ICMP */
	bool has_ports;
	uint16_t port; /* of the destination */
	uint32_t from, to;
	int32_t forward; /* FILTER_NONE: not by a forward */
};

struct filter;

/* Copies what it needs. NULL: out of memory. The caller has checked the list numbers. */
struct filter *filter_create(const struct filter_config *c);
void filter_destroy(struct filter *f); /* NULL is allowed */

/* The first rule that matches, from rule number `begin` on; FILTER_NONE: none does. */
int32_t filter_match(const struct filter *f, const struct filter_packet *p, uint32_t begin);

uint32_t filter_rule_count(const struct filter *f);
/* The compiled copy: its `ports` is NULL, and its lists are only numbers. Valid until filter_destroy(). */
const struct filter_rule *filter_rule(const struct filter *f, uint32_t i);

/* Sorts spans in place and joins overlapping or adjoining ones; returns their new number. `words`: scratch of n
 * words. */
uint32_t filter_spans_join(struct filter_span *spans, uint32_t n, uint64_t *words);

/* In a configuration: the first rule before rule `i` that matches everything rule `i` can match and has no limit, so
 * that rule `i` never decides; FILTER_NONE: none is found (unions of several rules are not considered). */
int32_t filter_hidden_by(const struct filter_config *c, uint32_t i);

/* Memory of the compiled filter in bytes. */
uint64_t filter_bytes(const struct filter *f);

#endif
