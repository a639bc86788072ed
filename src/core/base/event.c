/* SPDX-License-Identifier: ISC */
/* Rings of events, and names of reasons and types. */
#include "event.h"

#include <assert.h>

static const char *const end_names[] = {
#define X(id, name) [id] = (name),
	SESSION_END_LIST(X)
#undef X
};

static const char *const type_names[] = {
#define X(id, name) [id] = (name),
	EVENT_TYPE_LIST(X)
#undef X
};

const char *session_end_name(enum session_end e)
{
	return (unsigned)e < SESSION_END_COUNT ? end_names[e] : "unknown";
}

const char *event_type_name(enum event_type t)
{
	return (unsigned)t < EVENT_TYPE_COUNT ? type_names[t] : "unknown";
}

size_t events_need(uint32_t size)
{
	return ((size_t)size + EVENTS_REFUSED) * sizeof(struct event);
}

void events_init(struct events *e, void *memory, uint32_t size, uint64_t first)
{
	struct event *at = memory;
	uint32_t refused = at != NULL ? EVENTS_REFUSED : 0;

	assert(first > 0);
	if (at == NULL)
		size = 0;
	*e = (struct events){
		.log = {.at = at, .size = size, .next = first, .first = first},
		.refused = {.at = at != NULL ? at + size : NULL, .size = refused, .next = first, .first = first},
	};
	events_want(e, 0);
}

void events_want(struct events *e, uint32_t types)
{
	e->wanted = e->log.size > 0 ? types | 1u << EVENT_DESTROY : 0;
}

/* A token bucket that holds one second's worth. */
static bool may_refuse(struct events *e)
{
	if (e->now_ms - e->refused_at_ms >= 1000) {
		e->refused_at_ms = e->now_ms;
		e->refused_left = EVENTS_REFUSED_SECOND;
	}
	if (e->refused_left == 0) {
		e->refused.dropped++;
		return false;
	}
	e->refused_left--;
	return true;
}

struct event *event_claim(struct events *e, enum event_type type)
{
	struct event_ring *r = type == EVENT_REFUSED ? &e->refused : &e->log;
	struct event *to;

	assert((unsigned)type < EVENT_TYPE_COUNT);
	if (r->size == 0 || (type == EVENT_REFUSED && !may_refuse(e)))
		return NULL;
	to = &r->at[r->head];
	r->head = r->head + 1 < r->size ? r->head + 1 : 0;
	*to = (struct event){.seq = r->next++, .time_ms = e->now_ms, .type = (uint8_t)type};
	return to;
}

void event_append(struct events *e, const struct event *ev)
{
	struct event *to = event_claim(e, (enum event_type)ev->type), numbered;

	if (to == NULL)
		return;
	numbered = *ev;
	numbered.seq = to->seq;
	numbered.time_ms = to->time_ms;
	*to = numbered;
}

static uint32_t position(const struct event_ring *r, uint64_t seq)
{
	uint32_t back = (uint32_t)(r->next - seq); /* 1 to size */

	return r->head >= back ? r->head - back : r->head + r->size - back;
}

uint32_t events_read(const struct event_ring *r, uint64_t *cursor, struct event *out, uint32_t max, uint64_t *lost)
{
	uint64_t begin = events_begin(r);
	uint32_t n = 0;

	*lost = 0;
	if (*cursor > r->next)
		*cursor = r->next;
	if (*cursor < begin) {
		*lost = begin - *cursor;
		*cursor = begin;
	}
	while (n < max && *cursor < r->next)
		out[n++] = r->at[position(r, (*cursor)++)];
	return n;
}
