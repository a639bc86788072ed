/* SPDX-License-Identifier: ISC */
/* /metrics: fetches stats and pools from natd and writes them by metrics.h. */
#ifndef NATD_WEB_SCRAPE_H
#define NATD_WEB_SCRAPE_H

struct task;

void scrape_start(struct task *t);

#endif
