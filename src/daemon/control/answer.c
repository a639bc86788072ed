/* SPDX-License-Identifier: ISC */
/*
 * Short answers. They are written directly into the client's output through a sink. Records that do not fit are
 * counted, and a last line gives the number, so no amount of warnings can break a reply.
 */
#include "answer.h"

#include <stdio.h>

#include "common/ctlstatus.h"
#include "ctlclient.h"
#include "core/nat/mirror.h"
#include "core/nat/nat.h"
#include "daemon/base/finding.h"
#include "metrics.h"

enum {
	LAST_ROOM = CTL_TEXT_MAX + 128, /* reserved for the last line and the end frame */
	MANY_ADDRESSES = 4096,		/* with more, the status omits the sum of their ports: `pools` has it */
};

struct ctl_sink {
	struct ctl_writer *w;
	uint64_t count;
	uint32_t lost;
};

static void said(struct ctl_sink *sink, bool fitted)
{
	if (fitted)
		sink->count++;
	else
		sink->lost++;
}

void ctl_say_number(struct ctl_sink *sink, const char *name, uint64_t value)
{
	said(sink, ctl_put_item_number(sink->w, name, value));
}

void ctl_say_text(struct ctl_sink *sink, const char *name, const char *text)
{
	said(sink, ctl_put_item_text(sink->w, CTL_ITEM_TEXT, name, text));
}

void ctl_say_list(struct ctl_sink *sink, const char *name, const char *element)
{
	said(sink, ctl_put_item_text(sink->w, CTL_ITEM_LIST, name, element));
}

void ctl_say_metric(struct ctl_sink *sink, const struct metric *m)
{
	struct ctl_counter c = {.value = m->value, .type = m->type == METRIC_GAUGE ? CTL_GAUGE : CTL_COUNTER};

	snprintf(c.name, sizeof(c.name), "%s", m->name);
	snprintf(c.help, sizeof(c.help), "%s", m->help);
	snprintf(c.unit, sizeof(c.unit), "%s", m->unit);
	said(sink, ctl_put_counter(sink->w, &c));
}

void ctl_say_line(struct ctl_sink *sink, const char *text)
{
	said(sink, ctl_put_line(sink->w, text));
}

void ctl_say_finding(struct ctl_sink *sink, const struct finding *f)
{
	static const enum ctl_severity severities[] = {
		[FINDING_OK] = CTL_CHECK_OK,
		[FINDING_WARNING] = CTL_CHECK_WARN,
		[FINDING_ERROR] = CTL_CHECK_FAIL,
	};
	struct ctl_check c = {.severity = (uint8_t)severities[f->severity], .percent = (uint8_t)f->percent};

	snprintf(c.what, sizeof(c.what), "%s", f->text);
	snprintf(c.remedy, sizeof(c.remedy), "%s", f->remedy);
	snprintf(c.id, sizeof(c.id), "%s", f->id);
	said(sink, ctl_put_check(sink->w, &c));
}

/* ---- status ---- */

static uint64_t ports_per_address(const struct nat_policy *p, bool shared)
{
	const struct nat_range *r = shared ? p->shared_ports : p->pool_ports;
	uint32_t n = shared ? p->n_shared_ports : p->n_pool_ports;
	uint64_t ports = 0;

	for (uint32_t i = 0; i < n; i++)
		ports += (uint64_t)(r[i].last - r[i].first) + 1;
	return ports;
}

struct port_use {
	uint64_t all; /* of each class */
	uint64_t used[3];
};

static void add_address(struct port_use *u, const struct table *t, uint32_t address)
{
	int32_t slot = table_address_slot(t, address);

	for (int c = CLASS_TCP; slot != TABLE_NONE && c <= CLASS_ICMP; c++)
		u->used[c] += table_address_ports_used(t, (uint16_t)slot, (enum nat_class)c);
}

static uint64_t count_addresses(const struct nat_policy *p)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < p->n_addresses; i++)
		n += (uint64_t)p->addresses[i].last - p->addresses[i].first + 1;
	return n;
}

