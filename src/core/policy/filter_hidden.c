/* SPDX-License-Identifier: ISC */
/* Rules that never decide, because one earlier rule matches everything that they match. */
#include "filter.h"

#include <stddef.h>

static bool bits_cover(const uint32_t wide[8], const uint32_t narrow[8])
{
	uint32_t wide_any = 0, narrow_any = 0, missing = 0;

	for (unsigned i = 0; i < 8; i++) {
		wide_any |= wide[i];
		narrow_any |= narrow[i];
		missing |= narrow[i] & ~wide[i];
	}
	return wide_any == 0 || (narrow_any != 0 && missing == 0);
}

/* Is each of the ports in one of the wide ranges? Ports covered only by several ranges together are not detected. */
static bool ports_cover(const struct filter_rule *wide, const struct filter_rule *narrow)
{
	if (wide->n_ports == 0)
		return true;
	if (narrow->n_ports == 0)
		return false;
	for (uint32_t i = 0; i < narrow->n_ports; i++) {
		uint32_t k = 0;

		while (k < wide->n_ports &&
		       (wide->ports[k].first > narrow->ports[i].first || wide->ports[k].last < narrow->ports[i].last))
			k++;
		if (k == wide->n_ports)
			return false;
	}
	return true;
}

enum { COMPARED_SPANS = 64 }; /* longer lists are compared by identity only */

static bool list_covers(const struct filter_config *c, uint16_t wide, uint16_t narrow)
{
	const struct filter_list *w, *n;

	if (wide == FILTER_ANY || wide == narrow)
		return true;
	if (narrow == FILTER_ANY)
		return false;
	w = &c->lists[wide];
	n = &c->lists[narrow];
	if (w->n > COMPARED_SPANS || n->n > COMPARED_SPANS)
		return false;
	for (uint32_t i = 0; i < n->n; i++) {
		uint32_t k = 0;

		while (k < w->n && (w->spans[k].first > n->spans[i].first || w->spans[k].last < n->spans[i].last))
			k++;
		if (k == w->n)
			return false;
	}
	return true;
}

static bool covers(const struct filter_config *c, const struct filter_rule *wide, const struct filter_rule *narrow)
{
	return (narrow->directions & ~wide->directions) == 0 && wide->limit.per_second == 0 &&
	       (wide->forward == FILTER_NONE || wide->forward == narrow->forward) &&
	       bits_cover(wide->protocols, narrow->protocols) && bits_cover(wide->icmp_types, narrow->icmp_types) &&
	       ports_cover(wide, narrow) && list_covers(c, wide->from, narrow->from) &&
	       list_covers(c, wide->to, narrow->to) && list_covers(c, wide->via, narrow->via);
}

int32_t filter_hidden_by(const struct filter_config *c, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++) {
		if (covers(c, &c->rules[k], &c->rules[i]))
			return (int32_t)k;
	}
	return FILTER_NONE;
}
