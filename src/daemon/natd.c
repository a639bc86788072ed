/* SPDX-License-Identifier: ISC */
/* The daemon as a whole: its devices, and its life from start to stop. */
#include "natd.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/config/config_text.h"
#include "daemon/kernel/netlink.h"
#include "daemon/persist/state.h"
#include "start.h"
#include "steer.h"

enum { RESTORE_ATTEMPTS = 3, FORWARDS_SHOWN = 16 };

void natd_open_log(const struct natd *n, const struct natd_config *c)
{
	unsigned level = (unsigned)c->log.level + n->options.verbosity;

	log_open(n->options.is_foreground ? LOG_TO_STDERR : c->log.target);
	log_set_level(level > LEVEL_DEBUG ? LEVEL_DEBUG : (enum log_level)level);
}

void natd_set_setup(struct natd *n, struct setup *s, struct natd_config *config, struct natd_retired *old)
{
	assert(s && s != n->setup && s->config == config);
	observer_set(n->observer, s, n->routing ? routing_mark(n->routing) : 0);
	old->setup = n->setup;
	old->config = config != n->config ? n->config : NULL;
	n->config = config;
	n->setup = s;
	n->control.setup = s;
}

/* ---- devices ---- */

/* Without the first queue the previous natd's other queues are useless too: the device disappears, and a new one is
 * created. */
static void refuse_queue(struct natd *n, uint32_t i, const char *name, int err)
{
	struct handover *h = &n->persist.handover;

	if (i == 0) {
		log_write(LEVEL_NOTICE, SUB_TUN, err, "inherited TUN device does not match %s: recreating it", name);
		handover_refuse_queues(h, 0);
	} else {
		log_write(LEVEL_NOTICE, SUB_TUN, err, "inherited queue does not belong to %s: opening another", name);
		handover_refuse(h, HANDOVER_TUN + i);
	}
}

/* Takes over the previous natd's queue, with the packets waiting in it, or opens one. */
static int open_queue(struct natd *n, uint32_t i, const struct tun_options *o)
{
	struct tun *t = &n->path.queue[i].tun;
	int fd = handover_take(&n->persist.handover, HANDOVER_TUN + i);
	int r = fd < 0 ? -ENOENT : tun_adopt(t, fd, o);

	if (r == 0)
		return 0;
	if (fd >= 0) {
		close(fd);
		refuse_queue(n, i, o->name, -r);
	}
	return tun_open(t, o);
}

static void report_missing_features(const struct tun *t, const struct tun_options *o)
{
	if (!o->offload || (t->features & TUN_USO))
		return;
	if (t->features & TUN_TSO)
		log_notice(SUB_TUN,
			   "this kernel has no large UDP packets (USO, Linux 6.2) on %s: natd works without them",
			   o->name);
	else
		log_notice(SUB_TUN, "this kernel has no large packets on %s: natd works without them", o->name);
}

static int open_queues(struct natd *n, const struct tun_options *o)
{
	uint32_t surplus;
	int r = open_queue(n, 0, o);

	if (r < 0)
		return r;
	report_missing_features(&n->path.queue[0].tun, o);
	surplus = handover_refuse_queues(&n->persist.handover, n->path.n_queues);
	if (surplus > 0)
		log_notice(SUB_TUN, "the previous natd had %u more queues: packets that waited in them are lost",
			   surplus);
	for (uint32_t i = 1; i < n->path.n_queues && r == 0; i++)
		r = open_queue(n, i, o);
	return r;
}

int natd_open_tun(struct natd *n)
{
	const struct config_tun *c = &n->setup->config->tun;
	const struct tun_options o = {.name = c->name, .offload = c->offload, .multi_queue = n->path.n_queues > 1};
	int r = open_queues(n, &o);

	if (r == 0)
		r = path_serve(&n->path);
	if (r < 0) {
		natd_close_tun(n);
		return r;
	}
	for (uint32_t i = 0; i < n->path.n_queues; i++)
		handover_use(&n->persist.handover, HANDOVER_TUN + i, n->path.queue[i].tun.fd);
	handover_keep_tun(&n->persist.handover);
	return 0;
}

void natd_close_tun(struct natd *n)
{
	for (uint32_t i = 0; i < CONFIG_QUEUES_MAX; i++)
		handover_use(&n->persist.handover, HANDOVER_TUN + i, -1);
	path_close_tun(&n->path);
}

int natd_open_icmp(struct natd *n)
{
	struct handover *h = &n->persist.handover;
	int fd = handover_take(h, HANDOVER_ICMP);
	int r = -ENOENT;

	/* It belongs to this network namespace if the TUN does. */
	if (fd >= 0 && h->is_stored[HANDOVER_TUN])
		r = icmpsock_adopt(&n->path.icmp, fd, &n->path.io);
	if (fd >= 0 && r < 0) {
		log_notice(SUB_DATA, "inherited ICMP socket cannot be used: opening another");
		close(fd);
		handover_refuse(h, HANDOVER_ICMP);
	}
	if (r < 0)
		r = icmpsock_open(&n->path.icmp, NULL, &n->path.io);
	if (r == 0)
		handover_use(h, HANDOVER_ICMP, n->path.icmp.fd);
	return r;
}

/* ---- run and stop ---- */

void natd_tell_manager(struct natd *n)
{
	struct persist *p = &n->persist;
	char line[256];

	status_line(&n->control, line, sizeof(line));
	if (handover_send_due(&p->handover))
		sdnotify_status(&p->service, line);
	if (sdnotify_is_stuck(&p->service))
		watch_tell_again(n);
}

