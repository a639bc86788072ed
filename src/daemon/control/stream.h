/* SPDX-License-Identifier: ISC */
/*
 * The request "monitor": events for a control client.
 *
 * Theory of operation. A subscription is a job without an end (unless it wants only events that exist already). It
 * holds two cursors, one for each of the core's rings (core/base/event.h), and copies a few records at a time into the
 * client's output. A client that does not read makes no progress and costs nothing: its cursors fall behind, and the
 * next record that it gets is the number of events overwritten meanwhile. When nothing is left the job waits, and the
 * server's timer wakes it when a ring has grown.
 */
#ifndef NATD_DAEMON_STREAM_H
#define NATD_DAEMON_STREAM_H

#include "common/ctlevent.h"
#include "request.h"

struct event;
struct nat;

enum { EVENT_HAS_ENDED = 1 }; /* a flag of the events that the daemon appends */

void ctl_slice_monitor(struct ctl_job *j, const struct ctl_turn *t);
/* Sets the cursors to the start of the subscription. */
void ctl_begin_monitor(struct ctl_job *j, const struct ctl_env *env);

uint64_t ctl_real_now_us(void); /* since the epoch */

/* The types of the core's events (1 << enum event_type) for these kinds. */
uint32_t ctl_event_types(uint32_t kinds);

/* `now_ms` is the core's clock, `real_us` the time since the epoch at the same moment. */
void ctl_fill_event(struct ctl_event *e, struct nat *nat, const struct event *ev, uint64_t now_ms, uint64_t real_us);

#endif
