/* SPDX-License-Identifier: ISC */
/*
 * natd's figures as text for Prometheus: OpenMetrics 1.0 or text format 0.0.4. Pure but for the stream.
 *
 * Names follow Prometheus: prefix natd_, base units, suffix _total for counters. Counters of natctl stats that differ
 * only by reason form one metric with the counter's name as label `reason`. Every other counter, including those of
 * later versions of natd, becomes a metric of its own.
 */
#ifndef NATD_WEB_METRICS_H
#define NATD_WEB_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/ctlhost.h"
#include "common/ctlrecord.h"
#include "common/ctlstatus.h"
#include "web.h"

struct metrics {
	bool is_openmetrics;
	bool is_up;	     /* else there are only natd-web's own figures */
	const char *version; /* of natd */
	const struct ctl_counter *counters;
	size_t n_counters;
	const struct ctl_pool *pools;
	size_t n_pools;
	const struct ctl_pool *others; /* the sum of the addresses beyond WEB_ADDRESSES_MAX; NULL: there are none */
	const struct ctl_host *hosts;  /* the busiest ones, if enabled */
	size_t n_hosts;
	const struct web_stats *web;
	uint32_t clients;
};

void metrics_write(FILE *f, const struct metrics *m);

/* Does this Accept header (NULL: none) prefer OpenMetrics, or rank it equal to plain text? */
bool metrics_wants_openmetrics(const char *accept);

#endif
