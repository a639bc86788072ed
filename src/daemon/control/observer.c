/* SPDX-License-Identifier: ISC */
/*
 * Theory of operation. The thread wakes once a second, and when it is kicked. It reads the firewall when the kernel
 * reports a new generation of the ruleset, and queries the route of each forward every ROUTES_MS, or after a kick. Both
 * lists together are passed to the loop.
 *
 * The setup belongs to the loop, which replaces it at a reload. So the thread holds the lock while it reads the setup,
 * for at most one query to the kernel, and each time it takes the lock it checks whether the setup is still the same;
 * if not, it starts over. The loop waits for the lock only at a reload.
 */
#include "observer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/kernel/firewall.h"
#include "doctor_private.h"

enum { WAKE_MS = 1000, ROUTES_MS = 10000, FORWARDS_AT_ONCE = 4, SHOWN = 16 };

struct observer {
	const struct privs *privs;
	struct netlink *nl;
	pthread_t thread;
	int wake_fd;
	atomic_bool stop, is_kicked;
	bool has_filter;	     /* may read firewalls */
	atomic_bool *refuses_inside; /* borrowed: see observer_start() */

	pthread_mutex_t lock; /* protects the fields below */
	const struct setup *setup;
	uint32_t mark;
	uint32_t generation; /* of `setup` */
	struct findings ready;
	bool is_new;

	/* Used only by the thread. */
	struct firewall firewall;
	bool firewall_refuses;		 /* large packets to inside hosts, perhaps */
	int64_t ruleset;		 /* the generation of `firewall`; -1: none */
	uint32_t firewall_of, routes_of; /* the setup generation for which the lists were made */
	uint64_t routes_ms;
	struct findings firewall_list, routes_list;
};

