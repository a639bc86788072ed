/* SPDX-License-Identifier: ISC */
/*
 * The state of balanced forwards' backends: which of them take connections, the number of sessions of each, and the
 * backend that a source keeps.
 *
 * Theory of operation. The rules in force name the backends and are immutable; the state that changes is here, by the
 * numbers that the rules give backends. A choice is made once a session, while deciding, and changes nothing; opening
 * the session stores it. The table counts the sessions, by the origin that names their backend.
 *
 * Affinity: all forwards share AFFINITIES places, in sets of four by a keyed hash. A source keeps its backend for
 * `affinity` seconds after its last opening, if that backend takes connections. A source without a place takes the
 * least recently used one of its set. So a flood of sources only displaces entries: each such source is then balanced
 * as if it were new.
 *
 * A reload keeps the state of backends whose forward has the same name and which have the same endpoint.
 */
#ifndef NATD_CORE_BACKENDS_H
#define NATD_CORE_BACKENDS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/rule.h"
#include "core/table/table.h"

struct affinity {
	uint64_t owner; /* forward and source; 0: free */
	uint32_t used_s;
	uint32_t address;
	uint16_t port;
	uint16_t place; /* in its forward, at the time of the choice */
	uint32_t spare;
};

struct backends {
	const struct rules *rules; /* those in force; NULL: none yet */
	uint32_t n;
	uint8_t *closed;	     /* by number: BACKEND_ bits of nat.h */
	uint32_t *sessions;	     /* by number: the table's tallies */
	struct affinity *affinities; /* NULL: no forward has affinity */
	bool draws;		     /* some forward chooses at random */
};

/* Builds the state for `r` in *out, with the states from `old`. False: out of memory, nothing to clear. */
bool backends_make(struct backends *out, const struct backends *old, const struct rules *r);
/* *out replaces *b, including the affinities. */
void backends_adopt(struct backends *b, struct backends *out);
void backends_clear(struct backends *b);

/* For table_set_tallies(), `ctx` struct rules: the number of the backend in an origin. */
int32_t backends_tally(const void *ctx, const struct session_origin *o);

/* A source opens a connection to a balanced forward. */
struct backend_query {
	uint32_t forward, source;
	uint64_t random; /* fresh bits, if `draws` is set */
	uint32_t now_s;
	const uint64_t *key; /* for the hash of the affinities */
};
/* The place of the chosen backend in its forward; BALANCE_NONE: none takes connections. Changes nothing. */
int32_t backends_choose(const struct backends *b, const struct backend_query *q);
/* The connection was opened to the backend in that place. */
void backends_chosen(struct backends *b, const struct backend_query *q, uint32_t place);

#endif
