/* SPDX-License-Identifier: ISC */
/* The daemon as a whole: the devices it reads, its life from start to stop. */
#include "natd.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/loop.h"
#include "daemon/kernel/netlink.h"
#include "daemon/sandbox/seccomp.h"
#include "start.h"
#include "daemon/persist/state.h"

enum { RESTORE_ATTEMPTS = 3 };

void natd_open_log(const struct natd *n, const struct natd_config *c)
{
	unsigned level = (unsigned)c->log.level + n->options.verbosity;

	log_open(n->options.is_foreground ? LOG_TO_STDERR : c->log.target);
	log_set_level(level > LEVEL_DEBUG ? LEVEL_DEBUG : (enum log_level)level);
}

/* ---- devices ---- */

/* That of the former natd, with the packets that wait in it; -ENOENT or another negative errno: there is none. */
static int adopt_tun(struct natd *n, const struct tun_options *o)
{
	int fd = handover_take(n, HANDOVER_TUN);
	int r = fd < 0 ? -ENOENT : tun_adopt(&n->tun, fd, o, &n->io);

	if (fd < 0 || r == 0)
		return r;
	log_write(LEVEL_NOTICE, SUB_TUN, -r, "the device of the former natd is not %s as configured: making that anew",
		  o->name);
	close(fd);
	handover_refuse_queues(n, 0);
	return r;
}

static void tell_what_lacks(const struct tun *t, const struct tun_options *o)
{
	if (!o->offload || (t->features & TUN_USO))
		return;
	if (t->features & TUN_TSO)
		log_notice(SUB_TUN, "this kernel knows no large UDP packets (USO, Linux 6.2) on %s: doing without",
			   o->name);
	else
		log_notice(SUB_TUN, "this kernel gives no large packets on %s: doing without", o->name);
}

int natd_open_tun(struct natd *n)
{
	const struct config_tun *c = &n->setup->config->tun;
	const struct tun_options o = {.name = c->name, .offload = c->offload, .multi_queue = n->queues.n > 1};
	int r = adopt_tun(n, &o);

	if (r < 0)
		r = tun_open(&n->tun, &o, &n->io);
	if (r < 0) {
		n->tun.fd = -1;
		return r;
	}
	tell_what_lacks(&n->tun, &o);
	r = queues_open(n, &o);
	if (r < 0)
		queues_close(n);
	else
		handover_keep_tun(n);
	return r;
}

int natd_open_icmp(struct natd *n)
{
	int fd = handover_take(n, HANDOVER_ICMP);

	/* It is of the same network namespace if the TUN is. */
	if (fd >= 0 && n->handover.is_stored[HANDOVER_TUN] && icmpsock_adopt(&n->icmp, fd, &n->io) == 0)
		return 0;
	if (fd >= 0) {
		log_notice(SUB_DATA, "the ICMP socket of the former natd is of no use: opening another");
		close(fd);
		handover_refuse(n, HANDOVER_ICMP);
	}
	return icmpsock_open(&n->icmp, NULL, &n->io);
}

/* The interfaces by which ICMP for a shared address comes, as they are now; their number. */
static uint32_t icmp_interfaces(const struct natd_config *c, unsigned out[ICMPSOCK_INTERFACES])
{
	uint32_t n = 0;

	out[n] = if_nametoindex(c->outside.interface);
	n += out[n] != 0;
	for (uint32_t i = 0; i < c->inside.n_interfaces && n < ICMPSOCK_INTERFACES; i++) {
		out[n] = if_nametoindex(c->inside.interfaces[i]);
		n += out[n] != 0;
	}
	return n;
}

void natd_follow_interface(struct natd *n, const struct setup *s)
{
	unsigned from[ICMPSOCK_INTERFACES];
	uint32_t count = icmp_interfaces(s->config, from);
	int r;

	if (count == n->n_icmp_from && memcmp(from, n->icmp_from, count * sizeof(from[0])) == 0)
		return;
	memcpy(n->icmp_from, from, count * sizeof(from[0]));
	n->n_icmp_from = count;
	r = icmpsock_listen(&n->icmp, from, count);
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_DATA, -r, "cannot read ICMP on %s: pings and errors are lost",
			  s->config->outside.interface);
}

/* ---- life ---- */

void natd_tell_manager(struct natd *n)
{
	char line[256];

	status_line(n, line, sizeof(line));
	if (handover_send_due(n))
		sdnotify_status(&n->service, line);
	if (sdnotify_is_stuck(&n->service))
		watch_tell_again(n);
}

static void announce(struct natd *n)
{
	sdnotify_ready(&n->service);
	natd_tell_manager(n);
	if (n->options.is_foreground)
		log_plain(LEVEL_NOTICE, SUB_MAIN, "natd: ready"); /* whatever the level: scripts wait for it */
	else
		log_notice(SUB_MAIN, "ready");
}

enum natd_exit natd_start(struct natd *n, const struct natd_options *o, struct natd_config *config)
{
	enum natd_exit code;

	memset(n, 0, sizeof(*n));
	n->options = *o;
	n->config = config;
	n->events_fd = -1;
	n->tun.fd = -1;
	n->icmp.fd = -1;
	n->memory.records_fd = -1;
	n->config_loaded_s = (uint64_t)time(NULL);
	sdnotify_init(&n->service);
	natd_open_log(n, config);
	code = start_all(n);
	if (code == NATD_EXIT_OK) {
		handover_keep(n);
		announce(n);
	} else {
		n->handover.goes_on = n->handover.has_taken; /* the next attempt finds what this one found */
	}
	return code;
}

enum natd_exit natd_run(struct natd *n)
{
	int r = loop_run(n->loop);

	sdnotify_begin(&n->service);
	handover_ask(n);
	sdnotify_stopping(&n->service);
	if (r == 0)
		return NATD_EXIT_OK;
	log_write(LEVEL_ERROR, SUB_MAIN, -r, "waiting for events failed");
	return NATD_EXIT_SYSTEM;
}

/* Each attempt does what is left; a passing shortage must not cost the host its routing. */
static void restore_routing(struct natd *n)
{
	int r = -1;

	privs_raise(&n->privs);
	for (int attempt = 0; r < 0 && attempt < RESTORE_ATTEMPTS; attempt++)
		r = routing_restore(n->routing);
	privs_lower(&n->privs);
	if (r < 0)
		log_error(SUB_ROUTING, "not everything could be put back: %s", routing_error(n->routing));
}

static void stop_routing(struct natd *n)
{
	if (!n->routing)
		return;
	if (!n->handover.goes_on)
		restore_routing(n);
	routing_destroy(n->routing);
}

static void stop_devices(struct natd *n)
{
	if (n->icmp.fd >= 0)
		icmpsock_close(&n->icmp);
	rawsock_destroy(n->raw);
	queues_close(n);
	queues_destroy(n);
}

void natd_stop(struct natd *n)
{
	watch_stop(n);
	dataplane_destroy(n->dataplane);
	stop_routing(n);
	ctl_server_destroy(n->control);
	stop_devices(n);
	handover_end(n);
	if (n->nat)
		nat_destroy(n->nat);
	if (n->nat && n->options.state_path && !handover_keeps_table(n))
		state_save(n->options.state_path, &n->memory);
	memory_destroy(&n->memory);
	setup_destroy(n->setup);
	config_free(n->config);
	if (n->events_fd >= 0)
		close(n->events_fd);
	netlink_close(n->netlink);
	watch_stop_signals(n);
	loop_destroy(n->loop);
	privs_fini(&n->privs);
	seccomp_free(n->filter);
}