static void say_ports(struct ctl_sink *sink, struct nat *nat)
{
	const struct nat_policy *p = nat_policy_get(nat);
	struct port_use u = {0};

	if (count_addresses(p) > MANY_ADDRESSES)
		return;
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		const struct nat_address_range *r = &p->addresses[i];

		if (r->is_virtual)
			continue;
		u.all += ports_per_address(p, r->shared) * ((uint64_t)r->last - r->first + 1);
		for (uint64_t a = r->first; a <= r->last; a++)
			add_address(&u, nat_table(nat), (uint32_t)a);
	}
	ctl_say_number(sink, "ports", u.all);
	ctl_say_number(sink, "ports_tcp", u.used[CLASS_TCP]);
	ctl_say_number(sink, "ports_udp", u.used[CLASS_UDP]);
	ctl_say_number(sink, "ports_icmp", u.used[CLASS_ICMP]);
}

static void say_core_status(struct ctl_sink *sink, struct nat *nat)
{
	const struct nat_policy *p = nat_policy_get(nat);
	const struct table *t = nat_table(nat);

	ctl_say_number(sink, "sessions", table_session_count(t));
	ctl_say_number(sink, "sessions_limit", p->limits.sessions);
	ctl_say_number(sink, "mappings", table_mapping_count(t));
	ctl_say_number(sink, "hosts", table_host_count(t));
	ctl_say_number(sink, "forwards", p->n_forwards);
	say_ports(sink, nat);
}

/* ---- the requests ---- */

static struct ctl_sink begin(struct ctl_writer *w)
{
	w->size -= LAST_ROOM;
	return (struct ctl_sink){.w = w};
}

/* Releases the room reserved for the end, and writes there how many records did not fit. */
static void finish(struct ctl_sink *sink)
{
	char text[64];

	sink->w->size += LAST_ROOM;
	if (sink->lost == 0)
		return;
	snprintf(text, sizeof(text), "... and %u more that did not fit into this answer", sink->lost);
	ctl_put_line(sink->w, text);
}

void ctl_answer_status(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	struct ctl_sink sink = begin(w);

	(void)args;
	env->backend->status(env->backend->ctx, &sink);
	say_core_status(&sink, env->nat);
	finish(&sink);
	ctl_put_end(w, sink.count, 0);
}

static void say_core_metric(void *ctx, const struct metric *m)
{
	ctl_say_metric(ctx, m);
}

void ctl_answer_stats(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	struct ctl_sink sink = begin(w);

	(void)args;
	nat_mirror_pull(env->nat);
	metrics_core(env->nat, say_core_metric, &sink);
	env->backend->stats(env->backend->ctx, &sink);
	finish(&sink);
	ctl_put_end(w, sink.count, 0);
}

void ctl_answer_reload(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	struct nat_reconfigure_report report = {0};
	struct ctl_sink sink = begin(w);
	bool done;

	done = env->backend->reload(env->backend->ctx, &sink, args->confirm_s, &report);
	finish(&sink);
	if (done)
		ctl_put_end(w, report.kept, report.ended);
	else
		ctl_put_error(w, CTL_E_FAILED, "nothing was changed: the configuration in force stays");
}

void ctl_answer_forward(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	struct ctl_sink sink = begin(w);
	bool changed = false, done = false;

	if (env->backend->forward != NULL)
		done = env->backend->forward(env->backend->ctx, &sink, &args->forward, &changed);
	finish(&sink);
	if (done)
		ctl_put_end(w, changed, 0);
	else
		ctl_put_error(w, CTL_E_FAILED, "nothing was changed: the forwards in force stay");
}

void ctl_answer_confirm(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	struct ctl_sink sink = begin(w);
	bool done = env->backend->confirm != NULL && env->backend->confirm(env->backend->ctx, &sink);

	(void)args;
	finish(&sink);
	if (done)
		ctl_put_end(w, 1, 0);
	else
		ctl_put_error(w, CTL_E_FAILED, "nothing was confirmed");
}

void ctl_answer_backend(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	bool changed = false;
	const char *why = env->backend->backend == NULL
				  ? "this natd has no backends"
				  : env->backend->backend(env->backend->ctx, &args->backend, &changed);

	if (why != NULL)
		ctl_put_error(w, CTL_E_FAILED, why);
	else
		ctl_put_end(w, changed, 0);
}

void ctl_answer_doctor(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	struct ctl_sink sink = begin(w);

	(void)args;
	env->backend->doctor(env->backend->ctx, &sink);
	finish(&sink);
	ctl_put_end(w, sink.count, 0);
}
