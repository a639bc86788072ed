/* SPDX-License-Identifier: ISC */
/*
 * Changes while natd runs.
 *
 * Theory of operation. A new setup is built beside the current one, and replaces it when routing and the core have both
 * accepted it. Routing goes first: it can fail for many reasons, and a failure changes nothing, while the core ends
 * sessions, which cannot be undone. After the routing, the core can only fail for lack of memory, and then the old
 * routing is applied again. Packets are served while the file is read, the kernel is queried, the policy is compiled
 * and replaced objects are freed; the core and the tc programs switch between two packets. Then the existing sessions
 * are checked against the new policy, in slices between packets, before the reload is finished.
 *
 * Some settings belong to objects that are opened once, with rights that natd has dropped; changing these settings is
 * refused, not ignored.
 */
#include "reload.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/setup/facts.h"
#include "natd.h"
#include "steer.h"

enum {
	JUDGE_VISITS = 8192, /* or 256 endings: less than a millisecond */
	ALIVE_MS = 1000,
};

struct outcome {
	reload_say_fn *say;
	void *ctx;
};

static void say(const struct outcome *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct outcome *o, const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	o->say(o->ctx, line);
}

static void say_report(const struct outcome *o, const struct config_report *report)
{
	char line[1024];

	for (uint32_t i = 0; i < report->n_problems; i++) {
		config_problem_text(&report->problems[i], line, sizeof(line));
		o->say(o->ctx, line);
	}
}

/* ---- applying ---- */

void natd_aside(struct natd *n, void (*fn)(void *ctx), void *ctx)
{
	path_aside(&n->path, fn, ctx);
}

struct routing_job {
	struct natd *natd;
	const struct setup *setup;
	int result, marked;
};

/* Called in the thread that runs it, which has rights of its own. */
static void apply_routing(void *ctx)
{
	struct routing_job *j = ctx;
	struct natd *n = j->natd;

	privs_raise(&n->sandbox.privs);
	routing_set_steered(n->routing, offload_is_on(&n->offload));
	j->result = routing_apply(n->routing, j->setup->config, &j->setup->facts, j->setup->steering);
	if (j->result == 0)
		j->marked = path_set_mark(&n->path, routing_mark(n->routing));
	privs_lower(&n->sandbox.privs);
}

int natd_apply_routing(struct natd *n, const struct setup *s)
{
	struct routing_job j = {.natd = n, .setup = s};

	natd_aside(n, apply_routing, &j);
	if (j.marked < 0)
		log_write(LEVEL_WARNING, SUB_DATA, -j.marked,
			  "cannot mark the packets that natd sends: the kernel's own ICMP errors about them leave "
			  "untranslated");
	n->control.is_routed = j.result == 0;
	return j.result;
}

/* Back to the current setup, after a new one was refused. */
static void go_back(struct natd *n)
{
	if (natd_apply_routing(n, n->setup) < 0)
		log_error(SUB_ROUTING, "%s", routing_error(n->routing));
}

struct judging {
	struct natd *natd;
	struct nat_reconfigure_report *report;
	uint64_t alive_ms; /* when the manager last got a sign of life */
};

static bool judge_slice(void *ctx)
{
	struct judging *j = ctx;
	uint64_t now_ms = loop_clock_ms();

	if (now_ms - j->alive_ms >= ALIVE_MS) {
		sdnotify_alive(&j->natd->persist.service);
		j->alive_ms = now_ms;
	}
	return nat_judge(j->natd->nat, now_ms, JUDGE_VISITS, j->report);
}

/* Checks the existing sessions against the new policy; packets pass in between. */
static void judge(struct natd *n, struct nat_reconfigure_report *report)
{
	struct judging j = {n, report, loop_clock_ms()};

	if (n->path.dataplane)
		dataplane_in_slices(n->path.dataplane, judge_slice, &j);
	else
		while (judge_slice(&j))
			;
}

static void free_retired(void *ctx)
{
	struct natd_retired *old = ctx;

	nat_compiled_free(old->rules);
	setup_destroy(old->setup);
	config_free(old->config);
}

/* Replaces the current setup by `s`, or changes nothing. `rules`: its policy, compiled; the core owns it from then
 * on, and the old rules are returned to the caller. */
static bool apply(struct natd *n, struct setup *s, struct rules **rules, const struct outcome *o,
		  struct nat_reconfigure_report *report)
{
	struct rules *old;

	if (natd_apply_routing(n, s) < 0) {
		say(o, "%s: nothing was changed", routing_error(n->routing));
		go_back(n);
		return false;
	}
	old = *rules ? nat_adopt(n->nat, *rules, loop_now_ms(n->loop)) : NULL;
	if (!old) {
		say(o, "%s: not enough memory, or limits beyond what was reserved at start: nothing was changed",
		    s->config->file);
		go_back(n);
		return false;
	}
	*rules = old;
	n->path.refuses_own = s->config->routing == ROUTING_MANAGED;
	path_follow_interfaces(&n->path, &s->facts, &s->policy);
	(void)steer_apply_programs(n, s); /* if it fails rules steer, as the log says */
	judge(n, report);
	return true;
}

