/* SPDX-License-Identifier: ISC */
/* natd-log(8): options, rights; the rest is behind follow.h and outlet.h. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/program.h"
#include "daemon/base/account.h"
#include "daemon/base/log.h"
#include "daemon/config/config.h"
#include "follow.h"
#include "outlet.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONFIG_DEFAULT SYSCONFDIR "/natd/natd.conf"
#define STATE_DEFAULT  "/var/lib/natd-log/cursor"

enum { PATH_SIZE = 4096, DIRS = 2 };

static const char usage[] = "usage: natd-log [-c FILE] [-s SOCKET] [--state FILE] [-f] [-V] [-h]\n"
			    "  -c, --config FILE    read FILE instead of " CONFIG_DEFAULT "\n"
			    "  -s, --socket SOCKET  natd's control socket, instead of the configured one\n"
			    "      --state FILE     where the place in natd's events is kept; by default\n"
			    "                       " STATE_DEFAULT ", or in systemd's STATE_DIRECTORY\n"
			    "  -f, --foreground     log to stderr\n"
			    "  -V, --version        print the version, and what was left out\n"
			    "  -h, --help           print this\n";

struct options {
	const char *config, *socket, *state;
	bool is_foreground;
};

struct program {
	const struct options *o;
	struct event_base *base;
	struct follow *follow;
	struct outlet *outlet;
	struct cursor_file *cursor;
};

enum command { RUN, VERSION, HELP, WRONG };

static enum command read_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"socket", required_argument, NULL, 's'},
		{"state", required_argument, NULL, 'S'},
		{"foreground", no_argument, NULL, 'f'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:s:fVh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'S':
			o->state = optarg;
			break;
		case 'f':
			o->is_foreground = true;
			break;
		case 'V':
			return VERSION;
		case 'h':
			return HELP;
		default:
			return WRONG;
		}
	}
	if (optind == argc)
		return RUN;
	fprintf(stderr, "natd-log: unexpected argument \"%s\"\n", argv[optind]);
	return WRONG;
}

/* NULL: it has errors, or nothing to log, which has been logged. */
static struct natd_config *load(const char *path)
{
	struct config_report report = {0};
	struct natd_config *c = config_load(path, &report);

	if (!c)
		config_report_log(&report);
	config_report_fini(&report);
	if (!c || c->translation_log.target != TLOG_NONE)
		return c;
	log_error(SUB_CONFIG, "%s: translation_log.target is \"none\": name where the log is to go", path);
	config_free(c);
	return NULL;
}

/* ---- rights ---- */

/* The groups that may use natd's socket: the configured one, and natd's own. */
static size_t find_groups(const struct natd_config *c, gid_t groups[2])
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

static int confine_calls(enum config_tlog_target target)
{
	/* The files of the log and of the cursor; datagrams. */
	static const char *const calls[] = {"openat",
					    "open",
					    "fdatasync",
					    "fsync",
					    "renameat",
					    "renameat2",
					    "rename",
					    "pread64",
					    "ftruncate",
					    "ftruncate64",
					    "statx",
					    "fstatat64",
					    "getsockopt",
					    "setsockopt",
					    "clock_nanosleep",
					    "nanosleep",
					    "ioctl",
					    "sendmmsg",
					    "clock_nanosleep_time64",
					    "socket" /* the last one: of other families than UNIX, to connect again */};
	size_t n = sizeof(calls) / sizeof(*calls);
	const char *missing;
	int r = program_confine_calls(calls, target == TLOG_SYSLOG_TCP ? n : n - 1, &missing);

	if (missing)
		log_info(SUB_PRIVS, "no system call filter: %s", missing);
	return r;
}

static bool drop_rights(const struct program *p, const struct natd_config *c)
{
	int dirs[DIRS] = {cursor_dir(p->cursor), outlet_dir(p->outlet)};
	gid_t groups[2];
	const struct program_keep keep = {
		.groups = groups,
		.n_groups = find_groups(c, groups),
		.dirs = dirs,
		.n_dirs = dirs[1] < 0 ? 1 : 2,
		.port = c->translation_log.target == TLOG_SYSLOG_TCP ? c->translation_log.port : 0,
	};
	const char *what;
	int r;

	tzset(); /* no other file can be read any more */
	r = program_drop_rights(&keep, &what);
	if (r == 0) {
		what = "the system call filter";
		r = confine_calls(c->translation_log.target);
	}
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_PRIVS, -r, "%s failed: not going on with more rights than needed", what);
	return r == 0;
}

/* ---- the whole ---- */

static void on_stop(evutil_socket_t signo, short what, void *ctx)
{
	struct program *p = ctx;

	(void)signo, (void)what;
	program_stopping();
	event_base_loopbreak(p->base);
}

