/* SPDX-License-Identifier: ISC */
/* Options, configuration, log, loop, signals and rights, see beside.h. */
#include "beside.h"

#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/account.h"
#include "daemon/base/log.h"

enum command { RUN, VERSION, HELP, WRONG };
enum { OWN = 256 /* getopt's value of the program's own option */, GROUPS = 2, SHORT_SIZE = 16 };

/* ---- options ---- */

static enum command take_option(const struct beside *b, void *ctx, struct beside_options *o, int letter)
{
	switch (letter) {
	case 'c':
		o->config = optarg;
		break;
	case 's':
		o->socket = optarg;
		break;
	case 'f':
		o->is_foreground = true;
		break;
	case 'V':
		return VERSION;
	case 'h':
		return HELP;
	case OWN:
		return b->on_option(ctx, optarg) ? RUN : WRONG;
	default:
		return letter == b->letter && b->letter && b->on_option(ctx, optarg) ? RUN : WRONG;
	}
	return RUN;
}

static enum command read_options(int argc, char **argv, const struct beside *b, void *ctx, struct beside_options *o)
{
	const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"socket", required_argument, NULL, 's'},
		{b->option, required_argument, NULL, OWN},
		{"foreground", no_argument, NULL, 'f'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char own[] = {b->letter, ':', '\0'};
	char letters[SHORT_SIZE];
	int c;

	snprintf(letters, sizeof(letters), "c:s:fVh%s", b->letter ? own : "");
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		enum command command = take_option(b, ctx, o, c);

		if (command != RUN)
			return command;
	}
	if (optind == argc)
		return RUN;
	fprintf(stderr, "%s: unexpected argument \"%s\"\n", b->name, argv[optind]);
	return WRONG;
}

struct natd_config *beside_load(const char *path)
{
	struct config_report report = {0};
	struct natd_config *c = config_load(path, &report);

	if (!c)
		config_report_log(&report);
	config_report_fini(&report);
	return c;
}

/* ---- rights ---- */

static size_t find_groups(const struct natd_config *c, gid_t groups[GROUPS])
{
	struct account a;
	size_t n = 0;

	if (geteuid() != 0)
		return 0;
	if (c->control.group[0] && account_of_group(c->control.group, &a) == 0)
		groups[n++] = a.gid;
	if (account_of_group("natd", &a) == 0)
		groups[n++] = a.gid;
	return n;
}

bool beside_drop_rights(const struct natd_config *c, struct program_keep *keep, const char *const *calls, size_t n)
{
	const char *what, *missing;
	gid_t groups[GROUPS];
	int r;

	tzset(); /* no other file can be read from here on */
	keep->groups = groups;
	keep->n_groups = find_groups(c, groups);
	r = program_drop_rights(keep, &what);
	keep->groups = NULL;
	if (r == 0) {
		what = "the system call filter";
		r = program_confine_calls(calls, n, &missing);
		if (missing)
			log_info(SUB_PRIVS, "no system call filter: %s", missing);
	}
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_PRIVS, -r, "%s failed, and running with more rights than needed is refused",
			  what);
	return r == 0;
}

/* ---- the loop ---- */

static void on_stop(evutil_socket_t signo, short what, void *ctx)
{
	(void)signo, (void)what;
	program_stopping();
	event_base_loopbreak(ctx);
}

enum program_exit beside_loop(struct event_base *base)
{
	return event_base_dispatch(base) < 0 ? PROGRAM_SYSTEM : PROGRAM_OK;
}

static void on_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warning(SUB_MAIN, "libevent: %s", text);
}

/* The signals that end the program are caught from here on, so one that arrives before the loop ends it at once. */
static enum program_exit catch_and_serve(const struct beside *b, void *ctx, struct event_base *base,
					 const struct beside_options *o, const struct natd_config *c)
{
	struct event *term = evsignal_new(base, SIGTERM, on_stop, base);
	struct event *interrupt = evsignal_new(base, SIGINT, on_stop, base);
	enum program_exit code = PROGRAM_SYSTEM;

	if (term && interrupt && event_add(term, NULL) == 0 && event_add(interrupt, NULL) == 0)
		code = b->serve(ctx, base, o, c);
	else
		log_error(SUB_MAIN, "short of memory");
	if (term)
		event_free(term);
	if (interrupt)
		event_free(interrupt);
	return code;
}

static enum program_exit run(const struct beside *b, void *ctx, const struct beside_options *o,
			     const struct natd_config *c)
{
	struct event_base *base;
	enum program_exit code;

	event_set_log_callback(on_libevent);
	base = event_base_new();
	if (!base) {
		log_error(SUB_MAIN, "cannot create an event loop");
		return PROGRAM_SYSTEM;
	}
	code = catch_and_serve(b, ctx, base, o, c);
	event_base_free(base);
	libevent_global_shutdown();
	return code;
}

int beside_main(int argc, char **argv, const struct beside *b, void *ctx)
{
	struct beside_options o = {.socket = getenv("NATD_SOCKET")};
	struct natd_config *c;
	enum program_exit code;

	switch (read_options(argc, argv, b, ctx, &o)) {
	case VERSION:
		printf("%s " PACKAGE_VERSION "\n", b->name);
		if (b->lacks)
			puts(b->lacks);
		return PROGRAM_OK;
	case HELP:
		fputs(b->usage, stdout);
		return PROGRAM_OK;
	case WRONG:
		fputs(b->usage, stderr);
		return PROGRAM_USAGE;
	case RUN:
		break;
	}
	program_begin();
	log_set_program(b->name);
	c = b->load(ctx, &o);
	if (!c)
		return PROGRAM_CONFIG;
	log_set_level(c->log.level);
	log_open(o.is_foreground ? LOG_TO_STDERR : c->log.target);
	code = run(b, ctx, &o, c);
	config_free(c);
	return (int)code;
}
