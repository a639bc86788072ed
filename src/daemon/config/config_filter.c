/* SPDX-License-Identifier: ISC */
/*
 * The rules of the filter. The keys of a rule are read into a draft in any order; then the draft is checked as a whole.
 * Rules are read after the rest of the file, since they name sets and forwards.
 */
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "common/spelling.h"
#include "config_internal.h"
#include "config_text.h"

enum { ICMP = 1, TCP = 6, UDP = 17 };

struct rule_draft {
	struct filter_rule r;
	struct nat_range *ports;      /* owned until the draft becomes a rule */
	struct filter_span *spans[2]; /* of `from` and `to` unless they are a single set; owned likewise */
	uint32_t n_spans[2];
	char interface[CONFIG_IFNAME_SIZE];
	bool has_action;

	bool failed; /* a key was wrong and has been reported */
};

enum { FROM, TO };

static const struct config_choice actions[] = {
	{"accept", FILTER_ACCEPT}, {"drop", FILTER_DROP}, {"reject", FILTER_REJECT}, {NULL, 0}};
static const struct config_choice directions[] = {
	{"out", FILTER_OUT}, {"in", FILTER_IN}, {"both", FILTER_OUT | FILTER_IN}, {NULL, 0}};
static const struct config_choice icmp_types[] = {{"echo-reply", 0},	     {"destination-unreachable", 3},
						  {"source-quench", 4},	     {"redirect", 5},
						  {"echo-request", 8},	     {"time-exceeded", 11},
						  {"parameter-problem", 12}, {"timestamp-request", 13},
						  {"timestamp-reply", 14},   {NULL, 0}};

static bool expect(struct config_loader *l, const struct config_key *k, const struct value *v, enum value_kind kind)
{
	bool is = config_key_expect(l, k, v, kind);

	l->rule->failed |= !is;
	return is;
}

static void refuse(struct config_loader *l, const struct config_key *k, const struct value *v, const char *why)
{
	config_key_refuse(l, k, v, why);
	l->rule->failed = true;
}

/* The value of the word; -1: unknown, and reported with the known words. */
static int read_word(struct config_loader *l, const struct config_key *k, const struct value *v,
		     const struct config_choice *choices)
{
	char why[TEXT_WHY_SIZE] = "is not known: choose";
	size_t used = strlen(why);

	if (!expect(l, k, v, VALUE_STRING))
		return -1;
	for (const struct config_choice *c = choices; c->word; c++) {
		if (strcmp(c->word, v->string) == 0)
			return c->value;
		if (used < sizeof(why))
			used += (size_t)snprintf(why + used, sizeof(why) - used, "%s\"%s\"", c == choices ? " " : ", ",
						 c->word);
	}
	refuse(l, k, v, why);
	return -1;
}

/* ---- keys ---- */

void config_set_rule_name(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!expect(l, k, v, VALUE_STRING))
		return;
	if (!text_name(v->string))
		refuse(l, k, v, TEXT_NAME_FAULT);
	else
		memcpy(l->rule->r.name, v->string, strlen(v->string) + 1);
}

void config_set_rule_action(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	int action = read_word(l, k, v, actions);

	l->rule->has_action = true;
	if (action >= 0)
		l->rule->r.action = (uint8_t)action;
}

void config_set_rule_direction(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	int direction = read_word(l, k, v, directions);

	if (direction >= 0)
		l->rule->r.directions = (uint8_t)direction;
}

void config_set_rule_protocol(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);
	int number;

	for (uint32_t i = 0; i < n; i++) {
		if (entry[i].kind == VALUE_NUMBER)
			number = entry[i].number >= 0 && entry[i].number <= UINT8_MAX ? (int)entry[i].number : -1;
		else if (!expect(l, k, &entry[i], VALUE_STRING))
			continue;
		else
			number = protocol_number(entry[i].string);
		if (number < 0)
			refuse(l, k, &entry[i], "is no protocol: write \"tcp\", \"udp\", \"icmp\"..., or its number");
		else
			l->rule->r.protocols[number / 32] |= 1u << number % 32;
	}
}

/* The number of the named type; -1: unknown. */
static int icmp_type_number(const char *name)
{
	for (const struct config_choice *c = icmp_types; c->word; c++) {
		if (strcmp(c->word, name) == 0)
			return c->value;
	}
	return -1;
}

