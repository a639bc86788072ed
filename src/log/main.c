/* SPDX-License-Identifier: ISC */
/* natd-log(8): the functions that beside.h calls; the work itself is behind follow.h and outlet.h. */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "beside/beside.h"
#include "daemon/base/log.h"
#include "follow.h"
#include "outlet.h"

#define STATE_DEFAULT "/var/lib/natd-log/cursor"

enum { PATH_SIZE = 4096, DIRS = 2 };

static const char usage[] = "usage: natd-log [-c FILE] [-s SOCKET] [--state FILE] [-f] [-V] [-h]\n"
			    "  -c, --config FILE    read FILE instead of " BESIDE_CONFIG "\n"
			    "  -s, --socket SOCKET  natd's control socket, instead of the configured one\n"
			    "      --state FILE     file that keeps the position in natd's events; default\n"
			    "                       " STATE_DEFAULT ", or in systemd's STATE_DIRECTORY\n"
			    "  -f, --foreground     log to stderr\n"
			    "  -V, --version        print the version and the features left out of this build\n"
			    "  -h, --help           print this\n";

struct program {
	const char *state; /* --state; NULL: the default */
	bool is_foreground;
	struct follow *follow;
	struct outlet *outlet;
	struct cursor_file *cursor;
};

static bool set_state(void *ctx, const char *argument)
{
	struct program *p = ctx;

	p->state = argument;
	return true;
}

static struct natd_config *load(void *ctx, const struct beside_options *o)
{
	const char *path = o->config ? o->config : BESIDE_CONFIG;
	struct natd_config *c = beside_load(path);

	(void)ctx;
	if (!c || c->translation_log.target != TLOG_NONE)
		return c;
	log_error(SUB_CONFIG, "%s: translation_log.target is \"none\": name where the log is to go", path);
	config_free(c);
	return NULL;
}

static bool drop_rights(const struct program *p, const struct natd_config *c)
{
	/* For the files of the log and of the cursor, and for datagrams. */
	static const char *const calls[] = {
		"openat",
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
		"socket" /* must be last: sockets of families other than UNIX, to reconnect */};
	bool is_tcp = c->translation_log.target == TLOG_SYSLOG_TCP;
	int dirs[DIRS] = {cursor_dir(p->cursor), outlet_dir(p->outlet)};
	struct program_keep keep = {
		.dirs = dirs,
		.n_dirs = dirs[1] < 0 ? 1 : 2,
		.port = is_tcp ? c->translation_log.port : 0,
	};

	return beside_drop_rights(c, &keep, calls, sizeof(calls) / sizeof(*calls) - (is_tcp ? 0 : 1));
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

	program_ready("natd-log", p->is_foreground);
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
	if (p->state)
		snprintf(path, sizeof(path), "%s", p->state);
	else if (dir && dir[0])
		snprintf(path, sizeof(path), "%s/cursor", dir);
	p->cursor = cursor_open(path, &reason);
	if (!p->cursor) {
		log_error(SUB_MAIN, "cannot use %s, the file that keeps the position in natd's events: %s", path,
			  reason);
		return false;
	}
	p->outlet = outlet_open(&c->translation_log, why);
	if (!p->outlet)
		log_error(SUB_MAIN, "%s", why);
	return p->outlet != NULL;
}

static enum program_exit follow(struct program *p, struct event_base *base, const struct beside_options *o,
				const struct natd_config *c)
{
	const struct follow_params params = {
		.base = base,
		.socket = o->socket ? o->socket : c->control.socket,
		.what = config_tlog_what(c),
		.kinds = config_tlog_kinds(c),
		.has_destinations = c->translation_log.destinations,
		.target = fingerprint_target(&c->translation_log, config_tlog_what(c)),
		.outlet = p->outlet,
		.cursor = p->cursor,
		.on_ready = on_ready,
		.ctx = p,
	};
	struct event *reopen = evsignal_new(base, SIGHUP, on_reopen, p);
	enum program_exit code = PROGRAM_SYSTEM;

	p->follow = follow_start(&params);
	if (p->follow && reopen && event_add(reopen, NULL) == 0)
		code = beside_loop(base);
	else
		log_error(SUB_MAIN, "short of memory");
	if (reopen)
		event_free(reopen);
	follow_stop(p->follow);
	return code;
}

static enum program_exit serve(void *ctx, struct event_base *base, const struct beside_options *o,
			       const struct natd_config *c)
{
	struct program *p = ctx;
	enum program_exit code = PROGRAM_SYSTEM;

	p->is_foreground = o->is_foreground;
	if (open_files(p, c) && drop_rights(p, c))
		code = follow(p, base, o, c);
	outlet_close(p->outlet);
	cursor_close(p->cursor);
	return code;
}

int main(int argc, char **argv)
{
	static const struct beside natd_log = {
		.name = "natd-log",
		.usage = usage,
#ifndef HAVE_LIBFIXBUF
		.lacks = "built without libfixbuf: no IPFIX",
#endif
		.option = "state",
		.on_option = set_state,
		.load = load,
		.serve = serve,
	};
	struct program p = {.is_foreground = false};

	return beside_main(argc, argv, &natd_log, &p);
}
