/* SPDX-License-Identifier: ISC */
/* The steps of the start, in order. Each opens one thing, or logs in one line why it cannot. */
#include "start.h"

#include <assert.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/control/doctor.h"
#include "daemon/sandbox/lockdown.h"
#include "daemon/base/account.h"
#include "daemon/base/loop.h"
#include "daemon/kernel/netlink.h"
#include "reload.h"
#include "steer.h"
#include "daemon/persist/restore.h"
#include "daemon/sandbox/rundir.h"
#include "daemon/sandbox/seccomp.h"
#include "daemon/persist/state.h"

static enum natd_exit start_kept(struct natd *n)
{
	dynamic_begin(n);
	return NATD_EXIT_OK;
}

static enum natd_exit start_rights(struct natd *n)
{
	char why[512];
	int r = privs_init(&n->sandbox.privs, PRIVS_USER);

	if (r < 0) {
		log_error(SUB_PRIVS,
			  "cannot look up the user \"%s\", which natd becomes: %s (check the user database: getent "
			  "passwd %s)",
			  PRIVS_USER, strerror(-r), PRIVS_USER);
		return NATD_EXIT_SYSTEM;
	}
	if (privs_check(TUN_PATH, why, sizeof(why)) < 0) {
		log_error(SUB_PRIVS, "%s", why);
		return NATD_EXIT_SYSTEM;
	}
	privs_prioritise();
	return NATD_EXIT_OK;
}

/* First, since it may fail in ways that leave no time to restore anything. */
static enum natd_exit start_filter(struct natd *n)
{
	int r = seccomp_prepare(&n->sandbox.filter, SECCOMP_NATD);

	if (r == 0)
		return NATD_EXIT_OK;
	log_write(LEVEL_ERROR, SUB_PRIVS, -r, "cannot create the system call filter (libseccomp)");
	return NATD_EXIT_SYSTEM;
}

static enum natd_exit start_loop(struct natd *n)
{
	n->loop = loop_create();
	if (!n->loop || watch_signals(n) < 0) {
		log_write(LEVEL_ERROR, SUB_MAIN, errno, "cannot create the event loop");
		return NATD_EXIT_SYSTEM;
	}
	n->control.loop = n->loop;
	n->control.started_ms = loop_now_ms(n->loop);
	return NATD_EXIT_OK;
}

static enum natd_exit start_netlink(struct natd *n)
{
	int r = netlink_open(&n->netlink, NETLINK_ROUTES | NETLINK_SOCKETS);

	if (r == 0)
		r = netlink_open(&n->guard, NETLINK_SOCKETS);
	if (r == 0) {
		n->events_fd = netlink_events_open();
		r = n->events_fd;
	}
	if (r >= 0)
		return NATD_EXIT_OK;
	log_write(LEVEL_ERROR, SUB_NETLINK, -r,
		  "cannot open rtnetlink, by which natd sets routes (RestrictAddressFamilies of its service must list "
		  "AF_NETLINK)");
	return NATD_EXIT_SYSTEM;
}

static enum natd_exit start_setup(struct natd *n)
{
	struct config_report report = {0};
	struct setup *s = setup_create(n->netlink, n->config, &report);
	struct natd_retired none;

	config_report_log(&report);
	config_report_fini(&report);
	assert(!n->setup);
	if (!s) /* the file is valid: the host is the problem, which may change */
		return NATD_EXIT_SYSTEM;
	natd_set_setup(n, s, n->config, &none);
	return NATD_EXIT_OK;
}

static enum natd_exit start_table(struct natd *n)
{
	const struct privs *p = &n->sandbox.privs;

	n->nat = restore_table(&n->persist, &n->setup->policy, p->has_user ? p->uid : geteuid());
	if (!n->nat)
		return NATD_EXIT_SYSTEM;
	n->control.nat = n->nat;
	nat_set_port_guard(n->nat, hostports_in_use, n->guard);
	return NATD_EXIT_OK;
}

