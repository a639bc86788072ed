/* SPDX-License-Identifier: ISC */
/*
 * Checks of backends: by a process without rights, since what backends answer is not for natd to read.
 *
 * Theory of operation. The process is forked before natd gives up its own rights, and gives up all of them at once: user,
 * capabilities, descriptors, system calls. natd sends it the list of backends and how to check each; it sends back which
 * has gone up or down, in records of fixed size (health_record.h). It ends when natd does.
 *
 * natd may fork no more when it serves. So the process has a parent without rights, the keeper, which does nothing but wait for it,
 * and starts another one a second after a fault has ended it. Each begins with HEALTH_BEGUN, and natd sends the list
 * again. Without either of them backends keep the state that they have, and log and doctor say so.
 */
#ifndef NATD_DAEMON_HEALTH_H
#define NATD_DAEMON_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "health_record.h"

struct health;
struct loop;

enum health_process { HEALTH_KEEPER, HEALTH_PROBER };

/* What each process does before it works: gives up what natd has; the prober has given up already what the keeper has. 0, or
 * anything else: both end. */
typedef int health_confine_fn(void *ctx, enum health_process which);

/* Forks the keeper. NULL and errno. */
struct health *health_start(health_confine_fn *confine, void *ctx);

/* `index`: into the list that was sent last. `outcome`: why. */
typedef void health_change_fn(void *ctx, uint32_t index, bool is_up, enum health_outcome outcome);
/* Listens to it from now on. False: memory is short. */
bool health_listen(struct health *h, struct loop *l, health_change_fn *on_change, void *ctx);

/* Sends another list, copied; what it said about the one before is forgotten. False: memory is short, or the process has ended. */
bool health_set(struct health *h, const struct health_target *targets, uint32_t n);
bool health_is_alive(const struct health *h);	  /* NULL: it is not */
uint32_t health_restarts(const struct health *h); /* faults that ended the process so far */
void health_stop(struct health *h);		  /* NULL: nothing */

/* "connection refused", "no answer in time"... */
const char *health_outcome_text(enum health_outcome outcome);

#endif
