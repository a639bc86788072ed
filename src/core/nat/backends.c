/* SPDX-License-Identifier: ISC */
/* The state of backends; backends.h has the theory of operation. */
#include "backends.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/prf.h"

enum { AFFINITIES = 1 << 16, WAYS = 4 };

/* ---- a reload ---- */

static const struct nat_forward *forward_at(const struct rules *r, uint32_t forward)
{
	return &rules_policy(r)->forwards[forward];
}

static int32_t find_backend(const struct rules *r, uint32_t forward, uint32_t address, uint16_t port)
{
	return rules_backend_find(r, forward, address, port, forward_at(r, forward)->ports.first);
}

static void carry_states(struct backends *out, const struct backends *old)
{
	const struct nat_policy *p = rules_policy(out->rules);

	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];
		int32_t was = f->n_backends > 0 ? rules_forward_by_name(old->rules, f->name) : -1;

		for (uint32_t k = 0; was >= 0 && k < f->n_backends; k++) {
			int32_t place =
				find_backend(old->rules, (uint32_t)was, f->backends[k].address, f->backends[k].port);

			if (place >= 0)
				out->closed[rules_backend_base(out->rules, i) + k] =
					old->closed[rules_backend_base(old->rules, (uint32_t)was) + (uint32_t)place];
		}
	}
}

bool backends_make(struct backends *out, const struct backends *old, const struct rules *r)
{
	const struct nat_policy *p = rules_policy(r);
	bool has_affinity = false;

	*out = (struct backends){.rules = r, .n = rules_backend_count(r)};
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];

		has_affinity |= f->n_backends > 0 && f->affinity > 0;
		out->draws |= f->n_backends > 0 && f->balance == BALANCE_RANDOM;
	}
	out->closed = calloc((size_t)out->n + BALANCE_LANES, sizeof(*out->closed));
	out->sessions = calloc((size_t)out->n + 1, sizeof(*out->sessions));
	if (has_affinity && old->affinities == NULL)
		out->affinities = calloc(AFFINITIES, sizeof(*out->affinities));
	if (out->closed == NULL || out->sessions == NULL ||
	    (has_affinity && out->affinities == NULL && old->affinities == NULL)) {
		backends_clear(out);
		return false;
	}
	if (old->rules != NULL)
		carry_states(out, old);
	return true;
}

void backends_adopt(struct backends *b, struct backends *out)
{
	if (out->affinities == NULL) {
		out->affinities = b->affinities;
		b->affinities = NULL;
	}
	backends_clear(b);
	*b = *out;
}

void backends_clear(struct backends *b)
{
	free(b->closed);
	free(b->sessions);
	free(b->affinities);
	*b = (struct backends){0};
}

int32_t backends_tally(const void *ctx, const struct session_origin *o)
{
	const struct rules *r = ctx;
	int32_t forward = o->backend != 0 ? rules_forward_by_name(r, o->forward) : -1;
	int32_t place = forward < 0 ? -1 : find_backend(r, (uint32_t)forward, o->backend, o->backend_port);

	return place < 0 ? TABLE_NONE : (int32_t)rules_backend_base(r, (uint32_t)forward) + place;
}

/* ---- affinity ---- */

/* A hash of the forward's name, so that a new order of the file changes nothing. Never 0. */
static uint64_t owner_of(const struct backends *b, const struct backend_query *q)
{
	uint64_t h = 0;

	for (const char *c = forward_at(b->rules, q->forward)->name; *c != '\0'; c++)
		h = hash_mix(h ^ (uint8_t)*c);
	return (h | 1) << 32 | q->source;
}

static uint32_t set_of(const struct backend_query *q, uint64_t owner)
{
	return (uint32_t)prf_hash(q->key, owner) % (AFFINITIES / WAYS) * WAYS;
}

/* The place of the backend that the source keeps; BALANCE_NONE: it has none, or that one takes no connections. */
static int32_t find_affinity(const struct backends *b, const struct backend_query *q)
{
	const struct nat_forward *f = forward_at(b->rules, q->forward);
	uint64_t owner = owner_of(b, q);
	const struct affinity *a = &b->affinities[set_of(q, owner)], *end = a + WAYS;
	int32_t place;

	while (a < end && a->owner != owner)
		a++;
	if (a == end || q->now_s - a->used_s > f->affinity)
		return BALANCE_NONE;
	place = a->place;
	if (place >= (int32_t)f->n_backends || f->backends[place].address != a->address ||
	    f->backends[place].port != a->port)
		place = find_backend(b->rules, q->forward, a->address, a->port);
	if (place < 0 || b->closed[rules_backend_base(b->rules, q->forward) + (uint32_t)place] != 0)
		return BALANCE_NONE;
	return place;
}

void backends_chosen(struct backends *b, const struct backend_query *q, uint32_t place)
{
	const struct nat_forward *f = forward_at(b->rules, q->forward);
	struct affinity *set, *a;
	uint64_t owner;

	assert(place < f->n_backends);
	if (f->affinity == 0)
		return;
	owner = owner_of(b, q);
	set = a = &b->affinities[set_of(q, owner)];
	for (unsigned i = 0; i < WAYS && a->owner != owner; i++) {
		if (set[i].owner == owner || set[i].owner == 0 || q->now_s - set[i].used_s > q->now_s - a->used_s)
			a = &set[i];
	}
	*a = (struct affinity){.owner = owner,
			       .used_s = q->now_s,
			       .address = f->backends[place].address,
			       .port = f->backends[place].port,
			       .place = (uint16_t)place};
}

/* ---- the choice ---- */

int32_t backends_choose(const struct backends *b, const struct backend_query *q)
{
	const struct nat_forward *f = forward_at(b->rules, q->forward);
	const struct balance_set set = rules_backend_set(b->rules, q->forward, b->closed);
	int32_t place = f->affinity > 0 ? find_affinity(b, q) : BALANCE_NONE;

	if (place != BALANCE_NONE)
		return place;
	switch ((enum nat_balance)f->balance) {
	case BALANCE_LEAST:
		return balance_least(&set, b->sessions + rules_backend_base(b->rules, q->forward), q->source);
	case BALANCE_RANDOM:
		return balance_random(&set, q->random);
	case BALANCE_HASH:
		break;
	}
	return balance_hash(rules_balance_scale(b->rules), &set, q->source);
}
