/* SPDX-License-Identifier: ISC */
/*
 * JSON output. Without jansson json_is_built_in() is false, and nothing else may be called. Listings are one object a
 * line; other commands collect one object and print it at the end.
 */
#ifndef NATD_CLIENT_JSON_H
#define NATD_CLIENT_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "common/ctlevent.h"
#include "common/ctlexplain.h"
#include "common/ctlforward.h"
#include "common/ctlhost.h"
#include "common/ctlrecord.h"
#include "common/ctlstatus.h"

bool json_is_built_in(void);

/* One line each. False: short of memory. */
bool json_print_entry(FILE *f, const struct ctl_entry *e);
bool json_print_block(FILE *f, const struct ctl_block *b, uint64_t since_s);
bool json_print_event(FILE *f, const struct ctl_event *e);
bool json_print_history(FILE *f, const struct ctl_event *e, uint64_t ended_ago_s);
/* Times are microseconds since the epoch; 0: unknown. */
bool json_print_holder(FILE *f, const struct ctl_mapping *m, uint64_t since_us, uint64_t until_us);
/* The host that holds the block with the outside endpoint; protocol 0: any. */
bool json_print_block_holder(FILE *f, const struct ctl_block *b, const struct ctl_who *q, uint64_t since_us,
			     uint64_t until_us);
bool json_print_lost(FILE *f, uint64_t count);
bool json_print_mapping(FILE *f, const struct ctl_mapping *m);
bool json_print_host(FILE *f, const struct ctl_host *h);

/* An object under construction. Once memory is short, every call is ignored and json_print() returns false. */
struct json_object;

struct json_object *json_create(void);
void json_add_number(struct json_object *o, const char *name, uint64_t value);
void json_add_bool(struct json_object *o, const char *name, bool value);
void json_add_text(struct json_object *o, const char *name, const char *text); /* NULL: null */
void json_add_time(struct json_object *o, uint64_t time_us);		       /* "time", in seconds since the epoch */
/* Adds an element to the array `name`. json_add_list() creates the array, empty, unless it exists. */
void json_add_list(struct json_object *o, const char *name);
void json_add_element(struct json_object *o, const char *name, const char *text);
void json_add_forward(struct json_object *o, const char *name, const struct ctl_forward *w);
void json_add_backend(struct json_object *o, const char *name,
		      const struct ctl_backend_state *b); /* to the last forward */
void json_add_pool(struct json_object *o, const char *name, const struct ctl_pool *p);
void json_add_check(struct json_object *o, const char *name, const struct ctl_check *c);
void json_add_warning(struct json_object *o, const struct ctl_check *c); /* to "warnings" */
void json_add_item(struct json_object *o, const struct ctl_item *i);	 /* of a status */
void json_add_step(struct json_object *o, const struct ctl_step *s);	 /* to "steps" */
void json_add_verdict(struct json_object *o, const struct ctl_verdict *v);
/* Prints it on one line and frees it. */
bool json_print(FILE *f, struct json_object *o);
/* Frees it without printing. NULL is allowed. */
void json_destroy(struct json_object *o);

#endif
