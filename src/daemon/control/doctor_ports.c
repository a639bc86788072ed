/* SPDX-License-Identifier: ISC */
/* The doctor's checks of ports and forwards: those that the host also uses, and ways to the forwards' targets. */
#include <inttypes.h>

#include "daemon/config/config_text.h"
#include "daemon/setup/forward_check.h"
#include "doctor_private.h"

/* ---- the host's and natd's ports ---- */

/* The common part of two ranges; false: there is none. */
static bool overlap(const struct nat_range *a, const struct nat_range *b, struct nat_range *out)
{
	out->first = a->first > b->first ? a->first : b->first;
	out->last = a->last < b->last ? a->last : b->last;
	return out->first <= out->last;
}

static uint32_t count_ports(const struct nat_range *r, uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += (uint32_t)r[i].last - r[i].first + 1;
	return count;
}

/* Has natd given up ports of the configuration, since the host would have had too few for its own connections? */
static bool check_given_up(struct visit *v, const struct nat_range *host)
{
	uint32_t n, given, used = count_ports(v->setup->policy.shared_ports, v->setup->policy.n_shared_ports);
	const struct nat_range *r = config_port_ranges(v->config, true, &n);
	char theirs[TEXT_RANGE_SIZE];

	given = count_ports(r, n);
	if (given <= used)
		return false;
	finding_remedy(v->sink, "choose outside.ports apart from net.ipv4.ip_local_port_range, or move that");
	finding_add(v->sink, FINDING_WARNING, "host-ports",
		    "outside.ports take nearly all ports of the host's own connections (%s): natd leaves %" PRIu32
		    " of them to the host",
		    text_of_ports(theirs, *host), given - used);
	return true;
}

/* Does the kernel choose none of these ports for the host's own connections, or will it not when natd runs? */
static bool is_kept(struct visit *v, const struct nat_range *r)
{
	struct steering_ports kept;
	uint32_t port = r->first;

	if (v->c || v->config->routing != ROUTING_MANAGED)
		return hostports_is_reserved(r);
	steering_reserved(v->setup->steering, &kept);
	while (port <= r->last && steering_port_is_set(&kept, (uint16_t)port))
		port++;
	return port > r->last || hostports_is_reserved(r);
}

void doctor_ephemeral(struct visit *v)
{
	const struct nat_policy *p = &v->setup->policy;
	struct nat_range host, both;
	char own[TEXT_RANGE_SIZE], theirs[TEXT_RANGE_SIZE];

	if (!setup_is_shared(v->setup) || !hostports_ephemeral(&host) || check_given_up(v, &host))
		return;
	for (uint32_t i = 0; i < p->n_shared_ports; i++) {
		const struct nat_range *r = &p->shared_ports[i];

		if (!overlap(r, &host, &both) || is_kept(v, &both))
			continue;
		finding_remedy(v->sink, "sysctl -w net.ipv4.ip_local_reserved_ports=%s, or choose other outside.ports",
			       text_of_ports(own, *r));
		finding_add(v->sink, FINDING_WARNING, "host-ports",
			    "natd's ports %s overlap those of the host's own connections (%s)", text_of_ports(own, *r),
			    text_of_ports(theirs, host));
		return;
	}
	finding_add(v->sink, FINDING_OK, "host-ports",
		    "natd's ports are apart from those of the host's own connections");
}

/* Number of the host's sockets within natd's own ports. */
static uint32_t count_within(const struct steering_ports *open, const struct nat_policy *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_shared_ports; i++) {
		for (uint32_t port = p->shared_ports[i].first; port <= p->shared_ports[i].last; port++)
			n += steering_port_is_set(open, (uint16_t)port);
	}
	return n;
}

void doctor_host_sockets(struct visit *v)
{
	const struct hostports *h = &v->setup->ports;
	uint32_t count = count_within(&h->tcp, &v->setup->policy) + count_within(&h->udp, &v->setup->policy);

	if (!setup_is_shared(v->setup) || count == 0)
		return;
	finding_add(v->sink, FINDING_OK, "host-sockets",
		    "the host itself has sockets on %" PRIu32 " of natd's ports: natd leaves those alone", count);
}

void doctor_forward_ports(struct visit *v)
{
	const struct nat_policy *p = &v->setup->policy;
	struct forward_check c = {.forwards = p->forwards,
				  .n_forwards = p->n_forwards,
				  .shared = steering_shared(v->setup->steering, 0),
				  .ports = &v->setup->ports};
	struct steering_ports kept;

	if (!setup_is_shared(v->setup))
		return;
	if (!v->c && v->config->routing == ROUTING_MANAGED) {
		steering_reserved(v->setup->steering, &kept);
		c.kept = &kept;
	}
	if (!hostports_ephemeral(&c.ephemeral))
		c.ephemeral = (struct nat_range){0, 0};
	forward_check(&c, v->sink);
}

/* ---- ways to forwards ---- */

static void check_route(struct visit *v, const char *forward, uint32_t to)
{
	struct netlink_way way;
	char text[TEXT_ADDRESS_SIZE];

	if (netlink_way_to(v->nl, to, &way) < 0 || way.out == 0) {
		finding_remedy(v->sink, "add a route to it, or correct \"to\" of the forward");
		finding_add(v->sink, FINDING_WARNING, "forward-route", "forward \"%s\": the host has no route to %s",
			    forward, text_of_address(text, to));
	} else if (way.out == v->setup->facts.outside.index) {
		finding_remedy(v->sink, "add a route to it by an inside interface, or correct \"to\" of the forward");
		finding_add(v->sink, FINDING_WARNING, "forward-route",
			    "forward \"%s\": the way to %s leaves by the outside interface", forward,
			    text_of_address(text, to));
	}
}

/* One netlink query for each forward: with many forwards too slow for the packet loop. */
void doctor_forward_route(struct visit *v, uint32_t i)
{
	const struct nat_forward *f = &v->setup->policy.forwards[i];

	for (uint32_t k = 0; k < nat_forward_targets(f); k++)
		check_route(v, f->name, nat_forward_target(f, k).address);
}
