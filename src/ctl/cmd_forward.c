/* SPDX-License-Identifier: ISC */
/*
 * natctl forward add KEY=VALUE... and forward remove NAME. The keys are turned into the text that natd.conf would have;
 * natd parses it as it parses the file.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/names.h"
#include "client.h"
#include "natctl.h"
#include "options.h"
#include "output.h"

struct making {
	struct ctl_forward_order order;
	size_t len; /* of order.text */
	bool is_full;
	bool is_wrong;	 /* a value was, and that was printed */
	bool wants_list; /* a key about backends was given: `to` must be a list, even of one */
};

__attribute__((format(printf, 2, 3))) static void put(struct making *m, const char *format, ...)
{
	size_t room = sizeof(m->order.text) - m->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(m->order.text + m->len, room, format, args);
	va_end(args);
	m->is_full |= n < 0 || (size_t)n >= room;
	m->len += m->is_full ? 0 : (size_t)n;
}

static bool is_plain(const char *value)
{
	for (const char *c = value; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
			return false;
	}
	return *value != '\0';
}

/* ---- values ---- */

static void put_string(struct making *m, const char *key, const char *value)
{
	put(m, "%s = \"%s\"; ", key, value);
}

/* HOST[:PORT], or HOST[:PORT]*WEIGHT */
static void put_host(struct making *m, const char *host, int len)
{
	const char *star = memchr(host, '*', (size_t)len), *weight;

	if (star == NULL) {
		put(m, "\"%.*s\"", len, host);
		return;
	}
	weight = star + 1;
	len -= (int)(weight - host);
	if (len == 0 || strspn(weight, "0123456789") < (size_t)len) {
		natctl_complain("forward: `%.*s' is not a weight: write HOST*WEIGHT, as in 10.8.0.11*2", len, weight);
		m->is_wrong = true;
	}
	put(m, "{ host = \"%.*s\"; weight = %.*s; }", (int)(star - host), host, len, weight);
}

static void put_list(struct making *m, const char *key, const char *value)
{
	const char *gap = "";

	put(m, "%s = ( ", key);
	for (size_t len; *value != '\0'; value += len + (value[len] == ',')) {
		len = strcspn(value, ",");
		if (len == 0)
			continue;
		put(m, "%s", gap);
		put_host(m, value, (int)len);
		gap = ", ";
	}
	put(m, " ); ");
}

static void put_to(struct making *m, const char *key, const char *value)
{
	if (m->wants_list || strpbrk(value, ",*") != NULL)
		put_list(m, key, value);
	else
		put_string(m, key, value);
}

static void put_number(struct making *m, const char *key, const char *value)
{
	if (value[strspn(value, "0123456789")] == '\0')
		put(m, "%s = %s; ", key, value);
	else
		put_string(m, key, value); /* natd reports that it is not one */
}

/* tcp, http or http:/path */
static void put_check(struct making *m, const char *key, const char *value)
{
	const char *colon = strchr(value, ':');

	if (colon == NULL)
		put(m, "%s = { type = \"%s\"; }; ", key, value);
	else
		put(m, "%s = { type = \"%.*s\"; path = \"%s\"; }; ", key, (int)(colon - value), value, colon + 1);
}

static const struct form {
	const char *key;
	void (*put)(struct making *m, const char *key, const char *value);
	bool is_about_backends;
} forms[] = {
	{"protocol", put_list, false}, {"from", put_list, false},      {"to", put_to, false},
	{"balance", put_string, true}, {"affinity", put_number, true}, {"check", put_check, true},
};

enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static const struct form *form_of(const char *key)
{
	for (size_t i = 0; i < FORMS; i++) {
		if (strcmp(forms[i].key, key) == 0)
			return &forms[i];
	}
	return NULL;
}

/* ---- arguments ---- */

/* Splits KEY=VALUE in place. NULL: it is not one, and that was printed. */
static const char *split(char *argument)
{
	char *equals = strchr(argument, '=');

	if (equals == NULL || equals == argument || !is_plain(equals + 1)) {
		natctl_complain("forward: `%s' is not KEY=VALUE, of printable characters without quotes", argument);
		return NULL;
	}
	*equals = '\0';
	return equals + 1;
}

