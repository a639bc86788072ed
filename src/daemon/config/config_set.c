/* SPDX-License-Identifier: ISC */
/*
 * Sets of prefixes, which rules name as "@NAME": given in natd.conf, or one prefix a line in a file of their own. The
 * file must be in the directory of natd.conf or below it, since a running natd cannot read other files.
 */
#define _GNU_SOURCE 1 /* O_PATH */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_internal.h"
#include "config_text.h"

struct set_draft {
	char name[NAT_FORWARD_NAME_MAX + 1];
	const char *file; /* belongs to the tree */
	struct filter_span *spans;
	uint32_t n, room;
	bool has_prefixes;
	bool failed;
};

static bool add_span(struct config_loader *l, uint32_t first, uint32_t last)
{
	struct set_draft *s = l->set;

	if (s->n == s->room) {
		uint32_t room = s->room ? 2 * s->room : 64;
		struct filter_span *more = realloc(s->spans, room * sizeof(*more));

		if (more == NULL) {
			loader_error(l, 0, "out of memory");
			s->failed = true;
			return false;
		}
		s->spans = more;
		s->room = room;
	}
	s->spans[s->n++] = (struct filter_span){first, last};
	return true;
}

static bool add_prefix(struct config_loader *l, const struct nat_prefix *p)
{
	return add_span(l, p->address, text_prefix_last(p));
}

/* ---- keys ---- */

void config_set_set_name(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	bool is_string = config_key_expect(l, k, v, VALUE_STRING);

	l->set->failed |= !is_string || !text_name(v->string);
	if (is_string && text_name(v->string))
		memcpy(l->set->name, v->string, strlen(v->string) + 1);
	else if (is_string)
		config_key_refuse(l, k, v, TEXT_NAME_FAULT);
}

void config_set_set_file(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (config_key_expect(l, k, v, VALUE_STRING))
		l->set->file = v->string;
	else
		l->set->failed = true;
}

void config_set_set_prefixes(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct prefix_list list = config_read_prefixes(l, k, v);
	uint32_t n;

	config_list_entries(v, &n);
	l->set->has_prefixes = true;
	l->set->failed |= list.n != n;
	for (uint32_t i = 0; i < list.n && add_prefix(l, &list.prefixes[i]); i++)
		;
	free(list.prefixes);
	free(list.lines);
}

/* ---- files ---- */

/* Length of natd.conf's "DIRECTORY/"; 0 for the current one. */
static size_t directory_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The path of a set's file; the caller frees it. NULL: reported. It must be in natd.conf's directory or below. */
static char *set_path(struct config_loader *l, const struct value *v)
{
	size_t base = directory_length(l->file), size = base + strlen(l->set->file) + 1;
	bool is_absolute = l->set->file[0] == '/';
	const char *below = is_absolute ? l->set->file + base : l->set->file;
	char *path;

	if ((is_absolute && (base == 0 || strncmp(l->set->file, l->file, base) != 0)) || strstr(below, "..")) {
		loader_error(
			l, v->line,
			"set.file: \"%s\" is not below the directory of %s, and a running natd can read nothing else: "
			"put it there",
			l->set->file, l->file);
		return NULL;
	}
	path = loader_alloc(l, size, 1);
	if (path)
		snprintf(path, size, "%.*s%s", is_absolute ? 0 : (int)base, l->file, l->set->file);
	return path;
}

/* One line of the file, without comment and surrounding spaces. */
static char *trim(char *line)
{
	size_t n = strcspn(line, "#\r\n");

	while (n > 0 && isspace((unsigned char)line[n - 1]))
		n--;
	line[n] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	return line;
}

static void read_line(struct config_loader *l, const char *path, uint32_t number, char *line)
{
	char *text = trim(line), why[TEXT_WHY_SIZE];
	struct nat_prefix p;

	if (*text == '\0')
		return;
	if (text_prefix(text, &p, why)) {
		add_prefix(l, &p);
		return;
	}
	config_report_add(l->report, CONFIG_ERROR, path, number, "\"%s\" %s", text, why);
	l->set->failed = true;
}

