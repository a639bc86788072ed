/* SPDX-License-Identifier: ISC */
/* Firewall chains as a model, and the walk through them. */
#include "firewall.h"

#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, WALK_MOST = 1000000 }; /* the kernel's limits */

void firewall_fini(struct firewall *f)
{
	free(f->chains);
	free(f->rules);
	memset(f, 0, sizeof(*f));
}

/* Makes room for one more. */
static bool grow(struct firewall *f, void **array, uint32_t n, uint32_t *room, size_t size)
{
	void *grown;

	if (n < *room)
		return true;
	grown = realloc(*array, (*room + 64) * size);
	if (!grown) {
		f->is_short = true;
		return false;
	}
	*array = grown;
	*room += 64;
	return true;
}

bool firewall_add_chain(struct firewall *f, const struct firewall_chain *c)
{
	void *chains = f->chains;

	if (!grow(f, &chains, f->n_chains, &f->chains_room, sizeof(*c)))
		return false;
	f->chains = chains;
	f->chains[f->n_chains++] = *c;
	return true;
}

bool firewall_add_rule(struct firewall *f, const struct firewall_rule *r)
{
	void *rules = f->rules;

	if (!grow(f, &rules, f->n_rules, &f->rules_room, sizeof(*r)))
		return false;
	f->rules = rules;
	f->rules[f->n_rules++] = *r;
	return true;
}

void firewall_add_test(struct firewall_rule *r, const struct firewall_test *t)
{
	if (r->n_tests < FIREWALL_TESTS)
		r->tests[r->n_tests++] = *t;
	else
		r->tests[FIREWALL_TESTS - 1] = (struct firewall_test){.field = FIREWALL_ANYTHING};
}

const char *firewall_family(uint8_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_INET:
		return "inet";
	default:
		return "other";
	}
}

/* ---- one rule ---- */

static bool is_named(const struct firewall_test *t, const char *name)
{
	return strncmp(name, t->name, t->length) == 0;
}

static enum firewall_answer judge_test(const struct firewall_test *t, const struct firewall_packet *p)
{
	bool holds = false;

	switch ((enum firewall_field)t->field) {
	case FIREWALL_IIF:
		holds = is_named(t, p->iif);
		break;
	case FIREWALL_OIF:
		holds = is_named(t, p->oif);
		break;
	case FIREWALL_MARK:
		holds = t->value == p->mark;
		break;
	case FIREWALL_CT_STATE:
		holds = t->value & p->ct_state;
		break;
	case FIREWALL_CT_STATUS:
		if (t->value & ~(uint32_t)FIREWALL_CT_TRANSLATED)
			return FIREWALL_UNKNOWN;
		break;
	case FIREWALL_PROTOCOL:
		if (p->protocol == 0)
			return FIREWALL_UNKNOWN;
		holds = t->value == p->protocol;
		break;
	case FIREWALL_ANYTHING:
		return FIREWALL_UNKNOWN;
	}
	return holds != t->is_negated ? FIREWALL_YES : FIREWALL_NO;
}

static enum firewall_answer judge_rule(const struct firewall_rule *r, const struct firewall_packet *p)
{
	enum firewall_answer all = FIREWALL_YES;

	for (uint8_t i = 0; i < r->n_tests; i++) {
		enum firewall_answer one = judge_test(&r->tests[i], p);

		if (one == FIREWALL_NO)
			return FIREWALL_NO;
		if (one == FIREWALL_UNKNOWN)
			all = FIREWALL_UNKNOWN;
	}
	return all;
}

/* ---- the walk ---- */

struct walk {
	const struct firewall *f;
	const struct firewall_packet *packet;
	uint32_t left; /* rules that the walk may still visit */
	bool may_pass;
};

static bool is_in(const struct firewall_rule *r, const struct firewall_chain *like, const char *chain)
{
	return r->family == like->family && strcmp(r->table, like->table) == 0 && strcmp(r->chain, chain) == 0;
}

/* The packet's fate in a chain: ACCEPT or DROP if certain, else CONTINUE. If the chain was entered by a condition
 * that cannot be evaluated (`is_sure` false), packets that it accepts may pass, and its drops count for nothing. */
static enum firewall_verdict walk_chain(struct walk *w, const struct firewall_chain *base, const char *chain,
					bool is_sure, unsigned depth)
{
	if (depth > DEPTH_MAX)
		return FIREWALL_CONTINUE;
	for (uint32_t i = 0; i < w->f->n_rules && w->left > 0; i++) {
		const struct firewall_rule *r = &w->f->rules[i];
		enum firewall_answer holds;
		enum firewall_verdict inner;
		bool sure;

		w->left--;
		if (!is_in(r, base, chain))
			continue;
		holds = judge_rule(r, w->packet);
		sure = is_sure && holds == FIREWALL_YES;
		if (holds == FIREWALL_NO || r->verdict == FIREWALL_CONTINUE)
			continue;
		w->may_pass |= r->verdict == FIREWALL_OTHER || (!sure && r->verdict == FIREWALL_ACCEPT);
		if (sure && (r->verdict == FIREWALL_ACCEPT || r->verdict == FIREWALL_DROP))
			return (enum firewall_verdict)r->verdict;
		if (holds == FIREWALL_YES &&
		    (r->verdict == FIREWALL_ACCEPT || r->verdict == FIREWALL_DROP || r->verdict == FIREWALL_RETURN))
			return FIREWALL_CONTINUE;
		if (r->verdict != FIREWALL_JUMP && r->verdict != FIREWALL_GOTO)
			continue;
		inner = walk_chain(w, base, r->target, sure, depth + 1);
		if (inner != FIREWALL_CONTINUE || (holds == FIREWALL_YES && r->verdict == FIREWALL_GOTO))
			return inner;
	}
	return FIREWALL_CONTINUE;
}

