/* SPDX-License-Identifier: ISC */
/* State that outlives the process: the service manager and its store, and the memory of the table. */
#ifndef NATD_DAEMON_PERSIST_H
#define NATD_DAEMON_PERSIST_H

#include "handover.h"
#include "memory.h"
#include "sdnotify.h"

struct persist {
	struct sdnotify service;
	struct handover handover; /* through `service` */
	struct memory memory;
	const char *state_path; /* natd --state; NULL: none */
};

#endif
