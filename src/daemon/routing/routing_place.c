/* SPDX-License-Identifier: ISC */
/*
 * The place of this natd among those of its network namespace.
 *
 * Theory of operation: place k belongs to the process that has bound the abstract socket "natd-routing-k". The kernel
 * separates such names by network namespace, exactly as it does rules, and frees them when their holder dies. A
 * restarted natd first tries the place in its state file, so that it finds the objects that it left.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "routing_private.h"

/* Returns a descriptor, -EADDRINUSE, or another negative errno. */
static int claim(uint32_t slot)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int len = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "natd-routing-%u", slot);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int take_slot(struct routing *r)
{
	uint32_t first = r->state.slot < ROUTING_SLOTS ? r->state.slot : 0;

	for (uint32_t i = 0; i < ROUTING_SLOTS; i++) {
		uint32_t slot = i == 0 ? first : i <= first ? i - 1 : i;
		int fd = claim(slot);

		if (fd == -EADDRINUSE)
			continue;
		if (fd < 0)
			return routing_fail(r, fd, "cannot mark this natd's place among those of the host: %s",
					    strerror(-fd));
		r->claim_fd = fd;
		r->place.slot = slot;
		r->place.protocol = (uint8_t)(NETLINK_PROTOCOL + slot);
		r->has_place = true;
		r->state.slot = slot;
		netlink_set_protocol(r->nl, r->place.protocol);
		return 0;
	}
	return routing_fail(r, -EUSERS, "%d natds already manage routing in this network namespace: stop one of them",
			    ROUTING_SLOTS);
}

int routing_place_take(struct routing *r, uint32_t table)
{
	int rc = r->has_place ? 0 : take_slot(r);

	if (rc == 0)
		r->place.table = table ? table : ROUTING_TABLE + ROUTING_TABLES * r->place.slot;
	return rc;
}

void routing_place_release(struct routing *r)
{
	if (r->claim_fd >= 0)
		close(r->claim_fd);
	r->claim_fd = -1;
}
