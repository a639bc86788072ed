/* SPDX-License-Identifier: ISC */
/* Alarms, see alarm.h. */
#include "alarm.h"

#include <stdio.h>

#include "core/base/event.h"
#include "daemon/base/log.h"
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

void alarm_report(const struct alarm *a, enum alarm_id id, const char *what, struct events *events)
{
	struct event e = {.type = EVENT_ALARM, .reason = (uint8_t)id, .flags = a->is_raised ? 0 : EVENT_HAS_ENDED};

	snprintf(e.text, sizeof(e.text), "%u %% of %s in use", (unsigned)a->percent, what);
	event_append(events, &e);
	if (a->is_raised)
		log_warning(SUB_CONTROL, "alarm %s: %s", alarm_name(id), e.text);
	else
		log_notice(SUB_CONTROL, "alarm %s is over: %s", alarm_name(id), e.text);
}