static void read_file(struct config_loader *l, const char *path, FILE *f)
{
	char *line = NULL;
	size_t room = 0, total = 0;
	ssize_t n;

	for (uint32_t number = 1; (n = getline(&line, &room, f)) >= 0; number++) {
		total += (size_t)n;
		if (total > CONFIG_SET_FILE_MAX) {
			config_report_add(l->report, CONFIG_ERROR, path, 0,
					  "is too large: a set's file has at most %d bytes", CONFIG_SET_FILE_MAX);
			l->set->failed = true;
			break;
		}
		if (memchr(line, '\0', (size_t)n)) {
			config_report_add(l->report, CONFIG_ERROR, path, number,
					  "a NUL byte is in this line: is it a text file?");
			l->set->failed = true;
			break;
		}
		read_line(l, path, number, line);
	}
	if (ferror(f)) {
		config_report_add(l->report, CONFIG_ERROR, path, 0, "cannot be read: %s", strerror(errno));
		l->set->failed = true;
	}
	free(line);
}

/* Where the descriptor leads, without links; "" if /proc does not say. Unlike realpath() it needs no system call that a
 * running natd may not make. */
static void path_of(int fd, char out[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
}

/* Links may lead out of the directory: natd would find that out at its first reload only. */
static bool is_below(struct config_loader *l, const struct value *v, int fd)
{
	char directory[PATH_MAX], file[PATH_MAX];
	size_t base = directory_length(l->file), n;
	int at;

	snprintf(directory, sizeof(directory), "%.*s", base > 0 ? (int)base : 1, base > 0 ? l->file : ".");
	at = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return true;
	path_of(at, directory);
	close(at);
	path_of(fd, file);
	n = strlen(directory);
	if (n <= 1 || file[0] == '\0' || (strncmp(file, directory, n) == 0 && file[n] == '/'))
		return true;
	loader_error(
		l, v->line,
		"set.file: \"%s\" is a link to %s, out of the directory of %s, and a running natd can read nothing "
		"else: copy the file there",
		l->set->file, file, l->file);
	return false;
}

/* Is it a file that can be read to its end? A pipe has none. */
static bool is_readable(struct config_loader *l, const struct value *v, const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		loader_error(l, v->line, "set.file: %s is not a regular file", path);
		return false;
	}
	if (st.st_size > CONFIG_SET_FILE_MAX) {
		config_report_add(l->report, CONFIG_ERROR, path, 0, "is too large: a set's file has at most %d bytes",
				  CONFIG_SET_FILE_MAX);
		return false;
	}
	return is_below(l, v, fd);
}

static void read_set_file(struct config_loader *l, const struct value *v)
{
	char *path = set_path(l, v);
	/* opening a pipe would wait for its writer */
	int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	FILE *f = NULL;

	if (path && fd < 0)
		loader_error(l, v->line, "set.file: %s cannot be read: %s%s", path, strerror(errno),
			     errno == EACCES ? " (a running natd can read nothing out of its directory: is it a link?)"
					     : "");
	else if (path && is_readable(l, v, path, fd) && (f = fdopen(fd, "r")) == NULL)
		loader_error(l, v->line, "out of memory");
	if (f)
		read_file(l, path, f);
	else
		l->set->failed = true;
	if (f)
		fclose(f);
	else if (fd >= 0)
		close(fd);
	free(path);
}

/* ---- the sets of the configuration in force ---- */

enum { KEPT_LINE = 24 }; /* two numbers of ten digits at most */

char *config_sets_text(const struct natd_config *c)
{
	const struct config_filter *f = &c->filter;
	size_t size = 1, len = 0;
	char *text;

	for (uint32_t i = 0; i < f->n_sets; i++)
		size += sizeof(f->set_names[i]) + 2 + (size_t)f->lists[i].n * KEPT_LINE;
	text = calloc(size, 1);
	for (uint32_t i = 0; text != NULL && i < f->n_sets; i++) {
		len += (size_t)snprintf(text + len, size - len, "@%s\n", f->set_names[i]);
		for (uint32_t k = 0; k < f->lists[i].n; k++)
			len += (size_t)snprintf(text + len, size - len, "%" PRIu32 " %" PRIu32 "\n",
						f->lists[i].spans[k].first, f->lists[i].spans[k].last);
	}
	return text;
}

