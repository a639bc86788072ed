/* SPDX-License-Identifier: ISC */
/*
 * The part of managed routing that keeps the kernel from giving natd's ports to the host's own connections:
 * net.ipv4.ip_local_reserved_ports. It holds for ports that the kernel chooses, and not for those that a program names.
 *
 * Theory of operation. The setting is one list for all programs of the network namespace, so natd adds its ports to it
 * and takes away no others. The state file remembers which ports were added: before they are, and until they are gone
 * again. Where the list cannot be read or written nothing happens, and doctor says what is missing ("host-ports").
 */
#include <string.h>

#include "daemon/kernel/hostports.h"
#include "routing_private.h"

static int store_own(struct routing *r, const struct steering_ports *own)
{
	if (memcmp(own, &r->state.reserved, sizeof(*own)) == 0)
		return 0;
	r->state.reserved = *own;
	return routing_state_store(r);
}

int routing_reserve(struct routing *r, const struct steering_ports *wanted)
{
	const struct steering_ports was = r->state.reserved;
	struct steering_ports now, next, own, before;
	int rc;

	if (!hostports_reserved(&now))
		return 0;
	for (uint32_t i = 0; i < STEERING_PORT_WORDS; i++) {
		uint64_t old = r->state.reserved.bits[i], add = wanted->bits[i] & ~now.bits[i];

		before.bits[i] = old | add;
		own.bits[i] = (old & wanted->bits[i]) | add;
		next.bits[i] = (now.bits[i] & ~(old & ~wanted->bits[i])) | add;
	}
	if (memcmp(&next, &now, sizeof(now)) != 0) {
		rc = store_own(r, &before);
		if (rc < 0)
			return rc;
		if (!hostports_reserve(&next))
			return store_own(r, &was);
		r->changes++;
	}
	return store_own(r, &own);
}

int routing_unreserve(struct routing *r)
{
	struct steering_ports none;

	memset(&none, 0, sizeof(none));
	return memcmp(&r->state.reserved, &none, sizeof(none)) == 0 ? 0 : routing_reserve(r, &none);
}
