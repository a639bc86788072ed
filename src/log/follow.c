/* SPDX-License-Identifier: ISC */
/*
 * From natd's events to an outlet.
 *
 * Theory of operation. natd is the buffer: it keeps the last limits.events events, numbered. What is read goes to the outlet at
 * once; while that takes nothing, nothing is read. `at` is the place that was read to, `settled` the place up to which the
 * outlet's records are safe; the latter is on the disk. After an error of an outlet that forgets, reading begins again at `settled`.
 *
 * What may be missing. natd numbers its events from 1 in each run, which its hello names (the instance). The same instance: events
 * are read on by number, and natd says how many it had to overwrite. Another one: all of its events are read from 1, and the
 * instance before is complete if natd said so when it stopped. If anything is missing, a record says so, and natd's listing is
 * compared with what is open as far as is known (openset.h): so the log has what began and ended meanwhile, as found.
 *
 * The comparison waits until the events of the past have been read, and its outcome a moment longer, until events that came
 * while natd made the listing have been read too.
 */
#include "follow.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/link.h"
#include "daemon/base/log.h"
#include "openset.h"

enum {
	TICK_MS = 1000,
	BUSY_MS = 20,
	COMPARE_MS = 500,
	BUSY_TOLD_MS = 5000,
	STOP_MS = 1000,
	LISTING_PATIENCE_MS = 60000
};

struct gap {
	bool is_there, is_unknown;
	uint64_t count, since_us;
};

/* Records that no event stands behind; after an error they have to be made once more. */
struct extra {
	bool start;
	struct gap gap;
	bool found;
};

enum comparing { COMPARE_NOT, COMPARE_WANTED, COMPARE_LISTING, COMPARE_WAITING, COMPARE_TELLING };

struct follow {
	struct follow_params p;
	struct link *link;
	struct link_calls calls;
	struct openset *open;
	struct cursor at, candidate, settled, saved;
	struct extra pending, unsettled;
	bool is_new_instance; /* its events are read from the first on, so that nothing is missing at the hello */
	bool has_greeted;     /* in this process */
	bool is_ready;
	bool is_paused;
	bool cursor_failed;

	enum comparing comparing;
	bool compares_quietly;
	struct query *listing;
	struct event *compare_end;