static const char *tun_hint(int err)
{
	switch (err) {
	case EBUSY:
		return "another natd uses it: stop that one, or choose another tun.name";
	case EPERM:
		return "CAP_NET_ADMIN over this network namespace is needed: start natd as root";
	case EINVAL:
		return "a device of another kind has that name: choose another tun.name";
	default:
		return "natd creates its device through " TUN_PATH;
	}
}

static enum natd_exit start_devices(struct natd *n)
{
	const struct natd_config *c = n->setup->config;
	int r = path_open(&n->path, path_queues_wanted(c->tun.queues));

	if (r < 0) {
		log_error(SUB_DATA, "cannot open the raw sockets that send translated packets: %s%s", strerror(-r),
			  r == -EPERM ? " (CAP_NET_RAW over this network namespace is needed)" : "");
		return NATD_EXIT_SYSTEM;
	}
	r = natd_open_tun(n);
	if (r < 0) {
		log_error(SUB_TUN, "cannot create the TUN device %s: %s (%s)", c->tun.name, strerror(-r), tun_hint(-r));
		return NATD_EXIT_SYSTEM;
	}
	r = natd_open_icmp(n);
	if (r < 0) {
		log_write(LEVEL_ERROR, SUB_DATA, -r,
			  "cannot open a raw socket to read ICMP (natd needs CAP_NET_RAW in this network namespace)");
		return NATD_EXIT_SYSTEM;
	}
	n->path.refuses_own = n->setup->config->routing == ROUTING_MANAGED;
	path_follow_interfaces(&n->path, &n->setup->facts, &n->setup->policy);
	return NATD_EXIT_OK;
}

static void say_line(void *ctx, const char *line)
{
	ctl_say_line(ctx, line);
}

static void say_finding(void *ctx, const struct finding *f)
{
	ctl_say_finding(ctx, f);
}

static bool answer_reload(void *ctx, struct ctl_sink *sink, uint32_t confirm_s, struct nat_reconfigure_report *report)
{
	if (confirm_s > 0)
		return dynamic_reload(ctx, confirm_s, say_line, sink, report);
	return natd_reload(ctx, say_line, sink, report);
}

static bool answer_confirm(void *ctx, struct ctl_sink *sink)
{
	return dynamic_confirm(ctx, say_line, sink);
}

static bool answer_forward(void *ctx, struct ctl_sink *sink, const struct ctl_forward_order *o, bool *changed)
{
	return dynamic_order(ctx, o, say_line, sink, changed);
}

static const char *answer_backend(void *ctx, const struct ctl_backend_order *o, bool *changed)
{
	return services_order(ctx, o, changed);
}

static void answer_doctor(void *ctx, struct ctl_sink *sink)
{
	struct natd *n = ctx;
	struct finding_sink findings;

	alarms_look(&n->control);
	finding_sink_init(&findings, say_finding, sink);
	doctor_run(&n->control, DOCTOR_FULL, &findings);
}

static void answer_status(void *ctx, struct ctl_sink *sink)
{
	struct natd *n = ctx;

	status_answer(&n->control, sink);
}

static void answer_stats(void *ctx, struct ctl_sink *sink)
{
	struct natd *n = ctx;

	status_answer_stats(&n->control, sink);
}

static const struct steering *answer_steering(void *ctx)
{
	struct natd *n = ctx;

	return n->setup->config->routing == ROUTING_MANAGED ? n->setup->steering : NULL;
}

static bool answer_route(void *ctx, uint32_t address, struct ctl_route *out)
{
	struct natd *n = ctx;
	struct netlink_way way;
	char name[IF_NAMESIZE] = "?";

	if (netlink_way_to(n->netlink, address, &way) < 0) {
		snprintf(out->text, sizeof(out->text), "the kernel has none: %s", netlink_error(n->netlink));
		return true;
	}
	out->is_local = way.type == RTN_LOCAL;
	if (way.out != 0)
		if_indextoname((unsigned)way.out, name);
	if (out->is_local)
		snprintf(out->text, sizeof(out->text), "the host's own address");
	else if (way.via != 0)
		snprintf(out->text, sizeof(out->text), "by %s, gateway %u.%u.%u.%u", name, way.via >> 24,
			 way.via >> 16 & 255, way.via >> 8 & 255, way.via & 255);
	else
		snprintf(out->text, sizeof(out->text), "by %s, on the link", name);
	return true;
}

