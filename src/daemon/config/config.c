/* SPDX-License-Identifier: ISC */
/*
 * The configuration file: libconfig turns bytes into a tree of plain values (only this file uses libconfig); the other
 * config_ files turn that into a struct natd_config.
 */
#include "config.h"

#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config_internal.h"

/* ---- the tree ---- */

const char *value_kind_name(enum value_kind kind)
{
	static const char *const names[] = {
		[VALUE_NUMBER] = "a whole number",   [VALUE_FRACTION] = "a number with a fraction",
		[VALUE_TRUTH] = "true or false",     [VALUE_STRING] = "a string in quotes",
		[VALUE_LIST] = "a list in brackets", [VALUE_GROUP] = "a group in braces",
	};

	return names[kind];
}

static enum value_kind kind_of(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return VALUE_NUMBER;
	case CONFIG_TYPE_BOOL:
		return VALUE_TRUTH;
	case CONFIG_TYPE_STRING:
		return VALUE_STRING;
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return VALUE_LIST;
	case CONFIG_TYPE_GROUP:
		return VALUE_GROUP;
	default:
		return VALUE_FRACTION;
	}
}

static void tree_free(struct value *v)
{
	for (uint32_t i = 0; i < v->n_children; i++)
		tree_free(&v->children[i]);
	free(v->children);
}

static bool tree_make(struct config_loader *l, const config_setting_t *s, struct value *v);

static bool tree_children(struct config_loader *l, const config_setting_t *s, struct value *v)
{
	uint32_t n = (uint32_t)config_setting_length(s);

	v->children = loader_alloc(l, n, sizeof(*v->children));
	if (!v->children)
		return false;
	v->n_children = n; /* set at once, zeroed: tree_free() then copes with a child that fails half-way */
	for (uint32_t i = 0; i < n; i++) {
		if (!tree_make(l, config_setting_get_elem(s, i), &v->children[i]))
			return false;
	}
	return true;
}

/* Names and strings stay libconfig's. On false, the caller frees the unfinished `v` with tree_free(). */
static bool tree_make(struct config_loader *l, const config_setting_t *s, struct value *v)
{
	v->kind = kind_of(s);
	v->line = config_setting_source_line(s);
	v->name = config_setting_name(s);
	if (v->kind == VALUE_NUMBER)
		v->number = config_setting_get_int64(s);
	else if (v->kind == VALUE_TRUTH)
		v->number = config_setting_get_bool(s);
	else if (v->kind == VALUE_STRING)
		v->string = config_setting_get_string(s);
	else if (v->kind == VALUE_LIST || v->kind == VALUE_GROUP)
		return tree_children(l, s, v);
	return true;
}

static void report_syntax(struct config_loader *l, const config_t *parsed)
{
	const char *text = config_error_text(parsed) ? config_error_text(parsed) : "unreadable";
	const char *advice = "";

	if (strcmp(text, "syntax error") == 0)
		advice = ": look here and just above for a missing \"=\", \";\", quote or bracket; "
			 "a setting is NAME = VALUE;";
	else if (strcmp(text, "duplicate setting name") == 0)
		advice = ": this key was set before in the same group; keep one of them";
	else if (strcmp(text, "mismatched element type in array") == 0)
		advice = ": between [ and ] all entries are numbers, or all are strings";
	loader_error(l, config_error_line(parsed) > 0 ? (uint32_t)config_error_line(parsed) : 1, "%s%s", text, advice);
}

/* Added forwards stand on no line of the file. */
static void forget_lines(struct value *v)
{
	v->line = 0;
	for (uint32_t i = 0; i < v->n_children; i++)
		forget_lines(&v->children[i]);
}

static void read_more(struct config_loader *l)
{
	size_t size = strlen(l->more) + 32;
	char *text = malloc(size);
	config_t parsed;
	struct value root = {.kind = VALUE_GROUP};

	config_init(&parsed);
	if (text != NULL)
		snprintf(text, size, "forwards = ( %s );", l->more);
	if (text == NULL || !config_read_string(&parsed, text)) {
		loader_error(l, 0, "the added forwards cannot be read");
	} else if (tree_make(l, config_root_setting(&parsed), &root)) {
		forget_lines(&root);
		if (root.n_children == 1)
			config_add_forwards(l, &root.children[0]);
		else
			loader_error(l, 0, "an added forward is more than a group of keys");
	}
	tree_free(&root);
	config_destroy(&parsed);
	free(text);
}

static void read_settings(struct config_loader *l, const char *text)
{
	config_t parsed;
	struct value root = {.kind = VALUE_GROUP};

	config_init(&parsed);
	if (!config_read_string(&parsed, text)) {
		if (!config_scan_foreign(l, text))
			report_syntax(l, &parsed);
	} else {
		if (tree_make(l, config_root_setting(&parsed), &root)) {
			config_keys_read(l, "", &root);
			if (l->more != NULL)
				read_more(l);
			config_check(l);
		}
		tree_free(&root);
	}
	config_destroy(&parsed);
}

/* ---- loading ---- */

struct natd_config *config_defaults(void)
{
	struct natd_config *c = calloc(1, sizeof(*c));

	if (c)
		config_keys_defaults(c);
	return c;
}

