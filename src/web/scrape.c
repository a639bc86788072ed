/* SPDX-License-Identifier: ISC */
/* Collects the figures for /metrics. Nothing here grows with the number of sessions. */
#include "scrape.h"

#include <event2/http.h>
#include <stdlib.h>

#include "clients.h"
#include "metrics.h"
#include "task.h"
#include "web.h"

enum { COUNTERS_MAX = 512 };

struct scrape {
	bool is_openmetrics;
	bool has_others;
	size_t n_counters, n_pools, n_hosts;
	struct ctl_host hosts[WEB_HOSTS_MAX];
	struct ctl_pool others;
	struct ctl_pool pools[WEB_ADDRESSES_MAX];
	struct ctl_counter counters[COUNTERS_MAX];
};

static void free_scrape(struct task *t)
{
	free(t->state);
}

static void answer(struct task *t, bool is_up)
{
	const struct scrape *s = t->state;
	const struct metrics m = {
		.is_openmetrics = s->is_openmetrics,
		.is_up = is_up,
		.version = is_up ? t->daemon : "",
		.counters = s->counters,
		.n_counters = s->n_counters,
		.pools = s->pools,
		.n_pools = s->n_pools,
		.others = s->has_others ? &s->others : NULL,
		.hosts = s->hosts,
		.n_hosts = s->n_hosts,
		.web = &t->web->stats,
		.clients = clients_count(t->web),
	};

	t->out = open_memstream(&t->text, &t->len);
	if (!t->out) {
		task_refuse(t, HTTP_SERVUNAVAIL, "natd-web is short of memory");
		return;
	}
	metrics_write(t->out, &m);
	task_answer(t, is_up ? HTTP_OK : HTTP_SERVUNAVAIL,
		    s->is_openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				      : "text/plain; version=0.0.4; charset=utf-8");
}

static void answer_away(struct task *t)
{
	answer(t, false);
}

static void answer_up(struct task *t)
{
	answer(t, true);
}

static bool take_host(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct scrape *s = ((struct task *)ctx)->state;

	if (type != CTL_R_HOST || s->n_hosts == WEB_HOSTS_MAX)
		return true;
	return ctl_get_host(body, &s->hosts[s->n_hosts++]);
}

static void ask_hosts(struct task *t)
{
	t->hosts = (struct ctl_hosts){.order = CTL_ORDER_SESSIONS, .limit = (uint8_t)t->params.hosts};
	if (t->params.hosts > 0)
		task_ask(t, CTL_HOSTS, take_host, answer_up);
	else
		answer_up(t);
}

static bool take_pool(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct scrape *s = ((struct task *)ctx)->state;
	struct ctl_pool p;

	if (type != CTL_R_POOL)
		return true;
	if (!ctl_get_pool(body, &p))
		return false;
	if (s->n_pools < WEB_ADDRESSES_MAX) {
		s->pools[s->n_pools++] = p;
		return true;
	}
	s->has_others = true;
	s->others.ports += p.ports;
	for (int i = 0; i < 3; i++) {
		s->others.used[i] += p.used[i];
		s->others.quarantined[i] += p.quarantined[i];
	}
	return true;
}

static void ask_pools(struct task *t)
{
	task_ask(t, CTL_POOLS, take_pool, ask_hosts);
}

static bool take_counter(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct scrape *s = ((struct task *)ctx)->state;

	if (type != CTL_R_COUNTER || s->n_counters == COUNTERS_MAX)
		return true;
	return ctl_get_counter(body, &s->counters[s->n_counters++]);
}

void scrape_start(struct task *t)
{
	struct scrape *s = calloc(1, sizeof(*s));

	t->state = s;
	t->free_state = free_scrape;
	t->on_lost = answer_away;
	if (!s) {
		task_refuse(t, HTTP_SERVUNAVAIL, "natd-web is short of memory");
		return;
	}
	s->is_openmetrics =
		metrics_wants_openmetrics(evhttp_find_header(evhttp_request_get_input_headers(t->req), "Accept"));
	task_ask(t, CTL_STATS, take_counter, ask_pools);
}
