/* SPDX-License-Identifier: ISC */
/* json.h without jansson. Only json_is_built_in() is ever called; the others let commands be written without
 * conditions. */
#include "json.h"

#ifndef HAVE_JANSSON

bool json_is_built_in(void)
{
	return false;
}

bool json_print_entry(FILE *f, const struct ctl_entry *e)
{
	(void)f, (void)e;
	return false;
}

bool json_print_event(FILE *f, const struct ctl_event *e)
{
	(void)f, (void)e;
	return false;
}

bool json_print_history(FILE *f, const struct ctl_event *e, uint64_t ended_ago_s)
{
	(void)f, (void)e, (void)ended_ago_s;
	return false;
}

bool json_print_holder(FILE *f, const struct ctl_mapping *m, uint64_t since_us, uint64_t until_us)
{
	(void)f, (void)m, (void)since_us, (void)until_us;
	return false;
}

bool json_print_block(FILE *f, const struct ctl_block *b, uint64_t since_s)
{
	(void)f, (void)b, (void)since_s;
	return false;
}

bool json_print_block_holder(FILE *f, const struct ctl_block *b, const struct ctl_who *q, uint64_t since_us,
			     uint64_t until_us)
{
	(void)f, (void)b, (void)q, (void)since_us, (void)until_us;
	return false;
}

bool json_print_lost(FILE *f, uint64_t count)
{
	(void)f, (void)count;
	return false;
}

bool json_print_mapping(FILE *f, const struct ctl_mapping *m)
{
	(void)f, (void)m;
	return false;
}

bool json_print_host(FILE *f, const struct ctl_host *h)
{
	(void)f, (void)h;
	return false;
}

struct json_object *json_create(void)
{
	return NULL;
}

void json_add_number(struct json_object *o, const char *name, uint64_t value)
{
	(void)o, (void)name, (void)value;
}

void json_add_bool(struct json_object *o, const char *name, bool value)
{
	(void)o, (void)name, (void)value;
}

void json_add_text(struct json_object *o, const char *name, const char *text)
{
	(void)o, (void)name, (void)text;
}

void json_add_time(struct json_object *o, uint64_t time_us)
{
	(void)o, (void)time_us;
}

void json_add_list(struct json_object *o, const char *name)
{
	(void)o, (void)name;
}

void json_add_element(struct json_object *o, const char *name, const char *text)
{
	(void)o, (void)name, (void)text;
}

void json_add_forward(struct json_object *o, const char *name, const struct ctl_forward *w)
{
	(void)o, (void)name, (void)w;
}

void json_add_backend(struct json_object *o, const char *name, const struct ctl_backend_state *b)
{
	(void)o, (void)name, (void)b;
}

void json_add_pool(struct json_object *o, const char *name, const struct ctl_pool *p)
{
	(void)o, (void)name, (void)p;
}

void json_add_check(struct json_object *o, const char *name, const struct ctl_check *c)
{
	(void)o, (void)name, (void)c;
}

void json_add_step(struct json_object *o, const struct ctl_step *s)
{
	(void)o, (void)s;
}

void json_add_verdict(struct json_object *o, const struct ctl_verdict *v)
{
	(void)o, (void)v;
}

void json_add_warning(struct json_object *o, const struct ctl_check *c)
{
	(void)o, (void)c;
}

void json_add_item(struct json_object *o, const struct ctl_item *i)
{
	(void)o, (void)i;
}

bool json_print(FILE *f, struct json_object *o)
{
	(void)f, (void)o;
	return false;
}

void json_destroy(struct json_object *o)
{
	(void)o;
}

#endif
