/* SPDX-License-Identifier: ISC */
/*
 * Answers in JSON: one object, or an array whose elements are the lines that natctl -j prints.
 *
 * The newest events of the history are found without reading all of it: natd numbers its events, and the sampler keeps
 * the number of the last one seen. Only the first answer, and answers with a filter, start at natd's oldest event.
 */
#include "api.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/json.h"
#include "client/who.h"
#include "sampler.h"
#include "task.h"
#include "web.h"

static const char json_type[] = "application/json";

static uint64_t real_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* False: out of memory, and the request was refused. */
static bool open_answer(struct task *t)
{
	t->out = open_memstream(&t->text, &t->len);
	if (t->out)
		return true;
	task_refuse(t, HTTP_SERVUNAVAIL, "natd-web is short of memory");
	return false;
}

/* ---- one object ---- */

static void free_object(struct task *t)
{
	json_destroy(t->state);
}

static bool open_object(struct task *t)
{
	if (!open_answer(t))
		return false;
	t->state = json_create();
	t->free_state = free_object;
	return true;
}

static void finish_object(struct task *t)
{
	json_print(t->out, t->state);
	t->free_state = NULL;
	task_answer(t, HTTP_OK, json_type);
}

static bool take_status(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct task *t = ctx;
	struct ctl_item item;
	struct ctl_check check;

	if (type == CTL_R_CHECK) {
		if (!ctl_get_check(body, &check))
			return false;
		json_add_warning(t->state, &check);
	} else if (type == CTL_R_ITEM) {
		if (!ctl_get_item(body, &item))
			return false;
		json_add_item(t->state, &item);
	}
	return true;
}

void api_status(struct task *t)
{
	if (!open_object(t))
		return;
	json_add_list(t->state, "addresses");
	json_add_list(t->state, "inside");
	json_add_list(t->state, "warnings");
	task_ask(t, CTL_STATUS, take_status, finish_object);
}

static bool take_counter(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct task *t = ctx;
	struct ctl_counter c;

	if (type != CTL_R_COUNTER)
		return true;
	if (!ctl_get_counter(body, &c))
		return false;
	json_add_number(t->state, c.name, c.value);
	return true;
}

void api_stats(struct task *t)
{
	if (open_object(t))
		task_ask(t, CTL_STATS, take_counter, finish_object);
}

/* Is there room for one more record? If not, marks the answer as cut. */
static bool may_add(struct task *t)
{
	if (t->count < t->params.limit) {
		t->count++;
		return true;
	}
	t->is_cut = true;
	return false;
}

static bool take_pool(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct task *t = ctx;
	struct ctl_pool p;

	if (type != CTL_R_POOL)
		return true;
	if (!ctl_get_pool(body, &p) || !may_add(t))
		return false;
	json_add_pool(t->state, "pools", &p);
	return true;
}

void api_pools(struct task *t)
{
	if (!open_object(t))
		return;
	json_add_list(t->state, "pools");
	task_ask(t, CTL_POOLS, take_pool, finish_object);
}

/* ---- an array ---- */

/* Call it before each element. */
static void separate(struct task *t, uint64_t element)
{
	fputc(element == 0 ? '[' : ',', t->out);
}

static void finish_array(struct task *t)
{
	fputs(t->count == 0 ? "[]\n" : "]\n", t->out);
	task_answer(t, HTTP_OK, json_type);
}

static bool take_entry(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct task *t = ctx;
	struct ctl_entry e;

	if (type != CTL_R_ENTRY)
		return true;
	if (!ctl_get_entry(body, &e) || !may_add(t))
		return false;
	separate(t, t->count - 1);
	return json_print_entry(t->out, &e);
}

void api_list(struct task *t)
{
	if (open_answer(t))
		task_ask(t, CTL_LIST, take_entry, finish_array);
}

static bool take_host(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct task *t = ctx;
	struct ctl_host h;

	if (type != CTL_R_HOST)
		return true;
	if (!ctl_get_host(body, &h) || !may_add(t))
		return false;
	separate(t, t->count - 1);
	return json_print_host(t->out, &h);
}

/* natd sends at most CTL_HOSTS_MAX of them in order, so that it need not sort them all. */
void api_hosts(struct task *t)
{
	uint32_t most = t->params.limit < CTL_HOSTS_MAX ? t->params.limit : CTL_HOSTS_MAX;

	if (most == 0)
		t->params.order = CTL_ORDER_NONE;
	t->hosts = (struct ctl_hosts){.order = t->params.order, .wants_rates = true};
	if (t->params.order != CTL_ORDER_NONE)
		t->hosts.limit = (uint8_t)most;
	if (open_answer(t))
		task_ask(t, CTL_HOSTS, take_host, finish_array);
}

/* ---- history: the last `limit` sessions that ended ---- */

struct ended {
	uint64_t time_us;
	struct ctl_entry entry;
	char reason[CTL_NAME_MAX + 1];
};

struct history {
	uint64_t seen; /* number of ended sessions seen; the newest is at (seen - 1) % limit */
	struct ended last[];
};

static void free_state(struct task *t)
{
	free(t->state);
}

static bool take_ended(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_event e;
	struct task *t = ctx;
	struct history *h = t->state;
	struct ended *at;

	if (type != CTL_R_EVENT)
		return true;
	if (!ctl_get_event(body, &e))
		return false;
	if (e.kind != CTL_EVENT_DESTROY || t->params.limit == 0)
		return true;
	at = &h->last[h->seen++ % t->params.limit];
	at->time_us = e.time_us;
	at->entry = e.entry;
	memcpy(at->reason, e.reason, sizeof(at->reason));
	sampler_note_event(t->web->sampler, e.sequence);
	return true;
}

