/* SPDX-License-Identifier: ISC */
/*
 * The doctor: a table of checks of host and configuration. Each reports one finding that all is well, or one for each
 * fault. The checks read little and run no programs. More expensive checks are in observer.h.
 */
#include "doctor.h"

#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "core/base/event.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/config/config_text.h"
#include "daemon/health/health.h"
#include "daemon/sandbox/privs.h"
#include "doctor_private.h"
#include "stream.h"

enum {
	FULL_PERCENT = 80,
	RUNS_PER_SECOND = 20, /* further runs get the last one's result: many readers must not hold packets up */
};

static void check_tun(struct visit *v)
{
	struct netlink_link link;

	if (!path_has_tun(v->c->path) || netlink_link_get(v->c->netlink, v->config->tun.name, &link) < 0) {
		finding_remedy(v->sink, "natd recreates it within a second; if it does not, see natd's log");
		finding_add(v->sink, FINDING_ERROR, "tun-device", "TUN device %s is gone", v->config->tun.name);
	} else if (!(link.flags & IFF_UP)) {
		finding_remedy(v->sink, "ip link set %s up", link.name);
		finding_add(v->sink, FINDING_ERROR, "tun-device", "TUN device %s is down", link.name);
	} else if (v->setup->policy.outside_mtu && link.mtu < v->setup->policy.outside_mtu) {
		finding_remedy(v->sink, "set tun.mtu to 0, then it follows the outside interface");
		finding_add(v->sink, FINDING_WARNING, "mtu", "MTU of %s (%" PRIu32 ") is below that of %s (%u)",
			    link.name, link.mtu, v->config->outside.interface, v->setup->policy.outside_mtu);
	} else {
		finding_add(v->sink, FINDING_OK, "tun-device", "TUN device %s is up, MTU %" PRIu32, link.name,
			    link.mtu);
	}
}

static void check_tun_queue(struct visit *v)
{
	if (!status_queue_lost_lately(v->c))
		return;
	finding_remedy(v->sink, "give natd more processor time, or more tun.queues: packets come faster than it reads");
	finding_add(v->sink, FINDING_WARNING, "tun-queue",
		    "packets were lost in the queue of %s before natd could read them", v->config->tun.name);
}

static void check_steering(struct visit *v)
{
	const struct offload *o = v->c->offload;

	if (!offload_is_on(o)) {
		finding_add(v->sink, FINDING_OK, "steering", "packets are steered by rules: %s", o->why_rules);
	} else if (o->filter.name[0] == '\0') {
		finding_add(v->sink, FINDING_OK, "steering", "packets are steered by tc programs (%s)", offload_way(o));
	} else {
		finding_remedy(v->sink, "set fast_path.steering to \"rules\" if that chain is to see them");
		finding_add(v->sink, FINDING_WARNING, "steering", "packets are steered by tc programs (%s), past %s",
			    offload_way(o), o->filter.name);
	}
}

static void check_routing(struct visit *v)
{
	if (!v->c->is_routed) {
		finding_remedy(v->sink, "%s", routing_error(v->c->routing));
		finding_add(v->sink, FINDING_ERROR, "routing", "routing is not in place");
	} else {
		finding_add(v->sink, FINDING_OK, "routing", "routing is in place (%s)",
			    v->config->routing == ROUTING_MANAGED ? "managed" : "none: it is yours");
	}
}

/* ---- other NATs ---- */