struct firewall_result firewall_ask(const struct firewall *f, const struct firewall_chain *base,
				    const struct firewall_packet *p)
{
	struct walk w = {.f = f, .packet = p, .left = WALK_MOST};
	enum firewall_verdict v = walk_chain(&w, base, base->name, true, 0);

	w.may_pass |= w.left == 0; /* too many chains that jump to chains: nothing is certain */

	return (struct firewall_result){.drops = !w.may_pass &&
						 (v == FIREWALL_DROP || (v == FIREWALL_CONTINUE && base->drops)),
					.by_policy = v == FIREWALL_CONTINUE};
}

static bool has_reject(const struct firewall *f, const struct firewall_chain *like)
{
	for (uint32_t i = 0; i < f->n_rules; i++) {
		const struct firewall_rule *r = &f->rules[i];

		if (r->rejects && is_in(r, like, r->chain))
			return true;
	}
	return false;
}

/* Can it reach a rule that rejects? `*is_over`: it cannot reach what comes behind this chain. */
static bool may_reach_reject(struct walk *w, const struct firewall_chain *base, const char *chain, unsigned depth,
			     bool *is_over)
{
	if (depth > DEPTH_MAX)
		return true;
	for (uint32_t i = 0; i < w->f->n_rules && w->left > 0; i++) {
		const struct firewall_rule *r = &w->f->rules[i];
		enum firewall_answer holds;

		w->left--;
		if (!is_in(r, base, chain))
			continue;
		holds = judge_rule(r, w->packet);
		if (holds == FIREWALL_NO)
			continue;
		if (r->rejects || (r->verdict == FIREWALL_OTHER && has_reject(w->f, base)))
			return true;
		if ((r->verdict == FIREWALL_JUMP || r->verdict == FIREWALL_GOTO) &&
		    may_reach_reject(w, base, r->target, depth + 1, is_over))
			return true;
		if (holds != FIREWALL_YES)
			*is_over = false;
		else if (r->verdict == FIREWALL_ACCEPT || r->verdict == FIREWALL_DROP)
			*is_over = true;
		if (*is_over ||
		    (holds == FIREWALL_YES && (r->verdict == FIREWALL_RETURN || r->verdict == FIREWALL_GOTO)))
			return false;
	}
	return w->left == 0;
}

bool firewall_may_reject(const struct firewall *f, const struct firewall_chain *base, const struct firewall_packet *p)
{
	struct walk w = {.f = f, .packet = p, .left = WALK_MOST};
	bool is_over = false;

	return may_reach_reject(&w, base, base->name, 0, &is_over);
}

static bool is_base(const struct firewall *f, const struct firewall_rule *r)
{
	for (uint32_t i = 0; i < f->n_chains; i++) {
		if (f->chains[i].hook != FIREWALL_NO_HOOK && is_in(r, &f->chains[i], f->chains[i].name))
			return true;
	}
	return false;
}

bool firewall_favours(const struct firewall *f, const struct firewall_chain *base, const char *device,
		      const char *other)
{
	const struct firewall_packet by_device = {.iif = device, .oif = ""}, by_other = {.iif = other, .oif = ""};

	for (uint32_t i = 0; i < f->n_rules; i++) {
		const struct firewall_rule *r = &f->rules[i];
		bool passes = r->verdict == FIREWALL_ACCEPT, ends = r->verdict == FIREWALL_DROP;
		bool is_judged = false;

		if (r->verdict == FIREWALL_CONTINUE || !is_in(r, base, r->chain) ||
		    (strcmp(r->chain, base->name) != 0 && is_base(f, r)))
			continue;
		for (uint8_t t = 0; t < r->n_tests; t++) {
			enum firewall_answer a, b;

			if (r->tests[t].field != FIREWALL_IIF)
				continue;
			is_judged = true;
			a = judge_test(&r->tests[t], &by_device);
			b = judge_test(&r->tests[t], &by_other);
			if (a != b && (a == FIREWALL_YES ? !ends : !passes))
				return true;
		}
		if (r->by_interface && !is_judged && !passes) /* a set of interfaces */
			return true;
	}
	return false;
}

bool firewall_has_chain(const struct firewall *f, const struct firewall_chain *like, const char *name)
{
	for (uint32_t i = 0; i < f->n_chains; i++) {
		const struct firewall_chain *c = &f->chains[i];

		if (c->family == like->family && strcmp(c->table, like->table) == 0 && strcmp(c->name, name) == 0)
			return true;
	}
	return false;
}

/* Does an earlier rule of its chain take the packet out? */
static bool is_spared(const struct firewall *f, const struct firewall_rule *rule, const struct firewall_packet *p)
{
	const struct firewall_chain like = {.family = rule->family};

	for (const struct firewall_rule *r = f->rules; r < rule; r++) {
		if (r->family == like.family && strcmp(r->table, rule->table) == 0 &&
		    strcmp(r->chain, rule->chain) == 0 && r->verdict != FIREWALL_CONTINUE &&
		    r->verdict != FIREWALL_JUMP && judge_rule(r, p) == FIREWALL_YES)
			return true;
	}
	return false;
}

const struct firewall_rule *firewall_find_nat(const struct firewall *f, const struct firewall_packet *p)
{
	for (uint32_t i = 0; i < f->n_rules; i++) {
		const struct firewall_rule *r = &f->rules[i];

		if (r->translates && judge_rule(r, p) == FIREWALL_YES && !is_spared(f, r, p))
			return r;
	}
	return NULL;
}
