/* SPDX-License-Identifier: ISC */
/*
 * The target of a forward: one host, or backends among which it chooses. `to` is a host, a list of hosts, or a list of
 * groups with weights; a list makes a balanced forward, even with one entry.
 */
#include <stdlib.h>
#include <string.h>

#include "config_forward.h"
#include "config_text.h"

enum { WEIGHT_DEFAULT = 1, AFFINITY_MAX = 86400 };

/* ---- hosts ---- */

static void read_host(struct config_loader *l, const struct config_key *k, const struct value *v, uint32_t *address,
		      uint16_t *port)
{
	char why[TEXT_WHY_SIZE];

	if (!forward_expect_string(l, k, v))
		return;
	if (text_endpoint(v->string, address, port, why))
		forward_refuse_reserved(l, k, v, *address);
	else
		forward_refuse(l, k, v, why);
}

static void read_weight(struct config_loader *l, const struct config_key *k, const struct value *v, uint16_t *weight)
{
	if (!config_key_expect(l, k, v, VALUE_NUMBER))
		l->draft->failed = true;
	else if (v->number < 1 || v->number > NAT_WEIGHT_MAX)
		forward_refuse(l, k, v, "is not a weight: write a number from 1 to 1000");
	else
		*weight = (uint16_t)v->number;
}

static void fail(struct config_loader *l, const struct value *v, const char *what)
{
	loader_error(l, v->line, "%s", what);
	l->draft->failed = true;
}

/* One backend's group. */
static void read_group(struct config_loader *l, const struct config_key *k, const struct value *v,
		       struct nat_backend *b)
{
	bool has_host = false;

	for (uint32_t i = 0; i < v->n_children; i++) {
		const struct value *child = &v->children[i];

		if (strcmp(child->name, "host") == 0) {
			has_host = true;
			read_host(l, k, child, &b->address, &b->port);
		} else if (strcmp(child->name, "weight") == 0) {
			read_weight(l, k, child, &b->weight);
		} else {
			loader_error(l, child->line, "unknown key \"%s\" in a backend: there are host, weight",
				     child->name);
			l->draft->failed = true;
		}
	}
	if (!has_host)
		fail(l, v, "this backend has no host: add host = \"10.8.0.11:8080\";");
}

static void read_backend(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct nat_backend *b = &l->draft->backends[l->draft->f.n_backends++];

	b->weight = WEIGHT_DEFAULT;
	if (v->kind == VALUE_GROUP)
		read_group(l, k, v, b);
	else
		read_host(l, k, v, &b->address, &b->port);
}

void config_set_forward_to(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct forward_draft *d = l->draft;

	d->has_to = true;
	if (v->kind != VALUE_LIST) {
		read_host(l, k, v, &d->f.to, &d->f.to_port);
		return;
	}
	if (v->n_children == 0 || v->n_children > NAT_BACKENDS_MAX) {
		loader_error(l, v->line, "forward.to has %u backends: there must be 1 to %d", v->n_children,
			     NAT_BACKENDS_MAX);
		d->failed = true;
		return;
	}
	free(d->backends); /* the key occurs twice */
	d->f.n_backends = 0;
	d->backends = loader_alloc(l, v->n_children, sizeof(*d->backends));
	d->failed |= !d->backends;
	for (uint32_t i = 0; d->backends && i < v->n_children; i++)
		read_backend(l, k, &v->children[i]);
}

/* ---- how a backend is chosen ---- */

static void read_word(struct config_loader *l, const struct config_key *k, const struct value *v,
		      const struct config_choice *words, uint8_t *out)
{
	char why[TEXT_WHY_SIZE] = "is not known: choose ";
	size_t used = strlen(why);

	if (!forward_expect_string(l, k, v))
		return;
	for (const struct config_choice *c = words; c->word; c++) {
		if (strcmp(c->word, v->string) == 0) {
			*out = (uint8_t)c->value;
			return;
		}
		used += (size_t)snprintf(why + used, sizeof(why) - used, "%s\"%s\"",
					 c == words  ? ""
					 : c[1].word ? ", "
						     : " or ",
					 c->word);
	}
	forward_refuse(l, k, v, why);
}

