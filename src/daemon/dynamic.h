/* SPDX-License-Identifier: ISC */
/*
 * Forwards made at run time, and a configuration that is still to be confirmed.
 *
 * Theory of operation. A dynamic forward is the text of its keys, as it would be in the file. The configuration in
 * force is the file's text and these texts, loaded together, so all checks of the file apply. Each change loads both
 * again and applies them like a reload, or refuses and changes nothing. The texts are stored in a file beside the
 * control socket, one a line with its end time, which the next natd reads.
 *
 * reload --confirm: before the new file takes effect, the text in force and the contents of its sets are saved in
 * another such file. Confirming removes it. If the time runs out first, or if natd starts and finds it, they take
 * effect instead of the configuration file and the sets' files. The text that was not confirmed is then added to the
 * file: natd.conf still has it, so a later start goes back as well, until natd.conf changes or a reload succeeds. The
 * file survives a crash (RuntimeDirectoryPreserve), and unlike the service manager's descriptor store it works without
 * a service manager.
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

/* A previous configuration; each is freed with free(), or NULL. */
struct dynamic_before {
	char *text, *sets;
	char *refused; /* natd.conf's text that was not confirmed in time */
};

struct dynamic {
	struct dynamic_forward *list;
	uint32_t n;
	char path[RUNDIR_PATH_MAX];	    /* the file of forwards */
	char confirm_path[RUNDIR_PATH_MAX]; /* the file of the configuration to go back to */
	struct dynamic_before before;	    /* its content; text NULL: nothing is to be confirmed */
	uint64_t deadline_ms;
	bool has_returned; /* natd.conf is not in force, because it was not confirmed */
};

/* Called first: merges what an earlier natd left into n->config. */
void dynamic_begin(struct natd *n);
/* Called each second: ends what has run out. */
void dynamic_look(struct natd *n);
void dynamic_end(struct natd *n);

/* The texts of all forwards, for struct config_source; "" for none. The caller frees it. NULL: out of memory. */
char *dynamic_text(const struct dynamic *d);

/* natctl forward add, remove. False after at least one line. *changed: false if it was so already. */
bool dynamic_order(struct natd *n, const struct ctl_forward_order *o, reload_say_fn *say, void *ctx, bool *changed);
/* natctl reload --confirm, confirm. False after at least one line. */
bool dynamic_reload(struct natd *n, uint32_t seconds, reload_say_fn *say, void *ctx,
		    struct nat_reconfigure_report *report);
bool dynamic_confirm(struct natd *n, reload_say_fn *say, void *ctx);
/* natd.conf was read again and is in force. */
void dynamic_reloaded(struct dynamic *d);

#endif
