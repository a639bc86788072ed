/* SPDX-License-Identifier: ISC */
/* How natd is doing: the rates, the line for the service manager, the answers to natctl status and stats. */
#ifndef NATD_DAEMON_STATUS_H
#define NATD_DAEMON_STATUS_H

#include <stddef.h>
#include <stdint.h>

struct control;
struct ctl_sink;

enum status_rate { RATE_OUT_PACKETS, RATE_OUT_BYTES, RATE_IN_PACKETS, RATE_IN_BYTES, RATE_DROPS, RATE_COUNT };

/* Rates come from two samples of the counters, at least a second apart. */
struct status {
	uint64_t sampled_ms;
	uint64_t sample[RATE_COUNT];
	uint64_t rate[RATE_COUNT]; /* a second */
};

/* Takes a sample if the last one is a second old. */
void status_sample(struct control *c);
/* One line for the service manager: sessions, ports, packets a second, the first warning. */
void status_line(struct control *c, char *out, size_t size);
/* For ctl_backend; `ctx` is the struct control. */
void status_answer(void *ctx, struct ctl_sink *sink);
void status_answer_stats(void *ctx, struct ctl_sink *sink);

#endif
