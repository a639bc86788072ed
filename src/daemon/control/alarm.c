/* SPDX-License-Identifier: ISC */
/* Alarms, see alarm.h. */
#include "alarm.h"

#include <inttypes.h>
#include <stdio.h>

#include "control.h"
#include "core/base/event.h"
#include "daemon/config/config_text.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "stream.h"

static const char *const names[ALARM_COUNT] = {
#define X(id, name) [id] = (name),
	ALARM_LIST(X)
#undef X
};

const char *alarm_name(unsigned id)
{
	return id < ALARM_COUNT ? names[id] : "unknown";
}

bool alarm_update(struct alarm *a, uint32_t percent, uint32_t limit_percent)
{
	bool was_raised = a->is_raised;

	a->percent = percent;
	if (limit_percent == 0)
		a->is_raised = false;
	else if (percent >= limit_percent)
		a->is_raised = true;
	else if (percent + ALARM_HYSTERESIS <= limit_percent)
		a->is_raised = false;
	return a->is_raised != was_raised;
}

bool alarm_update_by_count(struct alarm *a, struct alarm_watch *w, uint64_t count, uint64_t now_ms)
{
	bool was_raised = a->is_raised;

	if (count > w->count)
		w->last_ms = now_ms;
	w->count = count;
	a->is_raised = w->last_ms != 0 && now_ms - w->last_ms < ALARM_CALM_MS;
	return a->is_raised != was_raised;
}

void alarm_report(const struct alarm *a, enum alarm_id id, const char *text, struct events *events)
{
	struct event e = {.type = EVENT_ALARM, .reason = (uint8_t)id, .flags = a->is_raised ? 0 : EVENT_HAS_ENDED};

	snprintf(e.text, sizeof(e.text), "%s", text);
	event_append(events, &e);
	if (a->is_raised)
		log_known(LOG_ID_ALARM, LEVEL_WARNING, SUB_CONTROL, 0, "alarm %s: %s", alarm_name(id), text);
	else
		log_known(LOG_ID_ALARM_OVER, LEVEL_NOTICE, SUB_CONTROL, 0, "alarm %s is over: %s", alarm_name(id),
			  text);
}

static void report_use(const struct alarm *a, enum alarm_id id, const char *what, struct events *events)
{
	char text[96];

	snprintf(text, sizeof(text), "%u %% of %s in use", (unsigned)a->percent, what);
	alarm_report(a, id, text, events);
}

/* ---- collecting the use of limits ---- */

static uint32_t count_ports(const struct nat_range *r, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += (uint32_t)r[i].last - r[i].first + 1;
	return sum;
}

struct fullest {
	uint32_t percent, address;
	bool is_of_blocks;
};

static void look_at_address(struct fullest *f, const struct table *t, uint32_t address, uint32_t ports)
{
	int32_t slot = table_address_slot(t, address);
	uint32_t left, all;

	for (int c = CLASS_TCP; slot >= 0 && ports > 0 && c <= CLASS_ICMP; c++) {
		uint64_t used = table_address_ports_used(t, (uint16_t)slot, (enum nat_class)c);
		uint32_t percent = (uint32_t)(used * 100 / ports);

		if (percent > f->percent)
			*f = (struct fullest){percent, address, false};
	}
	all = slot >= 0 ? table_address_blocks(t, (uint16_t)slot, &left) : 0;
	if (all > 0 && (uint64_t)(all - left) * 100 / all > f->percent)
		*f = (struct fullest){(uint32_t)((uint64_t)(all - left) * 100 / all), address, true};
}

static struct fullest fullest_address(const struct control *c)
{
	const struct nat_policy *p = nat_policy_get(c->nat);
	uint32_t shared = count_ports(p->shared_ports, p->n_shared_ports);
	uint32_t pool = count_ports(p->pool_ports, p->n_pool_ports);
	struct fullest f = {0, 0, false};

	for (uint32_t i = 0; i < p->n_addresses; i++) {
		for (uint64_t a = p->addresses[i].first; a <= p->addresses[i].last; a++)
			look_at_address(&f, nat_table(c->nat), (uint32_t)a, p->addresses[i].shared ? shared : pool);
	}
	return f;
}

static void look_at_events(struct control *c)
{
	struct alarm *a = &c->alarms[ALARM_EVENTS];
	uint64_t lost = nat_events(c->nat)->lost;
	char text[96];

	if (!alarm_update_by_count(a, &c->events_lost, lost, loop_now_ms(c->loop)))
		return;
	snprintf(text, sizeof(text), "%" PRIu64 " events lost by slow readers", lost);
	alarm_report(a, ALARM_EVENTS, text, nat_events(c->nat));
}

void alarms_look(struct control *c)
{
	const struct natd_config *config = c->setup->config;
	struct events *events = nat_events(c->nat);
	struct fullest f = fullest_address(c);
	uint64_t sessions = table_session_count(nat_table(c->nat));
	uint64_t limit = nat_policy_get(c->nat)->limits.sessions;
	char what[TEXT_ADDRESS_SIZE + 24], address[TEXT_ADDRESS_SIZE];

	snprintf(what, sizeof(what), "the %s of %s", f.is_of_blocks ? "port blocks" : "ports",
		 text_of_address(address, f.address));
	if (alarm_update(&c->alarms[ALARM_PORTS], f.percent, config->alarms.ports))
		report_use(&c->alarms[ALARM_PORTS], ALARM_PORTS, what, events);
	if (alarm_update(&c->alarms[ALARM_SESSIONS], (uint32_t)(sessions * 100 / limit), config->alarms.sessions))
		report_use(&c->alarms[ALARM_SESSIONS], ALARM_SESSIONS, "limits.sessions", events);
	look_at_events(c);
}