/* ---- a new configuration ---- */

/* For readers of events. */
static void record_reload(struct natd *n, const struct nat_reconfigure_report *report)
{
	struct event e = {.type = EVENT_CONFIG};

	snprintf(e.text, sizeof(e.text), "reloaded: %" PRIu32 " sessions kept, %" PRIu32 " ended", report->kept,
		 report->ended);
	event_append(nat_events(n->nat), &e);
}

/* Reports settings that cannot change: a line for each that did; returns their number. */
static int refuse_changes(const struct natd_config *old, const struct natd_config *new, const struct outcome *o)
{
	const struct {
		const char *key;
		bool changed;
	} fixed[] = {
		{"tun.name", strcmp(old->tun.name, new->tun.name) != 0},
		{"tun.offload", old->tun.offload != new->tun.offload},
		{"tun.queues", old->tun.queues != new->tun.queues},
		{"fast_path.mode", old->fast_path.mode != new->fast_path.mode},
		{"fast_path.steering", old->fast_path.steering != new->fast_path.steering},
		{"control.socket", strcmp(old->control.socket, new->control.socket) != 0},
		{"control.group", strcmp(old->control.group, new->control.group) != 0},
	};
	int refused = 0;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
		if (!fixed[i].changed)
			continue;
		say(o, "%s: %s cannot change while natd runs: put it back, or restart natd", new->file, fixed[i].key);
		refused++;
	}
	return refused;
}

struct setup_job {
	struct natd *natd;
	const struct config_source *source;
	struct natd_config *config; /* borrowed from the caller */
	struct config_report report;
	struct setup *setup;
	struct rules *rules;	       /* compiled from its policy; NULL: out of memory, or the facts equal `same` */
	const struct host_facts *same; /* NULL, or facts: a setup with the same ones needs no new rules */
};

static void load_config(void *ctx)
{
	struct setup_job *j = ctx;

	j->config = config_load_source(j->source, &j->report);
}

static void make_setup(void *ctx)
{
	struct setup_job *j = ctx;

	j->setup = setup_create(j->natd->netlink, j->config, &j->report);
	if (!j->setup)
		return;
	steer_set_policy(j->natd, j->setup);
	if (!j->same || !setup_facts_equal(&j->setup->facts, j->same))
		j->rules = nat_compile(&j->setup->policy);
}

/* Reads the configuration and checks the host. Returns the setup, its configuration in *config, and its rules, all
 * owned by the caller; or NULL after at least one line. */
static struct setup *prepare(struct natd *n, const struct config_source *src, struct natd_config **config,
			     struct rules **rules, const struct outcome *o)
{
	struct setup_job j = {.natd = n, .source = src};

	natd_aside(n, load_config, &j);
	if (j.config && refuse_changes(n->config, j.config, o) == 0)
		natd_aside(n, make_setup, &j);
	if (!j.setup)
		config_free(j.config);
	*config = j.setup ? j.config : NULL;
	*rules = j.rules;
	say_report(o, &j.report);
	config_report_fini(&j.report);
	return j.setup;
}

static void adopt(struct natd *n, struct setup *s, struct natd_config *config, struct natd_retired *old)
{
	const struct config_control *c = &config->control;
	int r;

	assert(config);
	r = ctl_server_set_access(n->control.server, "", c->mode); /* the group is unchanged */
	if (r < 0)
		log_write(LEVEL_WARNING, SUB_CONTROL, -r, "cannot change the mode of %s", c->socket);
	natd_set_setup(n, s, config, old);
	services_follow(n);
	ctl_server_keep_events(n->control.server, config_tlog_kinds(config));
	dataplane_set_busy_poll(n->path.dataplane, config->tun.busy_poll);
	n->control.config_loaded_s = (uint64_t)time(NULL);
	natd_open_log(n, config);
}

bool natd_apply_source(struct natd *n, const struct config_source *src, reload_say_fn *say_line, void *ctx,
		       struct nat_reconfigure_report *report)
{
	const struct outcome o = {say_line, ctx};
	struct natd_retired old = {0};
	struct natd_config *config;
	struct setup *s;
	bool ok;

	sdnotify_begin(&n->persist.service);
	sdnotify_reloading(&n->persist.service);
	memset(report, 0, sizeof(*report));
	s = prepare(n, src, &config, &old.rules, &o);
	ok = s && apply(n, s, &old.rules, &o, report);
	if (ok) {
		adopt(n, s, config, &old);
		log_known(LOG_ID_RELOADED, LEVEL_NOTICE, SUB_CONFIG, 0,
			  "configuration reloaded: %" PRIu32 " sessions kept, %" PRIu32 " ended", report->kept,
			  report->ended);
		record_reload(n, report);
	} else {
		old.setup = s;
		old.config = config;
		log_known(LOG_ID_NOT_RELOADED, LEVEL_ERROR, SUB_CONFIG, 0,
			  "%s: not reloaded, the previous configuration stays in force", n->options.config_path);
	}
	natd_aside(n, free_retired, &old);
	sdnotify_ready(&n->persist.service);
	natd_tell_manager(n);
	return ok;
}

