/* SPDX-License-Identifier: ISC */
/*
 * The compiled filter.
 *
 * Theory of operation. Each field of the rules is a dimension (filter_dimension.h), which maps a value to a bitmap, in
 * rule order, of the rules that accept it. The rules that match a packet are the intersection of the bitmaps of all its
 * fields, and the first bit decides. The intersection goes over chunks of 1,024 rules and reads only those words of 64
 * rules in which every field has a rule. A field that no rule restricts is omitted. Memory depends on the ends of the
 * rules' ranges; in the worst case it is one bitmap for each two of them.
 */
#include "filter.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "filter_dimension.h"

enum field { FIELD_KIND, FIELD_FROM, FIELD_TO, FIELD_VIA, FIELD_PORT, FIELD_FORWARD, FIELD_COUNT };

enum {
	ICMP = 1,
	NO_PORT = UINT16_MAX + 1, /* value in the port dimension for protocols without ports */
	KIND_IN = 1 << 16,
};

struct filter {
	struct filter_rule *rules;
	uint32_t n_rules;
	uint32_t n_chunks;
	struct filter_dimension *fields[FIELD_COUNT]; /* NULL: no rule restricts it */
};

/* ---- the fields that rules restrict, and their values ---- */

static bool any_bit(const uint32_t bits[8])
{
	uint32_t any = 0;

	for (unsigned i = 0; i < 8; i++)
		any |= bits[i];
	return any != 0;
}

static bool has_bit(const uint32_t bits[8], unsigned i)
{
	return bits[i / 32] >> i % 32 & 1;
}

static uint16_t list_of(const struct filter_rule *r, enum field field)
{
	if (field == FIELD_FROM)
		return r->from;
	return field == FIELD_TO ? r->to : r->via;
}

static bool restricts(const struct filter_rule *r, enum field field)
{
	if (field == FIELD_KIND)
		return r->directions != (FILTER_OUT | FILTER_IN) || any_bit(r->protocols) || any_bit(r->icmp_types);
	if (field == FIELD_PORT)
		return r->n_ports > 0;
	if (field == FIELD_FORWARD)
		return r->forward != FILTER_NONE;
	return list_of(r, field) != FILTER_ANY;
}

static uint32_t kind_value(bool in, unsigned protocol, unsigned type)
{
	return (in ? (uint32_t)KIND_IN : 0) | protocol << 8 | type;
}

/* Spans that are appended; without `spans` they are only counted. */
struct span_list {
	struct filter_span *spans;
	uint32_t n;
	uint32_t last; /* value of the last span */
};

/* Adds a span, or extends the last one. */
static void append(struct span_list *l, uint32_t first, uint32_t last)
{
	bool longer = l->n > 0 && first == l->last + 1;

	l->n += !longer;
	l->last = last;
	if (l->spans == NULL)
		return;
	if (!longer)
		l->spans[l->n - 1].first = first;
	l->spans[l->n - 1].last = last;
}

/* The ICMP types of the rule, in one direction. */
static void append_types(struct span_list *l, const struct filter_rule *r, bool in)
{
	for (unsigned type = 0; type < 256; type++) {
		if (has_bit(r->icmp_types, type))
			append(l, kind_value(in, ICMP, type), kind_value(in, ICMP, type));
	}
}

static uint32_t kind_spans(const struct filter_rule *r, struct filter_span *spans)
{
	struct span_list l = {.spans = spans};
	bool every = !any_bit(r->protocols), typed = any_bit(r->icmp_types);

	for (unsigned in = 0; in < 2; in++) {
		if (!(r->directions & (in ? FILTER_IN : FILTER_OUT)))
			continue;
		if (typed && (every || has_bit(r->protocols, ICMP)))
			append_types(&l, r, in);
		for (unsigned protocol = 0; !typed && protocol < 256; protocol++) {
			if (every || has_bit(r->protocols, protocol))
				append(&l, kind_value(in, protocol, 0), kind_value(in, protocol, UINT8_MAX));
		}
	}
	return l.n;
}

