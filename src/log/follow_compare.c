/* SPDX-License-Identifier: ISC */
/* Compares natd's listing with the entries that the log has as open, to find what began and ended unseen. See
 * follow.c. */
#include "daemon/base/log.h"
#include "follow_private.h"

enum { COMPARE_MS = 500, LISTING_PATIENCE_MS = 60000 };

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
		r->since_us = follow_now_us() - (uint64_t)e.age_s * 1000000;
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
	r->since_us = follow_now_us() - (uint64_t)b.age_s * 1000000;
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
		follow_arm(f->compare_end, COMPARE_MS);
		return;
	}
	openset_compare_abort(f->open);
	f->comparing = COMPARE_WANTED; /* retried on the next connection */
}

void follow_begin_comparison(struct follow *f)
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

void follow_stop_comparison(struct follow *f)
{
	if (f->comparing < COMPARE_LISTING)
		return;
	query_cancel(f->listing);
	f->listing = NULL;
	event_del(f->compare_end);
	openset_compare_abort(f->open);
	f->comparing = COMPARE_WANTED;
}

void follow_tell_found(struct follow *f)
{
	struct record r;

	while (f->p.outlet->waiting < OUTLET_HIGH && f->failed_us == 0) {
		if (!openset_compare_next(f->open, &r)) {
			f->comparing = COMPARE_NOT;
			return;
		}
		r.time_us = follow_now_us();
		f->unsettled.found = true;
		follow_put_extras(f);
		f->p.outlet->ops->put(f->p.outlet, &r);
		if (!event_pending(f->flush, EV_TIMEOUT, NULL))
			follow_arm(f->flush, 0);
	}
}

void follow_on_compare_end(evutil_socket_t fd, short what, void *ctx)
{
	struct follow *f = ctx;

	(void)fd, (void)what;
	if (f->compares_quietly) {
		openset_compare_quietly(f->open);
		f->comparing = COMPARE_NOT;
		return;
	}
	f->comparing = COMPARE_TELLING;
	follow_tell_found(f);
}

void follow_want_comparison(struct follow *f, bool quietly)
{
	f->compares_quietly = quietly && (f->comparing == COMPARE_NOT || f->compares_quietly);
	if (f->comparing == COMPARE_NOT)
		f->comparing = COMPARE_WANTED;
}
