/* SPDX-License-Identifier: ISC */
/* Traffic of inside hosts, see survey.h. */
#include "survey.h"

#include <stdlib.h>
#include <string.h>

#include "ctlclient.h"

/* ---- passes ---- */

static void drop_pass(struct survey_pass *p)
{
	free(p->sums);
	*p = (struct survey_pass){0};
}

void survey_free(struct survey *s, struct nat *nat)
{
	if (s->is_running)
		table_survey_end(nat_table(nat));
	drop_pass(&s->now);
	drop_pass(&s->before);
	s->is_running = false;
}

void survey_tick(struct survey *s, struct nat *nat, uint64_t now_ms)
{
	if (s->now.sums && now_ms - s->used_ms > SURVEY_OLD_MS)
		survey_free(s, nat);
}

static bool begin_pass(struct survey *s, struct table *t, uint64_t now_ms)
{
	uint32_t n = table_host_top(t);
	struct host_sum *sums = calloc(n ? n : 1, sizeof(*sums));

	if (!sums)
		return false;
	drop_pass(&s->before);
	if (s->now.sums && now_ms - s->now.begun_ms <= SURVEY_OLD_MS)
		s->before = s->now;
	else
		drop_pass(&s->now);
	s->now = (struct survey_pass){sums, n, now_ms};
	s->is_running = true;
	table_survey_begin(t, sums, n);
	return true;
}

static void go_on(struct survey *s, struct table *t, uint32_t budget)
{
	if (table_survey_step(t, budget))
		return;
	table_survey_end(t);
	s->is_running = false;
}

enum progress {
	PASS_READY,
	PASS_GOES_ON,
	PASS_LATER /* rates are requested, but it is too early for them */,
	PASS_FAILED
};

static enum progress advance(struct survey *s, const struct ctl_turn *t, const struct ctl_hosts *q)
{
	struct table *table = nat_table(t->env->nat);
	uint64_t age_ms = t->now_ms - s->now.begun_ms;

	if (!s->is_running && s->now.sums && age_ms < SURVEY_FRESH_MS)
		return q->wants_rates && !s->before.sums ? PASS_LATER : PASS_READY;
	if (!s->is_running && !begin_pass(s, table, t->now_ms))
		return PASS_FAILED;
	go_on(s, table, t->visits);
	return PASS_GOES_ON;
}

/* ---- one host ---- */

static uint64_t rate(uint64_t now, uint64_t before, uint32_t interval_ms)
{
	return now > before ? (now - before) * 1000 / interval_ms : 0;
}

/* The sum of exactly that record; NULL: the host is newer than the pass. */
static const struct host_totals *find_totals(const struct survey_pass *p, const struct host_view *v)
{
	const struct host_sum *sum = v->slot < p->n ? &p->sums[v->slot] : NULL;

	return sum && sum->address == v->address && sum->number == v->number ? &sum->totals : NULL;
}

/* A host that is not in the previous pass has appeared since. */
static void fill_rates(struct ctl_host *h, const struct survey *s, const struct host_view *v)
{
	static const struct host_totals none;
	const struct host_totals *before = find_totals(&s->before, v);

	if (!before)
		before = &none;
	h->interval_ms = (uint32_t)(s->now.begun_ms - s->before.begun_ms);
	for (int dir = 0; dir < 2; dir++) {
		h->packets_rate[dir] = rate(h->packets[dir], before->packets[dir], h->interval_ms);
		h->bytes_rate[dir] = rate(h->bytes[dir], before->bytes[dir], h->interval_ms);
	}
}

static bool fill(struct ctl_host *h, const struct survey *s, const struct host_view *v)
{
	const struct host_totals *totals = find_totals(&s->now, v);

	if (!totals)
		return false;
	*h = (struct ctl_host){
		.address = v->address,
		.outside = v->outside,
		.sessions = v->sessions,
		.ports = v->ports,
		.blocks = v->blocks,
		.packets = {totals->packets[DIR_OUT], totals->packets[DIR_IN]},
		.bytes = {totals->bytes[DIR_OUT], totals->bytes[DIR_IN]},
	};
	if (s->before.sums)
		fill_rates(h, s, v);
	return true;
}

static bool is_wanted(const struct ctl_filter *f, const struct ctl_host *h)
{
	return (!(f->criteria & CTL_BY_ORIG_SRC) || ctl_in_prefix(&f->orig_src, h->address)) &&
	       (!(f->criteria & CTL_BY_REPLY_DST) || ctl_in_prefix(&f->reply_dst, h->outside));
}

static uint64_t sort_key(const struct ctl_host *h, enum ctl_order order)
{
	switch (order) {
	case CTL_ORDER_RATE:
		return h->bytes_rate[0] + h->bytes_rate[1];
	case CTL_ORDER_PORTS:
		return h->ports;
	case CTL_ORDER_SESSIONS:
	case CTL_ORDER_NONE:
	case CTL_ORDER_COUNT:
		break;
	}
	return h->sessions;
}

/* ---- the job ---- */

/* Keeps the highest `limit` hosts, highest first; of equal ones, the first to come. */
static void keep_highest(struct ctl_job *j, const struct ctl_host *h)
{
	const struct ctl_hosts *q = &j->args.hosts;
	uint64_t key = sort_key(h, (enum ctl_order)q->order);
	uint32_t i = j->n_highest;

	if (i == q->limit) {
		if (sort_key(&j->highest[i - 1], (enum ctl_order)q->order) >= key)
			return;
		i--;
	} else {
		j->n_highest++;
	}
	for (; i > 0 && sort_key(&j->highest[i - 1], (enum ctl_order)q->order) < key; i--)
		j->highest[i] = j->highest[i - 1];
	j->highest[i] = *h;
}

static void show_highest(struct ctl_job *j, struct ctl_writer *w)
{
	while (j->count < j->n_highest && ctl_has_room(w))
		ctl_put_host(w, &j->highest[j->count++]);
	j->is_done = j->count >= j->n_highest;
}

static void show_next(struct ctl_job *j, const struct ctl_turn *t)
{
	struct host_view v;
	struct ctl_host h;

	if (table_host_next(nat_table(t->env->nat), &j->cursor, CTL_IDLE_PER_VISIT, &v) &&
	    fill(&h, t->env->survey, &v) && is_wanted(&j->args.hosts.filter, &h)) {
		if (j->args.hosts.order != CTL_ORDER_NONE) {
			keep_highest(j, &h);
		} else {
			ctl_put_host(t->w, &h);
			j->count++;
		}
	}
	j->is_at_end = j->cursor == 0;
}

void ctl_slice_hosts(struct ctl_job *j, const struct ctl_turn *t)
{
	uint32_t visits = t->visits;

	t->env->survey->used_ms = t->now_ms;
	if (!j->is_begun || t->env->survey->is_running) {
		enum progress p = advance(t->env->survey, t, &j->args.hosts);

		j->is_waiting = p == PASS_LATER;
		j->failure = p == PASS_FAILED ? "natd is short of memory" : NULL;
		j->is_begun = p == PASS_READY;
		return;
	}
	while (visits-- > 0 && !j->is_at_end && ctl_has_room(t->w))
		show_next(j, t);
	if (j->is_at_end)
		show_highest(j, t->w);
}

const char *ctl_object_to_hosts(const union ctl_args *args)
{
	return args->hosts.filter.criteria & ~CTL_HOSTS_BY
		       ? "hosts: only the criteria source (-s, the host) and reply destination (-q, its "
			 "outside address) apply to hosts"
		       : NULL;
}