static uint32_t port_spans(const struct filter_rule *r, struct filter_span *spans)
{
	for (uint32_t i = 0; spans != NULL && i < r->n_ports; i++)
		spans[i] = (struct filter_span){r->ports[i].first, r->ports[i].last};
	return r->n_ports;
}

static uint32_t forward_spans(const struct filter_rule *r, struct filter_span *spans)
{
	if (spans != NULL)
		spans[0] = (struct filter_span){(uint32_t)r->forward + 1, (uint32_t)r->forward + 1};
	return 1;
}

static uint32_t list_spans(const struct filter_list *list, struct filter_span *spans)
{
	if (spans != NULL && list->n > 0)
		memcpy(spans, list->spans, list->n * sizeof(*spans));
	return list->n;
}

/* ---- compiling one field ---- */

/* A field under construction: the rules that restrict it, sorted by group. */
struct making {
	const struct filter_config *config;
	enum field field;
	uint32_t n_restricting;
	uint32_t *rules;     /* numbers, by group */
	uint32_t *group_ids; /* of each group: a list, or the rule itself */
	struct filter_group *groups;
	uint32_t n_groups;
	struct filter_span *spans; /* of all groups */
	uint64_t *words;	   /* scratch for joining */
	uint64_t *others;	   /* bitmap of the rules that do not restrict the field */
};

static bool is_list(enum field field)
{
	return field == FIELD_FROM || field == FIELD_TO || field == FIELD_VIA;
}

/* Writes the spans of a group to `spans`, or only counts them. */
static uint32_t group_spans(const struct making *m, uint32_t id, struct filter_span *spans)
{
	const struct filter_rule *r = &m->config->rules[id];

	if (is_list(m->field))
		return list_spans(&m->config->lists[id], spans);
	if (m->field == FIELD_KIND)
		return kind_spans(r, spans);
	return m->field == FIELD_PORT ? port_spans(r, spans) : forward_spans(r, spans);
}

/* Groups by list: a count for each list, then a place for each rule, so that rules stay in order within their group. */
static bool group_by_list(struct making *m)
{
	const struct filter_config *c = m->config;
	uint32_t *ends = calloc((size_t)c->n_lists + 1, sizeof(*ends));
	uint32_t at = 0;

	if (ends == NULL)
		return false;
	for (uint32_t i = 0; i < c->n_rules; i++) {
		if (restricts(&c->rules[i], m->field))
			ends[list_of(&c->rules[i], m->field)]++;
	}
	for (uint32_t l = 0; l < c->n_lists; l++) {
		if (ends[l] == 0)
			continue;
		m->groups[m->n_groups] = (struct filter_group){.rules = m->rules + at, .n_rules = ends[l]};
		m->group_ids[m->n_groups++] = l;
		at += ends[l];
		ends[l] = at - ends[l];
	}
	for (uint32_t i = 0; i < c->n_rules; i++) {
		if (restricts(&c->rules[i], m->field))
			m->rules[ends[list_of(&c->rules[i], m->field)]++] = i;
	}
	free(ends);
	return true;
}

static void group_by_rule(struct making *m)
{
	const struct filter_config *c = m->config;

	for (uint32_t i = 0; i < c->n_rules; i++) {
		if (!restricts(&c->rules[i], m->field))
			continue;
		m->rules[m->n_groups] = i;
		m->groups[m->n_groups] = (struct filter_group){.rules = m->rules + m->n_groups, .n_rules = 1};
		m->group_ids[m->n_groups++] = i;
	}
}

