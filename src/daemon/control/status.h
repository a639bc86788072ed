/* SPDX-License-Identifier: ISC */
/* natd's state: the rates, the line for the service manager, the answers to natctl status and stats. */
#ifndef NATD_DAEMON_STATUS_H
#define NATD_DAEMON_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/reason.h"

struct control;
struct ctl_sink;

enum status_rate { RATE_OUT_PACKETS, RATE_OUT_BYTES, RATE_IN_PACKETS, RATE_IN_BYTES, RATE_DROPS, RATE_COUNT };

/* Rates come from two samples of the counters, at least a second apart. */
struct status {
	uint64_t sampled_ms;
	uint64_t sample[RATE_COUNT];
	uint64_t rate[RATE_COUNT]; /* a second */
	/* By reason: the counter at the last check, and when it last grew (0: never). */
	uint64_t seen[COUNT_OUT_PACKETS];
	uint64_t grew_ms[COUNT_OUT_PACKETS];
	/* Packets that the kernel dropped in the TUN's own queue, since the device was created. */
	uint64_t tun_dropped;
	uint64_t tun_dropped_ms; /* when the number last grew; 0: never */
};

/* Reads the number of packets lost in the TUN's queue. */
void status_look_at_queue(struct control *c);
/* Were packets lost there within the last minute? */
bool status_queue_lost_lately(const struct control *c);
/* Takes a sample if the last one is a second old. */
void status_sample(struct control *c);
/* Notes which drop counters have grown. */
void status_note_drops(struct control *c);
/* Has that counter grown within the last minute? */
bool status_has_recent(const struct control *c, enum nat_reason reason);
/* One line for the service manager: sessions, ports, packets a second, the first warning. */
void status_line(struct control *c, char *out, size_t size);
/* For ctl_backend; `ctx` is the struct control. */
void status_answer(void *ctx, struct ctl_sink *sink);
void status_answer_stats(void *ctx, struct ctl_sink *sink);

#endif