/* The likely causes, by name; "" for others. */
static void control_hint(const struct config_control *c, int err, char *hint, size_t size)
{
	struct account a;

	hint[0] = '\0';
	if (err == EADDRINUSE)
		snprintf(hint, size, "another natd answers there: choose another control.socket");
	else if (c->group[0] && account_of_group(c->group, &a) == -ENOENT)
		snprintf(hint, size, "control.group: there is no group \"%s\": create it, or name another", c->group);
	else if (err == EACCES)
		snprintf(hint, size,
			 "the user \"" PRIVS_USER "\" may not write to that directory: choose one that it "
			 "owns, or one called natd");
	else if (err == ENOENT)
		snprintf(hint, size, "natd creates only the last directory of control.socket");
}

static void send_packet(void *ctx, uint8_t *packet, uint32_t len)
{
	struct natd *n = ctx;

	path_send(&n->path, packet, len);
}

static enum natd_exit start_control(struct natd *n)
{
	const struct config_control *c = &n->setup->config->control;
	char hint[160];
	struct ctl_server_params params = {
		.loop = n->loop, .nat = n->nat, .backend = &n->control.backend, .version = PACKAGE_VERSION};
	int r;

	n->control.backend = (struct ctl_backend){.status = answer_status,
						  .stats = answer_stats,
						  .reload = answer_reload,
						  .doctor = answer_doctor,
						  .backend = answer_backend,
						  .forward = answer_forward,
						  .confirm = answer_confirm,
						  .ctx = n,
						  .steering = answer_steering,
						  .route = answer_route,
						  .send = send_packet,
						  .inbox = &n->path.inbox};
	n->control.server = ctl_server_create(&params);
	if (n->control.server)
		ctl_server_keep_events(n->control.server, config_tlog_kinds(n->setup->config));
	r = n->control.server ? rundir_prepare(c->socket, &n->sandbox.privs) : -ENOMEM;
	if (r == 0)
		r = ctl_server_listen(n->control.server, c->socket, c->group, c->mode);
	if (r == 0)
		r = rundir_give(c->socket, c->group, &n->sandbox.privs);
	if (r == 0)
		return NATD_EXIT_OK;
	control_hint(c, -r, hint, sizeof(hint));
	log_error(SUB_CONTROL, "cannot create the control socket %s: %s", c->socket, hint[0] ? hint : strerror(-r));
	return NATD_EXIT_SYSTEM;
}

static enum natd_exit start_checks(struct natd *n)
{
	services_fork(n);
	return NATD_EXIT_OK;
}

static enum natd_exit start_offload(struct natd *n)
{
	if (!steer_load(n))
		return NATD_EXIT_SYSTEM;
	steer_set_policy(n, n->setup);
	return NATD_EXIT_OK;
}

static enum natd_exit start_drop(struct natd *n)
{
	const char *what;
	int r = privs_drop(&n->sandbox.privs, &what);

	if (r < 0) {
		log_write(LEVEL_ERROR, SUB_PRIVS, -r, "%s", what);
		return NATD_EXIT_SYSTEM;
	}
	if (!n->sandbox.privs.has_user && getuid() == 0)
		log_info(SUB_PRIVS, "no user \"%s\" to become: staying uid 0, without its capabilities", PRIVS_USER);
	if (access(n->options.config_path, R_OK) < 0)
		log_write(LEVEL_WARNING, SUB_PRIVS, errno,
			  "%s: cannot be read by uid %u, so a reload will fail (make it readable)",
			  n->options.config_path, (unsigned)getuid());
	if (n->options.state_path)
		state_try(n->options.state_path);
	return NATD_EXIT_OK;
}