static void wake(struct observer *o)
{
	const uint64_t one = 1;

	if (write(o->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_write(LEVEL_ERROR, SUB_CONTROL, errno,
			  "cannot wake the thread that checks the host (it checks once a second anyway)");
}

/* ---- checking ---- */

/* Takes the lock. Returns the generation of the setup; or 0, without the lock: there is none. */
static uint32_t hold_setup(struct observer *o, struct visit *v, struct finding_sink *sink)
{
	pthread_mutex_lock(&o->lock);
	if (!o->setup) {
		pthread_mutex_unlock(&o->lock);
		return 0;
	}
	*v = (struct visit){.config = o->setup->config, .setup = o->setup, .nl = o->nl, .sink = sink, .mark = o->mark};
	return o->generation;
}

/* True: the ruleset is newer than the one that was checked. */
static bool read_firewall(struct observer *o)
{
	int64_t now;
	int r = 0;

	if (!o->has_filter)
		return false;
	privs_raise(o->privs);
	now = netlink_firewall_generation(o->nl);
	if (now >= 0 && now != o->ruleset)
		r = netlink_firewall(o->nl, &o->firewall);
	privs_lower(o->privs);
	if (now < 0 || now == o->ruleset)
		return false;
	if (r < 0)
		firewall_fini(&o->firewall);
	o->ruleset = r < 0 ? -1 : now;
	return true;
}

/* The older iptables, whose rules cannot be read. */
static bool has_old_filter(void)
{
	FILE *file = fopen("/proc/net/ip_tables_names", "re");
	bool found = false;
	char line[64];

	while (file && !found && fgets(line, sizeof(line), file))
		found = strcmp(line, "filter\n") == 0;
	if (file)
		fclose(file);
	return found;
}

/* True: the list is new. */
static bool look_at_firewall(struct observer *o)
{
	bool is_read = read_firewall(o);
	struct finding_sink sink;
	struct visit v;
	uint32_t generation = hold_setup(o, &v, &sink);

	if (generation == 0)
		return false;
	if (!is_read && generation == o->firewall_of) {
		pthread_mutex_unlock(&o->lock);
		return false;
	}
	findings_clear(&o->firewall_list);
	findings_sink(&o->firewall_list, &sink);
	doctor_firewall(&v, &o->firewall);
	o->firewall_refuses =
		(o->has_filter && o->ruleset < 0) || doctor_firewall_refuses_inside(o->setup, &o->firewall);
	pthread_mutex_unlock(&o->lock);
	o->firewall_of = generation;
	return true;
}

/* Checks the routes of the forwards, a few for each time it takes the lock. False: the setup changed, or natd stops. */
static bool ask_routes(struct observer *o, uint32_t generation)
{
	struct finding_sink sink;
	struct visit v;
	uint32_t i = 0, n = 1, held;

	findings_clear(&o->routes_list);
	findings_sink(&o->routes_list, &sink);
	while (i < n && o->routes_list.n < SHOWN) {
		if (atomic_load(&o->stop))
			return false;
		held = hold_setup(o, &v, &sink);
		if (held != generation) {
			if (held != 0)
				pthread_mutex_unlock(&o->lock);
			return false;
		}
		n = v.setup->policy.n_forwards;
		for (uint32_t k = 0; k < FORWARDS_AT_ONCE && i < n; k++, i++) {
			const struct nat_forward *f = &v.setup->policy.forwards[i];

			if (i == 0 || f->n_backends > 0 || f->to != f[-1].to)
				doctor_forward_route(&v, i);
		}
		pthread_mutex_unlock(&o->lock);
	}
	return true;
}

static bool look_at_routes(struct observer *o)
{
	uint64_t now = loop_clock_ms();
	uint32_t generation;

	pthread_mutex_lock(&o->lock);
	generation = o->setup ? o->generation : 0;
	pthread_mutex_unlock(&o->lock);
	if (generation == 0 ||
	    (!atomic_exchange(&o->is_kicked, false) && generation == o->routes_of && now - o->routes_ms < ROUTES_MS))
		return false;
	if (!ask_routes(o, generation))
		return false;
	o->routes_of = generation;
	o->routes_ms = now;
	return true;
}

static void publish(struct observer *o)
{
	struct findings all = {0};
	struct finding_sink sink;

	findings_sink(&all, &sink);
	findings_replay(&o->firewall_list, FINDING_OK, &sink);
	findings_replay(&o->routes_list, FINDING_OK, &sink);
	pthread_mutex_lock(&o->lock);
	findings_swap(&all, &o->ready);
	o->is_new = true;
	pthread_mutex_unlock(&o->lock);
	findings_fini(&all);
}

static void *observe(void *arg)
{
	struct observer *o = arg;
	struct pollfd fd = {.fd = o->wake_fd, .events = POLLIN};
	uint64_t woken;

	while (!atomic_load(&o->stop)) {
		bool is_new = look_at_firewall(o);

		atomic_store(o->refuses_inside, o->firewall_refuses || has_old_filter());
		is_new |= look_at_routes(o);
		if (is_new)
			publish(o);
		if (poll(&fd, 1, WAKE_MS) > 0 && read(o->wake_fd, &woken, sizeof(woken)) < 0 && errno != EAGAIN)
			break;
	}
	return NULL;
}

/* ---- called by the loop ---- */

static int start_thread(struct observer *o)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&o->thread, NULL, observe, o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static void destroy(struct observer *o)
{
	firewall_fini(&o->firewall);
	findings_fini(&o->firewall_list);
	findings_fini(&o->routes_list);
	findings_fini(&o->ready);
	netlink_close(o->nl);
	if (o->wake_fd >= 0)
		close(o->wake_fd);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

int observer_start(struct observer **out, const struct privs *privs, atomic_bool *refuses_inside)
{
	struct observer *o = calloc(1, sizeof(*o));
	int r;

	*out = NULL;
	if (!o)
		return -ENOMEM;
	o->privs = privs;
	o->ruleset = -1;
	o->firewall_refuses = true;
	o->refuses_inside = refuses_inside;
	atomic_store(refuses_inside, true);
	pthread_mutex_init(&o->lock, NULL);
	o->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = o->wake_fd < 0 ? -errno : netlink_open(&o->nl, NETLINK_ROUTES);
	if (r == 0) {
		o->has_filter = netlink_open_filter(o->nl) == 0;
		r = start_thread(o);
	}
	if (r < 0) {
		atomic_store(refuses_inside, false);
		destroy(o);
		return r;
	}
	*out = o;
	return 0;
}

void observer_stop(struct observer *o)
{
	if (!o)
		return;
	atomic_store(&o->stop, true);
	wake(o);
	pthread_join(o->thread, NULL);
	destroy(o);
}

void observer_set(struct observer *o, const struct setup *s, uint32_t mark)
{
	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	o->setup = s;
	o->mark = mark;
	o->generation = o->generation == UINT32_MAX ? 1 : o->generation + 1;
	pthread_mutex_unlock(&o->lock);
	wake(o);
}

void observer_kick(struct observer *o)
{
	if (!o)
		return;
	atomic_store(&o->is_kicked, true);
	wake(o);
}

bool observer_take(struct observer *o, struct findings *into)
{
	bool is_new = false;

	if (!o || pthread_mutex_trylock(&o->lock) != 0)
		return false;
	is_new = o->is_new;
	if (is_new)
		findings_swap(into, &o->ready);
	o->is_new = false;
	pthread_mutex_unlock(&o->lock);
	return is_new;
}