void config_set_rule_icmp_type(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);
	int type;

	for (uint32_t i = 0; i < n; i++) {
		if (entry[i].kind == VALUE_NUMBER)
			type = entry[i].number >= 0 && entry[i].number <= UINT8_MAX ? (int)entry[i].number : -1;
		else if (!expect(l, k, &entry[i], VALUE_STRING))
			continue;
		else
			type = icmp_type_number(entry[i].string);
		if (type < 0)
			refuse(l, k, &entry[i],
			       "is no ICMP type: write a name, such as \"echo-request\", or a number from 0 to 255");
		else
			l->rule->r.icmp_types[type / 32] |= 1u << type % 32;
	}
}

void config_set_rule_port(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);
	struct rule_draft *d = l->rule;

	d->ports = loader_alloc(l, n, sizeof(*d->ports));
	for (uint32_t i = 0; d->ports && i < n; i++) {
		if (config_read_ports(l, k, &entry[i], &d->ports[d->r.n_ports]))
			d->r.n_ports++;
		else
			d->failed = true;
	}
	if (n == 0)
		refuse(l, k, &(struct value){.kind = VALUE_STRING, .string = "", .line = v->line},
		       "is empty: leave the key out for every port");
}

/* Adds the spans of one entry, a prefix or a set; the caller made room for all of them. */
static void add_entry(struct config_loader *l, const struct config_key *k, const struct value *v, unsigned side)
{
	struct rule_draft *d = l->rule;
	const struct config_filter *f = &l->c->filter;
	char why[TEXT_WHY_SIZE];
	struct nat_prefix p;
	int set;

	if (v->string[0] != '@') {
		if (text_prefix(v->string, &p, why))
			d->spans[side][d->n_spans[side]++] = (struct filter_span){p.address, text_prefix_last(&p)};
		else
			refuse(l, k, v, why);
		return;
	}
	set = config_find_set(f, v->string + 1);
	if (set >= 0) {
		memcpy(d->spans[side] + d->n_spans[side], f->lists[set].spans,
		       f->lists[set].n * sizeof(struct filter_span));
		d->n_spans[side] += f->lists[set].n;
	}
}

/* Number of spans of the entries; wrong entries are reported and count as 0. */
static size_t count_spans(struct config_loader *l, const struct config_key *k, const struct value *entry, uint32_t n)
{
	size_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		int set;

		if (!expect(l, k, &entry[i], VALUE_STRING))
			continue;
		total++;
		if (entry[i].string[0] != '@')
			continue;
		set = config_find_set(&l->c->filter, entry[i].string + 1);
		if (set < 0)
			refuse(l, k, &entry[i],
			       "names no set that was read: define it in sets, as in sets = ( { name = "
			       "\"office\"; prefixes = [ \"198.51.100.0/24\" ]; } );");
		else
			total += l->c->filter.lists[set].n;
	}
	return total;
}

static void set_list(struct config_loader *l, const struct config_key *k, const struct value *v, unsigned side,
		     uint16_t *list)
{
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);
	struct rule_draft *d = l->rule;
	size_t total = count_spans(l, k, entry, n);

	if (n == 0)
		loader_error(l, v->line,
			     "rule.%s is empty, so the rule could never match: leave the key out for every address",
			     k->name);
	d->failed |= n == 0;
	if (n == 1 && !d->failed && entry->string[0] == '@') {
		*list = (uint16_t)config_find_set(&l->c->filter, entry->string + 1);
		return;
	}
	d->spans[side] = loader_alloc(l, total, sizeof(*d->spans[side]));
	for (uint32_t i = 0; d->spans[side] && i < n; i++) {
		if (entry[i].kind == VALUE_STRING)
			add_entry(l, k, &entry[i], side);
	}
}

void config_set_rule_from(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	set_list(l, k, v, FROM, &l->rule->r.from);
}

void config_set_rule_to(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	set_list(l, k, v, TO, &l->rule->r.to);
}

void config_set_rule_forward(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!expect(l, k, v, VALUE_STRING))
		return;
	for (uint32_t i = 0; i < l->c->n_forwards; i++) {
		const struct nat_forward *f = &l->c->forwards[i];

		if (strcmp(f->name, v->string) == 0 && !f->is_dynamic)
			l->rule->r.forward = (int32_t)i;
	}
	if (l->rule->r.forward == FILTER_NONE) /* a forward made at run time is gone at the next start, or earlier */
		refuse(l, k, v, "is the name of no forward of this file");
}

