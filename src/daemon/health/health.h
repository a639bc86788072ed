/* SPDX-License-Identifier: ISC */
/*
 * Health checks of backends, in a process without rights, because natd must not parse backends' answers.
 *
 * Theory of operation. The process is forked before natd drops its own rights, and drops all of them at once: user,
 * capabilities, descriptors, system calls. natd sends it the list of backends with their checks; it reports which have
 * gone up or down, in records of fixed size (health_record.h). It ends when natd does.
 *
 * natd cannot fork any more once it serves. So the process has a parent without rights, the keeper, which only waits
 * for it and starts another one a second after a fault has ended it. Each process first sends HEALTH_BEGUN, and natd
 * sends the list again. Without either process backends keep their state, and log and doctor say so.
 */
#ifndef NATD_DAEMON_HEALTH_H
#define NATD_DAEMON_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "health_record.h"

struct health;
struct loop;

enum health_process { HEALTH_KEEPER, HEALTH_PROBER };

/* Called in each process before it works: drops natd's rights; the prober has already dropped what the keeper has.
 * Returns 0; anything else ends both. */
typedef int health_confine_fn(void *ctx, enum health_process which);

/* Forks the keeper. NULL and errno on failure. */
struct health *health_start(health_confine_fn *confine, void *ctx);

/* `index`: into the last list that was sent. `outcome`: the reason. */
typedef void health_change_fn(void *ctx, uint32_t index, bool is_up, enum health_outcome outcome);
/* After one or more changes that came together. */
typedef void health_turn_fn(void *ctx);
/* Receives changes from now on. False: out of memory. */
bool health_listen(struct health *h, struct loop *l, health_change_fn *on_change, health_turn_fn *on_turn, void *ctx);

/* Sends another list, which is copied; reports about the previous one are ignored. False: out of memory, or the
 * process has ended. */
bool health_set(struct health *h, const struct health_target *targets, uint32_t n);
bool health_is_alive(const struct health *h);	  /* NULL: false */
uint32_t health_restarts(const struct health *h); /* faults that have ended the process so far */
void health_stop(struct health *h);		  /* NULL is allowed */

/* "connection refused", "no answer in time"... */
const char *health_outcome_text(enum health_outcome outcome);

#endif
