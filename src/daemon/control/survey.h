/* SPDX-License-Identifier: ISC */
/*
 * The traffic and the rates of each inside host, for natctl hosts and top and for exporters.
 *
 * Nothing is counted per host while packets pass. On a client's request, one pass over the table sums everything up
 * (theory: core/table/survey.c), a slice at a time, and all requests of that time share it. Its result is used for
 * SURVEY_FRESH_MS; rates are the difference to the previous pass, if that is not older than SURVEY_OLD_MS. Memory: 80
 * bytes a host, and none after SURVEY_OLD_MS without a request.
 */
#ifndef NATD_DAEMON_SURVEY_H
#define NATD_DAEMON_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"
#include "request.h"

enum { SURVEY_FRESH_MS = 1000, SURVEY_OLD_MS = 60000 };

struct survey_pass {
	struct host_sum *sums; /* owned; NULL: none */
	uint32_t n;
	uint64_t begun_ms;
};

struct survey {
	struct survey_pass now, before;
	bool is_running; /* `now` is being made */
	uint64_t used_ms;
};

/* Zeroed is empty. */
void survey_free(struct survey *s, struct nat *nat);
/* Frees its memory once it is old. Call it about every second. */
void survey_tick(struct survey *s, struct nat *nat, uint64_t now_ms);

/* For the table of requests. */
const char *ctl_object_to_hosts(const union ctl_args *args);
void ctl_slice_hosts(struct ctl_job *j, const struct ctl_turn *t);

#endif
