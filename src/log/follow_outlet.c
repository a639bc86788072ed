/* SPDX-License-Identifier: ISC */
/* The outlet's side of following natd's events. See follow.c. */
#include <errno.h>
#include <inttypes.h>

#include "daemon/base/log.h"
#include "follow_private.h"

enum { BUSY_TOLD_MS = 5000 };

void follow_add_gap(struct gap *to, const struct gap *g)
{
	if (!g->is_there)
		return;
	if (!to->is_there || (g->since_us && g->since_us < to->since_us))
		to->since_us = g->since_us;
	to->is_there = true;
	to->is_unknown |= g->is_unknown;
	to->count += g->count;
}

void follow_put_extras(struct follow *f)
{
	struct record r = {.kind = RECORD_START, .time_us = follow_now_us()};
	const struct gap *g = &f->pending.gap;

	if (f->pending.start)
		f->p.outlet->ops->put(f->p.outlet, &r);
	f->unsettled.start |= f->pending.start;
	if (g->is_there) {
		r.kind = RECORD_LOST;
		r.since_us = g->since_us;
		r.count = g->is_unknown ? 0 : g->count;
		f->p.outlet->ops->put(f->p.outlet, &r);
		follow_add_gap(&f->unsettled.gap, g);
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

/* Records since `settled` may be lost: read all of them again. */
static void rewind_to_settled(struct follow *f)
{
	f->pending.start |= f->unsettled.start;
	follow_add_gap(&f->pending.gap, &f->unsettled.gap);
	if (f->unsettled.found)
		follow_add_gap(&f->pending.gap,
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
		f->failed_us = follow_now_us();
		log_write(LEVEL_WARNING, SUB_MAIN, err,
			  "%s takes no records since %s: trying again, while natd keeps the last limits.events events",
			  f->p.outlet->name, record_time(since, f->failed_us));
	}
	pause_link(f, true);
	if (f->p.outlet->ops->forgets)
		rewind_to_settled(f);
	follow_arm(f->flush, FOLLOW_TICK_MS);
}

static void recover(struct follow *f)
{
	if (f->failed_us)
		log_notice(SUB_MAIN, "%s takes records again, after %" PRIu64 " s", f->p.outlet->name,
			   (follow_now_us() - f->failed_us) / 1000000);
	f->failed_us = 0;
	f->busy_ms = 0;
	pause_link(f, false);
}

static void wait_for_outlet(struct follow *f)
{
	if (f->busy_ms == 0)
		f->busy_ms = follow_now_ms();
	if (f->p.outlet->waiting >= OUTLET_HIGH)
		pause_link(f, true);
	if (f->failed_us == 0 && follow_now_ms() - f->busy_ms >= BUSY_TOLD_MS) {
		fail(f, EAGAIN);
		return;
	}
	follow_arm(f->flush, f->failed_us ? FOLLOW_TICK_MS : FOLLOW_BUSY_MS);
}

void follow_hand_over(struct follow *f)
{
	int r;

	if (!f->failed_us || !f->p.outlet->ops->forgets)
		follow_put_extras(f);
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
		follow_arm(f->flush, 0);
	if (f->comparing == COMPARE_TELLING)
		follow_tell_found(f);
}

void follow_on_flush(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	follow_hand_over(ctx);
}

void follow_put(struct follow *f, const struct record *r)
{
	follow_put_extras(f);
	f->p.outlet->ops->put(f->p.outlet, r);
	if (f->p.outlet->waiting >= OUTLET_HIGH && f->busy_ms == 0 && f->failed_us == 0)
		follow_hand_over(f);
	else if (!event_pending(f->flush, EV_TIMEOUT, NULL))
		follow_arm(f->flush, 0);
}

void follow_settle(struct follow *f)
{
	int r = f->p.outlet->waiting > 0 ? -EAGAIN : f->p.outlet->ops->settle(f->p.outlet);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		fail(f, -r);
		return;
	}
	f->settled = f->p.outlet->ops->settles_late ? f->candidate : f->at;
	if (!f->p.outlet->ops->settles_late || cursor_is_same(&f->candidate, &f->at))
		f->unsettled = (struct extra){0};
	f->candidate = f->at;
}
