/* SPDX-License-Identifier: ISC */
/*
 * Everything that natd measures about itself, as one list: stats shows it, natctl(8) explains it (a check compares the
 * two), and exporters read name, type and unit from it. The core's counters come from core/base/reason.h, those of the
 * descriptors from path/iocounter.h, the gauges from the list below. Add rows, never rename one.
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
	const char *unit; /* "packets", "bytes"; "": none */
	uint64_t value;
};

/* clang-format off */
#define METRIC_GAUGE_LIST(X)                                                                                       \
	X(control_clients,         "",      "control clients connected now")                                       \
	X(event_readers,           "",      "of these, subscribed to events")                                          \
	X(memory_resident,         "bytes", "bytes of memory that natd holds")                                     \
	X(sessions_open,           "",      "sessions in the table now")                                           \
	X(sessions_limit,          "",      "limits.sessions")                                                     \
	X(fast_sessions,           "",      "sessions that the fast path carries now")                             \
	X(mappings_open,           "",      "mappings now")                                                        \
	X(hosts_active,            "",      "inside hosts with sessions now")                                      \
	X(table_bytes,             "bytes", "bytes of memory that the connection table has touched")               \
	X(table_bytes_per_session, "bytes", "the same for each session that is in it now")                         \
	X(uptime,                  "seconds", "since natd was started")                                            \
	X(backends_up,             "",      "backends of balanced forwards that take connections")                 \
	X(backends_down,           "",      "backends that are down, as their checks say")                         \
	X(backends_drained,        "",      "backends that natctl backend has drained")                            \
	X(alarm_ports,             "",      "1: the alarm of alarms.ports is raised")                              \
	X(alarm_sessions,          "",      "1: the alarm of alarms.sessions is raised")                           \
	X(alarm_events,            "",      "1: readers lost events in the last minute")

/* The same for counters, which only grow while natd runs. */
#define METRIC_COUNTER_LIST(X)                                                                                     \
	X(fast_packets,            "packets", "packets that the fast path carried")                                \
	X(fast_bytes,              "bytes", "bytes of these")                                                      \
	X(fast_shown,              "",      "sessions given to the fast path")                     \
	X(fast_idle,               "",      "sessions taken from the fast path: idle")                             \
	X(fast_stopped,            "",      "sessions taken from the fast path: by SYN, FIN or RST")               \
	X(fast_full,               "",      "sessions not given to the fast path: no room")                        \
	X(events_recorded,         "",      "events recorded: ended sessions, and what readers subscribed to")     \
	X(events_lost,             "",      "of these, overwritten before a reader had them")                      \
	X(tun_queue_dropped,       "",      "packets that the TUN's queue lost before natd read them, since it was made") \
	X(events_refused_omitted,  "",      "refused openings that no event tells of: more than 256 a second")

/* Current sessions, by protocol and state: class, state of the protocol, help. */
#define METRIC_STATE_LIST(X)                                                                                       \
	X(sessions_tcp_syn_sent,    CLASS_TCP,   CTL_STATE_SYN_SENT,    "TCP sessions in SYN_SENT")                \
	X(sessions_tcp_syn_sent2,   CLASS_TCP,   CTL_STATE_SYN_SENT2,   "TCP sessions in SYN_SENT2")               \
	X(sessions_tcp_syn_recv,    CLASS_TCP,   CTL_STATE_SYN_RECV,    "TCP sessions in SYN_RECV")                \
	X(sessions_tcp_established, CLASS_TCP,   CTL_STATE_ESTABLISHED, "TCP sessions in ESTABLISHED")             \
	X(sessions_tcp_fin_wait,    CLASS_TCP,   CTL_STATE_FIN_WAIT,    "TCP sessions in FIN_WAIT")                \
	X(sessions_tcp_close_wait,  CLASS_TCP,   CTL_STATE_CLOSE_WAIT,  "TCP sessions in CLOSE_WAIT")              \
	X(sessions_tcp_last_ack,    CLASS_TCP,   CTL_STATE_LAST_ACK,    "TCP sessions in LAST_ACK")                \
	X(sessions_tcp_time_wait,   CLASS_TCP,   CTL_STATE_TIME_WAIT,   "TCP sessions in TIME_WAIT")               \
	X(sessions_tcp_close,       CLASS_TCP,   CTL_STATE_CLOSE,       "TCP sessions in CLOSE")                   \
	X(sessions_udp_unreplied,   CLASS_UDP,   CTL_STATE_SYN_SENT,    "UDP sessions without an answer")          \
	X(sessions_udp_replied,     CLASS_UDP,   CTL_STATE_ESTABLISHED, "UDP sessions with packets both ways")     \
	X(sessions_icmp_unreplied,  CLASS_ICMP,  CTL_STATE_SYN_SENT,    "ICMP sessions without an answer")         \
	X(sessions_icmp_replied,    CLASS_ICMP,  CTL_STATE_ESTABLISHED, "ICMP sessions with packets both ways")    \
	X(sessions_other_unreplied, CLASS_OTHER, CTL_STATE_SYN_SENT,    "sessions of other protocols without an answer") \
	X(sessions_other_replied,   CLASS_OTHER, CTL_STATE_ESTABLISHED, "sessions of other protocols with packets both ways")

/* Sessions that have ended since natd's start, by reason. */
#define METRIC_ENDED_LIST(X)                                                                                       \
	X(sessions_ended_timeout,      SESSION_END_TIMEOUT,      "sessions ended: idle for too long")              \
	X(sessions_ended_closed,       SESSION_END_CLOSED,       "sessions ended: closed by FINs")                 \
	X(sessions_ended_reset,        SESSION_END_RESET,        "sessions ended: by an RST")                      \
	X(sessions_ended_deleted,      SESSION_END_DELETED,      "sessions ended: by natctl delete")               \
	X(sessions_ended_flushed,      SESSION_END_FLUSHED,      "sessions ended: by natctl flush")                \
	X(sessions_ended_reload,       SESSION_END_RELOAD,       "sessions ended: a new configuration forbids them") \
	X(sessions_ended_address_lost, SESSION_END_ADDRESS_LOST, "sessions ended: their outside address is gone")  \
	X(sessions_ended_filtered,     SESSION_END_FILTERED,     "sessions ended: a filter rule forbids them")     \
	X(sessions_ended_backend_down, SESSION_END_BACKEND_DOWN, "sessions ended: their backend is down")          \
	X(sessions_ended_replaced,     SESSION_END_REPLACED,     "sessions ended: they gave way to another one")
/* clang-format on */

typedef void metric_fn(void *ctx, const struct metric *m);

/* Calls `take` for each of the core's counters; and for each of the others. */
void metrics_core(const struct nat *nat, metric_fn *take, void *ctx);
void metrics_daemon(const struct control *c, metric_fn *take, void *ctx);

#endif
