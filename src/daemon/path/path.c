/* SPDX-License-Identifier: ISC */
/* The packet path and everything that it owns. */
#include "path.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/config/config.h"

/* ---- create and destroy ---- */

void path_init(struct path *p)
{
	memset(p, 0, sizeof(*p));
	p->icmp.fd = -1;
}

uint32_t path_queues_wanted(uint32_t configured)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t wanted = configured;

	if (wanted == 0)
		wanted = cores > 0 ? (uint32_t)cores : 1;
	return wanted < CONFIG_QUEUES_MAX ? wanted : CONFIG_QUEUES_MAX;
}

static int open_sockets(struct rawsock **raw, struct ways **ways, struct io_counters *io, const struct transit *t)
{
	int r = rawsock_create(raw, io);

	return r < 0 ? r : ways_create(ways, t);
}

int path_open(struct path *p, uint32_t n_queues)
{
	int r = 0;

	assert(!p->queue && n_queues >= 1 && n_queues <= CONFIG_QUEUES_MAX);
	p->queue = calloc(n_queues, sizeof(*p->queue));
	if (!p->queue)
		return -ENOMEM;
	p->n_queues = n_queues;
	for (uint32_t i = 0; i < n_queues; i++)
		p->queue[i].tun.fd = -1;
	for (uint32_t i = 0; i < n_queues && n_queues > 1 && r == 0; i++)
		r = open_sockets(&p->queue[i].raw, &p->queue[i].ways, &p->queue[i].io, &p->transit);
	return r < 0 ? r : open_sockets(&p->raw, &p->ways, &p->io, &p->transit);
}

void path_fini(struct path *p)
{
	assert(!p->dataplane);
	icmpsock_close(&p->icmp);
	path_close_tun(p);
	rawsock_destroy(p->raw);
	ways_destroy(p->ways);
	for (uint32_t i = 0; i < p->n_queues; i++) {
		rawsock_destroy(p->queue[i].raw);
		ways_destroy(p->queue[i].ways);
	}
	free(p->queue);
	path_init(p);
}

bool path_has_tun(const struct path *p)
{
	return p->n_queues > 0 && p->queue[0].tun.fd >= 0;
}

void path_close_tun(struct path *p)
{
	for (uint32_t i = 0; i < p->n_queues; i++)
		tun_close(&p->queue[i].tun);
}

/* ---- service ---- */

int path_start(struct path *p, const struct path_start *s)
{
	const struct dataplane_params params = {.loop = s->loop,
						.nat = s->nat,
						.raw = p->raw,
						.ways = p->ways,
						.io = &p->io,
						.transit = &p->transit,
						.inbox = &p->inbox,
						.tun_lost = s->tun_lost,
						.ctx = s->ctx};
	int r;

	assert(!p->dataplane && path_has_tun(p));
	p->dataplane = dataplane_create(&params);
	if (!p->dataplane)
		return -ENOMEM;
	r = path_serve(p);
	return r < 0 ? r : dataplane_set_icmp(p->dataplane, &p->icmp);
}

int path_serve(struct path *p)
{
	if (!p->dataplane)
		return 0;
	assert(path_has_tun(p));
	return dataplane_serve(p->dataplane, p->queue, p->n_queues);
}

void path_stop(struct path *p)
{
	dataplane_destroy(p->dataplane);
	p->dataplane = NULL;
}

/* ---- the host ---- */

/* Collects the interfaces through which ICMP for a shared address arrives now; returns their number. */
static uint32_t icmp_interfaces(const struct host_facts *f, unsigned out[ICMPSOCK_INTERFACES])
{
	uint32_t n = 0;

	out[n++] = ICMPSOCK_LOOPBACK;
	out[n] = (unsigned)f->outside.index;
	n += out[n] != 0;
	for (uint32_t i = 0; i < f->n_inside && n < ICMPSOCK_INTERFACES; i++) {
		out[n] = (unsigned)f->inside[i].index;
		n += out[n] != 0;
	}
	return n;
}

static void forget_ways(struct path *p)
{
	atomic_fetch_add_explicit(&p->transit.generation, 1, memory_order_release);
}

void path_host_changed(struct path *p)
{
	atomic_fetch_add_explicit(&p->transit.links, 1, memory_order_release);
	forget_ways(p);
}

int path_set_mark(struct path *p, uint32_t mark)
{
	int r = 0;

	if (mark == p->mark)
		return 0;
	r = rawsock_set_mark(p->raw, mark);
	for (uint32_t i = 0; i < p->n_queues && p->n_queues > 1 && r == 0; i++)
		r = rawsock_set_mark(p->queue[i].raw, mark);
	if (r == 0)
		p->mark = mark;
	return r;
}

static void know_link(struct transit *t, uint32_t place, const struct host_interface *i)
{
	if (place < TRANSIT_LINKS)
		atomic_store_explicit(&t->known[place], i ? transit_link(i->index, i->has_neighbours) : 0,
				      memory_order_relaxed);
}

static void know_own(struct path *p, const struct host_facts *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->n_inside && p->refuses_own; i++) {
		for (uint32_t a = 0; a < f->inside[i].n_addresses && n < TRANSIT_OWN; a++)
			atomic_store_explicit(&p->transit.own[n++], f->inside[i].addresses[a].address,
					      memory_order_relaxed);
	}
	while (n < TRANSIT_OWN)
		atomic_store_explicit(&p->transit.own[n++], 0, memory_order_relaxed);
}

static void follow_transit(struct transit *t, const struct host_facts *f, const struct nat_policy *policy)
{
	bool is_one_armed = false;

	for (uint32_t i = 0; i < f->n_inside; i++)
		is_one_armed = is_one_armed || f->inside[i].index == f->outside.index;
	know_link(t, 0, &f->outside);
	for (uint32_t i = 1; i < TRANSIT_LINKS; i++)
		know_link(t, i, i <= f->n_inside ? &f->inside[i - 1] : NULL);
	atomic_store(&t->outside, f->outside.index);
	atomic_store(&t->icmp_source, policy->icmp_source);
	atomic_store(&t->is_one_armed, is_one_armed);
}

void path_follow_interfaces(struct path *p, const struct host_facts *facts, const struct nat_policy *policy)
{
	unsigned from[ICMPSOCK_INTERFACES];
	uint32_t n = icmp_interfaces(facts, from);
	int r;

	follow_transit(&p->transit, facts, policy);
	know_own(p, facts);
	forget_ways(p);
	if (n == p->n_icmp_from && memcmp(from, p->icmp_from, n * sizeof(from[0])) == 0)
		return;
	memcpy(p->icmp_from, from, n * sizeof(from[0]));
	p->n_icmp_from = n;
	r = icmpsock_listen(&p->icmp, from, n, (unsigned)facts->outside.index);
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_DATA, -r, "cannot read ICMP on %s: pings and errors are lost",
			  facts->outside.name);
}

void path_aside(const struct path *p, void (*fn)(void *ctx), void *ctx)
{
	if (p->dataplane)
		dataplane_aside(p->dataplane, fn, ctx);
	else
		fn(ctx);
}

void path_send(struct path *p, uint8_t *packet, uint32_t len)
{
	if (p->dataplane)
		dataplane_send(p->dataplane, packet, len);
}

void path_counters(const struct path *p, struct io_counters *sum)
{
	*sum = p->io;
	if (p->dataplane)
		dataplane_add_counters(p->dataplane, sum);
}
