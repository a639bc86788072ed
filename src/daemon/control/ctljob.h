/* SPDX-License-Identifier: ISC */
/*
 * Requests whose answer may be long, as jobs that run in slices: connections (list, count, delete,
 * flush), mappings, forwards, pools. A job is plain data and holds nothing: throwing it away is enough.
 */
#ifndef NATD_DAEMON_CTLJOB_H
#define NATD_DAEMON_CTLJOB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlrecord.h"

struct nat;

struct ctl_job {
	uint8_t type; /* enum ctl_type; 0: no job */
	bool is_done;
	struct ctl_filter filter;
	uint64_t count;	  /* records that matched so far */
	uint32_t cursor;  /* connections: of table_next(); forwards: index */
	uint64_t address; /* mappings, pools: the lowest outside address still to be looked at */
	uint8_t class_;	  /* mappings: where to go on within that address */
	uint32_t port;
};

/* `filter` is read by list, count and delete only. */
void ctl_job_start(struct ctl_job *j, enum ctl_type type, const struct ctl_filter *filter);
/* Goes on for about `visits` records, or until `w` has no room for one more. */
void ctl_job_slice(struct ctl_job *j, struct nat *nat, struct ctl_writer *w, uint32_t visits, uint64_t now_ms);

#endif
