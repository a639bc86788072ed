/* SPDX-License-Identifier: ISC */
#include "build_filter.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_text.h"

static uint32_t most_spans(const struct natd_config *c, const struct host_interface *i)
{
	return c->inside.n_prefixes + i->n_addresses;
}

/* The networks of the interface's addresses, and those of inside.prefixes that the host's routes reach through it. */
static uint32_t interface_spans(const struct natd_config *c, const struct host_facts *facts,
				const struct host_interface *i, struct filter_span *spans)
{
	uint32_t n = 0;

	for (uint32_t a = 0; a < i->n_addresses; a++) {
		uint32_t length = i->addresses[a].length;
		uint32_t hosts = length == 0 ? UINT32_MAX : (uint32_t)((UINT64_C(1) << (32 - length)) - 1);

		spans[n++] = (struct filter_span){i->addresses[a].peer & ~hosts, i->addresses[a].peer | hosts};
	}
	for (uint32_t p = 0; facts->prefix_out != NULL && p < facts->n_prefix_out && p < c->inside.n_prefixes; p++) {
		if (facts->prefix_out[p] == i->index && i->index != 0)
			spans[n++] = (struct filter_span){c->inside.prefixes[p].address,
							  text_prefix_last(&c->inside.prefixes[p])};
	}
	return n;
}

static bool add_interface_list(struct policy_storage *s, const struct natd_config *c, const struct host_facts *facts,
			       uint32_t interface)
{
	const struct host_interface *i = &facts->inside[interface];
	struct filter_span *spans = calloc((size_t)most_spans(c, i) + 1, sizeof(*spans));
	uint64_t *words = calloc((size_t)most_spans(c, i) + 1, sizeof(*words));
	uint32_t n;

	if (spans == NULL || words == NULL) {
		free(spans);
		free(words);
		return false;
	}
	n = filter_spans_join(spans, interface_spans(c, facts, i, spans), words);
	free(words);
	s->filter_spans[interface] = spans;
	s->filter_lists[c->filter.n_lists + interface] = (struct filter_list){spans, n};
	return true;
}

static void tie_rules(struct policy_storage *s, const struct natd_config *c)
{
	for (uint32_t r = 0; r < c->filter.n_rules; r++) {
		for (uint32_t i = 0; i < c->inside.n_interfaces && i < s->n_filter_spans; i++) {
			if (strcmp(c->filter.interfaces[r], c->inside.interfaces[i]) == 0)
				s->filter_rules[r].via = (uint16_t)(c->filter.n_lists + i);
		}
	}
}

bool filter_build(const struct natd_config *c, const struct host_facts *facts, struct policy_storage *s)
{
	const struct config_filter *f = &c->filter;
	bool made;

	if (f->n_rules == 0)
		return true;
	s->n_filter_spans = facts->n_inside;
	s->filter = calloc(1, sizeof(*s->filter));
	s->filter_spans = calloc((size_t)facts->n_inside + 1, sizeof(*s->filter_spans));
	s->filter_lists = calloc((size_t)f->n_lists + facts->n_inside + 1, sizeof(*s->filter_lists));
	s->filter_rules = calloc(f->n_rules, sizeof(*s->filter_rules));
	made = s->filter != NULL && s->filter_spans != NULL && s->filter_lists != NULL && s->filter_rules != NULL;
	if (made && f->n_lists > 0)
		memcpy(s->filter_lists, f->lists, f->n_lists * sizeof(*f->lists));
	if (made)
		memcpy(s->filter_rules, f->rules, f->n_rules * sizeof(*f->rules));
	for (uint32_t i = 0; made && i < facts->n_inside; i++)
		made = add_interface_list(s, c, facts, i);
	if (!made)
		return false;
	tie_rules(s, c);
	*s->filter = (struct filter_config){s->filter_lists, f->n_lists + facts->n_inside, s->filter_rules, f->n_rules};
	return true;
}

void filter_build_fini(struct policy_storage *s)
{
	for (uint32_t i = 0; s->filter_spans != NULL && i < s->n_filter_spans; i++)
		free(s->filter_spans[i]);
	free(s->filter);
	free(s->filter_spans);
	free(s->filter_lists);
	free(s->filter_rules);
}
