/* SPDX-License-Identifier: ISC */
/*
 * From one natd to the next.
 *
 * Theory of operation. The store is filled once natd is ready and follows a TUN that is made anew; so at every
 * moment after that a SIGKILL leaves table, device and routing behind, and the manager starts a natd that
 * takes them up. A clean end has to choose: for a restart it leaves the same behind, for a stop it puts the host
 * back. Which it is only the manager knows. What cannot be known counts as a stop: a host that is
 * left as a gateway that nobody serves would be the worse mistake.
 */
#include "handover.h"

#include <stdio.h>
#include <unistd.h>

#include "natd.h"

enum { ASK_MS = 500, BARRIER_MS = 500 };

struct name {
	char text[16];
};

/* Part of the contract with the next version of natd: never used for anything else. */
static struct name name_of(unsigned item)
{
	static const char *const names[] = {
		[HANDOVER_TABLE] = "table", [HANDOVER_ICMP] = "icmp", [HANDOVER_TUN] = "tun"};
	struct name name;

	if (item <= HANDOVER_TUN)
		snprintf(name.text, sizeof(name.text), "%s", names[item]);
	else
		snprintf(name.text, sizeof(name.text), "tun%u", item - HANDOVER_TUN);
	return name;
}

static void store(struct natd *n, unsigned item, int fd)
{
	if (fd >= 0)
		n->handover.is_stored[item] = sdnotify_store(&n->service, name_of(item).text, fd);
}

static void unstore(struct natd *n, unsigned item)
{
	if (n->handover.is_stored[item])
		sdnotify_unstore(&n->service, name_of(item).text);
	n->handover.is_stored[item] = false;
}

static void store_queues(struct natd *n)
{
	store(n, HANDOVER_TUN, n->tun.fd);
	for (uint32_t i = 1; i < n->queues.n; i++)
		store(n, HANDOVER_TUN + i, n->queues.queue[i].tun.fd);
}

static void unstore_queues(struct natd *n, uint32_t from)
{
	for (uint32_t i = from; i < CONFIG_QUEUES_MAX; i++)
		unstore(n, HANDOVER_TUN + i);
}

int handover_take(struct natd *n, unsigned item)
{
	int fd = sdnotify_take(&n->service, name_of(item).text);

	if (fd >= 0) {
		n->handover.is_stored[item] = true;
		n->handover.has_taken = true;
	}
	return fd;
}

void handover_refuse(struct natd *n, unsigned item)
{
	unstore(n, item);
	sdnotify_barrier(&n->service, BARRIER_MS);
}

uint32_t handover_refuse_queues(struct natd *n, uint32_t from)
{
	uint32_t untaken = 0;
	bool was_stored = false;

	for (uint32_t i = from; i < CONFIG_QUEUES_MAX; i++) {
		int fd = handover_take(n, HANDOVER_TUN + i);

		was_stored = was_stored || n->handover.is_stored[HANDOVER_TUN + i];
		untaken += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	unstore_queues(n, from);
	if (was_stored)
		sdnotify_barrier(&n->service, BARRIER_MS);
	return untaken;
}

void handover_keep(struct natd *n)
{
	sdnotify_close_rest(&n->service);
	store(n, HANDOVER_TABLE, n->memory.records_fd);
	store_queues(n);
	store(n, HANDOVER_ICMP, n->icmp.fd);
}

void handover_keep_tun(struct natd *n)
{
	unstore_queues(n, 0);
	store_queues(n);
}

void handover_ask(struct natd *n)
{
	n->handover.goes_on = sdnotify_restarting(&n->service, ASK_MS);
	if (n->handover.goes_on)
		log_notice(SUB_SERVICE, "restarting: routing, device and connections stay for the next natd");
}

void handover_end(struct natd *n)
{
	bool was_stored = n->handover.is_stored[HANDOVER_TUN] || n->handover.is_stored[HANDOVER_ICMP];

	if (n->handover.goes_on)
		return;
	unstore_queues(n, 0);
	unstore(n, HANDOVER_ICMP);
	if (was_stored) /* the device goes with the last of its descriptors: it is to be gone when natd is */
		sdnotify_barrier(&n->service, BARRIER_MS);
}