static void finish_history(struct task *t)
{
	struct history *h = t->state;
	uint64_t first = h->seen > t->params.limit ? h->seen - t->params.limit : 0;
	static struct ctl_event e;
	uint64_t now_us = real_now_us();

	t->is_cut = first > 0 || t->subscribe.start == CTL_START_SEQUENCE;
	for (uint64_t i = first; i < h->seen; i++) {
		const struct ended *at = &h->last[i % t->params.limit];

		e = (struct ctl_event){.kind = CTL_EVENT_DESTROY, .time_us = at->time_us, .entry = at->entry};
		memcpy(e.reason, at->reason, sizeof(e.reason));
		separate(t, t->count++);
		json_print_history(t->out, &e, now_us > at->time_us ? (now_us - at->time_us) / 1000000 : 0);
	}
	if (h->seen == 0)
		sampler_forget_events(t->web->sampler);
	finish_array(t);
}

static void subscribe_ended(struct task *t, uint64_t from)
{
	t->subscribe = (struct ctl_subscribe){
		.kinds = 1 << CTL_EVENT_DESTROY,
		.start = from > 0 ? CTL_START_SEQUENCE : CTL_START_OLDEST,
		.sequence = from,
		.until_end = true,
		.filter = t->params.filter,
	};
}

void api_history(struct task *t)
{
	uint64_t newest = sampler_last_event(t->web->sampler);
	uint64_t reach = 4 * (uint64_t)t->params.limit; /* events of other kinds may lie between them */

	t->state = calloc(1, sizeof(struct history) + t->params.limit * sizeof(struct ended));
	t->free_state = free_state;
	if (!t->state) {
		task_refuse(t, HTTP_SERVUNAVAIL, "natd-web is short of memory");
		return;
	}
	if (!open_answer(t))
		return;
	subscribe_ended(t, t->params.filter.criteria == 0 && newest > reach ? newest - reach : 0);
	task_ask(t, CTL_MONITOR, take_ended, finish_history);
}

/* ---- who: for now, natd looks it up; for a past time, open sessions and ended ones are searched ---- */

struct who {
	uint64_t now_us;
	struct ctl_mapping last; /* the last holder written: an endpoint may have had many sessions */
};

static bool say_holder(struct task *t, const struct ctl_mapping *m, uint64_t since_us, uint64_t until_us)
{
	struct who *w = t->state;

	if (t->count > 0 && m->protocol == w->last.protocol && m->inside.address == w->last.inside.address &&
	    m->inside.port == w->last.inside.port)
		return true;
	if (!may_add(t))
		return false;
	w->last = *m;
	separate(t, t->count - 1);
	return json_print_holder(t->out, m, since_us, until_us);
}

static bool take_mapping(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct ctl_mapping m;

	if (type != CTL_R_MAPPING)
		return true;
	return ctl_get_mapping(body, &m) && say_holder(ctx, &m, 0, 0);
}

static bool take_session(struct task *t, const struct ctl_entry *e, uint64_t since_us, uint64_t until_us)
{
	const struct ctl_mapping m = {.protocol = e->protocol, .inside = e->inside, .outside = e->outside};

	if (!who_held(&t->params.who, t->params.at_us, e, since_us, until_us))
		return true;
	return say_holder(t, &m, since_us, until_us);
}

static bool take_live(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct task *t = ctx;
	struct who *w = t->state;
	struct ctl_entry e;

	if (type != CTL_R_ENTRY)
		return true;
	return ctl_get_entry(body, &e) && take_session(t, &e, w->now_us - (uint64_t)e.age_s * 1000000, 0);
}

static bool take_past(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_event e;

	if (type != CTL_R_EVENT)
		return true;
	if (!ctl_get_event(body, &e))
		return false;
	return e.kind != CTL_EVENT_DESTROY ||
	       take_session(ctx, &e.entry, e.time_us - (uint64_t)e.entry.age_s * 1000000, e.time_us);
}

static void ask_past(struct task *t)
{
	t->params.filter = (struct ctl_filter){0};
	subscribe_ended(t, 0);
	task_ask(t, CTL_MONITOR, take_past, finish_array);
}

/* Sessions opened from outside have the endpoint as their destination. */
static void ask_live_from_outside(struct task *t)
{
	t->params.filter =
		(struct ctl_filter){.criteria = CTL_BY_ORIG_DST, .orig_dst = {t->params.who.outside.address, 32}};
	task_ask(t, CTL_LIST, take_live, ask_past);
}

void api_who(struct task *t)
{
	struct who *w = calloc(1, sizeof(*w));

	t->state = w;
	t->free_state = free_state;
	if (!w) {
		task_refuse(t, HTTP_SERVUNAVAIL, "natd-web is short of memory");
		return;
	}
	w->now_us = real_now_us();
	if (!open_answer(t))
		return;
	if (t->params.at_us == 0) {
		task_ask(t, CTL_WHO, take_mapping, finish_array);
		return;
	}
	t->params.filter =
		(struct ctl_filter){.criteria = CTL_BY_REPLY_DST, .reply_dst = {t->params.who.outside.address, 32}};
	task_ask(t, CTL_LIST, take_live, ask_live_from_outside);
}
