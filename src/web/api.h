/* SPDX-License-Identifier: ISC */
/* /api/...: the JSON of natctl's read-only commands (docs/web.md). Each function answers its task. */
#ifndef NATD_WEB_API_H
#define NATD_WEB_API_H

struct task;

void api_status(struct task *t);
void api_stats(struct task *t);
void api_pools(struct task *t);
void api_list(struct task *t);
void api_hosts(struct task *t);
void api_history(struct task *t);
void api_who(struct task *t);

#endif
