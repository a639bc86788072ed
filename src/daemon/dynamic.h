/* SPDX-License-Identifier: ISC */
/*
 * Forwards made at run time, and a configuration that is still to be confirmed.
 *
 * Theory of operation. A dynamic forward is the text of its keys, as it would stand in the file; the configuration in force is
 * the file's text and these texts, read and checked together, so that all checks of the file hold. Each change reads both
 * anew and applies them like a reload, or refuses and changes nothing. The texts are kept in a file beside the control
 * socket, one a line with the time at which it ends, which the next natd reads.
 *
 * reload --confirm: before the new file takes effect the text in force and the contents of its sets are written to another such
 * file. It is removed by confirm. If the time is over first, or natd starts and finds it, they take effect instead of the
 * configuration file and the files of sets. The file outlives a crash (RuntimeDirectoryPreserve), and unlike the
 * service manager's descriptor store it works without a service manager.
 */
#ifndef NATD_DAEMON_DYNAMIC_H
#define NATD_DAEMON_DYNAMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlforward.h"
#include "common/ctlrecord.h"
#include "daemon/sandbox/rundir.h"
#include "reload.h"

struct natd;
struct dynamic_forward;

/* A configuration that was in force; both for free(), or NULL. */
struct dynamic_before {
	char *text, *sets;
};

struct dynamic {
	struct dynamic_forward *list;
	uint32_t n;
	char path[RUNDIR_PATH_MAX];	    /* of the file of forwards */
	char confirm_path[RUNDIR_PATH_MAX]; /* of the configuration to go back to */
	struct dynamic_before before;	    /* it; text NULL: nothing waits to be confirmed */
	uint64_t deadline_ms;
};

/* First: what an earlier natd left takes part in n->config. */
void dynamic_begin(struct natd *n);
/* Each second: what is over ends. */
void dynamic_look(struct natd *n);
void dynamic_end(struct natd *n);

/* The texts of all, for struct config_source; "" for none. For free(). NULL: no memory. */
char *dynamic_text(const struct dynamic *d);

/* natctl forward add, remove. False after at least one line. *changed: false: it was so already. */
bool dynamic_order(struct natd *n, const struct ctl_forward_order *o, reload_say_fn *say, void *ctx, bool *changed);
/* natctl reload --confirm, confirm. False after at least one line. */
bool dynamic_reload(struct natd *n, uint32_t seconds, reload_say_fn *say, void *ctx,
		    struct nat_reconfigure_report *report);
bool dynamic_confirm(struct natd *n, reload_say_fn *say, void *ctx);

#endif
