/* SPDX-License-Identifier: ISC */
/*
 * Samples natd every WEB_SAMPLE_MS and keeps the rates of the last minutes, so that the page shows its curves as soon
 * as it opens. Also keeps facts about natd that other files need between requests.
 */
#ifndef NATD_WEB_SAMPLER_H
#define NATD_WEB_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

struct task;
struct web;

/* Sets web->sampler and starts sampling. False: out of memory. */
bool sampler_open(struct web *web);
void sampler_close(struct web *web);

/* /api/rates: the samples after number `since`, as columns. */
void sampler_answer(struct task *t);

/* The number of the newest event seen; 0: none. Forgotten when natd goes away. */
struct sampler;
uint64_t sampler_last_event(const struct sampler *s);
void sampler_note_event(struct sampler *s, uint64_t sequence);
void sampler_forget_events(struct sampler *s);

#endif