void config_set_rule_interface(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	const struct config_inside *in = &l->c->inside;

	if (!expect(l, k, v, VALUE_STRING))
		return;
	for (uint32_t i = 0; i < in->n_interfaces; i++) {
		if (strcmp(in->interfaces[i], v->string) == 0)
			snprintf(l->rule->interface, sizeof(l->rule->interface), "%s", v->string);
	}
	if (l->rule->interface[0] == '\0')
		refuse(l, k, v, "is not one of inside.interfaces: a rule's interface is the one of the inside host");
}

/* "50/s burst 100"; without a burst, one second's worth. */
void config_set_rule_limit(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	static const char form[] =
		"is not a limit: write \"50/s\" or \"50/s burst 100\", with numbers from 1 to 1000000";
	enum { MOST = 1000000 };
	unsigned long rate, burst;
	char *end;

	if (!expect(l, k, v, VALUE_STRING))
		return;
	rate = v->string[0] >= '1' && v->string[0] <= '9' ? strtoul(v->string, &end, 10) : 0;
	if (rate == 0 || rate > MOST || strncmp(end, "/s", 2) != 0) {
		refuse(l, k, v, form);
		return;
	}
	burst = rate;
	end += 2;
	if (strncmp(end, " burst ", 7) == 0 && end[7] >= '1' && end[7] <= '9')
		burst = strtoul(end + 7, &end, 10);
	if (*end != '\0' || burst > MOST)
		refuse(l, k, v, form);
	l->rule->r.limit = (struct filter_limit){(uint32_t)rate, (uint32_t)burst};
}

void config_set_rule_log(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (expect(l, k, v, VALUE_TRUTH))
		l->rule->r.log = v->number != 0;
}

/* ---- a whole rule ---- */

static bool names_protocol(const struct filter_rule *r, unsigned number)
{
	return r->protocols[number / 32] >> number % 32 & 1;
}

static unsigned count_protocols(const struct filter_rule *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 8; i++)
		n += (unsigned)__builtin_popcount(r->protocols[i]);
	return n;
}

static bool has_types(const struct filter_rule *r)
{
	uint32_t any = 0;

	for (unsigned i = 0; i < 8; i++)
		any |= r->icmp_types[i];
	return any != 0;
}

/* Combinations that match nothing, or less than they seem to. */
static void check_rule(struct config_loader *l, const struct value *v)
{
	struct rule_draft *d = l->rule;
	unsigned named = count_protocols(&d->r);
	unsigned ported = (unsigned)names_protocol(&d->r, TCP) + (unsigned)names_protocol(&d->r, UDP);
	const char *fault = NULL;

	if (!d->has_action)
		fault = "this rule has no action: add action = \"accept\";, or \"drop\" or \"reject\"";
	else if (d->r.n_ports > 0 && (named == 0 || named != ported))
		fault = "rule.port needs protocol = \"tcp\", \"udp\" or both: others have no ports";
	else if (has_types(&d->r) && (named != 1 || !names_protocol(&d->r, ICMP)))
		fault = "rule.icmp_type needs protocol = \"icmp\"";
	else if (d->r.forward != FILTER_NONE && d->r.directions == FILTER_OUT)
		fault = "this rule never matches: rule.forward is about what comes in, and its direction is \"out\"";
	if (fault)
		loader_error(l, v->line, "%s", fault);
	d->failed |= fault != NULL;
}

/* Makes a list of its own for the spans of `from` or `to`. False: out of memory. */
static bool keep_list(struct config_loader *l, unsigned side, uint16_t *list)
{
	struct config_filter *f = &l->c->filter;
	struct rule_draft *d = l->rule;
	uint64_t *words;

	if (d->spans[side] == NULL)
		return true;
	words = loader_alloc(l, d->n_spans[side], sizeof(*words));
	if (words == NULL)
		return false;
	d->n_spans[side] = filter_spans_join(d->spans[side], d->n_spans[side], words);
	free(words);
	*list = (uint16_t)f->n_lists;
	f->lists[f->n_lists++] = (struct filter_list){d->spans[side], d->n_spans[side]};
	d->spans[side] = NULL;
	return true;
}

