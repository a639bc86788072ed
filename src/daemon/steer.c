/* SPDX-License-Identifier: ISC */
/* Rules and tc programs together, see steer.h. */
#include "steer.h"

#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/offload/offload.h"
#include "natd.h"
#include "reload.h"

/* ---- the store ---- */

/* Links of another network namespace are useless; the device shows whether it is the same one. */
void steer_adopt(struct natd *n)
{
	struct handover *h = &n->persist.handover;

	for (uint32_t i = 0; i < DOORMAN_LINKS_MAX; i++) {
		int fd = handover_take(h, HANDOVER_LINK + i);

		if (fd >= 0 && h->is_stored[HANDOVER_TUN])
			offload_adopt(&n->offload, i, fd);
		else if (fd >= 0)
			close(fd);
		if (fd >= 0 && !(offload_is_on(&n->offload) && doorman_link(n->offload.doorman, i) >= 0))
			handover_refuse(h, HANDOVER_LINK + i);
	}
}

/* Sessions that the tc programs have carried since the previous natd last read them. */
void steer_adopt_flows(struct natd *n)
{
	struct handover *h = &n->persist.handover;
	int fd = handover_take(h, HANDOVER_FLOWS);

	if (fd < 0)
		return;
	if (h->is_stored[HANDOVER_TUN])
		fastpath_adopt(n->nat, fd);
	else
		close(fd);
	handover_refuse(h, HANDOVER_FLOWS);
}

void steer_clean(struct natd *n)
{
	unsigned removed;

	privs_raise(&n->sandbox.privs);
	removed = offload_clean(&n->offload, n->netlink, n->config->tun.name);
	privs_lower(&n->sandbox.privs);
	if (removed > 0)
		log_notice(SUB_ROUTING, "removed %u tc programs that a natd left when it crashed", removed);
}

/* Packets that the tun program refuses are handled by the path again. */
static void show_refusals(struct natd *n)
{
	struct doorman *d = n->offload.doorman;

	atomic_store(&n->path.transit.refusals, d ? doorman_refusals(d) : NULL);
}

static void keep_flows(struct natd *n)
{
	struct handover *h = &n->persist.handover;
	bool is_on = offload_is_on(&n->offload) && n->offload.mode != CONFIG_FAST_PATH_OFF;
	int fd = is_on ? doorman_flows_fd(n->offload.doorman) : -1;
	bool is_changed = fd != h->in_use[HANDOVER_FLOWS];

	handover_use(h, HANDOVER_FLOWS, fd);
	if (is_changed)
		handover_keep_flows(h);
}

static void keep_links(struct natd *n)
{
	struct handover *h = &n->persist.handover;
	struct doorman *d = n->offload.doorman;

	for (uint32_t i = 0; i < DOORMAN_LINKS_MAX; i++) {
		int fd = d ? doorman_link(d, i) : -1;
		bool is_changed = d ? doorman_take_change(d, i) : h->in_use[HANDOVER_LINK + i] >= 0;

		handover_use(h, HANDOVER_LINK + i, fd);
		if (is_changed)
			handover_keep_link(h, i);
	}
	keep_flows(n);
}

/* ---- steering ---- */

static void report_refusal(const struct offload *o)
{
	log_error(SUB_ROUTING,
		  "cannot steer by tc programs: %s; natd needs CAP_BPF and CAP_PERFMON for them: start it as root or "
		  "by its unit, or set fast_path.steering to \"auto\"",
		  o->why_rules);
}

static void warn_of_chain(const struct offload *o)
{
	log_warning(SUB_ROUTING,
		    "the host filters packets (%s): the tc programs bypass that, as fast_path.steering = \"bpf\" says",
		    o->filter.name);
}

bool steer_load(struct natd *n)
{
	bool ok = offload_load(&n->offload, n->setup->config, n->netlink);

	if (!ok)
		report_refusal(&n->offload);
	else if (offload_is_on(&n->offload))
		log_info(SUB_ROUTING, "steering by tc programs (%s)", offload_way(&n->offload));
	if (offload_is_on(&n->offload) && n->offload.filter.name[0] != '\0')
		warn_of_chain(&n->offload);
	if (ok && !offload_is_on(&n->offload))
		log_info(SUB_ROUTING, "steering by rules: %s", n->offload.why_rules);
	return ok;
}

