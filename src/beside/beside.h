/* SPDX-License-Identifier: ISC */
/*
 * The frame of a program beside natd (natd-web, natd-log): options, configuration, log, event loop, signals, rights. A
 * struct beside has the parts that are the program's own.
 */
#ifndef NATD_BESIDE_BESIDE_H
#define NATD_BESIDE_BESIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "client/program.h"
#include "daemon/config/config.h"

struct event_base;

/* The directory of natd.conf(5) in this build. */
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define BESIDE_CONFIG SYSCONFDIR "/natd/natd.conf"

struct beside_options {
	const char *config; /* NULL: none was given */
	const char *socket; /* natd's control socket; NULL: the configured one */
	bool is_foreground;
};

struct beside {
	const char *name;  /* "natd-log" */
	const char *usage; /* the whole text */
	const char *lacks; /* a line for -V: features that this build lacks; NULL: none */

	/* The program's own option, which takes an argument. */
	const char *option; /* long name */
	char letter;	    /* 0: it has none */
	/* False: the argument is wrong, and that was printed on stderr. */
	bool (*on_option)(void *ctx, const char *argument);

	/* NULL: the configuration has errors or cannot be used, and that was logged. */
	struct natd_config *(*load)(void *ctx, const struct beside_options *o);
	/* Opens what the program needs, drops rights, reports readiness, and runs beside_loop(). */
	enum program_exit (*serve)(void *ctx, struct event_base *base, const struct beside_options *o,
				   const struct natd_config *c);
};

int beside_main(int argc, char **argv, const struct beside *b, void *ctx);

/* Reads a configuration file. NULL: it has errors, and they were logged. */
struct natd_config *beside_load(const char *path);

/*
 * Drops all rights but `keep` (its groups are filled in here: natd's, and that of its socket) and all system calls but
 * `calls` and those that every such program needs. False: it failed, and that was logged.
 */
bool beside_drop_rights(const struct natd_config *c, struct program_keep *keep, const char *const *calls, size_t n);

/* Runs until SIGTERM, SIGINT or event_base_loopbreak(). */
enum program_exit beside_loop(struct event_base *base);

#endif