void config_set_forward_balance(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	static const struct config_choice words[] = {
		{"hash", BALANCE_HASH}, {"least", BALANCE_LEAST}, {"random", BALANCE_RANDOM}, {NULL, 0}};

	l->draft->has_balance = true;
	read_word(l, k, v, words, &l->draft->f.balance);
}

void config_set_forward_side(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	static const struct config_choice words[] = {
		{"outside", SIDE_OUTSIDE}, {"inside", SIDE_INSIDE}, {"both", SIDE_BOTH}, {NULL, 0}};

	read_word(l, k, v, words, &l->draft->f.side);
}

void config_set_forward_affinity(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	l->draft->has_affinity = true;
	if (!config_key_expect(l, k, v, VALUE_NUMBER))
		l->draft->failed = true;
	else if (v->number < 0 || v->number > AFFINITY_MAX)
		forward_refuse(l, k, v, "seconds are too many or too few: they are 0 (no memory) to 86400");
	else
		l->draft->f.affinity = (uint32_t)v->number;
}

/* ---- the whole forward ---- */

static void check_port(struct config_loader *l, const struct value *v, uint16_t *port)
{
	const struct nat_forward *f = &l->draft->f;
	uint32_t steps = (uint32_t)(f->ports.last - f->ports.first);

	if (*port == 0)
		*port = f->ports.first;
	if (*port + steps <= UINT16_MAX)
		return;
	loader_error(l, v->line, "this forward leads %u ports to port %u and up, beyond 65535: begin at %u or below",
		     steps + 1, *port, UINT16_MAX - steps);
	l->draft->failed = true;
}

/* Overlapping port ranges would make one inside endpoint two backends. */
static void check_twins(struct config_loader *l, const struct value *v)
{
	const struct forward_draft *d = l->draft;
	uint32_t steps = (uint32_t)(d->f.ports.last - d->f.ports.first);
	char text[TEXT_ADDRESS_SIZE];

	for (uint32_t i = 1; i < d->f.n_backends; i++) {
		for (uint32_t j = 0; j < i; j++) {
			const struct nat_backend *a = &d->backends[i], *b = &d->backends[j];
			uint32_t apart = a->port > b->port ? a->port - b->port : b->port - a->port;

			if (a->address != b->address || apart > steps)
				continue;
			loader_error(l, v->line, "forward.to names %s:%u twice: give it one weight",
				     text_of_address(text, a->address), a->port);
			l->draft->failed = true;
			return;
		}
	}
}

static void check_side(struct config_loader *l, const struct value *v)
{
	const struct forward_draft *d = l->draft;

	if (d->f.side == SIDE_OUTSIDE)
		return;
	if (d->f.address == 0)
		fail(l, v,
		     "a forward for inside hosts needs an address of its own, which no host has: add address = "
		     "\"10.96.0.10\";");
	if (d->has_from)
		fail(l, v,
		     "forward.from is about outside hosts: leave it out, and say by filter rules which inside hosts "
		     "may use this forward");
}

void forward_check_targets(struct config_loader *l, const struct value *v)
{
	struct forward_draft *d = l->draft;

	if (d->f.n_backends == 0 && (d->has_balance || d->has_affinity))
		fail(l, v,
		     "forward.balance and forward.affinity are about several backends: make `to` a list, as in to = "
		     "[ \"10.8.0.11\", \"10.8.0.12\" ];");
	if (d->f.n_backends == 0 && d->check.type != CHECK_NONE)
		fail(l, v, "forward.check is about backends: make `to` a list, as in to = [ \"10.8.0.11\" ];");
	check_side(l, v);
	if (d->f.n_backends == 0)
		check_port(l, v, &d->f.to_port);
	for (uint32_t i = 0; i < d->f.n_backends && !d->failed; i++)
		check_port(l, v, &d->backends[i].port);
	if (!d->failed)
		check_twins(l, v);
}
