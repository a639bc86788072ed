/* SPDX-License-Identifier: ISC */
/*
 * From one natd to the next.
 *
 * Theory of operation. The store is filled before READY is sent, and updated when a TUN is recreated. So from READY on,
 * a SIGKILL at any moment leaves table, device and routing behind, and the manager starts a natd that takes them over.
 * A manager that does not read accepts no messages: each message is kept, and sent again with each status, in order.
 * Until then READY waits. After a TUN was recreated, the store has the previous one or none, which costs the next natd
 * the packets that wait in the device.
 *
 * A clean end must choose: for a restart it leaves everything behind, for a stop it puts the host back. Only the
 * manager knows which one it is. If that cannot be found out it counts as a stop, because a gateway without a daemon
 * would be the worse mistake. A restart while the manager does not have the table also counts as a stop.
 */
#include "handover.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "sdnotify.h"

enum { ASK_MS = 500, BARRIER_MS = 500 };

struct name {
	char text[16];
};

/* Part of the contract with the next version of natd: a name never gets another meaning. */
static struct name name_of(unsigned item)
{
	static const char *const names[] = {
		[HANDOVER_TABLE] = "table", [HANDOVER_ICMP] = "icmp", [HANDOVER_TUN] = "tun"};
	struct name name;

	if (item == HANDOVER_FLOWS)
		snprintf(name.text, sizeof(name.text), "flows");
	else if (item >= HANDOVER_LINK)
		snprintf(name.text, sizeof(name.text), "tc%u", item - HANDOVER_LINK);
	else if (item <= HANDOVER_TUN)
		snprintf(name.text, sizeof(name.text), "%s", names[item]);
	else
		snprintf(name.text, sizeof(name.text), "tun%u", item - HANDOVER_TUN);
	return name;
}

void handover_init(struct handover *h, struct sdnotify *service)
{
	*h = (struct handover){.service = service};
	for (unsigned item = 0; item < HANDOVER_ITEMS; item++)
		h->in_use[item] = -1;
}

void handover_use(struct handover *h, unsigned item, int fd)
{
	assert(item < HANDOVER_ITEMS);
	h->in_use[item] = fd;
}

/* Sends the messages that are due for this item, in order; a removal covers all descriptors of the name. False: some
 * are still due. */
static bool settle(struct handover *h, unsigned item)
{
	int fd = h->in_use[item];

	if (h->is_removal_due[item])
		h->is_removal_due[item] = !sdnotify_unstore(h->service, name_of(item).text);
	if (h->is_removal_due[item])
		return false;
	if (!h->is_due[item] || fd < 0)
		return true;
	if (!sdnotify_store(h->service, name_of(item).text, fd))
		return false;
	h->is_due[item] = false;
	h->is_stored[item] = true;
	return true;
}

static void unstore(struct handover *h, unsigned item)
{
	h->is_removal_due[item] = h->is_removal_due[item] || h->is_stored[item];
	h->is_stored[item] = false;
	h->is_due[item] = false;
}

static void unstore_queues(struct handover *h, uint32_t from)
{
	for (uint32_t i = from; i < CONFIG_QUEUES_MAX; i++)
		unstore(h, HANDOVER_TUN + i);
}

static bool settle_queues(struct handover *h, uint32_t from)
{
	bool ok = true;

	for (uint32_t i = from; i < CONFIG_QUEUES_MAX; i++)
		ok = settle(h, HANDOVER_TUN + i) && ok;
	return ok;
}

int handover_take(struct handover *h, unsigned item)
{
	int fd = sdnotify_take(h->service, name_of(item).text);

	if (fd >= 0) {
		h->is_stored[item] = true;
		h->has_taken = true;
	}
	return fd;
}

void handover_refuse(struct handover *h, unsigned item)
{
	unstore(h, item);
	if (settle(h, item))
		sdnotify_barrier(h->service, BARRIER_MS);
}

