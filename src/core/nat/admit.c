/* SPDX-License-Identifier: ISC */
/* The filter's state; admit.h has the theory of operation. */
#include "admit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/prf.h"

enum { WAYS = 4, MILLI = 1000 };

/* ---- counters across a reload ---- */

static const char *name_of(const void *ctx, uint32_t i)
{
	return filter_rule(ctx, i)->name;
}

int32_t admission_by_name(const struct admission *a, const char *name)
{
	return names_find(&a->names, name);
}

static void carry_counts(const struct admission *from, struct admission *to)
{
	for (uint32_t i = 0; i < to->n_rules; i++) {
		int32_t before = admission_by_name(from, filter_rule(to->filter, i)->name);

		if (before != FILTER_NONE)
			to->counts[i] = from->counts[before];
	}
}

static void free_arrays(struct admission *a)
{
	free(a->counts);
	names_fini(&a->names);
	free(a->survey);
	free(a->sums);
}

/* Allocates the arrays for a filter with rules. False: out of memory. */
static bool make_arrays(struct admission *a)
{
	a->counts = calloc(a->n_rules, sizeof(*a->counts));
	a->survey = calloc(a->n_rules, sizeof(*a->survey));
	a->sums = calloc(a->n_rules, sizeof(*a->sums));
	return names_init(&a->names, a->n_rules, name_of, a->filter) && a->counts != NULL && a->survey != NULL &&
	       a->sums != NULL;
}

bool admission_use(struct admission *a, const struct filter *f)
{
	struct admission *fresh = calloc(1, sizeof(*fresh));

	if (fresh == NULL)
		return false;
	fresh->filter = f;
	fresh->n_rules = f != NULL ? filter_rule_count(f) : 0;
	fresh->log_lost = a->log_lost;
	if (fresh->n_rules > 0 && !make_arrays(fresh)) {
		free_arrays(fresh);
		free(fresh);
		return false;
	}
	carry_counts(a, fresh);
	free_arrays(a);
	/* Numbers of rules have changed, so buckets and pending log entries are dropped too. */
	*a = *fresh;
	free(fresh);
	return true;
}

void admission_clear(struct admission *a)
{
	free_arrays(a);
	memset(a, 0, sizeof(*a));
}

/* ---- limits ---- */

static uint64_t owner_of(int32_t rule, uint32_t source)
{
	return (uint64_t)(rule + 1) << 32 | source;
}

static uint32_t set_of(uint64_t owner, const uint64_t key[2])
{
	return (uint32_t)prf_hash(key, owner) % (FILTER_BUCKETS / WAYS) * WAYS;
}

/* Thousandths of an opening that the bucket holds now. */
static uint32_t level(const struct filter_bucket *b, const struct filter_limit *l, uint32_t now_ms)
{
	uint64_t most = (uint64_t)l->burst * MILLI;
	uint64_t now = b->milli + (uint64_t)(now_ms - b->used_ms) * l->per_second;

	return (uint32_t)(now > most ? most : now);
}

/* The bucket of this owner, or NULL. */
static const struct filter_bucket *find_bucket(const struct admission *a, uint64_t owner, const uint64_t key[2])
{
	const struct filter_bucket *set = &a->buckets[set_of(owner, key)];

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].owner == owner)
			return &set[i];
	}
	return NULL;
}

static bool has_token(const struct admission *a, int32_t rule, uint32_t source, const uint64_t key[2], uint32_t now_ms)
{
	const struct filter_limit *l = &filter_rule(a->filter, (uint32_t)rule)->limit;
	const struct filter_bucket *b;

	if (l->per_second == 0)
		return true;
	b = find_bucket(a, owner_of(rule, source), key);
	return b == NULL || level(b, l, now_ms) >= MILLI;
}

static void take_token(struct admission *a, int32_t rule, uint32_t source, const uint64_t key[2], uint32_t now_ms)
{
	const struct filter_limit *l = &filter_rule(a->filter, (uint32_t)rule)->limit;
	uint64_t owner = owner_of(rule, source);
	struct filter_bucket *set = &a->buckets[set_of(owner, key)], *b = set;
	uint32_t now;

	for (unsigned i = 0; i < WAYS && b->owner != owner; i++) {
		if (set[i].owner == owner || set[i].owner == 0 || now_ms - set[i].used_ms > now_ms - b->used_ms)
			b = &set[i];
	}
	now = b->owner == owner ? level(b, l, now_ms) : l->burst * MILLI;
	assert(now >= MILLI);
	*b = (struct filter_bucket){owner, now_ms, now - MILLI};
}

/* ---- decisions ---- */

/* The time of an opening, and the key of the buckets. */
struct opening {
	const uint64_t *key;
	uint32_t now_ms;
};

/* Does the rule decide about the packet? A limit applies to openings: one above it continues with the next rule. An
 * existing session (`o` NULL) is accepted by an accepting rule whatever its limit, but is not ended by a refusing
 * rule with a limit. */
static bool takes(const struct admission *a, int32_t rule, const struct filter_packet *p, const struct opening *o)
{
	const struct filter_rule *r = filter_rule(a->filter, (uint32_t)rule);

	if (o != NULL)
		return has_token(a, rule, p->from, o->key, o->now_ms);
	return r->limit.per_second == 0 || r->action == FILTER_ACCEPT;
}

/* The first rule that matches and decides. */
static int32_t find(const struct admission *a, const struct filter_packet *p, const struct opening *o)
{
	int32_t rule = FILTER_NONE;
	uint32_t begin = 0;

	if (a->filter == NULL)
		return FILTER_NONE;
	do {
		rule = filter_match(a->filter, p, begin);
		begin = (uint32_t)rule + 1;
	} while (rule != FILTER_NONE && !takes(a, rule, p, o));
	return rule;
}

int32_t admission_find(const struct admission *a, const struct filter_packet *p, const uint64_t key[2], uint64_t now_ms)
{
	return find(a, p, &(struct opening){key, (uint32_t)now_ms});
}

int32_t admission_find_session(const struct admission *a, const struct filter_packet *p)
{
	return find(a, p, NULL);
}

static void note(struct admission *a, int32_t rule, const struct filter_packet *p, uint16_t sport)
{
	if (!filter_rule(a->filter, (uint32_t)rule)->log)
		return;
	if (a->n_log == FILTER_LOG_MAX) {
		a->log_lost++;
		return;
	}
	a->log[a->n_log++] = (struct filter_log){(uint32_t)rule, *p, sport};
}

void admission_charge(struct admission *a, int32_t rule, const struct filter_packet *p, uint16_t sport, uint32_t bytes,
		      const uint64_t key[2], uint64_t now_ms)
{
	const struct filter_rule *r;

	if (rule == FILTER_NONE)
		return;
	r = filter_rule(a->filter, (uint32_t)rule);
	if (r->limit.per_second != 0)
		take_token(a, rule, p->from, key, (uint32_t)now_ms);
	note(a, rule, p, sport);
	if (r->action == FILTER_ACCEPT) {
		a->counts[rule].sessions++; /* its packets count in the session */
		return;
	}
	a->counts[rule].refused++;
	a->counts[rule].packets++;
	a->counts[rule].bytes += bytes;
}

enum nat_reason admission_verdict(const struct admission *a, int32_t rule)
{
	static const enum nat_reason verdicts[] = {
		[FILTER_ACCEPT] = NAT_PASS, [FILTER_DROP] = DROP_RULE, [FILTER_REJECT] = DROP_RULE_REJECT};

	return rule == FILTER_NONE ? NAT_PASS : verdicts[filter_rule(a->filter, (uint32_t)rule)->action];
}