/* Is the last of these keys among those before it? That was printed. */
static bool is_repeated(char **keys, int last)
{
	for (int i = 0; i < last; i++) {
		if (strcmp(keys[i], keys[last]) == 0) {
			natctl_complain("forward: %s is given twice: several values are one list, as in %s=A,B",
					keys[last], keys[last]);
			return true;
		}
	}
	return false;
}

static bool set_lifetime(struct making *m, const char *value)
{
	char *rest;
	unsigned long seconds = strtoul(value, &rest, 10);

	if (*rest != '\0' || *value == '-' || seconds < 1 || seconds > UINT32_MAX) {
		natctl_complain("forward: lifetime=%s is not a number of seconds", value);
		return false;
	}
	m->order.lifetime_s = (uint32_t)seconds;
	return true;
}

static bool set_name(struct making *m, const char *name)
{
	if (name[0] == '\0' || strlen(name) > CTL_NAME_MAX || strpbrk(name, " \t\n") != NULL) {
		natctl_complain("forward: `%s' is not a forward's name (1 to 31 characters)", name);
		return false;
	}
	strcpy(m->order.name, name);
	return true;
}

static bool make(struct making *m, int argc, char **argv)
{
	const char *values[64];

	if (argc > (int)(sizeof(values) / sizeof(values[0]))) {
		natctl_complain("forward: too many keys: natd.conf(5) lists those of forwards");
		return false;
	}
	for (int i = 0; i < argc; i++) {
		const struct form *f;

		values[i] = split(argv[i]);
		if (values[i] == NULL || is_repeated(argv, i))
			return false;
		f = form_of(argv[i]);
		m->wants_list |= f != NULL && f->is_about_backends;
	}
	for (int i = 0; i < argc; i++) {
		const struct form *f = form_of(argv[i]);

		if (strcmp(argv[i], "lifetime") == 0) {
			if (!set_lifetime(m, values[i]))
				return false;
			continue;
		}
		if (strcmp(argv[i], "name") == 0 && !set_name(m, values[i]))
			return false;
		if (f != NULL)
			f->put(m, argv[i], values[i]);
		else
			put_string(m, argv[i], values[i]);
	}
	if (m->order.name[0] == '\0')
		natctl_complain("forward add needs name=NAME, which removes it again");
	else if (m->is_full)
		natctl_complain("forward: the keys are too long: %d bytes at most", CTL_FORWARD_TEXT);
	return m->order.name[0] != '\0' && !m->is_full && !m->is_wrong;
}

static bool parse(struct making *m, int argc, char **argv)
{
	m->order.is_removal = argc > 0 && strcmp(argv[0], "remove") == 0;
	if (m->order.is_removal && argc == 2)
		return set_name(m, argv[1]);
	if (argc > 1 && strcmp(argv[0], "add") == 0)
		return make(m, argc - 1, argv + 1);
	natctl_complain("forward: needs add KEY=VALUE..., or remove NAME");
	return false;
}

/* ---- the answer ---- */

struct answer {
	struct natctl *n;
	struct json_object *object;
};

static bool take(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct answer *a = ctx;

	return type != CTL_R_LINE || output_message(a->object, body);
}

int command_forward(struct natctl *n, int argc, char **argv)
{
	static const struct option_use none[] = {{NULL, NULL}};
	static struct making m;
	const struct client_query q = {.type = CTL_FORWARD_ORDER, .forward = &m.order};
	struct answer a = {.n = n};
	struct ctl_end end = {0};
	int first = options_parse(n, argc, argv, none), rc;

	if (first < 0 || !parse(&m, argc - first, argv + first))
		return NATCTL_USAGE;
	if (n->format == FORMAT_JSON)
		a.object = json_create();
	if (a.object)
		json_add_list(a.object, "messages");
	rc = client_run(n, &q, take, &a, &end);
	if (rc == NATCTL_NO_DAEMON) {
		json_destroy(a.object);
	} else if (a.object) {
		json_add_text(a.object, "name", m.order.name);
		json_add_bool(a.object, "changed", rc == NATCTL_DONE && end.count > 0);
		json_print(stdout, a.object);
	} else if (rc == NATCTL_DONE) {
		printf("%s: %s\n", m.order.name,
		       m.order.is_removal ? "removed"
		       : end.count > 0	  ? "added"
					  : "was there already");
	}
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