	struct event *tick, *flush;
	uint64_t busy_ms;   /* since when the outlet makes it wait; 0: it does not */
	uint64_t failed_us; /* since when it fails, by the clock on the wall; 0: it does not */
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void arm(struct event *timer, unsigned ms)
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

/* ---- to the outlet ---- */

static void add_gap(struct gap *to, const struct gap *g)
{
	if (!g->is_there)
		return;
	if (!to->is_there || (g->since_us && g->since_us < to->since_us))
		to->since_us = g->since_us;
	to->is_there = true;
	to->is_unknown |= g->is_unknown;
	to->count += g->count;
}

static void put_extras(struct follow *f)
{
	struct record r = {.kind = RECORD_START, .time_us = now_us()};
	const struct gap *g = &f->pending.gap;

	if (f->pending.start)
		f->p.outlet->ops->put(f->p.outlet, &r);
	f->unsettled.start |= f->pending.start;
	if (g->is_there) {
		r.kind = RECORD_LOST;
		r.since_us = g->since_us;
		r.count = g->is_unknown ? 0 : g->count;
		f->p.outlet->ops->put(f->p.outlet, &r);
		add_gap(&f->unsettled.gap, g);
	}
	f->pending = (struct extra){0};
}

static void pause_link(struct follow *f, bool is_paused)
{
	if (f->is_paused == is_paused)
		return;
	f->is_paused = is_paused;
	if (is_paused)
		link_pause(f->link);
	else
		link_unpause(f->link);
}

/* Records since `settled` may not have arrived: all of them once more. */
static void rewind_to_settled(struct follow *f)
{
	f->pending.start |= f->unsettled.start;
	add_gap(&f->pending.gap, &f->unsettled.gap);
	if (f->unsettled.found)
		add_gap(&f->pending.gap,
			&(struct gap){.is_there = true, .is_unknown = true, .since_us = f->settled.time_us});
	f->unsettled = (struct extra){0};
	f->at = f->candidate = f->settled;
	link_resume_at(f->link, f->at.next);
	link_restart(f->link);
}

static void fail(struct follow *f, int err)
{
	char since[RECORD_TIME_SIZE];

	if (f->failed_us == 0) {
		f->failed_us = now_us();
		log_write(LEVEL_WARNING, SUB_MAIN, err,
			  "%s takes no records since %s: trying again, while natd keeps the last limits.events events",
			  f->p.outlet->name, record_time(since, f->failed_us));
	}
	pause_link(f, true);
	if (f->p.outlet->ops->forgets)
		rewind_to_settled(f);
	arm(f->flush, TICK_MS);
}

static void recover(struct follow *f)
{
	if (f->failed_us)
		log_notice(SUB_MAIN, "%s takes records again, after %" PRIu64 " s", f->p.outlet->name,
			   (now_us() - f->failed_us) / 1000000);
	f->failed_us = 0;
	f->busy_ms = 0;
	pause_link(f, false);
}

static void wait_for_outlet(struct follow *f)
{
	if (f->busy_ms == 0)
		f->busy_ms = now_ms();
	if (f->p.outlet->waiting >= OUTLET_HIGH)
		pause_link(f, true);
	if (f->failed_us == 0 && now_ms() - f->busy_ms >= BUSY_TOLD_MS) {
		fail(f, EAGAIN);
		return;
	}
	arm(f->flush, f->failed_us ? TICK_MS : BUSY_MS);
}

static void tell_found(struct follow *f);

static void hand_over(struct follow *f)
{
	int r;

	if (!f->failed_us || !f->p.outlet->ops->forgets)
		put_extras(f);
	r = f->p.outlet->ops->flush(f->p.outlet);
	if (r == -EAGAIN) {
		wait_for_outlet(f);
		return;
	}
	if (r < 0) {
		fail(f, -r);
		return;
	}
	recover(f);
	if (f->pending.start || f->pending.gap.is_there)
		arm(f->flush, 0);
	if (f->comparing == COMPARE_TELLING)
		tell_found(f);
}

static void on_flush(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	hand_over(ctx);
}

static void put(struct follow *f, const struct record *r)
{
	put_extras(f);
	f->p.outlet->ops->put(f->p.outlet, r);
	if (f->p.outlet->waiting >= OUTLET_HIGH && f->busy_ms == 0 && f->failed_us == 0)
		hand_over(f);
	else if (!event_pending(f->flush, EV_TIMEOUT, NULL))
		arm(f->flush, 0);
}

/* ---- what natd did unseen ---- */

static bool read_listing(const struct follow *f, uint8_t type, struct ctl_reader *body, struct record *r)
{
	struct ctl_mapping m;
	struct ctl_entry e;
	struct ctl_block b;

	if (type == CTL_R_MAPPING && ctl_get_mapping(body, &m)) {
		r->kind = RECORD_MAPPING;
		r->protocol = m.protocol;
		r->inside = m.inside;
		r->outside = m.outside;
		return true;
	}
	if (type == CTL_R_ENTRY && ctl_get_entry(body, &e)) {
		r->kind = RECORD_SESSION;
		r->since_us = now_us() - (uint64_t)e.age_s * 1000000;
		r->protocol = e.protocol;
		r->inside = e.inside;
		r->outside = e.outside;
		if (f->p.has_destinations)
			r->remote = e.remote;
		r->id = e.id;
		return true;
	}
	if (type != CTL_R_BLOCK || !ctl_get_block(body, &b) || b.is_fixed)
		return false;
	r->kind = RECORD_BLOCK;
	r->since_us = now_us() - (uint64_t)b.age_s * 1000000;
	r->inside.address = b.inside;
	r->outside.address = b.outside;
	r->first = b.first;
	r->last = b.last;
	return true;
}

static bool on_listed(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct follow *f = ctx;
	struct record r = {0};

	if (read_listing(f, type, body, &r))
		openset_compare(f->open, &r);
	return true;
}

static void on_listing_end(void *ctx, const struct query_result *r)
{
	struct follow *f = ctx;

	f->listing = NULL;
	if (r->outcome == QUERY_DONE) {
		f->comparing = COMPARE_WAITING;
		arm(f->compare_end, COMPARE_MS);
		return;
	}
	openset_compare_abort(f->open);
	f->comparing = COMPARE_WANTED; /* with the next connection */
}

static void begin_comparison(struct follow *f)
{
	const struct query_call call = {
		.type = f->p.what == TLOG_SESSIONS ? CTL_LIST
			: f->p.what == TLOG_BLOCKS ? CTL_BLOCKS
						   : CTL_MAPPINGS,
		.patience_ms = LISTING_PATIENCE_MS,
		.on_record = on_listed,
		.on_end = on_listing_end,
		.ctx = f,
	};
	static const struct ctl_filter all;
	struct query_call list = call;

	if (call.type == CTL_LIST)
		list.filter = &all;
	f->listing = query_start(f->p.base, f->p.socket, &list);
	if (!f->listing)
		return;
	openset_compare_begin(f->open);
	f->comparing = COMPARE_LISTING;
}

static void stop_comparison(struct follow *f)
{
	if (f->comparing < COMPARE_LISTING)
		return;
	query_cancel(f->listing);
	f->listing = NULL;
	event_del(f->compare_end);
	openset_compare_abort(f->open);
	f->comparing = COMPARE_WANTED;
}

static void tell_found(struct follow *f)
{
	struct record r;

	while (f->p.outlet->waiting < OUTLET_HIGH && f->failed_us == 0) {
		if (!openset_compare_next(f->open, &r)) {
			f->comparing = COMPARE_NOT;
			return;
		}
		r.time_us = now_us();
		f->unsettled.found = true;
		put_extras(f);
		f->p.outlet->ops->put(f->p.outlet, &r);
		if (!event_pending(f->flush, EV_TIMEOUT, NULL))
			arm(f->flush, 0);
	}
}

static void on_compare_end(evutil_socket_t fd, short what, void *ctx)
{
	struct follow *f = ctx;

	(void)fd, (void)what;
	if (f->compares_quietly) {
		openset_compare_quietly(f->open);
		f->comparing = COMPARE_NOT;
		return;
	}
	f->comparing = COMPARE_TELLING;
	tell_found(f);
}

static void want_comparison(struct follow *f, bool quietly)
{
	f->compares_quietly = quietly && (f->comparing == COMPARE_NOT || f->compares_quietly);
	if (f->comparing == COMPARE_NOT)
		f->comparing = COMPARE_WANTED;
}

/* `count` 0: nobody knows how many. */
static void lose(struct follow *f, uint64_t count)
{
	const struct gap g = {.is_there = true, .is_unknown = count == 0, .count = count, .since_us = f->at.time_us};

	add_gap(&f->pending.gap, &g);
	if (count)
		log_warning(SUB_MAIN, "%" PRIu64 " events were overwritten before they were read: raise limits.events",
			    count);
	else
		log_warning(SUB_MAIN, "events are missing, and their number is not known");
	want_comparison(f, false);
	if (!event_pending(f->flush, EV_TIMEOUT, NULL))
		arm(f->flush, 0);
}

/* ---- from natd ---- */

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
	put(f, &r);
}

