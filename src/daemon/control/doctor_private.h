/* SPDX-License-Identifier: ISC */
/* Shared only by the doctor_*.c files and observer.c. */
#ifndef NATD_DAEMON_DOCTOR_PRIVATE_H
#define NATD_DAEMON_DOCTOR_PRIVATE_H

#include "daemon/kernel/firewall.h"
#include "daemon/setup/setup.h"
#include "doctor.h"

/* The objects that a check inspects, and its sink. Everything is borrowed. */
struct visit {
	const struct control *c; /* NULL: no natd is running */
	const struct natd_config *config;
	const struct setup *setup;
	struct netlink *nl; /* of the calling thread */
	struct finding_sink *sink;
	uint32_t mark; /* of natd's packets */
};

/* The checks that cost a few system calls each. */
void doctor_host(struct visit *v, enum doctor_depth depth);
/* doctor_ports.c. Do natd's ports overlap those that the kernel chooses for the host's own connections? */
void doctor_ephemeral(struct visit *v);
/* Are the ports of forwards the host's? */
void doctor_forward_ports(struct visit *v);
/* Does the host have sockets on natd's ports? */
void doctor_host_sockets(struct visit *v);
/* Does the host have a route to the target of the i-th forward? */
void doctor_forward_route(struct visit *v, uint32_t i);
/* Does the firewall drop packets that natd needs? */
void doctor_firewall(struct visit *v, const struct firewall *f);
/* May it refuse the super-packets that natd writes to its device for inside hosts? The kernel's error about one would
 * show its sender the inside address, so natd then sends segments by its socket. Only where rules steer. */
bool doctor_firewall_refuses_inside(const struct setup *s, const struct firewall *f);

#endif
