/* SPDX-License-Identifier: ISC */
/*
 * Rules of the filter that can match no opening, whatever the other rules are: a warning for each, since such a rule
 * looks like protection and is none. A rule is checked for each of its directions against what natd can see there:
 * outwards the source is an inside host and the destination is not; inwards, after translation, it is the reverse,
 * and the destination is one of the forward's targets if the rule names one. Prefixes that are left to the interfaces
 * are not known here, and match everything.
 */
#include <stdlib.h>

#include "config_internal.h"
#include "config_text.h"

enum { CHECKED = 4000 }; /* rules: each may be compared with many prefixes */

/* What every rule is compared with. */
struct seen {
	const struct natd_config *c;
	struct filter_list inside, exempt; /* n 0: not known, or none */
};

/* ---- lists ---- */

/* Is some address in both? `l` is sorted and disjoint. */
static bool overlaps(const struct filter_list *l, struct filter_span s)
{
	uint32_t low = 0, high = l->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (l->spans[middle].last < s.first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < l->n && l->spans[low].first <= s.last;
}

static bool meets(const struct filter_list *few, const struct filter_list *many)
{
	for (uint32_t i = 0; i < few->n; i++) {
		if (overlaps(many, few->spans[i]))
			return true;
	}
	return false;
}

/* Are all addresses of the list in one of the spans each? Long lists are not compared. */
static bool is_within(const struct filter_list *l, const struct filter_list *wide)
{
	enum { COMPARED_SPANS = 64 };

	for (uint32_t i = 0; i < l->n; i++) {
		uint32_t k = 0;

		while (k < wide->n &&
		       (wide->spans[k].first > l->spans[i].first || wide->spans[k].last < l->spans[i].last))
			k++;
		if (k == wide->n)
			return false;
	}
	return l->n > 0 && l->n <= COMPARED_SPANS && wide->n > 0;
}

static struct filter_list list_of(struct config_loader *l, const struct nat_prefix *prefixes, uint32_t n)
{
	struct filter_span *spans = loader_alloc(l, n, sizeof(*spans));
	uint64_t *words = loader_alloc(l, n, sizeof(*words));
	struct filter_list list = {.spans = spans};

	for (uint32_t i = 0; spans && words && i < n; i++)
		spans[i] = (struct filter_span){prefixes[i].address, text_prefix_last(&prefixes[i])};
	if (spans && words)
		list.n = filter_spans_join(spans, n, words);
	free(words);
	return list;
}

static const struct filter_list *rule_list(const struct seen *s, uint16_t number)
{
	static const struct filter_span all = {0, UINT32_MAX};
	static const struct filter_list any = {&all, 1};

	return number == FILTER_ANY ? &any : &s->c->filter.lists[number];
}

/* ---- one direction: NULL, or why the rule matches nothing there ---- */

/* A virtual address is translated even if it is exempt. */
static bool has_virtual(const struct seen *s, const struct filter_list *to)
{
	for (uint32_t i = 0; i < s->c->n_forwards; i++) {
		const struct nat_forward *f = &s->c->forwards[i];

		if (f->side != SIDE_OUTSIDE && overlaps(to, (struct filter_span){f->address, f->address}))
			return true;
	}
	return false;
}

static const char *why_not_out(const struct seen *s, const struct filter_rule *r)
{
	const struct filter_list *from = rule_list(s, r->from), *to = rule_list(s, r->to);

	if (s->inside.n > 0 && !meets(&s->inside, from))
		return "outwards `from' is the inside host, and none of inside.prefixes is in it";
	if (is_within(to, &s->inside))
		return "`to' is within inside.prefixes, and natd sees no connections from one inside address to "
		       "another";
	if (is_within(to, &s->exempt) && !has_virtual(s, to))
		return "`to' is within inside.exempt, which natd does not translate";
	return NULL;
}

static bool forward_has_protocol(const struct nat_forward *f, const struct filter_rule *r)
{
	static const uint8_t numbers[] = {[CLASS_TCP] = 6, [CLASS_UDP] = 17, [CLASS_ICMP] = 1};
	uint32_t any = 0;

	for (unsigned i = 0; i < 8; i++)
		any |= r->protocols[i];
	for (unsigned c = CLASS_TCP; c <= CLASS_OTHER; c++) {
		unsigned number = c == CLASS_OTHER ? f->ports.first : numbers[c];

		if (f->protocols >> c & 1 && number <= UINT8_MAX && r->protocols[number / 32] >> number % 32 & 1)
			return true;
	}
	return any == 0 || f->is_default;
}

static bool forward_has_port(const struct nat_forward *f, const struct filter_rule *r)
{
	uint32_t steps = (uint32_t)(f->ports.last - f->ports.first);

	for (uint32_t i = 0; i < r->n_ports; i++) {
		for (uint32_t k = 0; k < nat_forward_targets(f); k++) {
			uint32_t first = nat_forward_target(f, k).port;

			if (r->ports[i].first <= first + steps && first <= r->ports[i].last)
				return true;
		}
	}
	return r->n_ports == 0 || !nat_forward_has_ports(f);
}

static const char *why_not_forward(const struct seen *s, const struct filter_rule *r)
{
	const struct nat_forward *f = &s->c->forwards[r->forward];
	const struct filter_list *from = rule_list(s, r->from), *to = rule_list(s, r->to);
	bool is_target = false, may_use = f->n_from == 0;

	for (uint32_t k = 0; k < nat_forward_targets(f); k++) {
		uint32_t address = nat_forward_target(f, k).address;

		is_target |= overlaps(to, (struct filter_span){address, address});
	}
	for (uint32_t i = 0; i < f->n_from; i++)
		may_use |= overlaps(from, (struct filter_span){f->from[i].address, text_prefix_last(&f->from[i])});
	if (!forward_has_protocol(f, r))
		return "the forward has another protocol";
	if (!forward_has_port(f, r))
		return "`port' is the inside host's, and the forward leads to another one";
	if (!is_target)
		return "`to' is the inside host, and the forward leads to another one";
	return may_use ? NULL : "the forward's own `from' admits nothing of the rule's `from'";
}

static const char *why_not_in(const struct seen *s, const struct filter_rule *r)
{
	const struct filter_list *from = rule_list(s, r->from), *to = rule_list(s, r->to);

	if (s->inside.n > 0 && !meets(&s->inside, to))
		return "inwards `to' is the inside host, and none of inside.prefixes is in it";
	if (is_within(from, &s->inside))
		return "inwards `from' is no inside host: one that uses an outside address comes with natd's own";
	return r->forward != FILTER_NONE ? why_not_forward(s, r) : NULL;
}

/* ---- both ---- */

/* Other types are answers and errors, or are not translated (packet.c). */
static bool has_only_other_types(const struct filter_rule *r)
{
	enum { ECHO_REQUEST = 8, TIMESTAMP_REQUEST = 13 };
	uint32_t any = 0;

	for (unsigned i = 0; i < 8; i++)
		any |= r->icmp_types[i];
	return any != 0 && (r->icmp_types[0] & (1u << ECHO_REQUEST | 1u << TIMESTAMP_REQUEST)) == 0;
}

static const char *why_not(const struct seen *s, const struct filter_rule *r)
{
	const char *out = NULL, *in = NULL;

	if (rule_list(s, r->from)->n == 0 || rule_list(s, r->to)->n == 0)
		return "its set holds no address";
	if (has_only_other_types(r))
		return "only echo-request and timestamp-request open connections, answers and errors pass with theirs";
	if (r->directions & FILTER_OUT && r->forward == FILTER_NONE && (out = why_not_out(s, r)) == NULL)
		return NULL;
	if (r->directions & FILTER_IN && (in = why_not_in(s, r)) == NULL)
		return NULL;
	return in != NULL ? in : out;
}

void config_warn_of_unmatched(struct config_loader *l)
{
	const struct natd_config *c = l->c;
	struct seen s = {.c = c};

	s.inside = list_of(l, c->inside.prefixes, c->inside.n_prefixes);
	s.exempt = list_of(l, c->inside.exempt, c->inside.n_exempt);
	for (uint32_t i = 0; i < c->filter.n_rules && i < CHECKED; i++) {
		const char *why = why_not(&s, &c->filter.rules[i]);

		if (why != NULL)
			loader_warning(l, c->filter.lines[i], "rule \"%s\" can never match: %s",
				       c->filter.rules[i].name, why);
	}
	free((void *)(uintptr_t)s.inside.spans);
	free((void *)(uintptr_t)s.exempt.spans);
}