static void take_mark(struct follow *f, uint8_t mark, uint64_t next)
{
	f->at.next = next > f->at.next ? next : f->at.next;
	link_resume_at(f->link, f->at.next);
	if (mark == CTL_MARK_STOP)
		f->at.is_complete = true;
	if (mark == CTL_MARK_CAUGHT_UP && f->comparing == COMPARE_WANTED)
		begin_comparison(f);
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
			lose(f, number);
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
	want_comparison(f, false);
	arm(f->flush, 0);
}

/* Another natd than the one that was read from last. */
static void begin_instance(struct follow *f, const struct ctl_hello *hello, bool keeps)
{
	if (!f->at.is_complete || !keeps)
		lose(f, 0);
	want_comparison(f, false);
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
		log_warning(SUB_MAIN, "natd's own configuration has no such translation_log: what happens while "
				      "natd-log is away will be "
				      "missing; let both read the same file");
	if (f->at.instance == 0)
		begin_log(f, hello);
	else if (f->at.instance != hello->instance)
		begin_instance(f, hello, keeps);
	else if (!f->is_new_instance && !keeps)
		lose(f, 0);
	else if (!f->has_greeted)
		want_comparison(f, true);
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
		stop_comparison(f);
	}
	ready(f);
}

/* ---- the cursor ---- */

