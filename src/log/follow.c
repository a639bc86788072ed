/* SPDX-License-Identifier: ISC */
/*
 * Copies natd's events to an outlet.
 *
 * Theory of operation. natd is the buffer: it keeps the last limits.events events, numbered. Each event read goes to
 * the outlet at once; while the outlet accepts nothing, nothing is read. `at` is the position read so far. `settled` is
 * the position up to which the outlet's records are safe; the cursor file holds it. If an outlet that `forgets` fails,
 * reading resumes at `settled`.
 *
 * Gaps. natd numbers its events from 1 in each run; its hello names the run (the instance). If the instance is the
 * same, reading continues by number, and natd reports how many events it had to overwrite. If it is another one, all
 * its events are read from 1; the previous instance's log is complete if natd said so when it stopped. If anything is
 * missing, a LOST record says so, and natd's listing is compared with the open entries known to the log (openset.h):
 * what began or ended unseen is logged as found.
 *
 * The comparison (follow_compare.c) waits until all past events have been read. Its results wait a moment longer, until
 * the events that arrived while natd made the listing have been read too.
 */
#include "follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base/log.h"
#include "follow_private.h"

enum { STOP_MS = 1000 };

uint64_t follow_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t follow_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void follow_arm(struct event *timer, unsigned ms)
{
	const struct timeval wait = {ms / 1000, ms % 1000 * 1000};

	event_add(timer, &wait);
}

static void ready(struct follow *f)
{
	if (f->is_ready)
		return;
	f->is_ready = true;
	f->p.on_ready(f->p.ctx);
}

/* `count` 0: the number is unknown. */
static void note_gap(struct follow *f, uint64_t count)
{
	const struct gap g = {.is_there = true, .is_unknown = count == 0, .count = count, .since_us = f->at.time_us};

	follow_add_gap(&f->pending.gap, &g);
	if (count)
		log_warning(SUB_MAIN, "%" PRIu64 " events were overwritten before they were read: raise limits.events",
			    count);
	else
		log_warning(SUB_MAIN, "events are missing, and their number is not known");
	follow_want_comparison(f, false);
	if (!event_pending(f->flush, EV_TIMEOUT, NULL))
		follow_arm(f->flush, 0);
}

/* ---- events from natd ---- */

static void take_event(struct follow *f, const struct ctl_event *e)
{
	struct record r;

	if (e->sequence < f->at.next)
		return;
	f->at.next = e->sequence + 1;
	f->at.time_us = e->time_us;
	link_resume_at(f->link, f->at.next);
	if (e->kind >= CTL_EVENT_COUNT || !record_of_event(&r, e, f->p.has_destinations))
		return;
	openset_note(f->open, &r);
	follow_put(f, &r);
}

static void take_mark(struct follow *f, uint8_t mark, uint64_t next)
{
	f->at.next = next > f->at.next ? next : f->at.next;
	link_resume_at(f->link, f->at.next);
	if (mark == CTL_MARK_STOP)
		f->at.is_complete = true;
	if (mark == CTL_MARK_CAUGHT_UP && f->comparing == COMPARE_WANTED)
		follow_begin_comparison(f);
}

static bool on_record(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_event e;
	struct follow *f = ctx;
	uint64_t number;
	uint8_t mark;

	if (type == CTL_R_LOST) {
		if (!ctl_get_lost(body, &number))
			return false;
		if (number > 0)
			note_gap(f, number);
	} else if (type == CTL_R_MARK) {
		if (!ctl_get_mark(body, &mark, &number))
			return false;
		take_mark(f, mark, number);
	} else if (type == CTL_R_EVENT) {
		if (!ctl_get_event(body, &e))
			return false;
		take_event(f, &e);
	}
	return true;
}

static void begin_log(struct follow *f, const struct ctl_hello *hello)
{
	f->at = (struct cursor){.instance = hello->instance, .next = 1, .target = f->p.target};
	f->settled = f->candidate = f->at;
	f->pending.start = true;
	follow_want_comparison(f, false);
	follow_arm(f->flush, 0);
}

/* The hello comes from another run of natd than the last one. */
static void begin_instance(struct follow *f, const struct ctl_hello *hello, bool keeps)
{
	if (!f->at.is_complete || !keeps)
		note_gap(f, 0);
	follow_want_comparison(f, false);
	f->at.instance = hello->instance;
	f->at.next = 1;
	f->at.is_complete = false;
	f->is_new_instance = true;
	link_resume_at(f->link, 1);
	link_restart(f->link);
}