/* The text after the line that begins the set; NULL: it is not among them. */
static const char *find_kept(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (; text != NULL; text = strchr(text, '@')) {
		text += *text == '@';
		if (strncmp(text, name, len) == 0 && text[len] == '\n')
			return text + len + 1;
	}
	return NULL;
}

static void read_kept(struct config_loader *l, const struct value *v)
{
	const char *at = find_kept(l->kept_sets, l->set->name);
	char *end;

	if (at == NULL) {
		loader_error(l, v->line, "set \"%s\" is not among those that were kept: reload the file", l->set->name);
		l->set->failed = true;
		return;
	}
	while (isdigit((unsigned char)*at)) {
		unsigned long first = strtoul(at, &end, 10), last = strtoul(end, &end, 10);

		if (*end != '\n' || last < first || last > UINT32_MAX || !add_span(l, (uint32_t)first, (uint32_t)last))
			return;
		at = end + 1;
	}
}

/* ---- a whole set ---- */

int config_find_set(const struct config_filter *f, const char *name)
{
	for (uint32_t i = 0; i < f->n_sets; i++) {
		if (strcmp(f->set_names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

static void check_set(struct config_loader *l, const struct value *v)
{
	struct set_draft *s = l->set;

	if (s->name[0] == '\0' && !s->failed) {
		loader_error(l, v->line,
			     "this set has no name: add name = \"office\";, so that rules can say \"@office\"");
		s->failed = true;
	}
	if (s->name[0] && config_find_set(&l->c->filter, s->name) >= 0) {
		loader_error(l, v->line, "a set is called \"%s\" already: give each a name of its own", s->name);
		s->failed = true;
	}
	if ((s->file != NULL) == s->has_prefixes) {
		loader_error(l, v->line,
			     "this set needs either file or prefixes: file = \"bad.txt\"; or prefixes = [ "
			     "\"192.0.2.0/24\" ];");
		s->failed = true;
	}
}

static void keep_set(struct config_loader *l)
{
	struct config_filter *f = &l->c->filter;
	struct set_draft *s = l->set;
	uint64_t *words = loader_alloc(l, s->n, sizeof(*words));

	if (words == NULL)
		return;
	s->n = filter_spans_join(s->spans, s->n, words);
	free(words);
	memcpy(f->set_names[f->n_sets++], s->name, sizeof(s->name));
	f->lists[f->n_lists++] = (struct filter_list){s->spans, s->n};
	s->spans = NULL;
}

static void read_set(struct config_loader *l, const struct value *v)
{
	struct set_draft draft = {0};

	if (v->kind != VALUE_GROUP) {
		loader_error(l, v->line, "a set must be a group in braces, not %s: write { name = \"office\"; ... }",
			     value_kind_name(v->kind));
		return;
	}
	l->set = &draft;
	config_keys_read(l, "sets", v);
	check_set(l, v);
	if (!draft.failed && draft.file && l->kept_sets != NULL)
		read_kept(l, v);
	else if (!draft.failed && draft.file)
		read_set_file(l, v);
	if (!draft.failed)
		keep_set(l);
	free(draft.spans);
	l->set = NULL;
}

void config_set_sets(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (config_key_expect(l, k, v, VALUE_LIST))
		l->sets = v;
}

void config_read_sets(struct config_loader *l)
{
	struct config_filter *f = &l->c->filter;
	uint32_t n = l->sets ? l->sets->n_children : 0, rules = l->filter ? l->filter->n_children : 0;

	if (n > CONFIG_SETS_MAX || rules > CONFIG_RULES_MAX) {
		loader_error(l, n > CONFIG_SETS_MAX ? l->sets->line : l->filter->line,
			     "there can be %d sets and %d rules, not %u and %u", CONFIG_SETS_MAX, CONFIG_RULES_MAX, n,
			     rules);
		l->filter = NULL;
		return;
	}
	/* Each rule may add lists for its `from` and its `to`. */
	f->lists = loader_alloc(l, n + 2 * (size_t)rules, sizeof(*f->lists));
	f->set_names = loader_alloc(l, n, sizeof(*f->set_names));
	for (uint32_t i = 0; f->lists && f->set_names && i < n; i++)
		read_set(l, &l->sets->children[i]);
}
