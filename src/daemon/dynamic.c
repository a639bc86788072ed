/* SPDX-License-Identifier: ISC */
/* Forwards made at run time, and configurations to be confirmed; see dynamic.h. */
#include "dynamic.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/nat/nat.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "natd.h"

struct dynamic_forward {
	char name[CTL_NAME_MAX + 1];
	uint64_t end_s; /* since the epoch; 0: never */
	char text[CTL_FORWARD_TEXT + 1];
};

enum {
	LINE_SIZE = CTL_FORWARD_TEXT + CTL_NAME_MAX + 32,
	TEXTS = 3, /* in one file at most */
};

static uint64_t now_s(void)
{
	return (uint64_t)time(NULL);
}

static int32_t find(const struct dynamic *d, const char *name)
{
	for (uint32_t i = 0; i < d->n; i++) {
		if (strcmp(d->list[i].name, name) == 0)
			return (int32_t)i;
	}
	return -1;
}

char *dynamic_text(const struct dynamic *d)
{
	size_t size = 1, len = 0;
	char *text;

	for (uint32_t i = 0; i < d->n; i++)
		size += strlen(d->list[i].text) + 8;
	text = calloc(size, 1);
	for (uint32_t i = 0; text != NULL && i < d->n; i++)
		len += (size_t)snprintf(text + len, size - len, "%s{ %s }", i > 0 ? ", " : "", d->list[i].text);
	return text;
}

/* ---- files ---- */