static bool fill_spans(struct making *m)
{
	struct filter_span *next;
	size_t total = 0;

	for (uint32_t g = 0; g < m->n_groups; g++)
		total += group_spans(m, m->group_ids[g], NULL);
	m->spans = calloc(total + 1, sizeof(*m->spans));
	m->words = calloc(total + 1, sizeof(*m->words));
	if (m->spans == NULL || m->words == NULL)
		return false;
	next = m->spans;
	for (uint32_t g = 0; g < m->n_groups; g++) {
		uint32_t n = group_spans(m, m->group_ids[g], next);

		m->groups[g].spans = next;
		m->groups[g].n_spans = filter_spans_join(next, n, m->words);
		next += n;
	}
	return true;
}

static bool making_begin(struct making *m, uint32_t n_chunks)
{
	const struct filter_config *c = m->config;
	size_t n = (size_t)m->n_restricting + 1;

	m->rules = calloc(n, sizeof(*m->rules));
	m->groups = calloc(n, sizeof(*m->groups));
	m->group_ids = calloc(n, sizeof(*m->group_ids));
	m->others = calloc((size_t)n_chunks * CHUNK_WORDS, sizeof(*m->others));
	if (m->rules == NULL || m->groups == NULL || m->group_ids == NULL || m->others == NULL)
		return false;
	for (uint32_t i = 0; i < c->n_rules; i++) {
		if (!restricts(&c->rules[i], m->field))
			m->others[i / 64] |= UINT64_C(1) << i % 64;
	}
	if (is_list(m->field))
		return group_by_list(m);
	group_by_rule(m);
	return true;
}

static void making_end(struct making *m)
{
	free(m->rules);
	free(m->groups);
	free(m->group_ids);
	free(m->spans);
	free(m->words);
	free(m->others);
}

/* False: out of memory. */
static bool make_field(struct filter *f, const struct filter_config *c, enum field field)
{
	struct making m = {.config = c, .field = field};
	bool made;

	for (uint32_t i = 0; i < c->n_rules; i++)
		m.n_restricting += restricts(&c->rules[i], field);
	if (m.n_restricting == 0)
		return true;
	made = making_begin(&m, f->n_chunks) && fill_spans(&m);
	if (made)
		f->fields[field] = filter_dimension_create(m.groups, m.n_groups, m.others, f->n_chunks);
	making_end(&m);
	return made && f->fields[field] != NULL;
}

struct filter *filter_create(const struct filter_config *c)
{
	struct filter *f = calloc(1, sizeof(*f));
	bool made;

	if (f == NULL)
		return NULL;
	f->n_rules = c->n_rules;
	f->n_chunks = (c->n_rules + CHUNK_RULES - 1) / CHUNK_RULES;
	f->rules = calloc((size_t)c->n_rules + 1, sizeof(*f->rules));
	made = f->rules != NULL;
	for (uint32_t i = 0; made && i < c->n_rules; i++) {
		f->rules[i] = c->rules[i];
		f->rules[i].ports = NULL;
	}
	for (enum field field = 0; made && field < FIELD_COUNT; field++)
		made = make_field(f, c, field);
	if (made)
		return f;
	filter_destroy(f);
	return NULL;
}

void filter_destroy(struct filter *f)
{
	if (f == NULL)
		return;
	for (enum field field = 0; field < FIELD_COUNT; field++)
		filter_dimension_destroy(f->fields[field]);
	free(f->rules);
	free(f);
}

/* ---- matching ---- */

static void field_values(const struct filter_packet *p, uint32_t values[FIELD_COUNT])
{
	values[FIELD_KIND] = kind_value(p->direction == FILTER_IN, p->protocol, p->protocol == ICMP ? p->icmp_type : 0);
	values[FIELD_FROM] = p->from;
	values[FIELD_TO] = p->to;
	values[FIELD_VIA] = p->direction == FILTER_OUT ? p->from : p->to;
	values[FIELD_PORT] = p->has_ports ? p->port : (uint32_t)NO_PORT;
	values[FIELD_FORWARD] = (uint32_t)(p->forward + 1);
}

/* A packet's row in each restricted field. */
struct rows {
	const struct filter_dimension *dimensions[FIELD_COUNT];
	const struct filter_cell *cells[FIELD_COUNT];
	unsigned n;
};

