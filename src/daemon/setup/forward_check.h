/* SPDX-License-Identifier: ISC */
/*
 * Forwards that take ports away from the host itself: a port on which it listens, or the range of its own connections.
 * A configured forward wins, so the service cannot be reached from outside and connections of the host break. `natd
 * -t`, doctor, status and log report it.
 */
#ifndef NATD_DAEMON_FORWARD_CHECK_H
#define NATD_DAEMON_FORWARD_CHECK_H

#include "daemon/base/finding.h"
#include "daemon/kernel/hostports.h"

struct forward_check {
	const struct nat_forward *forwards;
	uint32_t n_forwards;
	uint32_t shared; /* the address shared with the host; 0: unknown, and forwards of any address count */
	const struct hostports *ports;
	struct nat_range ephemeral;
	const struct steering_ports *kept; /* which natd will keep the kernel from choosing; NULL: none */
};

/* Reports "forward-takes-service" and "forward-takes-ephemeral", a few of each at most. */
void forward_check(const struct forward_check *c, struct finding_sink *sink);

#endif