/* Writes the texts with a NUL between each two; NULL ends them early. */
static int write_texts(int fd, const char *const texts[TEXTS])
{
	for (unsigned i = 0; i < TEXTS && texts[i] != NULL; i++) {
		size_t len = strlen(texts[i]);

		errno = ENOSPC; /* of a short write */
		if ((i > 0 && write(fd, "", 1) != 1) || (len > 0 && write(fd, texts[i], len) != (ssize_t)len))
			return -errno;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Replaces the file. Returns 0 or a negative errno. */
static int write_whole(const char *path, const char *const texts[TEXTS])
{
	char temporary[RUNDIR_PATH_MAX + 4];
	int fd, r;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_texts(fd, texts);
	close(fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary);
	return r;
}

static void save(const struct dynamic *d)
{
	size_t size = (size_t)d->n * LINE_SIZE + 1, len = 0;
	char *text = calloc(size, 1);
	int r = text == NULL ? -ENOMEM : 0;

	for (uint32_t i = 0; text != NULL && i < d->n; i++)
		len += (size_t)snprintf(text + len, size - len, "%" PRIu64 " %s %s\n", d->list[i].end_s,
					d->list[i].name, d->list[i].text);
	if (r == 0)
		r = write_whole(d->path, (const char *const[TEXTS]){text});
	if (r < 0)
		log_write(LEVEL_WARNING, SUB_CONFIG, -r,
			  "%s cannot be written: forwards made at run time will be lost at a restart", d->path);
	free(text);
}

/* Lines that cannot be parsed are skipped. */
static bool read_line(char *line, struct dynamic_forward *f)
{
	char *rest = NULL, *name = strchr(line, ' '), *text = name ? strchr(name + 1, ' ') : NULL;

	line[strcspn(line, "\n")] = '\0';
	if (text == NULL)
		return false;
	*name++ = '\0';
	*text++ = '\0';
	f->end_s = strtoull(line, &rest, 10);
	if (*rest != '\0' || strlen(name) >= sizeof(f->name) || strlen(text) >= sizeof(f->text))
		return false;
	strcpy(f->name, name);
	strcpy(f->text, text);
	return f->end_s == 0 || f->end_s > now_s();
}

static bool append(struct dynamic *d, const struct dynamic_forward *f)
{
	struct dynamic_forward *grown = realloc(d->list, (d->n + 1) * sizeof(*grown));

	if (grown == NULL)
		return false;
	d->list = grown;
	d->list[d->n++] = *f;
	return true;
}

static void restore(struct dynamic *d)
{
	static char line[LINE_SIZE + 2];
	struct dynamic_forward f;
	FILE *file = fopen(d->path, "re");

	while (file != NULL && fgets(line, sizeof(line), file)) {
		if (read_line(line, &f) && find(d, f.name) < 0 && !append(d, &f))
			break;
	}
	if (file != NULL)
		fclose(file);
}

static char *read_text(FILE *f)
{
	char *text = NULL;
	size_t size = 0;

	if (getdelim(&text, &size, '\0', f) >= 0)
		return text;
	free(text);
	return NULL;
}

static void free_before(struct dynamic_before *b)
{
	free(b->text);
	free(b->sets);
	free(b->refused);
	*b = (struct dynamic_before){0};
}

/* Reads the configuration to go back to; `text` NULL: there is none. */
static struct dynamic_before read_before(const struct dynamic *d)
{
	FILE *f = fopen(d->confirm_path, "re");
	struct dynamic_before b = {0};

	if (f == NULL)
		return b;
	b.text = read_text(f);
	b.sets = read_text(f);
	b.refused = read_text(f);
	fclose(f);
	return b;
}

struct copying {
	const struct natd_config *config;
	struct dynamic_before copy;
};

static void make_copy(void *ctx)
{
	struct copying *c = ctx;

	c->copy = (struct dynamic_before){.text = strdup(c->config->text), .sets = config_sets_text(c->config)};
	if (c->copy.text == NULL || c->copy.sets == NULL)
		free_before(&c->copy);
}

/* Copies the configuration in force; `text` NULL: out of memory. */
static struct dynamic_before copy_config(const struct natd_config *config)
{
	struct copying c = {.config = config};

	make_copy(&c);
	return c.copy;
}

/* The same while packets are served: the text of large sets takes milliseconds. */
static struct dynamic_before copy_present(struct natd *n)
{
	struct copying c = {.config = n->config};

	natd_aside(n, make_copy, &c);
	return c.copy;
}

/* ---- start ---- */

/* Replaces n->config by another configuration, if it can be loaded; else logs what is wrong. */
static bool load_instead(struct natd *n, const struct dynamic_before *b, const char *forwards)
{
	const struct config_source src = {
		.name = n->options.config_path, .text = b->text, .forwards = forwards, .sets = b->sets};
	struct config_report report = {0};
	struct natd_config *c = config_load_source(&src, &report);

	if (c == NULL)
		config_report_log(&report);
	config_report_fini(&report);
	if (c == NULL)
		return false;
	config_free(n->config);
	n->config = c;
	return true;
}

/* Saves the configuration to go back to; `refused` NULL: it is still to be confirmed. */
static int keep_before(const struct dynamic *d, const struct dynamic_before *b, const char *refused)
{
	return write_whole(d->confirm_path,
			   (const char *const[TEXTS]){b->text, b->sets != NULL ? b->sets : "", refused});
}

struct keeping {
	const struct dynamic *dynamic;
	const struct dynamic_before *before;
	const char *refused;
	int result;
};

static void keep_aside(void *ctx)
{
	struct keeping *k = ctx;

	k->result = keep_before(k->dynamic, k->before, k->refused);
}

/* From now on the file has the text that was not confirmed: a start goes back as long as natd.conf is still that. */
static void note_return(struct dynamic *d, int r)
{
	if (r < 0)
		log_write(LEVEL_WARNING, SUB_CONFIG, -r,
			  "%s cannot be written: a restart may use the configuration that was not confirmed",
			  d->confirm_path);
	d->has_returned = true;
}

/* Goes back to the configuration that an earlier natd left, unless natd.conf has changed since it went back. */
static void begin_before(struct natd *n)
{
	struct dynamic *d = &n->dynamic;
	struct dynamic_before before = read_before(d);
	char *present = strdup(n->config->text);

	if (before.refused != NULL && strcmp(before.refused, n->config->text) != 0) {
		(void)unlink(d->confirm_path);
	} else if (before.text != NULL && load_instead(n, &before, NULL)) {
		log_warning(SUB_CONFIG,
			    "%s was not confirmed: the previous configuration is in force; reload to try again",
			    n->options.config_path);
		if (present != NULL)
			note_return(d, keep_before(d, &before, present));
	}
	free(present);
	free_before(&before);
}

void dynamic_begin(struct natd *n)
{
	struct dynamic *d = &n->dynamic;
	const char *socket = n->config->control.socket;
	struct dynamic_before before;
	char *forwards;

	rundir_beside(socket, "forwards", d->path);
	rundir_beside(socket, "confirm", d->confirm_path);
	restore(d);
	begin_before(n);
	forwards = dynamic_text(d);
	before = copy_config(n->config);
	if (d->n > 0 && forwards != NULL && (before.text == NULL || !load_instead(n, &before, forwards)))
		log_error(SUB_CONFIG, "the forwards made at run time contradict the configuration and are ignored: "
				      "see natctl forwards, and add them again");
	free_before(&before);
	free(forwards);
}

void dynamic_end(struct natd *n)
{
	free(n->dynamic.list);
	free_before(&n->dynamic.before);
	n->dynamic.list = NULL;
	n->dynamic.n = 0;
}

/* ---- forwards ---- */

/* Applies `list` instead of the current one, with the text and the sets in force: files edited meanwhile have no
 * effect. */
static bool apply(struct natd *n, struct dynamic *candidate, reload_say_fn *say, void *ctx)
{
	struct nat_reconfigure_report report;
	char *forwards = dynamic_text(candidate);
	struct dynamic_before present = copy_present(n);
	const struct config_source src = {
		.name = n->options.config_path, .text = present.text, .forwards = forwards, .sets = present.sets};
	bool ok = forwards != NULL && present.text != NULL && natd_apply_source(n, &src, say, ctx, &report);

	free(forwards);
	free_before(&present);
	if (!ok) {
		free(candidate->list);
		return false;
	}
	free(n->dynamic.list);
	n->dynamic.list = candidate->list;
	n->dynamic.n = candidate->n;
	save(&n->dynamic);
	return true;
}

/* Copies the list without number `left_out` (-1: all of it). False: out of memory. */
static bool copy_list(const struct dynamic *d, int32_t left_out, struct dynamic *out)
{
	*out = (struct dynamic){.list = calloc((size_t)d->n + 1, sizeof(*d->list))};
	for (uint32_t i = 0; out->list != NULL && i < d->n; i++) {
		if ((int32_t)i != left_out)
			out->list[out->n++] = d->list[i];
	}
	return out->list != NULL;
}

static bool is_one_line(const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c < ' ' || *c == 0x7f)
			return false;
	}
	return true;
}

