/* SPDX-License-Identifier: ISC */
/*
 * Parts of one line of the translation log, in either format: a string without newline. Nothing in it is trusted: each
 * function returns false, or as noted, if the part is missing or malformed. Times are microseconds since the epoch,
 * addresses and ports are in host byte order.
 */
#ifndef NATD_CTL_LOGLINE_H
#define NATD_CTL_LOGLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlrecord.h"

enum logline_form { LOGLINE_JSON, LOGLINE_TEXT, LOGLINE_FORMS };

struct logline_block {
	uint32_t host;
	uint16_t first, last;
};

/* The text after `key`; NULL: there is no such key. */
const char *logline_value(const char *line, const char *key);
/* Parses a decimal number of at most `max` and moves *p behind it. */
bool logline_number(const char **p, uint64_t max, uint64_t *out);

bool logline_time(const char *line, enum logline_form form, uint64_t *us);
uint64_t logline_since(const char *line, enum logline_form form); /* 0: there is none */
bool logline_inside(const char *line, enum logline_form form, struct ctl_endpoint *e);
bool logline_protocol(const char *line, enum logline_form form, uint8_t *protocol);
bool logline_id(const char *line, enum logline_form form, uint64_t *id); /* 0: there is none */
/* True for an end, false for a beginning; *ok: the line has either. */
bool logline_state(const char *line, enum logline_form form, bool *ok);
bool logline_block(const char *line, enum logline_form form, struct logline_block *b);

#endif