bool natd_reload(struct natd *n, reload_say_fn *say_line, void *ctx, struct nat_reconfigure_report *report)
{
	char *forwards = dynamic_text(&n->dynamic);
	const struct config_source src = {.name = n->options.config_path,
					  .forwards = n->dynamic.n > 0 ? forwards : NULL};
	bool ok = forwards != NULL && natd_apply_source(n, &src, say_line, ctx, report);

	if (forwards == NULL)
		say_line(ctx, "no memory to read the configuration: nothing was changed");
	if (ok)
		dynamic_reloaded(&n->dynamic);
	free(forwards);
	return ok;
}

/* ---- a changed host ---- */

void reload_log_line(void *ctx, const char *line)
{
	static const char mark[] = ": warning: ";
	const char *at = strstr(line, mark);

	(void)ctx;
	if (at)
		log_warning(SUB_CONFIG, "%.*s: %s", (int)(at - line), line, at + sizeof(mark) - 1);
	else
		log_error(SUB_CONFIG, "%s", line);
}

/* Only rules or routes can have changed: restores what is missing. */
static void repair(struct natd *n)
{
	bool was_routed = n->control.is_routed;

	path_follow_interfaces(&n->path, &n->setup->facts, &n->setup->policy);
	steer_repair_programs(n);
	if (natd_apply_routing(n, n->setup) < 0) {
		if (was_routed && !n->is_stopping) /* once, not every second */
			log_error(SUB_ROUTING, "%s", routing_error(n->routing));
	} else if (routing_changes(n->routing) > 0) {
		log_known(LOG_ID_REPAIRED, LEVEL_NOTICE, SUB_ROUTING, 0,
			  "another program changed rules, routes or settings that natd relies on: put back %" PRIu32,
			  routing_changes(n->routing));
	}
}

void natd_refresh(struct natd *n)
{
	const struct outcome o = {reload_log_line, NULL};
	struct nat_reconfigure_report report;
	struct setup_job j = {.natd = n, .config = n->config, .same = &n->setup->facts};
	struct natd_retired old = {0};

	if (!path_has_tun(&n->path)) /* natd_open_tun() is followed by another refresh */
		return;
	natd_aside(n, make_setup, &j);
	if (n->is_stopping) {
		old.setup = j.setup;
	} else if (!j.setup) {
		say_report(&o, &j.report);
	} else if (setup_facts_equal(&j.setup->facts, &n->setup->facts)) {
		old.setup = j.setup;
		repair(n);
	} else if (!apply(n, j.setup, &j.rules, &o, &report)) {
		old.setup = j.setup;
	} else {
		say_report(&o, &j.report);
		natd_set_setup(n, j.setup, n->config, &old);
		log_known(LOG_ID_HOST_CHANGED, LEVEL_NOTICE, SUB_NETLINK, 0,
			  "interfaces or addresses changed: %" PRIu32 " sessions kept, %" PRIu32 " ended", report.kept,
			  report.ended);
	}
	old.rules = j.rules;
	natd_aside(n, free_retired, &old);
	config_report_fini(&j.report);
}

/* Results of the check of the host, each second. */
struct look {
	struct natd *natd;
	struct steer_look steer;
	bool is_read; /* else the next check tries again */
	bool is_same; /* interfaces and addresses are unchanged */
	bool has_other_ports;
};

static void look_at_host(void *ctx)
{
	struct look *l = ctx;
	struct natd *n = l->natd;
	struct host_facts now;

	l->is_read = facts_read(n->netlink, n->config, &now) == 0;
	if (!l->is_read)
		return;
	l->is_same = setup_facts_equal(&now, &n->setup->facts);
	facts_fini(&now);
	steer_look(n, &l->steer);
	if (l->is_same)
		l->has_other_ports = setup_scan_ports(n->setup, n->netlink);
}

void natd_look(struct natd *n)
{
	struct look l = {.natd = n};

	if (!path_has_tun(&n->path))
		return;
	steer_begin_look(n);
	natd_aside(n, look_at_host, &l);
	if (n->is_stopping || !l.is_read)
		return;
	steer_follow(n, &l.steer);
	if (!l.is_same) {
		natd_refresh(n);
		return;
	}
	if (!l.has_other_ports) {
		repair(n);
		return;
	}
	(void)steer_apply_programs(n, n->setup);
	if (natd_apply_routing(n, n->setup) < 0 && !n->is_stopping) /* another gap may now deserve a rule of its own */
		log_error(SUB_ROUTING, "%s", routing_error(n->routing));
}
