/* SPDX-License-Identifier: ISC */
/* Rules and tc programs together: functions by which natd.c, start.c and reload.c have packets steered. */
#ifndef NATD_DAEMON_STEER_H
#define NATD_DAEMON_STEER_H

#include <stdbool.h>

#include "daemon/offload/offload.h"

struct natd;
struct setup;

/* Loads the tc programs, if they are to steer: while natd has all rights, before nat_create(). False, after one line
 * in the log: fast_path.steering = "bpf" is impossible. */
bool steer_load(struct natd *n);
/* Takes over programs that the previous natd left attached; if rules steer, after the rules are in force. */
void steer_adopt(struct natd *n);
/* At the end of the start: removes the tc programs that stay attached after a crash and are not used. */
void steer_clean(struct natd *n);
/* Completes a built policy with the effects of steering, before the core gets it. */
void steer_set_policy(const struct natd *n, struct setup *s);
/* Gives the tc programs natd's addresses and ports, after nat_create() or nat_reconfigure(). If they cannot steer,
 * rules do from then on. False, after one line in the log: neither can, or fast_path.steering = "bpf" is impossible. */
bool steer_apply_programs(struct natd *n, struct setup *s);
/* Attaches programs that are missing; policy and steering table are unchanged. */
void steer_repair_programs(struct natd *n);
/* Each second: if the host has begun to filter packets, rules steer from then on; if routes have changed, carried
 * sessions get their MTUs. steer_look() may run in another thread, while the loop's thread waits for it; the loop's
 * thread calls steer_begin_look() before and steer_follow() after it. */
struct steer_look {
	bool has_to_end, has_new_filter;
	char why[OFFLOAD_WHY_SIZE];
};
void steer_begin_look(struct natd *n);
void steer_look(struct natd *n, struct steer_look *l);
void steer_follow(struct natd *n, const struct steer_look *l);
/* After all of that: takes over sessions that the previous natd's programs have carried. */
void steer_adopt_flows(struct natd *n);
/* Each second: the programs may continue to carry sessions. */
void steer_beat(struct natd *n);
/* At the stop, before the rules are removed. */
void steer_stop(struct natd *n);

#endif