uint32_t handover_refuse_queues(struct handover *h, uint32_t from)
{
	uint32_t untaken = 0;
	bool was_stored = false;

	for (uint32_t i = from; i < CONFIG_QUEUES_MAX; i++) {
		int fd = handover_take(h, HANDOVER_TUN + i);

		was_stored = was_stored || h->is_stored[HANDOVER_TUN + i];
		untaken += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	unstore_queues(h, from);
	if (was_stored && settle_queues(h, from))
		sdnotify_barrier(h->service, BARRIER_MS);
	return untaken;
}

/* A second descriptor under a name that natd uses: the name is emptied, and the descriptor in use is stored again. */
static void close_second(struct handover *h, unsigned item)
{
	int fd = sdnotify_take(h->service, name_of(item).text);

	if (fd < 0)
		return;
	log_notice(SUB_SERVICE, "the service manager kept more than one descriptor \"%s\": given up",
		   name_of(item).text);
	h->is_stored[item] = true;
	unstore(h, item);
	for (; fd >= 0; fd = sdnotify_take(h->service, name_of(item).text))
		close(fd);
}

void handover_keep(struct handover *h)
{
	h->is_kept = true;
	for (unsigned item = 0; item < HANDOVER_ITEMS; item++) {
		close_second(h, item);
		h->is_due[item] = h->in_use[item] >= 0;
	}
	sdnotify_close_rest(h->service);
}

bool handover_send_due(struct handover *h)
{
	bool ok = sdnotify_unstore_rest(h->service);

	for (unsigned item = 0; item < HANDOVER_ITEMS && (ok || !sdnotify_is_stuck(h->service)); item++)
		ok = settle(h, item);
	return ok || !sdnotify_is_stuck(h->service);
}

void handover_keep_tun(struct handover *h)
{
	if (!h->is_kept)
		return;
	unstore_queues(h, 0);
	for (unsigned item = HANDOVER_TUN; item < HANDOVER_LINK; item++)
		h->is_due[item] = h->in_use[item] >= 0;
	handover_send_due(h);
}

static void unstore_links(struct handover *h)
{
	for (uint32_t i = 0; i < HANDOVER_LINKS_MAX; i++)
		unstore(h, HANDOVER_LINK + i);
}

static void keep_item(struct handover *h, unsigned item)
{
	if (!h->is_kept)
		return;
	unstore(h, item);
	h->is_due[item] = h->in_use[item] >= 0;
	handover_send_due(h);
}

void handover_keep_link(struct handover *h, uint32_t i)
{
	assert(i < HANDOVER_LINKS_MAX);
	keep_item(h, HANDOVER_LINK + i);
}

void handover_keep_flows(struct handover *h)
{
	keep_item(h, HANDOVER_FLOWS);
}

bool handover_keeps_table(const struct handover *h)
{
	return h->goes_on && h->is_stored[HANDOVER_TABLE];
}

void handover_ask(struct handover *h, bool has_state_file)
{
	bool is_restart;

	handover_send_due(h);
	is_restart = sdnotify_restarting(h->service, ASK_MS);
	h->goes_on = is_restart && h->is_stored[HANDOVER_TABLE];
	if (h->goes_on)
		log_notice(SUB_SERVICE, "restarting: routing, device and connections stay for the next natd");
	else if (is_restart)
		log_warning(SUB_SERVICE,
			    "restarting, but the service manager did not take the connections: as for a stop, %s",
			    has_state_file ? "they go to the state file" : "they end");
}

void handover_end(struct handover *h)
{
	bool was_stored;

	if (h->goes_on)
		return;
	unstore_queues(h, 0);
	unstore(h, HANDOVER_ICMP);
	unstore_links(h);
	unstore(h, HANDOVER_FLOWS);
	was_stored = h->is_removal_due[HANDOVER_TUN] || h->is_removal_due[HANDOVER_ICMP];
	/* the device disappears with the last of its descriptors: the manager must close its own before natd ends */
	if (handover_send_due(h) && was_stored)
		sdnotify_barrier(h->service, BARRIER_MS);
}
