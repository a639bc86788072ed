/* SPDX-License-Identifier: ISC */
/*
 * From natd's events to an outlet, without a gap: see follow.c.
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
	const char *socket; /* natd's */
	enum config_tlog_what what;
	uint32_t kinds; /* of events */
	bool has_destinations;
	uint64_t target; /* see struct cursor */
	struct outlet *outlet;
	struct cursor_file *cursor;
	void (*on_ready)(void *ctx); /* once: natd has answered, or does not for now */
	void *ctx;
};

/* All of it is borrowed. NULL when memory is short. */
struct follow *follow_start(const struct follow_params *p);
void follow_reopen(struct follow *f); /* SIGHUP */
/* Hands over what it has, for a second at most, and writes the cursor. NULL: nothing. */
void follow_stop(struct follow *f);

#endif