static bool add(struct natd *n, const struct ctl_forward_order *o, reload_say_fn *say, void *ctx, bool *changed)
{
	struct dynamic *d = &n->dynamic, candidate;
	int32_t before = find(d, o->name);
	struct dynamic_forward *f;
	uint64_t end_s = o->lifetime_s > 0 ? now_s() + o->lifetime_s : 0;

	if (before >= 0 && strcmp(d->list[before].text, o->text) == 0) {
		*changed = d->list[before].end_s != end_s;
		d->list[before].end_s = end_s;
		save(d);
		return true;
	}
	if (!is_one_line(o->text) || !copy_list(d, -1, &candidate)) {
		say(ctx, "the forward is not one line of text, or there is no memory for it");
		return false;
	}
	f = &candidate.list[before >= 0 ? (uint32_t)before : candidate.n++];
	f->end_s = end_s;
	strcpy(f->name, o->name);
	strcpy(f->text, o->text);
	*changed = apply(n, &candidate, say, ctx);
	if (*changed)
		log_notice(SUB_CONFIG, "forward \"%s\" added at run time", o->name);
	return *changed;
}

static bool remove_at(struct natd *n, int32_t i, reload_say_fn *say, void *ctx)
{
	struct dynamic candidate;

	if (copy_list(&n->dynamic, i, &candidate))
		return apply(n, &candidate, say, ctx);
	say(ctx, "there is no memory to remove it");
	return false;
}

bool dynamic_order(struct natd *n, const struct ctl_forward_order *o, reload_say_fn *say, void *ctx, bool *changed)
{
	int32_t i;

	*changed = false;
	if (!o->is_removal)
		return add(n, o, say, ctx, changed);
	i = find(&n->dynamic, o->name);
	if (i < 0) {
		say(ctx,
		    "no forward of that name was made at run time: natctl forwards marks such forwards as dynamic");
		return false;
	}
	*changed = remove_at(n, i, say, ctx);
	if (*changed)
		log_notice(SUB_CONFIG, "forward \"%s\" removed at run time", o->name);
	return *changed;
}