void steer_set_policy(const struct natd *n, struct setup *s)
{
	setup_set_exact(s, offload_is_on(&n->offload));
}

/* Switches from programs to rules while natd runs: the core learns which protocols no longer reach it. */
static bool turn_to_rules(struct natd *n, struct setup *s)
{
	struct nat_reconfigure_report report;

	log_warning(SUB_ROUTING, "steering by rules from now on: %s", n->offload.why_rules);
	steer_set_policy(n, s);
	(void)nat_reconfigure(n->nat, &s->policy, loop_now_ms(n->loop), &report);
	observer_set(n->observer, n->setup, routing_mark(n->routing)); /* firewalls matter again */
	if (natd_apply_routing(n, s) == 0)
		return true;
	log_error(SUB_ROUTING, "%s", routing_error(n->routing));
	return false;
}

struct attach_job {
	struct natd *natd;
	const struct steering *steering;
	int result;
	char why[OFFLOAD_WHY_SIZE];
};

/* In the thread that runs it, whose rights are its own. */
static void attach(void *ctx)
{
	struct attach_job *j = ctx;

	privs_raise(&j->natd->sandbox.privs);
	j->result = offload_attach(&j->natd->offload, j->steering, j->why);
	privs_lower(&j->natd->sandbox.privs);
}

/* Packets are served while the kernel is queried. */
static bool show_and_attach(struct natd *n, struct setup *s, bool is_same)
{
	struct attach_job j = {.natd = n, .steering = s->steering};
	bool ok;

	privs_raise(&n->sandbox.privs);
	ok = offload_show(&n->offload, s->steering, n->nat, s->config->tun.name, is_same);
	privs_lower(&n->sandbox.privs);
	if (!offload_is_on(&n->offload))
		return ok;
	natd_aside(n, attach, &j);
	privs_raise(&n->sandbox.privs);
	ok = offload_begin(&n->offload, j.result, j.why);
	privs_lower(&n->sandbox.privs);
	return ok;
}

static bool apply_programs(struct natd *n, struct setup *s, bool is_same)
{
	bool was_on = offload_is_on(&n->offload), ok = true;

	if (was_on)
		ok = show_and_attach(n, s, is_same);
	keep_links(n);
	show_refusals(n);
	if (!ok)
		report_refusal(&n->offload);
	if (was_on && !offload_is_on(&n->offload))
		ok = turn_to_rules(n, s) && ok;
	return ok;
}

bool steer_apply_programs(struct natd *n, struct setup *s)
{
	return apply_programs(n, s, false);
}

void steer_repair_programs(struct natd *n)
{
	(void)apply_programs(n, n->setup, true);
}

void steer_begin_look(struct natd *n)
{
	if (offload_is_on(&n->offload))
		measure_begin(&n->offload.measure, n->nat);
}

void steer_look(struct natd *n, struct steer_look *l)
{
	bool had_filter = n->offload.filter.name[0] != '\0';

	l->has_to_end = l->has_new_filter = false;
	if (!offload_is_on(&n->offload))
		return;
	privs_raise(&n->sandbox.privs);
	l->has_to_end = offload_has_to_end(&n->offload, n->netlink, l->why);
	privs_lower(&n->sandbox.privs);
	measure_ask(&n->offload.measure, n->netlink);
	l->has_new_filter = !had_filter && n->offload.filter.name[0] != '\0';
}

void steer_follow(struct natd *n, const struct steer_look *l)
{
	measure_end(&n->offload.measure, n->nat);
	if (!l->has_to_end && l->has_new_filter)
		warn_of_chain(&n->offload);
	if (!l->has_to_end)
		return;
	privs_raise(&n->sandbox.privs);
	offload_give_up(&n->offload, l->why);
	privs_lower(&n->sandbox.privs);
	keep_links(n);
	show_refusals(n);
	(void)turn_to_rules(n, n->setup);
}

void steer_stop(struct natd *n)
{
	privs_raise(&n->sandbox.privs);
	offload_close(&n->offload, n->persist.handover.goes_on);
	privs_lower(&n->sandbox.privs);
	for (uint32_t i = 0; i < DOORMAN_LINKS_MAX; i++)
		handover_use(&n->persist.handover, HANDOVER_LINK + i, -1);
	handover_use(&n->persist.handover, HANDOVER_FLOWS, -1);
}

void steer_beat(struct natd *n)
{
	offload_beat(&n->offload);
}
