/* SPDX-License-Identifier: ISC */
/* The queues of the TUN device. */
#include "queues.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "natd.h"

uint32_t queues_wanted(const struct natd *n)
{
	uint32_t wanted = n->setup->config->tun.queues;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted == 0)
		wanted = cores > 0 ? (uint32_t)cores : 1;
	return wanted < CONFIG_QUEUES_MAX ? wanted : CONFIG_QUEUES_MAX;
}

int queues_create(struct natd *n)
{
	uint32_t wanted = queues_wanted(n);

	if (wanted < 2)
		return 0;
	n->queues.queue = calloc(wanted, sizeof(*n->queues.queue));
	if (!n->queues.queue)
		return -ENOMEM;
	for (; n->queues.n < wanted; n->queues.n++) {
		struct dataplane_queue *q = &n->queues.queue[n->queues.n];
		int r = rawsock_create(&q->raw, &q->io);

		q->tun.fd = -1;
		if (r < 0)
			return r;
	}
	return 0;
}

void queues_destroy(struct natd *n)
{
	for (uint32_t i = 0; i < n->queues.n; i++)
		rawsock_destroy(n->queues.queue[i].raw);
	free(n->queues.queue);
	n->queues = (struct queues){0};
}

int queues_open(struct natd *n, const struct tun_options *o)
{
	int r = 0;

	for (uint32_t i = 1; i < n->queues.n && r == 0; i++)
		r = tun_open(&n->queues.queue[i].tun, o, &n->queues.queue[i].io);
	if (r == 0)
		r = queues_serve(n);
	return r;
}

int queues_serve(struct natd *n)
{
	if (!n->dataplane)
		return 0;
	if (n->queues.n == 0)
		return dataplane_set_tun(n->dataplane, &n->tun);
	n->queues.queue[0].tun = n->tun;
	n->queues.queue[0].tun.counters = &n->queues.queue[0].io;
	return dataplane_set_queues(n->dataplane, &n->tun, n->queues.queue, n->queues.n);
}

void queues_close(struct natd *n)
{
	for (uint32_t i = 1; i < n->queues.n; i++)
		tun_close(&n->queues.queue[i].tun);
	if (n->queues.n > 0)
		n->queues.queue[0].tun.fd = -1;
	tun_close(&n->tun);
}