/* ---- reload --confirm ---- */

static void forget_before(struct dynamic *d)
{
	free_before(&d->before);
	d->has_returned = false;
	(void)unlink(d->confirm_path);
}

void dynamic_reloaded(struct dynamic *d)
{
	if (d->has_returned)
		forget_before(d);
}

/* The first reload of several that wait to be confirmed: all go back to the configuration before it. */
static bool reload_first(struct natd *n, reload_say_fn *say, void *ctx, struct nat_reconfigure_report *report)
{
	struct dynamic *d = &n->dynamic;
	struct dynamic_before before = copy_present(n);
	bool had_returned = d->has_returned;
	struct keeping k = {d, &before, NULL, -ENOMEM};

	if (before.text != NULL)
		natd_aside(n, keep_aside, &k);
	d->has_returned = false;
	if (k.result < 0)
		say(ctx, "the configuration in force cannot be saved beside the control socket: nothing was changed");
	if (k.result == 0 && natd_reload(n, say, ctx, report)) {
		d->before = before;
		return true;
	}
	free_before(&before);
	d->has_returned = had_returned;
	if (!had_returned)
		(void)unlink(d->confirm_path);
	return false;
}

bool dynamic_reload(struct natd *n, uint32_t seconds, reload_say_fn *say, void *ctx,
		    struct nat_reconfigure_report *report)
{
	struct dynamic *d = &n->dynamic;

	if (!(d->before.text == NULL ? reload_first : natd_reload)(n, say, ctx, report))
		return false;
	d->deadline_ms = loop_now_ms(n->loop) + 1000ull * seconds;
	log_notice(SUB_CONFIG, "the previous configuration returns in %u s unless the new one is confirmed",
		   (unsigned)seconds);
	return true;
}

bool dynamic_confirm(struct natd *n, reload_say_fn *say, void *ctx)
{
	if (n->dynamic.before.text == NULL) {
		say(ctx,
		    n->dynamic.has_returned
			    ? "the new configuration was not confirmed in time and is not in force: reload it again"
			    : "there is no configuration to confirm");
		return false;
	}
	forget_before(&n->dynamic);
	log_notice(SUB_CONFIG, "the configuration was confirmed");
	return true;
}

/* ---- time ---- */

static void go_back(struct natd *n)
{
	struct dynamic *d = &n->dynamic;
	struct nat_reconfigure_report report;
	char *forwards = dynamic_text(d), *refused = strdup(n->config->text);
	struct keeping k;
	const struct config_source src = {.name = n->options.config_path,
					  .text = d->before.text,
					  .forwards = d->n > 0 ? forwards : NULL,
					  .sets = d->before.sets};

	if (forwards != NULL && refused != NULL && natd_apply_source(n, &src, reload_log_line, NULL, &report)) {
		log_warning(SUB_CONFIG, "%s was not confirmed in time: the previous configuration is in force again",
			    n->options.config_path);
		k = (struct keeping){d, &d->before, refused, 0};
		natd_aside(n, keep_aside, &k);
		note_return(d, k.result);
		free_before(&d->before);
	} else {
		log_error(SUB_CONFIG, "%s was not confirmed in time, and the previous configuration cannot be applied",
			  n->options.config_path);
		forget_before(d);
	}
	free(forwards);
	free(refused);
}

void dynamic_look(struct natd *n)
{
	struct dynamic *d = &n->dynamic;

	if (d->before.text != NULL && loop_now_ms(n->loop) >= d->deadline_ms)
		go_back(n);
	for (uint32_t i = 0; i < d->n; i++) {
		if (d->list[i].end_s == 0 || d->list[i].end_s > now_s())
			continue;
		log_notice(SUB_CONFIG, "forward \"%s\", made at run time: its lifetime is over", d->list[i].name);
		if (!remove_at(n, (int32_t)i, reload_log_line, NULL))
			d->list[i].end_s = now_s() + 60; /* retried later */
		break;					 /* one a second */
	}
}