static void on_reopen(evutil_socket_t signo, short what, void *ctx)
{
	struct program *p = ctx;

	(void)signo, (void)what;
	follow_reopen(p->follow);
}

static void on_ready(void *ctx)
{
	const struct program *p = ctx;

	program_ready("natd-log", p->o->is_foreground);
}

static void on_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warning(SUB_MAIN, "libevent: %s", text);
}

/* FNV-1a. */
static uint64_t fingerprint(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	return h * 0x100000001b3;
}

static uint64_t fingerprint_target(const struct config_tlog *t, enum config_tlog_what what)
{
	char rest[64];

	snprintf(rest, sizeof(rest), "%d %d %u", t->target, what, t->port);
	return fingerprint(fingerprint(0xcbf29ce484222325, t->place), rest);
}

static bool open_files(struct program *p, const struct natd_config *c)
{
	const char *dir = getenv("STATE_DIRECTORY");
	char path[PATH_SIZE], why[OUTLET_WHY];
	const char *reason;

	snprintf(path, sizeof(path), "%s", STATE_DEFAULT);
	if (p->o->state)
		snprintf(path, sizeof(path), "%s", p->o->state);
	else if (dir && dir[0])
		snprintf(path, sizeof(path), "%s/cursor", dir);
	p->cursor = cursor_open(path, &reason);
	if (!p->cursor) {
		log_error(SUB_MAIN, "%s, where the place in natd's events is kept: %s", path, reason);
		return false;
	}
	p->outlet = outlet_open(&c->translation_log, why);
	if (!p->outlet)
		log_error(SUB_MAIN, "%s", why);
	return p->outlet != NULL;
}

static enum program_exit follow(struct program *p, const struct natd_config *c)
{
	const struct follow_params params = {
		.base = p->base,
		.socket = p->o->socket ? p->o->socket : c->control.socket,
		.what = config_tlog_what(c),
		.kinds = config_tlog_kinds(c),
		.has_destinations = c->translation_log.destinations,
		.target = fingerprint_target(&c->translation_log, config_tlog_what(c)),
		.outlet = p->outlet,
		.cursor = p->cursor,
		.on_ready = on_ready,
		.ctx = p,
	};
	enum program_exit code = PROGRAM_SYSTEM;

	if (!drop_rights(p, c))
		return PROGRAM_SYSTEM;
	p->follow = follow_start(&params);
	if (p->follow)
		code = event_base_dispatch(p->base) < 0 ? PROGRAM_SYSTEM : PROGRAM_OK;
	else
		log_error(SUB_MAIN, "short of memory");
	follow_stop(p->follow);
	return code;
}

static enum program_exit serve(struct program *p, const struct natd_config *c)
{
	struct event *term = evsignal_new(p->base, SIGTERM, on_stop, p);
	struct event *interrupt = evsignal_new(p->base, SIGINT, on_stop, p);
	struct event *reopen = evsignal_new(p->base, SIGHUP, on_reopen, p);
	enum program_exit code = PROGRAM_SYSTEM;

	if (term && interrupt && reopen && event_add(term, NULL) == 0 && event_add(interrupt, NULL) == 0 &&
	    event_add(reopen, NULL) == 0 && open_files(p, c))
		code = follow(p, c);
	if (term)
		event_free(term);
	if (interrupt)
		event_free(interrupt);
	if (reopen)
		event_free(reopen);
	outlet_close(p->outlet);
	cursor_close(p->cursor);
	return code;
}

static enum program_exit run(const struct options *o, const struct natd_config *c)
{
	struct program p = {.o = o};
	enum program_exit code;

	event_set_log_callback(on_libevent);
	p.base = event_base_new();
	if (!p.base) {
		log_error(SUB_MAIN, "cannot make an event loop");
		return PROGRAM_SYSTEM;
	}
	code = serve(&p, c);
	event_base_free(p.base);
	libevent_global_shutdown();
	return code;
}

int main(int argc, char **argv)
{
	struct options o = {.socket = getenv("NATD_SOCKET")};
	struct natd_config *c;
	enum program_exit code;

	switch (read_options(argc, argv, &o)) {
	case VERSION:
		puts("natd-log " PACKAGE_VERSION);
#ifndef HAVE_LIBFIXBUF
		puts("built without libfixbuf: no IPFIX");
#endif
		return PROGRAM_OK;
	case HELP:
		fputs(usage, stdout);
		return PROGRAM_OK;
	case WRONG:
		fputs(usage, stderr);
		return PROGRAM_USAGE;
	case RUN:
		break;
	}
	program_begin();
	log_set_program("natd-log");
	c = load(o.config ? o.config : CONFIG_DEFAULT);
	if (!c)
		return PROGRAM_CONFIG;
	log_set_level(c->log.level);
	log_open(o.is_foreground ? LOG_TO_STDERR : c->log.target);
	code = run(&o, c);
	config_free(c);
	return (int)code;
}