static void greet(struct follow *f, const struct ctl_hello *hello)
{
	bool keeps = (hello->kept_kinds & f->p.kinds) == f->p.kinds;

	if (!keeps && !f->has_greeted)
		log_warning(SUB_MAIN, "natd's configuration has no matching translation_log: events that occur while "
				      "natd-log is not running will be "
				      "missing; give both programs the same natd.conf");
	if (f->at.instance == 0)
		begin_log(f, hello);
	else if (f->at.instance != hello->instance)
		begin_instance(f, hello, keeps);
	else if (!f->is_new_instance && !keeps)
		note_gap(f, 0);
	else if (!f->has_greeted)
		follow_want_comparison(f, true);
	if (f->at.instance == hello->instance && f->is_new_instance && f->has_greeted)
		f->is_new_instance = false;
	f->has_greeted = true;
}

static void on_change(void *ctx, const struct ctl_hello *hello, const char *why)
{
	struct follow *f = ctx;

	if (hello) {
		log_notice(SUB_MAIN, "following natd %s", hello->daemon);
		greet(f, hello);
	} else {
		log_notice(SUB_MAIN, "no natd at %s (%s): trying again", f->p.socket, why);
		follow_stop_comparison(f);
	}
	ready(f);
}

/* ---- the cursor ---- */

static void follow_save(struct follow *f)
{
	int r;

	if (f->settled.instance == 0 || (cursor_is_same(&f->settled, &f->saved) && !f->cursor_failed))
		return;
	r = cursor_save(f->p.cursor, &f->settled);
	if (r < 0 && !f->cursor_failed)
		log_write(LEVEL_WARNING, SUB_MAIN, -r,
			  "cannot save the position in natd's events to the --state file, trying again");
	f->cursor_failed = r < 0;
	if (r == 0)
		f->saved = f->settled;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct follow *f = ctx;

	(void)fd, (void)what;
	if (f->failed_us == 0)
		follow_settle(f);
	follow_save(f);
	follow_arm(f->tick, FOLLOW_TICK_MS);
}

/* ---- start and stop ---- */

static bool make_events(struct follow *f)
{
	f->tick = evtimer_new(f->p.base, on_tick, f);
	f->flush = evtimer_new(f->p.base, follow_on_flush, f);
	f->compare_end = evtimer_new(f->p.base, follow_on_compare_end, f);
	f->open = openset_create();
	return f->tick && f->flush && f->compare_end && f->open;
}

static void destroy(struct follow *f)
{
	query_cancel(f->listing);
	link_close(f->link);
	if (f->tick)
		event_free(f->tick);
	if (f->flush)
		event_free(f->flush);
	if (f->compare_end)
		event_free(f->compare_end);
	openset_destroy(f->open);
	free(f);
}

static void load(struct follow *f)
{
	struct cursor c;

	if (!cursor_load(f->p.cursor, &c))
		log_warning(SUB_MAIN, "the --state file is damaged: the log starts over at natd's oldest event");
	if (c.instance != 0 && c.target != f->p.target) {
		log_notice(
			SUB_MAIN,
			"translation_log has another target than before: the log starts there at natd's oldest event");
		c = (struct cursor){0};
	}
	f->at = f->settled = f->candidate = f->saved = c;
}

struct follow *follow_start(const struct follow_params *p)
{
	struct ctl_subscribe subscribe = {.kinds = p->kinds, .start = CTL_START_OLDEST};
	struct follow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->p = *p;
	f->calls = (struct link_calls){on_record, on_change, f};
	load(f);
	if (f->at.instance != 0) {
		subscribe.start = CTL_START_SEQUENCE;
		subscribe.sequence = f->at.next;
	}
	if (make_events(f))
		f->link = link_open(p->base, p->socket, &subscribe, &f->calls);
	if (!f->link) {
		destroy(f);
		return NULL;
	}
	follow_arm(f->tick, FOLLOW_TICK_MS);
	return f;
}

void follow_reopen(struct follow *f)
{
	struct outlet *o = f->p.outlet;
	int r;

	if (!o->ops->reopen)
		return;
	follow_hand_over(f);
	if (o->waiting == 0)
		follow_settle(f);
	r = o->ops->reopen(o);
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_MAIN, -r, "cannot reopen %s: the log continues in the old file", o->name);
	else
		log_info(SUB_MAIN, "%s: reopened", o->name);
	follow_save(f);
}

static bool is_done(struct follow *f)
{
	struct outlet *o = f->p.outlet;
	int r;

	follow_put_extras(f);
	r = o->ops->flush(o);
	if (r == 0)
		r = o->ops->settle(o);
	if (r == 0) {
		f->settled = f->at;
		return true;
	}
	return r != -EAGAIN;
}

void follow_stop(struct follow *f)
{
	const struct timespec wait = {0, FOLLOW_BUSY_MS * 1000000L};
	uint64_t until = follow_now_ms() + STOP_MS;

	if (!f)
		return;
	while (!f->failed_us && !is_done(f) && follow_now_ms() < until)
		nanosleep(&wait, NULL);
	follow_save(f);
	destroy(f);
}
