/* SPDX-License-Identifier: ISC */
/*
 * natctl doctor. With a running natd its findings come through the control socket; with --offline `natd --doctor`
 * checks the host alone.
 */
#define _GNU_SOURCE 1 /* pipe2() */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/json.h"
#include "client/names.h"
#include "client.h"
#include "natctl.h"
#include "options.h"
#include "output.h"
#include "term.h"

#ifndef SBINDIR
#define SBINDIR "/usr/sbin"
#endif

struct doctor {
	struct natctl *n;
	struct json_object *object; /* JSON; else NULL */
	unsigned failures;
	bool is_offline;
	const char *config; /* NULL: natd's default */
};

/* ---- arguments ---- */

static const char *set_offline(struct natctl *n, void *target, const char *value)
{
	(void)n;
	(void)value;
	((struct doctor *)target)->is_offline = true;
	return NULL;
}

static const char *set_config(struct natctl *n, void *target, const char *value)
{
	(void)n;
	((struct doctor *)target)->config = value;
	return NULL;
}

static const struct natctl_option rows[] = {
	{"offline", 0, VALUE_NONE, NULL, "look at the host without a running natd", set_offline},
	{"config", 'c', VALUE_NEEDED, "FILE", "the configuration for --offline", set_config},
};

const struct option_set doctor_options = {"Where to look:", rows, sizeof(rows) / sizeof(rows[0])};

static bool parse_arguments(struct doctor *d, int argc, char **argv)
{
	const struct option_use uses[] = {{&doctor_options, d}, {NULL, NULL}};
	int next = options_parse(d->n, argc, argv, uses);

	if (next < 0)
		return false;
	if (next < argc)
		natctl_complain("unexpected argument \"%s\"", argv[next]);
	else if (d->config && !d->is_offline)
		natctl_complain("--config goes with --offline: a running natd has its own");
	else
		return true;
	return false;
}

/* ---- findings ---- */

static void print_check(const struct ctl_check *c)
{
	static const char *const severities[] = {"ok", "warn", "FAIL"};
	static const enum term_kind styles[] = {TERM_GREEN, TERM_YELLOW, TERM_RED};

	printf("%s%-4s%s ", term_style(stdout, styles[c->severity]), severities[c->severity],
	       term_style(stdout, TERM_PLAIN));
	names_print(stdout, c->what);
	fputc('\n', stdout);
	if (!c->remedy[0])
		return;
	fputs("     -> ", stdout);
	names_print(stdout, c->remedy);
	fputc('\n', stdout);
}

static void show(struct doctor *d, const struct ctl_check *c)
{
	d->failures += c->severity == CTL_CHECK_FAIL;
	if (d->object)
		json_add_check(d->object, "checks", c);
	else
		print_check(c);
}

static bool take_check(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct doctor *d = ctx;
	struct ctl_check c;

	if (type != CTL_R_CHECK)
		return true;
	if (!ctl_get_check(body, &c))
		return false;
	show(d, &c);
	return output_ok(d->n);
}

static int ask(struct doctor *d)
{
	int rc = client_ask(d->n, CTL_DOCTOR, NULL, take_check, d, NULL);

	if (rc == NATCTL_NO_DAEMON)
		natctl_complain("`natctl doctor --offline' looks at the host without a running natd");
	return rc;
}

/* ---- without a daemon ---- */

/* The natd that belongs to this natctl: beside it in a build tree, else the installed one. */
static void find_natd(char *out, size_t size)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[len > 0 ? len : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		if (snprintf(out, size, "%s/natd", self) < (int)size && access(out, X_OK) == 0)
			return;
	}
	snprintf(out, size, SBINDIR "/natd");
}

/* SEVERITY, ID, TEXT and REMEDY, separated by tabs. */
static bool take_line(struct doctor *d, char *line)
{
	static const char *const severities[] = {
		[CTL_CHECK_OK] = "ok", [CTL_CHECK_WARN] = "warn", [CTL_CHECK_FAIL] = "fail"};
	char *field[4];
	struct ctl_check c = {0};

	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < 4; i++) {
		field[i] = strsep(&line, "\t");
		if (!field[i])
			return false;
	}
	while (strcmp(field[0], severities[c.severity]) != 0) {
		if (++c.severity == sizeof(severities) / sizeof(severities[0]))
			return false;
	}
	snprintf(c.id, sizeof(c.id), "%s", field[1]);
	snprintf(c.what, sizeof(c.what), "%s", field[2]);
	snprintf(c.remedy, sizeof(c.remedy), "%s", field[3]);
	show(d, &c);
	return true;
}

static void become_natd(const struct doctor *d, int out)
{
	char path[PATH_MAX];

	find_natd(path, sizeof(path));
	if (dup2(out, STDOUT_FILENO) < 0)
		_exit(127);
	if (d->config)
		execl(path, "natd", "--doctor", "--config", d->config, (char *)NULL);
	else
		execl(path, "natd", "--doctor", (char *)NULL);
	fprintf(stderr, "natctl: cannot run %s: %s\n", path, strerror(errno));
	_exit(127);
}

static int read_lines(struct doctor *d, int fd)
{
	FILE *f = fdopen(fd, "r");
	char *line = NULL;
	size_t room = 0;
	bool ok = f != NULL;

	while (ok && getline(&line, &room, f) > 0)
		ok = take_line(d, line);
	free(line);
	if (f)
		fclose(f);
	else
		close(fd);
	return ok ? NATCTL_DONE : NATCTL_REFUSED;
}

static int look(struct doctor *d)
{
	int fds[2], status = 0, rc;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		natctl_complain("cannot make a pipe: %s", strerror(errno));
		return NATCTL_REFUSED;
	}
	fflush(stdout);
	child = fork();
	if (child == 0)
		become_natd(d, fds[1]);
	close(fds[1]);
	rc = read_lines(d, fds[0]);
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
		rc = NATCTL_REFUSED;
	return rc;
}

int command_doctor(struct natctl *n, int argc, char **argv)
{
	struct doctor d = {.n = n};
	int rc;

	if (!parse_arguments(&d, argc, argv))
		return NATCTL_USAGE;
	if (n->format == FORMAT_JSON) {
		d.object = json_create();
		json_add_list(d.object, "checks");
	}
	rc = d.is_offline ? look(&d) : ask(&d);
	if (rc == NATCTL_DONE && d.failures > 0)
		rc = NATCTL_REFUSED;
	if (d.object && rc != NATCTL_NO_DAEMON) {
		json_add_bool(d.object, "ok", rc == NATCTL_DONE);
		json_print(stdout, d.object);
	} else {
		json_destroy(d.object);
	}
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
