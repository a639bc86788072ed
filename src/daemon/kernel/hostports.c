/* SPDX-License-Identifier: ISC */
/* The ports that the host itself uses. */
#include "hostports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- listing ---- */

static bool take_socket(void *ctx, const struct netlink_socket *s)
{
	struct steering_ports *set = ctx;

	if (s->address >> 24 != 127) /* no packet from a wire reaches the loopback network */
		set->bits[s->port / 64] |= UINT64_C(1) << s->port % 64;
	return true;
}

int hostports_list(struct netlink *nl, struct hostports *out)
{
	const struct nat_range all = {1, 65535};
	int rc;

	memset(out, 0, sizeof(*out));
	rc = netlink_sockets(nl, IPPROTO_TCP, NETLINK_SOCKETS_OPEN, all, take_socket, &out->tcp);
	if (rc == 0)
		rc = netlink_sockets(nl, IPPROTO_UDP, NETLINK_SOCKETS_OPEN, all, take_socket, &out->udp);
	if (rc < 0)
		memset(out, 0, sizeof(*out));
	return rc;
}

bool hostports_equal(const struct hostports *a, const struct hostports *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- one port ---- */

static bool is_listed(struct netlink *nl, uint8_t ip_proto, uint16_t port)
{
	const struct nat_range range = {port, port};
	struct steering_ports set;

	memset(&set, 0, sizeof(set));
	return netlink_sockets(nl, ip_proto, NETLINK_SOCKETS_ALL, range, take_socket, &set) < 0 ||
	       steering_port_is_set(&set, port);
}

bool hostports_in_use(void *ctx, enum nat_class c, uint32_t address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	int fd, rc;

	if (c != CLASS_TCP && c != CLASS_UDP)
		return false;
	fd = socket(AF_INET, (c == CLASS_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	rc = bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
	close(fd);
	if (rc == EACCES) /* net.ipv4.ip_unprivileged_port_start */
		return is_listed(ctx, c == CLASS_TCP ? IPPROTO_TCP : IPPROTO_UDP, port);
	return rc != 0 && rc != EADDRNOTAVAIL; /* not an address of the host (any more): there is no socket */
}

/* ---- the host's own choice ---- */

bool hostports_ephemeral(struct nat_range *out)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned first = 0, last = 0;
	bool good;

	if (!f)
		return false;
	good = fscanf(f, "%5u %5u", &first, &last) == 2 && first > 0 && first <= last && last <= 65535;
	fclose(f);
	if (good)
		*out = (struct nat_range){(uint16_t)first, (uint16_t)last};
	return good;
}

bool hostports_is_reserved(const struct nat_range *r)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_reserved_ports", "re");
	unsigned first, last, next = r->first; /* first port not yet found to be reserved */
	int n;

	if (!f)
		return false;
	while (next <= r->last && fscanf(f, "%5u", &first) == 1) { /* ascending: "80,1000-2000" */
		last = first;
		n = fscanf(f, "-%5u", &last);
		if (n >= 0)
			n = fscanf(f, ",");
		if (first > next)
			break;
		if (last >= next)
			next = last + 1;
		if (n < 0)
			break;
	}
	fclose(f);
	return next > r->last;
}
