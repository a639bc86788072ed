/* SPDX-License-Identifier: ISC */
/*
 * What the files of json.h share: values, and a whole line. The only includer of jansson.h. All of them make new references;
 * NULL: short of memory. Only printable ASCII leaves.
 */
#ifndef NATD_CLIENT_JSON_PRIVATE_H
#define NATD_CLIENT_JSON_PRIVATE_H

#include "json.h"

#ifdef HAVE_JANSSON

#include <jansson.h>

/* `text` with "?" for everything but printable ASCII, cut to `size`: `plain`. */
const char *json_make_plain(char *plain, size_t size, const char *text);
json_t *json_make_text(const char *text);
json_t *json_make_number(uint64_t value); /* at most INT64_MAX */
json_t *json_make_address(uint32_t address);
/* The port is null for protocols without. */
json_t *json_make_endpoint(const struct ctl_endpoint *e, uint8_t protocol);

/* A member whose name came from natd. */
void json_set_member(json_t *o, const char *name, json_t *value);
/* "time", in seconds since the epoch. */
void json_set_time(json_t *o, uint64_t time_us);

/* Prints `o` on one line, and frees it. False: it could not be made or printed whole; it has `members`. */
bool json_print_line(FILE *f, json_t *o, size_t members);

#endif

#endif
