/* SPDX-License-Identifier: ISC */
/*
 * Copies natd's events to an outlet without gaps: see follow.c.
 */
#ifndef NATD_LOG_FOLLOW_H
#define NATD_LOG_FOLLOW_H

#include "cursor.h"
#include "daemon/config/config.h"
#include "outlet.h"

struct event_base;
struct follow;

struct follow_params {
	struct event_base *base;
	const char *socket; /* natd's control socket */
	enum config_tlog_what what;
	uint32_t kinds; /* kinds of events to follow */
	bool has_destinations;
	uint64_t target; /* see struct cursor */
	struct outlet *outlet;
	struct cursor_file *cursor;
	/* Called once: natd has answered, or the first attempt to connect has failed. */
	void (*on_ready)(void *ctx);
	void *ctx;
};

/* Everything in `p` is borrowed. NULL: out of memory. */
struct follow *follow_start(const struct follow_params *p);
void follow_reopen(struct follow *f); /* on SIGHUP */
/* Hands over what is buffered, for at most a second, and saves the cursor. NULL is allowed. */
void follow_stop(struct follow *f);

#endif