static enum natd_exit start_routing(struct natd *n)
{
	struct setup *s = n->setup;
	char path[RUNDIR_PATH_MAX];

	n->routing = routing_create(n->netlink, rundir_beside(s->config->control.socket, "routing", path));
	if (!n->routing) {
		log_error(SUB_ROUTING, "cannot set up routing: out of memory");
		return NATD_EXIT_SYSTEM;
	}
	n->control.netlink = n->netlink;
	n->control.routing = n->routing;
	/* Programs before rules, or before removing what the previous natd left of either: no packet slips through
	 * in between. */
	if (offload_is_on(&n->offload))
		steer_adopt(n);
	if (!steer_apply_programs(n, s))
		return NATD_EXIT_SYSTEM;
	if (natd_apply_routing(n, s) < 0) {
		log_error(SUB_ROUTING, "%s", routing_error(n->routing));
		return NATD_EXIT_SYSTEM;
	}
	steer_adopt(n);
	steer_clean(n);
	steer_adopt_flows(n);
	return NATD_EXIT_OK;
}

static enum natd_exit start_data(struct natd *n)
{
	const struct path_start p = {.loop = n->loop, .nat = n->nat, .tun_lost = watch_tun_lost, .ctx = n};

	if (path_start(&n->path, &p) < 0 || watch_start(n) < 0) {
		log_error(SUB_DATA, "cannot start the data path: out of memory");
		return NATD_EXIT_SYSTEM;
	}
	dataplane_set_busy_poll(n->path.dataplane, n->setup->config->tun.busy_poll);
	services_begin(n);
	return NATD_EXIT_OK;
}

/* Without it natd works as well, but its doctor knows less. */
static enum natd_exit start_observer(struct natd *n)
{
	int r;

	privs_raise(&n->sandbox.privs);
	r = observer_start(&n->observer, &n->sandbox.privs, &n->path.transit.cuts_inside);
	privs_lower(&n->sandbox.privs);
	if (r < 0)
		log_write(LEVEL_WARNING, SUB_CONTROL, -r,
			  "cannot start the thread that checks the host: firewalls and the routes of forwards are not "
			  "watched");
	observer_set(n->observer, n->setup, routing_mark(n->routing));
	return NATD_EXIT_OK;
}

static enum natd_exit start_lockdown(struct natd *n)
{
	const struct lockdown_paths p = {.config = n->options.config_path,
					 .socket = n->setup->config->control.socket,
					 .state = n->options.state_path};
	int r = lockdown_paths(&p);

	if (r == 0)
		return NATD_EXIT_OK;
	log_write(LEVEL_ERROR, SUB_PRIVS, -r, "cannot drop the paths that natd does not need (Landlock)");
	return NATD_EXIT_SYSTEM;
}

static enum natd_exit start_confine(struct natd *n)
{
	int r = lockdown_calls(&n->sandbox);

	if (r == 0)
		return NATD_EXIT_OK;
	log_write(LEVEL_ERROR, SUB_PRIVS, -r,
		  "cannot set the system call filter, without which natd does not run (build it --without-libseccomp "
		  "to do so)");
	return NATD_EXIT_SYSTEM;
}

enum natd_exit start_all(struct natd *n)
{
	static enum natd_exit (*const steps[])(struct natd *) = {
		start_kept,	start_rights,  start_filter,  start_loop,     start_netlink, start_setup,
		start_offload,	start_table,   start_devices, start_control,  start_checks,  start_drop,
		start_lockdown, start_routing, start_data,    start_observer, start_confine,
	};
	enum natd_exit code = NATD_EXIT_OK;

	for (size_t i = 0; code == NATD_EXIT_OK && i < sizeof(steps) / sizeof(*steps); i++)
		code = steps[i](n);
	return code;
}