/* At level info: natd -v. With very many forwards only the first ones; `natctl forwards' has all. */
static void introduce(const struct natd *n)
{
	const struct nat_policy *p = &n->setup->policy;
	const struct natd_config *c = n->setup->config;
	char text[TEXT_RANGE_SIZE];

	log_info(SUB_MAIN,
		 "natd " PACKAGE_VERSION ", configuration %s: up to %" PRIu32 " sessions, %" PRIu32 " forward%s",
		 n->options.config_path, p->limits.sessions, p->n_forwards, p->n_forwards == 1 ? "" : "s");
	for (uint32_t i = 0; i < p->n_addresses; i++) {
		text_of_addresses(text, p->addresses[i].first, p->addresses[i].last);
		if (p->addresses[i].is_virtual)
			log_info(SUB_MAIN, "virtual: %s", text);
		else
			log_info(SUB_MAIN, "outside: %s%s on %s", text,
				 p->addresses[i].shared ? " (shared with the host)" : "", c->outside.interface);
	}
	for (uint32_t i = 0; i < p->n_inside; i++)
		log_info(SUB_MAIN, "inside: %s", text_of_prefix(text, &p->inside[i]));
	for (uint32_t i = 0; i < p->n_forwards && i < FORWARDS_SHOWN; i++)
		log_info(SUB_MAIN, "forward %s: port %s",
			 p->forwards[i].name[0] ? p->forwards[i].name : "without a name",
			 text_of_ports(text, p->forwards[i].ports));
}

static void announce(struct natd *n)
{
	introduce(n);
	sdnotify_ready(&n->persist.service);
	natd_tell_manager(n);
	if (n->options.is_foreground)
		log_plain_known(LOG_ID_READY, LEVEL_NOTICE, SUB_MAIN,
				"natd: ready"); /* whatever the level: scripts wait for it */
	else
		log_known(LOG_ID_READY, LEVEL_NOTICE, SUB_MAIN, 0, "ready");
}

enum natd_exit natd_start(struct natd *n, const struct natd_options *o, struct natd_config *config)
{
	enum natd_exit code;

	memset(n, 0, sizeof(*n));
	n->options = *o;
	n->config = config;
	n->events_fd = -1;
	path_init(&n->path);
	n->persist.memory.records_fd = -1;
	n->persist.state_path = o->state_path;
	sdnotify_init(&n->persist.service);
	handover_init(&n->persist.handover, &n->persist.service);
	n->control.offload = &n->offload;
	n->control.path = &n->path;
	n->control.persist = &n->persist;
	n->control.config_path = o->config_path;
	n->control.config_loaded_s = (uint64_t)time(NULL);
	natd_open_log(n, config);
	code = start_all(n);
	if (code == NATD_EXIT_OK) {
		handover_keep(&n->persist.handover);
		announce(n);
	} else {
		n->persist.handover.goes_on =
			n->persist.handover.has_taken; /* the next start finds the host as this one found it */
	}
	return code;
}

enum natd_exit natd_run(struct natd *n)
{
	int r = loop_run(n->loop);

	netlink_cancel(n->netlink, false); /* the routing must be restored */
	sdnotify_begin(&n->persist.service);
	handover_ask(&n->persist.handover, n->persist.state_path != NULL);
	sdnotify_stopping(&n->persist.service);
	if (r == 0)
		return NATD_EXIT_OK;
	log_write(LEVEL_ERROR, SUB_MAIN, -r,
		  "cannot wait for events, so natd ends; the service manager starts it again");
	return NATD_EXIT_SYSTEM;
}

/* Each attempt does what is left: a temporary shortage of memory must not cost the host its routing. */
static void restore_routing(struct natd *n)
{
	int r = -1;

	privs_raise(&n->sandbox.privs);
	for (int attempt = 0; r < 0 && attempt < RESTORE_ATTEMPTS; attempt++)
		r = routing_restore(n->routing, n->setup->config->routing_on_stop);
	privs_lower(&n->sandbox.privs);
	if (r < 0)
		log_error(SUB_ROUTING,
			  "not everything of the host's routing could be put back: %s; `ip rule' and `ip route show "
			  "table all' show what is left with natd's mark (proto 214 to 221)",
			  routing_error(n->routing));
}

static void stop_routing(struct natd *n)
{
	if (!n->routing)
		return;
	if (!n->persist.handover.goes_on)
		restore_routing(n);
	routing_destroy(n->routing);
}

static void stop_table(struct natd *n)
{
	struct persist *p = &n->persist;

	if (n->nat) {
		nat_destroy(n->nat);
		if (p->state_path && !handover_keeps_table(&p->handover))
			state_save(p->state_path, &p->memory);
	}
	memory_destroy(&p->memory);
}

void natd_stop(struct natd *n)
{
	watch_stop(n);
	services_end(n);
	dynamic_end(n);
	observer_stop(n->observer);
	n->observer = NULL;
	path_stop(&n->path);
	steer_stop(n);
	stop_routing(n);
	ctl_server_destroy(n->control.server);
	natd_close_tun(n);
	handover_use(&n->persist.handover, HANDOVER_ICMP, -1);
	path_fini(&n->path);
	handover_end(&n->persist.handover);
	stop_table(n);
	doctor_forget(&n->control);
	setup_destroy(n->setup);
	config_free(n->config);
	if (n->events_fd >= 0)
		close(n->events_fd);
	netlink_close(n->guard);
	netlink_close(n->netlink);
	watch_stop_signals(n);
	loop_destroy(n->loop);
	privs_fini(&n->sandbox.privs);
	seccomp_free(n->sandbox.filter);
}
