/* SPDX-License-Identifier: ISC */
/* The queues of the TUN device. */
#include "queues.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/natd.h"

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

/* A queue of the former natd, with the packets that wait in it, or a new one. */
static int open_queue(struct natd *n, uint32_t i, const struct tun_options *o)
{
	struct dataplane_queue *q = &n->queues.queue[i];
	int fd = handover_take(n, HANDOVER_TUN + i);
	int r;

	if (fd < 0)
		return tun_open(&q->tun, o, &q->io);
	r = tun_adopt(&q->tun, fd, o, &q->io);
	if (r == 0)
		return 0;
	log_write(LEVEL_NOTICE, SUB_TUN, -r, "a queue of the former natd is not one of %s: making another", o->name);
	close(fd);
	handover_refuse(n, HANDOVER_TUN + i);
	return tun_open(&q->tun, o, &q->io);
}

int queues_open(struct natd *n, const struct tun_options *o)
{
	uint32_t surplus = handover_refuse_queues(n, n->queues.n > 1 ? n->queues.n : 1);
	int r = 0;

	if (surplus > 0)
		log_notice(SUB_TUN, "the former natd had %u queues more: what waited in them is lost", surplus);
	for (uint32_t i = 1; i < n->queues.n && r == 0; i++)
		r = open_queue(n, i, o);
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
