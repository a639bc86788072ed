/* SPDX-License-Identifier: ISC */
/* Events for control clients, see stream.h. */
#include "stream.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "alarm.h"
#include "core/base/event.h"
#include "core/nat/nat.h"
#include "ctlclient.h"
#include "entry.h"

enum { EVENTS_AT_ONCE = 32, MARK_EVERY = 256 };

/* ---- the core's events in terms of the protocol ---- */

static const uint8_t kinds[EVENT_TYPE_COUNT] = {
	[EVENT_NEW] = CTL_EVENT_NEW,
	[EVENT_UPDATE] = CTL_EVENT_UPDATE,
	[EVENT_DESTROY] = CTL_EVENT_DESTROY,
	[EVENT_MAPPING_NEW] = CTL_EVENT_MAPPING,
	[EVENT_MAPPING_FREED] = CTL_EVENT_MAPPING,
	[EVENT_BLOCK_NEW] = CTL_EVENT_BLOCK,
	[EVENT_BLOCK_FREED] = CTL_EVENT_BLOCK,
	[EVENT_BACKEND] = CTL_EVENT_BACKEND,
	[EVENT_ALARM] = CTL_EVENT_ALARM,
	[EVENT_CONFIG] = CTL_EVENT_CONFIG,
	[EVENT_REFUSED] = CTL_EVENT_REFUSED,
};

uint32_t ctl_event_types(uint32_t wanted)
{
	uint32_t types = 0;

	for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++) {
		if (wanted >> kinds[type] & 1)
			types |= 1u << type;
	}
	return types;
}

static void fill_mapping(struct ctl_event *e, const struct event *ev)
{
	e->mapping = (struct ctl_mapping){
		.protocol = ctl_wire_protocol((enum nat_class)(ev->kind & SESSION_KIND_CLASS), ev->int_port),
		.inside = {ev->int_addr, ev->int_port},
		.outside = {ev->ext_addr, ev->ext_port},
		.remote = {ev->rem_addr, ev->rem_port},
	};
}

static void fill_text(struct ctl_event *e, const struct event *ev)
{
	snprintf(e->text, sizeof(e->text), "%.*s", (int)sizeof(ev->text), ev->text);
	e->has_ended = ev->flags & EVENT_HAS_ENDED;
	if (e->kind == CTL_EVENT_ALARM && ev->reason != ALARM_FINDING)
		snprintf(e->reason, sizeof(e->reason), "%s", alarm_name(ev->reason));
	else if (e->kind == CTL_EVENT_ALARM)
		snprintf(e->reason, sizeof(e->reason), "%.*s", (int)strcspn(e->text, ":"), e->text);
}

void ctl_fill_event(struct ctl_event *e, struct nat *nat, const struct event *ev, uint64_t now_ms, uint64_t real_us)
{
	memset(e, 0, sizeof(*e));
	e->sequence = ev->seq;
	e->time_us = real_us - (now_ms - ev->time_ms) * 1000;
	e->kind = kinds[ev->type];
	if (ev->type == EVENT_DESTROY)
		snprintf(e->reason, sizeof(e->reason), "%s", session_end_name((enum session_end)ev->reason));
	if (ev->type == EVENT_REFUSED)
		snprintf(e->reason, sizeof(e->reason), "%s", nat_reason_name((enum nat_reason)ev->reason));
	if (ctl_event_has_entry(e->kind)) {
		ctl_fill_event_entry(&e->entry, nat, ev);
	} else if (e->kind == CTL_EVENT_MAPPING) {
		fill_mapping(e, ev);
		e->has_ended = ev->type == EVENT_MAPPING_FREED;
	} else if (e->kind == CTL_EVENT_BLOCK) {
		e->block.inside = ev->int_addr;
		e->block.outside = ev->ext_addr;
		e->block.first = ev->ext_port;
		e->block.last = ev->rem_port;
		e->has_ended = ev->type == EVENT_BLOCK_FREED;
	} else {
		fill_text(e, ev);
	}
}

