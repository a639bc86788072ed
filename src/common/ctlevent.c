/* SPDX-License-Identifier: ISC */
/* Encoding and decoding of events. */
#include "ctlevent.h"

#include <string.h>
#include <strings.h>

static const char *const names[CTL_EVENT_COUNT] = {
#define X(id, name) [id] = (name),
	CTL_EVENT_LIST(X)
#undef X
};

const char *ctl_event_name(uint8_t kind)
{
	return kind < CTL_EVENT_COUNT ? names[kind] : "UNKNOWN";
}

int ctl_event_by_name(const char *name)
{
	for (int i = 0; i < CTL_EVENT_COUNT; i++) {
		if (strcasecmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

bool ctl_event_has_entry(uint8_t kind)
{
	return kind <= CTL_EVENT_DESTROY || kind == CTL_EVENT_REFUSED;
}

bool ctl_put_subscribe(struct ctl_writer *w, const struct ctl_subscribe *s)
{
	size_t begin = ctl_frame_begin(w, CTL_MONITOR);

	ctl_put_u32(w, s->kinds);
	ctl_put_u8(w, s->start);
	ctl_put_u8(w, s->until_end);
	ctl_put_u64(w, s->sequence);
	ctl_put_filter(w, &s->filter);
	return ctl_frame_end(w, begin);
}

bool ctl_get_subscribe(struct ctl_reader *r, struct ctl_subscribe *s)
{
	uint8_t until_end;

	s->kinds = ctl_get_u32(r);
	s->start = ctl_get_u8(r);
	until_end = ctl_get_u8(r);
	s->until_end = until_end == 1;
	s->sequence = ctl_get_u64(r);
	return ctl_get_filter(r, &s->filter) && s->kinds != 0 && (s->kinds & ~(uint32_t)CTL_EVENTS_ALL) == 0 &&
	       s->start < CTL_START_COUNT && until_end <= 1;
}

static void put_block(struct ctl_writer *w, const struct ctl_event *e)
{
	ctl_put_u32(w, e->block.inside);
	ctl_put_u32(w, e->block.outside);
	ctl_put_u16(w, e->block.first);
	ctl_put_u16(w, e->block.last);
}

bool ctl_put_event(struct ctl_writer *w, const struct ctl_event *e)
{
	size_t begin = ctl_frame_begin(w, CTL_R_EVENT);

	ctl_put_u64(w, e->sequence);
	ctl_put_u64(w, e->time_us);
	ctl_put_u8(w, e->kind);
	ctl_put_u8(w, e->has_ended);
	ctl_put_text_max(w, e->reason, CTL_NAME_MAX);
	if (ctl_event_has_entry(e->kind))
		ctl_put_entry_body(w, &e->entry);
	else if (e->kind == CTL_EVENT_MAPPING)
		ctl_put_mapping_body(w, &e->mapping);
	else if (e->kind == CTL_EVENT_BLOCK)
		put_block(w, e);
	else
		ctl_put_text(w, e->text);
	return ctl_frame_end(w, begin);
}

static void get_block(struct ctl_reader *r, struct ctl_event *e)
{
	e->block.inside = ctl_get_u32(r);
	e->block.outside = ctl_get_u32(r);
	e->block.first = ctl_get_u16(r);
	e->block.last = ctl_get_u16(r);
}

bool ctl_get_event(struct ctl_reader *r, struct ctl_event *e)
{
	memset(e, 0, sizeof(*e));
	e->sequence = ctl_get_u64(r);
	e->time_us = ctl_get_u64(r);
	e->kind = ctl_get_u8(r);
	e->has_ended = ctl_get_u8(r) & 1;
	ctl_get_text(r, e->reason, sizeof(e->reason));
	if (e->kind >= CTL_EVENT_COUNT)
		return !r->bad; /* from a later natd: it has no fields known here */
	if (ctl_event_has_entry(e->kind))
		return ctl_get_entry(r, &e->entry);
	if (e->kind == CTL_EVENT_MAPPING)
		return ctl_get_mapping(r, &e->mapping);
	if (e->kind == CTL_EVENT_BLOCK)
		get_block(r, e);
	else
		ctl_get_text(r, e->text, sizeof(e->text));
	return !r->bad;
}

bool ctl_put_lost(struct ctl_writer *w, uint64_t count)
{
	size_t begin = ctl_frame_begin(w, CTL_R_LOST);

	ctl_put_u64(w, count);
	return ctl_frame_end(w, begin);
}

bool ctl_get_lost(struct ctl_reader *r, uint64_t *count)
{
	*count = ctl_get_u64(r);
	return !r->bad;
}

bool ctl_put_mark(struct ctl_writer *w, enum ctl_mark mark, uint64_t next)
{
	size_t begin = ctl_frame_begin(w, CTL_R_MARK);

	ctl_put_u8(w, (uint8_t)mark);
	ctl_put_u64(w, next);
	return ctl_frame_end(w, begin);
}

bool ctl_get_mark(struct ctl_reader *r, uint8_t *mark, uint64_t *next)
{
	*mark = ctl_get_u8(r);
	*next = ctl_get_u64(r);
	return !r->bad;
}
