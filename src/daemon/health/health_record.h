/* SPDX-License-Identifier: ISC */
/*
 * What natd and the process that checks backends say to each other, over one SOCK_SEQPACKET pair: a record a message, of
 * fixed size, native layout, since both are one program. Addresses and ports are in host byte order.
 */
#ifndef NATD_DAEMON_HEALTH_RECORD_H
#define NATD_DAEMON_HEALTH_RECORD_H

#include <stdint.h>

#include "daemon/config/config.h"

enum { HEALTH_LIST_BEGIN = 1, HEALTH_LIST_TARGET, HEALTH_LIST_END };

struct health_target {
	uint32_t address;
	uint16_t port;
	uint8_t is_up; /* as natd sees it when the list is sent */
	uint8_t spare;
	struct config_check check;
};

/* To the process: a list, which replaces the one before. */
struct health_order {
	uint32_t kind; /* HEALTH_LIST_ */
	uint32_t generation;
	uint32_t index; /* of HEALTH_LIST_TARGET: from 0 up; of HEALTH_LIST_BEGIN: how many will follow */
	struct health_target target;
};

enum health_outcome {
	HEALTH_GOOD,
	HEALTH_REFUSED,
	HEALTH_TIMEOUT,
	HEALTH_UNREACHABLE,
	HEALTH_NO_HTTP, /* its answer is no HTTP */
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
