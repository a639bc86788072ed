/* SPDX-License-Identifier: ISC */
/*
 * Parts of one line of the translation log, in either form: a string without its end of line. Nothing in it is trusted: each
 * function is false, or says so otherwise, where the part is missing or malformed. Times are microseconds since the epoch,
 * addresses and ports in host byte order.
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

/* What stands behind `key`; NULL: it is not there. */
const char *logline_value(const char *line, const char *key);
/* A decimal number of at most `max`, which *p then stands behind. */
bool logline_number(const char **p, uint64_t max, uint64_t *out);

bool logline_time(const char *line, enum logline_form form, uint64_t *us);
uint64_t logline_since(const char *line, enum logline_form form); /* 0: it has none */
bool logline_inside(const char *line, enum logline_form form, struct ctl_endpoint *e);
bool logline_protocol(const char *line, enum logline_form form, uint8_t *protocol);
bool logline_id(const char *line, enum logline_form form, uint64_t *id); /* 0: it has none */
/* True where it ended, false where it began; *ok: the line says either. */
bool logline_state(const char *line, enum logline_form form, bool *ok);
bool logline_block(const char *line, enum logline_form form, struct logline_block *b);

#endif