/* ---- the job ---- */

uint64_t ctl_real_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void ctl_begin_monitor(struct ctl_job *j, const struct ctl_env *env)
{
	const struct ctl_subscribe *s = &j->args.subscribe;
	const struct events *e = nat_events(env->nat);

	j->event_cursor = s->start == CTL_START_NOW	 ? events_end(&e->log)
			  : s->start == CTL_START_OLDEST ? events_begin(&e->log)
							 : s->sequence;
	j->refused_cursor = s->start == CTL_START_OLDEST ? events_begin(&e->refused) : events_end(&e->refused);
}

static bool is_wanted(const struct ctl_subscribe *s, const struct ctl_event *e)
{
	if (!(s->kinds >> e->kind & 1))
		return false;
	if (s->filter.criteria == 0)
		return true;
	return ctl_event_has_entry(e->kind) && ctl_filter_matches(&s->filter, &e->entry);
}

/* Sends the next events of one ring, at most `max`; returns how many were read. */
static uint32_t send_events(struct ctl_job *j, const struct ctl_turn *t, const struct event_ring *ring,
			    uint64_t *cursor, uint32_t max)
{
	struct event events[EVENTS_AT_ONCE];
	uint64_t real_us = ctl_real_now_us();
	struct ctl_event e;
	uint64_t lost;
	uint32_t n = events_read(ring, cursor, events, max < EVENTS_AT_ONCE ? max : EVENTS_AT_ONCE, &lost);

	if (lost > 0 && !j->args.subscribe.until_end) {
		nat_events(t->env->nat)->lost += lost;
		ctl_put_lost(t->w, lost);
	}
	for (uint32_t i = 0; i < n; i++) {
		ctl_fill_event(&e, t->env->nat, &events[i], t->now_ms, real_us);
		if (!is_wanted(&j->args.subscribe, &e))
			continue;
		ctl_put_event(t->w, &e);
		j->told_cursor = *cursor;
		j->count++;
	}
	return n;
}

/* Room for EVENTS_AT_ONCE events of sessions, or for one of any kind and a loss. */
static bool has_room(const struct ctl_writer *w)
{
	return w->size - w->len >= 2 * CTL_RECORD_MAX + EVENTS_AT_ONCE * 160;
}

static uint32_t send_some(struct ctl_job *j, const struct ctl_turn *t, uint32_t max)
{
	const struct events *e = nat_events(t->env->nat);
	uint32_t n = 0;

	if (j->args.subscribe.kinds & ~(1u << CTL_EVENT_REFUSED))
		n = send_events(j, t, &e->log, &j->event_cursor, max);
	if (j->args.subscribe.kinds & 1u << CTL_EVENT_REFUSED)
		n += send_events(j, t, &e->refused, &j->refused_cursor, max);
	return n;
}

/* For a reader that needs its position, since not every event is sent to it. */
static void mark_place(struct ctl_job *j, struct ctl_writer *w)
{
	const struct ctl_subscribe *s = &j->args.subscribe;

	if (s->start == CTL_START_NOW || s->until_end ||
	    (j->is_at_end && j->event_cursor - j->told_cursor < MARK_EVERY))
		return;
	ctl_put_mark(w, j->is_at_end ? CTL_MARK_PLACE : CTL_MARK_CAUGHT_UP, j->event_cursor);
	j->told_cursor = j->event_cursor;
	j->is_at_end = true;
}

void ctl_slice_monitor(struct ctl_job *j, const struct ctl_turn *t)
{
	uint32_t visits = t->visits;

	while (visits > 0 && has_room(t->w)) {
		uint32_t n = send_some(j, t, visits);

		if (n == 0) {
			mark_place(j, t->w);
			j->is_waiting = true;
			j->is_done = j->args.subscribe.until_end;
			return;
		}
		visits -= n < visits ? n : visits;
	}
}
