/* SPDX-License-Identifier: ISC */
/* The list of metrics, and the functions that read each gauge. */
#include "metrics.h"

#include <stddef.h>

#include "common/ctlrecord.h"
#include "control.h"
#include "core/nat/mirror.h"
#include "core/tcp/tcp.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"

void metrics_core(const struct nat *nat, metric_fn *take, void *ctx)
{
	const uint64_t *counters = nat_counters(nat);

	for (int r = NAT_PASS + 1; r < NAT_REASON_COUNT; r++) {
		const struct metric m = {
			.name = nat_reason_name((enum nat_reason)r),
			.help = nat_reason_help((enum nat_reason)r),
			.type = METRIC_COUNTER,
			.unit = r == COUNT_OUT_BYTES || r == COUNT_IN_BYTES ? "bytes" : "",
			.value = counters[r],
		};

		take(ctx, &m);
	}
}

/* From the tc programs; 0 if rules steer. */
static void take_steering(const struct offload *o, metric_fn *take, void *ctx)
{
	for (unsigned i = 0; i < DOORMAN_COUNTERS; i++) {
		enum doorman_counter counter = (enum doorman_counter)i;
		const struct metric m = {.name = doorman_counter_name(counter),
					 .help = doorman_counter_help(counter),
					 .type = METRIC_COUNTER,
					 .unit = "",
					 .value = o->doorman ? doorman_count(o->doorman, counter) : 0};

		take(ctx, &m);
	}
}

/* ---- read_NAME() for each row of METRIC_GAUGE_LIST and METRIC_COUNTER_LIST ---- */

static uint64_t read_control_clients(const struct control *c)
{
	return ctl_server_client_count(c->server);
}

static uint64_t read_event_readers(const struct control *c)
{
	return ctl_server_reader_count(c->server);
}

static uint64_t read_memory_resident(const struct control *c)
{
	(void)c;
	return memory_resident();
}

static uint64_t read_sessions_open(const struct control *c)
{
	return table_session_count(nat_table(c->nat));
}

static uint64_t read_sessions_limit(const struct control *c)
{
	return nat_policy_get(c->nat)->limits.sessions;
}

static struct nat_mirror_counts mirror_of(const struct control *c)
{
	struct nat_mirror_counts m;

	nat_mirror_counts(c->nat, &m);
	return m;
}

static uint64_t read_fast_sessions(const struct control *c)
{
	return mirror_of(c).flows;
}

static uint64_t read_fast_packets(const struct control *c)
{
	return mirror_of(c).packets;
}

static uint64_t read_fast_bytes(const struct control *c)
{
	return mirror_of(c).bytes;
}

static uint64_t read_fast_shown(const struct control *c)
{
	return mirror_of(c).shown;
}

static uint64_t read_fast_idle(const struct control *c)
{
	return mirror_of(c).idle;
}

static uint64_t read_fast_stopped(const struct control *c)
{
	return mirror_of(c).stopped;
}

static uint64_t read_fast_full(const struct control *c)
{
	return mirror_of(c).full;
}

static uint64_t read_mappings_open(const struct control *c)
{
	return table_mapping_count(nat_table(c->nat));
}

static uint64_t read_hosts_active(const struct control *c)
{
	return table_host_count(nat_table(c->nat));
}

static uint64_t read_table_bytes(const struct control *c)
{
	struct table_usage u;

	table_usage(nat_table(c->nat), &u);
	return u.records_bytes + u.scratch_bytes;
}

static uint64_t read_table_bytes_per_session(const struct control *c)
{
	uint64_t sessions = read_sessions_open(c);

	return sessions ? read_table_bytes(c) / sessions : 0;
}

static uint64_t read_uptime(const struct control *c)
{
	return (loop_now_ms(c->loop) - c->started_ms) / 1000;
}

/* Counts over all forwards the backends with one of the bits, or with none (0). */
static uint64_t count_backends(const struct control *c, uint8_t closed)
{
	const struct nat_policy *p = nat_policy_get(c->nat);
	struct nat_backend_view v;
	uint64_t n = 0;

	for (uint32_t i = 0; i < p->n_forwards; i++) {
		for (uint32_t k = 0; p->forwards[i].n_backends > 0 && nat_backend_view(c->nat, i, k, &v); k++)
			n += closed == 0 ? v.closed == 0 : (v.closed & closed) != 0;
	}
	return n;
}

static uint64_t read_backends_up(const struct control *c)
{
	return count_backends(c, 0);
}

static uint64_t read_backends_down(const struct control *c)
{
	return count_backends(c, BACKEND_DOWN);
}

static uint64_t read_backends_drained(const struct control *c)
{
	return count_backends(c, BACKEND_DRAINED);
}

static uint64_t read_alarm_ports(const struct control *c)
{
	return c->alarms[ALARM_PORTS].is_raised;
}

