/* SPDX-License-Identifier: ISC */
/*
 * The main file of a program beside natd (natd-web, natd-log): options, configuration, log, event loop, signals, rights. What
 * such a program does of its own it says in a struct beside.
 */
#ifndef NATD_BESIDE_BESIDE_H
#define NATD_BESIDE_BESIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "client/program.h"
#include "daemon/config/config.h"

struct event_base;

/* By natd.conf(5)'s directory of this build. */
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define BESIDE_CONFIG SYSCONFDIR "/natd/natd.conf"

struct beside_options {
	const char *config; /* NULL: none was named */
	const char *socket; /* natd's; NULL: the configured one */
	bool is_foreground;
};

struct beside {
	const char *name;  /* "natd-log" */
	const char *usage; /* the whole text */
	const char *lacks; /* a line for -V: what this build was made without; NULL: nothing */

	/* One option of its own, which takes an argument. */
	const char *option; /* the long name */
	char letter;	    /* 0: it has none */
	/* False: it is wrong, which has been said on stderr. */
	bool (*on_option)(void *ctx, const char *argument);

	/* NULL: it has errors, or cannot be used, which has been logged. */
	struct natd_config *(*load)(void *ctx, const struct beside_options *o);
	/* Opens what it needs, gives up rights, says that it is ready, and runs the loop: beside_loop(). */
	enum program_exit (*serve)(void *ctx, struct event_base *base, const struct beside_options *o,
				   const struct natd_config *c);
};

int beside_main(int argc, char **argv, const struct beside *b, void *ctx);

/* The configuration in a file; NULL: it has errors, which have been logged. */
struct natd_config *beside_load(const char *path);

/*
 * Gives up all rights but `keep` (whose groups are filled in here: natd's, and that of its socket) and all system calls but
 * `calls` and what every such program needs. False: it cannot, which has been logged.
 */
bool beside_drop_rights(const struct natd_config *c, struct program_keep *keep, const char *const *calls, size_t n);

/* Runs until SIGTERM or SIGINT, or event_base_loopbreak(). */
enum program_exit beside_loop(struct event_base *base);

#endif
