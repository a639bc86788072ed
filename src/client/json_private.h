/* SPDX-License-Identifier: ISC */
/*
 * Shared by the files behind json.h: values, and a whole line. Only these files include jansson.h. All functions return
 * new references; NULL: out of memory. Output is printable ASCII only.
 */
#ifndef NATD_CLIENT_JSON_PRIVATE_H
#define NATD_CLIENT_JSON_PRIVATE_H

#include "json.h"

#ifdef HAVE_JANSSON

#include <jansson.h>

/* Copies `text` to `plain`, with "?" for everything but printable ASCII, cut to `size`. Returns `plain`. */
const char *json_make_plain(char *plain, size_t size, const char *text);
json_t *json_make_text(const char *text);
json_t *json_make_number(uint64_t value); /* at most INT64_MAX */
json_t *json_make_address(uint32_t address);
/* The port is null for protocols without ports. */
json_t *json_make_endpoint(const struct ctl_endpoint *e, uint8_t protocol);

/* Sets a member whose name came from natd. */
void json_set_member(json_t *o, const char *name, json_t *value);
/* "time", in seconds since the epoch. */
void json_set_time(json_t *o, uint64_t time_us);

/* Prints `o` on one line and frees it. False: it was not built or printed whole. A whole object has `members`
 * members. */
bool json_print_line(FILE *f, json_t *o, size_t members);

#endif

#endif
