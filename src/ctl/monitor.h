/* SPDX-License-Identifier: ISC */
/* Events as text, for natctl monitor and history. */
#ifndef NATD_CTL_MONITOR_H
#define NATD_CTL_MONITOR_H

#include <stdio.h>

#include "common/ctlevent.h"
#include "options.h"

/* Target: a struct monitor_choice. */
extern const struct option_set monitor_options;
/* Target: a struct who_choice of cmd_who.c. */
extern const struct option_set who_options;

struct monitor_choice {
	uint32_t kinds; /* 1 << enum ctl_event_kind */
	uint64_t count; /* events to show; 0: no limit */
};

/* Prints an event as conntrack -E does, if conntrack has that kind. `line`: LINE_ bits. */
void monitor_print_line(FILE *f, const struct ctl_event *e, unsigned line);

#endif
