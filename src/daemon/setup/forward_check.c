/* SPDX-License-Identifier: ISC */
/* Forwards that take ports away from the host itself. */
#include "forward_check.h"

#include "daemon/config/config_text.h"

enum { SHOWN = 8 }; /* of each kind; a last finding has the number of the others */

static bool is_of_host(const struct forward_check *c, const struct nat_forward *f)
{
	if (f->side == SIDE_INSIDE || !nat_forward_has_ports(f))
		return false;
	return f->address == 0 || c->shared == 0 || f->address == c->shared;
}

/* The first port of the forward on which the host has a socket; 0: none. */
static uint16_t find_taken(const struct nat_forward *f, const struct steering_ports *open)
{
	for (uint32_t port = f->ports.first; port <= f->ports.last; port++) {
		if (port % 64 == 0 && port + 63 <= f->ports.last && open->bits[port / 64] == 0)
			port += 63;
		else if (steering_port_is_set(open, (uint16_t)port))
			return (uint16_t)port;
	}
	return 0;
}

static void say_service(struct finding_sink *sink, const struct nat_forward *f, uint16_t port, const char *protocol)
{
	finding_remedy(sink, "let the service listen on another port or address, or forward another port");
	finding_add(sink, FINDING_WARNING, "forward-takes-service",
		    "forward \"%s\" takes port %u/%s, on which this host itself listens: the service cannot be reached "
		    "from outside",
		    f->name, port, protocol);
}

static void say_more(struct finding_sink *sink, const char *id, uint32_t n)
{
	if (n <= SHOWN)
		return;
	finding_remedy(sink, "as above");
	finding_add(sink, FINDING_WARNING, id, "%u more forwards do the same", (unsigned)(n - SHOWN));
}

static void check_services(const struct forward_check *c, struct finding_sink *sink)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_forwards; i++) {
		const struct nat_forward *f = &c->forwards[i];
		bool tcp = f->protocols & 1u << CLASS_TCP, udp = f->protocols & 1u << CLASS_UDP;
		uint16_t port = tcp ? find_taken(f, &c->ports->tcp) : 0;
		const char *protocol = port ? "tcp" : "udp";

		if (!is_of_host(c, f))
			continue;
		if (port == 0 && udp)
			port = find_taken(f, &c->ports->udp);
		if (port != 0 && n++ < SHOWN)
			say_service(sink, f, port, protocol);
	}
	say_more(sink, "forward-takes-service", n);
}

/* Does the kernel choose none of those that the forward takes, or will it not when natd runs? */
static bool is_kept(const struct forward_check *c, const struct steering_ports *reserved, const struct nat_range *ports)
{
	uint32_t first = ports->first > c->ephemeral.first ? ports->first : c->ephemeral.first;
	uint32_t last = ports->last < c->ephemeral.last ? ports->last : c->ephemeral.last;
	bool is_reserved = true, will_be = c->kept != NULL;

	for (uint32_t port = first; port <= last && (is_reserved || will_be); port++) {
		is_reserved = is_reserved && steering_port_is_set(reserved, (uint16_t)port);
		will_be = will_be && steering_port_is_set(c->kept, (uint16_t)port);
	}
	return is_reserved || will_be;
}

static void check_ephemeral(const struct forward_check *c, struct finding_sink *sink)
{
	char own[TEXT_RANGE_SIZE], host[TEXT_RANGE_SIZE];
	struct steering_ports reserved;
	uint32_t n = 0;

	(void)hostports_reserved(&reserved); /* empty if it cannot be read */
	for (uint32_t i = 0; i < c->n_forwards; i++) {
		const struct nat_forward *f = &c->forwards[i];

		/* Single ports inside it are common, and the kernel rarely picks one of them. */
		if (!is_of_host(c, f) || f->ports.first == f->ports.last || f->ports.first > c->ephemeral.last ||
		    f->ports.last < c->ephemeral.first)
			continue;
		if (is_kept(c, &reserved, &f->ports) || n++ >= SHOWN)
			continue;
		finding_remedy(sink,
			       "sysctl -w net.ipv4.ip_local_reserved_ports=%s, or move net.ipv4.ip_local_port_range",
			       text_of_ports(own, f->ports));
		finding_add(sink, FINDING_WARNING, "forward-takes-ephemeral",
			    "forward \"%s\" takes ports %s of those from which this host's own connections start (%s), "
			    "which get no answer where too few others are left",
			    f->name, text_of_ports(own, f->ports), text_of_ports(host, c->ephemeral));
	}
	say_more(sink, "forward-takes-ephemeral", n);
}

void forward_check(const struct forward_check *c, struct finding_sink *sink)
{
	check_services(c, sink);
	if (c->ephemeral.last != 0)
		check_ephemeral(c, sink);
}
