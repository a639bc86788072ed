/* SPDX-License-Identifier: ISC */
/*
 * Forwards. The keys of a forward are read into a draft in any order; then the draft is checked as a whole.
 * config_check.c checks it against the others.
 */
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "config_forward.h"
#include "config_text.h"

enum {
	FORWARD_TCP = 1 << CLASS_TCP,
	FORWARD_UDP = 1 << CLASS_UDP,
	FORWARD_ICMP = 1 << CLASS_ICMP,
	FORWARD_OTHER = 1 << CLASS_OTHER,
	FORWARD_ALL = FORWARD_TCP | FORWARD_UDP | FORWARD_ICMP | FORWARD_OTHER,
};

bool forward_expect_string(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	bool is = config_key_expect(l, k, v, VALUE_STRING);

	l->draft->failed |= !is;
	return is;
}

void forward_refuse(struct config_loader *l, const struct config_key *k, const struct value *v, const char *why)
{
	config_key_refuse(l, k, v, why);
	l->draft->failed = true;
}

/* ---- keys ---- */

void config_set_forward_name(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!forward_expect_string(l, k, v))
		return;
	if (strspn(v->string, TEXT_NAME_CHARACTERS) != strlen(v->string))
		forward_refuse(l, k, v, "must consist of letters, digits, \"-\", \"_\" and \".\"");
	else if (!text_name(v->string))
		forward_refuse(l, k, v, "must have 1 to 31 characters");
	else
		memcpy(l->draft->f.name, v->string, strlen(v->string) + 1);
}

/* "any" makes a default host; protocols without ports are stored by number. */
static void add_protocol(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct nat_forward *f = &l->draft->f;
	int number;

	if (v->kind == VALUE_NUMBER)
		number = v->number > 0 && v->number < UINT8_MAX ? (int)v->number : -1;
	else if (!forward_expect_string(l, k, v))
		return;
	else
		number = protocol_number(v->string);
	if (v->kind == VALUE_STRING && strcmp(v->string, "any") == 0) {
		f->is_default = true;
	} else if (number <= 0 || number >= UINT8_MAX) {
		forward_refuse(
			l, k, v,
			"is no protocol: write \"tcp\", \"udp\", [ \"tcp\", \"udp\" ], one without ports (\"gre\", or "
			"its "
			"number), or \"any\"");
	} else if (number == IPPROTO_NR_TCP || number == IPPROTO_NR_UDP) {
		uint8_t bit = number == IPPROTO_NR_TCP ? FORWARD_TCP : FORWARD_UDP;

		if (f->protocols & bit)
			forward_refuse(l, k, v, "is named twice");
		f->protocols |= bit;
	} else if (number == IPPROTO_NR_ICMP) {
		f->protocols |= FORWARD_ICMP;
	} else {
		f->protocols |= FORWARD_OTHER;
		l->draft->number = (uint8_t)number;
	}
}

void config_set_forward_protocol(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	const struct nat_forward *f = &l->draft->f;
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);

	l->draft->has_protocol = n > 0;
	for (uint32_t i = 0; i < n; i++)
		add_protocol(l, k, &entry[i]);
	if (n > 1 && (f->is_default || f->protocols & (FORWARD_ICMP | FORWARD_OTHER))) {
		loader_error(l, v->line,
			     "forward.protocol: only \"tcp\" and \"udp\" go together: make a forward for each of the "
			     "others");
		l->draft->failed = true;
	}
}

void forward_refuse_reserved(struct config_loader *l, const struct config_key *k, const struct value *v,
			     uint32_t address)
{
	char why[TEXT_WHY_SIZE];
	const char *reserved = text_reserved(address, address);

	if (!reserved)
		return;
	snprintf(why, sizeof(why), "is in %s, which no host may use", reserved);
	forward_refuse(l, k, v, why);
}

void config_set_forward_address(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	char why[TEXT_WHY_SIZE];

	if (!forward_expect_string(l, k, v))
		return;
	if (text_address(v->string, &l->draft->f.address, why))
		forward_refuse_reserved(l, k, v, l->draft->f.address);
	else
		forward_refuse(l, k, v, why);
}

void config_set_forward_port(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	l->draft->has_port = true;
	if (!config_read_ports(l, k, v, &l->draft->f.ports))
		l->draft->failed = true;
}

