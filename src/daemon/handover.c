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

#include "natd.h"

enum { ASK_MS = 500, BARRIER_MS = 500 };

/* Part of the contract with the next version of natd: never used for anything else. */
static const char *const names[HANDOVER_ITEMS] = {
	[HANDOVER_TABLE] = "table",
	[HANDOVER_TUN] = "tun",
	[HANDOVER_ICMP] = "icmp",
};

static void store(struct natd *n, enum handover_item item, int fd)
{
	if (fd >= 0)
		n->handover.is_stored[item] = sdnotify_store(&n->service, names[item], fd);
}

static void unstore(struct natd *n, enum handover_item item)
{
	if (n->handover.is_stored[item])
		sdnotify_unstore(&n->service, names[item]);
	n->handover.is_stored[item] = false;
}

int handover_take(struct natd *n, enum handover_item item)
{
	int fd = sdnotify_take(&n->service, names[item]);

	if (fd >= 0) {
		n->handover.is_stored[item] = true;
		n->handover.has_taken = true;
	}
	return fd;
}

void handover_refuse(struct natd *n, enum handover_item item)
{
	unstore(n, item);
	sdnotify_barrier(&n->service, BARRIER_MS);
}

void handover_keep(struct natd *n)
{
	sdnotify_close_rest(&n->service);
	store(n, HANDOVER_TABLE, n->memory.records_fd);
	store(n, HANDOVER_TUN, n->tun.fd);
	store(n, HANDOVER_ICMP, n->icmp.fd);
}

void handover_keep_tun(struct natd *n)
{
	unstore(n, HANDOVER_TUN);
	store(n, HANDOVER_TUN, n->tun.fd);
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
	unstore(n, HANDOVER_TUN);
	unstore(n, HANDOVER_ICMP);
	if (was_stored) /* the device goes with the last of its descriptors: it is to be gone when natd is */
		sdnotify_barrier(&n->service, BARRIER_MS);
}