static uint64_t read_alarm_sessions(const struct control *c)
{
	return c->alarms[ALARM_SESSIONS].is_raised;
}

static uint64_t read_alarm_events(const struct control *c)
{
	return c->alarms[ALARM_EVENTS].is_raised;
}

static uint64_t read_events_recorded(const struct control *c)
{
	const struct event_ring *log = &nat_events(c->nat)->log;

	return log->next - log->first;
}

static uint64_t read_tun_queue_dropped(const struct control *c)
{
	return c->status.tun_dropped;
}

static uint64_t read_events_lost(const struct control *c)
{
	return nat_events(c->nat)->lost;
}

static uint64_t read_events_refused_omitted(const struct control *c)
{
	return nat_events(c->nat)->refused.dropped;
}

static void take_gauges(const struct control *c, metric_fn *take, void *ctx)
{
	static const struct {
		const char *name, *unit, *help;
		enum metric_type type;
		uint64_t (*read)(const struct control *c);
	} gauges[] = {
#define X(name, unit, help) {#name, unit, help, METRIC_GAUGE, read_##name},
		METRIC_GAUGE_LIST(X)
#undef X
#define X(name, unit, help) {#name, unit, help, METRIC_COUNTER, read_##name},
			METRIC_COUNTER_LIST(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(gauges) / sizeof(*gauges); i++) {
		const struct metric m = {.name = gauges[i].name,
					 .help = gauges[i].help,
					 .type = gauges[i].type,
					 .unit = gauges[i].unit,
					 .value = gauges[i].read(c)};

		take(ctx, &m);
	}
}

/* ---- sessions by protocol and state, and by the reason of their end ---- */

/* The state to show for the table's: for TCP conntrack's, for other protocols answered or not. */
static int shown_state(enum nat_class c, enum session_state st)
{
	if (c == CLASS_TCP)
		return ctl_state_by_name(tcp_state_name(st));
	return st == SESSION_ESTABLISHED ? CTL_STATE_ESTABLISHED : CTL_STATE_SYN_SENT;
}

static uint64_t sessions_shown_in(const struct table *t, enum nat_class c, int state)
{
	uint64_t n = 0;

	for (int st = SESSION_FREE + 1; st < SESSION_STATE_COUNT; st++) {
		if (shown_state(c, (enum session_state)st) == state)
			n += table_sessions_in(t, c, (enum session_state)st);
	}
	return n;
}

static void take_sessions(const struct table *t, metric_fn *take, void *ctx)
{
	static const struct {
		const char *name, *help;
		enum nat_class proto_class;
		int state;
	} states[] = {
#define X(name, proto_class, state, help) {#name, help, proto_class, state},
		METRIC_STATE_LIST(X)
#undef X
	};
	static const struct {
		const char *name, *help;
		enum session_end why;
	} ends[] = {
#define X(name, why, help) {#name, help, why},
		METRIC_ENDED_LIST(X)
#undef X
	};
	_Static_assert(sizeof(ends) / sizeof(*ends) == SESSION_END_COUNT, "a counter for each reason");

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		const struct metric m = {.name = states[i].name,
					 .help = states[i].help,
					 .type = METRIC_GAUGE,
					 .unit = "",
					 .value = sessions_shown_in(t, states[i].proto_class, states[i].state)};

		take(ctx, &m);
	}
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		const struct metric m = {.name = ends[i].name,
					 .help = ends[i].help,
					 .type = METRIC_COUNTER,
					 .unit = "",
					 .value = table_ended(t, ends[i].why)};

		take(ctx, &m);
	}
}

/* Checks every index against every record: too slow for anything but a debug build. */
static void take_contradictions(const struct control *c, metric_fn *take, void *ctx)
{
#ifdef NATD_DEBUG
	const char *wrong = nat_check(c->nat);
	const struct metric m = {.name = "table_contradictions",
				 .help = "1: the table contradicts itself (debug builds)",
				 .type = METRIC_GAUGE,
				 .unit = "",
				 .value = wrong != NULL};

	if (wrong)
		log_error(SUB_TABLE, "the table contradicts itself (%s): this is a fault of natd, please report it",
			  wrong);
	take(ctx, &m);
#else
	(void)c, (void)take, (void)ctx;
#endif
}

void metrics_daemon(const struct control *c, metric_fn *take, void *ctx)
{
	struct io_counters io;

	path_counters(c->path, &io);
	for (int i = 0; i < IO_COUNTER_COUNT; i++) {
		const struct metric m = {.name = io_counter_name(i),
					 .help = io_counter_help(i),
					 .type = METRIC_COUNTER,
					 .unit = "",
					 .value = io.value[i]};

		take(ctx, &m);
	}
	take_steering(c->offload, take, ctx);
	take_gauges(c, take, ctx);
	take_sessions(nat_table(c->nat), take, ctx);
	take_contradictions(c, take, ctx);
}
