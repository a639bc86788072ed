/* SPDX-License-Identifier: ISC */
/*
 * Surveys: a pass over the table that sums the traffic of each inside host.
 *
 * Theory of operation. Packets are counted only in their session. A session that ends adds its totals to those of its
 * host (host->ended). A survey adds the open sessions, in slices, while packets and sessions come and go; then it adds
 * `ended` of each host. Its sums are the owner's memory, one for each host slot.
 *
 * A session that ends after the survey has passed it is in the sum already and is now in `ended` too. So it is
 * subtracted from the sum again: modulo 2^64, since the sum may be smaller by then. So each session counts once: as it
 * stood when the survey passed it, or as it ended; one that began behind the survey counts in the next one. Sums of the
 * same host never decrease from one survey to the next.
 *
 * Invariants: sessions below session_at have been passed; sums below host_at are final, and nothing changes them. While
 * no survey runs, n == host_at.
 */
#include <assert.h>

#include "table_private.h"

enum { IDLE_PER_SESSION = 16 };

static void add(struct host_totals *sum, const struct session *s, uint64_t sign)
{
	for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
		sum->packets[dir] += sign * s->packets[dir];
		sum->bytes[dir] += sign * s->bytes[dir];
	}
}

void table_survey_begin(struct table *t, struct host_sum *sums, uint32_t n)
{
	assert(n <= t->max_hosts);
	t->survey = (struct survey){.sums = sums, .n = n};
}

/* Passes up to `budget` sessions, and IDLE_PER_SESSION times as many free records. */
static void pass_sessions(struct table *t, uint32_t budget)
{
	struct survey *v = &t->survey;
	uint32_t top = t->session_slots.top, from = v->session_at < top ? v->session_at : top;
	uint32_t end = top - from > budget * IDLE_PER_SESSION ? from + budget * IDLE_PER_SESSION : top;
	uint32_t i = slots_next(&t->session_slots, from, end);
	const struct host *h = NULL;

	for (; i < end && budget > 0; i = slots_next(&t->session_slots, i + 1, end), budget--) {
		const struct session *s = &t->sessions[i];

		if (h == NULL || h->address != s->int_addr)
			h = host_find(t, s->int_addr);
		if (h != NULL && (uint32_t)(h - t->hosts) < v->n)
			add(&v->sums[h - t->hosts].totals, s, 1);
	}
	v->session_at = i < top ? i : UINT32_MAX;
}

static void pass_hosts(struct table *t, uint32_t budget)
{
	struct survey *v = &t->survey;
	uint32_t end = budget < v->n - v->host_at ? v->host_at + budget : v->n;

	for (; v->host_at < end; v->host_at++) {
		const struct host *h = &t->hosts[v->host_at];
		struct host_sum *sum = &v->sums[v->host_at];

		if (!slots_used(&t->host_slots, v->host_at))
			continue;
		sum->address = h->address;
		sum->number = h->number;
		for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
			sum->totals.packets[dir] += h->ended.packets[dir];
			sum->totals.bytes[dir] += h->ended.bytes[dir];
		}
	}
}

bool table_survey_step(struct table *t, uint32_t budget)
{
	if (t->survey.session_at != UINT32_MAX)
		pass_sessions(t, budget);
	else
		pass_hosts(t, budget);
	return t->survey.host_at < t->survey.n || t->survey.session_at != UINT32_MAX;
}

void table_survey_end(struct table *t)
{
	t->survey = (struct survey){.session_at = UINT32_MAX};
}

/* ---- while a survey runs ---- */

static struct host_sum *open_sum(const struct table *t, uint32_t host)
{
	return host >= t->survey.host_at && host < t->survey.n ? &t->survey.sums[host] : NULL;
}

void survey_session_ended(struct table *t, uint32_t i, struct host *h)
{
	struct host_sum *sum = open_sum(t, (uint32_t)(h - t->hosts));

	add(&h->ended, &t->sessions[i], 1);
	if (sum != NULL && i < t->survey.session_at)
		add(&sum->totals, &t->sessions[i], UINT64_MAX);
}

void survey_host_began(struct table *t, uint32_t host)
{
	struct host_sum *sum = open_sum(t, host);

	if (sum != NULL)
		*sum = (struct host_sum){0};
}

/* ---- results ---- */

bool table_host_next(const struct table *t, uint32_t *cursor, uint32_t budget, struct host_view *v)
{
	uint32_t top = t->host_slots.top, from = *cursor, end, i;
	const struct host *h;

	if (from >= top) {
		*cursor = 0;
		return false;
	}
	end = budget < top - from ? from + budget + 1 : top;
	i = slots_next(&t->host_slots, from, end);
	*cursor = i < end ? i + 1 : end < top ? end : 0;
	if (i == end || t->hosts[i].sessions == 0)
		return false;
	h = &t->hosts[i];
	*v = (struct host_view){.slot = i,
				.address = h->address,
				.number = h->number,
				.outside = table_address(t, h->ext),
				.sessions = h->sessions,
				.ports = h->ports,
				.blocks = h->blocks};
	return true;
}
