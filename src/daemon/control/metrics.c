/* SPDX-License-Identifier: ISC */
/* The list of metrics, and how each gauge is read. */
#include "metrics.h"

#include <stddef.h>

#include "control.h"
#include "daemon/base/log.h"

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

/* ---- gauges: read_NAME() for each row of METRIC_GAUGE_LIST ---- */

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

static void take_gauges(const struct control *c, metric_fn *take, void *ctx)
{
	static const struct {
		const char *name, *unit, *help;
		uint64_t (*read)(const struct control *c);
	} gauges[] = {
#define X(name, unit, help) {#name, unit, help, read_##name},
		METRIC_GAUGE_LIST(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(gauges) / sizeof(*gauges); i++) {
		const struct metric m = {.name = gauges[i].name,
					 .help = gauges[i].help,
					 .type = METRIC_GAUGE,
					 .unit = gauges[i].unit,
					 .value = gauges[i].read(c)};

		take(ctx, &m);
	}
}

/* Every index against every record: too slow for anything but a debug build. */
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
		log_error(SUB_TABLE, "the table contradicts itself: %s", wrong);
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
	take_gauges(c, take, ctx);
	take_contradictions(c, take, ctx);
}
