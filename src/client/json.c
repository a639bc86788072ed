/* SPDX-License-Identifier: ISC */
/* Listings as JSON, one object a line. Names and order of the members are promised in natctl(8). */
#include "json_private.h"

#ifdef HAVE_JANSSON

#include "names.h"

enum { ENTRY_MEMBERS = 13 };

static json_t *make_counts(const struct ctl_entry *e, int dir)
{
	json_t *o = json_object();

	json_object_set_new(o, "packets", json_make_number(e->packets[dir]));
	json_object_set_new(o, "bytes", json_make_number(e->bytes[dir]));
	return o;
}

static json_t *make_flags(const struct ctl_entry *e)
{
	json_t *a = json_array();

	if (!(e->flags & CTL_ENTRY_REPLIED))
		json_array_append_new(a, json_string("UNREPLIED"));
	if (e->flags & CTL_ENTRY_ASSURED)
		json_array_append_new(a, json_string("ASSURED"));
	if (e->flags & CTL_ENTRY_OFFLOADED)
		json_array_append_new(a, json_string("OFFLOAD"));
	return a;
}

static json_t *make_mapping(const struct ctl_mapping *m)
{
	json_t *o = json_object();
	char name[4];

	json_object_set_new(o, "protocol", json_string(names_protocol(m->protocol, name)));
	json_object_set_new(o, "inside", json_make_endpoint(&m->inside, m->protocol));
	json_object_set_new(o, "outside", json_make_endpoint(&m->outside, m->protocol));
	json_object_set_new(o, "remote",
			    m->remote.address == 0 ? json_null()
						   : json_make_endpoint(&m->remote, m->remote.port ? m->protocol : 0));
	json_object_set_new(o, "sessions", json_make_number(m->sessions));
	return o;
}

bool json_print_mapping(FILE *f, const struct ctl_mapping *m)
{
	return json_print_line(f, make_mapping(m), 5);
}

static json_t *make_moved(const struct ctl_host *h, int dir)
{
	json_t *o = json_object();
	bool has_rates = h->interval_ms > 0;

	json_object_set_new(o, "packets", json_make_number(h->packets[dir]));
	json_object_set_new(o, "bytes", json_make_number(h->bytes[dir]));
	json_object_set_new(o, "packets_rate", has_rates ? json_make_number(h->packets_rate[dir]) : json_null());
	json_object_set_new(o, "bytes_rate", has_rates ? json_make_number(h->bytes_rate[dir]) : json_null());
	return o;
}

bool json_print_host(FILE *f, const struct ctl_host *h)
{
	json_t *o = json_object();

	json_object_set_new(o, "address", json_make_address(h->address));
	json_object_set_new(o, "outside", json_make_address(h->outside));
	json_object_set_new(o, "sessions", json_make_number(h->sessions));
	json_object_set_new(o, "ports", json_make_number(h->ports));
	json_object_set_new(o, "blocks", json_make_number(h->blocks));
	json_object_set_new(o, "out", make_moved(h, 0));
	json_object_set_new(o, "in", make_moved(h, 1));
	return json_print_line(f, o, 7);
}

static json_t *make_entry(const struct ctl_entry *e)
{
	json_t *o = json_object();
	char name[4], backend[NAMES_ENDPOINT_MAX];

	json_object_set_new(o, "id", json_make_number(e->id));
	json_object_set_new(o, "protocol", json_string(names_protocol(e->protocol, name)));
	json_object_set_new(o, "state", e->protocol == 6 ? json_string(ctl_state_name(e->state)) : json_null());
	json_object_set_new(o, "timeout", json_make_number(e->timeout_s));
	json_object_set_new(o, "age", json_make_number(e->age_s));
	json_object_set_new(o, "origin", json_string(e->flags & CTL_ENTRY_FROM_OUTSIDE ? "outside" : "inside"));
	json_object_set_new(o, "forward", e->forward[0] ? json_make_text(e->forward) : json_null());
	if (e->backend.address != 0)
		json_object_set_new(o, "backend", json_string(names_endpoint(backend, &e->backend, e->protocol)));
	if (e->pair[0] != '\0')
		json_object_set_new(o, "static", json_make_text(e->pair));
	json_object_set_new(o, "inside", json_make_endpoint(&e->inside, e->protocol));
	json_object_set_new(o, "outside", json_make_endpoint(&e->outside, e->protocol));
	json_object_set_new(o, "remote", json_make_endpoint(&e->remote, e->protocol));
	json_object_set_new(o, "out", make_counts(e, 0));
	json_object_set_new(o, "in", make_counts(e, 1));
	json_object_set_new(o, "flags", make_flags(e));
	return o;
}

static size_t count_members(const struct ctl_entry *e)
{
	return ENTRY_MEMBERS + (size_t)(e->backend.address != 0) + (size_t)(e->pair[0] != '\0');
}

