/* SPDX-License-Identifier: ISC */
/* Evaluates one check, and several in a row. Pure. */
#ifndef NATD_DAEMON_HEALTH_JUDGE_H
#define NATD_DAEMON_HEALTH_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct health_judge {
	bool is_up;
	uint32_t streak; /* consecutive checks that contradict is_up */
};

/* Adds one check's outcome. True: the state has changed. */
bool health_judge(struct health_judge *j, bool is_good, uint32_t rise, uint32_t fall);

enum { HEALTH_STATUS_MORE = -1, HEALTH_STATUS_BAD = -2, HEALTH_STATUS_LEN = 13 };

/* The status of an HTTP answer that begins with these bytes; HEALTH_STATUS_MORE: too few bytes; HEALTH_STATUS_BAD:
 * not HTTP. HEALTH_STATUS_LEN bytes are always enough. */
int health_status(const uint8_t *bytes, size_t len);

#endif