static bool is_same_place(const struct cursor *a, const struct cursor *b)
{
	return a->instance == b->instance && a->next == b->next && a->is_complete == b->is_complete;
}

static void save(struct follow *f)
{
	int r;

	if (f->settled.instance == 0 || (is_same_place(&f->settled, &f->saved) && !f->cursor_failed))
		return;
	r = cursor_save(f->p.cursor, &f->settled);
	if (r < 0 && !f->cursor_failed)
		log_write(LEVEL_WARNING, SUB_MAIN, -r,
			  "the place in natd's events cannot be written down: trying again");
	f->cursor_failed = r < 0;
	if (r == 0)
		f->saved = f->settled;
}

static void settle(struct follow *f)
{
	int r = f->p.outlet->waiting > 0 ? -EAGAIN : f->p.outlet->ops->settle(f->p.outlet);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		fail(f, -r);
		return;
	}
	f->settled = f->p.outlet->ops->settles_late ? f->candidate : f->at;
	if (!f->p.outlet->ops->settles_late || is_same_place(&f->candidate, &f->at))
		f->unsettled = (struct extra){0};
	f->candidate = f->at;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct follow *f = ctx;

	(void)fd, (void)what;
	if (f->failed_us == 0)
		settle(f);
	save(f);
	arm(f->tick, TICK_MS);
}

/* ---- the whole ---- */

static bool make_events(struct follow *f)
{
	f->tick = evtimer_new(f->p.base, on_tick, f);
	f->flush = evtimer_new(f->p.base, on_flush, f);
	f->compare_end = evtimer_new(f->p.base, on_compare_end, f);
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
		log_warning(SUB_MAIN, "the file with the place in natd's events is damaged: the log begins again");
	if (c.instance != 0 && c.target != f->p.target) {
		log_notice(SUB_MAIN, "the log goes to another place than before: it begins there");
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
	arm(f->tick, TICK_MS);
	return f;
}

void follow_reopen(struct follow *f)
{
	struct outlet *o = f->p.outlet;
	int r;

	if (!o->ops->reopen)
		return;
	hand_over(f);
	if (o->waiting == 0)
		settle(f);
	r = o->ops->reopen(o);
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_MAIN, -r, "%s cannot be opened again: the file before goes on", o->name);
	else
		log_info(SUB_MAIN, "%s: opened again", o->name);
	save(f);
}

static bool is_done(struct follow *f)
{
	struct outlet *o = f->p.outlet;
	int r;

	put_extras(f);
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
	const struct timespec wait = {0, BUSY_MS * 1000000L};
	uint64_t until = now_ms() + STOP_MS;

	if (!f)
		return;
	while (!f->failed_us && !is_done(f) && now_ms() < until)
		nanosleep(&wait, NULL);
	save(f);
	destroy(f);
}