void config_set_forward_from(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct prefix_list list = config_read_prefixes(l, k, v);
	uint32_t n;

	l->draft->has_from = true;
	free(list.lines);
	l->draft->from = list.prefixes;
	l->draft->f.n_from = list.n;
	config_list_entries(v, &n);
	l->draft->failed |= list.n != n;
	if (n == 0) {
		loader_error(
			l, v->line,
			"forward.from is empty, so no source could use it: leave the key out to allow every source");
		l->draft->failed = true;
	}
}

/* ---- a whole forward ---- */

/* Without a protocol key, a forward of ports is meant. */
static bool is_of_ports(const struct forward_draft *d)
{
	return !d->f.is_default && (d->f.protocols & (FORWARD_ICMP | FORWARD_OTHER)) == 0;
}

static void check_present(struct config_loader *l, const struct value *v)
{
	struct forward_draft *d = l->draft;
	bool lacks_port = is_of_ports(d) && !d->has_port;

	if (!d->has_protocol)
		loader_error(l, v->line, "this forward has no protocol: add protocol = \"tcp\";, or \"udp\"");
	if (lacks_port)
		loader_error(l, v->line, "this forward has no port: add the outside port, port = 80;");
	if (!d->has_to)
		loader_error(l, v->line, "this forward leads nowhere: add the inside host, to = \"10.8.0.10:8080\";");
	d->failed |= !d->has_protocol || lacks_port || !d->has_to;
}

/* The protocol is stored in place of the ports (struct nat_forward). */
static void check_no_ports(struct config_loader *l, const struct value *v)
{
	struct forward_draft *d = l->draft;
	struct nat_forward *f = &d->f;
	const char *whose = f->is_default ? "a default host gets every port" : "its protocol has none";

	if (d->has_port)
		loader_error(l, v->line, "this forward has a port, but %s: leave port out", whose);
	if (f->to_port != 0)
		loader_error(l, v->line, "this forward leads to port %u, but %s: leave the port of `to` out",
			     f->to_port, whose);
	if (f->n_backends > 0 || d->has_balance || d->has_affinity || d->check.type != CHECK_NONE ||
	    f->side != SIDE_OUTSIDE)
		loader_error(
			l, v->line,
			"this forward has several backends, or a side: both need ports, so name one host in `to` and "
			"leave balance, affinity, check and side out");
	d->failed |= d->has_port || f->to_port != 0 || f->n_backends > 0 || d->has_balance || d->has_affinity ||
		     d->check.type != CHECK_NONE || f->side != SIDE_OUTSIDE;
	if (f->is_default)
		f->protocols = FORWARD_ALL;
	if (f->protocols == FORWARD_OTHER)
		f->ports = (struct nat_range){d->number, d->number};
	else
		f->ports = (struct nat_range){0, UINT16_MAX};
	f->to_port = f->ports.first;
}

/* Moves everything that the draft owns into the forward. */
static void keep_draft(struct config_loader *l, const struct value *v)
{
	struct natd_config *c = l->c;

	c->forward_lines[c->n_forwards] = v->line;
	c->checks[c->n_forwards] = l->draft->check;
	c->forwards[c->n_forwards] = l->draft->f;
	c->forwards[c->n_forwards].from = l->draft->from;
	c->forwards[c->n_forwards++].backends = l->draft->backends;
	l->draft->from = NULL;
	l->draft->backends = NULL;
}

static void read_forward(struct config_loader *l, const struct value *v)
{
	struct forward_draft draft = {.f = {.affinity = AFFINITY_DEFAULT}};

	if (v->kind != VALUE_GROUP) {
		loader_error(l, v->line,
			     "a forward must be a group in braces, not %s: write { protocol = \"tcp\"; ... }",
			     value_kind_name(v->kind));
		return;
	}
	l->draft = &draft;
	config_keys_read(l, "forwards", v);
	check_present(l, v);
	if (!draft.failed && is_of_ports(&draft))
		forward_check_targets(l, v);
	else if (!draft.failed)
		check_no_ports(l, v);
	if (!draft.failed)
		keep_draft(l, v);
	free(draft.from);
	free(draft.backends);
	l->draft = NULL;
}

/* ---- names ---- */

static int by_name(const void *a, const void *b)
{
	const struct nat_forward *const *x = a;
	const struct nat_forward *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order ? order : (*x > *y) - (*x < *y);
}

