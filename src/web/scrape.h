/* SPDX-License-Identifier: ISC */
/* /metrics: asks natd for stats and pools, and writes them as metrics.h has it. */
#ifndef NATD_WEB_SCRAPE_H
#define NATD_WEB_SCRAPE_H

struct task;

void scrape_start(struct task *t);

#endif
