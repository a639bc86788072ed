/* SPDX-License-Identifier: ISC */
/* What the packet path owns. */
#include "path.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/config/config.h"

/* ---- life ---- */

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
		r = rawsock_create(&p->queue[i].raw, &p->queue[i].io);
	return r < 0 ? r : rawsock_create(&p->raw, &p->io);
}

void path_fini(struct path *p)
{
	assert(!p->dataplane);
	icmpsock_close(&p->icmp);
	path_close_tun(p);
	rawsock_destroy(p->raw);
	for (uint32_t i = 0; i < p->n_queues; i++)
		rawsock_destroy(p->queue[i].raw);
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
	const struct dataplane_params params = {
		.loop = s->loop, .nat = s->nat, .raw = p->raw, .io = &p->io, .tun_lost = s->tun_lost, .ctx = s->ctx};
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

void path_follow_interfaces(struct path *p, const struct natd_config *c)
{
	unsigned from[ICMPSOCK_INTERFACES];
	uint32_t n = icmp_interfaces(c, from);
	int r;

	if (n == p->n_icmp_from && memcmp(from, p->icmp_from, n * sizeof(from[0])) == 0)
		return;
	memcpy(p->icmp_from, from, n * sizeof(from[0]));
	p->n_icmp_from = n;
	r = icmpsock_listen(&p->icmp, from, n);
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_DATA, -r, "cannot read ICMP on %s: pings and errors are lost",
			  c->outside.interface);
}

void path_counters(const struct path *p, struct io_counters *sum)
{
	*sum = p->io;
	if (p->dataplane)
		dataplane_add_counters(p->dataplane, sum);
}