/* The lists and ports are const for readers; this is their owner. */
static void filter_free(struct config_filter *f)
{
	for (uint32_t i = 0; i < f->n_lists; i++)
		free((void *)(uintptr_t)f->lists[i].spans);
	for (uint32_t i = 0; i < f->n_rules; i++)
		free((void *)(uintptr_t)f->rules[i].ports);
	free(f->lists);
	free(f->set_names);
	free(f->rules);
	free(f->lines);
	free(f->interfaces);
}

void config_free(struct natd_config *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_forwards; i++) {
		free((void *)(uintptr_t)c->forwards[i].from); /* const for readers; this is its owner */
		free((void *)(uintptr_t)c->forwards[i].backends);
	}
	for (uint32_t i = 0; i < c->n_classes; i++)
		free((void *)(uintptr_t)c->classes[i].prefixes);
	free(c->classes);
	free(c->class_lines);
	free(c->statics);
	free(c->forwards);
	free(c->checks);
	free(c->forward_lines);
	filter_free(&c->filter);
	free(c->outside.pool);
	free(c->outside.ports);
	free(c->outside.shared_ports);
	free(c->inside.interfaces);
	free(c->inside.prefixes);
	free(c->inside.exempt);
	free(c->file);
	free(c->text);
	free(c);
}

static void loader_fini(struct config_loader *l)
{
	free(l->pool_lines);
	free(l->port_lines);
	free(l->interface_lines);
	free(l->prefix_lines);
	free(l->exempt_lines);
}

/* `text` has a NUL after its `len` bytes. */
static struct natd_config *load_text(const char *text, size_t len, const struct config_source *src,
				     struct config_report *report)
{
	struct config_loader l = {.report = report,
				  .file = src->name,
				  .c = config_defaults(),
				  .more = src->forwards,
				  .kept_sets = src->sets};
	uint32_t errors_before = report->n_errors;

	if (l.c) {
		l.c->file = strdup(src->name);
		l.c->text = strdup(text);
	}
	if (!l.c || !l.c->file || !l.c->text)
		loader_error(&l, 0, "out of memory");
	else if (config_scan(&l, text, len))
		read_settings(&l, text);
	loader_fini(&l);
	config_report_sort(report);
	if (report->n_errors == errors_before)
		return l.c;
	config_free(l.c);
	return NULL;
}

struct natd_config *config_load_string(const char *text, size_t len, const char *name, struct config_report *report)
{
	char *copy = malloc(len + 1);
	struct natd_config *c;

	if (!copy) {
		config_report_add(report, CONFIG_ERROR, name, 0, "out of memory");
		return NULL;
	}
	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	c = load_text(copy, len, &(struct config_source){.name = name}, report);
	free(copy);
	return c;
}

/* Reads all of `f` and appends a NUL; the caller frees it. NULL and errno on failure. */
static char *read_all(FILE *f, size_t *len)
{
	size_t room = 1 << 16;
	char *text = malloc(room);
	char *more;

	for (*len = 0; text && !feof(f) && !ferror(f);) {
		*len += fread(text + *len, 1, room - 1 - *len, f);
		if (*len < room - 1)
			continue;
		room *= 2;
		errno = EFBIG;
		more = room > 2 * (size_t)CONFIG_FILE_MAX ? NULL : realloc(text, room);
		if (!more) {
			free(text);
			return NULL;
		}
		text = more;
	}
	if (text && ferror(f)) {
		free(text);
		return NULL;
	}
	if (text)
		text[*len] = '\0';
	return text;
}

static void warn_of_mode(FILE *f, const char *path, struct config_report *report)
{
	struct stat st;

	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH))
		config_report_add(report, CONFIG_WARNING, path, 0,
				  "every user of this host may write to this file (mode %04o): run chmod o-w on it",
				  (unsigned)(st.st_mode & 07777));
}

static struct natd_config *load_file(const struct config_source *src, struct config_report *report)
{
	FILE *f = fopen(src->name, "re");
	struct natd_config *c = NULL;
	size_t len = 0;
	char *text = NULL;

	if (f)
		text = read_all(f, &len);
	if (!text) {
		config_report_add(report, CONFIG_ERROR, src->name, 0, "cannot be read: %s", strerror(errno));
	} else {
		warn_of_mode(f, src->name, report);
		c = load_text(text, len, src, report);
	}
	if (f)
		fclose(f);
	free(text);
	return c;
}

struct natd_config *config_load_source(const struct config_source *src, struct config_report *report)
{
	return src->text != NULL ? load_text(src->text, strlen(src->text), src, report) : load_file(src, report);
}

struct natd_config *config_load(const char *path, struct config_report *report)
{
	return load_file(&(struct config_source){.name = path}, report);
}

const struct nat_range *config_port_ranges(const struct natd_config *c, bool shared, uint32_t *n)
{
	/* The host's own connections leave from 32768-60999 (net.ipv4.ip_local_port_range), and its services listen
	 * below that; the kernel's routing rules cannot name port 65535. */
	static const struct nat_range shared_default[] = {{16384, 32767}, {61000, 65534}};
	static const struct nat_range pool_default[] = {{1024, 65535}};

	if (c->outside.ports_given && shared && c->outside.shared_ports) {
		*n = c->outside.n_shared_ports;
		return c->outside.shared_ports;
	}
	if (c->outside.ports_given) {
		*n = c->outside.n_ports;
		return c->outside.ports;
	}
	*n = shared ? 2 : 1;
	return shared ? shared_default : pool_default;
}
