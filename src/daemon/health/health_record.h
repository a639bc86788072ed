/* SPDX-License-Identifier: ISC */
/*
 * Messages between natd and the process that checks backends, over one SOCK_SEQPACKET pair: one record a message, of
 * fixed size and native layout, since both are one program. Addresses and ports are in host byte order.
 */
#ifndef NATD_DAEMON_HEALTH_RECORD_H
#define NATD_DAEMON_HEALTH_RECORD_H

#include <stdint.h>

#include "daemon/config/config.h"

enum { HEALTH_LIST_BEGIN = 1, HEALTH_LIST_TARGET, HEALTH_LIST_END };

struct health_target {
	uint32_t address;
	uint16_t port;
	uint8_t is_up; /* natd's state when the list is sent */
	uint8_t spare;
	struct config_check check;
};

/* To the process: parts of a list, which replaces the previous one. */
struct health_order {
	uint32_t kind; /* HEALTH_LIST_ */
	uint32_t generation;
	uint32_t index; /* of HEALTH_LIST_TARGET: counts up from 0; of HEALTH_LIST_BEGIN: how many follow */
	struct health_target target;
};

enum health_outcome {
	HEALTH_GOOD,
	HEALTH_REFUSED,
	HEALTH_TIMEOUT,
	HEALTH_UNREACHABLE,
	HEALTH_NO_HTTP, /* its answer is not HTTP */
	HEALTH_STATUS,	/* ... or has another status */
	HEALTH_OUTCOMES,
	HEALTH_BEGUN = 255
};

/* To natd: a backend has gone up or down; or HEALTH_BEGUN, first of all: the process has no list yet. */
struct health_change {
	uint32_t generation;
	uint32_t index;
	uint32_t is_up;
	uint32_t outcome; /* enum health_outcome, of the check that decided */
};

enum { HEALTH_TARGETS_MAX = 65536 };

#endif