bool json_print_entry(FILE *f, const struct ctl_entry *e)
{
	return json_print_line(f, make_entry(e), count_members(e));
}

static json_t *make_block(const struct ctl_event *e)
{
	json_t *o = json_object();

	json_object_set_new(o, "host", json_make_address(e->block.inside));
	json_object_set_new(o, "outside", json_make_address(e->block.outside));
	json_object_set_new(o, "first", json_integer(e->block.first));
	json_object_set_new(o, "last", json_integer(e->block.last));
	return o;
}

/* The words for the beginning and the end of that kind of event; NULL: it has none. */
static const char *event_state(const struct ctl_event *e)
{
	if (e->kind == CTL_EVENT_ALARM)
		return e->has_ended ? "cleared" : "raised";
	if (e->kind == CTL_EVENT_MAPPING || e->kind == CTL_EVENT_BLOCK)
		return e->has_ended ? "closed" : "opened";
	return NULL;
}

bool json_print_event(FILE *f, const struct ctl_event *e)
{
	const char *state = event_state(e);
	json_t *o;

	if (ctl_event_has_entry(e->kind))
		o = make_entry(&e->entry);
	else if (e->kind == CTL_EVENT_MAPPING)
		o = make_mapping(&e->mapping);
	else if (e->kind == CTL_EVENT_BLOCK)
		o = make_block(e);
	else
		o = json_object();
	json_object_set_new(o, "event", json_string(ctl_event_name(e->kind)));
	json_set_time(o, e->time_us);
	if (e->kind == CTL_EVENT_ALARM)
		json_object_set_new(o, "id", json_make_text(e->reason));
	else
		json_object_set_new(o, "reason", e->reason[0] ? json_make_text(e->reason) : json_null());
	if (state)
		json_object_set_new(o, "state", json_string(state));
	if (e->text[0])
		json_object_set_new(o, "text", json_make_text(e->text));
	return json_print_line(f, o, json_object_size(o));
}

bool json_print_history(FILE *f, const struct ctl_event *e, uint64_t ended_ago_s)
{
	json_t *o = make_entry(&e->entry);

	json_set_time(o, e->time_us);
	json_object_set_new(o, "ended", json_make_number(ended_ago_s));
	json_object_set_new(o, "reason", json_make_text(e->reason));
	return json_print_line(f, o, 3 + count_members(&e->entry));
}

static json_t *make_time(uint64_t time_us)
{
	return time_us ? json_real((double)time_us / 1e6) : json_null();
}

bool json_print_holder(FILE *f, const struct ctl_mapping *m, uint64_t since_us, uint64_t until_us)
{
	json_t *o = json_object();
	char name[4];

	json_object_set_new(o, "protocol", json_string(names_protocol(m->protocol, name)));
	json_object_set_new(o, "inside", json_make_endpoint(&m->inside, m->protocol));
	json_object_set_new(o, "outside", json_make_endpoint(&m->outside, m->protocol));
	json_object_set_new(o, "since", make_time(since_us));
	json_object_set_new(o, "until", make_time(until_us));
	return json_print_line(f, o, 5);
}

bool json_print_block(FILE *f, const struct ctl_block *b, uint64_t since_s)
{
	json_t *o = json_object();

	json_object_set_new(o, "host", json_make_address(b->inside));
	json_object_set_new(o, "outside", json_make_address(b->outside));
	json_object_set_new(o, "first", json_make_number(b->first));
	json_object_set_new(o, "last", json_make_number(b->last));
	json_object_set_new(o, "used", json_make_number(b->used));
	json_object_set_new(o, "since", json_make_number(since_s));
	json_object_set_new(o, "fixed", json_boolean(b->is_fixed));
	return json_print_line(f, o, 7);
}

bool json_print_block_holder(FILE *f, const struct ctl_block *b, const struct ctl_who *q, uint64_t since_us,
			     uint64_t until_us)
{
	json_t *o = json_object(), *inside = json_object(), *block = json_object();
	char name[4];

	json_object_set_new(inside, "address", json_make_address(b->inside));
	json_object_set_new(inside, "port", json_null());
	json_object_set_new(block, "first", json_make_number(b->first));
	json_object_set_new(block, "last", json_make_number(b->last));
	json_object_set_new(o, "protocol", q->protocol ? json_string(names_protocol(q->protocol, name)) : json_null());
	json_object_set_new(o, "inside", inside);
	json_object_set_new(o, "outside", json_make_endpoint(&q->outside, 6));
	json_object_set_new(o, "since", make_time(since_us));
	json_object_set_new(o, "until", make_time(until_us));
	json_object_set_new(o, "block", block);
	return json_print_line(f, o, 6);
}

bool json_print_lost(FILE *f, uint64_t count)
{
	json_t *o = json_object();

	json_object_set_new(o, "event", json_string("LOST"));
	json_object_set_new(o, "count", json_make_number(count));
	return json_print_line(f, o, 2);
}

#endif