static void find_rows(const struct filter *f, const struct filter_packet *p, struct rows *rows)
{
	uint32_t values[FIELD_COUNT];

	field_values(p, values);
	rows->n = 0;
	for (enum field field = 0; field < FIELD_COUNT; field++) {
		if (f->fields[field] == NULL)
			continue;
		rows->dimensions[rows->n] = f->fields[field];
		rows->cells[rows->n++] = filter_dimension_row(f->fields[field], values[field]);
	}
}

/* The words of chunk `c` that are not zero in any row. */
static uint32_t common_words(const struct rows *rows, uint32_t c)
{
	uint32_t words = rows->cells[0][c].words;

	for (unsigned i = 1; i < rows->n; i++)
		words &= rows->cells[i][c].words;
	return words;
}

/* The words of chunk `c` that have a common bit: one pass over all of them, which the compiler vectorises. */
static uint32_t intersect_chunk(const struct rows *rows, uint32_t c)
{
	uint64_t common[CHUNK_WORDS];
	uint32_t words = 0;

	memcpy(common, filter_dimension_chunk(rows->dimensions[0], rows->cells[0][c].chunk), sizeof(common));
	for (unsigned i = 1; i < rows->n; i++) {
		const uint64_t *chunk = filter_dimension_chunk(rows->dimensions[i], rows->cells[i][c].chunk);

		for (unsigned w = 0; w < CHUNK_WORDS; w++)
			common[w] &= chunk[w];
	}
	for (unsigned w = 0; w < CHUNK_WORDS; w++)
		words |= (uint32_t)(common[w] != 0) << w;
	return words;
}

/* The first rule of chunk `c` that is in every row, among those of `words`, from bit `begin` on; FILTER_NONE: none. */
static int32_t first_common(const struct rows *rows, uint32_t c, uint32_t words, unsigned begin)
{
	enum { MANY = 4 }; /* words: from there on one pass over all is cheaper */

	if (__builtin_popcount(words) > MANY)
		words = intersect_chunk(rows, c);
	for (words &= UINT32_MAX << begin / 64; words != 0; words &= words - 1) {
		unsigned w = (unsigned)__builtin_ctz(words);
		uint64_t bits = w == begin / 64 ? UINT64_MAX << begin % 64 : UINT64_MAX;

		for (unsigned i = 0; i < rows->n && bits != 0; i++)
			bits &= filter_dimension_chunk(rows->dimensions[i], rows->cells[i][c].chunk)[w];
		if (bits != 0)
			return (int32_t)(c * CHUNK_RULES + w * 64 + (unsigned)__builtin_ctzll(bits));
	}
	return FILTER_NONE;
}

int32_t filter_match(const struct filter *f, const struct filter_packet *p, uint32_t begin)
{
	struct rows rows;
	uint32_t words;
	int32_t found = FILTER_NONE;

	if (begin >= f->n_rules)
		return FILTER_NONE;
	find_rows(f, p, &rows);
	if (rows.n == 0)
		return (int32_t)begin;
	for (uint32_t c = begin / CHUNK_RULES; c < f->n_chunks && found == FILTER_NONE; c++) {
		words = common_words(&rows, c);
		if (words != 0)
			found = first_common(&rows, c, words, c == begin / CHUNK_RULES ? begin % CHUNK_RULES : 0);
	}
	return found;
}

uint32_t filter_rule_count(const struct filter *f)
{
	return f->n_rules;
}

const struct filter_rule *filter_rule(const struct filter *f, uint32_t i)
{
	return &f->rules[i];
}

uint64_t filter_bytes(const struct filter *f)
{
	uint64_t bytes = sizeof(*f) + f->n_rules * sizeof(*f->rules);

	for (enum field field = 0; field < FIELD_COUNT; field++) {
		if (f->fields[field] != NULL)
			bytes += filter_dimension_bytes(f->fields[field]);
	}
	return bytes;
}
