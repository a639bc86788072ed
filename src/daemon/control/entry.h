/* SPDX-License-Identifier: ISC */
/* Sessions in the control protocol (struct ctl_entry). */
#ifndef NATD_DAEMON_ENTRY_H
#define NATD_DAEMON_ENTRY_H

#include <stdint.h>

#include "common/ctlrecord.h"
#include "core/base/event.h"
#include "core/nat/nat.h"

/* The IP protocol of a class; `int_port` is used only for CLASS_OTHER, see enum nat_class. */
uint8_t ctl_wire_protocol(enum nat_class c, uint16_t int_port);
/* The open session with that id; false: there is none. */
bool ctl_fill_entry_by_id(struct ctl_entry *e, struct nat *nat, uint64_t id, uint64_t now_ms);
/* The session of an event (EVENT_NEW, EVENT_UPDATE, EVENT_DESTROY, EVENT_REFUSED). */
void ctl_fill_event_entry(struct ctl_entry *e, struct nat *nat, const struct event *ev);

struct ctl_env;
struct ctl_job;

/* For `list -z`: allocates the counters' bases, or sets the job's failure. */
void ctl_begin_zero(struct ctl_job *j, const struct ctl_env *env);

#endif
