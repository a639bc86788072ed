/* SPDX-License-Identifier: ISC */
/* Health checks of a forward's backends: the group `check`. */
#include <stdlib.h>
#include <string.h>

#include "config_forward.h"

static void refuse(struct config_loader *l, const struct value *v, const char *what)
{
	loader_error(l, v->line, "forward.check.%s %s", v->name, what);
	l->draft->failed = true;
}

static void read_type(struct config_loader *l, const struct value *v)
{
	if (v->kind == VALUE_STRING && strcmp(v->string, "tcp") == 0)
		l->draft->check.type = CHECK_TCP;
	else if (v->kind == VALUE_STRING && strcmp(v->string, "http") == 0)
		l->draft->check.type = CHECK_HTTP;
	else
		refuse(l, v, "must be \"tcp\" or \"http\"");
}

/* The path is put into a request unchanged. */
static void read_path(struct config_loader *l, const struct value *v)
{
	bool ok = v->kind == VALUE_STRING && v->string[0] == '/' && strlen(v->string) < CONFIG_CHECK_PATH_SIZE;

	for (const char *c = ok ? v->string : ""; *c != '\0'; c++)
		ok = ok && *c > ' ' && *c < 0x7f;
	if (ok)
		memcpy(l->draft->check.path, v->string, strlen(v->string) + 1);
	else
		refuse(l, v, "must be a path of up to 127 printable characters that begins with \"/\"");
}

/* "200-399", or one number. */
static void read_status(struct config_loader *l, const struct value *v)
{
	struct config_check *c = &l->draft->check;
	char *rest = NULL;
	unsigned long first = 0, last = 0;

	if (v->kind == VALUE_NUMBER) {
		first = last = (unsigned long)v->number;
	} else if (v->kind == VALUE_STRING) {
		first = last = strtoul(v->string, &rest, 10);
		if (*rest == '-')
			last = strtoul(rest + 1, &rest, 10);
	}
	if (first < 100 || last > 599 || last < first || (rest != NULL && *rest != '\0')) {
		refuse(l, v, "must be status codes such as \"200-399\"");
		return;
	}
	c->status_first = (uint32_t)first;
	c->status_last = (uint32_t)last;
}

static void read_number(struct config_loader *l, const struct value *v, uint32_t most, uint32_t *out)
{
	char what[64];

	if (v->kind == VALUE_NUMBER && v->number >= 1 && v->number <= (int64_t)most) {
		*out = (uint32_t)v->number;
		return;
	}
	snprintf(what, sizeof(what), "must be a whole number from 1 to %u", (unsigned)most);
	refuse(l, v, what);
}

static void read_key(struct config_loader *l, const struct value *v)
{
	struct config_check *c = &l->draft->check;
	const struct {
		const char *name;
		uint32_t most, *out;
	} numbers[] = {{"interval", 3600, &c->interval},
		       {"timeout", 60, &c->timeout},
		       {"rise", 100, &c->rise},
		       {"fall", 100, &c->fall}};

	if (strcmp(v->name, "type") == 0) {
		read_type(l, v);
		return;
	}
	if (strcmp(v->name, "path") == 0) {
		read_path(l, v);
		return;
	}
	if (strcmp(v->name, "status") == 0) {
		read_status(l, v);
		return;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(v->name, numbers[i].name) == 0) {
			read_number(l, v, numbers[i].most, numbers[i].out);
			return;
		}
	}
	loader_error(l, v->line,
		     "unknown key \"%s\" in forward.check: there are type, interval, timeout, rise, fall, path, "
		     "status",
		     v->name);
	l->draft->failed = true;
}

static void finish(struct config_loader *l, const struct value *v)
{
	struct config_check *c = &l->draft->check;

	if (c->type == CHECK_NONE && !l->draft->failed) {
		loader_error(l, v->line, "forward.check has no type: add type = \"tcp\";, or \"http\"");
		l->draft->failed = true;
	}
	if (c->type == CHECK_TCP && (c->path[0] != '\0' || c->status_first != 0)) {
		loader_error(l, v->line, "forward.check: path and status are about type = \"http\"");
		l->draft->failed = true;
	}
	if (c->type == CHECK_HTTP && c->path[0] == '\0')
		c->path[0] = '/';
	if (c->type == CHECK_HTTP && c->status_first == 0) {
		c->status_first = 200;
		c->status_last = 399;
	}
}

void config_set_forward_check(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	l->draft->check = (struct config_check){.interval = 2, .timeout = 1, .rise = 2, .fall = 3};
	if (!config_key_expect(l, k, v, VALUE_GROUP)) {
		l->draft->failed = true;
		return;
	}
	for (uint32_t i = 0; i < v->n_children; i++)
		read_key(l, &v->children[i]);
	finish(l, v);
}