/* Pointers to the forwards, sorted by name and then file order, so that equal names are neighbours. */
static const struct nat_forward **sort_by_name(struct config_loader *l)
{
	struct natd_config *c = l->c;
	const struct nat_forward **sorted = loader_alloc(l, c->n_forwards, sizeof(*sorted));

	for (uint32_t i = 0; sorted && i < c->n_forwards; i++)
		sorted[i] = &c->forwards[i];
	if (sorted)
		qsort(sorted, c->n_forwards, sizeof(*sorted), by_name);
	return sorted;
}

static bool name_is_taken(const struct nat_forward *const *sorted, uint32_t n, const char *name)
{
	uint32_t low = 0;
	uint32_t high = n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (strcmp(sorted[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && strcmp(sorted[low]->name, name) == 0;
}

/* "forward-3" for the third without a name, or "forward-3-2" if that name is taken. */
static void make_name(const struct nat_forward *const *sorted, uint32_t n, uint32_t place, char *name)
{
	snprintf(name, NAT_FORWARD_NAME_MAX + 1, "forward-%u", place);
	for (uint32_t again = 2; name_is_taken(sorted, n, name); again++)
		snprintf(name, NAT_FORWARD_NAME_MAX + 1, "forward-%u-%u", place, again);
}

static void name_forwards(struct config_loader *l)
{
	struct natd_config *c = l->c;
	const struct nat_forward **sorted = sort_by_name(l);
	char(*made)[NAT_FORWARD_NAME_MAX + 1] = loader_alloc(l, c->n_forwards, sizeof(*made));

	for (uint32_t i = 1; sorted && i < c->n_forwards; i++) {
		const struct nat_forward *first = sorted[i - 1];

		if (sorted[i]->name[0] && strcmp(first->name, sorted[i]->name) == 0)
			loader_error(l, c->forward_lines[sorted[i] - c->forwards],
				     "a forward is called \"%s\" already (line %u): give each a name of its own",
				     first->name, c->forward_lines[first - c->forwards]);
	}
	/* Stored only at the end: `sorted` must stay sorted meanwhile. */
	for (uint32_t i = 0; sorted && made && i < c->n_forwards; i++) {
		if (c->forwards[i].name[0] == '\0')
			make_name(sorted, c->n_forwards, i + 1, made[i]);
	}
	for (uint32_t i = 0; sorted && made && i < c->n_forwards; i++) {
		if (c->forwards[i].name[0] == '\0')
			memcpy(c->forwards[i].name, made[i], sizeof(made[i]));
	}
	free(made);
	free(sorted);
}

/* Returns an array of the configuration's forwards, longer by `more`. NULL: out of memory, which was reported; the
 * old array stays. */
static void *grow(struct config_loader *l, void *old, uint32_t more, size_t size)
{
	void *grown = loader_alloc(l, (size_t)l->c->n_forwards + more, size);

	if (grown != NULL && l->c->n_forwards > 0)
		memcpy(grown, old, l->c->n_forwards * size);
	if (grown != NULL)
		free(old);
	return grown;
}

static bool make_room(struct config_loader *l, uint32_t more)
{
	struct natd_config *c = l->c;
	struct nat_forward *forwards = grow(l, c->forwards, more, sizeof(*forwards));
	uint32_t *lines = forwards ? grow(l, c->forward_lines, more, sizeof(*lines)) : NULL;
	struct config_check *checks = lines ? grow(l, c->checks, more, sizeof(*checks)) : NULL;

	c->forwards = forwards ? forwards : c->forwards;
	c->forward_lines = lines ? lines : c->forward_lines;
	c->checks = checks ? checks : c->checks;
	return checks != NULL;
}

static void read_forwards(struct config_loader *l, const struct value *v)
{
	if (l->c->n_forwards + (uint64_t)v->n_children > CONFIG_FORWARDS_MAX) {
		loader_error(l, v->line, "%u forwards are too many: there can be %d", l->c->n_forwards + v->n_children,
			     CONFIG_FORWARDS_MAX);
		return;
	}
	if (!make_room(l, v->n_children))
		return;
	for (uint32_t i = 0; i < v->n_children; i++)
		read_forward(l, &v->children[i]);
	name_forwards(l);
}

void config_set_forwards(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (config_key_expect(l, k, v, VALUE_LIST))
		read_forwards(l, v);
}

void config_add_forwards(struct config_loader *l, const struct value *v)
{
	uint32_t first = l->c->n_forwards;

	read_forwards(l, v);
	for (uint32_t i = first; i < l->c->n_forwards; i++)
		l->c->forwards[i].is_dynamic = true;
}
