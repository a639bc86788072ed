/* SPDX-License-Identifier: ISC */
/* The query of a request: `limit`, `soft`, `endpoint`, `at`, `hosts`, `sort` and the filter, by natctl's names
 * (orig-src, dport...). */
#ifndef NATD_WEB_PARAMS_H
#define NATD_WEB_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlfilter.h"
#include "common/ctlrecord.h"

/* The parameters that a path accepts. */
enum {
	PARAM_LIMIT = 1,
	PARAM_FILTER = 2,
	PARAM_ENDPOINT = 4, /* with `protocol` and `at` */
	PARAM_SINCE = 8,
	PARAM_HOSTS = 16,
	PARAM_SORT = 32,
};

struct params {
	struct ctl_filter filter;
	struct ctl_who who; /* of `endpoint` */
	uint64_t at_us;	    /* since the epoch; 0: now */
	uint64_t since;	    /* of samples: those with a higher number */
	uint32_t limit;	    /* records */
	uint8_t order;	    /* enum ctl_order */
	bool is_soft;	    /* natd's absence is not an error of the request: status 200 */
	uint32_t hosts;	    /* busiest hosts in /metrics */
	char wrong[160];    /* why the request is refused: one line */
};

/* `query` is the raw text behind the "?"; NULL: none. False: p->wrong says why. */
bool params_parse(struct params *p, const char *query, unsigned takes);

#endif
