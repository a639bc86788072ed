/* SPDX-License-Identifier: ISC */
/*
 * Everything that natd measures about itself, as one list: stats shows it, natctl(8) explains it (a check compares
 * the two), and exporters read name, type and unit from it. The core's counters come from core/base/reason.h, those
 * of the descriptors from path/iocounter.h, the gauges from the list below. Add a row, never rename one.
 */
#ifndef NATD_DAEMON_METRICS_H
#define NATD_DAEMON_METRICS_H

#include <stdint.h>

struct control;
struct nat;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
	const char *name;
	const char *help;
	enum metric_type type;
	const char *unit; /* "packets", "bytes"; "" for a bare number */
	uint64_t value;
};

/* clang-format off */
#define METRIC_GAUGE_LIST(X)                                                                                       \
	X(control_clients,         "",      "control clients connected now")                                       \
	X(event_readers,           "",      "of these, subscribed to events")                                          \
	X(memory_resident,         "bytes", "bytes of memory that natd holds")                                     \
	X(sessions_open,           "",      "sessions in the table now")                                           \
	X(sessions_limit,          "",      "limits.sessions")                                                     \
	X(mappings_open,           "",      "mappings now")                                                        \
	X(hosts_active,            "",      "inside hosts with sessions now")                                      \
	X(table_bytes,             "bytes", "bytes of memory that the connection table has touched")               \
	X(table_bytes_per_session, "bytes", "the same for each session that is in it now")
/* clang-format on */

typedef void metric_fn(void *ctx, const struct metric *m);

/* Calls `take` for each of the core's counters, and for each of the others. */
void metrics_core(const struct nat *nat, metric_fn *take, void *ctx);
void metrics_daemon(const struct control *c, metric_fn *take, void *ctx);

#endif