/* Does a line of the file begin with `word`? */
static bool has_line(const char *path, const char *word)
{
	char line[256];
	bool found = false;
	FILE *f = fopen(path, "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strncmp(line, word, strlen(word)) == 0;
	if (f)
		fclose(f);
	return found;
}

/* The old iptables, whose rules the observer cannot read. */
static void check_old_iptables(struct visit *v)
{
	if (has_line("/proc/net/ip_tables_names", "filter")) {
		finding_remedy(v->sink,
			       "iptables-legacy -S FORWARD: it must accept -i %s and -o %s, if it drops anything",
			       v->config->tun.name, v->config->tun.name);
		finding_add(v->sink, FINDING_OK, "old-iptables",
			    "the old iptables filter table is in use, which natd cannot read");
	}
	if (has_line("/proc/net/ip_tables_names", "nat")) {
		finding_remedy(v->sink, "iptables-legacy -t nat -S: nothing there may match inside traffic; with natd "
					"it is not needed");
		finding_add(v->sink, FINDING_WARNING, "other-nat", "iptables' nat table is in use on this host");
	}
}

/* ---- use ---- */

static void check_usage(struct visit *v)
{
	const struct alarm *sessions = &v->c->alarms[ALARM_SESSIONS], *ports = &v->c->alarms[ALARM_PORTS];

	if (ports->is_raised) {
		v->sink->percent = ports->percent;
		finding_remedy(v->sink, "widen outside.ports, add addresses, or set limits.ports_per_host");
		finding_add(v->sink, FINDING_WARNING, "ports", "%" PRIu32 " %% of an address's ports are in use",
			    ports->percent);
	}
	if (sessions->is_raised) {
		v->sink->percent = sessions->percent;
		finding_remedy(v->sink, "raise limits.sessions, or set limits.sessions_per_host");
	}
	finding_add(v->sink, sessions->is_raised ? FINDING_WARNING : FINDING_OK, "sessions",
		    "%" PRIu32 " of %" PRIu32 " sessions are in use", table_session_count(nat_table(v->c->nat)),
		    v->setup->policy.limits.sessions);
}

static void check_events(struct visit *v)
{
	if (!v->c->alarms[ALARM_EVENTS].is_raised)
		return;
	finding_remedy(v->sink,
		       "raise limits.events, or find the reader that is slow: a natctl monitor that was stopped, a log "
		       "whose disk is full");
	finding_add(v->sink, FINDING_WARNING, "events", "%" PRIu64 " events were lost by slow readers",
		    nat_events(v->c->nat)->lost);
}

static uint32_t count_ports(const struct nat_range *r, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += (uint32_t)r[i].last - r[i].first + 1;
	return sum;
}

/* Reports an address that has few ports left; true if it did. */
static bool check_address_ports(struct visit *v, uint32_t address, uint32_t ports)
{
	const struct table *t = nat_table(v->c->nat);
	int32_t slot = table_address_slot(t, address);
	char text[TEXT_ADDRESS_SIZE];

	if (slot < 0 || ports == 0)
		return false;
	for (int c = CLASS_TCP; c <= CLASS_ICMP; c++) {
		uint64_t used = table_address_ports_used(t, (uint16_t)slot, (enum nat_class)c);

		if (used * 100 < (uint64_t)ports * FULL_PERCENT)
			continue;
		v->sink->percent = (uint32_t)(used * 100 / ports);
		finding_remedy(v->sink, "widen outside.ports, add addresses, or set limits.ports_per_host");
		finding_add(v->sink, FINDING_WARNING, "ports", "%" PRIu64 " of %" PRIu32 " ports of %s are in use",
			    used, ports, text_of_address(text, address));
		return true;
	}
	return false;
}

static void check_ports(struct visit *v)
{
	const struct nat_policy *p = &v->setup->policy;
	uint32_t shared = count_ports(p->shared_ports, p->n_shared_ports);
	uint32_t pool = count_ports(p->pool_ports, p->n_pool_ports);
	bool found = false;

	for (uint32_t i = 0; i < p->n_addresses && !found; i++) {
		const struct nat_address_range *r = &p->addresses[i];

		for (uint64_t a = r->first; a <= r->last && !found; a++)
			found = check_address_ports(v, (uint32_t)a, r->shared ? shared : pool);
	}
	if (!found && p->n_addresses > 0)
		finding_add(v->sink, FINDING_OK, "ports", "every outside address has ports left");
}

/* ---- drops that the administrator should know ---- */

static void check_drops(struct visit *v)
{
	static const struct {
		enum nat_reason reason;
		const char *id, *text, *remedy;
	} kinds[] = {
		{DROP_INSIDE_SOURCE, "inside-source", "inside hosts send from addresses outside of inside.prefixes",
		 "add the prefix to inside.prefixes if it is yours; natctl monitor -e REFUSED shows who"},
		{DROP_NO_PORT, "ports-exhausted", "connections are refused for lack of outside ports",
		 "widen outside.ports, add addresses, or set limits.ports_per_host"},
		{DROP_SESSIONS_FULL, "table-full", "connections are refused because the table is full",
		 "raise limits.sessions, or set limits.sessions_per_host"},
		{DROP_NO_ADDRESS, "no-address", "packets are dropped because natd has no outside address",
		 "give the outside interface its address, or list others in outside.addresses"},
		{DROP_OTHER_PROTOCOL, "protocol-refused",
		 "inside hosts use protocols whose answers rules do not bring to natd on a shared address",
		 "fast_path.steering = \"bpf\", or an address of natd's own in outside.addresses"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (!status_has_recent(v->c, kinds[i].reason))
			continue;
		/* Refused because the administrator said so is no finding. */
		if (kinds[i].reason == DROP_OTHER_PROTOCOL && v->setup->policy.other_protocols != OTHER_TRANSLATE)
			continue;
		finding_remedy(v->sink, "%s", kinds[i].remedy);
		finding_add(v->sink, FINDING_WARNING, kinds[i].id, "%s", kinds[i].text);
	}
}

/* ---- backends ---- */

static bool has_checks(const struct natd_config *c)
{
	for (uint32_t i = 0; c->checks != NULL && i < c->n_forwards; i++) {
		if (c->checks[i].type != CHECK_NONE)
			return true;
	}
	return false;
}

static void check_health(struct visit *v)
{
	uint32_t restarts = health_restarts(v->c->health);

	if (!has_checks(v->config))
		return;
	if (!health_is_alive(v->c->health)) {
		finding_remedy(v->sink, "restart natd: sessions are kept; natd's log says why the process ended");
		finding_add(v->sink, FINDING_ERROR, "health-checks",
			    "backends are not checked: the process that does so has ended, and they keep their state");
	} else if (restarts > 0) {
		finding_remedy(v->sink, "the checks continue; please report the fault, with natd's log");
		finding_add(v->sink, FINDING_WARNING, "health-checks",
			    "a fault ended the process that checks backends (%" PRIu32 " since natd started)",
			    restarts);
	} else {
		finding_add(v->sink, FINDING_OK, "health-checks", "backends are checked");
	}
}

/* ---- configuration ---- */

static void check_config_age(struct visit *v)
{
	struct stat st;

	if (stat(v->c->config_path, &st) < 0 || access(v->c->config_path, R_OK) < 0) {
		finding_remedy(v->sink, "make it readable for uid %u, or a reload will fail", (unsigned)getuid());
		finding_add(v->sink, FINDING_WARNING, "config-file", "%s cannot be read", v->c->config_path);
	} else if ((uint64_t)st.st_mtime > v->c->config_loaded_s) {
		finding_remedy(v->sink, "natctl reload");
		finding_add(v->sink, FINDING_WARNING, "config-file", "%s was changed after natd loaded it",
			    v->c->config_path);
	} else {
		finding_add(v->sink, FINDING_OK, "config-file", "%s is loaded as it stands", v->c->config_path);
	}
}

/* ---- the process ---- */

static void check_rights(struct visit *v)
{
	if (v->config->routing == ROUTING_MANAGED && !privs_has("cap_net_admin")) {
		finding_remedy(v->sink, "start natd as root or by its systemd unit");
		finding_add(v->sink, FINDING_WARNING, "rights", "natd may no longer change routes");
	} else if (getuid() == 0) {
		finding_remedy(v->sink, "make a system user \"%s\": natd then becomes it", PRIVS_USER);
		finding_add(v->sink, FINDING_WARNING, "rights", "natd runs as uid 0");
	} else {
		finding_add(v->sink, FINDING_OK, "rights",
			    "natd runs as uid %u and may change routes, and nothing else", (unsigned)getuid());
	}
}

static void check_service(struct visit *v)
{
	if (v->c->persist->service.is_managed)
		finding_add(v->sink, FINDING_OK, "service-manager", "started by a service manager%s",
			    sdnotify_watchdog_ms(&v->c->persist->service) ? ", which watches it" : "");
	else
		finding_add(v->sink, FINDING_OK, "service-manager", "not started by a service manager");
}

/* The observer's last findings. */
static void show_observed(struct control *c, enum doctor_depth depth, struct finding_sink *sink)
{
	findings_replay(&c->observed, depth == DOCTOR_QUICK ? FINDING_WARNING : FINDING_OK, sink);
}

struct check {
	void (*check)(struct visit *v);
	enum doctor_depth depth;
};

static void run_checks(const struct check *checks, size_t n, struct visit *v, enum doctor_depth depth)
{
	for (size_t i = 0; i < n; i++) {
		if (checks[i].depth <= depth)
			checks[i].check(v);
	}
}

struct round {
	struct visit visit;
	enum doctor_depth depth;
};

/* Checks that query the kernel or read files: packets do not wait for them. */
static void ask_host(void *ctx)
{
	static const struct check checks[] = {
		{check_tun, DOCTOR_QUICK},	   {check_routing, DOCTOR_QUICK}, {check_steering, DOCTOR_QUICK},
		{check_old_iptables, DOCTOR_FULL}, {check_rights, DOCTOR_FULL},	  {check_config_age, DOCTOR_QUICK},
		{check_health, DOCTOR_QUICK},	   {check_service, DOCTOR_FULL},
	};
	struct round *r = ctx;

	doctor_host(&r->visit, r->depth);
	run_checks(checks, sizeof(checks) / sizeof(*checks), &r->visit, r->depth);
}

static void run(struct control *c, enum doctor_depth depth, struct finding_sink *sink)
{
	static const struct check checks[] = {
		{check_tun_queue, DOCTOR_QUICK}, {check_usage, DOCTOR_QUICK}, {check_events, DOCTOR_QUICK},
		{check_ports, DOCTOR_FULL},	 {check_drops, DOCTOR_QUICK},
	};
	struct round r = {.visit = {.c = c,
				    .config = c->setup->config,
				    .setup = c->setup,
				    .nl = c->netlink,
				    .sink = sink,
				    .mark = routing_mark(c->routing)},
			  .depth = depth};

	status_look_at_queue(c);
	path_aside(c->path, ask_host, &r);
	run_checks(checks, sizeof(checks) / sizeof(*checks), &r.visit, depth); /* checks of the table */
	show_observed(c, depth, sink);
}

void doctor_run(struct control *c, enum doctor_depth depth, struct finding_sink *sink)
{
	struct doctor_memory *m = &c->doctor[depth];
	uint64_t second = loop_now_ms(c->loop) / 1000;
	struct finding_sink keep;

	if (m->second != second) {
		m->second = second;
		m->runs = 0;
	}
	if (m->runs++ < RUNS_PER_SECOND || m->last.is_short) {
		findings_clear(&m->last);
		findings_sink(&m->last, &keep);
		run(c, depth, &keep);
	}
	findings_replay(&m->last, FINDING_OK, sink);
}

void doctor_forget(struct control *c)
{
	for (int i = 0; i <= DOCTOR_FULL; i++)
		findings_fini(&c->doctor[i].last);
	findings_fini(&c->observed);
	findings_fini(&c->reported);
}

/* ---- changes since the last run ---- */

static void report(struct control *c, const struct finding *f, bool has_ended)
{
	struct event e = {.type = EVENT_ALARM, .reason = ALARM_FINDING, .flags = has_ended ? EVENT_HAS_ENDED : 0};

	for (unsigned i = 0; i < ALARM_COUNT; i++) {
		if (strcmp(f->id, alarm_name(i)) == 0) /* an alarm has its own hysteresis */
			return;
	}
	snprintf(e.text, sizeof(e.text), "%s: %s", f->id, f->text);
	event_append(nat_events(c->nat), &e);
	if (has_ended)
		log_known(LOG_ID_FINDING_OVER, LEVEL_NOTICE, SUB_CONTROL, 0, "finding %s is over: %s", f->id, f->text);
	else
		log_known(LOG_ID_FINDING, LEVEL_WARNING, SUB_CONTROL, 0, "finding %s: %s%s%s%s", f->id, f->text,
			  f->remedy[0] ? " (" : "", f->remedy, f->remedy[0] ? ")" : "");
}

static void report_new(void *ctx, const struct finding *f)
{
	report(ctx, f, false);
}

static void report_over(void *ctx, const struct finding *f)
{
	report(ctx, f, true);
}

void doctor_report_changes(struct control *c)
{
	struct findings all = {0}, now = {0};
	struct finding_sink sink;

	alarms_look(c);
	findings_sink(&all, &sink);
	run(c, DOCTOR_QUICK, &sink);
	findings_sink(&now, &sink);
	findings_replay(&all, FINDING_WARNING, &sink);
	if (!all.is_short && !now.is_short) {
		findings_difference(&now, &c->reported, report_new, c);
		findings_difference(&c->reported, &now, report_over, c);
		findings_swap(&now, &c->reported);
	}
	findings_fini(&all);
	findings_fini(&now);
}
