/* SPDX-License-Identifier: ISC */
/* Rules and tc programs together: what natd.c, start.c and reload.c do to have packets steered. */
#ifndef NATD_DAEMON_STEER_H
#define NATD_DAEMON_STEER_H

#include <stdbool.h>

#include "daemon/offload/offload.h"

struct natd;
struct setup;

/* Loads the tc programs, if they are to steer: while every right is there, before nat_create(). False, after one line in the
 * log: fast_path.steering = "bpf" cannot be. */
bool steer_load(struct natd *n);
/* Takes over what the previous natd left attached; where rules steer, after they are in force. */
void steer_adopt(struct natd *n);
/* What the steering adds to a policy that was built: before the core gets it. */
void steer_set_policy(const struct natd *n, struct setup *s);
/* Shows the tc programs what is natd's, after nat_create() or nat_reconfigure(); where they cannot steer, rules do from
 * then on. False, after one line in the log: neither can, or fast_path.steering = "bpf" cannot be. */
bool steer_apply_programs(struct natd *n, struct setup *s);
/* Attaches the programs where they are missing: neither policy nor steering table has changed. */
void steer_repair_programs(struct natd *n);
/* Each second: where the host has begun to filter packets, rules steer from then on. The look may be taken in another thread, while
 * the loop's waits for it; the loop's thread follows it. */
struct steer_look {
	bool has_to_end, has_new_filter;
	char why[OFFLOAD_WHY_SIZE];
};
void steer_look(struct natd *n, struct steer_look *l);
void steer_follow(struct natd *n, const struct steer_look *l);
/* After all of that: takes over what the programs of the previous natd have carried. */
void steer_adopt_flows(struct natd *n);
/* Each second: the programs may carry sessions on. */
void steer_beat(struct natd *n);
/* At the stop, before the rules go. */
void steer_stop(struct natd *n);

#endif
