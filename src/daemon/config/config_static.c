/* SPDX-License-Identifier: ISC */
/* Static 1:1 pairs, and what they must not overlap. */
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "config_text.h"

struct static_draft {
	struct config_static s;
	bool has_inside, has_outside; /* the key is present, right or wrong */
	bool failed;		      /* a key was wrong and has been reported */
};

static void refuse(struct config_loader *l, const struct config_key *k, const struct value *v, const char *why)
{
	config_key_refuse(l, k, v, why);
	l->static_draft->failed = true;
}

void config_set_static_name(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!config_key_expect(l, k, v, VALUE_STRING))
		l->static_draft->failed = true;
	else if (!text_name(v->string))
		refuse(l, k, v, "must have 1 to 31 letters, digits, \"-\", \"_\" and \".\"");
	else
		memcpy(l->static_draft->s.name, v->string, strlen(v->string) + 1);
}

static void read_prefix(struct config_loader *l, const struct config_key *k, const struct value *v,
			struct nat_prefix *out)
{
	char why[TEXT_WHY_SIZE];
	const char *reserved;

	if (!config_key_expect(l, k, v, VALUE_STRING)) {
		l->static_draft->failed = true;
		return;
	}
	if (!text_prefix(v->string, out, why)) {
		refuse(l, k, v, why);
		return;
	}
	reserved = text_reserved(out->address, text_prefix_last(out));
	if (reserved) {
		snprintf(why, sizeof(why), "touches %s, which no host may use", reserved);
		refuse(l, k, v, why);
	}
}

void config_set_static_inside(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	l->static_draft->has_inside = true;
	read_prefix(l, k, v, &l->static_draft->s.inside);
}

void config_set_static_outside(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	l->static_draft->has_outside = true;
	read_prefix(l, k, v, &l->static_draft->s.outside);
}

static void read_static(struct config_loader *l, const struct value *v)
{
	struct static_draft d = {.s.line = v->line};

	if (v->kind != VALUE_GROUP) {
		loader_error(l, v->line,
			     "a static must be a group in braces, not %s: write { inside = ...; outside = ...; }",
			     value_kind_name(v->kind));
		return;
	}
	l->static_draft = &d;
	config_keys_read(l, "static", v);
	l->static_draft = NULL;
	if (!d.has_inside || !d.has_outside) {
		loader_error(l, v->line,
			     "this static has no %s: it needs both sides, inside = \"10.8.0.16/28\"; outside = "
			     "\"203.0.113.48/28\";",
			     d.has_inside ? "outside" : "inside");
	} else if (!d.failed && d.s.inside.length != d.s.outside.length) {
		loader_error(
			l, v->line,
			"this static has prefixes of different lengths, /%u inside and /%u outside: each inside host "
			"needs an address of its own",
			d.s.inside.length, d.s.outside.length);
	} else if (!d.failed) {
		l->c->statics[l->c->n_statics++] = d.s;
	}
}

void config_set_static(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!config_key_expect(l, k, v, VALUE_LIST))
		return;
	if (v->n_children > CONFIG_STATICS_MAX) {
		loader_error(l, v->line, "%u static pairs are too many: there can be %d", v->n_children,
			     CONFIG_STATICS_MAX);
		return;
	}
	l->c->statics = loader_alloc(l, v->n_children, sizeof(*l->c->statics));
	for (uint32_t i = 0; l->c->statics && i < v->n_children; i++)
		read_static(l, &v->children[i]);
}

/* ---- checks ---- */

static bool touch(const struct nat_prefix *a, const struct nat_prefix *b)
{
	return a->address <= text_prefix_last(b) && b->address <= text_prefix_last(a);
}

static void check_pair(struct config_loader *l, const struct config_static *s, const struct config_static *earlier)
{
	char text[TEXT_RANGE_SIZE], other[TEXT_RANGE_SIZE];

	if (touch(&s->inside, &earlier->inside))
		loader_error(l, s->line, "static.inside: %s overlaps %s (line %u): a host has one pair",
			     text_of_prefix(text, &s->inside), text_of_prefix(other, &earlier->inside), earlier->line);
	if (touch(&s->outside, &earlier->outside))
		loader_error(l, s->line, "static.outside: %s overlaps %s (line %u): an address has one pair",
			     text_of_prefix(text, &s->outside), text_of_prefix(other, &earlier->outside),
			     earlier->line);
}

static void check_against_lists(struct config_loader *l, const struct config_static *s)
{
	const struct natd_config *c = l->c;
	char text[TEXT_RANGE_SIZE], other[TEXT_RANGE_SIZE];
	bool is_inside = c->inside.n_prefixes == 0;

	for (uint32_t i = 0; i < c->outside.n_pool; i++) {
		const struct nat_address_range *r = &c->outside.pool[i];

		if (s->outside.address <= r->last && r->first <= text_prefix_last(&s->outside))
			loader_error(l, s->line,
				     "static.outside: %s overlaps %s of outside.addresses: an address is in the pool "
				     "or in a "
				     "pair",
				     text_of_prefix(text, &s->outside), text_of_addresses(other, r->first, r->last));
	}
	for (uint32_t i = 0; i < c->inside.n_prefixes; i++) {
		const struct nat_prefix *p = &c->inside.prefixes[i];

		is_inside |= p->address <= s->inside.address && text_prefix_last(&s->inside) <= text_prefix_last(p);
		if (touch(&s->outside, p))
			loader_error(
				l, s->line,
				"static.outside: %s overlaps %s of inside.prefixes: outside and inside must not share "
				"addresses (RFC 4787 REQ-7)",
				text_of_prefix(text, &s->outside), text_of_prefix(other, p));
	}
	if (!is_inside)
		loader_error(l, s->line, "static.inside: %s is in none of inside.prefixes: add its prefix there",
			     text_of_prefix(text, &s->inside));
}

static void check_forwards(struct config_loader *l, const struct config_static *s)
{
	char text[TEXT_ADDRESS_SIZE];

	for (uint32_t i = 0; i < l->c->n_forwards; i++) {
		uint32_t address = l->c->forwards[i].address;

		if (address != 0 && address >= s->outside.address && address <= text_prefix_last(&s->outside))
			loader_error(l, l->c->forward_lines[i],
				     "forward \"%s\": %s is the outside address of a static pair (line %u), which "
				     "takes every "
				     "port",
				     l->c->forwards[i].name, text_of_address(text, address), s->line);
	}
}

void config_check_static(struct config_loader *l)
{
	for (uint32_t i = 0; i < l->c->n_statics; i++) {
		for (uint32_t k = 0; k < i; k++)
			check_pair(l, &l->c->statics[i], &l->c->statics[k]);
		check_against_lists(l, &l->c->statics[i]);
		check_forwards(l, &l->c->statics[i]);
	}
}