static void keep_rule(struct config_loader *l, const struct value *v)
{
	struct config_filter *f = &l->c->filter;
	struct rule_draft *d = l->rule;

	if (!keep_list(l, FROM, &d->r.from) || !keep_list(l, TO, &d->r.to))
		return;
	d->r.ports = d->ports;
	d->ports = NULL;
	memcpy(f->interfaces[f->n_rules], d->interface, sizeof(d->interface));
	f->lines[f->n_rules] = v->line;
	f->rules[f->n_rules++] = d->r;
}

static void read_rule(struct config_loader *l, const struct value *v)
{
	struct rule_draft draft = {
		.r = {.directions = FILTER_OUT | FILTER_IN,
		      .from = FILTER_ANY,
		      .to = FILTER_ANY,
		      .via = FILTER_ANY,
		      .forward = FILTER_NONE},
	};

	if (v->kind != VALUE_GROUP) {
		loader_error(l, v->line, "a rule must be a group in braces, not %s: write { action = \"drop\"; ... }",
			     value_kind_name(v->kind));
		return;
	}
	l->rule = &draft;
	config_keys_read(l, "filter", v);
	if (!draft.failed)
		check_rule(l, v);
	if (!draft.failed)
		keep_rule(l, v);
	free(draft.ports);
	free(draft.spans[FROM]);
	free(draft.spans[TO]);
	l->rule = NULL;
}

/* Names are what statistics and listings go by: "rule-3" for the third without one. */
static void name_rules(struct config_loader *l)
{
	struct config_filter *f = &l->c->filter;

	for (uint32_t i = 0; i < f->n_rules; i++) {
		if (f->rules[i].name[0] == '\0')
			snprintf(f->rules[i].name, sizeof(f->rules[i].name), "rule-%u", i + 1);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct filter_rule *const *x = a;
	const struct filter_rule *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order ? order : (*x > *y) - (*x < *y);
}

static void check_names(struct config_loader *l)
{
	struct config_filter *f = &l->c->filter;
	const struct filter_rule **sorted = loader_alloc(l, f->n_rules, sizeof(*sorted));

	for (uint32_t i = 0; sorted && i < f->n_rules; i++)
		sorted[i] = &f->rules[i];
	if (sorted)
		qsort(sorted, f->n_rules, sizeof(*sorted), by_name);
	for (uint32_t i = 1; sorted && i < f->n_rules; i++) {
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			loader_error(l, f->lines[sorted[i] - f->rules],
				     "a rule is called \"%s\" already (line %u): give each a name of its own",
				     sorted[i]->name, f->lines[sorted[i - 1] - f->rules]);
	}
	free(sorted);
}

static void warn_of_hidden(struct config_loader *l)
{
	enum { COMPARED = 4000 }; /* rules: each is compared with all before it */
	struct config_filter *f = &l->c->filter;
	struct filter_config c = {f->lists, f->n_lists, f->rules, f->n_rules};

	for (uint32_t i = 0; i < f->n_rules && i < COMPARED; i++) {
		int32_t by = filter_hidden_by(&c, i);

		if (by != FILTER_NONE)
			loader_warning(l, f->lines[i],
				       "rule \"%s\" never decides: rule \"%s\" (line %u) matches all that it does; "
				       "put it before that one, or remove it",
				       f->rules[i].name, f->rules[by].name, f->lines[by]);
	}
}

void config_set_filter(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (config_key_expect(l, k, v, VALUE_LIST))
		l->filter = v;
}

void config_read_filter(struct config_loader *l)
{
	struct config_filter *f = &l->c->filter;
	uint32_t n = l->filter ? l->filter->n_children : 0;

	if (n == 0)
		return;
	f->rules = loader_alloc(l, n, sizeof(*f->rules));
	f->lines = loader_alloc(l, n, sizeof(*f->lines));
	f->interfaces = loader_alloc(l, n, sizeof(*f->interfaces));
	for (uint32_t i = 0; f->lists && f->rules && f->lines && f->interfaces && i < n; i++)
		read_rule(l, &l->filter->children[i]);
	name_rules(l);
	check_names(l);
	warn_of_hidden(l);
	config_warn_of_unmatched(l);
}
