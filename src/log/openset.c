/* SPDX-License-Identifier: ISC */
/* The set of open entries, see openset.h. */
#include "openset.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_SIZE = 1 << 10 };

enum mark { FREE, LISTED, OLD, NEW, FOUND, GONE };

struct place {
	uint64_t id;
	uint64_t since_us;
	uint32_t inside, outside, remote;
	uint16_t inside_port, outside_port, remote_port; /* for a block: first, last, unused */
	uint8_t protocol;
	uint8_t kind; /* enum record_kind */
	uint8_t mark; /* enum mark */
};
_Static_assert(sizeof(struct place) == 40, "OPENSET_MAX entries must fit into the memory budget");

struct openset {
	struct place *at;
	uint32_t size; /* a power of two */
	uint32_t used; /* number of places that are not FREE */
	uint32_t next; /* where openset_compare_next() continues */
	bool is_comparing;
	uint64_t seed;
};

struct openset *openset_create(void)
{
	struct openset *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->at = calloc(FIRST_SIZE, sizeof(*s->at));
	s->size = FIRST_SIZE;
	if (getrandom(&s->seed, sizeof(s->seed), 0) < 0)
		s->seed = (uint64_t)(uintptr_t)s;
	if (s->at)
		return s;
	free(s);
	return NULL;
}

void openset_destroy(struct openset *s)
{
	if (!s)
		return;
	free(s->at);
	free(s);
}

uint32_t openset_count(const struct openset *s)
{
	return s->used;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15;
	return h ^ h >> 29;
}

static uint32_t home(const struct openset *s, const struct place *p)
{
	uint64_t h = mix(s->seed, p->id);

	h = mix(h, (uint64_t)p->inside << 32 | p->outside);
	h = mix(h, (uint64_t)p->inside_port << 32 | (uint64_t)p->outside_port << 16 | p->protocol);
	return (uint32_t)(h >> 32) & (s->size - 1);
}

static bool is_same(const struct place *a, const struct place *b)
{
	return a->id == b->id && a->inside == b->inside && a->outside == b->outside &&
	       a->inside_port == b->inside_port && a->outside_port == b->outside_port && a->protocol == b->protocol;
}

/* The entry's place, or the free place where it belongs. */
static struct place *find(const struct openset *s, const struct place *key)
{
	uint32_t i = home(s, key);

	while (s->at[i].mark != FREE && !is_same(&s->at[i], key))
		i = (i + 1) & (s->size - 1);
	return &s->at[i];
}

/* Moves the table to another size, without the GONE entries. False: out of memory. */
static bool rebuild(struct openset *s, uint32_t size)
{
	struct openset other = *s;

	other.size = size;
	other.used = 0;
	other.at = calloc(size, sizeof(*other.at));
	if (!other.at)
		return false;
	for (uint32_t i = 0; i < s->size; i++) {
		if (s->at[i].mark == FREE || (s->at[i].mark == GONE && !s->is_comparing))
			continue;
		*find(&other, &s->at[i]) = s->at[i];
		other.used++;
	}
	free(s->at);
	other.next = 0;
	*s = other;
	return true;
}

static bool has_room(struct openset *s)
{
	if (s->used < s->size / 4 * 3)
		return true;
	return s->used < OPENSET_MAX && rebuild(s, s->size * 2);
}

/* Frees a place, and moves up later entries of the probe sequence. */
static void take_out(struct openset *s, struct place *p)
{
	uint32_t hole = (uint32_t)(p - s->at);
	uint32_t i = hole;

	for (;;) {
		i = (i + 1) & (s->size - 1);
		if (s->at[i].mark == FREE)
			break;
		if (((i - home(s, &s->at[i])) & (s->size - 1)) < ((i - hole) & (s->size - 1)))
			continue;
		s->at[hole] = s->at[i];
		hole = i;
	}
	s->at[hole].mark = FREE;
	s->used--;
}

static struct place place_of(const struct record *r)
{
	bool is_block = r->kind == RECORD_BLOCK;

	return (struct place){
		.id = r->id,
		.since_us = r->since_us ? r->since_us : r->time_us,
		.inside = r->inside.address,
		.outside = r->outside.address,
		.remote = r->remote.address,
		.inside_port = is_block ? r->first : r->inside.port,
		.outside_port = is_block ? r->last : r->outside.port,
		.remote_port = r->remote.port,
		.protocol = r->protocol,
		.kind = (uint8_t)r->kind,
	};
}

static struct record record_of(const struct place *p)
{
	struct record r = {
		.since_us = p->since_us,
		.kind = (enum record_kind)p->kind,
		.protocol = p->protocol,
		.inside.address = p->inside,
		.outside.address = p->outside,
		.remote = {p->remote, p->remote_port},
		.id = p->id,
	};

	if (r.kind == RECORD_BLOCK) {
		r.first = p->inside_port;
		r.last = p->outside_port;
	} else {
		r.inside.port = p->inside_port;
		r.outside.port = p->outside_port;
	}
	return r;
}

static void enter(struct openset *s, struct place *p, const struct place *new, enum mark mark)
{
	if (p->mark == FREE) {
		if (!has_room(s))
			return;
		p = find(s, new);
		s->used++;
	}
	*p = *new;
	p->mark = (uint8_t)mark;
}

void openset_note(struct openset *s, struct record *r)
{
	struct place key = place_of(r);
	struct place *p = find(s, &key);

	if (!r->has_ended) {
		enter(s, p, &key, NEW);
		return;
	}
	if (p->mark != FREE && p->mark != GONE && r->since_us == 0)
		r->since_us = p->since_us;
	if (s->is_comparing)
		enter(s, p, &key, GONE);
	else if (p->mark != FREE)
		take_out(s, p);
}

void openset_compare_begin(struct openset *s)
{
	for (uint32_t i = 0; i < s->size; i++) {
		if (s->at[i].mark != FREE)
			s->at[i].mark = OLD;
	}
	s->is_comparing = true;
	s->next = 0;
}

void openset_compare(struct openset *s, const struct record *r)
{
	struct place key = place_of(r);
	struct place *p = find(s, &key);

	assert(s->is_comparing);
	if (p->mark == OLD)
		p->mark = LISTED;
	if (p->mark != FREE)
		return;
	key.since_us = r->since_us; /* 0: the record of its end will not say when it began */
	enter(s, p, &key, FOUND);
}

/* If memory is short, GONE entries keep their places until the next time. */
static void finish(struct openset *s)
{
	s->is_comparing = false;
	rebuild(s, s->size);
}

bool openset_compare_next(struct openset *s, struct record *out)
{
	assert(s->is_comparing);
	for (; s->next < s->size; s->next++) {
		struct place *p = &s->at[s->next];

		if (p->mark != FOUND && p->mark != OLD)
			continue;
		*out = record_of(p);
		out->is_found = true;
		out->has_ended = p->mark == OLD;
		p->mark = p->mark == OLD ? GONE : LISTED;
		return true;
	}
	finish(s);
	return false;
}

void openset_compare_quietly(struct openset *s)
{
	assert(s->is_comparing);
	finish(s);
}

void openset_compare_abort(struct openset *s)
{
	assert(s->is_comparing);
	for (uint32_t i = 0; i < s->size; i++) {
		if (s->at[i].mark == FOUND)
			s->at[i].mark = GONE;
	}
	finish(s);
}
